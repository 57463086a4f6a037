package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestRandomLives lets clients do what they like, while appends are committed late, fail,
// and the coordinator is lost, and compares it with what the log says:
//
//   - every request is answered exactly once
//   - an offset that can be fetched is the one that the committed records amount to
//   - an assignment is the one in the last record of the member's generation
//   - the members of a generation agree on the protocol, and generations do not go back
//   - a restart gives the same offsets and the last stored generation
func TestRandomLives(t *testing.T) {
	lives := 150
	if testing.Short() {
		lives = 20
	}
	for seed := range uint64(lives) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			l := &life{t: t, r: rand.New(rand.NewPCG(seed, 7)), j: &journal{}, now: time.UnixMilli(1_000_000), generations: map[string]int32{}, chosen: map[string]string{}}
			l.o = Options{InitialDelay: []time.Duration{-1, time.Second}[seed%2], Retention: time.Minute, CheckInterval: 5 * time.Second, MaxSize: []int{0, 3}[seed/2%2], AppendBytes: 100}
			l.c = New(l.o, l.j)
			l.c.Loaded(l.now)
			for range 400 {
				l.step()
			}
			l.end()
		})
	}
}

// life is one random run. Clients are told apart by where they are in the slice.
type life struct {
	t       *testing.T
	r       *rand.Rand
	c       *Coordinator
	j       *journal
	o       Options
	now     time.Time
	uuids   int
	clients [5]struct {
		group, id  string
		instance   *string
		generation int32
		leads      bool
		members    []string
	}
	asked, answered int
	generations     map[string]int32  // latest seen of a group
	chosen          map[string]string // protocol by group and generation
}

// once wraps a reply: it counts, and a second call is an error.
func once[T any](l *life, f func(T)) func(T) {
	l.asked++
	done := false
	return func(r T) {
		if done {
			l.t.Fatal("a request was answered twice")
		}
		done = true
		l.answered++
		f(r)
	}
}

func (l *life) step() {
	i := l.r.IntN(len(l.clients))
	switch n := l.r.IntN(100); {
	case n < 22:
		l.join(i)
	case n < 40:
		l.sync(i)
	case n < 48:
		l.heartbeat(i)
	case n < 53:
		l.leave(i)
	case n < 63:
		l.commit(i)
	case n < 70:
		l.fetch()
	case n < 84:
		l.settle()
	case n < 93:
		l.tick()
	case n < 98:
		l.administer()
	default:
		l.restart()
	}
	if err := l.c.Check(); err != nil {
		l.t.Fatal(err)
	}
}

func (l *life) name() string { return []string{"g", "h"}[l.r.IntN(2)] }

func (l *life) join(i int) {
	c := &l.clients[i]
	if c.group == "" || l.r.IntN(12) == 0 {
		c.group, c.id, c.generation, c.instance = l.name(), "", -1, nil
		if i%2 == 1 {
			name := fmt.Sprint("static", i%3)
			c.instance = &name
		}
	}
	q := kmsg.NewPtrJoinGroupRequest()
	q.Group, q.MemberID, q.InstanceID, q.ProtocolType = c.group, c.id, c.instance, consumerType
	q.SessionTimeoutMillis, q.RebalanceTimeoutMillis = int32(6000+l.r.IntN(9000)), int32(1000*(1+l.r.IntN(10)))
	q.Protocols = protocols(subscription([]string{"t", "u"}[:l.r.IntN(3)]...), [][]string{{"range"}, {"range", "sticky"}, {"sticky", "range"}}[l.r.IntN(3)]...)
	version := []int16{3, 5, 9}[l.r.IntN(3)]
	asked := *c
	l.c.Join(l.now, Client{fmt.Sprint("c", i), "/h"}, version, q, func() string { l.uuids++; return fmt.Sprint(l.uuids) }, once(l, func(a *kmsg.JoinGroupResponse) {
		if l.clients[i].group != asked.group || l.clients[i].id != asked.id {
			return // the client is somebody else by now
		}
		switch {
		case a.ErrorCode == 0:
			l.joined(i, a)
		case a.ErrorCode == kerr.MemberIDRequired.Code:
			c.id = a.MemberID
		case a.ErrorCode == kerr.UnknownMemberID.Code || a.ErrorCode == kerr.FencedInstanceID.Code:
			c.id = ""
		}
	}))
}

