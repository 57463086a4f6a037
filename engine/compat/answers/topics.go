package answers

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// topics is how topics are made, looked at, changed and deleted.
var topics = Set{Name: "topics", Cases: slices.Concat(metadataCases, createCases, deleteCases, partitionCases, describeTopicCases, moveCases)}

// named asks for metadata of these names.
func named(names ...string) *kmsg.MetadataRequest {
	q := kmsg.NewPtrMetadataRequest()
	q.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		q.Topics = append(q.Topics, t)
	}
	return q
}

// identified asks for metadata of these ids.
func identified(ids ...[16]byte) *kmsg.MetadataRequest {
	q := kmsg.NewPtrMetadataRequest()
	for _, id := range ids {
		t := kmsg.NewMetadataRequestTopic()
		t.TopicID = id
		q.Topics = append(q.Topics, t)
	}
	return q
}

// led reports whether the topics of an answer are all there and have leaders.
func led(a kmsg.Response) bool {
	for _, t := range a.(*kmsg.MetadataResponse).Topics { //nolint:forcetypeassert // only metadata is asked for until it is right
		if t.ErrorCode != 0 || len(t.Partitions) == 0 {
			return false
		}
	}
	return true
}

var metadataCases = []Case{
	{Name: "metadata of no topic, and of all when there are none", Ask: func(t *Talk) {
		q := named()
		t.AskAt(q, 0, 1, 8, 13)
		q.Topics = nil
		t.AskAt(q, 1, 8, 13)
	}},
	{Name: "metadata of topics that are not there, and not made", Ask: func(t *Talk) {
		t.AskAt(named("absent", "absent", "also"), 4, 9, 13)
	}},
	{Name: "metadata of names that are not right", Ask: func(t *Talk) {
		for _, making := range []bool{false, true} {
			q := named("", ".", "a b", "ünlaut", string(letters('n', 250)))
			q.AllowAutoTopicCreation = making
			t.AskAt(q, 4, 13)
		}
	}},
	{Name: "metadata makes a topic", Differs: "A topic created by asking is described at once: DECISIONS.md.", Ask: func(t *Talk) {
		q := named("made")
		q.AllowAutoTopicCreation = true
		t.Ask(13, q)
		t.Until(13, q, led)
	}},
	{Name: "metadata makes topics whose names collide", Differs: "A topic created by asking is described at once, or its refusal told: DECISIONS.md.", Ask: func(t *Talk) {
		q := named("col.lide")
		q.AllowAutoTopicCreation = true
		t.Quietly(func() { t.Until(13, q, led) })
		q = named("col_lide")
		q.AllowAutoTopicCreation = true
		t.AskAt(q, 4, 13)
	}},
	{Name: "metadata by id", Ask: func(t *Talk) {
		id := t.Topic("known", 2)
		t.AskAt(identified(id), 10, 12, 13)
		t.AskAt(identified([16]byte{1, 2, 3}), 12, 13)
		t.AskAt(identified(id, id, [16]byte{9}), 12, 13)
		q := identified(id)
		q.Topics[0].Topic = kmsg.StringPtr("another")
		t.AskAt(q, 10, 12, 13)
	}},
	{Name: "metadata by no name and no id, which no version has", Ask: func(t *Talk) {
		t.Ask(10, identified([16]byte{}))
	}},
	{Name: "metadata by no name and no id", Differs: "Kafka stumbles over it and calls the error unknown.", Ask: func(t *Talk) {
		t.AskAt(identified([16]byte{}), 12, 13)
	}},
	{Name: "metadata with what one may do", Ask: func(t *Talk) {
		t.Topic("known", 2)
		q := named("known", "absent")
		q.IncludeClusterAuthorizedOperations, q.IncludeTopicAuthorizedOperations = true, true
		t.AskAt(q, 7, 8, 10, 11, 13)
	}},
	{Name: "metadata of a topic at old and new versions", Ask: func(t *Talk) {
		t.Topic("known", 2)
		t.AskAt(named("known"), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
	}},
}

// letters is a name of n letters.
func letters(letter byte, n int) []byte {
	name := make([]byte, n)
	for i := range name {
		name[i] = letter
	}
	return name
}

// creation is one topic of a request; change may be nil.
func creation(name string, partitions int32, replication int16, change func(*kmsg.CreateTopicsRequestTopic)) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replication
	if change != nil {
		change(&t)
	}
	return t
}

