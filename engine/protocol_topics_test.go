package engine

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// wanted is a topic as a client asks for it.
func wanted(name string, partitions int32, replicas int16, settings ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replicas
	for i := 0; i < len(settings); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = settings[i], kmsg.StringPtr(settings[i+1])
		t.Configs = append(t.Configs, c)
	}
	return t
}

// placed puts partition i on the brokers of the i-th list.
func placed(t kmsg.CreateTopicsRequestTopic, brokers ...[]int32) kmsg.CreateTopicsRequestTopic {
	for i, replicas := range brokers {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = int32(i), replicas
		t.ReplicaAssignment = append(t.ReplicaAssignment, a)
	}
	return t
}

func (p *peer) self() int32 {
	p.t.Helper()
	return ask[*kmsg.DescribeClusterResponse](p, 0, kmsg.NewPtrDescribeClusterRequest()).ControllerID
}

func TestCreateTopicsValidation(t *testing.T) {
	p := dialed(t)
	self := p.self()
	exists := p.topic(1)
	dotted := unused(t) + ".a"
	p.topicNamed(dotted, 1)
	for _, test := range []struct {
		name     string
		topic    kmsg.CreateTopicsRequestTopic
		expected *kerr.Error
	}{
		{"good", wanted(unused(t), 3, 1), nil},
		{"defaults", wanted(unused(t), -1, -1), nil},
		{"exists", wanted(exists.name, 1, 1), kerr.TopicAlreadyExists},
		{"no name", wanted("", 1, 1), kerr.InvalidTopicException},
		{"one dot", wanted(".", 1, 1), kerr.InvalidTopicException},
		{"two dots", wanted("..", 1, 1), kerr.InvalidTopicException},
		{"a slash", wanted("a/b", 1, 1), kerr.InvalidTopicException},
		{"a space", wanted("a b", 1, 1), kerr.InvalidTopicException},
		{"not ASCII", wanted("tést", 1, 1), kerr.InvalidTopicException},
		{"249 characters", wanted(strings.Repeat("l", 249-len(unused(t)))+unused(t), 1, 1), nil},
		{"250 characters", wanted(strings.Repeat("l", 250), 1, 1), kerr.InvalidTopicException},
		{"collides but for a dot", wanted(strings.ReplaceAll(dotted, ".", "_"), 1, 1), kerr.InvalidTopicException},
		{"no partition", wanted(unused(t), 0, 1), kerr.InvalidPartitions},
		{"fewer", wanted(unused(t), -2, 1), kerr.InvalidPartitions},
		{"too many at once", wanted(unused(t), 10_001, 1), kerr.PolicyViolation},
		{"no replica", wanted(unused(t), 1, 0), kerr.InvalidReplicationFactor},
		{"more replicas than brokers", wanted(unused(t), 1, 2), kerr.InvalidReplicationFactor},
		{"fewer than none", wanted(unused(t), 1, -2), kerr.InvalidReplicationFactor},
		{"an unknown setting", wanted(unused(t), 1, 1, "no.such", "1"), kerr.InvalidConfig},
		{"a bad value", wanted(unused(t), 1, 1, "retention.ms", "soon"), kerr.InvalidConfig},
		{"a value out of bounds", wanted(unused(t), 1, 1, "min.insync.replicas", "0"), kerr.InvalidConfig},
		{"a bad choice", wanted(unused(t), 1, 1, "cleanup.policy", "burn"), kerr.InvalidConfig},
		{"placed", placed(wanted(unused(t), -1, -1), []int32{self}, []int32{self}), nil},
		{"placed and counted", placed(wanted(unused(t), 2, -1), []int32{self}, []int32{self}), kerr.InvalidRequest},
		{"placed and replicated", placed(wanted(unused(t), -1, 1), []int32{self}), kerr.InvalidRequest},
		{"placed nowhere", placed(wanted(unused(t), -1, -1), []int32{self + 100}), kerr.InvalidReplicaAssignment},
		{"placed twice on one broker", placed(wanted(unused(t), -1, -1), []int32{self, self}), kerr.InvalidReplicaAssignment},
		{"placed on no broker", placed(wanted(unused(t), -1, -1), []int32{}), kerr.InvalidReplicaAssignment},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, validate := range []bool{true, false} {
				q := kmsg.NewPtrCreateTopicsRequest()
				q.ValidateOnly = validate
				q.Topics = append(q.Topics, test.topic)
				a := ask[*kmsg.CreateTopicsResponse](p, 7, q)
				if len(a.Topics) != 1 || a.Topics[0].Topic != test.topic.Topic {
					t.Fatalf("%+v", a)
				}
				r := a.Topics[0]
				want(t, "create", r.ErrorCode, test.expected)
				if test.expected != nil && (r.ErrorMessage == nil || *r.ErrorMessage == "") {
					t.Error("it does not say why")
				}
			}
		})
	}
}

