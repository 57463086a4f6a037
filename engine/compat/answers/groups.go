package answers

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// groups is what members of both protocols, and administrators, ask of coordinators. Epochs of groups and generations of
// consumer groups count otherwise here (Kafka begins with 2), which nobody can make anything of.
var groups = Set{Name: "groups", Cases: []Case{
	{Name: "members that nobody knows", Ask: groupStrangers},
	{Name: "a group of one", Ask: func(t *Talk) {
		for _, v := range []int16{0, 3, 4, 9} {
			groupOfOne(t, v)
		}
	}},
	{Name: "a second member comes", Ask: groupOfTwo},
	{Name: "static members", Ask: groupStatic},
	{Name: "offsets of nobody's group", Ask: offsetsSimple},
	{Name: "offsets of a group with members", Ask: offsetsLive},
	{Name: "offsets are deleted", Ask: offsetsDelete},
	{Name: "heartbeats of a consumer group that are refused", Mask: epochs, Ask: consumerRefused},
	{Name: "a consumer group", Mask: epochs, Ask: consumerLife},
	{Name: "static members of a consumer group", Mask: epochs, Ask: consumerStatic},
	{Name: "classic members of a consumer group", Mask: append(epochs, "MemberID", "Generation"), Ask: consumerClassic},
	{Name: "groups that become consumer groups", Mask: epochs, Ask: consumerConvert},
}}

var epochs = []string{"MemberEpoch", "Epoch", "AssignmentEpoch"}

// joins is a JoinGroup.
func joins(group, member string, protocols ...string) *kmsg.JoinGroupRequest {
	q := kmsg.NewPtrJoinGroupRequest()
	q.Group, q.MemberID, q.ProtocolType, q.SessionTimeoutMillis, q.RebalanceTimeoutMillis = group, member, "consumer", 30000, 30000
	for _, p := range protocols {
		q.Protocols = append(q.Protocols, kmsg.JoinGroupRequestProtocol{Name: p, Metadata: subscribed("x")})
	}
	return q
}

// subscribed is what a consumer says that wants topics.
func subscribed(topics ...string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Topics = topics
	return m.AppendTo(nil)
}

// syncs is a SyncGroup; assigned may be empty.
func syncs(group, member string, generation int32, assigned string) *kmsg.SyncGroupRequest {
	q := kmsg.NewPtrSyncGroupRequest()
	q.Group, q.MemberID, q.Generation, q.ProtocolType, q.Protocol = group, member, generation, kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	if assigned != "" {
		q.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: member, MemberAssignment: []byte(assigned)}}
	}
	return q
}

func beats(group, member string, generation int32, instance *string) *kmsg.HeartbeatRequest {
	return &kmsg.HeartbeatRequest{Group: group, MemberID: member, Generation: generation, InstanceID: instance}
}

func leaves(group string, members ...kmsg.LeaveGroupRequestMember) *kmsg.LeaveGroupRequest {
	q := &kmsg.LeaveGroupRequest{Group: group, Members: members}
	if len(members) > 0 {
		q.MemberID = members[0].MemberID
	}
	return q
}

// joined joins as a new member, and once more with the id that it is given.
func (t *Talk) joined(version int16, q *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	a := t.Ask(version, q).(*kmsg.JoinGroupResponse) //nolint:forcetypeassert // the answer to JoinGroup
	if q.MemberID == "" && a.ErrorCode != 0 {
		again := *q
		again.MemberID = a.MemberID
		return t.joined(version, &again)
	}
	return a
}

// stable makes a group with one member, without writing it down.
func (t *Talk) stable(group string, metadata []byte) (member string) {
	t.Quietly(func() {
		q := joins(group, "", "range")
		q.Protocols[0].Metadata = metadata
		member = t.joined(4, q).MemberID
		t.Ask(4, syncs(group, member, 1, "mine"))
	})
	return member
}