func (l *life) joined(i int, a *kmsg.JoinGroupResponse) {
	c := &l.clients[i]
	c.id, c.generation, c.leads, c.members = a.MemberID, a.Generation, a.LeaderID == a.MemberID && !a.SkipAssignment, nil
	for _, m := range a.Members {
		c.members = append(c.members, m.MemberID)
	}
	if a.Generation < l.generations[c.group] {
		l.t.Fatalf("generation %d of %s after %d", a.Generation, c.group, l.generations[c.group])
	}
	l.generations[c.group] = a.Generation
	key := fmt.Sprint(c.group, a.Generation)
	if was := l.chosen[key]; was != "" && was != *a.Protocol {
		l.t.Fatalf("protocol of %s is %s and %s", key, was, *a.Protocol)
	}
	l.chosen[key] = *a.Protocol
}

func (l *life) sync(i int) {
	c := l.clients[i]
	q := kmsg.NewPtrSyncGroupRequest()
	q.Version, q.Group, q.MemberID, q.InstanceID, q.Generation = 4, c.group, c.id, c.instance, c.generation
	for _, id := range c.members {
		q.GroupAssignment = append(q.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: id, MemberAssignment: fmt.Appendf(nil, "%s/%d/%d", id, c.generation, l.r.IntN(9))})
	}
	l.c.Sync(l.now, q, once(l, func(a *kmsg.SyncGroupResponse) {
		if a.ErrorCode != 0 {
			return
		}
		stored := l.stored(c.group)
		if stored == nil || stored.Generation != c.generation {
			l.t.Fatalf("%s is assigned in generation %d, stored is %+v", c.id, c.generation, stored)
		}
		at := slices.IndexFunc(stored.Members, func(m kmsg.GroupMetadataValueMember) bool { return m.MemberID == c.id })
		if at < 0 || string(stored.Members[at].Assignment) != string(a.MemberAssignment) {
			l.t.Fatalf("%s got assignment %q, stored is %+v", c.id, a.MemberAssignment, stored.Members)
		}
	}))
}

// stored is the last committed metadata of a group, or nil.
func (l *life) stored(group string) *kmsg.GroupMetadataValue {
	for _, r := range slices.Backward(l.j.committed) {
		if binary.BigEndian.Uint16(r.Key) != keyMetadata {
			continue
		}
		var k kmsg.GroupMetadataKey
		must(k.ReadFrom(r.Key))
		if k.Group != group {
			continue
		}
		if r.Value == nil {
			return nil
		}
		var v kmsg.GroupMetadataValue
		must(v.ReadFrom(r.Value))
		return &v
	}
	return nil
}

func (l *life) heartbeat(i int) {
	c := &l.clients[i]
	q := kmsg.NewPtrHeartbeatRequest()
	q.Group, q.MemberID, q.InstanceID, q.Generation = c.group, c.id, c.instance, c.generation
	l.c.Heartbeat(l.now, q, once(l, func(*kmsg.HeartbeatResponse) {}))
}

func (l *life) leave(i int) {
	c := &l.clients[i]
	q := kmsg.NewPtrLeaveGroupRequest()
	q.Version, q.Group = 5, c.group
	q.Members = []kmsg.LeaveGroupRequestMember{{MemberID: c.id, InstanceID: c.instance}}
	l.c.Leave(l.now, q, once(l, func(*kmsg.LeaveGroupResponse) {}))
	c.id, c.generation = "", -1
}

func (l *life) commit(i int) {
	c := &l.clients[i]
	q := kmsg.NewPtrOffsetCommitRequest()
	q.Version, q.Group, q.MemberID, q.InstanceID, q.Generation = 9, c.group, c.id, c.instance, c.generation
	if l.r.IntN(3) == 0 {
		q.Group, q.MemberID, q.InstanceID, q.Generation = l.name(), "", nil, -1
	}
	for _, name := range []string{"t", "u", "v"}[:1+l.r.IntN(3)] {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = int32(l.r.IntN(2)), int64(l.r.IntN(1000))
		q.Topics = append(q.Topics, kmsg.OffsetCommitRequestTopic{Topic: name, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}})
	}
	l.c.Commit(l.now, q, once(l, func(*kmsg.OffsetCommitResponse) {}))
}

