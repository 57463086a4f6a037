package group

import "fmt"

// Check reports which invariant does not hold. It is for tests and simulators.
func (c *Coordinator) Check() error {
	set, promised, open := 0, 0, 0
	for _, g := range c.sorted() {
		promised += len(g.pending)
		if err := g.check(); err != nil {
			return fmt.Errorf("group %q, %s, generation %d: %w", g.name, g.state, g.generation, err)
		}
		set += g.deadlinesSet()
	}
	if set != len(c.deadlines.heap) {
		return fmt.Errorf("%d deadlines are set and %d are known to groups", len(c.deadlines.heap), set)
	}
	for i, d := range c.deadlines.heap {
		if d.slot != i+1 || i > 0 && c.deadlines.Less(i, (i-1)/2) {
			return fmt.Errorf("deadline %d is out of place", i)
		}
	}
	for _, w := range c.writes {
		if w.ended {
			return fmt.Errorf("append %d has ended and still waits", w.sequence)
		}
	}
	for _, p := range c.promises {
		if p.open() {
			open++
		}
	}
	if c.closed == nil && (promised != c.promised || open != promised) {
		return fmt.Errorf("%d member ids are given out, %d are counted, %d are in order", promised, c.promised, open)
	}
	return c.checkPending()
}

// checkPending compares the offsets that wait for their transactions with what the groups count:
// no less, for those on their way are counted, too.
func (c *Coordinator) checkPending() error {
	counts := map[spot]int32{}
	for producer, all := range c.pending {
		if all.size() == 0 || len(all.few) > fewWaits {
			return fmt.Errorf("producer %d waits with %d offsets, %d of them few", producer, all.size(), len(all.few))
		}
		for at, w := range all.each {
			counts[at] += w.count
		}
	}
	for _, g := range c.sorted() {
		for _, t := range g.sortedTopics() {
			for _, p := range t.sorted() {
				at := spot{g.name, t, p}
				if n := counts[at]; n > t.partitions[p].pending {
					return fmt.Errorf("offset of group %q for %s-%d has %d records of transactions, %d wait", g.name, t.name, p, t.partitions[p].pending, n)
				}
				delete(counts, at)
			}
		}
	}
	if len(counts) > 0 {
		return fmt.Errorf("%d offsets wait that no group has", len(counts))
	}
	return nil
}

func (g *group) deadlinesSet() int {
	n := 0
	for _, d := range []*deadline{&g.join, &g.sync, &g.expiry} {
		if d.set() {
			n++
		}
	}
	for _, m := range g.members {
		if m.session.set() {
			n++
		}
	}
	if g.consumer != nil {
		n += g.consumer.deadlinesSet()
	}
	return n + len(g.pending)
}

func (g *group) check() error {
	for _, f := range []func() error{g.checkCounts, g.checkState, g.checkOffsets, g.checkConsumer} {
		if err := f(); err != nil {
			return err
		}
	}
	for _, m := range g.members {
		if err := g.checkMember(m); err != nil {
			return fmt.Errorf("member %q: %w", m.id, err)
		}
	}
	return nil
}

func (g *group) checkCounts() error {
	joining, unsynced, static, weight, voters := 0, 0, 0, 0, map[string]int{}
	for _, m := range g.members {
		if m.join != nil {
			joining++
		}
		if m.unsynced {
			unsynced++
		}
		if m.instance != nil {
			static++
		}
		for _, p := range m.protocols {
			voters[p.name]++
			weight += len(p.name) + len(p.metadata)
		}
	}
	if joining != g.joining || unsynced != g.unsynced || static != len(g.static) || len(g.members) != len(g.byID) {
		return fmt.Errorf("counted %d joining, %d unsynced, %d static of %d; noted %d, %d, %d, %d",
			joining, unsynced, static, len(g.members), g.joining, g.unsynced, len(g.static), len(g.byID))
	}
	if weight != g.weight {
		return fmt.Errorf("members say %d bytes, noted %d", weight, g.weight)
	}
	if len(voters) != len(g.voters) {
		return fmt.Errorf("counted %d protocols, noted %d", len(voters), len(g.voters))
	}
	for name, n := range voters {
		if g.voters[name] != n {
			return fmt.Errorf("counted %d voters for %q, noted %d", n, name, g.voters[name])
		}
	}
	return nil
}

func (g *group) checkState() error {
	if g.consumer != nil {
		return nil // checkConsumer
	}
	inGeneration := g.state == completing || g.state == stable
	switch {
	case g.state == empty && len(g.members) > 0:
		return fmt.Errorf("empty with %d members", len(g.members))
	case inGeneration && (len(g.members) == 0 || g.protocol == nil):
		return fmt.Errorf("in a generation of %d members, protocol chosen: %t", len(g.members), g.protocol != nil)
	case len(g.members) > 0 && g.byID[g.leader] == nil:
		return fmt.Errorf("led by %q, who is no member", g.leader)
	case g.state == preparing != g.join.set():
		return fmt.Errorf("deadline of joining is set: %t", g.join.set())
	case g.unsynced > 0 && (!inGeneration || !g.sync.set()):
		return fmt.Errorf("%d owe SyncGroup, with a deadline: %t", g.unsynced, g.sync.set())
	case g.unsynced == 0 && g.sync.set():
		return fmt.Errorf("nobody owes SyncGroup before the deadline")
	case g.state == completing && g.unsynced == 0 && len(g.c.writes) == 0:
		return fmt.Errorf("everybody has sent SyncGroup and nothing is being written")
	}
	return nil
}

func (g *group) checkMember(m *member) error {
	switch {
	case g.byID[m.id] != m || m.instance != nil && g.static[*m.instance] != m:
		return fmt.Errorf("cannot be found by its id")
	case m.join != nil && m.sync != nil:
		return fmt.Errorf("waits to join and to sync")
	case m.sync != nil && g.state != completing:
		return fmt.Errorf("waits to sync")
	case !m.session.set() && m.join == nil && m.sync == nil:
		return fmt.Errorf("would live for ever")
	case g.pending[m.id] != nil:
		return fmt.Errorf("is also pending")
	}
	if _, ok := m.supports(or(deref(g.protocol), m.protocols[0].name)); !ok && g.state != preparing {
		return fmt.Errorf("does not support the protocol %q", *g.protocol)
	}
	return nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (g *group) checkOffsets() error {
	for _, t := range g.sortedTopics() {
		if len(t.partitions) == 0 {
			return fmt.Errorf("topic %q without partitions", t.name)
		}
		for _, p := range t.sorted() {
			e := t.partitions[p]
			if e.inflight < 0 || e.inflight == 0 && e.value == nil {
				return fmt.Errorf("offset of %s-%d is nothing, with %d records on their way", t.name, p, e.inflight)
			}
			if e.pending < 0 || e.pending > e.inflight {
				return fmt.Errorf("offset of %s-%d has %d records on their way, %d of transactions", t.name, p, e.inflight, e.pending)
			}
			if e.inflight > e.pending && g.c.loaded && len(g.c.writes) == 0 {
				return fmt.Errorf("offset of %s-%d waits for %d records that nobody writes", t.name, p, e.inflight)
			}
		}
	}
	return nil
}
