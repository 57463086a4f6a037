package group

import (
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group/assign"
	"github.com/millrace/millrace/engine/regular"
)

// refused is an error with what Kafka says about it.
type refused struct {
	code *kerr.Error
	text string
}

func refuse(code *kerr.Error, text string) *refused { return &refused{code, text} }

// beat is one ConsumerGroupHeartbeat on its way.
type beat struct {
	turn
	q      *kmsg.ConsumerGroupHeartbeatRequest
	client Client
	id     string
	owned  assign.Assignment // what the member says it has
	told   bool              // it said so
	reply  func(*kmsg.ConsumerGroupHeartbeatResponse)
}

// ConsumerHeartbeat answers a ConsumerGroupHeartbeat: joins, keeps alive and leads the
// member to its target, or lets it leave. uuid makes the ids of members that bring none.
func (c *Coordinator) ConsumerHeartbeat(
	now time.Time, client Client, q *kmsg.ConsumerGroupHeartbeatRequest, uuid func() string, reply func(*kmsg.ConsumerGroupHeartbeatResponse),
) {
	b := &beat{q: q, client: client, id: q.MemberID, reply: reply, told: q.Topics != nil}
	b.now = now.UnixMilli()
	if err := c.refusal(); err != nil {
		b.refuse(refuse(err, ""))
		return
	}
	if err := c.checkBeat(q); err != nil {
		b.refuse(err)
		return
	}
	if q.MemberEpoch < joining {
		b.leave(c)
		return
	}
	if b.id == "" {
		b.id = uuid()
	}
	b.owned = ownedOf(q.Topics)
	if err := b.begin(c); err != nil {
		b.refuse(err)
		return
	}
	m, err := b.member()
	if err != nil {
		b.refuse(err)
		c.dropIfBare(b.g)
		return
	}
	b.advance(m)
}

func ownedOf(given []kmsg.ConsumerGroupHeartbeatRequestTopic) assign.Assignment {
	topics := make([]assign.Topic, len(given))
	for i := range given {
		topics[i] = assign.Topic{ID: given[i].TopicID, Partitions: slices.Clone(given[i].Partitions)}
	}
	return assign.Of(topics)
}

func (b *beat) refuse(why *refused) {
	r := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	r.ErrorCode = why.code.Code
	if why.text != "" {
		r.ErrorMessage = &why.text
	}
	b.reply(r)
}

// checkBeat is what can be said of a request without looking at the group.
func (c *Coordinator) checkBeat(q *kmsg.ConsumerGroupHeartbeatRequest) *refused {
	invalid := func(text string) *refused { return refuse(kerr.InvalidRequest, text) }
	blank := func(s *string) bool { return s != nil && strings.TrimSpace(*s) == "" }
	switch {
	case strings.TrimSpace(q.Group) == "":
		return invalid("GroupId can't be empty.")
	case len(q.Group) > math.MaxInt16 || len(q.MemberID) > math.MaxInt16 || len(deref(q.SubscribedTopicRegex)) > math.MaxInt16:
		return invalid("A name is longer than a record can hold.")
	case lengthOf(q.SubscribedTopicNames) > mostOfMember:
		return invalid("SubscribedTopicNames are more than 4 MiB.")
	case blank(q.InstanceID):
		return invalid("InstanceId can't be empty.")
	case blank(q.RackID):
		return invalid("RackId can't be empty.")
	case strings.TrimSpace(q.MemberID) == "" && (q.Version >= 1 || q.MemberEpoch != joining):
		return invalid("MemberId can't be empty.")
	case q.MemberEpoch < leftStatic:
		return invalid("MemberEpoch is invalid.")
	case q.MemberEpoch == leftStatic && q.InstanceID == nil:
		return invalid("InstanceId can't be null.")
	case q.MemberEpoch == joining && q.RebalanceTimeoutMillis == -1:
		return invalid("RebalanceTimeoutMs must be provided in first request.")
	case q.MemberEpoch == joining && (q.Topics == nil || len(q.Topics) > 0):
		return invalid("TopicPartitions must be empty when (re-)joining.")
	case q.MemberEpoch == joining && q.SubscribedTopicNames == nil && q.SubscribedTopicRegex == nil:
		return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
	}
	if a := q.ServerAssignor; a != nil && !slices.Contains(c.assignors, *a) {
		return refuse(kerr.UnsupportedAssignor, "ServerAssignor "+*a+" is not supported. Supported assignors: "+strings.Join(c.assignors, ", ")+".")
	}
	if expression := deref(q.SubscribedTopicRegex); expression != "" {
		if err := regular.Check(expression); err != nil {
			return refuse(kerr.InvalidRegularExpression, "SubscribedTopicRegex `"+expression+"` is not a valid regular expression: "+err.Error()+".")
		}
	}
	return nil
}

