package sim

import (
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/sim/history"
)

// member is a client's part in a group: it knows which partitions of the source are its own, and by which epoch.
// Its link never delivers late: a commit that comes after a newer one of the same epoch counts, in Kafka too.
type member struct {
	*client
	group      string
	how        kind
	link       *link
	id         string
	epoch      int32 // generation, or member epoch
	mine       []int32
	subscribed bool      // consumer: the group knows what this member wants
	due        time.Time // of the next heartbeat
	changed    bool      // what is mine has changed since joined was asked
}

// rejoins are answers after which a member begins anew.
var rejoins = []error{
	kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.FencedMemberEpoch, kerr.StaleMemberEpoch, kerr.RebalanceInProgress, kerr.UnreleasedInstanceID,
}

func rejoining(err error) bool {
	return slices.ContainsFunc(rejoins, func(known error) bool { return errors.Is(err, known) })
}

// begin has the member begin anew.
func (m *member) begin() {
	m.epoch, m.mine, m.changed, m.subscribed = 0, nil, true, false
}

// keep stays in the group, or comes into it. It reports whether there is something to do for this member.
func (m *member) keep() bool {
	switch {
	case m.how == alone:
		return true
	case m.how == classic && (m.epoch == 0 || m.mine == nil):
		m.join()
	case m.w.now.Before(m.due):
	case m.how == classic:
		m.beat()
	default:
		m.beatConsumer()
	}
	return len(m.mine) > 0
}

// moved reports whether what is the member's has changed since it was asked last.
func (m *member) moved() bool {
	was := m.changed
	m.changed = false
	return was
}

func (m *member) late() { m.due = m.w.now.Add(m.w.between(0, m.w.plan.session/3)) }

// join goes through JoinGroup and SyncGroup.
func (m *member) join() {
	m.doing = "join"
	q := kmsg.NewPtrJoinGroupRequest()
	q.Version, q.Group, q.SessionTimeoutMillis, q.RebalanceTimeoutMillis = 9, m.group, int32(m.w.plan.session.Milliseconds()), int32(m.w.plan.session.Milliseconds())
	q.MemberID, q.ProtocolType = m.id, "consumer"
	q.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 0}}}
	reply, err := m.callFor(2*m.w.plan.session, &m.link, false, q)
	if err != nil {
		return
	}
	a := reply.(*kmsg.JoinGroupResponse)
	if a.ErrorCode != 0 {
		if err := kerr.ErrorForCode(a.ErrorCode); errors.Is(err, kerr.UnknownMemberID) {
			m.id = ""
		} else if errors.Is(err, kerr.MemberIDRequired) {
			m.id = a.MemberID
			return
		}
		m.pause(time.Millisecond, m.w.plan.backoff)
		return
	}
	m.id, m.epoch = a.MemberID, a.Generation
	m.sync(a)
}

func (m *member) sync(joined *kmsg.JoinGroupResponse) {
	m.doing = "sync"
	q := kmsg.NewPtrSyncGroupRequest()
	q.Version, q.Group, q.Generation, q.MemberID = 5, m.group, m.epoch, m.id
	q.ProtocolType, q.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	if joined.LeaderID == m.id {
		for i := range joined.Members {
			one := kmsg.NewSyncGroupRequestGroupAssignment()
			one.MemberID, one.MemberAssignment = joined.Members[i].MemberID, []byte{}
			for p := range m.w.plan.partitions[source] {
				if int(p)%len(joined.Members) == i {
					one.MemberAssignment = append(one.MemberAssignment, byte(p))
				}
			}
			q.GroupAssignment = append(q.GroupAssignment, one)
		}
	}
	reply, err := m.callFor(2*m.w.plan.session, &m.link, false, q)
	if err != nil || reply.(*kmsg.SyncGroupResponse).ErrorCode != 0 {
		m.begin()
		return
	}
	m.mine, m.changed = []int32{}, true
	for _, p := range reply.(*kmsg.SyncGroupResponse).MemberAssignment {
		m.mine = append(m.mine, int32(p))
	}
	m.w.reach("joined a classic group")
	m.late()
}

// beat is the heartbeat of a classic group.
func (m *member) beat() {
	q := kmsg.NewPtrHeartbeatRequest()
	q.Version, q.Group, q.Generation, q.MemberID = 4, m.group, m.epoch, m.id
	reply, err := m.call(&m.link, false, q)
	if err != nil {
		return
	}
	m.late()
	m.heed(kerr.ErrorForCode(reply.(*kmsg.HeartbeatResponse).ErrorCode))
}