func create(topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	q := kmsg.NewPtrCreateTopicsRequest()
	q.TimeoutMillis = 10000
	q.Topics = topics
	return q
}

// assigned gives a topic replicas by hand: partition, replicas.
func assigned(replicas ...[]int32) func(*kmsg.CreateTopicsRequestTopic) {
	return func(t *kmsg.CreateTopicsRequestTopic) {
		for _, r := range replicas {
			a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			a.Partition, a.Replicas = r[0], r[1:]
			t.ReplicaAssignment = append(t.ReplicaAssignment, a)
		}
	}
}

// with gives a topic settings: names and values in turn.
func with(pairs ...any) func(*kmsg.CreateTopicsRequestTopic) {
	return func(t *kmsg.CreateTopicsRequestTopic) {
		for i := 0; i < len(pairs); i += 2 {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name = pairs[i].(string) //nolint:forcetypeassert // as the cases have them
			if value, ok := pairs[i+1].(string); ok {
				c.Value = &value
			}
			t.Configs = append(t.Configs, c)
		}
	}
}

// each asks for one topic after the other.
func each(version int16, topics ...kmsg.CreateTopicsRequestTopic) func(t *Talk) {
	return func(t *Talk) {
		for _, topic := range topics {
			t.Ask(version, create(topic))
		}
	}
}

