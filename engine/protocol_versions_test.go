package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/security/acl"
	"github.com/millrace/millrace/sdk"
)

// coordinated waits until groups can be used; the first question makes their topic.
func (p *peer) coordinated() {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		q := kmsg.NewPtrFindCoordinatorRequest()
		q.CoordinatorKey = "any"
		if ask[*kmsg.FindCoordinatorResponse](p, 2, q).ErrorCode != 0 {
			continue
		}
		d := kmsg.NewPtrDescribeGroupsRequest()
		d.Groups = []string{unused(p.t)}
		if code := ask[*kmsg.DescribeGroupsResponse](p, 0, d).Groups[0].ErrorCode; code == 0 {
			return
		}
	}
	p.t.Fatal("there is no coordinator")
}

func joinRequest(group, member, protocol string) *kmsg.JoinGroupRequest {
	q := kmsg.NewPtrJoinGroupRequest()
	q.Group, q.MemberID, q.ProtocolType = group, member, "consumer"
	q.SessionTimeoutMillis, q.RebalanceTimeoutMillis = 30_000, 30_000
	one := kmsg.NewJoinGroupRequestProtocol()
	subscription := kmsg.NewConsumerMemberMetadata() // which Kafka's coordinator reads
	subscription.Topics = []string{"any"}
	one.Name, one.Metadata = protocol, subscription.AppendTo(nil)
	q.Protocols = append(q.Protocols, one)
	return q
}

// joined makes the only member of a new group, as a version asks for, and brings the
// group to be stable.
func (p *peer) joined(version int16, group string) (member string, generation int32) {
	p.t.Helper()
	a := ask[*kmsg.JoinGroupResponse](p, version, joinRequest(group, "", "range"))
	if version >= 4 {
		want(p.t, "join without a member id", a.ErrorCode, kerr.MemberIDRequired)
		a = ask[*kmsg.JoinGroupResponse](p, version, joinRequest(group, a.MemberID, "range"))
	}
	want(p.t, "join", a.ErrorCode, nil)
	s := kmsg.NewPtrSyncGroupRequest()
	s.Group, s.MemberID, s.Generation = group, a.MemberID, a.Generation
	s.ProtocolType, s.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	mine := kmsg.NewSyncGroupRequestGroupAssignment()
	mine.MemberID, mine.MemberAssignment = a.MemberID, []byte("assignment")
	s.GroupAssignment = append(s.GroupAssignment, mine)
	want(p.t, "sync", ask[*kmsg.SyncGroupResponse](p, 5, s).ErrorCode, nil)
	return a.MemberID, a.Generation
}

func (p *peer) deleteTopic(s subject) {
	p.t.Helper()
	q := kmsg.NewPtrDeleteTopicsRequest()
	q.TopicNames = []string{s.name}
	want(p.t, "delete "+s.name, ask[*kmsg.DeleteTopicsResponse](p, 4, q).Topics[0].ErrorCode, nil)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if m := p.metadataByID(s.id); m.ErrorCode == kerr.UnknownTopicID.Code {
			return
		}
	}
	p.t.Fatalf("topic %s is still there", s.name)
}

func (p *peer) metadataByID(id [16]byte) kmsg.MetadataResponseTopic {
	p.t.Helper()
	q := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.TopicID = id
	q.Topics = append(q.Topics, t)
	return ask[*kmsg.MetadataResponse](p, 12, q).Topics[0]
}

// producer is a new idempotent producer.
func (p *peer) producer(version int16) int64 {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		a := ask[*kmsg.InitProducerIDResponse](p, version, kmsg.NewPtrInitProducerIDRequest())
		if a.ErrorCode == kerr.CoordinatorLoadInProgress.Code {
			continue // the broker fetches a block of ids
		}
		want(p.t, "init producer id", a.ErrorCode, nil)
		if a.ProducerEpoch != 0 {
			p.t.Fatalf("a new producer has epoch %d", a.ProducerEpoch)
		}
		return a.ProducerID
	}
	p.t.Fatal("there is no producer id to be had")
	return -1
}

