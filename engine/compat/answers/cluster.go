package answers

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// cluster is what a broker tells of itself and of what it keeps.
var cluster = Set{Name: "cluster", Cases: slices.Concat(versionCases, nodeCases, featureCases, ourFeatureCases, recordCases, listCases)}

// versions asks which versions there are, as a client of that name and version.
func versions(name, version string) *kmsg.ApiVersionsRequest {
	q := kmsg.NewPtrApiVersionsRequest()
	q.ClientSoftwareName, q.ClientSoftwareVersion = name, version
	return q
}

var versionCases = []Case{
	{Name: "versions for clients with odd names", Mask: []string{"ApiKeys", "SupportedFeatures", "FinalizedFeatures", "FinalizedFeaturesEpoch"}, Ask: func(t *Talk) {
		for _, q := range []*kmsg.ApiVersionsRequest{
			versions("ours", "1.0"), versions("", ""), versions("ours", ""), versions("", "1"), versions("a b", "1"), versions("-a", "1"), versions("a-", "1"), versions("a_b", "1"), versions("a", "1.0-SNAPSHOT"), versions("ä", "1"), versions("a.b-c", "v1"),
		} {
			t.AskAt(q, 3, 4)
		}
		t.AskAt(versions("", ""), 0, 1, 2)
	}},
	{Name: "versions that there are not", Mask: []string{"ApiKeys"}, Ask: func(t *Talk) {
		q := versions("ours", "1")
		t.AskAt(q, 99)
		t.Raw(18, 99, []byte("\xff\xff"))
		t.Raw(18, -1, []byte("\xff\xff"))
		t.Raw(18, 32767, []byte("\x00\x01x\x00garbage"))
		t.Ask(0, q)
	}},
	{Name: "a version of another request that there is not", Mask: []string{"ApiKeys"}, Ask: func(t *Talk) {
		t.Raw(3, 99, []byte("\xff\xff"))
		t.Raw(3, -1, []byte("\xff\xff\x00\x00\x00\x00"))
		t.Raw(99, 0, []byte("\xff\xff"))
		t.Raw(-1, 0, []byte("\xff\xff"))
		t.Raw(4, 0, []byte("\xff\xff"))
		t.Raw(0, 3, []byte("\xff\xff"))
		t.Raw(3, 0, []byte("\xff\xff\x7f\xff\xff\xff"))
		t.Raw(3, 0, []byte("\xff\xff"))
		t.Ask(0, versions("", ""))
	}},
}

// clusterOf asks who is in the cluster, by the kind of listener.
func clusterOf(kind int8, operations bool) *kmsg.DescribeClusterRequest {
	q := kmsg.NewPtrDescribeClusterRequest()
	q.EndpointType, q.IncludeClusterAuthorizedOperations, q.IncludeFencedBrokers = kind, operations, operations
	return q
}

// quorum asks for the partitions of a topic.
func quorum(topics ...kmsg.DescribeQuorumRequestTopic) *kmsg.DescribeQuorumRequest {
	q := kmsg.NewPtrDescribeQuorumRequest()
	q.Topics = topics
	return q
}

func quorumOf(topic string, partitions ...int32) kmsg.DescribeQuorumRequestTopic {
	t := kmsg.NewDescribeQuorumRequestTopic()
	t.Topic = topic
	for _, p := range partitions {
		one := kmsg.NewDescribeQuorumRequestTopicPartition()
		one.Partition = p
		t.Partitions = append(t.Partitions, one)
	}
	return t
}

