package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// join is one JoinGroup request on its way.
type join struct {
	now       int64
	client    Client
	version   int16
	q         *kmsg.JoinGroupRequest
	protocols []protocol
	uuid      func() string
	reply     func(*kmsg.JoinGroupResponse)
}

// Join answers a JoinGroup once the member is in a generation of its group, or why not.
// uuid makes member ids unique: an id is client id, or group.instance.id, "-" and a uuid.
func (c *Coordinator) Join(now time.Time, client Client, version int16, q *kmsg.JoinGroupRequest, uuid func() string, reply func(*kmsg.JoinGroupResponse)) {
	if err := c.refusalOf(q.Group); err != nil {
		reply(joinError(q.MemberID, err))
		return
	}
	if s := int64(q.SessionTimeoutMillis); s < c.sessionMin || s > c.sessionMax {
		reply(joinError(q.MemberID, kerr.InvalidSessionTimeout))
		return
	}
	if weigh(q.Protocols) > mostOfMember {
		reply(joinError(q.MemberID, kerr.MessageTooLarge))
		return
	}
	j := &join{now.UnixMilli(), client, version, q, protocolsOf(q.Protocols), uuid, reply}
	g := c.groups[q.Group]
	if g == nil {
		if q.MemberID != "" {
			reply(joinError(q.MemberID, kerr.UnknownMemberID))
			return
		}
		g = c.create(j.now, q.Group)
	}
	if g.consumer != nil {
		if len(g.consumer.members) > 0 {
			g.joinConsumer(j)
			return
		}
		g.turnClassic(j.now)
	}
	g.admit(j)
	c.dropIfBare(g)
}

// What members say of themselves is kept for every protocol, and the leader is told of all members in one answer.
const (
	mostOfMember = 4 << 20   // bytes
	mostOfGroup  = 256 << 20 // from where on no more members join
)

// weigh is how many bytes a JoinGroup says.
func weigh(protocols []kmsg.JoinGroupRequestProtocol) (bytes int) {
	for i := range protocols {
		bytes += len(protocols[i].Name) + len(protocols[i].Metadata)
	}
	return bytes
}

func (g *group) admit(j *join) {
	id := j.q.MemberID
	switch {
	case g.weight > mostOfGroup && g.byID[id] == nil:
		g.unpend(id)
		j.reply(joinError("", kerr.GroupMaxSizeReached))
	case !g.hasRoom(id):
		if m := g.byID[id]; m != nil {
			g.remove(m)
		}
		g.unpend(id)
		j.reply(joinError("", kerr.GroupMaxSizeReached))
	case !g.accepts(j.q.ProtocolType, j.protocols):
		j.reply(joinError(id, kerr.InconsistentGroupProtocol))
	case id != "":
		g.rejoin(j)
	case j.q.InstanceID != nil:
		g.joinStatic(j)
	case j.version >= 4:
		// The client must come back with its id, so that a client that gives up
		// while it waits cannot leave nameless members behind.
		id = j.client.ID + "-" + j.uuid()
		g.pend(j.now, id, int64(j.q.SessionTimeoutMillis))
		j.reply(joinError(id, kerr.MemberIDRequired))
	default:
		g.joinNew(j, j.client.ID+"-"+j.uuid())
	}
}

// joinStatic takes in an instance that does not know its member id: it is new, or was
// started again and takes over from what it was before.
func (g *group) joinStatic(j *join) {
	id := *j.q.InstanceID + "-" + j.uuid()
	if old := g.static[*j.q.InstanceID]; old != nil {
		g.takeOver(j, old, id)
		return
	}
	g.joinNew(j, id)
}

func (g *group) joinNew(j *join, id string) {
	m := &member{id: id, instance: j.q.InstanceID, client: j.client, fresh: true, join: j.reply}
	m.describe(j)
	if g.state == preparing && g.previous == empty {
		g.moreCame = true
	}
	g.add(m, j.q.ProtocolType)
	// It cannot send heartbeats before it knows its id, and while the request waits we do
	// not see its connection close: so it gets a fixed time.
	g.sessionUntil(m, j.now+g.c.newMember)
	g.rebalanceOrComplete(j.now)
}

// describe sets what a JoinGroup says about its member.
func (m *member) describe(j *join) {
	m.protocols = j.protocols
	m.sessionTimeout = int64(j.q.SessionTimeoutMillis)
	m.rebalanceTimeout = int64(j.q.RebalanceTimeoutMillis)
	if j.version == 0 || m.rebalanceTimeout < 0 { // version 0 has none
		m.rebalanceTimeout = m.sessionTimeout
	}
}

