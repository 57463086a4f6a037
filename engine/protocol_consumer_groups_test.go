package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// heartbeatRequest is the first one of a member that subscribes to topics.
func heartbeatRequest(group, member string, topics ...string) *kmsg.ConsumerGroupHeartbeatRequest {
	q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	q.Group, q.MemberID, q.RebalanceTimeoutMillis = group, member, 30_000
	q.SubscribedTopicNames = topics
	q.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return q
}

func (p *peer) beat(q *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
	p.t.Helper()
	return ask[*kmsg.ConsumerGroupHeartbeatResponse](p, 1, q)
}

// follower is a member as a client plays it: it takes what it is given and gives up what
// it has to.
type follower struct {
	p        *peer
	group    string
	id       string
	instance *string
	epoch    int32
	has      map[[16]byte][]int32
	topics   []string
	pattern  *string
}

func (f *follower) beat() *kmsg.ConsumerGroupHeartbeatResponse {
	f.p.t.Helper()
	q := heartbeatRequest(f.group, f.id, f.topics...)
	q.SubscribedTopicRegex = f.pattern
	if f.pattern != nil && f.topics == nil {
		q.SubscribedTopicNames = []string{}
	}
	q.InstanceID, q.MemberEpoch = f.instance, f.epoch
	for id, partitions := range f.has {
		if f.epoch > 0 {
			q.Topics = append(q.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: id, Partitions: partitions})
		}
	}
	a := f.p.beat(q)
	if a.ErrorCode != 0 {
		return a
	}
	f.epoch = a.MemberEpoch
	if a.Assignment != nil {
		f.has = map[[16]byte][]int32{}
		for _, t := range a.Assignment.Topics {
			f.has[t.TopicID] = slices.Clone(t.Partitions)
		}
	}
	return a
}

func (f *follower) count() (n int) {
	for _, partitions := range f.has {
		n += len(partitions)
	}
	return n
}

// settle has the members beat until each has as many partitions as are wanted of it, all
// together each partition once.
func settle(t *testing.T, want []int, members ...*follower) {
	t.Helper()
	var got []int
	limit := patience
	if foreign() {
		limit *= 3 // Kafka matches a pattern beside the heartbeats, at most every ten seconds
	}
	for end := time.Now().Add(limit); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
		got = got[:0]
		all := map[string]bool{}
		for _, m := range members {
			if a := m.beat(); a.ErrorCode != 0 {
				t.Fatalf("%s: %s", m.id, errorName(a.ErrorCode))
			}
			got = append(got, m.count())
			for id, partitions := range m.has {
				for _, p := range partitions {
					key := fmt.Sprintf("%x-%d", id, p)
					if all[key] {
						t.Fatalf("partition %s has two members", key)
					}
					all[key] = true
				}
			}
		}
		if slices.Equal(got, want) {
			return
		}
	}
	t.Fatalf("members have %v partitions, want %v", got, want)
}

func (p *peer) consumerGroup(name string) kmsg.ConsumerGroupDescribeResponseGroup {
	p.t.Helper()
	q := kmsg.NewPtrConsumerGroupDescribeRequest()
	q.Groups = []string{name}
	return ask[*kmsg.ConsumerGroupDescribeResponse](p, 1, q).Groups[0]
}

// inState waits until a consumer group is in a state.
func (p *peer) inState(group, state string) kmsg.ConsumerGroupDescribeResponseGroup {
	p.t.Helper()
	var g kmsg.ConsumerGroupDescribeResponseGroup
	for end := time.Now().Add(patience); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
		if g = p.consumerGroup(group); g.State == state {
			return g
		}
	}
	p.t.Fatalf("the group is %s, error %s, want %s", g.State, errorName(g.ErrorCode), state)
	return g
}

