package group

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/group/assign"
	"github.com/millrace/millrace/engine/group/record"
)

// A consumer group is a group of KIP-848: the coordinator itself decides who reads what,
// and brings each member there step by step with its heartbeats.
//
//	subscriptions, topics ──▶ group epoch ──▶ target assignment ──▶ what each member has
//	                          +1 at a change   for that epoch        epoch of the member
//
//	  settled ──target moved on──▶ unrevoked ──member gave up the rest──▶ settled
//	     └─────────────────────▶ unreleased: waits for what others still have ──▶ settled
//
// A partition is given to a member only when nobody else has it, so at no time do two
// members have one partition. What was decided is in memory at once and answered once it
// is in the log. If it cannot be written, the whole group is written with the next
// change, and until then nobody is told anything of it.

// memberState is where a member stands on its way to its target; the numbers are Kafka's.
type memberState int8

const (
	settled    memberState = 0 // has its target
	unrevoked  memberState = 1 // has to give partitions up first
	unreleased memberState = 2 // waits for partitions that others have
)

// Member epochs that mean something else in a request; leftStatic is also the epoch of a
// static member that said it would come back.
const (
	joining    = 0
	leaving    = -1
	leftStatic = -2
)

// profile is what a member says of itself. It is compared and copied as a whole.
type profile struct {
	instance, rack   *string
	client           Client
	topics           []string // subscribed by name, sorted
	pattern          *string  // and by regular expression
	rebalanceTimeout int64
	assignor         *string
	classic          *record.Classic // nil: uses the consumer protocol
}

func (p *profile) equal(q *profile) bool {
	return same(p.instance, q.instance) && same(p.rack, q.rack) && p.client == q.client &&
		p.subscribesAs(q) && p.rebalanceTimeout == q.rebalanceTimeout && same(p.assignor, q.assignor) &&
		sameClassic(p.classic, q.classic)
}

func (p *profile) subscribesAs(q *profile) bool {
	return slices.Equal(p.topics, q.topics) && or(deref(p.pattern), "") == or(deref(q.pattern), "")
}

func same(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

func sameClassic(a, b *record.Classic) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.SessionTimeoutMillis == b.SessionTimeoutMillis && slices.EqualFunc(a.Protocols, b.Protocols, func(x, y record.Protocol) bool {
		return x.Name == y.Name && string(x.Metadata) == string(y.Metadata)
	})
}

// holding is what a member has. It is compared and copied as a whole.
type holding struct {
	epoch, previous    int32
	state              memberState
	assigned, revoking assign.Assignment
}

func (h *holding) equal(k *holding) bool {
	return h.epoch == k.epoch && h.previous == k.previous && h.state == k.state &&
		h.assigned.Same(k.assigned) && h.revoking.Same(k.revoking)
}

// consumer is one member of a consumer group.
type consumer struct {
	id string
	profile
	holding
	target assign.Assignment
	fresh  bool // nothing of it was written yet
	untold bool // an answer with its assignment came to nothing

	session deadline
	// rebalance is by when the member must have given up what it has to, or, if it uses
	// the classic protocol, must have joined again.
	rebalance deadline
	// sync is by when a classic member must have asked for its assignment.
	sync deadline
}

// consumerGroup is what a group has more when it is a consumer group.
type consumerGroup struct {
	members  map[string]*consumer
	static   map[string]*consumer // by group.instance.id
	names    []wanted             // the topics that members subscribe to by name, in order
	patterns map[string]*pattern  // the subscribed regular expressions
	owners   map[place]*consumer  // who has a partition

	epoch           int32 // of the group: counts what changed about members and topics
	assignmentEpoch int32 // the epoch of the group that the target is for
	assignedAt      int64 // when the target was decided, milliseconds; 0: not known
	hash            int64 // of the subscribed topics, as they were at epoch
	picture         uint64
	classics        int  // members that use the classic protocol
	unsettled       int  // members that have not reached the target
	doubtful        bool // the log missed something: the target is decided anew

	written *write // latest write about members
	logged  bool   // something of it is in the log, or on its way there
}

// place is one partition of a topic.
type place struct {
	id        assign.ID
	partition int32
}

func newConsumerGroup() *consumerGroup {
	return &consumerGroup{members: map[string]*consumer{}, owners: map[place]*consumer{}}
}

// sorted returns the members by id: no result may depend on the order of a map.
func (cg *consumerGroup) sorted() []*consumer {
	all := make([]*consumer, 0, len(cg.members))
	for _, m := range cg.members {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *consumer) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	return all
}

func (cg *consumerGroup) isSettled(m *consumer) bool {
	return m.state == settled && m.epoch == cg.assignmentEpoch
}

