package group

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// rebalanceOrComplete begins a rebalance, or ends the one under way if everybody is there.
func (g *group) rebalanceOrComplete(now int64) {
	if g.state == preparing {
		g.completeJoin(now)
		return
	}
	g.prepareRebalance(now)
}

// prepareRebalance calls all members to join again. It ends once they all have; or after
// the rebalance timeout, without those who have not.
func (g *group) prepareRebalance(now int64) {
	if g.state == completing {
		g.propagate(now, nil, kerr.RebalanceInProgress)
	}
	g.endSync()
	first := g.state == empty
	g.become(now, preparing)
	switch {
	case first:
		// The group has just begun: give the others time to come, since each who
		// comes later costs everybody another rebalance.
		delay := g.c.initialDelay
		g.waitForMore(now, delay, max(g.rebalanceTimeout()-delay, 0))
	case g.allJoined():
		g.complete(now)
	default:
		g.completeBy(now + g.rebalanceTimeout())
	}
}

// waitForMore holds the first rebalance for delay, again as long as new members came
// meanwhile and some of the rebalance timeout remains.
func (g *group) waitForMore(now, delay, remaining int64) {
	g.join.fire = func(now int64) {
		if !g.moreCame || remaining == 0 {
			g.complete(now)
			return
		}
		g.moreCame = false
		g.waitForMore(now, min(g.c.initialDelay, remaining), max(remaining-delay, 0))
	}
	g.c.deadlines.move(&g.join, now+delay)
}

func (g *group) completeBy(at int64) {
	g.join.fire = g.complete
	g.c.deadlines.move(&g.join, at)
}

// completeJoin ends a rebalance in which everybody is there, unless it is the first,
// which ends by time alone.
func (g *group) completeJoin(now int64) {
	if g.previous != empty {
		g.completeIfAllJoined(now)
	}
}

func (g *group) completeIfAllJoined(now int64) {
	if g.state == preparing && g.allJoined() {
		g.complete(now)
	}
}

// complete ends the joining: who has not come is out, unless it is static and may come
// back before its session ends. The others learn of their generation.
func (g *group) complete(now int64) {
	g.c.deadlines.clear(&g.join)
	for i := len(g.members) - 1; i >= 0; i-- {
		if m := g.members[i]; m.join == nil && m.instance == nil {
			g.remove(m)
		}
	}
	if len(g.members) > 0 && !g.electLeader() {
		// Only static members are left and none of them came: try again until the ends
		// of their sessions take them out.
		g.completeBy(now + g.rebalanceTimeout())
		return
	}
	g.generation++
	g.moreCame = false
	if len(g.members) == 0 {
		g.protocol = nil
		g.leader = ""
		g.become(now, empty)
		g.subscribed = g.subscriptions()
		g.expireAfterEmpty(now)
		// When this cannot be written, a restart brings back the last generation, whose
		// members are gone and time out.
		g.store(g.metadata(nil), func(error) {})
		return
	}
	name := g.vote()
	g.protocol = &name
	g.become(now, completing)
	g.subscribed = g.subscriptions()
	for _, m := range g.members {
		g.answerJoin(m, g.welcome(m, g.leader == m.id))
		g.touch(now, m)
		m.fresh = false
		g.setUnsynced(m)
	}
	g.sync.fire = g.expireSync
	g.c.deadlines.move(&g.sync, now+g.rebalanceTimeout())
}

// electLeader makes sure that the leader is one who came; it reports whether anybody did.
func (g *group) electLeader() bool {
	if m := g.byID[g.leader]; m != nil && m.join != nil {
		return true
	}
	for _, m := range g.members {
		if m.join != nil {
			g.leader = m.id
			return true
		}
	}
	return false
}

// endSync forgets who owes a SyncGroup.
func (g *group) endSync() {
	g.c.deadlines.clear(&g.sync)
	for _, m := range g.members {
		g.setSynced(m)
	}
}

// synced notes that m has sent its SyncGroup.
func (g *group) synced(m *member) {
	if g.setSynced(m); g.unsynced == 0 {
		g.c.deadlines.clear(&g.sync)
	}
}

// expireSync removes those who joined and then never asked for their assignment.
func (g *group) expireSync(now int64) {
	for i := len(g.members) - 1; i >= 0; i-- {
		if m := g.members[i]; m.unsynced {
			g.remove(m)
		}
	}
	g.prepareRebalance(now)
}

// propagate gives every member its assignment, none when assignments is nil, and answers
// those who wait for it.
func (g *group) propagate(now int64, assignments map[string][]byte, err *kerr.Error) {
	for _, m := range g.members {
		m.assignment = notNil(assignments[m.id])
		r := syncError(err)
		if err == nil {
			r = g.assigned(m)
		}
		if g.answerSync(m, r) {
			g.touch(now, m) // the end of its session did not count while it waited
		}
	}
}

func (g *group) assigned(m *member) *kmsg.SyncGroupResponse {
	r := syncError(nil)
	protocolType := g.protocolType
	r.ProtocolType, r.Protocol, r.MemberAssignment = &protocolType, g.protocol, m.assignment
	return r
}

func syncError(err *kerr.Error) *kmsg.SyncGroupResponse {
	r := kmsg.NewPtrSyncGroupResponse()
	r.ErrorCode, r.MemberAssignment = code(err), []byte{}
	return r
}