// lengthOf is how many bytes names have together.
func lengthOf(names []string) (bytes int) {
	for _, name := range names {
		bytes += len(name)
	}
	return bytes
}

// begin finds the group, or makes one for a member that joins: of nothing, of a classic
// group without members, or of one whose members can come along.
func (b *beat) begin(c *Coordinator) *refused {
	g := c.groups[b.q.Group]
	missing := func() *refused { return refuse(kerr.GroupIDNotFound, "Group "+b.q.Group+" not found.") }
	switch {
	case g != nil && g.consumer != nil:
	case b.q.MemberEpoch != joining && g == nil:
		return missing()
	case b.q.MemberEpoch != joining:
		return refuse(kerr.GroupIDNotFound, "Group "+b.q.Group+" is not a consumer group.")
	case g == nil:
		g = c.create(b.now, b.q.Group)
		g.beConsumer()
	case g.state == empty:
		b.g = g
		b.replaceClassic()
	case !g.upgradable():
		return refuse(kerr.GroupIDNotFound, "Group "+b.q.Group+" is not a consumer group.")
	default:
		b.g = g
		if err := b.upgrade(); err != nil {
			return refuse(kerr.GroupIDNotFound, "Cannot upgrade classic group "+g.name+" to consumer group because "+whyClassic(err)+".")
		}
	}
	b.g = g
	return nil
}

// whyClassic says why a group cannot be upgraded, in Kafka's words.
func whyClassic(err error) string {
	if errors.Is(err, errCustomAssignor) {
		return "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default assignor before re-attempting the upgrade"
	}
	return "the embedded consumer protocol is malformed"
}

// beConsumer makes an empty consumer group of a group without members.
func (g *group) beConsumer() {
	g.consumer = newConsumerGroup()
	g.protocolType, g.subscribed = consumerType, nil
}

// member finds or makes the member that the request speaks for.
func (b *beat) member() (*consumer, *refused) {
	cg := b.g.consumer
	if cg.members[b.id] == nil && len(cg.members) >= b.g.c.consumerMaxSize && (b.q.InstanceID == nil || cg.static[*b.q.InstanceID] == nil) {
		return nil, refuse(kerr.GroupMaxSizeReached, "The consumer group has reached its maximum capacity of members.")
	}
	if b.q.InstanceID != nil {
		return b.staticMember(*b.q.InstanceID)
	}
	m := cg.members[b.id]
	switch {
	case m == nil && b.q.MemberEpoch == joining:
		return b.newMember(), nil
	case m == nil:
		return nil, refuse(kerr.UnknownMemberID, "Member "+b.id+" is not a member of group "+b.g.name+".")
	}
	return m, b.checkEpoch(m)
}

func (b *beat) newMember() *consumer {
	return b.admitMember(b.id, b.q.InstanceID)
}

func (b *beat) staticMember(instance string) (*consumer, *refused) {
	m := b.g.consumer.static[instance]
	switch {
	case m == nil && b.q.MemberEpoch == joining:
		return b.newMember(), nil
	case m == nil:
		return nil, refuse(kerr.UnknownMemberID, "Instance id "+instance+" is unknown.")
	case b.q.MemberEpoch == joining && m.epoch != leftStatic && m.classic == nil && m.id != b.id:
		return nil, refuse(kerr.UnreleasedInstanceID, "Static member "+b.id+" with instance id "+instance+
			" cannot join the group because the instance id is owned by "+m.id+" member.")
	case b.q.MemberEpoch == joining && (m.id != b.id || m.epoch == leftStatic):
		return b.replaceStatic(m, b.id), nil
	case m.id != b.id:
		return nil, refuse(kerr.FencedInstanceID, "Static member "+b.id+" with instance id "+instance+" was fenced by member "+m.id+".")
	}
	return m, b.checkEpoch(m)
}

