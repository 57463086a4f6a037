package engine

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestFindCoordinator(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	self := ask[*kmsg.MetadataResponse](p, 9, kmsg.NewPtrMetadataRequest()).Brokers[0]
	for version := int16(0); version <= 6; version++ {
		q := kmsg.NewPtrFindCoordinatorRequest()
		q.CoordinatorKey, q.CoordinatorKeys = "a", []string{"a", "b"}
		a := ask[*kmsg.FindCoordinatorResponse](p, version, q)
		found := a.Coordinators
		if version < 4 {
			one := kmsg.NewFindCoordinatorResponseCoordinator()
			one.Key, one.ErrorCode, one.NodeID, one.Host, one.Port = "a", a.ErrorCode, a.NodeID, a.Host, a.Port
			found = []kmsg.FindCoordinatorResponseCoordinator{one, one}
		}
		if len(found) != 2 || found[0].Key != "a" || version >= 4 && found[1].Key != "b" {
			t.Fatalf("version %d: %+v", version, a)
		}
		for _, c := range found {
			if c.ErrorCode != 0 || c.NodeID != self.NodeID || c.Host != self.Host || c.Port != self.Port {
				t.Errorf("version %d: %+v, the broker is %+v", version, c, self)
			}
		}
	}
	if a := ask[*kmsg.FindCoordinatorResponse](p, 4, kmsg.NewPtrFindCoordinatorRequest()); len(a.Coordinators) != 0 {
		t.Errorf("asked for none: %+v", a)
	}
	q := kmsg.NewPtrFindCoordinatorRequest()
	q.CoordinatorKeys, q.CoordinatorType = []string{"a"}, 9
	want(t, "an unknown kind", ask[*kmsg.FindCoordinatorResponse](p, 4, q).Coordinators[0].ErrorCode, kerr.InvalidRequest)
}

func TestOffsetsByTopicID(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	s, other := p.topic(1), p.topic(1)
	group := unused(t)
	q := commitRequest(10, group, s, 42)
	q.Topics = append(q.Topics, commitRequest(10, group, subject{id: [16]byte{1, 2}}, 1).Topics...)
	q.Topics = append(q.Topics, commitRequest(10, group, other, 7).Topics...)
	codes := map[[16]byte]int16{}
	for _, topic := range ask[*kmsg.OffsetCommitResponse](p, 10, q).Topics {
		codes[topic.TopicID] = topic.Partitions[0].ErrorCode
	}
	if len(codes) != 3 {
		t.Fatalf("answers for %v", codes)
	}
	want(t, "commit", codes[s.id], nil)
	want(t, "commit other", codes[other.id], nil)
	want(t, "commit unknown", codes[[16]byte{1, 2}], kerr.UnknownTopicID)

	f := offsetsRequest(10, group, s)
	f.Groups[0].Topics = append(f.Groups[0].Topics, offsetsRequest(10, group, subject{id: [16]byte{1, 2}}).Groups[0].Topics...)
	for _, topic := range ask[*kmsg.OffsetFetchResponse](p, 10, f).Groups[0].Topics {
		switch part := topic.Partitions[0]; topic.TopicID {
		case s.id:
			if part.ErrorCode != 0 || part.Offset != 42 || *part.Metadata != "note" {
				t.Errorf("%+v", part)
			}
		case [16]byte{1, 2}:
			want(t, "fetch unknown", part.ErrorCode, kerr.UnknownTopicID)
			if part.Offset != -1 {
				t.Errorf("%+v", part)
			}
		default:
			t.Errorf("%+v was not asked for", topic)
		}
	}
	all := offsetsRequest(10, group, s)
	all.Groups[0].Topics = nil
	got := map[[16]byte]int64{}
	for _, topic := range ask[*kmsg.OffsetFetchResponse](p, 10, all).Groups[0].Topics {
		got[topic.TopicID] = topic.Partitions[0].Offset
	}
	if len(got) != 2 || got[s.id] != 42 || got[other.id] != 7 {
		t.Errorf("all: %v", got)
	}
}