var nodeCases = []Case{
	{Name: "describe the cluster", Words: true, Ask: func(t *Talk) {
		t.AskAt(clusterOf(1, false), 0, 1, 2)
		t.AskAt(clusterOf(1, true), 0, 1, 2)
		t.AskAt(clusterOf(2, false), 1, 2)
		t.AskAt(clusterOf(0, false), 1, 2)
		t.AskAt(clusterOf(3, false), 1)
	}},
	{Name: "describe the quorum", Words: true, Mask: []string{"LeaderEpoch", "HighWatermark", "LogEndOffset", "Nodes", "ReplicaDirectoryID", "LastFetchTimestamp", "LastCaughtUpTimestamp"}, Ask: func(t *Talk) {
		t.AskAt(quorum(quorumOf("__cluster_metadata", 0)), 0, 1, 2)
		t.Ask(2, quorum())
		t.Ask(2, quorum(quorumOf("__cluster_metadata", 1)))
		t.Ask(2, quorum(quorumOf("__cluster_metadata", 0, 1)))
		t.Ask(2, quorum(quorumOf("__cluster_metadata")))
		t.Ask(2, quorum(quorumOf("another", 0)))
		t.Ask(2, quorum(quorumOf("__cluster_metadata", 0), quorumOf("another", 0)))
	}},
	{Name: "unregister brokers that are not there", Words: true, Ask: func(t *Talk) {
		for _, id := range []int32{7, -1, 1<<31 - 1} {
			q := kmsg.NewPtrUnregisterBrokerRequest()
			q.BrokerID = id
			t.Ask(0, q)
		}
	}},
	{Name: "describe log folders", Ask: func(t *Talk) {
		t.Topic("laid", 2)
		q := kmsg.NewPtrDescribeLogDirsRequest()
		q.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: "laid", Partitions: []int32{0, 1}}}
		t.Until(4, q, func(a kmsg.Response) bool {
			d := a.(*kmsg.DescribeLogDirsResponse).Dirs //nolint:forcetypeassert // the answer to DescribeLogDirs
			return len(d) == 1 && len(d[0].Topics) == 1 && len(d[0].Topics[0].Partitions) == 2
		})
		q.Topics = []kmsg.DescribeLogDirsRequestTopic{}
		t.AskAt(q, 1, 2, 3, 4)
		for _, topic := range []kmsg.DescribeLogDirsRequestTopic{
			{Topic: "laid", Partitions: []int32{0, 1}}, {Topic: "laid", Partitions: []int32{1, 1, 7, -1}}, {Topic: "laid", Partitions: []int32{}}, {Topic: "nowhere", Partitions: []int32{0}}, {Topic: "a b", Partitions: []int32{0}},
		} {
			q.Topics = []kmsg.DescribeLogDirsRequestTopic{topic}
			t.AskAt(q, 1, 4)
		}
		q.Topics = append(q.Topics, kmsg.DescribeLogDirsRequestTopic{Topic: "laid", Partitions: []int32{0}}, kmsg.DescribeLogDirsRequestTopic{Topic: "laid", Partitions: []int32{0}})
		t.Ask(4, q)
	}},
}

// feature asks for a level of a feature.
func feature(name string, level int16, kind int8) kmsg.UpdateFeaturesRequestFeatureUpdate {
	u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
	u.Feature, u.MaxVersionLevel, u.UpgradeType, u.AllowDowngrade = name, level, kind, kind == 2
	return u
}

func update(features ...kmsg.UpdateFeaturesRequestFeatureUpdate) *kmsg.UpdateFeaturesRequest {
	q := kmsg.NewPtrUpdateFeaturesRequest()
	q.TimeoutMillis, q.ValidateOnly, q.FeatureUpdates = 10000, true, features
	return q
}

var featureCases = []Case{
	{Name: "update features to what is not right", Words: true, Ask: func(t *Talk) {
		t.AskAt(update(), 0, 1, 2)
		for _, one := range []kmsg.UpdateFeaturesRequestFeatureUpdate{
			feature("no.such", 1, 1), feature("", 1, 1), feature("transaction.version", 99, 1), feature("transaction.version", -1, 1), feature("transaction.version", 1, 1), feature("transaction.version", 2, 1), feature("transaction.version", 2, 0), feature("transaction.version", 2, 4),
			feature("transaction.version", 0, 1), feature("transaction.version", 1, 3), feature("transaction.version", 1, 2), feature("group.version", 0, 2), feature("group.version", 0, 1), feature("group.version", 9, 1), feature("no.such", 0, 2),
		} {
			t.AskAt(update(one), 1, 2)
		}
		t.AskAt(update(feature("transaction.version", 2, 1), feature("no.such", 1, 1)), 1, 2)
	}},
}

var ourFeatureCases = []Case{
	{Name: "update the level of the metadata", Words: true, Differs: "Millrace has metadata of one level.", Ask: func(t *Talk) {
		t.Ask(2, update(feature("metadata.version", 1, 1)))
		t.Ask(2, update(feature("metadata.version", 0, 2)))
	}},
	{Name: "update a feature twice in a request", Words: true, Differs: "Two levels of one feature contradict each other: cluster/features.go.", Ask: func(t *Talk) {
		t.AskAt(update(feature("transaction.version", 2, 1), feature("transaction.version", 1, 2)), 1, 2)
	}},
}

// removed asks for records before an offset to go.
func removed(topic string, partition int32, offset int64) kmsg.DeleteRecordsRequestTopic {
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic = topic
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	t.Partitions = append(t.Partitions, p)
	return t
}

