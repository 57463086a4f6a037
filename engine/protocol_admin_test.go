package engine

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// resources asks what has settings, and answers "kind/name" of each.
func (p *peer) resources(version int16, kinds ...kmsg.ConfigResourceType) (all []string, code int16) {
	p.t.Helper()
	q := kmsg.NewPtrListConfigResourcesRequest()
	for _, kind := range kinds {
		q.ResourceTypes = append(q.ResourceTypes, int8(kind))
	}
	a := ask[*kmsg.ListConfigResourcesResponse](p, version, q)
	for _, r := range a.ConfigResources {
		all = append(all, fmt.Sprintf("%d/%s", r.Type, r.Name))
	}
	return all, a.ErrorCode
}

func TestListConfigResources(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	group := unused(t)
	want(t, "alter the group", p.alter(kmsg.ConfigResourceTypeGroupConfig, group, false, "consumer.session.timeout.ms=50000"), nil)
	p.becomes(kmsg.ConfigResourceTypeGroupConfig, group, "consumer.session.timeout.ms", "50000")
	topic, broker, given := "2/"+s.name, fmt.Sprintf("4/%d", p.self()), "32/"+group
	for _, test := range []struct {
		name    string
		version int16
		kinds   []kmsg.ConfigResourceType
		there   []string
		missing []string
	}{
		{"client metrics", 0, nil, nil, []string{topic, broker, given}},
		{"all", 1, nil, []string{topic, broker, given}, nil},
		{"topics", 1, []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeTopic}, []string{topic}, []string{broker, given}},
		{"brokers", 1, []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeBroker}, []string{broker}, []string{topic, given}},
		{"groups", 1, []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeGroupConfig}, []string{given}, []string{topic, broker}},
		{"client metrics by name", 1, []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeClientMetrics}, nil, []string{topic, broker, given}},
		{"one kind twice", 1, []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeTopic}, []string{topic}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			all, code := p.at(t).resources(test.version, test.kinds...)
			want(t, "list", code, nil)
			for _, one := range test.there {
				if n := len(slices.DeleteFunc(slices.Clone(all), func(other string) bool { return other != one })); n != 1 {
					t.Errorf("%s is there %d times in %q", one, n, all)
				}
			}
			for _, one := range test.missing {
				if slices.Contains(all, one) {
					t.Errorf("%s is in %q", one, all)
				}
			}
		})
	}
	p.at(t)
	for _, odd := range []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeUnknown, 3, 64} {
		all, code := p.resources(1, kmsg.ConfigResourceTypeTopic, odd)
		want(t, fmt.Sprintf("kind %d", odd), code, kerr.UnsupportedVersion)
		if len(all) != 0 {
			t.Errorf("kind %d: %q", odd, all)
		}
	}
	want(t, "take the setting away", p.alter(kmsg.ConfigResourceTypeGroupConfig, group, false, "-consumer.session.timeout.ms"), nil)
	for end := time.Now().Add(patience); ; {
		if all, _ := p.resources(1, kmsg.ConfigResourceTypeGroupConfig); !slices.Contains(all, given) {
			break
		}
		if !foreign() || time.Now().After(end) {
			t.Fatal("a group without settings is listed")
		}
	}
}

// election asks for an election in some partitions of a topic.
func election(kind int8, topic string, partitions ...int32) *kmsg.ElectLeadersRequest {
	q := kmsg.NewPtrElectLeadersRequest()
	q.ElectionType = kind
	t := kmsg.NewElectLeadersRequestTopic()
	t.Topic, t.Partitions = topic, partitions
	q.Topics = append(q.Topics, t)
	return q
}

