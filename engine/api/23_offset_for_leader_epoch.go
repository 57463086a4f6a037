package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/sdk"
)

// OffsetForLeaderEpoch tells where the records of an epoch end, by which a client finds
// out that the log was cut since (KIP-320).
//
//	v2 current leader epoch · v3 replica id · v4 flexible
//
// Differs from Kafka: nothing.
func offsetForLeaderEpoch(c *call, q *kmsg.OffsetForLeaderEpochRequest, a *kmsg.OffsetForLeaderEpochResponse) {
	g := c.gather(func() { c.reply(a) })
	broker := c.sees(sdk.OperationClusterAction, sdk.ResourceCluster, sdk.ClusterName)
	for i := range q.Topics {
		asked := &q.Topics[i]
		topic := c.server.Registry.Named(asked.Topic)
		allowed := broker || c.allowed(sdk.OperationDescribe, sdk.ResourceTopic, asked.Topic)
		t := kmsg.NewOffsetForLeaderEpochResponseTopic()
		t.Topic = asked.Topic
		t.Partitions = make([]kmsg.OffsetForLeaderEpochResponseTopicPartition, len(asked.Partitions))
		for j := range asked.Partitions {
			p, answer := &asked.Partitions[j], &t.Partitions[j]
			answer.Default()
			answer.Partition, answer.LeaderEpoch, answer.EndOffset = p.Partition, -1, -1
			r := replicaOf(topic, p.Partition)
			switch {
			case !allowed:
				answer.ErrorCode = kerr.TopicAuthorizationFailed.Code
			case r == nil:
				answer.ErrorCode = kerr.UnknownTopicOrPartition.Code
			default:
				found := *answer
				g.ask(r, func() func() {
					found.ErrorCode = code(epochEnd(r, p, &found))
					return func() { *answer = found }
				}, func() { answer.ErrorCode = kerr.RequestTimedOut.Code })
			}
		}
		a.Topics = append(a.Topics, t)
	}
	g.done()
}

func epochEnd(r *shard.Replica, q *kmsg.OffsetForLeaderEpochRequestTopicPartition, a *kmsg.OffsetForLeaderEpochResponseTopicPartition) error {
	r.Settle()
	log, err := r.Log()
	if err != nil {
		return err
	}
	if err := r.CheckEpoch(q.CurrentLeaderEpoch); err != nil {
		return err
	}
	switch {
	case q.LeaderEpoch == r.Epoch():
		a.LeaderEpoch, a.EndOffset = r.Epoch(), r.HighWatermark()
	case log != nil:
		a.LeaderEpoch, a.EndOffset = log.EpochEnd(q.LeaderEpoch)
		if a.EndOffset < 0 && q.LeaderEpoch >= 0 && q.LeaderEpoch < r.Epoch() {
			// Nothing of this epoch is in the log yet, so that it begins at the end, and those before
			// it have ended there; also those of which nothing is left.
			a.LeaderEpoch, a.EndOffset = q.LeaderEpoch, r.HighWatermark()
			if last := log.LastEpoch(); last >= 0 {
				a.LeaderEpoch = min(last, q.LeaderEpoch)
			}
		}
	}
	return nil
}