func TestOffsetsOfAllTopics(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	s := p.topic(1)
	group := unused(t)
	ask[*kmsg.OffsetCommitResponse](p, 8, commitRequest(8, group, s, 42))
	for version := int16(2); version <= 9; version++ {
		q := offsetsRequest(version, group, s)
		q.Topics, q.Groups[0].Topics = nil, nil
		a := ask[*kmsg.OffsetFetchResponse](p, version, q)
		if version < 8 && (len(a.Topics) != 1 || a.Topics[0].Topic != s.name || a.Topics[0].Partitions[0].Offset != 42) {
			t.Errorf("version %d: %+v", version, a)
		}
		if version >= 8 && (len(a.Groups) != 1 || len(a.Groups[0].Topics) != 1 || a.Groups[0].Topics[0].Partitions[0].Offset != 42) {
			t.Errorf("version %d: %+v", version, a)
		}
	}
	several := offsetsRequest(8, group, s)
	several.Groups = append(several.Groups, offsetsRequest(8, unused(t), s).Groups...)
	a := ask[*kmsg.OffsetFetchResponse](p, 8, several)
	if len(a.Groups) != 2 || a.Groups[0].Group != group || a.Groups[0].Topics[0].Partitions[0].Offset != 42 || a.Groups[1].Topics[0].Partitions[0].Offset != -1 {
		t.Errorf("two groups: %+v", a)
	}
}

func TestCommitErrors(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	s := p.topic(1)
	group := unused(t)
	member, generation := p.joined(5, group)
	tried := func(version int16, group, member string, generation int32, change func(q *kmsg.OffsetCommitRequest)) int16 {
		q := commitRequest(version, group, s, 1)
		q.MemberID, q.Generation = member, generation
		if change != nil {
			change(q)
		}
		return ask[*kmsg.OffsetCommitResponse](p, version, q).Topics[0].Partitions[0].ErrorCode
	}
	want(t, "member", tried(8, group, member, generation, nil), nil)
	want(t, "old generation", tried(8, group, member, generation-1, nil), kerr.IllegalGeneration)
	want(t, "future generation", tried(8, group, member, generation+1, nil), kerr.IllegalGeneration)
	want(t, "unknown member", tried(8, group, "somebody", generation, nil), kerr.UnknownMemberID)
	want(t, "nobody while there are members", tried(8, group, "", -1, nil), kerr.UnknownMemberID)
	want(t, "a group that does not exist, by a member", tried(8, unused(t), "somebody", 3, nil), kerr.IllegalGeneration)
	want(t, "a group that does not exist", tried(8, unused(t), "", -1, nil), nil)
	want(t, "metadata too long", tried(8, group, member, generation, func(q *kmsg.OffsetCommitRequest) {
		q.Topics[0].Partitions[0].Metadata = kmsg.StringPtr(strings.Repeat("m", 4097))
	}), kerr.OffsetMetadataTooLarge)
	want(t, "unknown topic", tried(8, group, member, generation, func(q *kmsg.OffsetCommitRequest) {
		q.Topics[0].Topic = "nowhere"
	}), kerr.UnknownTopicOrPartition)
	want(t, "unknown partition", tried(8, group, member, generation, func(q *kmsg.OffsetCommitRequest) {
		q.Topics[0].Partitions[0].Partition = 7
	}), kerr.UnknownTopicOrPartition)
	want(t, "the group without a name, which simple consumers use", tried(8, "", "", -1, nil), nil)
}

func TestGroupErrors(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	group := unused(t)
	member, generation := p.joined(5, group)
	beat := func(group, member string, generation int32) int16 {
		q := kmsg.NewPtrHeartbeatRequest()
		q.Group, q.MemberID, q.Generation = group, member, generation
		return ask[*kmsg.HeartbeatResponse](p, 4, q).ErrorCode
	}
	want(t, "heartbeat", beat(group, member, generation), nil)
	want(t, "old generation", beat(group, member, generation-1), kerr.IllegalGeneration)
	want(t, "unknown member", beat(group, "somebody", generation), kerr.UnknownMemberID)
	want(t, "unknown group", beat(unused(t), member, generation), kerr.UnknownMemberID)
	joined := func(change func(q *kmsg.JoinGroupRequest)) int16 {
		q := joinRequest(group, member, "range")
		change(q)
		return ask[*kmsg.JoinGroupResponse](p, 5, q).ErrorCode
	}
	want(t, "session too short", joined(func(q *kmsg.JoinGroupRequest) { q.SessionTimeoutMillis = 1 }), kerr.InvalidSessionTimeout)
	want(t, "session too long", joined(func(q *kmsg.JoinGroupRequest) { q.SessionTimeoutMillis = 1 << 30 }), kerr.InvalidSessionTimeout)
	want(t, "no group", joined(func(q *kmsg.JoinGroupRequest) { q.Group = "" }), kerr.InvalidGroupID)
	want(t, "another protocol", joined(func(q *kmsg.JoinGroupRequest) { q.Protocols[0].Name = "other"; q.MemberID = "" }), kerr.InconsistentGroupProtocol)
	want(t, "another type", joined(func(q *kmsg.JoinGroupRequest) { q.ProtocolType = "connect"; q.MemberID = "" }), kerr.InconsistentGroupProtocol)
	want(t, "no protocol", joined(func(q *kmsg.JoinGroupRequest) { q.Protocols = nil; q.Group = unused(t); q.MemberID = "" }), kerr.InconsistentGroupProtocol)
	want(t, "unknown member", joined(func(q *kmsg.JoinGroupRequest) { q.MemberID = "somebody" }), kerr.UnknownMemberID)
	d := kmsg.NewPtrDeleteGroupsRequest()
	d.Groups = []string{group}
	want(t, "delete while there are members", ask[*kmsg.DeleteGroupsResponse](p, 2, d).Groups[0].ErrorCode, kerr.NonEmptyGroup)
}

