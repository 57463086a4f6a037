package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
)

// DeleteRecords moves the log start offset up (KIP-107).
//
//	v1 throttle time · v2 flexible
//
// Differs from Kafka: nothing.
func deleteRecords(c *call, q *kmsg.DeleteRecordsRequest, a *kmsg.DeleteRecordsResponse) {
	g := c.gather(func() { c.reply(a) })
	g.patience = max(g.patience, time.Duration(q.TimeoutMillis)*time.Millisecond)
	topics := onceRecords(q.Topics)
	for i := range topics {
		asked := &topics[i]
		topic, allowed := c.server.Registry.Named(asked.Topic), c.allowed(sdk.OperationDelete, sdk.ResourceTopic, asked.Topic)
		t := kmsg.NewDeleteRecordsResponseTopic()
		t.Topic = asked.Topic
		t.Partitions = make([]kmsg.DeleteRecordsResponseTopicPartition, len(asked.Partitions))
		for j := range asked.Partitions {
			p, answer := &asked.Partitions[j], &t.Partitions[j]
			answer.Partition, answer.LowWatermark = p.Partition, -1
			r := replicaOf(topic, p.Partition)
			switch {
			case !allowed:
				answer.ErrorCode = kerr.TopicAuthorizationFailed.Code
			case r == nil:
				answer.ErrorCode = kerr.UnknownTopicOrPartition.Code
			case topic.Internal:
				answer.ErrorCode = kerr.InvalidTopicException.Code
			case topic.Settings().Compacted && !topic.Settings().Deletes: // a policy of nothing allows it
				answer.ErrorCode = kerr.PolicyViolation.Code
			default:
				g.ask(r, func() func() {
					low, err := r.DeleteRecords(p.Offset)
					return func() { answer.LowWatermark, answer.ErrorCode = low, code(err) }
				}, func() { answer.ErrorCode = kerr.RequestTimedOut.Code })
			}
		}
		a.Topics = append(a.Topics, t)
	}
	g.done()
}

// onceRecords puts what is asked of a topic in several places into one. Of a partition the last counts, as in Kafka.
func onceRecords(topics []kmsg.DeleteRecordsRequestTopic) (all []kmsg.DeleteRecordsRequestTopic) {
	type partition struct {
		topic  string
		number int32
	}
	at, seen := map[string]int{}, map[partition]int{}
	for i := range topics {
		name := topics[i].Topic
		k, met := at[name]
		if !met {
			k = len(all)
			at[name] = k
			all = append(all, kmsg.DeleteRecordsRequestTopic{Topic: name})
		}
		for _, p := range topics[i].Partitions {
			if j, twice := seen[partition{name, p.Partition}]; twice {
				all[k].Partitions[j] = p
				continue
			}
			seen[partition{name, p.Partition}] = len(all[k].Partitions)
			all[k].Partitions = append(all[k].Partitions, p)
		}
	}
	return all
}
