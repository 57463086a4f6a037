package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
)

// ListPartitionReassignments tells which partitions are on their way to other brokers
// (KIP-455). On one node none ever is.
//
//	v0 flexible
//
// Differs from Kafka: nothing, of one node.
func listPartitionReassignments(c *call, _ *kmsg.ListPartitionReassignmentsRequest, a *kmsg.ListPartitionReassignmentsResponse) {
	if !c.onCluster(sdk.OperationDescribe) {
		a.ErrorCode, a.ErrorMessage = clusterDenied.Wire()
	}
	c.reply(a)
}