func groupStrangers(t *Talk) {
	t.coordinator(0, "strangers")
	t.AskAt(joins("strangers", "x", "range"), 0, 5, 9)
	t.AskAt(syncs("strangers", "x", 1, ""), 0, 5)
	t.AskAt(beats("strangers", "x", 1, nil), 0, 4)
	t.Ask(4, beats("", "x", 1, nil))
	t.AskAt(leaves("strangers", kmsg.LeaveGroupRequestMember{MemberID: "x"}), 0, 3, 5)
	t.Ask(4, leaves("", kmsg.LeaveGroupRequestMember{MemberID: "x"}))
	t.Ask(4, leaves("strangers"))
	untyped := syncs("strangers", "x", 1, "")
	untyped.ProtocolType = nil
	t.Ask(5, untyped)
	for _, group := range []string{"", " "} {
		t.Ask(9, joins(group, "", "range"))
	}
	for _, session := range []int32{1, -1, 1800001} {
		q := joins("stranger", "", "range")
		q.SessionTimeoutMillis = session
		t.Ask(9, q)
	}
	t.Ask(9, joins("stranger", ""))
	q := joins("stranger", "", "range")
	q.ProtocolType = ""
	t.Ask(9, q)
	t.AskAt(&kmsg.DescribeGroupsRequest{Groups: []string{"strangers", ""}}, 0, 5, 6)
	t.AskAt(&kmsg.DeleteGroupsRequest{Groups: []string{"strangers", ""}}, 0, 2)
	t.Ask(0, &kmsg.OffsetDeleteRequest{Group: "strangers"})
}

func groupOfOne(t *Talk, version int16) {
	group := "one-" + string(rune('0'+version))
	t.coordinator(0, group)
	q := joins(group, "", "range")
	a := t.joined(version, q)
	t.Ask(5, &kmsg.DescribeGroupsRequest{Groups: []string{group}})
	t.Ask(4, beats(group, a.MemberID, a.Generation, nil))
	q.MemberID = a.MemberID
	t.Ask(version, q)
	sync := min(version, 5)
	t.Ask(sync, syncs(group, a.MemberID, 7, ""))
	t.Ask(sync, syncs(group, "x", a.Generation, ""))
	t.Ask(sync, syncs(group, a.MemberID, a.Generation, "mine"))
	t.Ask(sync, syncs(group, a.MemberID, a.Generation, ""))
	t.Ask(5, &kmsg.DescribeGroupsRequest{Groups: []string{group}})
	for _, generation := range []int32{a.Generation, a.Generation + 1, -1} {
		t.Ask(4, beats(group, a.MemberID, generation, nil))
	}
	t.Ask(4, beats(group, a.MemberID, a.Generation, kmsg.StringPtr("instance")))
	t.Ask(version, joins(group, "", "roundrobin"))
	t.Ask(version, joins(group, ""))
	t.Ask(version, joins(group, "x", "range"))
	t.Note("the leader joins again")
	t.Ask(version, q)
	t.Ask(4, beats(group, a.MemberID, a.Generation, nil))
	t.Ask(2, &kmsg.DeleteGroupsRequest{Groups: []string{group}})
	t.Ask(sync, leaves(group, kmsg.LeaveGroupRequestMember{MemberID: a.MemberID}))
	t.Ask(sync, leaves(group, kmsg.LeaveGroupRequestMember{MemberID: a.MemberID}))
	t.Ask(5, &kmsg.DescribeGroupsRequest{Groups: []string{group}})
	t.Ask(version, q)
	t.Ask(2, &kmsg.DeleteGroupsRequest{Groups: []string{group}})
}