// offsetAt asks ListOffsets for one moment of one partition.
func (p *peer) offsetAt(version int16, s subject, partition int32, moment int64, epoch int32) kmsg.ListOffsetsResponseTopicPartition {
	p.t.Helper()
	q := kmsg.NewPtrListOffsetsRequest()
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = s.name
	part := kmsg.NewListOffsetsRequestTopicPartition()
	part.Partition, part.Timestamp, part.CurrentLeaderEpoch = partition, moment, epoch
	t.Partitions = append(t.Partitions, part)
	q.Topics = append(q.Topics, t)
	a := ask[*kmsg.ListOffsetsResponse](p, version, q)
	if len(a.Topics) != 1 || a.Topics[0].Topic != s.name || len(a.Topics[0].Partitions) != 1 || a.Topics[0].Partitions[0].Partition != partition {
		p.t.Fatalf("ListOffsets is answered with %+v", a)
	}
	return a.Topics[0].Partitions[0]
}

// epochEnd asks where the records of an epoch end.
func (p *peer) epochEnd(version int16, s subject, partition, epoch, known int32) kmsg.OffsetForLeaderEpochResponseTopicPartition {
	p.t.Helper()
	q := kmsg.NewPtrOffsetForLeaderEpochRequest()
	q.ReplicaID = -1
	t := kmsg.NewOffsetForLeaderEpochRequestTopic()
	t.Topic = s.name
	part := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	part.Partition, part.LeaderEpoch, part.CurrentLeaderEpoch = partition, epoch, known
	t.Partitions = append(t.Partitions, part)
	q.Topics = append(q.Topics, t)
	a := ask[*kmsg.OffsetForLeaderEpochResponse](p, version, q)
	if len(a.Topics) != 1 || len(a.Topics[0].Partitions) != 1 || a.Topics[0].Partitions[0].Partition != partition {
		p.t.Fatalf("OffsetForLeaderEpoch is answered with %+v", a)
	}
	return a.Topics[0].Partitions[0]
}

// commitRequest commits one offset of partition 0.
func commitRequest(version int16, group string, s subject, offset int64) *kmsg.OffsetCommitRequest {
	q := kmsg.NewPtrOffsetCommitRequest()
	q.Group, q.Generation = group, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	if version >= 10 {
		t.TopicID = s.id
	} else {
		t.Topic = s.name
	}
	part := kmsg.NewOffsetCommitRequestTopicPartition()
	part.Offset, part.LeaderEpoch, part.Metadata = offset, 0, kmsg.StringPtr("note")
	t.Partitions = append(t.Partitions, part)
	q.Topics = append(q.Topics, t)
	return q
}

// offsetsRequest asks for what a group committed for partition 0, in the form of a version.
func offsetsRequest(version int16, group string, s subject) *kmsg.OffsetFetchRequest {
	q := kmsg.NewPtrOffsetFetchRequest()
	q.Group = group
	old := kmsg.NewOffsetFetchRequestTopic()
	old.Topic, old.Partitions = s.name, []int32{0}
	q.Topics = append(q.Topics, old)
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	t := kmsg.NewOffsetFetchRequestGroupTopic()
	t.Topic, t.TopicID, t.Partitions = s.name, s.id, []int32{0}
	g.Topics = append(g.Topics, t)
	q.Groups = append(q.Groups, g)
	return q
}

// committed tells what a group committed for partition 0.
func (p *peer) committed(version int16, group string, s subject) kmsg.OffsetFetchResponseGroupTopicPartition {
	p.t.Helper()
	a := ask[*kmsg.OffsetFetchResponse](p, version, offsetsRequest(version, group, s))
	out := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	if version >= 8 {
		want(p.t, "offset fetch", a.Groups[0].ErrorCode, nil)
		if t := a.Groups[0].Topics[0]; version >= 10 && t.TopicID != s.id || version < 10 && t.Topic != s.name {
			p.t.Fatalf("offset fetch version %d tells of topic %+v", version, t)
		}
		return a.Groups[0].Topics[0].Partitions[0]
	}
	want(p.t, "offset fetch", a.ErrorCode, nil)
	old := a.Topics[0].Partitions[0]
	out.Partition, out.Offset, out.LeaderEpoch, out.Metadata, out.ErrorCode = old.Partition, old.Offset, old.LeaderEpoch, old.Metadata, old.ErrorCode
	return out
}

// exercise is what one version of one key is asked, and how its answer is judged.
type exercise func(p *peer, version int16, s subject) error

// asked makes an exercise of a request and of what is wrong with its answer.
func asked[A kmsg.Response](request func(version int16, s subject) kmsg.Request, wrong func(version int16, s subject, a A) bool) exercise {
	return func(p *peer, version int16, s subject) error {
		a := ask[A](p, version, request(version, s))
		if wrong(version, s, a) {
			return fmt.Errorf("answer %+v", a)
		}
		return nil
	}
}

