package engine

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/security/acl"
	"github.com/millrace/millrace/sdk"
)

// Lines of keys that are not served have no request: whoever adds the key adds it.

// matrix is what each API key needs, written down from Kafka 4.3.
func matrix() []line {
	return slices.Concat(recordLines(), metadataLines(), groupLines(), offsetLines(), consumerLines(), producerLines(), markerLines(), topicLines(), configLines(), aclLines(), clusterLines(), userLines())
}

func recordLines() []line {
	produced := func(_ *scene, a *kmsg.ProduceResponse) []int16 { return []int16{a.Topics[0].Partitions[0].ErrorCode} }
	fetched := func(_ *scene, a *kmsg.FetchResponse) []int16 { return []int16{a.Topics[0].Partitions[0].ErrorCode} }
	return []line{
		lineOf(0, 9, "by name", needs(topicNeed(sdk.OperationWrite, theTopic)), func(s *scene) kmsg.Request {
			return produceRequest(9, s.topic, 0, -1, records("x"))
		}, produced),
		lineOf(0, 13, "by id", needs(topicNeed(sdk.OperationWrite, theTopic)), func(s *scene) kmsg.Request {
			return produceRequest(13, s.topic, 0, -1, records("x"))
		}, produced),
		lineOf(0, 9, "a topic that does not exist", needs(topicNeed(sdk.OperationWrite, newTopic)), func(s *scene) kmsg.Request {
			return produceRequest(9, subject{name: s.new}, 0, -1, records("x"))
		}, produced),
		lineOf(0, 9, "in a transaction", needs(idNeed(sdk.OperationWrite), topicNeed(sdk.OperationWrite, theTopic)), func(s *scene) kmsg.Request {
			q := produceRequest(9, s.topic, 0, -1, transactional())
			q.TransactionID = &s.id
			return q
		}, produced),
		lineOf(1, 11, "by name", needs(topicNeed(sdk.OperationRead, theTopic)), func(s *scene) kmsg.Request { return from(s.topic, 0, 0) }, fetched),
		lineOf(1, 13, "by id", needs(topicNeed(sdk.OperationRead, theTopic)), func(s *scene) kmsg.Request { return from(s.topic, 0, 0) }, fetched),
		lineOf(1, 11, "a topic that does not exist", needs(topicNeed(sdk.OperationRead, newTopic)), func(s *scene) kmsg.Request {
			return from(subject{name: s.new}, 0, 0)
		}, fetched),
		lineOf(1, 11, "as a follower", needs(need{[]right{clusterRight(sdk.OperationClusterAction)}, kerr.TopicAuthorizationFailed}), func(s *scene) kmsg.Request {
			q := from(s.topic, 0, 0)
			q.ReplicaID = 7
			return q
		}, fetched),
		lineOf(2, 4, "", needs(topicNeed(sdk.OperationDescribe, theTopic)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrListOffsetsRequest()
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = s.topic.name
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Timestamp = -1
			t.Partitions = append(t.Partitions, p)
			q.Topics = append(q.Topics, t)
			return q
		}, func(_ *scene, a *kmsg.ListOffsetsResponse) []int16 {
			return []int16{a.Topics[0].Partitions[0].ErrorCode}
		}),
		lineOf(23, 3, "", needs(topicNeed(sdk.OperationDescribe, theTopic).or(clusterRight(sdk.OperationClusterAction))), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrOffsetForLeaderEpochRequest()
			q.ReplicaID = -1
			t := kmsg.NewOffsetForLeaderEpochRequestTopic()
			t.Topic = s.topic.name
			t.Partitions = append(t.Partitions, kmsg.NewOffsetForLeaderEpochRequestTopicPartition())
			q.Topics = append(q.Topics, t)
			return q
		}, func(_ *scene, a *kmsg.OffsetForLeaderEpochResponse) []int16 {
			return []int16{a.Topics[0].Partitions[0].ErrorCode}
		}),
		lineOf(21, 1, "", needs(topicNeed(sdk.OperationDelete, theTopic)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrDeleteRecordsRequest()
			t := kmsg.NewDeleteRecordsRequestTopic()
			t.Topic = s.topic.name
			t.Partitions = append(t.Partitions, kmsg.NewDeleteRecordsRequestTopicPartition())
			q.Topics, q.TimeoutMillis = append(q.Topics, t), 5000
			return q
		}, func(_ *scene, a *kmsg.DeleteRecordsResponse) []int16 {
			return []int16{a.Topics[0].Partitions[0].ErrorCode}
		}),
		lineOf(61, 0, "", needs(topicNeed(sdk.OperationRead, theTopic)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrDescribeProducersRequest()
			q.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: s.topic.name, Partitions: []int32{0}}}
			return q
		}, func(_ *scene, a *kmsg.DescribeProducersResponse) []int16 {
			return []int16{a.Topics[0].Partitions[0].ErrorCode}
		}),
	}
}