func TestElectLeaders(t *testing.T) {
	p := dialed(t)
	s := p.topic(2)
	for version := int16(0); version <= 2; version++ {
		for kind := int8(0); kind <= 1 && (kind == 0 || version > 0); kind++ {
			a := ask[*kmsg.ElectLeadersResponse](p, version, election(kind, s.name, 0, 1, 7, -1, 0))
			want(t, "elect", a.ErrorCode, nil)
			if len(a.Topics) != 1 || a.Topics[0].Topic != s.name || len(a.Topics[0].Partitions) != 5 {
				t.Fatalf("%+v", a)
			}
			for i, expected := range []*kerr.Error{kerr.ElectionNotNeeded, kerr.ElectionNotNeeded, kerr.UnknownTopicOrPartition, kerr.UnknownTopicOrPartition, kerr.ElectionNotNeeded} {
				r := a.Topics[0].Partitions[i]
				want(t, fmt.Sprintf("partition %d", r.Partition), r.ErrorCode, expected)
				if r.ErrorMessage == nil || *r.ErrorMessage == "" {
					t.Errorf("%+v does not say why", r)
				}
			}
		}
		none := ask[*kmsg.ElectLeadersResponse](p, version, election(0, unused(t), 0))
		want(t, "of no topic", none.Topics[0].Partitions[0].ErrorCode, kerr.UnknownTopicOrPartition)
	}
	odd := ask[*kmsg.ElectLeadersResponse](p, 2, election(7, s.name, 0))
	want(t, "an election of no kind", odd.ErrorCode, kerr.InvalidRequest)
	want(t, "an election of no kind", odd.Topics[0].Partitions[0].ErrorCode, kerr.InvalidRequest)
	nothing := kmsg.NewPtrElectLeadersRequest()
	nothing.Topics = []kmsg.ElectLeadersRequestTopic{}
	if a := ask[*kmsg.ElectLeadersResponse](p, 2, nothing); a.ErrorCode != 0 || len(a.Topics) != 0 {
		t.Errorf("nothing asked: %+v", a)
	}
	everything := ask[*kmsg.ElectLeadersResponse](p, 2, kmsg.NewPtrElectLeadersRequest())
	want(t, "elect all", everything.ErrorCode, nil)
	found := false
	for _, topic := range everything.Topics {
		found = found || topic.Topic == s.name
		if len(topic.Partitions) != 0 {
			t.Errorf("elect all: %+v has its leader", topic)
		}
	}
	if !found {
		t.Errorf("elect all: %s is not in %+v", s.name, everything)
	}
}

// reassignment wants one partition on some brokers; none cancels what is under way.
func reassignment(topic string, partition int32, brokers ...int32) *kmsg.AlterPartitionAssignmentsRequest {
	q := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	t.Topic = topic
	part := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	part.Partition, part.Replicas = partition, brokers
	t.Partitions = append(t.Partitions, part)
	q.Topics = append(q.Topics, t)
	return q
}

func TestAlterPartitionReassignments(t *testing.T) {
	p := dialed(t)
	s, self := p.topic(1), p.self()
	p.put(s, 0, records("stays"))
	empty := reassignment(s.name, 0)
	empty.Topics[0].Partitions[0].Replicas = []int32{}
	for _, test := range []struct {
		name     string
		request  *kmsg.AlterPartitionAssignmentsRequest
		expected *kerr.Error
		silent   bool // without a message
	}{
		{"where it is", reassignment(s.name, 0, self), nil, true},
		{"to a broker that is not there", reassignment(s.name, 0, self+1), kerr.InvalidReplicaAssignment, false},
		{"also to one that is not there", reassignment(s.name, 0, self, self+1), kerr.InvalidReplicaAssignment, false},
		{"twice to one broker", reassignment(s.name, 0, self, self), kerr.InvalidReplicaAssignment, false},
		{"to broker -1", reassignment(s.name, 0, -1), kerr.InvalidReplicaAssignment, false},
		{"to no broker", empty, kerr.InvalidReplicaAssignment, false},
		{"cancel", reassignment(s.name, 0), kerr.NoReassignmentInProgress, true},
		{"a partition that is not there", reassignment(s.name, 9, self), kerr.UnknownTopicOrPartition, false},
		{"a topic that is not there", reassignment(unused(t), 0, self), kerr.UnknownTopicOrPartition, false},
		{"cancel one that is not there", reassignment(unused(t), 0), kerr.UnknownTopicOrPartition, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			for version := int16(0); version <= 1; version++ {
				for _, resize := range []bool{true, false} {
					test.request.AllowReplicationFactorChange = resize
					a := ask[*kmsg.AlterPartitionAssignmentsResponse](p.at(t), version, test.request)
					want(t, "reassign", a.ErrorCode, nil)
					if version > 0 && a.AllowReplicationFactorChange != resize || len(a.Topics) != 1 || len(a.Topics[0].Partitions) != 1 {
						t.Fatalf("%+v", a)
					}
					r := a.Topics[0].Partitions[0]
					want(t, "reassign", r.ErrorCode, test.expected)
					if (r.ErrorMessage == nil) != test.silent {
						t.Errorf("version %d: message %v", version, r.ErrorMessage)
					}
				}
			}
		})
	}
	p.at(t)
	q := kmsg.NewPtrListPartitionReassignmentsRequest()
	if a := ask[*kmsg.ListPartitionReassignmentsResponse](p, 0, q); a.ErrorCode != 0 || len(a.Topics) != 0 {
		t.Errorf("all that move: %+v", a)
	}
	for _, name := range []string{s.name, unused(t)} {
		topic := kmsg.NewListPartitionReassignmentsRequestTopic()
		topic.Topic, topic.Partitions = name, []int32{0, 9}
		q.Topics = append(q.Topics, topic)
	}
	if a := ask[*kmsg.ListPartitionReassignmentsResponse](p, 0, q); a.ErrorCode != 0 || len(a.Topics) != 0 {
		t.Errorf("these that move: %+v", a)
	}
	if m := p.metadata(s.name).Partitions[0]; m.Leader != self || !slices.Equal(m.Replicas, []int32{self}) {
		t.Errorf("it is at %+v", m)
	}
	if got := values(t, p.fetch(12, from(s, 0, 0)).RecordBatches); !slices.Equal(got, []string{"stays"}) {
		t.Errorf("records %q", got)
	}
}