// exercises has one for every key that is advertised. The subject is a topic with one
// record in its only partition.
func exercises() map[kmsg.Key]exercise {
	all := map[kmsg.Key]exercise{}
	for _, some := range []map[kmsg.Key]exercise{recordExercises(), memberExercises(), groupExercises(), topicExercises(), configExercises(), clusterExercises(), aclExercises(), adminExercises(), transactionExercises(), securityExercises()} {
		for key, e := range some {
			all[key] = e
		}
	}
	return all
}

func recordExercises() map[kmsg.Key]exercise {
	return map[kmsg.Key]exercise{
		kmsg.Produce: func(p *peer, version int16, s subject) error {
			r := p.produce(version, s, 0, records("more"))
			if version < 3 {
				if r.ErrorCode != kerr.UnsupportedVersion.Code {
					return fmt.Errorf("refused with %s", errorName(r.ErrorCode))
				}
				return nil
			}
			if r.ErrorCode != 0 || r.BaseOffset < 1 || r.LogAppendTime != -1 || version >= 5 && r.LogStartOffset != 0 {
				return fmt.Errorf("answer %+v", r)
			}
			return nil
		},
		kmsg.Fetch: func(p *peer, version int16, s subject) error {
			r := p.fetch(version, from(s, 0, 0))
			if got := values(p.t, r.RecordBatches); r.ErrorCode != 0 || len(got) == 0 || got[0] != "first" {
				return fmt.Errorf("records %q of %+v", got, r)
			}
			return nil
		},
		kmsg.ListOffsets: func(p *peer, version int16, s subject) error {
			if r := p.offsetAt(version, s, 0, -1, -1); r.ErrorCode != 0 || r.Offset < 1 {
				return fmt.Errorf("answer %+v", r)
			}
			return nil
		},
		kmsg.OffsetForLeaderEpoch: func(p *peer, version int16, s subject) error {
			if r := p.epochEnd(version, s, 0, 0, -1); r.ErrorCode != 0 || r.LeaderEpoch != 0 || r.EndOffset < 1 {
				return fmt.Errorf("answer %+v", r)
			}
			return nil
		},
		kmsg.DeleteRecords: asked(func(_ int16, s subject) kmsg.Request {
			q := kmsg.NewPtrDeleteRecordsRequest()
			t := kmsg.NewDeleteRecordsRequestTopic()
			t.Topic = s.name
			t.Partitions = []kmsg.DeleteRecordsRequestTopicPartition{kmsg.NewDeleteRecordsRequestTopicPartition()}
			q.Topics = append(q.Topics, t)
			q.TimeoutMillis = 5000
			return q
		}, func(_ int16, s subject, a *kmsg.DeleteRecordsResponse) bool {
			return a.Topics[0].Topic != s.name || a.Topics[0].Partitions[0].ErrorCode != 0 || a.Topics[0].Partitions[0].LowWatermark != 0
		}),
		kmsg.InitProducerID: func(p *peer, version int16, _ subject) error {
			if first, second := p.producer(version), p.producer(version); first < 0 || second == first {
				return fmt.Errorf("producers %d and %d", first, second)
			}
			return nil
		},
	}
}