var createCases = []Case{
	{Name: "create no topics", Words: true, Ask: func(t *Talk) { t.AskAt(create(), 2, 7) }},
	{Name: "create topics with names that are not right", Words: true, Ask: func(t *Talk) {
		var wrong []kmsg.CreateTopicsRequestTopic
		for _, name := range []string{"", ".", "..", "a b", "a/b", "ünlaut", "a:b", "a\x00b", string(letters('n', 250))} {
			wrong = append(wrong, creation(name, 1, 1, nil))
		}
		q := create(wrong...)
		q.ValidateOnly = true
		t.AskAt(q, 2, 5, 7)
	}},
	{Name: "create topics by partitions and replicas", Words: true, Mask: []string{"Configs"}, Ask: each(7,
		creation("p0", 0, 1, nil), creation("p-2", -2, 1, nil), creation("default", -1, -1, nil), creation("r0", 1, 0, nil),
		creation("r-2", 1, -2, nil), creation("r2", 1, 2, nil), creation("pr", 0, 0, nil), creation("r-max", 1, 32767, nil))},
	{Name: "create a topic with the default number of partitions at old versions", Words: true, Mask: []string{"Configs"}, Ask: func(t *Talk) {
		q := create(creation("older", -1, -1, nil))
		q.ValidateOnly = true
		t.AskAt(q, 2, 3, 4)
	}},
	{Name: "create a topic with very many partitions", Words: true, Mask: []string{"Configs"}, Ask: func(t *Talk) {
		for _, n := range []int32{10001, 1 << 30, 1<<31 - 1} {
			q := create(creation("huge", n, 1, nil))
			q.ValidateOnly = true
			t.Ask(7, q)
		}
	}},
	{Name: "create topics twice in a request", Words: true, Mask: []string{"Configs"}, Ask: func(t *Talk) {
		t.AskAt(create(creation("twice", 1, 1, nil), creation("twice", 2, 1, nil), creation("once", 1, 1, nil)), 2, 7)
		t.Ask(7, create(creation("a b", 1, 1, nil), creation("a b", 1, 1, nil)))
	}},
	{Name: "create a topic that is there", Words: true, Mask: []string{"Configs"}, Ask: func(t *Talk) {
		t.Topic("there", 1)
		t.AskAt(create(creation("there", 1, 1, nil)), 2, 7)
		t.Ask(7, create(creation("there", 0, 9, nil)))
		q := create(creation("there", 1, 1, nil))
		q.ValidateOnly = true
		t.Ask(7, q)
	}},
	{Name: "create topics whose names collide", Words: true, Mask: []string{"Configs"}, Ask: func(t *Talk) {
		t.Topic("a.b.c", 1)
		t.AskAt(create(creation("a_b.c", 1, 1, nil), creation("a_b_c", 1, 1, nil)), 7)
		t.AskAt(create(creation("x.y", 1, 1, nil), creation("x_y", 1, 1, nil)), 7)
	}},
	{Name: "create topics with names that are kept for the broker", Words: true, Mask: []string{"Configs"}, Ask: func(t *Talk) {
		t.AskAt(create(creation("__cluster_metadata", 1, 1, nil)), 7)
	}},
	{Name: "create topics by hand", Words: true, Mask: []string{"Configs"}, Ask: each(7,
		creation("hand", -1, -1, assigned([]int32{1, 1}, []int32{0, 1})),
		creation("gap", -1, -1, assigned([]int32{0, 1}, []int32{2, 1})),
		creation("from-one", -1, -1, assigned([]int32{1, 1})),
		creation("again", -1, -1, assigned([]int32{0, 1}, []int32{0, 1})),
		creation("below", -1, -1, assigned([]int32{-1, 1})),
		creation("unknown", -1, -1, assigned([]int32{0, 7})),
		creation("negative", -1, -1, assigned([]int32{0, -1})),
		creation("double", -1, -1, assigned([]int32{0, 1, 1})),
		creation("nobody", -1, -1, assigned([]int32{0})),
		creation("both", 1, -1, assigned([]int32{0, 1})),
		creation("both-too", -1, 1, assigned([]int32{0, 1})),
		creation("both-both", 1, 1, assigned([]int32{0, 1})),
		creation("uneven", -1, -1, assigned([]int32{0, 1}, []int32{1, 1, 7})),
	)},
	{Name: "create topics with settings that are not right", Words: true, Mask: []string{"Configs"}, Ask: each(7,
		creation("s1", 1, 1, with("no.such", "1")),
		creation("s2", 1, 1, with("retention.ms", "never")),
		creation("s3", 1, 1, with("retention.ms", nil)),
		creation("s4", 1, 1, with("retention.ms", "-2")),
		creation("s5", 1, 1, with("cleanup.policy", "shred")),
		creation("s6", 1, 1, with("cleanup.policy", "")),
		creation("s7", 1, 1, with("segment.bytes", "1")),
		creation("s8", 1, 1, with("segment.bytes", " 2097152 ")),
		creation("s9", 1, 1, with("min.cleanable.dirty.ratio", "1.5")),
		creation("s10", 1, 1, with("compression.type", "brotli")),
		creation("s11", 1, 1, with("preallocate", "maybe")),
		creation("s12", 1, 1, with("min.insync.replicas", "0")),
		creation("s13", 1, 1, with("message.timestamp.type", "createtime")),
		creation("s14", 1, 1, with("max.message.bytes", "99999999999")),
		creation("s15", 1, 1, with("remote.storage.enable", "true")),
		creation("s16", 1, 1, with("leader.replication.throttled.replicas", "x")),
		creation("s17", 1, 1, with("", "x")),
		creation("s18", 1, 1, with("retention.ms", "1", "retention.ms", "never")),
		creation("s19", 1, 1, with("message.downconversion.enable", "false")),
		creation("s20", 1, 1, with("message.format.version", "3.0-IV1")),
		creation("s21", 1, 1, with("max.compaction.lag.ms", "5", "min.compaction.lag.ms", "6")),
		creation("s22", 1, 1, with("local.retention.ms", "7", "retention.ms", "6")),
		creation("s23", 1, 1, with("compression.zstd.level", "99")),
		creation("s24", 1, 1, with("compression.gzip.level", "0")),
		creation("s25", 1, 1, with("preallocate", "TRUE")),
		creation("s26", 1, 1, with("retention.ms", "0x10")),
		creation("s27", 1, 1, with("retention.ms", "+5")),
	)},
	{Name: "create a topic with settings, and show them", Ask: func(t *Talk) {
		t.AskAt(create(creation("set", 3, 1, with("cleanup.policy", "compact,delete", "retention.ms", "7"))), 7)
	}},
	{Name: "create topics and only validate", Mask: []string{"Configs"}, Words: true, Ask: func(t *Talk) {
		q := create(creation("maybe", 1, 1, nil), creation("maybe-not", 1, 5, nil))
		q.ValidateOnly = true
		t.AskAt(q, 2, 4, 5, 6, 7)
		t.Ask(13, named("maybe"))
	}},
	{Name: "create topics without time", Differs: "What is asked is decided at once, so that there is nothing to wait for.", Mask: []string{"Configs"}, Words: true, Ask: func(t *Talk) {
		for _, millis := range []int32{0, -1} {
			q := create(creation("no-time", 1, 1, nil))
			q.TimeoutMillis, q.ValidateOnly = millis, true
			t.Ask(7, q)
		}
	}},
}