func quorumRequest(topic string, partitions ...int32) *kmsg.DescribeQuorumRequest {
	q := kmsg.NewPtrDescribeQuorumRequest()
	t := kmsg.NewDescribeQuorumRequestTopic()
	t.Topic = topic
	for _, partition := range partitions {
		part := kmsg.NewDescribeQuorumRequestTopicPartition()
		part.Partition = partition
		t.Partitions = append(t.Partitions, part)
	}
	q.Topics = append(q.Topics, t)
	return q
}

// quorum describes the metadata log.
func (p *peer) quorum(version int16) kmsg.DescribeQuorumResponseTopicPartition {
	p.t.Helper()
	a := ask[*kmsg.DescribeQuorumResponse](p, version, quorumRequest("__cluster_metadata", 0))
	want(p.t, "describe the quorum", a.ErrorCode, nil)
	if len(a.Topics) != 1 || a.Topics[0].Topic != "__cluster_metadata" || len(a.Topics[0].Partitions) != 1 {
		p.t.Fatalf("%+v", a)
	}
	if version >= 2 && (len(a.Nodes) != 1 || a.Nodes[0].NodeID != a.Topics[0].Partitions[0].LeaderID || len(a.Nodes[0].Listeners) != 1 ||
		a.Nodes[0].Listeners[0].Host == "" || a.Nodes[0].Listeners[0].Port == 0 || a.Nodes[0].Listeners[0].Name == "") {
		p.t.Fatalf("nodes %+v", a.Nodes)
	}
	return a.Topics[0].Partitions[0]
}

func TestDescribeQuorum(t *testing.T) {
	p := dialed(t)
	for version := int16(0); version <= 2; version++ {
		asked := time.Now().Add(-time.Minute).UnixMilli()
		r := p.quorum(version)
		if r.ErrorCode != 0 || r.LeaderID != p.self() || r.LeaderEpoch < 1 || r.HighWatermark < 1 || len(r.CurrentVoters) != 1 || len(r.Observers) != 0 {
			t.Fatalf("version %d: %+v", version, r)
		}
		voter := r.CurrentVoters[0]
		if voter.ReplicaID != r.LeaderID || voter.LogEndOffset < r.HighWatermark || voter.ReplicaDirectoryID != [16]byte{} {
			t.Errorf("version %d: %+v", version, voter)
		}
		timed := voter.LastFetchTimestamp > asked && voter.LastCaughtUpTimestamp > asked
		if untimed := voter.LastFetchTimestamp == -1 && voter.LastCaughtUpTimestamp == -1; version == 0 && !untimed || version > 0 && !timed {
			t.Errorf("version %d: %+v", version, voter)
		}
	}
	before := p.quorum(2)
	p.topic(1)
	if after := p.quorum(2); after.HighWatermark <= before.HighWatermark || after.CurrentVoters[0].LogEndOffset < after.HighWatermark || after.LeaderEpoch != before.LeaderEpoch {
		t.Errorf("a topic was made; before %+v, after %+v", before, after)
	}
	two := quorumRequest("__cluster_metadata", 0)
	two.Topics = append(two.Topics, quorumRequest(unused(t), 0).Topics...)
	for name, q := range map[string]*kmsg.DescribeQuorumRequest{
		"a topic": quorumRequest(p.topic(1).name, 0), "another partition": quorumRequest("__cluster_metadata", 1),
		"two partitions": quorumRequest("__cluster_metadata", 0, 1), "two topics": two,
	} {
		a := ask[*kmsg.DescribeQuorumResponse](p, 2, q)
		want(t, name, a.ErrorCode, nil)
		if len(a.Topics) != len(q.Topics) || len(a.Nodes) != 0 {
			t.Errorf("%s: %+v", name, a)
		}
		for _, topic := range a.Topics {
			for _, part := range topic.Partitions {
				want(t, name, part.ErrorCode, kerr.UnknownTopicOrPartition)
			}
		}
	}
	if a := ask[*kmsg.DescribeQuorumResponse](p, 2, kmsg.NewPtrDescribeQuorumRequest()); a.ErrorCode != 0 || len(a.Topics) != 0 {
		t.Errorf("nothing asked: %+v", a)
	}
}