func TestConsumerGroupRebalances(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	s := p.topic(6)
	group := unused(t)
	a := &follower{p: p, group: group, id: "a", topics: []string{s.name}}
	b := &follower{p: p, group: group, id: "b", topics: []string{s.name}}
	c := &follower{p: p, group: group, id: "c", topics: []string{s.name}}
	settle(t, []int{6}, a)
	settle(t, []int{3, 3}, a, b)
	settle(t, []int{2, 2, 2}, a, b, c)
	g := p.inState(group, "Stable")
	if len(g.Members) != 3 || g.Epoch != g.AssignmentEpoch || g.AssignorName != "uniform" {
		t.Errorf("described as %+v", g)
	}
	leave := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	leave.Group, leave.MemberID, leave.MemberEpoch = group, "b", -1
	want(t, "leave", p.beat(leave).ErrorCode, nil)
	settle(t, []int{3, 3}, a, c)
	// A topic that comes later, and one that grows.
	other := p.topic(2)
	a.topics = append(a.topics, other.name)
	settle(t, []int{4, 4}, a, c)
	grow := kmsg.NewPtrCreatePartitionsRequest()
	one := kmsg.NewCreatePartitionsRequestTopic()
	one.Topic, one.Count = other.name, 4
	grow.Topics, grow.TimeoutMillis = append(grow.Topics, one), 10_000
	want(t, "grow", ask[*kmsg.CreatePartitionsResponse](p, 3, grow).Topics[0].ErrorCode, nil)
	settle(t, []int{5, 5}, a, c)
}

func TestConsumerGroupByPattern(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	name := unused(t)
	p.topicNamed(name+"-one", 2)
	pattern := name + "-.*"
	a := &follower{p: p, group: unused(t), id: "a", pattern: &pattern}
	settle(t, []int{2}, a)
	p.topicNamed(name+"-two", 3)
	settle(t, []int{5}, a)
}

// What is refused, with the errors of Kafka.
func TestConsumerGroupRefusals(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	s := p.topic(2)
	group := unused(t)
	member := &follower{p: p, group: group, id: "a", topics: []string{s.name}, instance: kmsg.StringPtr("one")}
	settle(t, []int{2}, member)
	classic := unused(t)
	p.joined(5, classic)
	opaque := unused(t)
	join := joinRequest(opaque, "", "range")
	join.ProtocolType = "connect"
	want(t, "join", ask[*kmsg.JoinGroupResponse](p, 3, join).ErrorCode, nil)
	with := func(change func(q *kmsg.ConsumerGroupHeartbeatRequest)) *kmsg.ConsumerGroupHeartbeatRequest {
		q := heartbeatRequest(group, "x", s.name)
		change(q)
		return q
	}
	for name, test := range map[string]struct {
		q    *kmsg.ConsumerGroupHeartbeatRequest
		want *kerr.Error
	}{
		"no group":     {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.Group = "" }), kerr.InvalidRequest},
		"no member id": {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.MemberID = "" }), kerr.InvalidRequest},
		"no timeout":   {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.RebalanceTimeoutMillis = -1 }), kerr.InvalidRequest},
		"owns when it joins": {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) {
			q.Topics = make([]kmsg.ConsumerGroupHeartbeatRequestTopic, 1)
		}), kerr.InvalidRequest},
		"no subscription":        {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.SubscribedTopicNames = nil }), kerr.InvalidRequest},
		"epoch -3":               {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.MemberEpoch = -3 }), kerr.InvalidRequest},
		"-2 and not static":      {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.MemberEpoch = -2 }), kerr.InvalidRequest},
		"unknown assignor":       {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.ServerAssignor = kmsg.StringPtr("x") }), kerr.UnsupportedAssignor},
		"bad pattern":            {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.SubscribedTopicRegex = kmsg.StringPtr("a[") }), kerr.InvalidRegularExpression},
		"unknown group":          {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.Group, q.MemberEpoch = unused(t), 1 }), kerr.GroupIDNotFound},
		"leaves unknown group":   {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.Group, q.MemberEpoch = unused(t), -1 }), kerr.GroupIDNotFound},
		"unknown member":         {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.MemberEpoch = 1 }), kerr.UnknownMemberID},
		"unknown member leaves":  {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.MemberEpoch = -1 }), kerr.UnknownMemberID},
		"ahead":                  {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.MemberID, q.MemberEpoch = "a", 99 }), kerr.FencedMemberEpoch},
		"instance taken":         {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.InstanceID = kmsg.StringPtr("one") }), kerr.UnreleasedInstanceID},
		"instance of another":    {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.InstanceID, q.MemberEpoch = kmsg.StringPtr("one"), 1 }), kerr.FencedInstanceID},
		"unknown instance":       {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.InstanceID, q.MemberEpoch = kmsg.StringPtr("z"), 1 }), kerr.UnknownMemberID},
		"fenced instance leaves": {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.InstanceID, q.MemberEpoch = kmsg.StringPtr("one"), -1 }), kerr.FencedInstanceID},
		"in a group of connect":  {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.Group = opaque }), kerr.GroupIDNotFound},
		"to a classic group":     {with(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.Group, q.MemberEpoch = classic, 1 }), kerr.GroupIDNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			a := p.at(t).beat(test.q)
			want(t, name, a.ErrorCode, test.want)
		})
	}
	want(t, "describe none", p.consumerGroup(unused(t)).ErrorCode, kerr.GroupIDNotFound)
	want(t, "describe a classic one", p.consumerGroup(opaque).ErrorCode, kerr.GroupIDNotFound)
	d := kmsg.NewPtrDescribeGroupsRequest()
	d.Groups = []string{group}
	if g := ask[*kmsg.DescribeGroupsResponse](p, 6, d).Groups[0]; g.State != "Dead" || g.ErrorCode != kerr.GroupIDNotFound.Code {
		t.Errorf("described as a classic group: %+v", g)
	}
	r := kmsg.NewPtrDeleteGroupsRequest()
	r.Groups = []string{group}
	want(t, "delete", ask[*kmsg.DeleteGroupsResponse](p, 2, r).Groups[0].ErrorCode, kerr.NonEmptyGroup)
	again := heartbeatRequest(group, "a", s.name)
	again.SubscribedTopicNames = []string{s.name}
	heart := kmsg.NewPtrHeartbeatRequest()
	heart.Group, heart.MemberID, heart.Generation = group, "a", member.epoch
	want(t, "classic heartbeat", ask[*kmsg.HeartbeatResponse](p, 4, heart).ErrorCode, kerr.UnknownMemberID)
}

