package group

import (
	"bytes"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Sync answers a SyncGroup with the member's assignment: a follower waits until the
// leader has sent them all, and everybody until they are in the log.
func (c *Coordinator) Sync(now time.Time, q *kmsg.SyncGroupRequest, reply func(*kmsg.SyncGroupResponse)) {
	if err := c.refusalOf(q.Group); err != nil {
		reply(syncError(err))
		return
	}
	if q.Version >= 5 && (q.ProtocolType == nil || q.Protocol == nil) {
		reply(syncError(kerr.InconsistentGroupProtocol))
		return
	}
	g := c.groups[q.Group]
	if g == nil {
		reply(syncError(kerr.UnknownMemberID))
		return
	}
	if g.consumer != nil {
		g.syncConsumer(now.UnixMilli(), q, reply)
		return
	}
	m, err := g.validateSync(q)
	if err != nil {
		reply(syncError(err))
		return
	}
	g.synced(m)
	if g.state == stable {
		reply(g.assigned(m))
		return
	}
	g.answerSync(m, syncError(kerr.RebalanceInProgress)) // one that it sent before and gave up
	m.sync = reply
	// A leader that sends its assignment again waits for the first one: two could differ.
	if g.leader == m.id && g.assigning != g.generation {
		g.assign(now.UnixMilli(), q)
	}
}

func (g *group) validateSync(q *kmsg.SyncGroupRequest) (*member, *kerr.Error) {
	m, err := g.find(q.MemberID, q.InstanceID)
	switch {
	case err != nil:
		return nil, err
	case q.Generation != g.generation:
		return nil, kerr.IllegalGeneration
	case differs(q.ProtocolType, &g.protocolType) || differs(q.Protocol, g.protocol):
		return nil, kerr.InconsistentGroupProtocol
	case g.state == preparing:
		return nil, kerr.RebalanceInProgress
	}
	return m, nil
}

func differs(asked, has *string) bool { return asked != nil && has != nil && *asked != *has }

// assign stores what the leader decided and, once it is stored, tells the members.
func (g *group) assign(now int64, q *kmsg.SyncGroupRequest) {
	assignments := make(map[string][]byte, len(q.GroupAssignment))
	for i := range q.GroupAssignment {
		a := &q.GroupAssignment[i]
		assignments[a.MemberID] = bytes.Clone(a.MemberAssignment)
	}
	generation := g.generation
	g.assigning = generation
	g.store(g.metadata(assignments), func(err error) {
		if g.state != completing || g.generation != generation {
			return // overtaken by another rebalance
		}
		if err != nil {
			g.assigning = none
			g.propagate(now, nil, asError(err))
			g.prepareRebalance(now)
			return
		}
		g.propagate(now, assignments, nil)
		g.become(now, stable)
		g.expireBy(now + g.c.checkInterval)
	})
}