// add takes a member in, with what it says of itself and what it has.
func (cg *consumerGroup) add(m *consumer) {
	cg.members[m.id] = m
	cg.describe(m, 1)
	cg.own(m, m)
	if !cg.isSettled(m) {
		cg.unsettled++
	}
}

// remove forgets a member and frees what it had.
func (cg *consumerGroup) remove(m *consumer) {
	if !cg.isSettled(m) {
		cg.unsettled--
	}
	cg.own(m, nil)
	cg.describe(m, -1)
	delete(cg.members, m.id)
}

// describe counts what a member says of itself, or takes it away.
func (cg *consumerGroup) describe(m *consumer, by int) {
	if m.classic != nil {
		cg.classics += by
	}
	if m.instance != nil {
		if cg.static == nil {
			cg.static = map[string]*consumer{}
		}
		if by > 0 {
			cg.static[*m.instance] = m
		} else if cg.static[*m.instance] == m {
			delete(cg.static, *m.instance)
		}
	}
	cg.want(m.topics, by)
	cg.countPattern(m.pattern, by)
}

// wanted is a topic and how many members want it.
type wanted struct {
	name    string
	members int
}

func (w wanted) compare(name string) int { return strings.Compare(w.name, name) }

func (cg *consumerGroup) find(name string) (int, bool) {
	return slices.BinarySearchFunc(cg.names, name, wanted.compare)
}

// want counts a member that wants topics, or one that no longer does: all of them in one pass, for a member may name
// hundreds of thousands.
func (cg *consumerGroup) want(topics []string, by int) {
	known, gone := len(cg.names), false
	for _, name := range topics {
		if i, ok := slices.BinarySearchFunc(cg.names[:known], name, wanted.compare); ok {
			cg.names[i].members += by
			gone = gone || cg.names[i].members == 0
		} else {
			cg.names = append(cg.names, wanted{name, by})
		}
	}
	if len(cg.names) > known {
		slices.SortFunc(cg.names, func(a, b wanted) int { return a.compare(b.name) })
		last := 0
		for _, w := range cg.names[1:] { // what is named twice counts twice
			if w.name == cg.names[last].name {
				cg.names[last].members += w.members
				continue
			}
			last++
			cg.names[last] = w
		}
		clear(cg.names[last+1:])
		cg.names = cg.names[:last+1]
	}
	if gone {
		cg.names = slices.DeleteFunc(cg.names, func(w wanted) bool { return w.members == 0 })
	}
}

// own notes who has the partitions of m: m itself, or nobody.
func (cg *consumerGroup) own(m, owner *consumer) {
	for _, a := range []assign.Assignment{m.assigned, m.revoking} {
		for i := range a {
			for _, p := range a[i].Partitions {
				at := place{a[i].ID, p}
				if owner != nil {
					cg.owners[at] = owner
				} else if cg.owners[at] == m {
					delete(cg.owners, at)
				}
			}
		}
	}
}

// setProfile replaces what is known of a member.
func (cg *consumerGroup) setProfile(m *consumer, p profile) {
	cg.describe(m, -1)
	m.profile = p
	cg.describe(m, 1)
}

// setHolding replaces what a member has.
func (cg *consumerGroup) setHolding(m *consumer, h holding) {
	if !cg.isSettled(m) {
		cg.unsettled--
	}
	cg.own(m, nil)
	m.holding = h
	cg.own(m, m)
	if !cg.isSettled(m) {
		cg.unsettled++
	}
}

// recount counts the members that have not reached the target, after it moved on.
func (cg *consumerGroup) recount() {
	cg.unsettled = 0
	for _, m := range cg.members {
		if !cg.isSettled(m) {
			cg.unsettled++
		}
	}
}

// state is the state of the group, in Kafka's words.
func (cg *consumerGroup) state() state {
	switch {
	case len(cg.members) == 0:
		return empty
	case cg.epoch > cg.assignmentEpoch:
		return assigning
	case cg.unsettled > 0:
		return reconciling
	}
	return stable
}

// subscribes reports whether any member wants a topic.
func (cg *consumerGroup) subscribes(topic string) bool {
	if _, ok := cg.find(topic); ok {
		return true
	}
	for _, p := range cg.patterns {
		if _, ok := slices.BinarySearch(p.topics, topic); ok {
			return true
		}
	}
	return false
}

// forgetDeadlines clears what a member could be late for.
func (c *Coordinator) forgetDeadlines(m *consumer) {
	for _, d := range []*deadline{&m.session, &m.rebalance, &m.sync} {
		c.deadlines.clear(d)
	}
}