func memberExercises() map[kmsg.Key]exercise {
	return map[kmsg.Key]exercise{
		kmsg.FindCoordinator: asked(func(_ int16, s subject) kmsg.Request {
			q := kmsg.NewPtrFindCoordinatorRequest()
			q.CoordinatorKey, q.CoordinatorKeys = s.name, []string{s.name, "another"}
			return q
		}, func(version int16, s subject, a *kmsg.FindCoordinatorResponse) bool {
			if version < 4 {
				return a.ErrorCode != 0 || a.Port <= 0 || a.Host == ""
			}
			return len(a.Coordinators) != 2 || a.Coordinators[0].Key != s.name || a.Coordinators[1].ErrorCode != 0 || a.Coordinators[1].Port <= 0
		}),
		kmsg.JoinGroup: func(p *peer, version int16, s subject) error {
			if member, generation := p.joined(version, unused(p.t)); member == "" || generation != 1 {
				return fmt.Errorf("member %q, generation %d", member, generation)
			}
			return nil
		},
		kmsg.SyncGroup: func(p *peer, version int16, s subject) error {
			group := unused(p.t)
			member, generation := p.joined(2, group)
			q := kmsg.NewPtrSyncGroupRequest()
			q.Group, q.MemberID, q.Generation = group, member, generation
			q.ProtocolType, q.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
			a := ask[*kmsg.SyncGroupResponse](p, version, q)
			if a.ErrorCode != 0 || string(a.MemberAssignment) != "assignment" || version >= 5 && (a.Protocol == nil || *a.Protocol != "range") {
				return fmt.Errorf("answer %+v", a)
			}
			return nil
		},
		kmsg.Heartbeat: func(p *peer, version int16, s subject) error {
			q := kmsg.NewPtrHeartbeatRequest()
			q.Group = unused(p.t)
			q.MemberID, q.Generation = p.joined(5, q.Group)
			if a := ask[*kmsg.HeartbeatResponse](p, version, q); a.ErrorCode != 0 {
				return fmt.Errorf("answer %+v", a)
			}
			return nil
		},
		kmsg.LeaveGroup: func(p *peer, version int16, s subject) error {
			q := kmsg.NewPtrLeaveGroupRequest()
			q.Group = unused(p.t)
			q.MemberID, _ = p.joined(5, q.Group)
			m := kmsg.NewLeaveGroupRequestMember()
			m.MemberID = q.MemberID
			q.Members = append(q.Members, m)
			a := ask[*kmsg.LeaveGroupResponse](p, version, q)
			if a.ErrorCode != 0 || version >= 3 && (len(a.Members) != 1 || a.Members[0].ErrorCode != 0 || a.Members[0].MemberID != q.MemberID) {
				return fmt.Errorf("answer %+v", a)
			}
			return nil
		},
	}
}

func groupExercises() map[kmsg.Key]exercise {
	return map[kmsg.Key]exercise{
		kmsg.OffsetCommit: commitExercise,
		kmsg.OffsetFetch:  offsetsExercise,
		kmsg.DescribeGroups: func(p *peer, version int16, s subject) error {
			q := kmsg.NewPtrDescribeGroupsRequest()
			q.Groups = []string{unused(p.t)}
			member, _ := p.joined(5, q.Groups[0])
			a := ask[*kmsg.DescribeGroupsResponse](p, version, q)
			if g := a.Groups[0]; g.ErrorCode != 0 || g.State != "Stable" || g.Protocol != "range" || len(g.Members) != 1 || g.Members[0].MemberID != member ||
				g.Members[0].ClientID != "test" || g.Members[0].ClientHost != "/127.0.0.1" {
				return fmt.Errorf("answer %+v", a)
			}
			return nil
		},
		kmsg.ConsumerGroupHeartbeat: func(p *peer, version int16, s subject) error {
			q := heartbeatRequest(unused(p.t), "member", s.name)
			a := ask[*kmsg.ConsumerGroupHeartbeatResponse](p, version, q)
			if a.ErrorCode != 0 || a.MemberID == nil || *a.MemberID != "member" || a.MemberEpoch < 1 || a.HeartbeatIntervalMillis <= 0 || a.Assignment == nil {
				return fmt.Errorf("answer %+v", a)
			}
			return nil
		},
		kmsg.ConsumerGroupDescribe: func(p *peer, version int16, s subject) error {
			q := kmsg.NewPtrConsumerGroupDescribeRequest()
			q.Groups = []string{unused(p.t)}
			want(p.t, "join", ask[*kmsg.ConsumerGroupHeartbeatResponse](p, 1, heartbeatRequest(q.Groups[0], "member", s.name)).ErrorCode, nil)
			g := ask[*kmsg.ConsumerGroupDescribeResponse](p, version, q).Groups[0]
			if g.ErrorCode != 0 || g.Epoch < 1 || g.AssignorName != "uniform" || len(g.Members) != 1 || g.Members[0].MemberID != "member" ||
				g.Members[0].ClientID != "test" || g.Members[0].ClientHost != "/127.0.0.1" || version >= 1 && g.Members[0].MemberType != 1 {
				return fmt.Errorf("answer %+v", g)
			}
			return nil
		},
		kmsg.ListGroups: func(p *peer, version int16, s subject) error {
			group := unused(p.t)
			p.joined(5, group)
			a := ask[*kmsg.ListGroupsResponse](p, version, kmsg.NewPtrListGroupsRequest())
			for _, g := range a.Groups {
				if g.Group == group && g.ProtocolType == "consumer" && (version < 4 || g.GroupState == "Stable") && (version < 5 || g.GroupType == "classic") {
					return nil
				}
			}
			return fmt.Errorf("group %s is not in %+v", group, a)
		},
		kmsg.DeleteGroups: func(p *peer, version int16, s subject) error {
			group := unused(p.t)
			ask[*kmsg.OffsetCommitResponse](p, 2, commitRequest(2, group, s, 1))
			q := kmsg.NewPtrDeleteGroupsRequest()
			q.Groups = []string{group, unused(p.t)}
			a := ask[*kmsg.DeleteGroupsResponse](p, version, q)
			codes := map[string]int16{}
			for _, g := range a.Groups {
				codes[g.Group] = g.ErrorCode
			}
			if len(a.Groups) != 2 || codes[group] != 0 || codes[q.Groups[1]] != kerr.GroupIDNotFound.Code {
				return fmt.Errorf("answer %+v", a)
			}
			return nil
		},
		kmsg.OffsetDelete: func(p *peer, version int16, s subject) error {
			q := kmsg.NewPtrOffsetDeleteRequest()
			q.Group = unused(p.t)
			ask[*kmsg.OffsetCommitResponse](p, 2, commitRequest(2, q.Group, s, 1))
			t := kmsg.NewOffsetDeleteRequestTopic()
			t.Topic = s.name
			t.Partitions = []kmsg.OffsetDeleteRequestTopicPartition{kmsg.NewOffsetDeleteRequestTopicPartition()}
			q.Topics = append(q.Topics, t)
			a := ask[*kmsg.OffsetDeleteResponse](p, version, q)
			if a.ErrorCode != 0 || a.Topics[0].Partitions[0].ErrorCode != 0 || p.committed(5, q.Group, s).Offset != -1 {
				return fmt.Errorf("answer %+v", a)
			}
			return nil
		},
	}
}