// deletion asks for names.
func deletion(names ...string) *kmsg.DeleteTopicsRequest {
	q := kmsg.NewPtrDeleteTopicsRequest()
	q.TimeoutMillis = 10000
	for _, name := range names {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = &name
		q.TopicNames, q.Topics = append(q.TopicNames, name), append(q.Topics, t)
	}
	return q
}

// deletionByID asks for ids, each with a name unless that is empty.
func deletionByID(name string, ids ...[16]byte) *kmsg.DeleteTopicsRequest {
	q := kmsg.NewPtrDeleteTopicsRequest()
	q.TimeoutMillis = 10000
	for _, id := range ids {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.TopicID = id
		if name != "" {
			t.Topic = &name
		}
		q.Topics = append(q.Topics, t)
	}
	return q
}

var deleteCases = []Case{
	{Name: "delete no topics", Words: true, Ask: func(t *Talk) { t.AskAt(deletion(), 1, 6) }},
	{Name: "delete topics that are not there", Words: true, Ask: func(t *Talk) {
		t.AskAt(deletion("nowhere", "a b", ""), 1, 3, 5, 6)
		t.Ask(6, deletionByID("", [16]byte{5}))
	}},
	{Name: "delete a topic twice in a request", Words: true, Ask: func(t *Talk) {
		id := t.Topic("gone", 1)
		t.AskAt(deletion("gone", "gone", "nowhere", "nowhere"), 1, 5, 6)
		t.Ask(6, deletionByID("", id, id, [16]byte{6}, [16]byte{6}))
	}},
	{Name: "delete topics by what cannot be", Words: true, Ask: func(t *Talk) {
		id := t.Topic("stays", 1)
		t.Ask(6, deletionByID("stays", id))
		t.Ask(6, deletionByID("another", id))
		t.Ask(6, deletionByID("", [16]byte{}))
	}},
	{Name: "delete a topic by name and by id at once", Words: true, Ask: func(t *Talk) {
		id := t.Topic("both-ways", 1)
		q := deletion("both-ways")
		q.Topics = append(q.Topics, deletionByID("", id).Topics...)
		t.Ask(6, q)
		t.Ask(13, named("both-ways"))
	}},
	{Name: "delete topics", Words: true, Ask: func(t *Talk) {
		for _, version := range []int16{1, 3, 4, 5, 6} {
			t.Topic("passing", 2)
			t.Ask(version, deletion("passing"))
			t.Quietly(func() {
				t.Until(12, named("passing"), func(a kmsg.Response) bool {
					return a.(*kmsg.MetadataResponse).Topics[0].ErrorCode != 0 //nolint:forcetypeassert // the answer to Metadata
				})
			})
		}
		id := t.Topic("passing", 2)
		t.Ask(6, deletionByID("", id))
		t.Ask(6, deletionByID("", id))
	}},
}

// more asks for partitions: topic, count, and who has the new ones.
func more(topic string, count int32, replicas ...[]int32) kmsg.CreatePartitionsRequestTopic {
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = topic, count
	for _, r := range replicas {
		a := kmsg.NewCreatePartitionsRequestTopicAssignment()
		a.Replicas = r
		t.Assignment = append(t.Assignment, a)
	}
	return t
}

func grow(topics ...kmsg.CreatePartitionsRequestTopic) *kmsg.CreatePartitionsRequest {
	q := kmsg.NewPtrCreatePartitionsRequest()
	q.TimeoutMillis = 10000
	q.Topics = topics
	return q
}

