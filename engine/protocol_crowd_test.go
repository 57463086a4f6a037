package engine

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const crowdSize = 1000

// crowd dials a connection for each of many members and runs f for all at the same time.
func (p *peer) crowd(n int, f func(i int, p *peer)) time.Duration {
	peers := make([]*peer, n)
	for i := range peers {
		peers[i] = p.another()
	}
	var all sync.WaitGroup
	begin := time.Now()
	for i := range peers {
		all.Go(func() { f(i, peers[i]) })
	}
	all.Wait()
	return time.Since(begin)
}

// A classic group of 1,000 members over 1,000 connections: the first rebalance, and one
// more because a member joins again with something new.
func TestThousandClassicMembers(t *testing.T) {
	if testing.Short() {
		t.Skip("dials 1,000 connections")
	}
	p := dialed(t, "group.initial.rebalance.delay.ms=500")
	p.coordinated()
	group := unused(t)
	ids := make([]string, crowdSize)
	var generations sync.Map
	topic := "one"
	round := func(i int, p *peer) {
		join := func() *kmsg.JoinGroupResponse {
			q := joinRequest(group, ids[i], "range")
			said := kmsg.NewConsumerMemberMetadata()
			said.Topics = []string{topic} // other topics: all of them want another generation
			q.Protocols[0].Metadata = said.AppendTo(nil)
			return ask[*kmsg.JoinGroupResponse](p, 5, q)
		}
		a := join()
		if a.ErrorCode == kerr.MemberIDRequired.Code {
			ids[i] = a.MemberID
			a = join()
		}
		if a.ErrorCode != 0 {
			t.Errorf("member %d: join: %s", i, errorName(a.ErrorCode))
			return
		}
		q := kmsg.NewPtrSyncGroupRequest()
		q.Group, q.MemberID, q.Generation = group, a.MemberID, a.Generation
		for _, m := range a.Members {
			one := kmsg.NewSyncGroupRequestGroupAssignment()
			one.MemberID, one.MemberAssignment = m.MemberID, []byte(m.MemberID)
			q.GroupAssignment = append(q.GroupAssignment, one)
		}
		r := ask[*kmsg.SyncGroupResponse](p, 4, q)
		if r.ErrorCode == kerr.RebalanceInProgress.Code { // somebody came late
			return
		}
		if r.ErrorCode != 0 || string(r.MemberAssignment) != ids[i] {
			t.Errorf("member %d: sync: %s, assigned %q", i, errorName(r.ErrorCode), r.MemberAssignment)
		}
		count, _ := generations.LoadOrStore(a.Generation, new(sync.Map))
		count.(*sync.Map).Store(i, true)
	}
	first := p.crowd(crowdSize, round)
	topic = "another"
	took := p.crowd(crowdSize, round)
	best := 0
	generations.Range(func(_, members any) bool {
		n := 0
		members.(*sync.Map).Range(func(any, any) bool { n++; return true })
		best = max(best, n)
		return true
	})
	t.Logf("%d members: joined in %v, rebalanced in %v", crowdSize, first.Round(time.Millisecond), took.Round(time.Millisecond))
	if best != crowdSize {
		t.Errorf("at most %d members were in one generation", best)
	}
	if took > 30*time.Second {
		t.Errorf("a rebalance took %v", took)
	}
}

// A consumer group of 1,000 members: from the first heartbeat until all have their share.
func TestThousandConsumers(t *testing.T) {
	if testing.Short() {
		t.Skip("dials 1,000 connections")
	}
	p := dialed(t, "group.consumer.min.heartbeat.interval.ms=500", "group.consumer.heartbeat.interval.ms=500")
	p.coordinated()
	s := p.topic(2 * crowdSize)
	group := unused(t)
	var shares atomic.Int32 // members with two partitions
	took := p.crowd(crowdSize, func(i int, p *peer) {
		m := &follower{p: p, group: group, id: fmt.Sprintf("m%04d", i), topics: []string{s.name}}
		for end := time.Now().Add(time.Minute); shares.Load() < crowdSize; <-time.After(500 * time.Millisecond) {
			before := m.count() == 2
			a := m.beat()
			if a.ErrorCode != 0 || time.Now().After(end) {
				t.Errorf("member %d has %d partitions: %s", i, m.count(), errorName(a.ErrorCode))
				return
			}
			if now := m.count() == 2; now && !before {
				shares.Add(1)
			} else if before && !now {
				shares.Add(-1)
			}
		}
	})
	t.Logf("%d members have their partitions after %v", crowdSize, took.Round(time.Millisecond))
	if took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
}