// admitMember takes in a member about which only its ids are known. One that is there
// becomes static with a new instance id.
func (t *turn) admitMember(id string, instance *string) *consumer {
	if m := t.g.consumer.members[id]; m != nil {
		return m
	}
	m := &consumer{id: id, fresh: true}
	m.instance = instance
	t.g.consumer.add(m)
	return m
}

// checkEpoch lets a member go on that is where we think it is, or one step behind: then
// the answer that brought it on was lost.
func (b *beat) checkEpoch(m *consumer) *refused {
	epoch := b.q.MemberEpoch
	if epoch == joining || epoch == m.epoch || epoch < m.epoch && epoch == m.previous && b.told && b.owned.Within(m.assigned) {
		return nil
	}
	size := "smaller"
	if epoch > m.epoch {
		size = "greater"
	}
	return refuse(kerr.FencedMemberEpoch, "The consumer group member has a "+size+" member epoch ("+text32(epoch)+
		") than the one known by the group coordinator ("+text32(m.epoch)+"). The member must abandon all its partitions and rejoin.")
}

// replaceStatic gives the place of a static member, with all it had, to its next life.
func (t *turn) replaceStatic(old *consumer, id string) *consumer {
	m := &consumer{id: id, profile: old.profile, holding: old.holding, target: old.target}
	m.epoch, m.previous = joining, joining
	t.removeMember(old)
	if other := t.g.consumer.members[id]; other != nil {
		t.removeMember(other) // it had the id and was not static
	}
	t.g.consumer.add(m)
	t.writeMember(m)
	t.writeTarget(m)
	t.writeHolding(m)
	return m
}

// advance does what a heartbeat is for: learn what is new about the member, decide a
// target when one is due, and bring the member nearer to it.
func (b *beat) advance(m *consumer) {
	had := m.assigned
	joined := m.epoch == joining
	changed := b.learn(m)
	b.refresh(changed)
	b.reconcile(m, b.owned, b.told)
	b.g.touchConsumer(b.now, m)
	r := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	id := m.id
	r.MemberID, r.MemberEpoch = &id, m.epoch
	r.HeartbeatIntervalMillis = int32(b.g.heartbeatInterval())
	whole := b.q.MemberEpoch == joining || b.q.RebalanceTimeoutMillis != -1 && b.told &&
		(b.q.SubscribedTopicNames != nil || b.q.SubscribedTopicRegex != nil)
	if whole || joined || m.untold || !m.assigned.Same(had) {
		r.Assignment = answerOf(m.assigned)
	}
	m.untold = false
	b.end(func(err *kerr.Error) {
		if err != nil {
			m.untold = r.Assignment != nil
			b.refuse(refuse(err, ""))
			return
		}
		b.reply(r)
	})
}

func answerOf(a assign.Assignment) *kmsg.ConsumerGroupHeartbeatResponseAssignment {
	out := &kmsg.ConsumerGroupHeartbeatResponseAssignment{Topics: make([]kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic, len(a))}
	for i := range a {
		out.Topics[i].TopicID, out.Topics[i].Partitions = a[i].ID, a[i].Partitions
	}
	return out
}

// learn takes over what the member says of itself; it reports whether its subscription
// is another one.
func (b *beat) learn(m *consumer) bool {
	p := m.profile
	p.instance = orNil(b.q.InstanceID, p.instance)
	p.rack = orNil(b.q.RackID, p.rack)
	p.assignor = orNil(b.q.ServerAssignor, p.assignor)
	p.pattern = orNil(b.q.SubscribedTopicRegex, p.pattern)
	if b.q.RebalanceTimeoutMillis != -1 {
		p.rebalanceTimeout = int64(b.q.RebalanceTimeoutMillis)
	}
	if b.q.SubscribedTopicNames != nil {
		p.topics = slices.Clone(b.q.SubscribedTopicNames)
		slices.Sort(p.topics)
		p.topics = slices.Compact(p.topics)
	}
	p.client, p.classic = b.client, nil
	return b.adopt(m, p)
}

// adopt is setProfile when anything changed; it reports whether the subscription did.
func (t *turn) adopt(m *consumer, p profile) bool {
	if !m.fresh && p.equal(&m.profile) {
		return false
	}
	changed := m.fresh || !p.subscribesAs(&m.profile)
	m.fresh = false
	t.setProfile(m, p)
	return changed
}

func orNil(given, otherwise *string) *string {
	if given == nil {
		return otherwise
	}
	return given
}