// truth is what the committed records of a group's offsets amount to.
func (l *life) truth(group string) map[string]int64 {
	offsets := map[string]int64{}
	for _, r := range l.j.committed {
		if binary.BigEndian.Uint16(r.Key) != keyOffset {
			continue
		}
		var k kmsg.OffsetCommitKey
		must(k.ReadFrom(r.Key))
		if k.Group != group {
			continue
		}
		key := fmt.Sprintf("%s-%d", k.Topic, k.Partition)
		if r.Value == nil {
			delete(offsets, key)
			continue
		}
		var v kmsg.OffsetCommitValue
		must(v.ReadFrom(r.Value))
		offsets[key] = v.Offset
	}
	return offsets
}

func (l *life) fetch() {
	q := kmsg.NewOffsetFetchRequestGroup()
	q.Group = l.name()
	l.c.Fetch(l.now, &q, l.r.IntN(2) == 0, once(l, func(a *kmsg.OffsetFetchResponseGroup) {
		if a.ErrorCode != 0 {
			return
		}
		truth := l.truth(q.Group)
		for _, t := range a.Topics {
			for _, p := range t.Partitions {
				key := fmt.Sprintf("%s-%d", t.Topic, p.Partition)
				if truth[key] != p.Offset {
					l.t.Fatalf("%s of %s is %d, the log says %d", key, q.Group, p.Offset, truth[key])
				}
				delete(truth, key)
			}
		}
		if len(truth) > 0 {
			l.t.Fatalf("offsets of %s are missing: %v", q.Group, truth)
		}
	}))
}

func (l *life) settle() {
	for n := l.r.IntN(4); n > 0 && len(l.j.waiting) > 0; n-- {
		var err error
		if l.r.IntN(8) == 0 {
			err = []error{kerr.NotEnoughReplicas, errors.New("disk full")}[l.r.IntN(2)]
		}
		w := l.j.settle(err)
		for _, r := range w.records {
			if err == nil && r.Value == nil && binary.BigEndian.Uint16(r.Key) == keyMetadata {
				clear(l.generations) // the group is gone and may begin anew
				clear(l.chosen)
			}
		}
		if l.c.Check() != nil {
			return
		}
	}
}

func (l *life) tick() {
	l.now = l.now.Add(time.Duration(l.r.IntN(4000)) * time.Millisecond)
	if next := l.c.NextTick(); l.r.IntN(20) == 0 && !next.IsZero() && next.After(l.now) {
		l.now = next
	}
	l.c.Tick(l.now)
	if next := l.c.NextTick(); !next.IsZero() && !next.After(l.now) {
		l.t.Fatalf("after a tick at %v the next is due at %v", l.now, next)
	}
}

func (l *life) administer() {
	switch l.r.IntN(5) {
	case 0:
		l.c.Delete(l.now, l.name(), once(l, func(*kmsg.DeleteGroupsResponseGroup) {}))
	case 1:
		q := kmsg.NewPtrOffsetDeleteRequest()
		q.Group = l.name()
		q.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 1}}}}
		l.c.DeleteOffsets(l.now, q, once(l, func(*kmsg.OffsetDeleteResponse) {}))
	case 2:
		l.c.DropTopic(l.now, "u", once(l, func(error) {}))
	case 3:
		l.c.Describe(l.now, l.name(), 6, once(l, func(*kmsg.DescribeGroupsResponseGroup) {}))
	case 4:
		l.asked++
		l.c.List(l.now, kmsg.NewPtrListGroupsRequest(), func([]kmsg.ListGroupsResponseGroup, *kerr.Error) { l.answered++ })
	}
}

// restart loses the coordinator, with what is not committed, and makes a new one.
func (l *life) restart() {
	l.end()
	l.j.waiting = nil
	l.c = l.j.replayed(l.t, l.o, l.now)
	clear(l.generations)
	clear(l.chosen)
	for _, g := range l.c.sorted() {
		stored := l.stored(g.name)
		want := int32(0)
		if stored != nil {
			want = stored.Generation
		}
		if g.generation != want {
			l.t.Fatalf("after a restart %s is in generation %d, stored is %d", g.name, g.generation, want)
		}
	}
	for range 2 {
		l.fetch()
	}
}

// end closes the coordinator: nobody may be left without an answer.
func (l *life) end() {
	l.c.Close(nil)
	for _, w := range l.j.waiting { // too late, but it happens
		w.done(nil)
	}
	if l.asked != l.answered {
		l.t.Fatalf("%d requests, %d answers", l.asked, l.answered)
	}
}
