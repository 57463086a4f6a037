package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/sdk"
)

// DescribeTopicPartitions describes topics in pages (KIP-966).
//
//	v0 flexible
//
// Differs from Kafka: eligible leader replicas are always empty; a quorum of one has
// none to remember.
func describeTopicPartitions(c *call, q *kmsg.DescribeTopicPartitionsRequest, a *kmsg.DescribeTopicPartitionsResponse) {
	image := c.server.Controller.Image()
	names, denied := c.describable(image, q)
	ask, first := c.asker(), int32(0)
	if q.Cursor != nil {
		at, found := slices.BinarySearch(names, q.Cursor.Topic)
		if q.Cursor.Partition < 0 || len(q.Topics) > 0 && !found {
			refuseCursor(q, a)
			c.reply(a)
			return
		}
		if names = names[at:]; found {
			first = q.Cursor.Partition
		}
	}
	left := max(1, min(config.MaxRequestPartitions.Of(c.server.Values()), int(q.ResponsePartitionLimit)))
	for _, name := range names {
		if left <= 0 {
			a.NextCursor = nextCursor(name, 0)
			break
		}
		t, next := describePartitions(image, name, first, left)
		t.AuthorizedOperations = ask.operations(true, sdk.ResourceTopic, name)
		a.Topics = append(a.Topics, t)
		left -= len(t.Partitions)
		first = 0
		if next > 0 {
			a.NextCursor = nextCursor(name, next)
			break
		}
	}
	for _, name := range denied {
		t := kmsg.NewDescribeTopicPartitionsResponseTopic()
		t.Topic, t.ErrorCode = &name, kerr.TopicAuthorizationFailed.Code
		a.Topics = append(a.Topics, t)
	}
	c.reply(a)
}

// describable are the topics that are asked for, in order: all that whoever asks may see, or
// those that are named. Denied are the others of these.
func (c *call) describable(image *cluster.Image, q *kmsg.DescribeTopicPartitionsRequest) (names, denied []string) {
	for _, t := range q.Topics {
		names = append(names, t.Topic)
	}
	if len(names) == 0 {
		for _, t := range image.Topics() {
			if c.sees(sdk.OperationDescribe, sdk.ResourceTopic, t.Name) {
				names = append(names, t.Name)
			}
		}
		return names, nil
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool {
		if c.allowed(sdk.OperationDescribe, sdk.ResourceTopic, name) {
			return false
		}
		denied = append(denied, name)
		return true
	}), denied
}

// refuseCursor answers a cursor that no answer of ours has given.
func refuseCursor(q *kmsg.DescribeTopicPartitionsRequest, a *kmsg.DescribeTopicPartitionsResponse) {
	for i := range q.Topics {
		t := kmsg.NewDescribeTopicPartitionsResponseTopic()
		t.Topic, t.ErrorCode = &q.Topics[i].Topic, kerr.InvalidRequest.Code
		a.Topics = append(a.Topics, t)
	}
}

func nextCursor(topic string, partition int32) *kmsg.DescribeTopicPartitionsResponseNextCursor {
	cursor := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	cursor.Topic, cursor.Partition = topic, partition
	return &cursor
}

// describePartitions describes at most limit partitions from first on. Next is where to
// go on, 0 when that was the last.
func describePartitions(image *cluster.Image, name string, first int32, limit int) (out kmsg.DescribeTopicPartitionsResponseTopic, next int32) {
	out = kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.Topic = kmsg.StringPtr(name)
	t := image.Topic(name)
	if t == nil {
		out.ErrorCode = kerr.UnknownTopicOrPartition.Code
		if cluster.CheckName(name) != nil {
			out.ErrorCode = kerr.InvalidTopicException.Code
		}
		return out, 0
	}
	out.TopicID, out.IsInternal = t.ID, t.Internal
	for i := int(first); i < len(t.Partitions); i++ {
		if len(out.Partitions) == limit {
			return out, int32(i)
		}
		from := &t.Partitions[i]
		p := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		p.Partition, p.LeaderID, p.LeaderEpoch, p.Replicas, p.ISR = int32(i), from.Leader, from.LeaderEpoch, from.Replicas, from.ISR
		p.EligibleLeaderReplicas, p.LastKnownELR, p.OfflineReplicas = []int32{}, []int32{}, []int32{}
		out.Partitions = append(out.Partitions, p)
	}
	return out, 0
}
