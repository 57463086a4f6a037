package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/config"
)

// DescribeTopicPartitions describes topics in pages (KIP-966).
//
//	v0 flexible
//
// Differs from Kafka: eligible leader replicas are always empty; a quorum of one has
// none to remember.
func describeTopicPartitions(c *call, q *kmsg.DescribeTopicPartitionsRequest, a *kmsg.DescribeTopicPartitionsResponse) {
	image := c.server.Controller.Image()
	var names []string
	for _, t := range q.Topics {
		names = append(names, t.Topic)
	}
	if len(names) == 0 {
		for _, t := range image.Topics() {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	first := int32(0)
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
		a.Topics = append(a.Topics, t)
		left -= len(t.Partitions)
		first = 0
		if next > 0 {
			a.NextCursor = nextCursor(name, next)
			break
		}
	}
	c.reply(a)
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
	out.TopicID, out.IsInternal, out.AuthorizedOperations = t.ID, t.Internal, topicOperations
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