// TestConsumerGroupOffsetsInTransactions: a producer is told of an old epoch in words that it knows. STALE_MEMBER_EPOCH
// it takes for the end of everything; ILLEGAL_GENERATION has it abort and go on.
func TestConsumerGroupOffsetsInTransactions(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	s := p.topic(2)
	group := unused(t)
	a := &follower{p: p, group: group, id: "a", topics: []string{s.name}}
	b := &follower{p: p, group: group, id: "b", topics: []string{s.name}}
	settle(t, []int{2}, a)
	early := a.epoch
	settle(t, []int{1, 1}, a, b)
	mine, yours := a.has[s.id][0], b.has[s.id][0]
	x := p.transactor(unused(t))
	commit := func(version int16, member string, epoch, partition int32) int16 {
		q := x.offsetsRequest(version, group, s, 5)
		q.MemberID, q.Generation = member, epoch
		q.Topics[0].Partitions[0].Partition = partition
		return repeated(p, version, q, func(a *kmsg.TxnOffsetCommitResponse) int16 { return a.Topics[0].Partitions[0].ErrorCode }).Topics[0].Partitions[0].ErrorCode
	}
	for _, version := range []int16{3, 4, 5, 6} {
		if version < 5 {
			want(t, "add offsets", x.addOffsets(3, group), nil)
		}
		want(t, "commit", commit(version, "a", a.epoch, mine), nil)
		want(t, "commit without membership", commit(version, "", -1, mine), nil)
		want(t, "commit of an epoch before it had the partition", commit(version, "b", early, yours), kerr.IllegalGeneration)
		want(t, "commit of an epoch to come", commit(version, "a", a.epoch+1, mine), kerr.IllegalGeneration)
		want(t, "commit of nobody", commit(version, "x", a.epoch, mine), kerr.UnknownMemberID)
	}
}

