package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group"
)

// OffsetCommit keeps how far a group has read.
//
//	v2 retention time · v5 no retention time · v6 leader epochs · v7 static members
//	v8 flexible · v9 next generation of the protocol (KIP-848) · v10 topic ids
//
// Differs from Kafka: nothing.
func offsetCommit(c *call, q *kmsg.OffsetCommitRequest, a *kmsg.OffsetCommitResponse) {
	asked := q.Topics
	known := make([]bool, len(asked))
	q.Topics = nil
	for i := range asked {
		if t := c.server.committable(c.version, &asked[i]); t {
			known[i] = true
			q.Topics = append(q.Topics, asked[i])
		}
	}
	answer := func(r *kmsg.OffsetCommitResponse) {
		next := 0
		for i := range asked {
			if known[i] {
				t := r.Topics[next]
				next++
				if c.version >= 10 {
					t.Topic = ""
				}
				a.Topics = append(a.Topics, t)
				continue
			}
			a.Topics = append(a.Topics, refusedCommit(&asked[i], unknownTopic(c.version >= 10)))
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

// committable reports whether the topic of a commit exists, and fills in its name.
func (s *Server) committable(version int16, t *kmsg.OffsetCommitRequestTopic) bool {
	if version < 10 {
		return s.Registry.Named(t.Topic) != nil
	}
	topic := s.Registry.ByID(t.TopicID)
	if topic == nil {
		return false
	}
	t.Topic = topic.Name
	return true
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