func metadataLines() []line {
	question := func(name *string, id [16]byte, create bool) kmsg.Request {
		q := kmsg.NewPtrMetadataRequest()
		t := kmsg.NewMetadataRequestTopic()
		t.Topic, t.TopicID = name, id
		q.Topics, q.AllowAutoTopicCreation = append(q.Topics, t), create
		return q
	}
	described := func(_ *scene, a *kmsg.MetadataResponse) []int16 { return []int16{a.Topics[0].ErrorCode} }
	return []line{
		lineOf(3, 12, "by name", needs(topicNeed(sdk.OperationDescribe, theTopic)), func(s *scene) kmsg.Request {
			return question(&s.topic.name, [16]byte{}, false)
		}, described),
		lineOf(3, 12, "by id", needs(topicNeed(sdk.OperationDescribe, theTopic)), func(s *scene) kmsg.Request {
			return question(nil, s.topic.id, false)
		}, described),
		lineOf(3, 12, "created by asking", needs(topicNeed(sdk.OperationDescribe, newTopic), topicNeed(sdk.OperationCreate, newTopic).or(clusterRight(sdk.OperationCreate))),
			func(s *scene) kmsg.Request { return question(&s.new, [16]byte{}, true) }, described),
		lineOf(3, 12, "all", needs(topicNeed(sdk.OperationDescribe, theTopic).hidden()), func(*scene) kmsg.Request {
			q := kmsg.NewPtrMetadataRequest()
			q.Topics = nil
			return q
		}, func(s *scene, a *kmsg.MetadataResponse) []int16 {
			return seen(slices.ContainsFunc(a.Topics, func(t kmsg.MetadataResponseTopic) bool { return *t.Topic == s.topic.name }))
		}),
		lineOf(75, 0, "named", needs(topicNeed(sdk.OperationDescribe, theTopic)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrDescribeTopicPartitionsRequest()
			q.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: s.topic.name}}
			return q
		}, func(_ *scene, a *kmsg.DescribeTopicPartitionsResponse) []int16 { return []int16{a.Topics[0].ErrorCode} }),
		lineOf(75, 0, "all", needs(topicNeed(sdk.OperationDescribe, theTopic).hidden()), func(*scene) kmsg.Request {
			return kmsg.NewPtrDescribeTopicPartitionsRequest()
		}, func(s *scene, a *kmsg.DescribeTopicPartitionsResponse) []int16 {
			return seen(slices.ContainsFunc(a.Topics, func(t kmsg.DescribeTopicPartitionsResponseTopic) bool { return *t.Topic == s.topic.name }))
		}),
	}
}

// seen is the code of something that may be in an answer.
func seen(is bool) []int16 {
	if is {
		return []int16{0}
	}
	return []int16{leftOut.Code}
}