var recordCases = []Case{
	{Name: "delete records", Ask: func(t *Talk) {
		t.Topic("removed", 2)
		t.Topic("compacted", 1, "cleanup.policy=compact")
		t.Topic("compacted-too", 1, "cleanup.policy=compact,delete")
		t.Quietly(func() { // there is a topic for offsets
			q := kmsg.NewPtrFindCoordinatorRequest()
			q.CoordinatorKey = "g"
			t.Until(0, q, func(a kmsg.Response) bool { return a.(*kmsg.FindCoordinatorResponse).ErrorCode == 0 }) //nolint:forcetypeassert // the answer to FindCoordinator
		})
		for _, topic := range []kmsg.DeleteRecordsRequestTopic{
			removed("removed", 0, 0), removed("removed", 0, -1), removed("removed", 0, 1), removed("removed", 0, -2), removed("removed", 0, 1<<62), removed("removed", 7, 0), removed("removed", -1, 0), removed("nowhere", 0, 0), removed("", 0, 0), removed("a b", 0, 0), removed("compacted", 0, 0), removed("compacted-too", 0, 0), removed("__consumer_offsets", 0, 0),
		} {
			q := kmsg.NewPtrDeleteRecordsRequest()
			q.Topics, q.TimeoutMillis = append(q.Topics, topic), 10000
			t.AskAt(q, 0, 2)
		}
		q := kmsg.NewPtrDeleteRecordsRequest()
		t.AskAt(q, 0, 2)
		q.Topics = append(q.Topics, removed("removed", 0, 0), removed("removed", 1, 0), removed("removed", 1, 5))
		t.AskAt(q, 0, 2)
	}},
}

var listCases = []Case{
	{Name: "list groups by state and type", Ask: func(t *Talk) {
		for _, states := range [][]string{nil, {}, {"Empty"}, {"empty"}, {"NoSuch"}, {""}, {"Stable", "Dead"}} {
			q := kmsg.NewPtrListGroupsRequest()
			q.StatesFilter = states
			t.AskAt(q, 0, 4, 5)
		}
		for _, types := range [][]string{{"classic"}, {"Consumer"}, {"nosuch"}, {""}, {"classic", "nosuch"}} {
			q := kmsg.NewPtrListGroupsRequest()
			q.TypesFilter = types
			t.AskAt(q, 5)
		}
	}},
	{Name: "list transactions by what they are", Ask: func(t *Talk) {
		for _, change := range []func(q *kmsg.ListTransactionsRequest){
			func(*kmsg.ListTransactionsRequest) {},
			func(q *kmsg.ListTransactionsRequest) {
				q.StateFilters = []string{"Ongoing", "ongoing", "NoSuch", "", "NoSuch"}
			},
			func(q *kmsg.ListTransactionsRequest) { q.ProducerIDFilters = []int64{-1, 4} },
			func(q *kmsg.ListTransactionsRequest) { q.DurationFilterMillis = 5 },
			func(q *kmsg.ListTransactionsRequest) { q.DurationFilterMillis = -5 },
			func(q *kmsg.ListTransactionsRequest) { q.TransactionalIDPattern = kmsg.StringPtr("") },
			func(q *kmsg.ListTransactionsRequest) { q.TransactionalIDPattern = kmsg.StringPtr("(") },
			func(q *kmsg.ListTransactionsRequest) { q.TransactionalIDPattern = kmsg.StringPtr("a(?=b)") },
		} {
			q := kmsg.NewPtrListTransactionsRequest()
			change(q)
			t.AskAt(q, 0, 2)
		}
	}},
	{Name: "list what has settings", Mask: []string{}, Ask: func(t *Talk) {
		t.Topic("laid", 2)
		q := kmsg.NewPtrListConfigResourcesRequest()
		for _, kinds := range [][]int8{{16}, {32}, {4}, {16, 32}, {16, 16}, {0}, {1}, {127}, {-1}, {4, 99}, {8, 99}} {
			q.ResourceTypes = kinds
			t.AskAt(q, 1)
		}
		q.ResourceTypes = nil
		t.AskAt(q, 0)
	}},
	{Name: "list loggers", Differs: "Broker loggers have no settings here: 32_describe_configs.go.", Ask: func(t *Talk) {
		q := kmsg.NewPtrListConfigResourcesRequest()
		q.ResourceTypes = []int8{8}
		t.AskAt(q, 1)
	}},
}