func groupOfTwo(t *Talk) {
	t.coordinator(0, "two")
	one := t.stable("two", subscribed("x"))
	two := t.Ask(4, joins("two", "", "range")).(*kmsg.JoinGroupResponse).MemberID //nolint:forcetypeassert // the answer to JoinGroup
	t.Ask(4, beats("two", one, 1, nil))
	t.On("second").Send(4, joins("two", two, "range"))
	t.Until(4, beats("two", one, 1, nil), func(a kmsg.Response) bool {
		return a.(*kmsg.HeartbeatResponse).ErrorCode != 0 //nolint:forcetypeassert // the answer to Heartbeat
	})
	t.Ask(4, beats("two", one, 9, nil))
	t.Ask(4, syncs("two", one, 1, ""))
	t.Ask(4, syncs("two", one, 7, ""))
	t.Ask(5, &kmsg.DescribeGroupsRequest{Groups: []string{"two"}})
	t.Ask(4, joins("two", one, "range"))
	t.On("second").Receive()
	t.Ask(4, beats("two", one, 2, nil))
	t.On("second").Send(4, syncs("two", two, 2, ""))
	q := syncs("two", one, 2, "first")
	q.GroupAssignment = append(q.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: two, MemberAssignment: []byte("second")},
		kmsg.SyncGroupRequestGroupAssignment{MemberID: "stranger", MemberAssignment: []byte("x")})
	t.Ask(4, q)
	t.On("second").Receive()
	t.Ask(4, joins("two", two, "range"))
	t.Ask(4, leaves("two", kmsg.LeaveGroupRequestMember{MemberID: one}, kmsg.LeaveGroupRequestMember{MemberID: "x"},
		kmsg.LeaveGroupRequestMember{MemberID: two, InstanceID: kmsg.StringPtr("i")}, kmsg.LeaveGroupRequestMember{MemberID: two}))
	t.Ask(5, &kmsg.DescribeGroupsRequest{Groups: []string{"two"}})
}

func groupStatic(t *Talk) {
	t.coordinator(0, "static")
	i := kmsg.StringPtr("here")
	q := joins("static", "", "range")
	q.InstanceID = i
	one := t.joined(9, q).MemberID
	s := syncs("static", one, 1, "mine")
	s.InstanceID = i
	t.Ask(5, s)
	t.Ask(4, beats("static", one, 1, i))
	t.Ask(4, beats("static", "x", 1, i))
	t.Ask(4, beats("static", one, 1, kmsg.StringPtr("elsewhere")))
	t.Ask(4, beats("static", "", 1, i))
	t.Note("it comes back without its id: the one before is fenced")
	two := t.joined(9, q).MemberID
	t.Ask(4, beats("static", one, 1, i))
	t.Ask(4, beats("static", two, 1, i))
	t.Ask(5, s)
	fenced := *q
	fenced.MemberID = one
	t.Ask(9, &fenced)
	t.Ask(8, &kmsg.OffsetCommitRequest{Group: "static", MemberID: one, InstanceID: i, Generation: 1})
	t.Note("with other words the group has to speak again")
	q.Protocols[0].Metadata = subscribed("y")
	t.Ask(9, q)
	t.Ask(5, &kmsg.DescribeGroupsRequest{Groups: []string{"static"}})
	t.Ask(4, leaves("static", kmsg.LeaveGroupRequestMember{MemberID: one, InstanceID: i}))
	t.Ask(4, leaves("static", kmsg.LeaveGroupRequestMember{InstanceID: i}))
	t.Ask(4, leaves("static", kmsg.LeaveGroupRequestMember{InstanceID: i}))
}

// commits is an OffsetCommit of one partition.
func commits(group, topic string, id [16]byte, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	q := kmsg.NewPtrOffsetCommitRequest()
	q.Group, q.Generation = group, -1
	q.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, TopicID: id, Partitions: []kmsg.OffsetCommitRequestTopicPartition{
		{Partition: partition, Offset: offset, LeaderEpoch: -1},
	}}}
	return q
}

