package cluster

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

// wide is a cluster of two brokers with a topic: partition 0 is led by its preferred
// replica, 1 by the other one, 2 by nobody. No broker of ours makes 1 and 2 yet, but what
// is decided of them must not be that all is well.
func wide(t *testing.T) *Image {
	t.Helper()
	image, err := Empty().Apply([]Record{
		&ClusterRecord{ID: "MkU3OEVBNTcwNTJENDM2Qg"},
		&BrokerRecord{ID: 1, Epoch: 1, Host: "one", Port: 1},
		&BrokerRecord{ID: 2, Epoch: 2, Host: "two", Port: 2},
		&TopicRecord{Name: "wide", ID: ID{1}, Partitions: []Partition{
			{Leader: 1, Replicas: []int32{1, 2}, ISR: []int32{1, 2}, Directories: []ID{{1}, {2}}},
			{Leader: 2, Replicas: []int32{1, 2}, ISR: []int32{2}, Directories: []ID{{1}, {2}}},
			{Leader: NoLeader, Replicas: []int32{1, 2}, ISR: []int32{}, Directories: []ID{{1}, {2}}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func refusedWith(t *testing.T, r *Refusal, want *kerr.Error) {
	t.Helper()
	switch {
	case r == nil && want == nil:
	case r == nil || want == nil || r.Code != want:
		t.Errorf("answered with %v, want %v", r, want)
	}
}

func TestElectLeader(t *testing.T) {
	image := wide(t)
	for name, test := range map[string]struct {
		kind      int8
		topic     string
		partition int32
		want      *kerr.Error
	}{
		"the preferred replica leads":     {ElectPreferred, "wide", 0, kerr.ElectionNotNeeded},
		"another leads":                   {ElectPreferred, "wide", 1, kerr.PreferredLeaderNotAvailable},
		"nobody leads":                    {ElectPreferred, "wide", 2, kerr.PreferredLeaderNotAvailable},
		"unclean, and it has a leader":    {ElectUnclean, "wide", 1, kerr.ElectionNotNeeded},
		"unclean, and nobody leads":       {ElectUnclean, "wide", 2, kerr.EligibleLeadersNotAvailable},
		"no such partition":               {ElectPreferred, "wide", 3, kerr.UnknownTopicOrPartition},
		"no such topic":                   {ElectUnclean, "narrow", 0, kerr.UnknownTopicOrPartition},
		"a kind of election nobody knows": {2, "wide", 0, kerr.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			refusedWith(t, ElectLeader(image, test.kind, test.topic, test.partition), test.want)
		})
	}
}

func TestReassign(t *testing.T) {
	image := wide(t)
	for name, test := range map[string]struct {
		partition int32
		replicas  []int32
		mayResize bool
		want      *kerr.Error
	}{
		"where it is":                          {0, []int32{1, 2}, false, nil},
		"the other way round":                  {0, []int32{2, 1}, true, kerr.InvalidReplicaAssignment},
		"to fewer brokers":                     {0, []int32{1}, true, kerr.InvalidReplicaAssignment},
		"to fewer brokers, which is forbidden": {0, []int32{1}, false, kerr.InvalidReplicationFactor},
		"to a broker that is not there":        {0, []int32{1, 3}, true, kerr.InvalidReplicaAssignment},
		"to no broker":                         {0, []int32{}, true, kerr.InvalidReplicaAssignment},
		"cancel":                               {0, nil, true, kerr.NoReassignmentInProgress},
		"no such partition":                    {3, []int32{1}, true, kerr.UnknownTopicOrPartition},
	} {
		t.Run(name, func(t *testing.T) {
			refusedWith(t, Reassign(image, "wide", test.partition, test.replicas, test.mayResize), test.want)
		})
	}
	refusedWith(t, Reassign(image, "narrow", 0, []int32{1}, true), kerr.UnknownTopicOrPartition)
}
