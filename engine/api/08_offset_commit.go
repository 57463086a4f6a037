package api

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/sdk"
)

// OffsetCommit keeps how far a group has read.
//
//	v2 retention time · v5 no retention time · v6 leader epochs · v7 static members
//	v8 flexible · v9 next generation of the protocol (KIP-848) · v10 topic ids
//
// Differs from Kafka: nothing.
func offsetCommit(c *call, q *kmsg.OffsetCommitRequest, a *kmsg.OffsetCommitResponse) {
	if !c.allowed(sdk.OperationRead, sdk.ResourceGroup, q.Group) {
		for i := range q.Topics {
			a.Topics = append(a.Topics, refusedCommit(&q.Topics[i], kerr.GroupAuthorizationFailed))
		}
		c.reply(a)
		return
	}
	asked := q.Topics
	known := make([]bool, len(asked))
	refused := make([]kmsg.OffsetCommitResponseTopic, len(asked))
	q.Topics = nil
	for i := range asked {
		t := asked[i]
		refused[i] = c.committable(c.version >= 10, &t)
		if known[i] = len(t.Partitions) > 0; known[i] {
			q.Topics = append(q.Topics, t)
		}
	}
	answer := func(r *kmsg.OffsetCommitResponse) {
		next := 0
		for i := range refused {
			t := refused[i]
			if known[i] {
				t.Partitions = append(r.Topics[next].Partitions, t.Partitions...)
				next++
			}
			a.Topics = append(a.Topics, t)
		}
		c.reply(a)
	}
	c.server.onGroup(q.Group, func(err *kerr.Error) {
		r := kmsg.NewPtrOffsetCommitResponse()
		for i := range q.Topics {
			r.Topics = append(r.Topics, refusedCommit(&q.Topics[i], err))
		}
		answer(r)
	}, func(g *group.Coordinator, now time.Time) {
		g.Commit(now, q, answer)
	})
}

// committable leaves in t the partitions that exist and may be read, fills in the topic's
// name, and answers for the others.
func (c *call) committable(byID bool, t *kmsg.OffsetCommitRequestTopic) kmsg.OffsetCommitResponseTopic {
	var topic *shard.Topic
	name := t.Topic
	if !byID {
		topic = c.server.Registry.Named(name)
	} else if topic = c.server.Registry.ByID(t.TopicID); topic != nil {
		name = topic.Name
	}
	var wrong *kerr.Error
	switch {
	case byID && topic == nil:
		wrong = kerr.UnknownTopicID
	case !c.allowed(sdk.OperationRead, sdk.ResourceTopic, name):
		wrong = kerr.TopicAuthorizationFailed
	case topic == nil:
		wrong = kerr.UnknownTopicOrPartition
	}
	if wrong != nil {
		refused := refusedCommit(t, wrong)
		t.Partitions = nil
		return refused
	}
	missing := *t
	exists := func(p kmsg.OffsetCommitRequestTopicPartition) bool {
		return p.Partition >= 0 && int(p.Partition) < topic.Partitions()
	}
	missing.Partitions = slices.DeleteFunc(slices.Clone(t.Partitions), exists)
	t.Partitions = slices.DeleteFunc(t.Partitions, func(p kmsg.OffsetCommitRequestTopicPartition) bool { return !exists(p) })
	t.Topic = topic.Name
	return refusedCommit(&missing, kerr.UnknownTopicOrPartition)
}

func refusedCommit(t *kmsg.OffsetCommitRequestTopic, err *kerr.Error) kmsg.OffsetCommitResponseTopic {
	out := kmsg.NewOffsetCommitResponseTopic()
	out.Topic, out.TopicID = t.Topic, t.TopicID
	for _, p := range t.Partitions {
		refused := kmsg.NewOffsetCommitResponseTopicPartition()
		refused.Partition, refused.ErrorCode = p.Partition, err.Code
		out.Partitions = append(out.Partitions, refused)
	}
	return out
}