func commitExercise(p *peer, version int16, s subject) error {
	group := unused(p.t)
	a := ask[*kmsg.OffsetCommitResponse](p, version, commitRequest(version, group, s, 42))
	if t := a.Topics[0]; t.Partitions[0].ErrorCode != 0 || version >= 10 && t.TopicID != s.id || version < 10 && t.Topic != s.name {
		return fmt.Errorf("answer %+v", a)
	}
	if got := p.committed(7, group, s); got.Offset != 42 {
		return fmt.Errorf("committed is %+v", got)
	}
	return nil
}

func offsetsExercise(p *peer, version int16, s subject) error {
	group := unused(p.t)
	ask[*kmsg.OffsetCommitResponse](p, 6, commitRequest(6, group, s, 43))
	got := p.committed(version, group, s)
	if got.ErrorCode != 0 || got.Offset != 43 || got.Metadata == nil || *got.Metadata != "note" || version >= 5 && got.LeaderEpoch != 0 {
		return fmt.Errorf("answer %+v", got)
	}
	if none := p.committed(version, unused(p.t), s); none.ErrorCode != 0 || none.Offset != -1 || version >= 5 && none.LeaderEpoch != -1 {
		return fmt.Errorf("of a group that does not exist: %+v", none)
	}
	return nil
}