var partitionCases = []Case{
	{Name: "add partitions to nothing", Words: true, Ask: func(t *Talk) {
		t.AskAt(grow(), 0, 3)
		t.AskAt(grow(more("nowhere", 3), more("a b", 3), more("", 3)), 0, 3)
	}},
	{Name: "add too few partitions, or too many", Words: true, Ask: func(t *Talk) {
		t.Topic("grows", 3)
		for _, n := range []int32{3, 2, 0, -1} {
			q := grow(more("grows", n))
			q.ValidateOnly = true
			t.Ask(3, q)
		}
	}},
	{Name: "add very many partitions", Words: true, Differs: "Kafka refuses as many when a topic is made with POLICY_VIOLATION, and here with an unknown error.", Ask: func(t *Talk) {
		t.Topic("grows", 3)
		for _, n := range []int32{1<<31 - 1, 20000} {
			q := grow(more("grows", n))
			q.ValidateOnly = true
			t.Ask(3, q)
		}
	}},
	{Name: "add partitions by hand", Words: true, Ask: func(t *Talk) {
		t.Topic("grows", 3)
		for _, asked := range []kmsg.CreatePartitionsRequestTopic{
			more("grows", 5, []int32{1}), more("grows", 4, []int32{1}, []int32{1}), more("grows", 4, []int32{7}), more("grows", 4, []int32{1, 1}),
			more("grows", 4, []int32{}), more("grows", 4, []int32{-1}), more("grows", 4, []int32{1, 7}), more("grows", 5, []int32{1}, []int32{7}), more("grows", 4, []int32{1}),
		} {
			q := grow(asked)
			q.ValidateOnly = true
			t.Ask(3, q)
		}
		q := grow(more("grows", 4))
		q.ValidateOnly = true
		q.Topics[0].Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{}
		t.Ask(3, q)
	}},
	{Name: "add partitions twice in a request", Words: true, Ask: func(t *Talk) {
		t.Topic("grows", 3)
		t.AskAt(grow(more("grows", 4), more("grows", 5), more("nowhere", 2), more("nowhere", 2)), 0, 3)
	}},
	{Name: "add partitions", Words: true, Ask: func(t *Talk) {
		t.Topic("grows", 3)
		t.Ask(0, grow(more("grows", 4)))
		t.Ask(3, grow(more("grows", 6, []int32{1}, []int32{1}), more("nowhere", 2)))
		t.Until(12, named("grows"), func(a kmsg.Response) bool {
			return len(a.(*kmsg.MetadataResponse).Topics[0].Partitions) == 6 && led(a) //nolint:forcetypeassert // the answer to Metadata
		})
	}},
}

// pages asks for topics, a limit, and from a cursor on; an empty topic of the cursor: none.
func pages(limit int32, cursor string, partition int32, names ...string) *kmsg.DescribeTopicPartitionsRequest {
	q := kmsg.NewPtrDescribeTopicPartitionsRequest()
	q.ResponsePartitionLimit = limit
	for _, name := range names {
		t := kmsg.NewDescribeTopicPartitionsRequestTopic()
		t.Topic = name
		q.Topics = append(q.Topics, t)
	}
	if cursor != "-" {
		c := kmsg.NewDescribeTopicPartitionsRequestCursor()
		c.Topic, c.Partition = cursor, partition
		q.Cursor = &c
	}
	return q
}

var describeTopicCases = []Case{
	{Name: "describe partitions", Ask: func(t *Talk) {
		t.Topic("page-a", 3)
		t.Topic("page-b", 2)
		t.Topic("page-c", 1)
		for _, q := range []*kmsg.DescribeTopicPartitionsRequest{
			pages(2000, "-", 0, "page-b", "page-a", "nowhere"), pages(2000, "-", 0, "page-b", "page-a", "page-b"), pages(9, "-", 0, "a b"), pages(0, "-", 0, "page-a"), pages(-1, "-", 0, "page-a", "page-b"),
			pages(2, "-", 0, "page-c", "page-b", "page-a"), pages(3, "-", 0, "page-c", "page-b", "page-a"), pages(3, "-", 0, "page-a"), pages(1, "-", 0, "nowhere", "page-a"),
			pages(1, "-", 0, "page-c", "zzz"),
		} {
			t.Ask(0, q)
		}
	}},
	{Name: "describe partitions of no name", Differs: "Kafka stumbles over it and calls the error unknown.", Ask: func(t *Talk) { t.Ask(0, pages(9, "-", 0, "")) }},
	{Name: "describe partitions from a cursor on", Ask: func(t *Talk) {
		t.Topic("page-a", 3)
		t.Topic("page-b", 2)
		t.Topic("page-c", 1)
		for _, q := range []*kmsg.DescribeTopicPartitionsRequest{
			pages(2, "page-a", 1, "page-c", "page-b", "page-a"), pages(2, "page-a", 3, "page-a"), pages(2, "page-a", 99, "page-a", "page-b"), pages(2, "page-b", 0, "page-a", "page-b"),
			pages(2, "page-a", -1, "page-a"), pages(2, "page-a", 0, "page-b"), pages(2, "page-aa", 0, "page-a", "page-b"), pages(2, "nowhere", 0, "nowhere", "page-a"),
			pages(2, "page-aa", 1), pages(2, "page-b", 1), pages(2, "", 0, "page-a"), pages(1, "zzz", 0), pages(2, "nowhere", 5, "nowhere", "page-a"),
		} {
			t.Ask(0, q)
		}
	}},
}

