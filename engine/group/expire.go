package group

import (
	"math"
	"slices"
)

// Offsets end with their use. Those of a group with members are kept as long as somebody
// subscribes to the topic; those of an empty group for the retention time after its last
// member left; those of a group that never had members for that time after the commit.
//
// A group has one deadline, no later than its first offset may expire. Only then are its
// offsets looked through, and at most once per check interval: nothing is scanned as
// time passes, and a commit that renews an offset costs nothing.

// base returns the time from which the retention of an offset counts; ok is false while
// nothing of the group expires.
func (g *group) base(v *committed) (at int64, ok bool) {
	switch {
	case g.consumer != nil && g.state == empty:
		return max(v.at, g.since), true
	case g.protocolType == "" || g.consumer != nil:
		return v.at, true
	case g.state == empty && g.since >= 0:
		return g.since, true
	case g.state == empty:
		return v.at, true
	case g.state == stable && g.subscribed != nil:
		return v.at, true
	}
	return 0, false
}

// expiryOf returns when an offset expires as things are; never is math.MaxInt64.
func (g *group) expiryOf(v *committed) int64 {
	at, ok := g.base(v)
	switch {
	case !ok:
		return math.MaxInt64
	case v.expire >= 0:
		return v.expire
	}
	return at + g.c.retention
}

// expireBy makes sure that the group is looked at by the given time.
func (g *group) expireBy(at int64) {
	if !g.expiry.set() || at < g.expiry.at {
		g.c.deadlines.move(&g.expiry, at)
	}
}

// expireAfterEmpty is expireBy for a group that lost its last member: it goes away with
// its offsets, and soon if it has none.
func (g *group) expireAfterEmpty(now int64) {
	if len(g.offsets) == 0 {
		g.expireBy(now + g.c.checkInterval)
		return
	}
	g.expireBy(now + max(g.c.retention, g.c.checkInterval))
}

// expireChanged is expireBy for offsets that were just committed.
func (g *group) expireChanged(changes []change) {
	first := int64(math.MaxInt64)
	for i := range changes {
		if v := changes[i].value; v != nil {
			first = min(first, g.expiryOf(v))
		}
	}
	if first < math.MaxInt64 {
		g.expireBy(first)
	}
}

// expire writes tombstones for the offsets whose time is over, and for the group once
// nothing of it is left.
func (g *group) expire(now int64) {
	var over []change
	next, kept := int64(math.MaxInt64), 0
	for _, t := range g.sortedTopics() {
		used := g.subscribes(t.name)
		for _, p := range t.sorted() {
			e := t.partitions[p]
			at := int64(math.MaxInt64)
			if e.value != nil && e.inflight == 0 && !used {
				at = g.expiryOf(e.value)
			}
			if at <= now {
				over = append(over, change{t.name, p, nil})
				continue
			}
			kept++
			if next = min(next, at); e.inflight > 0 {
				next = now
			}
		}
	}
	if kept > 0 && next < math.MaxInt64 {
		g.expireBy(max(next, now+g.c.checkInterval))
	}
	if kept == 0 && g.state == empty {
		g.expireBy(now + g.c.checkInterval) // in case a member or a failed write comes between
		g.erase(over, func(error) {})
		return
	}
	if len(over) > 0 {
		g.appendChanges(over, nil, func(error) { g.expireBy(now + g.c.checkInterval) })
	}
}

// erase writes tombstones for the given offsets and for the group itself, which is gone
// once they are in the log, unless a member joined it meanwhile.
func (g *group) erase(over []change, done func(error)) {
	if len(g.pending) > 0 || g.deleting {
		done(nil)
		return
	}
	if len(over) == 0 && g.stored == 0 && (g.consumer == nil || !g.consumer.logged) && g.damage == nil {
		g.c.drop(g)
		done(nil)
		return
	}
	g.appendTombstones(over, done)
}

// appendTombstones appends the tombstone of the group behind those of its offsets.
func (g *group) appendTombstones(over []change, done func(error)) {
	g.deleting = true
	var until uint64
	tail := []Record{{Key: g.metadataKey()}}
	if g.consumer != nil {
		t := &turn{g: g}
		t.eraseConsumer()
		if tail = t.records; g.stored > 0 {
			tail = append(tail, Record{Key: g.metadataKey()})
		}
	}
	if g.damage != nil {
		tail = append(slices.Clone(g.damage.gone), tail...)
	}
	g.appendChanges(over, tail, func(err error) {
		g.deleting = false
		if err == nil {
			g.erased(until)
		}
		if g.c.closed == nil {
			g.c.dropIfBare(g)
		}
		done(err)
	})
	until = g.last.sequence
}

// erased leaves of a group whose records are gone what came after them.
func (g *group) erased(until uint64) {
	if cg := g.consumer; cg != nil {
		if cg.written == nil || cg.written.sequence < until {
			g.consumer, g.damage, g.protocolType = nil, nil, ""
		}
		return
	}
	if g.damage != nil && g.damage.since < until {
		g.damage = nil
	}
	if g.stored < until {
		g.stored = 0
		g.beSimple()
	}
}

// beSimple leaves of a group that was deleted what came after: offsets without members.
func (g *group) beSimple() {
	if g.state == empty {
		g.protocolType, g.generation, g.assigning, g.subscribed = "", 0, none, nil
	}
}