// TestTwoMembersRebalance is one whole rebalance on the wire: the second member makes the
// first come back, the leader is told of both and shares out.
func TestTwoMembersRebalance(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	group := unused(t)
	first, generation := p.joined(5, group)
	other := p.another()
	q := joinRequest(group, "", "range")
	id := ask[*kmsg.JoinGroupResponse](other, 9, q)
	want(t, "second joins", id.ErrorCode, kerr.MemberIDRequired)
	other.send(9, joinRequest(group, id.MemberID, "range"))
	for {
		h := kmsg.NewPtrHeartbeatRequest()
		h.Group, h.MemberID, h.Generation = group, first, generation
		code := ask[*kmsg.HeartbeatResponse](p, 4, h).ErrorCode
		if code == kerr.RebalanceInProgress.Code {
			break
		}
		want(t, "heartbeat", code, nil)
	}
	mine := ask[*kmsg.JoinGroupResponse](p, 9, joinRequest(group, first, "range"))
	its := expect[*kmsg.JoinGroupResponse](other, 9, q, other.last)
	want(t, "first joins again", mine.ErrorCode, nil)
	want(t, "second has joined", its.ErrorCode, nil)
	if mine.Generation != generation+1 || its.Generation != mine.Generation || mine.LeaderID != first || len(mine.Members) != 2 || len(its.Members) != 0 {
		t.Fatalf("first %+v, second %+v", mine, its)
	}
	sync := func(member string, assignments ...string) *kmsg.SyncGroupRequest {
		s := kmsg.NewPtrSyncGroupRequest()
		s.Group, s.MemberID, s.Generation = group, member, mine.Generation
		s.ProtocolType, s.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
		for i := 0; i < len(assignments); i += 2 {
			a := kmsg.NewSyncGroupRequestGroupAssignment()
			a.MemberID, a.MemberAssignment = assignments[i], []byte(assignments[i+1])
			s.GroupAssignment = append(s.GroupAssignment, a)
		}
		return s
	}
	follower := sync(id.MemberID)
	other.send(5, follower)
	leader := ask[*kmsg.SyncGroupResponse](p, 5, sync(first, first, "left", id.MemberID, "right"))
	followed := expect[*kmsg.SyncGroupResponse](other, 5, follower, other.last)
	if string(leader.MemberAssignment) != "left" || string(followed.MemberAssignment) != "right" {
		t.Fatalf("leader %+v, follower %+v", leader, followed)
	}
	wrong := sync(first)
	wrong.Protocol = kmsg.StringPtr("roundrobin")
	want(t, "another protocol", ask[*kmsg.SyncGroupResponse](p, 5, wrong).ErrorCode, kerr.InconsistentGroupProtocol)
}