func topicExercises() map[kmsg.Key]exercise {
	return map[kmsg.Key]exercise{
		kmsg.Metadata: asked(func(_ int16, s subject) kmsg.Request {
			q := kmsg.NewPtrMetadataRequest()
			t := kmsg.NewMetadataRequestTopic()
			t.Topic = &s.name
			q.Topics = append(q.Topics, t)
			return q
		}, func(version int16, s subject, a *kmsg.MetadataResponse) bool {
			t := a.Topics[0]
			return t.ErrorCode != 0 || *t.Topic != s.name || len(t.Partitions) != 1 || len(t.Partitions[0].ISR) != 1 || len(a.Brokers) != 1 ||
				a.Brokers[0].Port == 0 || version >= 2 && a.ClusterID == nil || version >= 7 && t.Partitions[0].LeaderEpoch < 0
		}),
		kmsg.CreateTopics: func(p *peer, version int16, _ subject) error {
			q := kmsg.NewPtrCreateTopicsRequest()
			t := kmsg.NewCreateTopicsRequestTopic()
			t.Topic, t.NumPartitions, t.ReplicationFactor = unused(p.t), 2, 1
			q.Topics = append(q.Topics, t)
			a := ask[*kmsg.CreateTopicsResponse](p, version, q)
			if r := a.Topics[0]; r.ErrorCode != 0 || r.Topic != t.Topic || version >= 5 && (r.NumPartitions != 2 || len(r.Configs) < 20) || version >= 7 && r.TopicID == [16]byte{} {
				return fmt.Errorf("answer %+v", a)
			}
			return nil
		},
		kmsg.DeleteTopics: func(p *peer, version int16, _ subject) error {
			s := p.topic(1)
			q := kmsg.NewPtrDeleteTopicsRequest()
			q.TopicNames = []string{s.name}
			t := kmsg.NewDeleteTopicsRequestTopic()
			t.Topic = &s.name
			q.Topics = append(q.Topics, t)
			a := ask[*kmsg.DeleteTopicsResponse](p, version, q)
			if r := a.Topics[0]; r.ErrorCode != 0 || r.Topic == nil || *r.Topic != s.name || version >= 6 && r.TopicID != s.id {
				return fmt.Errorf("answer %+v", a)
			}
			return nil
		},
		kmsg.CreatePartitions: func(p *peer, version int16, _ subject) error {
			s := p.topic(1)
			q := kmsg.NewPtrCreatePartitionsRequest()
			t := kmsg.NewCreatePartitionsRequestTopic()
			t.Topic, t.Count = s.name, 3
			q.Topics = append(q.Topics, t)
			q.TimeoutMillis = 5000
			a := ask[*kmsg.CreatePartitionsResponse](p, version, q)
			if a.Topics[0].ErrorCode != 0 || a.Topics[0].Topic != s.name {
				return fmt.Errorf("answer %+v", a)
			}
			return nil
		},
		kmsg.DescribeTopicPartitions: asked(func(_ int16, s subject) kmsg.Request {
			q := kmsg.NewPtrDescribeTopicPartitionsRequest()
			t := kmsg.NewDescribeTopicPartitionsRequestTopic()
			t.Topic = s.name
			q.Topics = append(q.Topics, t)
			q.ResponsePartitionLimit = 100
			return q
		}, func(_ int16, s subject, a *kmsg.DescribeTopicPartitionsResponse) bool {
			t := a.Topics[0]
			return t.ErrorCode != 0 || *t.Topic != s.name || t.TopicID != s.id || len(t.Partitions) != 1 || a.NextCursor != nil
		}),
	}
}

func configExercises() map[kmsg.Key]exercise {
	return map[kmsg.Key]exercise{
		kmsg.DescribeConfigs: asked(func(_ int16, s subject) kmsg.Request {
			q := kmsg.NewPtrDescribeConfigsRequest()
			r := kmsg.NewDescribeConfigsRequestResource()
			r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, s.name
			q.Resources = append(q.Resources, r)
			return q
		}, func(_ int16, _ subject, a *kmsg.DescribeConfigsResponse) bool {
			return a.Resources[0].ErrorCode != 0 || len(a.Resources[0].Configs) < 20
		}),
		kmsg.AlterConfigs: asked(func(_ int16, s subject) kmsg.Request {
			q := kmsg.NewPtrAlterConfigsRequest()
			r := kmsg.NewAlterConfigsRequestResource()
			r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, s.name
			q.Resources = append(q.Resources, r)
			return q
		}, func(_ int16, s subject, a *kmsg.AlterConfigsResponse) bool {
			return a.Resources[0].ErrorCode != 0 || a.Resources[0].ResourceName != s.name
		}),
		kmsg.IncrementalAlterConfigs: asked(func(_ int16, s subject) kmsg.Request {
			q := kmsg.NewPtrIncrementalAlterConfigsRequest()
			r := kmsg.NewIncrementalAlterConfigsRequestResource()
			r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, s.name
			q.Resources = append(q.Resources, r)
			return q
		}, func(_ int16, s subject, a *kmsg.IncrementalAlterConfigsResponse) bool {
			return a.Resources[0].ErrorCode != 0 || a.Resources[0].ResourceName != s.name
		}),
	}
}

func clusterExercises() map[kmsg.Key]exercise {
	return map[kmsg.Key]exercise{
		kmsg.ApiVersions: asked(func(int16, subject) kmsg.Request {
			return versionsRequest("test", "1")
		}, func(_ int16, _ subject, a *kmsg.ApiVersionsResponse) bool {
			return a.ErrorCode != 0 || len(a.ApiKeys) < 20
		}),
		kmsg.DescribeLogDirs: asked(func(int16, subject) kmsg.Request {
			return kmsg.NewPtrDescribeLogDirsRequest()
		}, func(version int16, _ subject, a *kmsg.DescribeLogDirsResponse) bool {
			return a.ErrorCode != 0 || len(a.Dirs) != 1 || len(a.Dirs[0].Topics) == 0 || version >= 4 && a.Dirs[0].UsableBytes <= 0
		}),
		kmsg.DescribeCluster: asked(func(int16, subject) kmsg.Request {
			return kmsg.NewPtrDescribeClusterRequest()
		}, func(version int16, _ subject, a *kmsg.DescribeClusterResponse) bool {
			return a.ErrorCode != 0 || a.ClusterID == "" || len(a.Brokers) != 1 || a.Brokers[0].Port == 0 || version >= 1 && a.EndpointType != 1
		}),
	}
}