// TestDescribeQuorumOverARestart: a new life of the node is a new epoch, and no offset comes again.
func TestDescribeQuorumOverARestart(t *testing.T) {
	onlyOurs(t)
	folder, b := begun(t)
	before := dial(t, b.Addresses()[0]).quorum(2)
	stop(t, b)
	after := dial(t, start(t, folder).Addresses()[0]).quorum(2)
	if after.LeaderEpoch <= before.LeaderEpoch || after.HighWatermark <= before.HighWatermark {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

func TestUnregisterBroker(t *testing.T) {
	p := dialed(t)
	self := p.self()
	unregister := func(id int32) *kmsg.UnregisterBrokerResponse {
		q := kmsg.NewPtrUnregisterBrokerRequest()
		q.BrokerID = id
		a := ask[*kmsg.UnregisterBrokerResponse](p, 0, q)
		if a.ErrorMessage == nil || *a.ErrorMessage == "" {
			t.Errorf("broker %s: it does not say why", strconv.Itoa(int(id)))
		}
		return a
	}
	for _, id := range []int32{self + 1, -1} {
		want(t, "a broker that is not there", unregister(id).ErrorCode, kerr.BrokerIDNotRegistered)
	}
	onlyOurs(t) // Kafka would be left without a broker
	want(t, "the only broker", unregister(self).ErrorCode, kerr.InvalidRequest)
	if p.self() != self {
		t.Error("it is gone")
	}
}

func newVoter() *kmsg.AddRaftVoterRequest {
	q := kmsg.NewPtrAddRaftVoterRequest()
	q.VoterID, q.VoterDirectoryID = 3, [16]byte{15: 1}
	l := kmsg.NewAddRaftVoterRequestListener()
	l.Name, l.Host, l.Port = "CONTROLLER", "127.0.0.1", 9
	q.Listeners = append(q.Listeners, l)
	return q
}

func oldVoter() *kmsg.RemoveRaftVoterRequest {
	q := kmsg.NewPtrRemoveRaftVoterRequest()
	q.VoterID, q.VoterDirectoryID = 3, [16]byte{15: 1}
	return q
}

// The quorum is the one node: whoever asks to change it is told what Kafka says of one that is static.
func TestVotersOfAStaticQuorum(t *testing.T) {
	p := dialed(t)
	add, remove := newVoter(), oldVoter()
	added, removed := ask[*kmsg.AddRaftVoterResponse](p, 1, add), ask[*kmsg.RemoveRaftVoterResponse](p, 0, remove)
	want(t, "add", added.ErrorCode, kerr.UnsupportedVersion)
	want(t, "remove", removed.ErrorCode, kerr.UnsupportedVersion)
	if *added.ErrorMessage != "Cluster doesn't support adding voter because the kraft.version feature is 0" ||
		*removed.ErrorMessage != "Cluster doesn't support removing voter because the kraft.version feature is 0" {
		t.Errorf("told %q and %q", *added.ErrorMessage, *removed.ErrorMessage)
	}
	other := "another-cluster"
	add.ClusterID, remove.ClusterID = &other, &other
	want(t, "add to another cluster", ask[*kmsg.AddRaftVoterResponse](p, 1, add).ErrorCode, kerr.InconsistentClusterID)
	want(t, "remove from another cluster", ask[*kmsg.RemoveRaftVoterResponse](p, 0, remove).ErrorCode, kerr.InconsistentClusterID)
	add.ClusterID, add.VoterID = nil, -1
	remove.ClusterID, remove.VoterDirectoryID = nil, [16]byte{}
	want(t, "add nobody", ask[*kmsg.AddRaftVoterResponse](p, 1, add).ErrorCode, kerr.InvalidRequest)
	want(t, "remove nobody", ask[*kmsg.RemoveRaftVoterResponse](p, 0, remove).ErrorCode, kerr.InvalidRequest)
}