func TestConsumerGroupOffsets(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	s := p.topic(2)
	group := unused(t)
	a := &follower{p: p, group: group, id: "a", topics: []string{s.name}}
	b := &follower{p: p, group: group, id: "b", topics: []string{s.name}}
	settle(t, []int{2}, a)
	early := a.epoch
	settle(t, []int{1, 1}, a, b)
	commit := func(version int16, member string, epoch, partition int32) int16 {
		q := commitRequest(version, group, s, 5)
		q.MemberID, q.Generation = member, epoch
		q.Topics[0].Partitions[0].Partition = partition
		return ask[*kmsg.OffsetCommitResponse](p, version, q).Topics[0].Partitions[0].ErrorCode
	}
	mine, yours := a.has[s.id][0], b.has[s.id][0]
	want(t, "commit", commit(9, "a", a.epoch, mine), nil)
	want(t, "commit by id", commit(10, "b", b.epoch, yours), nil)
	want(t, "commit of an epoch in which it had the partition", commit(9, "a", early, mine), nil)
	want(t, "commit of an epoch before it had the partition", commit(9, "b", early, yours), kerr.StaleMemberEpoch)
	want(t, "commit of what is not its own", commit(9, "a", early, yours), kerr.StaleMemberEpoch)
	want(t, "commit of an epoch to come", commit(9, "a", a.epoch+1, mine), kerr.StaleMemberEpoch)
	want(t, "commit of nobody", commit(9, "x", a.epoch, mine), kerr.UnknownMemberID)
	want(t, "commit without membership", commit(9, "", -1, mine), kerr.UnknownMemberID)
	want(t, "commit in an old version", commit(8, "a", a.epoch, mine), kerr.UnsupportedVersion)
	fetch := func(member *string, epoch int32) int16 {
		q := kmsg.NewPtrOffsetFetchRequest()
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.MemberID, g.MemberEpoch = group, member, epoch
		q.Groups = append(q.Groups, g)
		return ask[*kmsg.OffsetFetchResponse](p, 9, q).Groups[0].ErrorCode
	}
	want(t, "fetch", fetch(&a.id, a.epoch), nil)
	want(t, "fetch without membership", fetch(nil, -1), nil)
	want(t, "fetch of an epoch that is over", fetch(&a.id, early), kerr.StaleMemberEpoch)
	want(t, "fetch of nobody", fetch(kmsg.StringPtr("x"), 1), kerr.UnknownMemberID)
	d := kmsg.NewPtrOffsetDeleteRequest()
	d.Group = group
	d.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: s.name, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}
	want(t, "delete offsets in use", ask[*kmsg.OffsetDeleteResponse](p, 0, d).Topics[0].Partitions[0].ErrorCode, kerr.GroupSubscribedToTopic)
}

// TestGroupMigrates takes a group from the classic protocol to KIP-848 and back, with a
// classic member in it all the time.
func TestGroupMigrates(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	s := p.topic(4)
	group := unused(t)
	old := &classicMember{p: p, group: group, topic: s.name}
	old.join()
	next := &follower{p: p, group: group, id: "next", topics: []string{s.name}}
	for end := time.Now().Add(patience); old.count != 2 || next.count() != 2; <-time.After(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the classic member has %d partitions, the other %d", old.count, next.count())
		}
		want(t, "beat", next.beat().ErrorCode, nil)
		old.beat()
	}
	g := p.inState(group, "Stable")
	kinds := map[int8]int{}
	for _, m := range g.Members {
		kinds[m.MemberType]++
	}
	if kinds[0] != 1 || kinds[1] != 1 {
		t.Errorf("members are of kinds %v", kinds)
	}
	leave := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	leave.Group, leave.MemberID, leave.MemberEpoch = group, "next", -1
	want(t, "leave", p.beat(leave).ErrorCode, nil)
	for end := time.Now().Add(patience); old.count != 4; <-time.After(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the classic member has %d partitions", old.count)
		}
		old.beat()
	}
	d := kmsg.NewPtrDescribeGroupsRequest()
	d.Groups = []string{group}
	if g := ask[*kmsg.DescribeGroupsResponse](p, 6, d).Groups[0]; g.State != "Stable" || len(g.Members) != 1 {
		t.Errorf("after the way back: %+v", g)
	}
}

// classicMember is the only classic member of a group: it leads where there is a leader.
type classicMember struct {
	p          *peer
	group, id  string
	topic      string
	generation int32
	count      int // of its partitions
}

