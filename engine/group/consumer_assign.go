package group

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/group/assign"
)

func text32(v int32) string { return strconv.Itoa(int(v)) }

// refresh begins a new epoch when a subscription or the topics changed, and decides the
// target of the group's epoch unless the last decision is too young: when many members
// come at once, one decision serves them all.
func (t *turn) refresh(changed bool) {
	cg, c := t.g.consumer, t.g.c
	if changed || cg.picture != c.pictures {
		matched := t.matchPatterns()
		if hash := t.hashOf(cg.subscribed()); hash != cg.hash || cg.doubtful {
			cg.hash, changed = hash, true
		}
		if matched {
			cg.picture = c.pictures
		}
		if changed {
			t.bump()
		}
	}
	if cg.epoch > cg.assignmentEpoch && (cg.assignedAt == 0 || t.now >= cg.assignedAt+t.g.assignmentInterval()) {
		t.assign()
	}
}

// assign decides the target assignment of the group's epoch.
func (t *turn) assign() {
	cg := t.g.consumer
	members := cg.sorted()
	sources, index := t.sources()
	in := &assign.Group{Topics: sources, Members: make([]assign.Member, len(members))}
	for i, m := range members {
		in.Members[i] = assign.Member{ID: m.id, Instance: m.instance, Topics: cg.wants(m, index), Had: m.target}
	}
	for i, target := range assign.Named(t.g.assignor())(in) {
		m := members[i]
		if !target.Same(m.target) {
			t.setTarget(m, target)
		}
	}
	cg.assignmentEpoch, cg.assignedAt, cg.doubtful = cg.epoch, t.now, false
	cg.recount()
	t.writeAssignmentEpoch()
}

// assignor is what most members ask for that ask for any, the one that the broker would
// choose first among equals, and that one too when nobody asks.
func (g *group) assignor() string {
	votes := map[string]int{}
	for _, m := range g.consumer.members {
		if m.assignor != nil && m.classic == nil {
			votes[*m.assignor]++
		}
	}
	best := g.c.assignors[0]
	for _, name := range g.c.assignors {
		if votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// reconcile brings a member as near to its target as it can get now: first it gives up
// what it shall not have; once it has, it gets what nobody else has.
func (t *turn) reconcile(m *consumer, owned assign.Assignment, told bool) {
	cg := t.g.consumer
	stale := cg.epoch > cg.assignmentEpoch
	switch {
	case m.state == settled && m.epoch == cg.assignmentEpoch && !stale:
		return
	case m.state == unrevoked && !stale && t.stillHas(m.revoking, owned, told):
		if !m.rebalance.set() {
			t.mindRebalance(m) // it was a classic member until this heartbeat, and had no time limit of this kind
		}
		return
	}
	target := m.target
	if stale {
		// It may have given topics up, and the next target will not have them.
		target = target.Keep(func(id assign.ID, _ int32) bool { return t.wantsTopic(m, id) })
	}
	next := t.next(m, target, owned, told)
	if !next.equal(&m.holding) {
		t.setHolding(m, next)
	}
	t.mindRebalance(m)
}

func (t *turn) stillHas(revoking, owned assign.Assignment, told bool) bool {
	return !told || len(owned.And(revoking)) > 0
}

// next is what the member has after this step.
func (t *turn) next(m *consumer, target, owned assign.Assignment, told bool) holding {
	cg := t.g.consumer
	kept := m.assigned.And(target)
	giveUp := m.assigned.Minus(target)
	if m.state == unrevoked && t.stillHas(m.revoking, owned, told) {
		giveUp = m.revoking.Plus(giveUp)
	}
	if len(giveUp) > 0 && t.stillHas(giveUp, owned, told) {
		return holding{m.epoch, m.previous, unrevoked, kept, giveUp}
	}
	missing := target.Minus(kept)
	free := missing.Keep(func(id assign.ID, p int32) bool {
		owner := cg.owners[place{id, p}]
		return owner == nil || owner == m
	})
	state := settled
	if free.Count() < missing.Count() {
		state = unreleased
	}
	previous := m.previous // that of an answer which may be lost
	if m.epoch != cg.assignmentEpoch {
		previous = m.epoch
	}
	return holding{cg.assignmentEpoch, previous, state, kept.Plus(free.Since(cg.assignmentEpoch)), nil}
}

// mindRebalance gives a member that has to give something up its rebalance timeout for
// it. Classic members have their own time limits.
func (t *turn) mindRebalance(m *consumer) {
	if m.classic != nil {
		return
	}
	if m.state != unrevoked {
		t.g.c.deadlines.clear(&m.rebalance)
		return
	}
	m.rebalance.fire = func(now int64) { t.g.fence(now, m) }
	t.g.c.deadlines.move(&m.rebalance, t.now+max(m.rebalanceTimeout, 1))
}

// waitsForOthers reports whether partitions that a member shall get are still somebody's.
func (g *group) waitsForOthers(m *consumer) bool {
	missing := m.target.Minus(m.assigned)
	return m.state == unreleased && len(missing.Keep(func(id assign.ID, p int32) bool {
		owner := g.consumer.owners[place{id, p}]
		return owner != nil && owner != m
	})) > 0
}

// touchConsumer begins the session of a member again.
func (g *group) touchConsumer(now int64, m *consumer) {
	if m.session.fire == nil {
		m.session.fire = func(now int64) { g.fence(now, m) }
	}
	g.c.deadlines.move(&m.session, now+g.sessionOf(m))
}

func (g *group) sessionOf(m *consumer) int64 {
	if m.classic != nil {
		return max(int64(m.classic.SessionTimeoutMillis), 1)
	}
	return g.c.within(g.c.cluster.Settings(g.name).Session.Milliseconds(), g.c.consumerSession)
}

func (g *group) heartbeatInterval() int64 {
	return g.c.within(g.c.cluster.Settings(g.name).Heartbeat.Milliseconds(), g.c.consumerHeartbeat)
}

func (g *group) assignmentInterval() int64 {
	given := g.c.cluster.Settings(g.name).AssignmentInterval
	if given < 0 {
		return max(g.c.assignmentInterval.min, 0)
	}
	return g.c.within(given.Milliseconds(), g.c.assignmentInterval)
}

// within is what was given, or the default, between the broker's limits.
func (c *Coordinator) within(given int64, b bounds) int64 {
	return min(max(or(given, b.value), b.min), b.max)
}

// fence takes a member out that is late; it is told that nobody knows it.
func (g *group) fence(now int64, m *consumer) {
	if g.consumer == nil || g.consumer.members[m.id] != m {
		return
	}
	t := &turn{g: g, now: now}
	t.depart([]*consumer{m}, func(*kerr.Error) {})
	if g.c.closed == nil {
		g.c.dropIfBare(g)
	}
}
