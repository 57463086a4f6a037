package cluster

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Reassign decides whether a partition may live on other brokers, without replicas: whether
// its reassignment may be cancelled (KIP-455). With one node there is nowhere to go: the
// brokers that it has are no change, and none is ever on its way. Unless mayResize, the
// number of replicas must stay (KIP-860).
func Reassign(i *Image, topic string, partition int32, replicas []int32, mayResize bool) *Refusal {
	known := i.Topic(topic)
	switch {
	case known == nil:
		return refuse(kerr.UnknownTopicOrPartition, "Unable to find a topic named %s.", topic)
	case partition < 0 || int(partition) >= len(known.Partitions):
		return refuse(kerr.UnknownTopicOrPartition, "Unable to find partition %s:%d.", topic, partition)
	case replicas == nil:
		return &Refusal{Code: kerr.NoReassignmentInProgress}
	}
	if refused := (&placement{image: i}).manual(replicas, -1); refused != nil {
		return refused
	}
	switch now := known.Partitions[partition].Replicas; {
	case !mayResize && len(replicas) != len(now):
		return refuse(kerr.InvalidReplicationFactor, "The replication factor is changed from %d to %d", len(now), len(replicas))
	case !slices.Equal(replicas, now):
		return refuse(kerr.InvalidReplicaAssignment, "Partition %s-%d cannot move from brokers %v to %v: this broker does not copy partitions to others.",
			topic, partition, now, replicas)
	}
	return nil
}