// aclExercises ask for rules where there is no authorizer to have any.
func aclExercises() map[kmsg.Key]exercise {
	return map[kmsg.Key]exercise{
		kmsg.DescribeACLs: asked(func(int16, subject) kmsg.Request {
			q := kmsg.NewPtrDescribeACLsRequest()
			q.ResourceType, q.Operation, q.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
			return q
		}, func(_ int16, _ subject, a *kmsg.DescribeACLsResponse) bool {
			return a.ErrorCode != kerr.SecurityDisabled.Code
		}),
		kmsg.CreateACLs: asked(func(_ int16, s subject) kmsg.Request {
			q := kmsg.NewPtrCreateACLsRequest()
			q.Creations = append(q.Creations, creation(acl.Allow, acl.Wildcard, right{sdk.OperationRead, sdk.ResourceTopic, s.name}))
			return q
		}, func(_ int16, _ subject, a *kmsg.CreateACLsResponse) bool {
			return len(a.Results) != 1 || a.Results[0].ErrorCode != kerr.SecurityDisabled.Code
		}),
		kmsg.DeleteACLs: asked(func(int16, subject) kmsg.Request {
			q := kmsg.NewPtrDeleteACLsRequest()
			f := kmsg.NewDeleteACLsRequestFilter()
			f.ResourceType, f.Operation, f.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
			q.Filters = append(q.Filters, f)
			return q
		}, func(_ int16, _ subject, a *kmsg.DeleteACLsResponse) bool {
			return len(a.Results) != 1 || a.Results[0].ErrorCode != kerr.SecurityDisabled.Code
		}),
	}
}

func adminExercises() map[kmsg.Key]exercise {
	return map[kmsg.Key]exercise{
		kmsg.ListConfigResources: asked(func(int16, subject) kmsg.Request {
			return kmsg.NewPtrListConfigResourcesRequest()
		}, func(version int16, _ subject, a *kmsg.ListConfigResourcesResponse) bool {
			return a.ErrorCode != 0 || version == 0 && len(a.ConfigResources) != 0 || version >= 1 && len(a.ConfigResources) < 2
		}),
		kmsg.ElectLeaders: asked(func(_ int16, s subject) kmsg.Request {
			return election(0, s.name, 0)
		}, func(_ int16, s subject, a *kmsg.ElectLeadersResponse) bool {
			return a.ErrorCode != 0 || a.Topics[0].Topic != s.name || a.Topics[0].Partitions[0].ErrorCode != kerr.ElectionNotNeeded.Code
		}),
		kmsg.AlterPartitionAssignments: asked(func(_ int16, s subject) kmsg.Request {
			return reassignment(s.name, 0)
		}, func(_ int16, s subject, a *kmsg.AlterPartitionAssignmentsResponse) bool {
			return a.ErrorCode != 0 || a.Topics[0].Topic != s.name || a.Topics[0].Partitions[0].ErrorCode != kerr.NoReassignmentInProgress.Code
		}),
		kmsg.ListPartitionReassignments: asked(func(int16, subject) kmsg.Request {
			return kmsg.NewPtrListPartitionReassignmentsRequest()
		}, func(_ int16, _ subject, a *kmsg.ListPartitionReassignmentsResponse) bool {
			return a.ErrorCode != 0 || len(a.Topics) != 0
		}),
		kmsg.DescribeQuorum: func(p *peer, version int16, _ subject) error {
			if r := p.quorum(version); r.ErrorCode != 0 || r.LeaderID != p.self() || len(r.CurrentVoters) != 1 {
				return fmt.Errorf("answer %+v", r)
			}
			return nil
		},
		kmsg.UnregisterBroker: asked(func(int16, subject) kmsg.Request {
			q := kmsg.NewPtrUnregisterBrokerRequest()
			q.BrokerID = 12345
			return q
		}, func(_ int16, _ subject, a *kmsg.UnregisterBrokerResponse) bool {
			return a.ErrorCode != kerr.BrokerIDNotRegistered.Code
		}),
		kmsg.AddRaftVoter: asked(func(int16, subject) kmsg.Request {
			return newVoter()
		}, func(_ int16, _ subject, a *kmsg.AddRaftVoterResponse) bool {
			return a.ErrorCode != kerr.UnsupportedVersion.Code
		}),
		kmsg.RemoveRaftVoter: asked(func(int16, subject) kmsg.Request {
			return oldVoter()
		}, func(_ int16, _ subject, a *kmsg.RemoveRaftVoterResponse) bool {
			return a.ErrorCode != kerr.UnsupportedVersion.Code
		}),
	}
}