// heed does what an answer wants of the member.
func (m *member) heed(err error) {
	if rejoining(err) {
		if errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.FencedMemberEpoch) && m.how == consumer {
			m.w.reach("removed from a group")
			m.id = ""
		}
		m.begin()
	}
}

// beatConsumer is the heartbeat of a consumer group: it brings the member to its assignment.
func (m *member) beatConsumer() {
	m.doing = "consumer heartbeat"
	id := m.w.image.Topic(source).ID
	if m.id == "" {
		m.id = cluster.NewID(m.w.bytes16).String()
	}
	q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	q.Version, q.Group, q.MemberID, q.MemberEpoch, q.RebalanceTimeoutMillis = 1, m.group, m.id, m.epoch, int32(m.w.plan.session.Milliseconds())
	q.SubscribedTopicNames = []string{source}
	q.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if len(m.mine) > 0 {
		q.Topics = append(q.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: id, Partitions: m.mine})
	}
	reply, err := m.call(&m.link, false, q)
	if err != nil {
		return
	}
	m.late()
	a := reply.(*kmsg.ConsumerGroupHeartbeatResponse)
	if err := kerr.ErrorForCode(a.ErrorCode); err != nil {
		m.heed(err)
		return
	}
	m.epoch = a.MemberEpoch
	if a.Assignment == nil {
		return
	}
	mine := []int32{}
	for _, t := range a.Assignment.Topics {
		mine = append(mine, t.Partitions...)
	}
	if !slices.Equal(mine, m.mine) {
		m.w.reach("assigned in a consumer group")
		m.mine, m.changed, m.due = mine, true, m.w.now // told at once
	}
}

// leave says goodbye, sometimes.
func (m *member) leave() {
	m.doing = "leave"
	switch {
	case m.how == alone:
		return
	case m.id == "" || m.w.chance(0.3):
	case m.how == classic:
		q := kmsg.NewPtrLeaveGroupRequest()
		one := kmsg.NewLeaveGroupRequestMember()
		one.MemberID = m.id
		q.Version, q.Group, q.Members = 5, m.group, append(q.Members, one)
		m.call(&m.link, false, q) //nolint:errcheck // who is not heard is forgotten after a while
	default:
		q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		q.Version, q.Group, q.MemberID, q.MemberEpoch = 1, m.group, m.id, -1
		m.call(&m.link, false, q) //nolint:errcheck // likewise
	}
	m.id = ""
	m.begin()
}

// committed asks how far the group has read, in transactions that have ended.
func (m *member) committed(partitions []int32) (map[int32]int64, error) {
	m.doing = "fetch offsets"
	q := kmsg.NewPtrOffsetFetchRequest()
	q.Version, q.RequireStable = 9, true
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.MemberEpoch = m.group, -1
	if m.how == consumer && m.id != "" {
		g.MemberID, g.MemberEpoch = &m.id, m.epoch
	}
	g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: source, Partitions: partitions}}
	q.Groups = append(q.Groups, g)
	asked := m.w.nanos()
	reply, err := m.call(&m.link, false, q)
	if err != nil {
		return nil, err
	}
	a := &reply.(*kmsg.OffsetFetchResponse).Groups[0]
	if err := kerr.ErrorForCode(a.ErrorCode); err != nil {
		return nil, err
	}
	at := map[int32]int64{}
	for _, p := range a.Topics[0].Partitions {
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
			return nil, err
		}
		at[p.Partition] = p.Offset
		m.w.history.Offsets = append(m.w.history.Offsets, history.Fetched{
			Group: m.group, Partition: history.Partition{Topic: source, Index: p.Partition}, Offset: p.Offset, At: asked, Answered: m.w.nanos(),
		})
	}
	return at, nil
}

// positions are where to go on in all partitions of the member; none when it must not.
func (m *member) positions() map[int32]int64 {
	at, err := m.committed(m.mine)
	if err != nil {
		m.heed(err)
		m.pause(time.Millisecond, m.w.plan.backoff)
		m.changed = true
		return nil
	}
	for p := range at {
		at[p] = max(at[p], 0)
	}
	return at
}