// rejoin answers a JoinGroup with a member id.
func (g *group) rejoin(j *join) {
	if _, ok := g.pending[j.q.MemberID]; ok && j.q.InstanceID == nil {
		g.joinNew(j, j.q.MemberID)
		return
	}
	m, err := g.find(j.q.MemberID, j.q.InstanceID)
	if err != nil {
		j.reply(joinError(j.q.MemberID, err))
		return
	}
	same := m.matches(j.protocols)
	leads := g.leader == m.id
	switch {
	case g.state == completing && same:
		// The answer to its JoinGroup was lost.
		j.reply(g.welcome(m, leads))
	case g.state == stable && same && !leads:
		// Nothing new from a follower. A leader that joins again knows of something
		// that the assignment depends on and we cannot see, such as new partitions.
		j.reply(g.welcome(m, false))
	default:
		g.update(m, j)
		g.awaitJoin(m, j.reply)
		g.rebalanceOrComplete(j.now)
	}
}

// update replaces what is known of m by what a JoinGroup says.
func (g *group) update(m *member, j *join) {
	g.count(m, -1)
	m.describe(j)
	g.count(m, 1)
}

// takeOver gives the place of a static member to its next incarnation. The one before,
// if it is still there, is fenced.
func (g *group) takeOver(j *join, old *member, id string) {
	led := g.leader
	m := g.replace(old, id)
	before := *m
	g.update(m, j)
	g.awaitJoin(m, j.reply)
	g.touch(j.now, m)
	switch g.state {
	case stable:
		if *g.protocol == g.vote() {
			g.storeTakeOver(j, m, &before, old.id, led)
			return
		}
		g.prepareRebalance(j.now)
	case completing:
		// The leader may be assigning to the old id at this moment.
		g.prepareRebalance(j.now)
	default:
		g.completeJoin(j.now)
	}
}

// replace makes a member with a new id of old, which is gone afterwards.
func (g *group) replace(old *member, id string) *member {
	g.answerJoin(old, joinError(old.id, kerr.FencedInstanceID))
	g.answerSync(old, syncError(kerr.FencedInstanceID))
	g.c.deadlines.clear(&old.session)
	m := &member{
		id: id, instance: old.instance, client: old.client,
		rebalanceTimeout: old.rebalanceTimeout, sessionTimeout: old.sessionTimeout,
		protocols: old.protocols, assignment: old.assignment, unsynced: old.unsynced,
	}
	for i := range g.members {
		if g.members[i] == old {
			g.members[i] = m
		}
	}
	delete(g.byID, old.id)
	g.index(m)
	if g.leader == old.id {
		g.leader = id
	}
	return m
}

// storeTakeOver answers a static member that comes back to a stable group: its old
// assignment is still good, so nobody else needs to know. The new id must be in the log
// before it is told, or a restart would bring the old one back.
func (g *group) storeTakeOver(j *join, m, before *member, oldID, led string) {
	g.store(g.metadata(nil), func(err error) {
		if g.state != stable || g.byID[m.id] != m || m.join == nil {
			return // a rebalance that began since then answers, or has answered
		}
		if err != nil {
			g.answerJoin(m, joinError("", asError(err)))
			g.undoTakeOver(j, m, before, oldID)
			return
		}
		leads := g.leader == m.id && j.version >= 9
		r := g.welcome(m, leads)
		if r.SkipAssignment = leads; j.version < 9 {
			// Before version 9 nothing can tell a leader not to assign; the id that led
			// before, which no longer exists, makes it think that somebody else leads.
			r.LeaderID = led
		}
		g.answerJoin(m, r)
		if !m.session.set() { // it ended unnoticed while the member waited
			g.touch(j.now, m)
		}
	})
}

func (g *group) undoTakeOver(j *join, m, before *member, oldID string) {
	g.count(m, -1)
	m.protocols, m.sessionTimeout, m.rebalanceTimeout = before.protocols, before.sessionTimeout, before.rebalanceTimeout
	g.count(m, 1)
	g.touch(j.now, g.replace(m, oldID))
}

// welcome says that m is in the current generation; the leader also learns of everybody.
func (g *group) welcome(m *member, leads bool) *kmsg.JoinGroupResponse {
	r := joinError(m.id, nil)
	r.Generation, r.Protocol, r.LeaderID = g.generation, g.protocol, g.leader
	protocolType := g.protocolType
	r.ProtocolType = &protocolType
	if !leads {
		return r
	}
	r.Members = make([]kmsg.JoinGroupResponseMember, len(g.members))
	for i, other := range g.members {
		metadata, _ := other.supports(*g.protocol)
		r.Members[i] = kmsg.JoinGroupResponseMember{MemberID: other.id, InstanceID: other.instance, ProtocolMetadata: metadata}
	}
	return r
}

func joinError(id string, err *kerr.Error) *kmsg.JoinGroupResponse {
	r := kmsg.NewPtrJoinGroupResponse()
	r.MemberID, r.ErrorCode = id, code(err)
	return r
}
