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
		denied = c.deniedDeletes(q)
	}
	if len(denied) > 0 && len(q.Topics) == 0 {
		a.Topics = denied
		c.reply(a)
		return
	}
	c.onGroup(sdk.OperationDelete, q.Group, func(err *kerr.Error) {
		a.ErrorCode = err.Code
		c.reply(a)
	}, func(g *group.Coordinator, now time.Time) {
		g.DeleteOffsets(now, q, func(r *kmsg.OffsetDeleteResponse) {
			if r.ErrorCode == 0 {
				r.Topics = append(r.Topics, denied...)
			}
			c.reply(r)
		})
	})
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
