package api

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/sdk"
)

// OffsetDelete forgets offsets of topics that a group does not read any more (KIP-496).
//
//	v0 only, never flexible
//
// Differs from Kafka: nothing.
func offsetDelete(c *call, q *kmsg.OffsetDeleteRequest, a *kmsg.OffsetDeleteResponse) {
	var denied []kmsg.OffsetDeleteResponseTopic
	if c.sees(sdk.OperationDelete, sdk.ResourceGroup, q.Group) { // else there is one error for all
		denied = append(c.deniedDeletes(q), c.missingDeletes(q)...)
	}
	// The group is asked even when no topic is left: what is wrong with it is said instead of them.
	c.onGroup(sdk.OperationDelete, q.Group, func(err *kerr.Error) {
		a.ErrorCode = err.Code
		c.reply(a)
	}, func(g *group.Coordinator, now time.Time) {
		g.DeleteOffsets(now, q, func(r *kmsg.OffsetDeleteResponse) {
			if r.ErrorCode == 0 {
				r.Topics = joined(r.Topics, denied)
			}
			c.reply(r)
		})
	})
}

// joined is both answers, each topic once.
func joined(all, more []kmsg.OffsetDeleteResponseTopic) []kmsg.OffsetDeleteResponseTopic {
	at := make(map[string]int, len(all)+len(more))
	for i := range all {
		at[all[i].Topic] = i
	}
	for _, t := range more {
		if i, met := at[t.Topic]; met {
			all[i].Partitions = append(all[i].Partitions, t.Partitions...)
			continue
		}
		at[t.Topic] = len(all)
		all = append(all, t)
	}
	return all
}

// missingDeletes takes partitions that do not exist out of the request, and answers for them.
func (c *call) missingDeletes(q *kmsg.OffsetDeleteRequest) (missing []kmsg.OffsetDeleteResponseTopic) {
	for i := range q.Topics {
		t := &q.Topics[i]
		refused := kmsg.OffsetDeleteResponseTopic{Topic: t.Topic}
		t.Partitions = slices.DeleteFunc(t.Partitions, func(p kmsg.OffsetDeleteRequestTopicPartition) bool {
			if c.server.existing(t.Topic, p.Partition) {
				return false
			}
			refused.Partitions = append(refused.Partitions, kmsg.OffsetDeleteResponseTopicPartition{
				Partition: p.Partition, ErrorCode: kerr.UnknownTopicOrPartition.Code,
			})
			return true
		})
		if len(refused.Partitions) > 0 {
			missing = append(missing, refused)
		}
	}
	q.Topics = slices.DeleteFunc(q.Topics, func(t kmsg.OffsetDeleteRequestTopic) bool { return len(t.Partitions) == 0 })
	return missing
}

// deniedDeletes takes topics out of the request that whoever asks may not read, and answers
// for them.
func (c *call) deniedDeletes(q *kmsg.OffsetDeleteRequest) (denied []kmsg.OffsetDeleteResponseTopic) {
	q.Topics = slices.DeleteFunc(q.Topics, func(t kmsg.OffsetDeleteRequestTopic) bool {
		if c.allowed(sdk.OperationRead, sdk.ResourceTopic, t.Topic) {
			return false
		}
		refused := kmsg.NewOffsetDeleteResponseTopic()
		refused.Topic = t.Topic
		for _, p := range t.Partitions {
			one := kmsg.NewOffsetDeleteResponseTopicPartition()
			one.Partition, one.ErrorCode = p.Partition, kerr.TopicAuthorizationFailed.Code
			refused.Partitions = append(refused.Partitions, one)
		}
		denied = append(denied, refused)
		return true
	})
	return denied
}