func (m *classicMember) subscription(owned []int32) *kmsg.JoinGroupRequest {
	q := joinRequest(m.group, m.id, "range")
	said := kmsg.NewConsumerMemberMetadata()
	said.Version, said.Topics = 1, []string{m.topic}
	if owned != nil {
		said.OwnedPartitions = []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: m.topic, Partitions: owned}}
	}
	q.Protocols[0].Metadata = said.AppendTo(nil)
	return q
}

func (m *classicMember) join() {
	m.p.t.Helper()
	a := ask[*kmsg.JoinGroupResponse](m.p, 5, m.subscription(nil)) // eager: it gives up all it had
	if a.ErrorCode == kerr.MemberIDRequired.Code {
		m.id = a.MemberID
		a = ask[*kmsg.JoinGroupResponse](m.p, 5, m.subscription(nil))
	}
	want(m.p.t, "join", a.ErrorCode, nil)
	m.id, m.generation, m.count = a.MemberID, a.Generation, 0
	q := kmsg.NewPtrSyncGroupRequest()
	q.Group, q.MemberID, q.Generation = m.group, m.id, m.generation
	if a.LeaderID == m.id {
		share := kmsg.NewConsumerMemberAssignment()
		share.Version = 1
		share.Topics = []kmsg.ConsumerMemberAssignmentTopic{{Topic: m.topic, Partitions: []int32{0, 1, 2, 3}}}
		one := kmsg.NewSyncGroupRequestGroupAssignment()
		one.MemberID, one.MemberAssignment = m.id, share.AppendTo(nil)
		q.GroupAssignment = append(q.GroupAssignment, one)
	}
	r := ask[*kmsg.SyncGroupResponse](m.p, 4, q)
	if r.ErrorCode == kerr.RebalanceInProgress.Code {
		return // and again with the next heartbeat
	}
	want(m.p.t, "sync", r.ErrorCode, nil)
	var share kmsg.ConsumerMemberAssignment
	if err := share.ReadFrom(r.MemberAssignment); err != nil {
		m.p.t.Fatal(err)
	}
	for _, t := range share.Topics {
		m.count += len(t.Partitions)
	}
}

func (m *classicMember) beat() {
	m.p.t.Helper()
	q := kmsg.NewPtrHeartbeatRequest()
	q.Group, q.MemberID, q.Generation = m.group, m.id, m.generation
	switch a := ask[*kmsg.HeartbeatResponse](m.p, 4, q); a.ErrorCode {
	case 0:
	case kerr.RebalanceInProgress.Code:
		m.join()
	default:
		m.p.t.Fatalf("heartbeat: %s", errorName(a.ErrorCode))
	}
}

// Settings of one group, by resource type 32.
func TestGroupSettings(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	s := p.topic(1)
	group := unused(t)
	const name = "consumer.heartbeat.interval.ms"
	p.alter(kmsg.ConfigResourceTypeGroupConfig, group, false, name+"=7000")
	if e := p.becomes(kmsg.ConfigResourceTypeGroupConfig, group, name, "7000"); e.Source != kmsg.ConfigSourceGroupConfig {
		t.Errorf("described as %+v", e)
	}
	const synonyms = "GROUP_CONFIG:" + name + "=7000 DEFAULT_CONFIG:group." + name + "=5000"
	if got := sources(p.described(4, kmsg.ConfigResourceTypeGroupConfig, group, name).Configs[0]); got != synonyms {
		t.Errorf("synonyms are %s, want %s", got, synonyms)
	}
	if a := p.beat(heartbeatRequest(group, "a", s.name)); a.ErrorCode != 0 || a.HeartbeatIntervalMillis != 7000 {
		t.Errorf("a member is told %+v", a)
	}
	for _, wrong := range [][2]string{{name, "1"}, {name, "60000"}, {"consumer.session.timeout.ms", "x"}, {"retention.ms", "5"}} {
		want(t, fmt.Sprint(wrong), p.alter(kmsg.ConfigResourceTypeGroupConfig, group, false, wrong[0]+"="+wrong[1]), kerr.InvalidConfig)
	}
}
