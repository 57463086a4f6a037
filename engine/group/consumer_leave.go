package group

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// leave answers a heartbeat by which a member goes: for good, or, if it is static, until
// it is back within its session.
func (b *beat) leave(c *Coordinator) {
	g := c.groups[b.q.Group]
	if g == nil || g.consumer == nil {
		b.refuse(refuse(kerr.GroupIDNotFound, "Group "+b.q.Group+" not found."))
		return
	}
	b.g = g
	m, err := b.leaver()
	if err != nil {
		b.refuse(err)
		return
	}
	r := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	id := m.id
	r.MemberID, r.MemberEpoch = &id, b.q.MemberEpoch
	done := func(err *kerr.Error) {
		if err != nil {
			b.refuse(refuse(err, ""))
			return
		}
		b.reply(r)
	}
	if b.q.MemberEpoch == leftStatic {
		c.deadlines.clear(&m.rebalance)
		b.setHolding(m, holding{leftStatic, m.previous, m.state, m.assigned, nil})
		b.end(done)
		return
	}
	b.depart([]*consumer{m}, done)
}

func (b *beat) leaver() (*consumer, *refused) {
	cg := b.g.consumer
	if b.q.InstanceID == nil {
		if m := cg.members[b.id]; m != nil {
			return m, nil
		}
		return nil, refuse(kerr.UnknownMemberID, "Member "+b.id+" is not a member of group "+b.g.name+".")
	}
	m := cg.static[*b.q.InstanceID]
	switch {
	case m == nil:
		return nil, refuse(kerr.UnknownMemberID, "Instance id "+*b.q.InstanceID+" is unknown.")
	case m.id != b.id:
		return nil, refuse(kerr.FencedInstanceID, "Static member "+b.id+" with instance id "+*b.q.InstanceID+" was fenced by member "+m.id+".")
	}
	return m, nil
}

// depart takes members out. The others learn of their new targets with their heartbeats;
// if all of them use the classic protocol, the group becomes a classic one again.
func (t *turn) depart(leaving []*consumer, done func(*kerr.Error)) {
	g := t.g
	for _, m := range leaving {
		t.removeMember(m)
	}
	if g.downgradable() {
		t.downgrade()
		t.end(done)
		g.prepareRebalance(t.now)
		return
	}
	t.matchPatterns()
	g.consumer.hash = t.hashOf(g.consumer.subscribed())
	t.bump()
	t.end(done)
}
