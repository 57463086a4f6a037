package api

import (
	"cmp"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/sdk"
)

// unknownProducersTopic is what is said of a topic that does not exist.
var unknownProducersTopic = &cluster.Refusal{Code: kerr.UnknownTopicOrPartition, Message: kerr.UnknownTopicOrPartition.Description}

// DescribeProducers tells which idempotent producers have written to partitions, and of
// transactions that are open there (KIP-664).
//
// Differs from Kafka: a partition that is named twice is told of once.
func describeProducers(c *call, q *kmsg.DescribeProducersRequest, a *kmsg.DescribeProducersResponse) {
	g := c.gather(func() { c.reply(a) })
	q.Topics = onceProducers(q.Topics)
	for i := range q.Topics {
		topic, allowed := c.server.Registry.Named(q.Topics[i].Topic), c.allowed(sdk.OperationRead, sdk.ResourceTopic, q.Topics[i].Topic)
		t := kmsg.NewDescribeProducersResponseTopic()
		t.Topic = q.Topics[i].Topic
		t.Partitions = make([]kmsg.DescribeProducersResponseTopicPartition, len(q.Topics[i].Partitions))
		for j, index := range q.Topics[i].Partitions {
			answer := &t.Partitions[j]
			answer.Partition = index
			r := replicaOf(topic, index)
			switch {
			case !allowed:
				answer.ErrorCode, answer.ErrorMessage = topicDenied.Wire()
			case r == nil && topic != nil:
				answer.ErrorCode = kerr.UnknownTopicOrPartition.Code
			case r == nil:
				answer.ErrorCode, answer.ErrorMessage = cmp.Or(cluster.CheckName(t.Topic), unknownProducersTopic).Wire()
			default:
				g.ask(r, func() func() {
					found := kmsg.DescribeProducersResponseTopicPartition{Partition: index}
					producersOf(r, &found)
					return func() { *answer = found }
				}, func() { answer.ErrorCode = kerr.RequestTimedOut.Code })
			}
		}
		a.Topics = append(a.Topics, t)
	}
	g.done()
}

func producersOf(r *shard.Replica, a *kmsg.DescribeProducersResponseTopicPartition) {
	all, err := r.Producers()
	a.ErrorCode = code(err)
	for _, p := range all {
		one := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		one.ProducerID, one.ProducerEpoch, one.LastSequence = p.ID, int32(p.Epoch), p.LastSequence
		one.LastTimestamp, one.CoordinatorEpoch, one.CurrentTxnStartOffset = p.LastTimestamp, p.CoordinatorEpoch, p.TransactionStart
		a.ActiveProducers = append(a.ActiveProducers, one)
	}
}

// onceProducers leaves each partition of each topic where it comes first: what is told of one may be large.
func onceProducers(topics []kmsg.DescribeProducersRequestTopic) (all []kmsg.DescribeProducersRequestTopic) {
	o := newOncePartitions[string]()
	for i := range topics {
		k, met := o.topic(topics[i].Topic)
		if !met {
			all = append(all, kmsg.DescribeProducersRequestTopic{Topic: topics[i].Topic})
		}
		all[k].Partitions = o.add(all[k].Partitions, k, topics[i].Partitions)
	}
	return all
}
