package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/partition"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

// WriteTxnMarkers ends transactions in single partitions. Coordinators on other brokers send
// it, and kafka-transactions to abort one that hangs.
//
//	v1 flexible · v2 transaction version (KIP-1228)
//
// Differs from Kafka: nothing.
func writeTxnMarkers(c *call, q *kmsg.WriteTxnMarkersRequest, a *kmsg.WriteTxnMarkersResponse) {
	a.Markers = make([]kmsg.WriteTxnMarkersResponseMarker, len(q.Markers))
	all := c.gather(func() { c.reply(a) })
	allowed := c.sees(sdk.OperationAlter, sdk.ResourceCluster, sdk.ClusterName) || c.onCluster(sdk.OperationClusterAction)
	for i := range q.Markers {
		asked, answer := &q.Markers[i], &a.Markers[i]
		answer.ProducerID = asked.ProducerID
		e := partition.Ending{
			Marker: batch.Marker{
				ProducerID: asked.ProducerID, ProducerEpoch: asked.ProducerEpoch, Commit: asked.Committed, CoordinatorEpoch: asked.CoordinatorEpoch,
			},
			Bumped: asked.TransactionVersion >= 2,
		}
		answer.Topics = make([]kmsg.WriteTxnMarkersResponseMarkerTopic, len(asked.Topics))
		for j := range asked.Topics {
			topic, told := c.server.Registry.Named(asked.Topics[j].Topic), &answer.Topics[j]
			told.Topic = asked.Topics[j].Topic
			told.Partitions = make([]kmsg.WriteTxnMarkersResponseMarkerTopicPartition, len(asked.Topics[j].Partitions))
			for k, index := range asked.Topics[j].Partitions {
				one := &told.Partitions[k]
				one.Partition = index
				r := replicaOf(topic, index)
				if !allowed {
					one.ErrorCode = kerr.ClusterAuthorizationFailed.Code
					continue
				}
				if r == nil {
					one.ErrorCode = kerr.UnknownTopicOrPartition.Code
					continue
				}
				p := all.part(func() { one.ErrorCode = kerr.RequestTimedOut.Code })
				r.EndTransaction(e, func(err error) {
					p.tell(func() { one.ErrorCode = code(err) })
				})
			}
		}
	}
	all.done()
}
