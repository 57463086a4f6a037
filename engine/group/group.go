package group

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type state int8

const (
	empty state = iota
	preparing
	completing
	stable
	dead // only once the coordinator is closed

	// Of consumer groups alone, which are also empty, stable and dead.
	assigning
	reconciling
)

var stateNames = [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Assigning", "Reconciling"}

func (s state) String() string { return stateNames[s] }

// none is a generation that no group is in.
const none = -1

// consumerType is the one protocol type whose metadata is looked into, for the topics
// that the members subscribe to. Every other type, such as Connect's, is opaque.
const consumerType = "consumer"

// group is one group: a classic one, or a consumer group. One without a protocol type only
// holds offsets.
type group struct {
	c            *Coordinator
	name         string
	state        state
	previous     state
	since        int64 // when it came into its state, milliseconds; -1: not known
	protocolType string
	protocol     *string // chosen by vote; nil when there are no members
	generation   int32
	leader       string // member id; empty: none

	members  []*member // in the order in which they joined: no map decides who leads
	byID     map[string]*member
	static   map[string]*member   // by group.instance.id
	pending  map[string]*deadline // ids given out with MEMBER_ID_REQUIRED, until they are used
	voters   map[string]int       // how many members support a protocol
	weight   int                  // bytes that the members say of themselves for all of them
	joining  int                  // members that wait in JoinGroup
	unsynced int                  // members that owe a SyncGroup

	assigning int32 // generation whose assignment was last appended, or none

	subscribed map[string]struct{} // topics of a consumer group; nil: not known

	moreCame bool // a member came while the first rebalance waits for more
	join     deadline
	sync     deadline
	expiry   deadline

	offsets  map[string]*topic
	stored   uint64 // latest write of a group metadata record; 0: none is in the log
	deleting bool   // a tombstone is on its way
	last     *write // latest write that changes offsets

	consumer *consumerGroup // not nil: a consumer group, and the classic fields are empty
	damage   *damage        // not nil: the log misses something about members
}

func newGroup(c *Coordinator, name string, now int64) *group {
	g := &group{
		c: c, name: name, state: empty, previous: dead, since: now, assigning: none,
	}
	g.expiry.fire = g.expire
	return g
}

// become changes the state.
func (g *group) become(now int64, s state) { g.previous, g.state, g.since = g.state, s, now }

// add takes m in; the caller made sure that its protocols fit.
func (g *group) add(m *member, protocolType string) {
	if len(g.members) == 0 {
		g.protocolType = protocolType
	}
	if g.leader == "" {
		g.leader = m.id
	}
	g.members = append(g.members, m)
	g.index(m)
	g.count(m, 1)
	if m.join != nil {
		g.joining++
	}
	g.unpend(m.id)
}

func (g *group) index(m *member) {
	if g.byID == nil { // most groups are only offsets, and there may be very many
		g.byID = map[string]*member{}
	}
	g.byID[m.id] = m
	if m.instance == nil {
		return
	}
	if g.static == nil {
		g.static = map[string]*member{}
	}
	g.static[*m.instance] = m
}

// count adds a member's support to the votes, or takes it away.
func (g *group) count(m *member, by int) {
	if g.voters == nil {
		g.voters = map[string]int{}
	}
	for i := range m.protocols {
		name := m.protocols[i].name
		g.weight += by * (len(name) + len(m.protocols[i].metadata))
		if g.voters[name] += by; g.voters[name] == 0 {
			delete(g.voters, name)
		}
	}
}

// remove takes m out. Who waits on its behalf is told that the member is not known, so
// that a client that is still there joins again.
func (g *group) remove(m *member) {
	g.answerJoin(m, joinError("", kerr.UnknownMemberID))
	g.answerSync(m, syncError(kerr.UnknownMemberID))
	g.c.deadlines.clear(&m.session)
	g.members = slices.Delete(g.members, slices.Index(g.members, m), slices.Index(g.members, m)+1)
	delete(g.byID, m.id)
	if m.instance != nil {
		delete(g.static, *m.instance)
	}
	g.count(m, -1)
	g.setSynced(m)
	if g.leader == m.id {
		g.leader = ""
		if len(g.members) > 0 {
			g.leader = g.members[0].id
		}
	}
}

// pend remembers an id that was given out until it is used or its session ends.
func (g *group) pend(now int64, id string, sessionTimeout int64) {
	if g.pending == nil {
		g.pending = map[string]*deadline{}
	}
	d := &deadline{fire: func(now int64) {
		g.unpend(id)
		g.completeIfAllJoined(now)
		g.c.dropIfBare(g)
	}}
	g.pending[id] = d
	g.c.deadlines.move(d, now+sessionTimeout)
	g.c.pended(now, promise{g, id, d})
}

func (g *group) unpend(id string) bool {
	d, ok := g.pending[id]
	if ok {
		g.c.deadlines.clear(d)
		delete(g.pending, id)
		g.c.unpended(1)
	}
	return ok
}

func (g *group) clearPending() {
	for _, d := range g.pending {
		g.c.deadlines.clear(d)
	}
	n := len(g.pending)
	clear(g.pending)
	g.c.unpended(n)
}

// touch begins the session of m again.
func (g *group) touch(now int64, m *member) { g.sessionUntil(m, now+m.sessionTimeout) }

func (g *group) sessionUntil(m *member, at int64) {
	if m.session.fire == nil {
		m.session.fire = func(now int64) { g.expireSession(now, m) }
	}
	g.c.deadlines.move(&m.session, at)
}

func (g *group) expireSession(now int64, m *member) {
	if m.alive() {
		return // its session begins again when it is answered
	}
	g.remove(m)
	g.memberGone(now)
}

// memberGone lets the group go on without members that were just removed.
func (g *group) memberGone(now int64) {
	switch g.state {
	case stable, completing:
		g.prepareRebalance(now)
	case preparing:
		g.completeIfAllJoined(now)
	}
}

// find returns the member that a request speaks for, or why there is none.
func (g *group) find(id string, instance *string) (*member, *kerr.Error) {
	if instance != nil {
		m := g.static[*instance]
		switch {
		case m == nil:
			return nil, kerr.UnknownMemberID
		case m.id != id:
			return nil, kerr.FencedInstanceID
		}
	}
	m := g.byID[id]
	if m == nil {
		return nil, kerr.UnknownMemberID
	}
	return m, nil
}

// accepts reports whether a member with this type and these protocols can take part.
func (g *group) accepts(protocolType string, protocols []protocol) bool {
	if g.state == empty {
		return protocolType != "" && len(protocols) > 0
	}
	return g.protocolType == protocolType && slices.ContainsFunc(protocols, func(p protocol) bool {
		return g.voters[p.name] == len(g.members)
	})
}

// hasRoom reports whether group.max.size lets id join.
func (g *group) hasRoom(id string) bool {
	m := g.byID[id]
	switch g.state {
	case preparing:
		// Counts who waits, not who is a member: when the limit was lowered, those who
		// rejoin last have to go.
		return m != nil && m.join != nil || g.joining < g.c.maxSize
	case completing, stable:
		return m != nil || len(g.members) < g.c.maxSize
	}
	return true
}

// vote returns the protocol that most members prefer among those that all support; the
// earliest member's preference decides a tie.
func (g *group) vote() string {
	var order []string
	votes := map[string]int{}
	for _, m := range g.members {
		i := slices.IndexFunc(m.protocols, func(p protocol) bool { return g.voters[p.name] == len(g.members) })
		name := m.protocols[i].name
		if votes[name]++; votes[name] == 1 {
			order = append(order, name)
		}
	}
	best := order[0]
	for _, name := range order {
		if votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

func (g *group) allJoined() bool { return g.joining == len(g.members) && len(g.pending) == 0 }

// rebalanceTimeout is how long members may take: as long as the slowest wants.
func (g *group) rebalanceTimeout() int64 {
	longest := int64(1) // a rebalance that may take no time must not make Tick run in circles
	for _, m := range g.members {
		longest = max(longest, m.rebalanceTimeout)
	}
	return longest
}

// awaitJoin parks a JoinGroup. One that the member sent before is answered: nobody
// waits for it any more, but its connection must not.
func (g *group) awaitJoin(m *member, reply func(*kmsg.JoinGroupResponse)) {
	g.answerJoin(m, joinError(m.id, kerr.RebalanceInProgress))
	m.join = reply
	g.joining++
}

func (g *group) answerJoin(m *member, r *kmsg.JoinGroupResponse) {
	if m.join == nil {
		return
	}
	reply := m.join
	m.join = nil
	g.joining--
	reply(r)
}

func (g *group) answerSync(m *member, r *kmsg.SyncGroupResponse) bool {
	if m.sync == nil {
		return false
	}
	reply := m.sync
	m.sync = nil
	reply(r)
	return true
}

func (g *group) setUnsynced(m *member) {
	if !m.unsynced {
		m.unsynced = true
		g.unsynced++
	}
}

func (g *group) setSynced(m *member) {
	if m.unsynced {
		m.unsynced = false
		g.unsynced--
	}
}