func groupLines() []line {
	read := needs(groupNeed(sdk.OperationRead, newGroup))
	return []line{
		lineOf(11, 5, "", read, func(s *scene) kmsg.Request { return joinRequest(s.new, "nobody", "range") },
			func(_ *scene, a *kmsg.JoinGroupResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(12, 3, "", read, func(s *scene) kmsg.Request {
			q := kmsg.NewPtrHeartbeatRequest()
			q.Group, q.MemberID = s.new, "nobody"
			return q
		}, func(_ *scene, a *kmsg.HeartbeatResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(13, 3, "", read, func(s *scene) kmsg.Request {
			q := kmsg.NewPtrLeaveGroupRequest()
			m := kmsg.NewLeaveGroupRequestMember()
			m.MemberID = "nobody"
			q.Group, q.Members = s.new, append(q.Members, m)
			return q
		}, func(_ *scene, a *kmsg.LeaveGroupResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(14, 3, "", read, func(s *scene) kmsg.Request {
			q := kmsg.NewPtrSyncGroupRequest()
			q.Group, q.MemberID = s.new, "nobody"
			return q
		}, func(_ *scene, a *kmsg.SyncGroupResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(15, 5, "", needs(groupNeed(sdk.OperationDescribe, theGroup)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrDescribeGroupsRequest()
			q.Groups = []string{s.group}
			return q
		}, func(_ *scene, a *kmsg.DescribeGroupsResponse) []int16 { return []int16{a.Groups[0].ErrorCode} }),
		lineOf(16, 4, "", needs(groupNeed(sdk.OperationDescribe, theGroup).hidden().or(clusterRight(sdk.OperationDescribe))), func(*scene) kmsg.Request {
			return kmsg.NewPtrListGroupsRequest()
		}, func(s *scene, a *kmsg.ListGroupsResponse) []int16 {
			return seen(slices.ContainsFunc(a.Groups, func(g kmsg.ListGroupsResponseGroup) bool { return g.Group == s.group }))
		}),
		lineOf(42, 2, "", needs(groupNeed(sdk.OperationDelete, newGroup)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrDeleteGroupsRequest()
			q.Groups = []string{s.new}
			return q
		}, func(_ *scene, a *kmsg.DeleteGroupsResponse) []int16 { return []int16{a.Groups[0].ErrorCode} }),
		lineOf(10, 2, "of a group, one key", needs(groupNeed(sdk.OperationDescribe, theGroup)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrFindCoordinatorRequest()
			q.CoordinatorKey = s.group
			return q
		}, func(_ *scene, a *kmsg.FindCoordinatorResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(10, 4, "of a group", needs(groupNeed(sdk.OperationDescribe, theGroup)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrFindCoordinatorRequest()
			q.CoordinatorKeys = []string{s.group}
			return q
		}, found),
		lineOf(10, 4, "of a transactional id", needs(idNeed(sdk.OperationDescribe)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrFindCoordinatorRequest()
			q.CoordinatorKeys, q.CoordinatorType = []string{s.id}, 1
			return q
		}, found),
	}
}

func found(_ *scene, a *kmsg.FindCoordinatorResponse) []int16 {
	return []int16{a.Coordinators[0].ErrorCode}
}

func offsetLines() []line {
	committed := func(_ *scene, a *kmsg.OffsetCommitResponse) []int16 {
		return []int16{a.Topics[0].Partitions[0].ErrorCode}
	}
	reads := needs(groupNeed(sdk.OperationRead, theGroup), topicNeed(sdk.OperationRead, theTopic))
	describes := needs(groupNeed(sdk.OperationDescribe, theGroup), topicNeed(sdk.OperationDescribe, theTopic))
	return []line{
		lineOf(8, 9, "by name", reads, func(s *scene) kmsg.Request { return commitRequest(9, s.group, s.topic, 0) }, committed),
		lineOf(8, 10, "by id", reads, func(s *scene) kmsg.Request { return commitRequest(10, s.group, s.topic, 0) }, committed),
		lineOf(9, 1, "the oldest", describes, oldOffsets, func(_ *scene, a *kmsg.OffsetFetchResponse) []int16 {
			return []int16{a.Topics[0].Partitions[0].ErrorCode}
		}),
		lineOf(9, 5, "old", describes, oldOffsets, func(_ *scene, a *kmsg.OffsetFetchResponse) []int16 {
			if a.ErrorCode != 0 {
				return []int16{a.ErrorCode}
			}
			return []int16{a.Topics[0].Partitions[0].ErrorCode}
		}),
		lineOf(9, 8, "by name", describes, offsetsOf(8), offsetsTold),
		lineOf(9, 10, "by id", describes, offsetsOf(10), offsetsTold),
		lineOf(9, 8, "all", needs(groupNeed(sdk.OperationDescribe, theGroup), topicNeed(sdk.OperationDescribe, theTopic).hidden()), func(s *scene) kmsg.Request {
			s.commit()
			q := kmsg.NewPtrOffsetFetchRequest()
			g := kmsg.NewOffsetFetchRequestGroup()
			g.Group = s.group
			q.Groups = append(q.Groups, g)
			return q
		}, func(_ *scene, a *kmsg.OffsetFetchResponse) []int16 {
			if g := a.Groups[0]; g.ErrorCode != 0 {
				return []int16{g.ErrorCode}
			}
			return seen(len(a.Groups[0].Topics) > 0)
		}),
		lineOf(47, 0, "", needs(groupNeed(sdk.OperationDelete, theGroup), topicNeed(sdk.OperationRead, theTopic)), func(s *scene) kmsg.Request {
			s.commit()
			q := kmsg.NewPtrOffsetDeleteRequest()
			t := kmsg.NewOffsetDeleteRequestTopic()
			t.Topic = s.topic.name
			t.Partitions = append(t.Partitions, kmsg.NewOffsetDeleteRequestTopicPartition())
			q.Group, q.Topics = s.group, append(q.Topics, t)
			return q
		}, func(_ *scene, a *kmsg.OffsetDeleteResponse) []int16 {
			if a.ErrorCode != 0 {
				return []int16{a.ErrorCode}
			}
			return []int16{a.Topics[0].Partitions[0].ErrorCode}
		}),
	}
}

func oldOffsets(s *scene) kmsg.Request {
	q := kmsg.NewPtrOffsetFetchRequest()
	q.Group, q.Topics = s.group, []kmsg.OffsetFetchRequestTopic{{Topic: s.topic.name, Partitions: []int32{0}}}
	return q
}

func offsetsOf(version int16) func(s *scene) kmsg.Request {
	return func(s *scene) kmsg.Request {
		q := kmsg.NewPtrOffsetFetchRequest()
		g := kmsg.NewOffsetFetchRequestGroup()
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		if t.TopicID = s.topic.id; version < 10 {
			t.Topic = s.topic.name
		}
		t.Partitions = []int32{0}
		g.Group, g.Topics = s.group, append(g.Topics, t)
		q.Groups = append(q.Groups, g)
		return q
	}
}

func offsetsTold(_ *scene, a *kmsg.OffsetFetchResponse) []int16 {
	if g := a.Groups[0]; g.ErrorCode != 0 {
		return []int16{g.ErrorCode}
	}
	return []int16{a.Groups[0].Topics[0].Partitions[0].ErrorCode}
}

func consumerLines() []line {
	beat := func(s *scene) *kmsg.ConsumerGroupHeartbeatRequest {
		q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		q.Group, q.MemberID, q.MemberEpoch = s.new, "nobody", 5
		return q
	}
	told := func(_ *scene, a *kmsg.ConsumerGroupHeartbeatResponse) []int16 { return []int16{a.ErrorCode} }
	return []line{
		lineOf(68, 0, "", needs(groupNeed(sdk.OperationRead, newGroup)), func(s *scene) kmsg.Request { return beat(s) }, told),
		lineOf(68, 0, "that subscribes", needs(groupNeed(sdk.OperationRead, newGroup), topicNeed(sdk.OperationDescribe, theTopic)), func(s *scene) kmsg.Request {
			q := beat(s)
			q.SubscribedTopicNames = []string{s.topic.name}
			return q
		}, told),
		lineOf(69, 0, "", needs(groupNeed(sdk.OperationDescribe, newGroup)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrConsumerGroupDescribeRequest()
			q.Groups = []string{s.new}
			return q
		}, func(_ *scene, a *kmsg.ConsumerGroupDescribeResponse) []int16 { return []int16{a.Groups[0].ErrorCode} }),
	}
}

func producerLines() []line {
	initialized := func(_ *scene, a *kmsg.InitProducerIDResponse) []int16 { return []int16{a.ErrorCode} }
	added := func(_ *scene, a *kmsg.AddPartitionsToTxnResponse) []int16 { return addedCodes(a) }
	return []line{
		lineOf(22, 4, "idempotent", needs(clusterNeed(sdk.OperationIdempotentWrite).or(right{sdk.OperationWrite, sdk.ResourceTopic, theTopic})), func(*scene) kmsg.Request {
			return kmsg.NewPtrInitProducerIDRequest()
		}, initialized),
		lineOf(22, 4, "transactional", needs(idNeed(sdk.OperationWrite)), func(s *scene) kmsg.Request { return initRequest(s.id, 1000_000_000) }, initialized),
		lineOf(24, 3, "of a client", needs(idNeed(sdk.OperationWrite), topicNeed(sdk.OperationWrite, theTopic)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrAddPartitionsToTxnRequest()
			q.TransactionalID, q.ProducerID = s.id, 1<<40
			q.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: s.topic.name, Partitions: []int32{0}}}
			return q
		}, added),
		lineOf(24, 4, "of a broker", needs(clusterNeed(sdk.OperationClusterAction)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrAddPartitionsToTxnRequest()
			q.Transactions = []kmsg.AddPartitionsToTxnRequestTransaction{{
				TransactionalID: s.id, ProducerID: 1 << 40, VerifyOnly: true,
				Topics: []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: s.topic.name, Partitions: []int32{0}}},
			}}
			return q
		}, func(_ *scene, a *kmsg.AddPartitionsToTxnResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(25, 3, "", needs(idNeed(sdk.OperationWrite), groupNeed(sdk.OperationRead, theGroup)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrAddOffsetsToTxnRequest()
			q.TransactionalID, q.ProducerID, q.Group = s.id, 1<<40, s.group
			return q
		}, func(_ *scene, a *kmsg.AddOffsetsToTxnResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(26, 3, "", needs(idNeed(sdk.OperationWrite)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrEndTxnRequest()
			q.TransactionalID, q.ProducerID = s.id, 1<<40
			return q
		}, func(_ *scene, a *kmsg.EndTxnResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(28, 3, "", needs(idNeed(sdk.OperationWrite), groupNeed(sdk.OperationRead, theGroup), topicNeed(sdk.OperationRead, theTopic)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrTxnOffsetCommitRequest()
			q.TransactionalID, q.Group, q.ProducerID, q.Generation = s.id, s.group, 1<<40, -1
			q.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: s.topic.name, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{kmsg.NewTxnOffsetCommitRequestTopicPartition()}}}
			return q
		}, func(_ *scene, a *kmsg.TxnOffsetCommitResponse) []int16 {
			return []int16{a.Topics[0].Partitions[0].ErrorCode}
		}),
	}
}

func markerLines() []line {
	return []line{
		lineOf(27, 1, "", needs(clusterNeed(sdk.OperationClusterAction).or(clusterRight(sdk.OperationAlter))), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrWriteTxnMarkersRequest()
			m := kmsg.NewWriteTxnMarkersRequestMarker()
			m.ProducerID, m.Topics = 1<<40, []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: s.topic.name, Partitions: []int32{0}}}
			q.Markers = append(q.Markers, m)
			return q
		}, func(_ *scene, a *kmsg.WriteTxnMarkersResponse) []int16 {
			return []int16{a.Markers[0].Topics[0].Partitions[0].ErrorCode}
		}),
		lineOf(65, 0, "", needs(idNeed(sdk.OperationDescribe)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrDescribeTransactionsRequest()
			q.TransactionalIDs = []string{s.id}
			return q
		}, func(_ *scene, a *kmsg.DescribeTransactionsResponse) []int16 {
			return []int16{a.TransactionStates[0].ErrorCode}
		}),
		lineOf(66, 0, "", needs(idNeed(sdk.OperationDescribe).hidden()), func(*scene) kmsg.Request {
			return kmsg.NewPtrListTransactionsRequest()
		}, func(s *scene, a *kmsg.ListTransactionsResponse) []int16 {
			return seen(slices.ContainsFunc(a.TransactionStates, func(t kmsg.ListTransactionsResponseTransactionState) bool { return t.TransactionalID == s.id }))
		}),
	}
}

// make makes the new topic, if it is not there.
func (s *scene) make() [16]byte {
	if m := s.admin.metadata(s.new); m.ErrorCode == 0 {
		return m.TopicID
	}
	return s.admin.topicNamed(s.new, 1).id
}

func topicLines() []line {
	created := func(s *scene) kmsg.Request {
		q := kmsg.NewPtrCreateTopicsRequest()
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = s.new, 1, 1
		q.Topics, q.ValidateOnly = append(q.Topics, t), true
		return q
	}
	deleted := func(_ *scene, a *kmsg.DeleteTopicsResponse) []int16 { return []int16{a.Topics[0].ErrorCode} }
	create := topicNeed(sdk.OperationCreate, newTopic).or(clusterRight(sdk.OperationCreate))
	remove := topicNeed(sdk.OperationDelete, newTopic).or(clusterRight(sdk.OperationDelete))
	return []line{
		lineOf(19, 5, "", needs(create), created, func(_ *scene, a *kmsg.CreateTopicsResponse) []int16 { return []int16{a.Topics[0].ErrorCode} }),
		lineOf(19, 5, "with its settings", needs(create, topicNeed(sdk.OperationDescribeConfigs, newTopic)), created, func(_ *scene, a *kmsg.CreateTopicsResponse) []int16 {
			if a.Topics[0].ErrorCode != 0 {
				return []int16{a.Topics[0].ErrorCode}
			}
			return []int16{a.Topics[0].ConfigErrorCode}
		}),
		lineOf(20, 5, "by name", needs(remove), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrDeleteTopicsRequest()
			s.make()
			q.TopicNames, q.TimeoutMillis = []string{s.new}, 5000
			return q
		}, deleted),
		lineOf(20, 6, "by id", needs(remove), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrDeleteTopicsRequest()
			t := kmsg.NewDeleteTopicsRequestTopic()
			t.TopicID = s.make()
			q.Topics, q.TimeoutMillis = append(q.Topics, t), 5000
			return q
		}, deleted),
		lineOf(37, 2, "", needs(topicNeed(sdk.OperationAlter, theTopic)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrCreatePartitionsRequest()
			t := kmsg.NewCreatePartitionsRequestTopic()
			t.Topic, t.Count = s.topic.name, 2
			q.Topics, q.ValidateOnly, q.TimeoutMillis = append(q.Topics, t), true, 5000
			return q
		}, func(_ *scene, a *kmsg.CreatePartitionsResponse) []int16 { return []int16{a.Topics[0].ErrorCode} }),
	}
}

// resource is one whose settings are asked for or altered.
type resource struct {
	what string
	kind kmsg.ConfigResourceType
	name func(s *scene) string
	need func(op sdk.Operation) need
}

func resources() []resource {
	return []resource{
		{"of a topic", kmsg.ConfigResourceTypeTopic, func(s *scene) string { return s.topic.name }, func(op sdk.Operation) need { return topicNeed(op, theTopic) }},
		{"of a group", kmsg.ConfigResourceTypeGroupConfig, func(s *scene) string { return s.group }, func(op sdk.Operation) need { return groupNeed(op, theGroup) }},
		{"of all brokers", kmsg.ConfigResourceTypeBroker, func(*scene) string { return "" }, clusterNeed},
	}
}

func configLines() (all []line) {
	for _, r := range resources() {
		all = append(all,
			lineOf(32, 4, r.what, needs(r.need(sdk.OperationDescribeConfigs)), func(s *scene) kmsg.Request {
				q := kmsg.NewPtrDescribeConfigsRequest()
				d := kmsg.NewDescribeConfigsRequestResource()
				d.ResourceType, d.ResourceName = r.kind, r.name(s)
				q.Resources = append(q.Resources, d)
				return q
			}, func(_ *scene, a *kmsg.DescribeConfigsResponse) []int16 { return []int16{a.Resources[0].ErrorCode} }),
			lineOf(33, 1, r.what, needs(r.need(sdk.OperationAlterConfigs)), func(s *scene) kmsg.Request {
				q := kmsg.NewPtrAlterConfigsRequest()
				d := kmsg.NewAlterConfigsRequestResource()
				d.ResourceType, d.ResourceName = r.kind, r.name(s)
				q.Resources, q.ValidateOnly = append(q.Resources, d), true
				return q
			}, func(_ *scene, a *kmsg.AlterConfigsResponse) []int16 { return []int16{a.Resources[0].ErrorCode} }),
			lineOf(44, 1, r.what, needs(r.need(sdk.OperationAlterConfigs)), func(s *scene) kmsg.Request {
				q := kmsg.NewPtrIncrementalAlterConfigsRequest()
				d := kmsg.NewIncrementalAlterConfigsRequestResource()
				d.ResourceType, d.ResourceName = r.kind, r.name(s)
				q.Resources, q.ValidateOnly = append(q.Resources, d), true
				return q
			}, func(_ *scene, a *kmsg.IncrementalAlterConfigsResponse) []int16 {
				return []int16{a.Resources[0].ErrorCode}
			}),
		)
	}
	return append(all, lineOf(74, 1, "", needs(clusterNeed(sdk.OperationDescribeConfigs)), func(*scene) kmsg.Request {
		return kmsg.NewPtrListConfigResourcesRequest()
	}, func(_ *scene, a *kmsg.ListConfigResourcesResponse) []int16 { return []int16{a.ErrorCode} }))
}

func aclLines() []line {
	return []line{
		lineOf(29, 2, "", needs(clusterNeed(sdk.OperationDescribe)), func(*scene) kmsg.Request {
			q := kmsg.NewPtrDescribeACLsRequest()
			q.ResourceType, q.ResourcePatternType, q.Operation, q.PermissionType = kmsg.ACLResourceTypeAny, acl.AnyPattern, kmsg.ACLOperationAny, acl.AnyPermission
			return q
		}, func(_ *scene, a *kmsg.DescribeACLsResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(30, 2, "", needs(clusterNeed(sdk.OperationAlter)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrCreateACLsRequest()
			c := creation(acl.Allow, otherHost, right{sdk.OperationRead, sdk.ResourceTopic, s.new})
			q.Creations = append(q.Creations, c, c)
			return q
		}, func(_ *scene, a *kmsg.CreateACLsResponse) []int16 {
			return []int16{a.Results[0].ErrorCode, a.Results[1].ErrorCode}
		}),
		lineOf(31, 2, "", needs(clusterNeed(sdk.OperationAlter)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrDeleteACLsRequest()
			f := kmsg.NewDeleteACLsRequestFilter()
			f.ResourceType, f.ResourceName, f.ResourcePatternType = kmsg.ACLResourceTypeTopic, &s.new, acl.Literal
			f.Operation, f.PermissionType = kmsg.ACLOperationAny, acl.AnyPermission
			q.Filters = append(q.Filters, f)
			return q
		}, func(_ *scene, a *kmsg.DeleteACLsResponse) []int16 { return []int16{a.Results[0].ErrorCode} }),
	}
}

func clusterLines() []line {
	return []line{
		lineOf(18, 3, "", nil, func(*scene) kmsg.Request { return supportedVersions() }, func(_ *scene, a *kmsg.ApiVersionsResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(60, 0, "", nil, func(*scene) kmsg.Request { return kmsg.NewPtrDescribeClusterRequest() }, func(_ *scene, a *kmsg.DescribeClusterResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(35, 4, "", needs(clusterNeed(sdk.OperationDescribe)), func(*scene) kmsg.Request { return kmsg.NewPtrDescribeLogDirsRequest() },
			func(_ *scene, a *kmsg.DescribeLogDirsResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(43, 2, "", needs(clusterNeed(sdk.OperationAlter)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrElectLeadersRequest()
			q.Topics, q.TimeoutMillis = []kmsg.ElectLeadersRequestTopic{{Topic: s.topic.name, Partitions: []int32{0}}}, 5000
			return q
		}, func(_ *scene, a *kmsg.ElectLeadersResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(45, 0, "", needs(clusterNeed(sdk.OperationAlter)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrAlterPartitionAssignmentsRequest()
			t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
			t.Topic, t.Partitions = s.topic.name, append(t.Partitions, kmsg.NewAlterPartitionAssignmentsRequestTopicPartition())
			q.Topics, q.TimeoutMillis = append(q.Topics, t), 5000
			return q
		}, func(_ *scene, a *kmsg.AlterPartitionAssignmentsResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(46, 0, "", needs(clusterNeed(sdk.OperationDescribe)), func(*scene) kmsg.Request { return kmsg.NewPtrListPartitionReassignmentsRequest() },
			func(_ *scene, a *kmsg.ListPartitionReassignmentsResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(55, 0, "", needs(clusterNeed(sdk.OperationDescribe)), func(*scene) kmsg.Request {
			q := kmsg.NewPtrDescribeQuorumRequest()
			t := kmsg.NewDescribeQuorumRequestTopic()
			t.Topic, t.Partitions = "__cluster_metadata", append(t.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
			q.Topics = append(q.Topics, t)
			return q
		}, func(_ *scene, a *kmsg.DescribeQuorumResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(57, 1, "", needs(clusterNeed(sdk.OperationAlter)), func(*scene) kmsg.Request {
			q := kmsg.NewPtrUpdateFeaturesRequest()
			q.ValidateOnly, q.TimeoutMillis = true, 5000
			return q
		}, func(_ *scene, a *kmsg.UpdateFeaturesResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(64, 0, "", needs(clusterNeed(sdk.OperationAlter)), func(*scene) kmsg.Request {
			q := kmsg.NewPtrUnregisterBrokerRequest()
			q.BrokerID = 99
			return q
		}, func(_ *scene, a *kmsg.UnregisterBrokerResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(80, 0, "", needs(clusterNeed(sdk.OperationAlter)), func(*scene) kmsg.Request {
			q := kmsg.NewPtrAddRaftVoterRequest()
			q.VoterID, q.TimeoutMillis = -1, 5000
			return q
		}, func(_ *scene, a *kmsg.AddRaftVoterResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(81, 0, "", needs(clusterNeed(sdk.OperationAlter)), func(*scene) kmsg.Request {
			q := kmsg.NewPtrRemoveRaftVoterRequest()
			q.VoterID = -1
			return q
		}, func(_ *scene, a *kmsg.RemoveRaftVoterResponse) []int16 { return []int16{a.ErrorCode} }),
	}
}

// userLines are about who clients are. What a listener without SASL says to the first two is no
// denial.
func userLines() []line {
	return []line{
		lineOf(17, 1, "", nil, func(*scene) kmsg.Request {
			q := kmsg.NewPtrSASLHandshakeRequest()
			q.Mechanism = "PLAIN"
			return q
		}, func(_ *scene, a *kmsg.SASLHandshakeResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(36, 2, "", nil, func(*scene) kmsg.Request { return kmsg.NewPtrSASLAuthenticateRequest() },
			func(_ *scene, a *kmsg.SASLAuthenticateResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(48, 1, "", needs(clusterNeed(sdk.OperationDescribeConfigs)), func(*scene) kmsg.Request { return kmsg.NewPtrDescribeClientQuotasRequest() },
			func(_ *scene, a *kmsg.DescribeClientQuotasResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(50, 0, "", needs(clusterNeed(sdk.OperationDescribe)), func(*scene) kmsg.Request { return kmsg.NewPtrDescribeUserSCRAMCredentialsRequest() },
			func(_ *scene, a *kmsg.DescribeUserSCRAMCredentialsResponse) []int16 { return []int16{a.ErrorCode} }),
		lineOf(51, 0, "", needs(clusterNeed(sdk.OperationAlter)), func(s *scene) kmsg.Request {
			q := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
			for _, user := range []string{s.new, s.id} {
				d := kmsg.NewAlterUserSCRAMCredentialsRequestDeletion()
				d.Name, d.Mechanism = user, 1
				q.Deletions = append(q.Deletions, d)
			}
			return q
		}, func(_ *scene, a *kmsg.AlterUserSCRAMCredentialsResponse) []int16 {
			return []int16{a.Results[0].ErrorCode, a.Results[1].ErrorCode}
		}),
	}
}