func offsetsSimple(t *Talk) {
	id := t.led("simple", 2)
	t.coordinator(0, "simple")
	q := kmsg.NewPtrOffsetFetchRequest()
	q.Group = "simple"
	q.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "simple", Partitions: []int32{0, 9}}, {Topic: "absent", Partitions: []int32{0}}}
	q.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "simple", MemberEpoch: -1, Topics: []kmsg.OffsetFetchRequestGroupTopic{
		{Topic: "simple", TopicID: id, Partitions: []int32{0, 9}}, {Topic: "absent", TopicID: [16]byte{7}, Partitions: []int32{0}},
	}}}
	all := kmsg.NewPtrOffsetFetchRequest()
	all.Group, all.Groups = "simple", []kmsg.OffsetFetchRequestGroup{{Group: "simple", MemberEpoch: -1}, {Group: "absent", MemberEpoch: -1}}
	t.AskAt(q, 0, 1, 2, 5, 8, 9, 10)
	t.AskAt(all, 2, 8, 10)
	for _, v := range []int16{2, 8, 9, 10} {
		member := commits("simple", "simple", id, 0, 3)
		member.Generation, member.MemberID = 5, "m"
		if v == 2 {
			t.Ask(v, member)
		}
		t.Ask(v, commits("simple", "simple", id, 0, 3))
		t.Ask(v, commits("simple", "simple", id, 9, 3))
		t.Ask(v, commits("simple", "absent", [16]byte{7}, 0, 3))
		t.Ask(v, commits("simple", "simple", id, 1, -5))
		t.Ask(v, commits("", "simple", id, 0, 3))
		large := commits("simple", "simple", id, 0, 4)
		large.Topics[0].Partitions[0].Metadata = kmsg.StringPtr(strings.Repeat("x", 4097))
		t.Ask(v, large)
		t.Ask(v, member)
		member.Generation = -1
		t.Ask(v, member)
		member.Generation, member.MemberID = 0, ""
		t.Ask(v, member)
	}
	t.AskAt(q, 1, 2, 8, 9, 10)
	t.AskAt(all, 2, 8, 10)
	t.Ask(1, commits("simple", "simple", id, 0, 3))
}

func offsetsLive(t *Talk) {
	id := t.led("live", 1)
	t.coordinator(0, "live")
	m := t.stable("live", subscribed("live"))
	for _, v := range []int16{5, 8, 9} {
		for _, wrong := range []struct {
			member     string
			generation int32
		}{{m, 1}, {m, 2}, {m, -1}, {"x", 1}, {"", -1}, {"", 1}} {
			q := commits("live", "live", id, 0, 1)
			q.MemberID, q.Generation = wrong.member, wrong.generation
			t.Ask(v, q)
		}
	}
	f := committedOf("live", "live")
	f.Groups[0].MemberID, f.Groups[0].MemberEpoch = &m, 7
	t.Ask(9, f)
}

func offsetsDelete(t *Talk) {
	id := t.led("deleted", 2)
	t.coordinator(0, "deleted")
	q := &kmsg.OffsetDeleteRequest{Group: "deleted", Topics: []kmsg.OffsetDeleteRequestTopic{
		{Topic: "deleted", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 9}}},
		{Topic: "absent", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}},
	}}
	t.Ask(8, commits("deleted", "deleted", id, 0, 1))
	t.Ask(0, q)
	t.Ask(8, committedOf("deleted", ""))
	for name, metadata := range map[string][]byte{"deleted-mine": subscribed("deleted")} {
		t.stable(name, metadata)
		q.Group = name
		t.Ask(0, q)
	}
	t.stable("deleted-other", subscribed("other"))
	q.Group = "deleted-other"
	t.Ask(0, q)
	t.stable("deleted-odd", []byte("odd"))
	q.Group = "deleted-odd"
	t.Ask(0, q)
}

// heartbeat is a ConsumerGroupHeartbeat of a member that joins.
func heartbeat(group, member string, topics ...string) *kmsg.ConsumerGroupHeartbeatRequest {
	q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	q.Group, q.MemberID, q.RebalanceTimeoutMillis, q.SubscribedTopicNames = group, member, 30000, topics
	q.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return q
}

// at is the heartbeat of a member that has nothing new to say; its epoch is not written down.
func at(group, member string, epoch int32, instance *string) *kmsg.ConsumerGroupHeartbeatRequest {
	q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	q.Group, q.MemberID, q.MemberEpoch, q.InstanceID = group, member, epoch, instance
	return q
}

