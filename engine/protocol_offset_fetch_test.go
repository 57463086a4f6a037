package engine

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// While there is no offsets topic, nobody coordinates a group. Consumers of Kafka before 3.9 look for the coordinator
// again when they are told NOT_COORDINATOR, and fail when they are told COORDINATOR_NOT_AVAILABLE.
func TestOffsetsOfNoCoordinator(t *testing.T) {
	p := dialed(t)
	for version := int16(1); version <= 9; version++ {
		q := kmsg.NewPtrOffsetFetchRequest()
		q.Group, q.Topics = "g", []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0}}}
		q.Groups = []kmsg.OffsetFetchRequestGroup{{Group: "g", MemberEpoch: -1, Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0}}}}}
		a := ask[*kmsg.OffsetFetchResponse](p, version, q)
		switch {
		case version < 2:
			want(t, "a partition", a.Topics[0].Partitions[0].ErrorCode, kerr.NotCoordinator)
		case version < 8:
			want(t, "the answer", a.ErrorCode, kerr.NotCoordinator)
		default:
			want(t, "the group", a.Groups[0].ErrorCode, kerr.NotCoordinator)
		}
	}
}

// What is asked for by an id that nobody knows is answered behind the others.
func TestOffsetsOfUnknownIDsComeLast(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	s := p.topic(1)
	q := kmsg.NewPtrOffsetFetchRequest()
	unknown := kmsg.OffsetFetchRequestGroupTopic{TopicID: [16]byte{1, 2, 3}, Partitions: []int32{0}}
	q.Groups = []kmsg.OffsetFetchRequestGroup{{Group: unused(t), MemberEpoch: -1, Topics: []kmsg.OffsetFetchRequestGroupTopic{
		unknown, {TopicID: s.id, Partitions: []int32{0}},
	}}}
	topics := ask[*kmsg.OffsetFetchResponse](p, 10, q).Groups[0].Topics
	if len(topics) != 2 || topics[0].TopicID != s.id || topics[1].TopicID != unknown.TopicID {
		t.Fatalf("got %+v", topics)
	}
	want(t, "the known one", topics[0].Partitions[0].ErrorCode, nil)
	want(t, "the unknown one", topics[1].Partitions[0].ErrorCode, kerr.UnknownTopicID)
}