// election asks for partitions of topics; without topics for all.
func election(kind int8, topics ...kmsg.ElectLeadersRequestTopic) *kmsg.ElectLeadersRequest {
	q := kmsg.NewPtrElectLeadersRequest()
	q.ElectionType, q.Topics, q.TimeoutMillis = kind, topics, 10000
	return q
}

func elected(topic string, partitions ...int32) kmsg.ElectLeadersRequestTopic {
	t := kmsg.NewElectLeadersRequestTopic()
	t.Topic, t.Partitions = topic, partitions
	return t
}

// moved asks to move a partition to replicas; nil: to stop that.
func moved(topic string, partition int32, replicas []int32) kmsg.AlterPartitionAssignmentsRequestTopic {
	t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	t.Topic = topic
	p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	p.Partition, p.Replicas = partition, replicas
	t.Partitions = append(t.Partitions, p)
	return t
}

func move(topics ...kmsg.AlterPartitionAssignmentsRequestTopic) *kmsg.AlterPartitionAssignmentsRequest {
	q := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	q.TimeoutMillis = 10000
	q.Topics = topics
	return q
}

var moveCases = []Case{
	{Name: "elect leaders", Words: true, Ask: func(t *Talk) {
		t.Topic("led", 2)
		for _, kind := range []int8{0, 1, 2, -1} {
			t.AskAt(election(kind, elected("led", 0, 1, 2, -1), elected("nowhere", 0), elected("led", 0), elected("a b")), 0, 1, 2)
		}
		t.AskAt(election(0, []kmsg.ElectLeadersRequestTopic{}...), 0, 2)
		q := election(0)
		q.Topics = []kmsg.ElectLeadersRequestTopic{}
		t.AskAt(q, 0, 2)
	}},
	{Name: "move partitions", Words: true, Ask: func(t *Talk) {
		t.Topic("moved", 2)
		for _, topic := range []kmsg.AlterPartitionAssignmentsRequestTopic{
			moved("moved", 0, []int32{1}), moved("moved", 0, []int32{2}), moved("moved", 0, []int32{1, 2}), moved("moved", 0, []int32{1, 1}), moved("moved", 0, []int32{}), moved("moved", 0, []int32{-1}),
			moved("moved", 0, nil), moved("moved", 5, []int32{1}), moved("moved", -1, nil), moved("nowhere", 0, []int32{1}), moved("nowhere", 0, nil), moved("", 0, nil), moved("a b", 0, nil),
		} {
			t.AskAt(move(topic), 0, 1)
		}
		t.Ask(0, move())
		t.Ask(0, move(moved("moved", 0, []int32{1}), moved("moved", 0, nil), moved("moved", 1, []int32{3})))
		q := move(moved("moved", 0, []int32{1, 2}))
		q.AllowReplicationFactorChange = false
		t.Ask(1, q)
	}},
	{Name: "list partitions on the move", Words: true, Ask: func(t *Talk) {
		t.Topic("moved", 2)
		q := kmsg.NewPtrListPartitionReassignmentsRequest()
		t.Ask(0, q)
		topic := kmsg.NewListPartitionReassignmentsRequestTopic()
		topic.Topic, topic.Partitions = "moved", []int32{0, 7, -1}
		q.Topics = append(q.Topics, topic)
		topic.Topic = "nowhere"
		q.Topics = append(q.Topics, topic)
		t.Ask(0, q)
		q.Topics = []kmsg.ListPartitionReassignmentsRequestTopic{}
		t.Ask(0, q)
	}},
}
