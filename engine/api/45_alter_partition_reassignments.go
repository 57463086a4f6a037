package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/sdk"
)

// AlterPartitionReassignments moves partitions to other brokers, or stops that (KIP-455).
// One node has nowhere to move them to: only where they are already.
//
//	v0 flexible · v1 may forbid another number of replicas (KIP-860)
//
// Differs from Kafka: nothing, of one node.
func alterPartitionReassignments(c *call, q *kmsg.AlterPartitionAssignmentsRequest, a *kmsg.AlterPartitionAssignmentsResponse) {
	allowed := c.onCluster(sdk.OperationAlter)
	if !allowed {
		a.ErrorCode, a.ErrorMessage = clusterDenied.Wire()
	}
	if allowed && len(q.Topics) == 0 {
		a.ErrorMessage = kmsg.StringPtr("") // as Kafka has it, which asks no controller then
	}
	image := c.server.Controller.Image()
	mayResize := c.version < 1 || q.AllowReplicationFactorChange
	a.AllowReplicationFactorChange = mayResize
	for i := range q.Topics {
		asked := &q.Topics[i]
		t := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		t.Topic = asked.Topic
		for _, partition := range asked.Partitions {
			p := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			p.Partition = partition.Partition
			if !allowed {
				p.ErrorCode, p.ErrorMessage = clusterDenied.Wire()
				t.Partitions = append(t.Partitions, p)
				continue
			}
			p.ErrorCode, p.ErrorMessage = cluster.Reassign(image, asked.Topic, partition.Partition, partition.Replicas, mayResize).Wire()
			t.Partitions = append(t.Partitions, p)
		}
		a.Topics = append(a.Topics, t)
	}
	c.reply(a)
}
