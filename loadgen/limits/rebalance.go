package limits

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/loadgen/peers"
	"github.com/millrace/millrace/results"
)

// How often the group of a trial is rebalanced, and for how long its members are trusted.
const (
	rebalances     = 20 // processor time is told in hundredths of a second
	sessionMillis  = 60_000
	assignmentSize = 64
)

// rebalanced has a group of members, each with a connection of its own, join again all
// together: the leader, whose joining begins a rebalance, and then all others. What is
// measured is the coordinator; no member waits for its next heartbeat to learn of it.
func rebalanced(ctx context.Context, t *trial) (err error) {
	b, done, err := t.serve(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	g := &crowd{ctx: ctx, name: t.nextTopic()}
	defer g.close()
	if err := g.open(b.Address, t.row.Members); err != nil {
		return err
	}
	if err := g.round(); err != nil { // the first one waits for late members
		return err
	}
	s, err := spending(b.PID)
	if err != nil {
		return err
	}
	for range rebalances {
		if err := g.round(); err != nil {
			return err
		}
	}
	wall, processor, err := s.now()
	t.figure(rebalance, results.Seconds, wall.Seconds()/rebalances)
	t.figure(rebalanceBy, results.Seconds, processor.Seconds()/rebalances)
	return err
}

// crowd is the members of one group.
type crowd struct {
	ctx     context.Context
	name    string
	members []*member
}

// member is one member of a classic group, without what a consumer has besides.
type member struct {
	group      string
	connection net.Conn
	id         string
	generation int32
	leader     bool
	everybody  []string // of a leader
}

func (g *crowd) close() {
	for _, m := range g.members {
		m.connection.Close()
	}
}

// open finds the coordinator and connects the members. One that is not ready is asked again.
func (g *crowd) open(address string, n int) error {
	ctx, cancel := context.WithTimeout(g.ctx, patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defer client.Close()
	q := kmsg.NewPtrHeartbeatRequest() // the client looks for the coordinator, as long as it takes
	q.Group = g.name
	if _, err := q.RequestWith(ctx, client); err != nil {
		return fmt.Errorf("find the coordinator: %w", err)
	}
	for range n {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("connect a member: %w", err)
		}
		g.members = append(g.members, &member{group: g.name, connection: c})
	}
	return nil
}

// round has all members join, and the leader of before first: in a group that is stable
// only its joining begins a rebalance.
func (g *crowd) round() error {
	deadline := time.Now().Add(patience)
	joined, all := make(chan error, len(g.members)), []error(nil)
	begin := func(m *member) {
		go func() {
			err := m.connection.SetDeadline(deadline)
			if err == nil {
				err = m.join()
			}
			joined <- err
		}()
	}
	var first *member
	for _, m := range g.members {
		if m.leader {
			first = m
		}
	}
	if first != nil {
		begin(first)
		if err := g.begun(deadline, first); err != nil {
			return errors.Join(err, <-joined)
		}
	}
	for _, m := range g.members {
		if m != first {
			begin(m)
		}
	}
	for range g.members {
		all = append(all, <-joined)
	}
	return errors.Join(all...)
}

// begun waits until a member is told that a rebalance has begun.
func (g *crowd) begun(deadline time.Time, leader *member) error {
	m := g.members[0]
	if m == leader {
		m = g.members[1]
	}
	for time.Now().Before(deadline) {
		q := kmsg.NewPtrHeartbeatRequest()
		q.Version, q.Group, q.Generation, q.MemberID = 3, m.group, m.generation, m.id
		answer, err := peers.Exchange(m.connection, q)
		if err != nil {
			return fmt.Errorf("heartbeat: %w", err)
		}
		switch err := kerr.ErrorForCode(answer.(*kmsg.HeartbeatResponse).ErrorCode); {
		case errors.Is(err, kerr.RebalanceInProgress):
			return nil
		case err != nil:
			return fmt.Errorf("heartbeat: %w", err)
		}
	}
	return errors.New("the leader has joined again, and no rebalance begins")
}

// join goes from JoinGroup to the assignment.
func (m *member) join() error {
	q := kmsg.NewPtrJoinGroupRequest()
	q.Version, q.Group, q.ProtocolType = 5, m.group, "consumer"
	q.SessionTimeoutMillis, q.RebalanceTimeoutMillis = sessionMillis, sessionMillis
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name, protocol.Metadata = "range", subscription(m.group)
	q.Protocols = append(q.Protocols, protocol)
	for {
		q.MemberID = m.id
		got, err := peers.Exchange(m.connection, q)
		if err != nil {
			return err
		}
		answer := got.(*kmsg.JoinGroupResponse)
		err = kerr.ErrorForCode(answer.ErrorCode)
		if m.id = answer.MemberID; errors.Is(err, kerr.MemberIDRequired) {
			continue
		}
		if err != nil {
			return fmt.Errorf("join: %w", err)
		}
		m.generation, m.leader, m.everybody = answer.Generation, answer.LeaderID == m.id, nil
		for _, one := range answer.Members {
			m.everybody = append(m.everybody, one.MemberID)
		}
		// One who was late begins another rebalance: those who wait for their assignment join it.
		if err := m.sync(); !errors.Is(err, kerr.RebalanceInProgress) {
			return err
		}
	}
}

// sync gets the assignment; the leader gives everybody one.
func (m *member) sync() error {
	q := kmsg.NewPtrSyncGroupRequest()
	q.Version, q.Group, q.Generation, q.MemberID = 3, m.group, m.generation, m.id
	for _, id := range m.everybody {
		one := kmsg.NewSyncGroupRequestGroupAssignment()
		one.MemberID, one.MemberAssignment = id, make([]byte, assignmentSize)
		q.GroupAssignment = append(q.GroupAssignment, one)
	}
	got, err := peers.Exchange(m.connection, q)
	if err != nil {
		return err
	}
	answer := got.(*kmsg.SyncGroupResponse)
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	if len(answer.MemberAssignment) != assignmentSize {
		return fmt.Errorf("an assignment has %d bytes, and not the leader's %d", len(answer.MemberAssignment), assignmentSize)
	}
	return nil
}

// subscription is what a consumer of one topic says of itself.
func subscription(topic string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Topics = []string{topic}
	return m.AppendTo(nil)
}