func TestCreateTopicsAnswersEachTopic(t *testing.T) {
	p := dialed(t)
	good, twice := unused(t), unused(t)
	q := kmsg.NewPtrCreateTopicsRequest()
	q.Topics = []kmsg.CreateTopicsRequestTopic{wanted(twice, 1, 1), wanted(good, 1, 1), wanted("a b", 1, 1), wanted(twice, 2, 1)}
	a := ask[*kmsg.CreateTopicsResponse](p, 7, q)
	codes := map[string]int16{}
	for _, r := range a.Topics {
		codes[r.Topic] = r.ErrorCode
	}
	if len(a.Topics) != 3 {
		t.Fatalf("%+v", a.Topics)
	}
	want(t, "good", codes[good], nil)
	want(t, "bad", codes["a b"], kerr.InvalidTopicException)
	want(t, "twice", codes[twice], kerr.InvalidRequest)
	if a := ask[*kmsg.CreateTopicsResponse](p, 7, kmsg.NewPtrCreateTopicsRequest()); len(a.Topics) != 0 {
		t.Fatalf("nothing asked: %+v", a)
	}
}

func TestCreateTopicsValidateOnlyCreatesNothing(t *testing.T) {
	p := dialed(t)
	name := unused(t)
	q := kmsg.NewPtrCreateTopicsRequest()
	q.ValidateOnly = true
	q.Topics = append(q.Topics, wanted(name, 2, 1))
	r := ask[*kmsg.CreateTopicsResponse](p, 7, q).Topics[0]
	want(t, "validate", r.ErrorCode, nil)
	if r.NumPartitions != 2 || r.ReplicationFactor != 1 {
		t.Errorf("%+v", r)
	}
	m := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &name
	m.Topics = append(m.Topics, topic)
	want(t, "metadata", ask[*kmsg.MetadataResponse](p, 9, m).Topics[0].ErrorCode, kerr.UnknownTopicOrPartition)
}

func TestDeleteTopics(t *testing.T) {
	p := dialed(t)
	s, other := p.topic(1), p.topic(1)
	named := func(name *string, id [16]byte) kmsg.DeleteTopicsRequestTopic {
		topic := kmsg.NewDeleteTopicsRequestTopic()
		topic.Topic, topic.TopicID = name, id
		return topic
	}
	tried := func(topics ...kmsg.DeleteTopicsRequestTopic) []kmsg.DeleteTopicsResponseTopic {
		q := kmsg.NewPtrDeleteTopicsRequest()
		q.Topics = topics
		return ask[*kmsg.DeleteTopicsResponse](p, 6, q).Topics
	}
	want(t, "unknown name", tried(named(kmsg.StringPtr("nowhere"), [16]byte{}))[0].ErrorCode, kerr.UnknownTopicOrPartition)
	want(t, "unknown id", tried(named(nil, [16]byte{7}))[0].ErrorCode, kerr.UnknownTopicID)
	want(t, "neither", tried(named(nil, [16]byte{}))[0].ErrorCode, kerr.InvalidRequest)
	want(t, "both", tried(named(&s.name, s.id))[0].ErrorCode, kerr.InvalidRequest)
	for _, r := range tried(named(&s.name, [16]byte{}), named(&s.name, [16]byte{})) {
		want(t, "twice", r.ErrorCode, kerr.InvalidRequest)
	}
	for _, r := range tried(named(&s.name, [16]byte{}), named(nil, s.id)) {
		want(t, "by name and by id", r.ErrorCode, kerr.InvalidRequest)
	}
	rs := tried(named(&s.name, [16]byte{}), named(nil, other.id))
	if len(rs) != 2 || rs[0].ErrorCode != 0 || rs[1].ErrorCode != 0 {
		t.Fatalf("%+v", rs)
	}
	want(t, "again", tried(named(nil, other.id))[0].ErrorCode, kerr.UnknownTopicID)
}

func TestDeletingTopicsCanBeForbidden(t *testing.T) {
	p := dialed(t, "delete.topic.enable=false")
	s := p.topic(1)
	q := kmsg.NewPtrDeleteTopicsRequest()
	q.TopicNames = []string{s.name}
	want(t, "version 1", ask[*kmsg.DeleteTopicsResponse](p, 1, q).Topics[0].ErrorCode, kerr.InvalidRequest)
	want(t, "version 4", ask[*kmsg.DeleteTopicsResponse](p, 4, q).Topics[0].ErrorCode, kerr.TopicDeletionDisabled)
	want(t, "it lives", p.metadata(s.name).ErrorCode, nil)
}