func TestListGroupsFilters(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	s := p.topic(1)
	stable, empty := unused(t), unused(t)
	p.joined(5, stable)
	ask[*kmsg.OffsetCommitResponse](p, 8, commitRequest(8, empty, s, 1))
	listed := func(states, types []string) (found string) {
		q := kmsg.NewPtrListGroupsRequest()
		q.StatesFilter, q.TypesFilter = states, types
		a := ask[*kmsg.ListGroupsResponse](p, 5, q)
		want(t, "list", a.ErrorCode, nil)
		for _, g := range a.Groups {
			switch g.Group {
			case stable:
				found += "stable:" + g.GroupState + ":" + g.GroupType + ":" + g.ProtocolType + " "
			case empty:
				found += "empty:" + g.GroupState + ":" + g.GroupType + ":" + g.ProtocolType + " "
			}
		}
		return found
	}
	both := listed(nil, nil)
	if !strings.Contains(both, "stable:Stable:classic:consumer ") || !strings.Contains(both, "empty:Empty:classic: ") {
		t.Errorf("all: %s", both)
	}
	for _, test := range []struct {
		states, types []string
		expected      string
	}{
		{[]string{"Stable"}, nil, "stable:Stable:classic:consumer "},
		{[]string{"empty"}, nil, "empty:Empty:classic: "},
		{[]string{"Dead"}, nil, ""},
		{nil, []string{"consumer"}, ""},
		{[]string{"Stable"}, []string{"CLASSIC"}, "stable:Stable:classic:consumer "},
	} {
		if got := listed(test.states, test.types); got != test.expected {
			t.Errorf("states %v, types %v: %q, want %q", test.states, test.types, got, test.expected)
		}
	}
}

func TestDescribeGroupsThatDoNotExist(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	for version := int16(0); version <= 6; version++ {
		q := kmsg.NewPtrDescribeGroupsRequest()
		q.Groups = []string{unused(t)}
		g := ask[*kmsg.DescribeGroupsResponse](p, version, q).Groups[0]
		var expected *kerr.Error
		if version >= 6 {
			expected = kerr.GroupIDNotFound
		}
		want(t, "describe", g.ErrorCode, expected)
		if g.State != "Dead" || g.Group != q.Groups[0] || len(g.Members) != 0 {
			t.Errorf("version %d: %+v", version, g)
		}
	}
}

// TestDeleteOffsetsOfTopicsThatDoNotExist: what is wrong with the group is said even when
// nothing is left to ask it, and before anything about topics.
func TestDeleteOffsetsOfTopicsThatDoNotExist(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	s := p.topic(1)
	deleted := func(group, topic string, partitions ...int32) *kmsg.OffsetDeleteResponse {
		q := kmsg.NewPtrOffsetDeleteRequest()
		one := kmsg.NewOffsetDeleteRequestTopic()
		one.Topic = topic
		for _, n := range partitions {
			one.Partitions = append(one.Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: n})
		}
		q.Group, q.Topics = group, append(q.Topics, one)
		return ask[*kmsg.OffsetDeleteResponse](p, 0, q)
	}
	for name, topic := range map[string]string{"a topic that does not exist": unused(t), "one that does": s.name} {
		for what, test := range map[string]struct {
			group    string
			expected *kerr.Error
		}{
			"a group that does not exist": {unused(t), kerr.GroupIDNotFound},
			"a group without a name":      {"", kerr.InvalidGroupID},
		} {
			a := deleted(test.group, topic, 0, 1)
			want(t, what+", "+name, a.ErrorCode, test.expected)
			if len(a.Topics) != 0 {
				t.Errorf("%s, %s: answers about topics: %+v", what, name, a.Topics)
			}
		}
	}
	member := joinRequest(unused(t), "", "range")
	member.ProtocolType = "connect"
	want(t, "join", ask[*kmsg.JoinGroupResponse](p, 3, member).ErrorCode, nil)
	want(t, "members of another protocol", deleted(member.Group, unused(t), 0).ErrorCode, kerr.NonEmptyGroup)
	group := unused(t)
	ask[*kmsg.OffsetCommitResponse](p, 8, commitRequest(8, group, s, 42))
	a := deleted(group, s.name, 0, 1)
	want(t, "a group that exists", a.ErrorCode, nil)
	if len(a.Topics) != 1 || len(a.Topics[0].Partitions) != 2 {
		t.Errorf("each partition is answered once: %+v", a.Topics)
	}
	want(t, "a topic that does not exist", deleted(group, unused(t), 0).Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition)
}

// TestOffsetsOfADeletedTopic: what a group committed goes with the topic, so that one of
// the same name begins anew.
func TestOffsetsOfADeletedTopic(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	s := p.topic(1)
	group := unused(t)
	ask[*kmsg.OffsetCommitResponse](p, 8, commitRequest(8, group, s, 42))
	p.deleteTopic(s)
	again := p.topicNamed(s.name, 1)
	for i := 0; p.committed(8, group, again).Offset != -1; i++ {
		if i > 1000 {
			t.Fatal("the offset outlived its topic")
		}
	}
}