func consumerRefused(t *Talk) {
	t.led("beats", 1)
	t.coordinator(0, "beats")
	change := func(f func(q *kmsg.ConsumerGroupHeartbeatRequest)) {
		q := heartbeat("beats", "m", "beats")
		f(q)
		t.AskAt(q, 0, 1)
	}
	text := kmsg.StringPtr
	change(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.Group = "" })
	change(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.Group = " " })
	change(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.MemberID, q.MemberEpoch = "", 1 })
	change(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.InstanceID = text("") })
	change(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.RackID = text("") })
	change(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.MemberEpoch = -3 })
	change(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.MemberEpoch = -2 })
	change(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.MemberEpoch, q.InstanceID = -2, text("i") })
	change(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.MemberEpoch = -1 })
	change(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.RebalanceTimeoutMillis = -1 })
	change(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.Topics = nil })
	change(func(q *kmsg.ConsumerGroupHeartbeatRequest) {
		q.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{Partitions: []int32{1}}}
	})
	change(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.SubscribedTopicNames = nil })
	change(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.ServerAssignor = text("wild") })
	change(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.MemberEpoch = 1 })
	for _, expression := range []string{"(", "[", "*", `\`} {
		change(func(q *kmsg.ConsumerGroupHeartbeatRequest) { q.SubscribedTopicRegex = &expression })
	}
	t.AskAt(&kmsg.ConsumerGroupDescribeRequest{Groups: []string{"beats", ""}}, 0, 1)
}

// arrived has a member join, and beat until it has as many partitions as it wants; it answers its epoch.
func (t *Talk) arrived(q *kmsg.ConsumerGroupHeartbeatRequest, want int) (epoch int32) {
	t.Quietly(func() {
		t.Until(1, q, func(a kmsg.Response) bool {
			r := a.(*kmsg.ConsumerGroupHeartbeatResponse) //nolint:forcetypeassert // the answer to ConsumerGroupHeartbeat
			has := 0
			if r.Assignment != nil {
				epoch = r.MemberEpoch
				for _, topic := range r.Assignment.Topics {
					has += len(topic.Partitions)
				}
			}
			return has == want
		})
	})
	return epoch
}

func consumerLife(t *Talk) {
	id := t.led("life", 3)
	t.coordinator(0, "life")
	epoch := t.arrived(heartbeat("life", "one", "life"), 3)
	owned := []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: id, Partitions: []int32{0, 1, 2}}}
	q := at("life", "one", epoch, nil)
	t.Quietly(func() { t.Ask(1, q) })
	ask := func(what string, member string, epoch int32, instance *string, owned []kmsg.ConsumerGroupHeartbeatRequestTopic) {
		t.Note("%s", what)
		q := at("life", member, epoch, instance)
		q.Topics = owned
		var a kmsg.Response
		t.Quietly(func() { a = t.Ask(1, q) })
		t.say(strings.TrimRight("<"+t.answer(a), "\n"))
	}
	ask("it is there", "one", epoch, nil, nil)
	ask("it says what it has", "one", epoch, nil, owned)
	ask("too far", "one", epoch+5, nil, nil)
	ask("with an instance", "one", epoch, kmsg.StringPtr("i"), nil)
	ask("unknown", "x", epoch, nil, nil)
	ask("unknown leaves", "x", -1, nil, nil)
	t.Ask(1, &kmsg.ConsumerGroupDescribeRequest{Groups: []string{"life"}})
	t.AskAt(&kmsg.DescribeGroupsRequest{Groups: []string{"life"}}, 5, 6)
	commit := func(what, member string, epoch int32) {
		t.Note("commit, %s", what)
		for _, v := range []int16{8, 9, 10} {
			q := commits("life", "life", id, 0, 5)
			q.MemberID, q.Generation = member, epoch
			f := committedOf("life", "life")
			f.Groups[0].Topics[0].TopicID, f.Groups[0].MemberID, f.Groups[0].MemberEpoch = id, &member, epoch
			var a, b kmsg.Response
			t.Quietly(func() { a, b = t.Ask(v, q), t.Ask(v, f) })
			t.say(strings.TrimRight("< commit"+t.answer(a), "\n"))
			t.say(strings.TrimRight("< fetch"+t.answer(b), "\n"))
		}
	}
	commit("right", "one", epoch)
	commit("too far", "one", epoch+1)
	commit("unknown", "x", epoch)
	commit("nobody", "", -1)
	t.Ask(2, &kmsg.DeleteGroupsRequest{Groups: []string{"life"}})
	t.Ask(0, &kmsg.OffsetDeleteRequest{Group: "life", Topics: []kmsg.OffsetDeleteRequestTopic{
		{Topic: "life", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 9}}},
	}})
	ask("it leaves", "one", -1, nil, nil)
	t.Ask(1, &kmsg.ConsumerGroupDescribeRequest{Groups: []string{"life"}})
	t.Ask(2, &kmsg.DeleteGroupsRequest{Groups: []string{"life"}})
}

func consumerStatic(t *Talk) {
	t.led("statics", 2)
	t.coordinator(0, "statics")
	i := kmsg.StringPtr("i")
	join := heartbeat("statics", "one", "statics")
	join.InstanceID = i
	epoch := t.arrived(join, 2)
	ask := func(what, member string, epoch int32, instance *string) {
		t.Note("%s", what)
		var a kmsg.Response
		t.Quietly(func() { a = t.Ask(1, at("statics", member, epoch, instance)) })
		t.say(strings.TrimRight("<"+t.answer(a), "\n"))
	}
	two := *join
	two.MemberID = "two"
	t.Ask(1, &two)
	ask("another beats", "two", epoch, i)
	ask("another instance", "one", epoch, kmsg.StringPtr("j"))
	ask("another goes", "two", -2, i)
	ask("another leaves", "two", -1, i)
	ask("it goes", "one", -2, i)
	t.Ask(1, &kmsg.ConsumerGroupDescribeRequest{Groups: []string{"statics"}})
	ask("it beats all the same", "one", epoch, i)
	t.Note("another takes over")
	t.Ask(1, &two)
	ask("it is fenced", "one", epoch, i)
	t.Ask(1, join)
	ask("it is nobody now", "one", epoch, nil)
	t.Ask(1, &kmsg.ConsumerGroupDescribeRequest{Groups: []string{"statics"}})
}

// consumerClassic is about the time in which the group waits with the next assignment: classic members stay.
func consumerClassic(t *Talk) {
	t.led("mixed", 2)
	t.coordinator(0, "mixed")
	t.arrived(heartbeat("mixed", "one", "mixed"), 2)
	classic := func(member string) *kmsg.JoinGroupRequest {
		q := joins("mixed", member, "range")
		q.Protocols[0].Metadata = subscribed("mixed")
		return q
	}
	a := t.Ask(9, classic("two")).(*kmsg.JoinGroupResponse) //nolint:forcetypeassert // the answer to JoinGroup
	for range 2 {
		var sync, beat kmsg.Response
		t.Quietly(func() {
			sync = t.Ask(5, syncs("mixed", "two", a.Generation, ""))
			beat = t.Ask(4, beats("mixed", "two", a.Generation, nil))
		})
		t.say("< sync" + t.answer(sync))
		t.say("< beat" + t.answer(beat))
	}
	t.Ask(4, beats("mixed", "two", 77, nil))
	t.Ask(4, beats("mixed", "one", 1, nil))
	t.Ask(4, beats("mixed", "x", 1, nil))
	t.Ask(9, joins("mixed", "three"))
	other := classic("")
	other.ProtocolType = "connect"
	t.Ask(9, other)
	t.Ask(5, leaves("mixed", kmsg.LeaveGroupRequestMember{MemberID: "x"}, kmsg.LeaveGroupRequestMember{MemberID: "two"}))
}

func consumerConvert(t *Talk) {
	id := t.led("convert", 2)
	t.coordinator(0, "odd")
	t.coordinator(0, "convert")
	m := t.stable("odd", []byte("odd"))
	t.Ask(1, heartbeat("odd", "one", "convert"))
	t.Ask(1, at("odd", m, 1, nil))
	t.Ask(1, &kmsg.ConsumerGroupDescribeRequest{Groups: []string{"odd"}})
	t.Note("without members, and with offsets")
	t.Ask(8, commits("convert", "convert", id, 0, 3))
	t.arrived(heartbeat("convert", "one", "convert"), 2)
	t.Ask(9, committedOf("convert", ""))
	t.Ask(1, at("convert", "one", -1, nil))
	t.Ask(5, &kmsg.DescribeGroupsRequest{Groups: []string{"convert"}})
	t.stable("convert", subscribed("convert"))
	t.Ask(1, &kmsg.ConsumerGroupDescribeRequest{Groups: []string{"convert"}})
	t.Ask(8, committedOf("convert", ""))
}