func TestCreatePartitions(t *testing.T) {
	p := dialed(t)
	self := p.self()
	s := p.topic(2)
	more := func(name string, count int32, validate bool, placement ...[]int32) int16 {
		q := kmsg.NewPtrCreatePartitionsRequest()
		q.TimeoutMillis, q.ValidateOnly = long, validate
		topic := kmsg.NewCreatePartitionsRequestTopic()
		topic.Topic, topic.Count = name, count
		for _, replicas := range placement {
			a := kmsg.NewCreatePartitionsRequestTopicAssignment()
			a.Replicas = replicas
			topic.Assignment = append(topic.Assignment, a)
		}
		q.Topics = append(q.Topics, topic)
		return ask[*kmsg.CreatePartitionsResponse](p, 3, q).Topics[0].ErrorCode
	}
	want(t, "unknown", more("nowhere", 3, false), kerr.UnknownTopicOrPartition)
	want(t, "as many", more(s.name, 2, false), kerr.InvalidPartitions)
	want(t, "fewer", more(s.name, 1, false), kerr.InvalidPartitions)
	want(t, "none", more(s.name, 0, false), kerr.InvalidPartitions)
	want(t, "placed too few", more(s.name, 4, false, []int32{self}), kerr.InvalidReplicaAssignment)
	want(t, "placed nowhere", more(s.name, 3, false, []int32{self + 9}), kerr.InvalidReplicaAssignment)
	want(t, "validated", more(s.name, 3, true), nil)
	if n := len(p.metadata(s.name).Partitions); n != 2 {
		t.Fatalf("%d partitions after validating", n)
	}
	want(t, "one more", more(s.name, 3, false, []int32{self}), nil)
	for len(p.metadata(s.name).Partitions) != 3 {
		p.alive() // a Kafka tells its brokers after the answer
	}
	p.led(s)
	if offset := p.put(s, 2, records("here")); offset != 0 {
		t.Fatalf("offset %d", offset)
	}
	want(t, "the old ones serve on", p.produce(13, s, 1, records("there")).ErrorCode, nil)
}

func TestMetadataOfAllTopicsAndOfNone(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	for version := int16(1); version <= 13; version++ {
		none := kmsg.NewPtrMetadataRequest()
		none.Topics = []kmsg.MetadataRequestTopic{}
		a := ask[*kmsg.MetadataResponse](p, version, none)
		if len(a.Topics) != 0 || len(a.Brokers) != 1 {
			t.Errorf("version %d: asked for none: %+v", version, a)
		}
		all := ask[*kmsg.MetadataResponse](p, version, kmsg.NewPtrMetadataRequest())
		found := false
		for _, topic := range all.Topics {
			found = found || *topic.Topic == s.name
		}
		if !found {
			t.Errorf("version %d: all topics are %+v", version, all.Topics)
		}
	}
}

func TestMetadataCreatesTopicsWhenItMay(t *testing.T) {
	onlyOurs(t) // Kafka answers first and creates then
	p := dialed(t)
	asked := func(version int16, name string, allow bool) kmsg.MetadataResponseTopic {
		q := kmsg.NewPtrMetadataRequest()
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &name
		q.Topics, q.AllowAutoTopicCreation = append(q.Topics, topic), allow
		return ask[*kmsg.MetadataResponse](p, version, q).Topics[0]
	}
	want(t, "not allowed", asked(4, unused(t), false).ErrorCode, kerr.UnknownTopicOrPartition)
	want(t, "bad name", asked(4, "a b", true).ErrorCode, kerr.InvalidTopicException)
	want(t, "allowed", asked(4, unused(t), true).ErrorCode, nil)
	want(t, "before it could be forbidden", asked(3, unused(t), false).ErrorCode, nil)
	closed := dialed(t, "auto.create.topics.enable=false")
	p = closed
	want(t, "switched off", asked(4, unused(t), true).ErrorCode, kerr.UnknownTopicOrPartition)
}

// Who deletes a topic and asks whether it is gone hears so, though asking creates topics, as before version 4 it always does.
func TestMetadataOfADeletedTopic(t *testing.T) {
	p := dialed(t)
	for _, version := range []int16{1, 3, 4, 9, 13} {
		s := p.topic(1)
		d := kmsg.NewPtrDeleteTopicsRequest()
		d.TopicNames = []string{s.name}
		want(t, "delete", ask[*kmsg.DeleteTopicsResponse](p, 5, d).Topics[0].ErrorCode, nil)
		q := kmsg.NewPtrMetadataRequest()
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &s.name
		q.Topics, q.AllowAutoTopicCreation = append(q.Topics, topic, topic), true // asked for twice, it is looked at once
		all := ask[*kmsg.MetadataResponse](p, version, q).Topics
		first := all[0]
		if len(all) != 1 {
			t.Errorf("version %d: %d answers for one topic", version, len(all))
		}
		want(t, "is it gone?", first.ErrorCode, kerr.UnknownTopicOrPartition)
		if len(first.Partitions) != 0 {
			t.Errorf("version %d: %+v", version, first)
		}
		if !foreign() { // Kafka needs a while
			want(t, "asked again", ask[*kmsg.MetadataResponse](p, version, q).Topics[0].ErrorCode, nil)
		}
	}
}