func securityExercises() map[kmsg.Key]exercise {
	return map[kmsg.Key]exercise{
		kmsg.SASLHandshake: asked(func(int16, subject) kmsg.Request {
			return handshake("PLAIN")
		}, func(_ int16, _ subject, a *kmsg.SASLHandshakeResponse) bool {
			return a.ErrorCode != kerr.IllegalSaslState.Code // nothing has to be proved here
		}),
		kmsg.SASLAuthenticate: asked(func(int16, subject) kmsg.Request {
			return proofToken("x")
		}, func(_ int16, _ subject, a *kmsg.SASLAuthenticateResponse) bool {
			return a.ErrorCode != kerr.IllegalSaslState.Code || a.ErrorMessage == nil
		}),
		kmsg.DescribeClientQuotas: asked(func(int16, subject) kmsg.Request {
			return kmsg.NewPtrDescribeClientQuotasRequest()
		}, func(_ int16, _ subject, a *kmsg.DescribeClientQuotasResponse) bool {
			return a.ErrorCode != 0 || a.Entries == nil || len(a.Entries) != 0
		}),
		kmsg.DescribeUserSCRAMCredentials: asked(func(int16, subject) kmsg.Request {
			q := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
			for _, name := range []string{"nobody", "twice", "twice"} {
				q.Users = append(q.Users, kmsg.DescribeUserSCRAMCredentialsRequestUser{Name: name})
			}
			return q
		}, func(_ int16, _ subject, a *kmsg.DescribeUserSCRAMCredentialsResponse) bool {
			codes := map[string]int16{}
			for _, r := range a.Results {
				codes[r.User] = r.ErrorCode
			}
			return a.ErrorCode != 0 || len(a.Results) != 2 || codes["nobody"] != kerr.ResourceNotFound.Code || codes["twice"] != kerr.DuplicateResource.Code
		}),
		kmsg.AlterUserSCRAMCredentials: func(p *peer, version int16, _ subject) error {
			q := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
			user := unused(p.t)
			q.Upsertions = []kmsg.AlterUserSCRAMCredentialsRequestUpsertion{{Name: user, Mechanism: 1, Iterations: 4096, Salt: []byte("salt"), SaltedPassword: make([]byte, 32)}}
			q.Deletions = []kmsg.AlterUserSCRAMCredentialsRequestDeletion{{Name: "nobody", Mechanism: 2}}
			a := ask[*kmsg.AlterUserSCRAMCredentialsResponse](p, version, q)
			for _, r := range a.Results {
				if r.User == user && r.ErrorCode != 0 || r.User == "nobody" && (r.ErrorCode != kerr.ResourceNotFound.Code || r.ErrorMessage == nil) || len(a.Results) != 2 {
					return fmt.Errorf("answer %+v", a)
				}
			}
			return nil
		},
	}
}

// TestEveryAdvertisedVersionIsAnswered asks every version of every key that is
// advertised, so that a key or version that is added without a test fails here.
func TestEveryAdvertisedVersionIsAnswered(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	s := p.topic(1)
	p.put(s, 0, records("first"))
	all := exercises()
	for key := range all {
		if _, ok := advertised(p)[int16(key)]; !ok {
			t.Errorf("%s is not advertised", key.Name())
		}
	}
	for key, versions := range advertised(p) {
		e := all[kmsg.Key(key)]
		if e == nil {
			if !foreign() {
				t.Errorf("%s is advertised and not tested", kmsg.NameForKey(key))
			}
			continue
		}
		if key == int16(kmsg.Produce) && foreign() {
			versions.MinVersion = 3 // Kafka closes the connection on those below
		}
		for version := versions.MinVersion; version <= versions.MaxVersion; version++ {
			t.Run(fmt.Sprintf("%s-%d", kmsg.NameForKey(key), version), func(t *testing.T) {
				one := p.another()
				one.t = t
				if err := e(one, version, s); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}