// page describes topics by DescribeTopicPartitions.
func (p *peer) page(limit int32, cursor *kmsg.DescribeTopicPartitionsRequestCursor, names ...string) *kmsg.DescribeTopicPartitionsResponse {
	p.t.Helper()
	q := kmsg.NewPtrDescribeTopicPartitionsRequest()
	q.ResponsePartitionLimit, q.Cursor = limit, cursor
	for _, name := range names {
		topic := kmsg.NewDescribeTopicPartitionsRequestTopic()
		topic.Topic = name
		q.Topics = append(q.Topics, topic)
	}
	return ask[*kmsg.DescribeTopicPartitionsResponse](p, 0, q)
}

func cursorAt(topic string, partition int32) *kmsg.DescribeTopicPartitionsRequestCursor {
	cursor := kmsg.NewDescribeTopicPartitionsRequestCursor()
	cursor.Topic, cursor.Partition = topic, partition
	return &cursor
}

func TestDescribeTopicPartitionsInPages(t *testing.T) {
	p := dialed(t)
	prefix := unused(t)
	a, b := p.topicNamed(prefix+"-a", 3), p.topicNamed(prefix+"-b", 2)
	for limit, pages := range map[int32]int{1: 5, 2: 3, 4: 2, 5: 1, 100: 1} {
		var cursor *kmsg.DescribeTopicPartitionsRequestCursor
		var seen []string
		count := 0
		for more := true; more; more = cursor != nil {
			r := p.page(limit, cursor, b.name, a.name)
			count++
			for _, topic := range r.Topics {
				want(t, "topic", topic.ErrorCode, nil)
				for _, part := range topic.Partitions {
					seen = append(seen, string(rune('0'+part.Partition))+(*topic.Topic)[len(prefix):])
				}
			}
			cursor = nil
			if r.NextCursor != nil {
				cursor = cursorAt(r.NextCursor.Topic, r.NextCursor.Partition)
			}
		}
		if got := strings.Join(seen, " "); got != "0-a 1-a 2-a 0-b 1-b" || count != pages {
			t.Errorf("limit %d: %s in %d pages, want %d", limit, got, count, pages)
		}
	}
}

func TestDescribeTopicPartitionsFromACursor(t *testing.T) {
	p := dialed(t)
	prefix := unused(t)
	a, b := p.topicNamed(prefix+"-a", 3), p.topicNamed(prefix+"-b", 2)
	if r := p.page(0, nil, a.name, b.name); len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 || r.NextCursor == nil {
		t.Errorf("a limit of 0 counts as 1: %+v", r)
	}
	if r := p.page(10, cursorAt(b.name, 1), a.name, b.name); len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		t.Errorf("from the last partition: %+v", r)
	}
	if r := p.page(10, cursorAt(a.name, 9), a.name, b.name); len(r.Topics) != 2 || len(r.Topics[0].Partitions) != 0 || len(r.Topics[1].Partitions) != 2 {
		t.Errorf("from behind the last partition: %+v", r)
	}
	for name, cursor := range map[string]*kmsg.DescribeTopicPartitionsRequestCursor{
		"a negative partition": cursorAt(b.name, -1), "a topic that is not asked for": cursorAt(prefix+"-aa", 0),
	} {
		r := p.page(10, cursor, a.name, b.name)
		if len(r.Topics) != 2 {
			t.Errorf("%s: %+v", name, r)
		}
		for _, topic := range r.Topics {
			want(t, name, topic.ErrorCode, kerr.InvalidRequest)
		}
	}
}

func TestDescribeTopicPartitionsThatDoNotExist(t *testing.T) {
	p := dialed(t)
	unknown := p.page(10, nil, unused(t), "a b")
	for _, topic := range unknown.Topics {
		expected := kerr.UnknownTopicOrPartition
		if *topic.Topic == "a b" {
			expected = kerr.InvalidTopicException
		}
		want(t, "unknown", topic.ErrorCode, expected)
	}
	if len(unknown.Topics) != 2 {
		t.Errorf("%+v", unknown)
	}
}
