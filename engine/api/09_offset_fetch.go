package api

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/sdk"
)

// OffsetFetch tells how far groups have read.
//
//	v1 offsets in the log · v2 all topics, top-level error · v5 leader epochs · v6 flexible
//	v7 require stable · v8 many groups · v9 members (KIP-848) · v10 topic ids
//
// Differs from Kafka: a group that is named twice is told of once, and so is a partition.
func offsetFetch(c *call, q *kmsg.OffsetFetchRequest, a *kmsg.OffsetFetchResponse) {
	groups := q.Groups
	if c.version < 8 {
		groups = []kmsg.OffsetFetchRequestGroup{oldOffsetFetch(q)}
	}
	groups = onceOffsets(groups)
	a.Groups = make([]kmsg.OffsetFetchResponseGroup, len(groups))
	all := c.gather(func() {
		if c.version < 8 {
			oldOffsetAnswer(q, a)
		}
		c.reply(a)
	})
	for i := range groups {
		name := groups[i].Group
		p := all.part(func() { a.Groups[i] = *refusedOffsetGroup(name, kerr.CoordinatorNotAvailable) })
		c.fetchOffsets(&groups[i], q.RequireStable, func(r *kmsg.OffsetFetchResponseGroup) {
			p.tell(func() { a.Groups[i] = *r })
		})
	}
	all.done()
}

// onceOffsets puts what is asked of a group in several places into one, each partition once: what was committed for
// one has thousands of times as many bytes as its number. Who asks for all of a group's topics somewhere gets all.
func onceOffsets(groups []kmsg.OffsetFetchRequestGroup) (all []kmsg.OffsetFetchRequestGroup) {
	type topic struct {
		name string
		id   [16]byte
	}
	at, parts := map[string]int{}, []*oncePartitions[topic]{}
	for i := range groups {
		g := &groups[i]
		k, met := at[g.Group]
		if !met {
			k, at[g.Group] = len(all), len(all)
			first := *g
			if first.Topics != nil {
				first.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
			}
			all, parts = append(all, first), append(parts, newOncePartitions[topic]())
		}
		one := &all[k]
		if g.Topics == nil || one.Topics == nil {
			one.Topics = nil
			continue
		}
		for j := range g.Topics {
			t := &g.Topics[j]
			n, met := parts[k].topic(topic{t.Topic, t.TopicID})
			if !met {
				named := *t
				named.Partitions = nil
				one.Topics = append(one.Topics, named)
			}
			one.Topics[n].Partitions = parts[k].add(one.Topics[n].Partitions, n, t.Partitions)
		}
	}
	return all
}

// fetchOffsets asks the coordinator of one group.
func (c *call) fetchOffsets(q *kmsg.OffsetFetchRequestGroup, stable bool, answer func(*kmsg.OffsetFetchResponseGroup)) {
	if !c.allowed(sdk.OperationDescribe, sdk.ResourceGroup, q.Group) {
		answer(refusedOffsetGroup(q.Group, kerr.GroupAuthorizationFailed))
		return
	}
	ask, all := c.asker(), q.Topics == nil
	if c.version >= 10 {
		c.nameTopics(q.Topics)
	}
	refused := c.refusedOffsetTopics(q)
	c.server.onGroup(q.Group, func(err *kerr.Error) {
		answer(refusedOffsetGroup(q.Group, err))
	}, func(g *group.Coordinator, now time.Time) {
		g.Fetch(now, q, stable, func(r *kmsg.OffsetFetchResponseGroup) {
			r.Topics = slices.DeleteFunc(r.Topics, func(t kmsg.OffsetFetchResponseGroupTopic) bool {
				return all && !ask.sees(sdk.OperationDescribe, sdk.ResourceTopic, t.Topic)
			})
			if c.version >= 10 {
				c.server.withIDs(r)
			}
			if r.ErrorCode == 0 {
				r.Topics = append(r.Topics, refused...)
			}
			answer(r)
		})
	})
}

// refusedOffsetGroup is told instead of offsets. Of COORDINATOR_NOT_AVAILABLE consumers of Kafka before 3.9 make an
// error of the application's here; NOT_COORDINATOR has them look for the coordinator again, as Kafka has them.
func refusedOffsetGroup(name string, err *kerr.Error) *kmsg.OffsetFetchResponseGroup {
	if err == kerr.CoordinatorNotAvailable { //nolint:errorlint // it comes bare
		err = kerr.NotCoordinator
	}
	r := kmsg.NewOffsetFetchResponseGroup()
	r.Group, r.ErrorCode = name, err.Code
	return &r
}

// nameTopics fills in the names of topics that were asked for by their ids, and leaves those empty that nobody knows.
func (c *call) nameTopics(topics []kmsg.OffsetFetchRequestGroupTopic) {
	for i := range topics {
		topics[i].Topic = ""
		if topic := c.server.Registry.ByID(topics[i].TopicID); topic != nil {
			topics[i].Topic = topic.Name
		}
	}
}

// refusedOffsetTopics takes topics out of the request whose id nobody knows and that whoever asks may not describe, and
// answers for them: behind the others, where Kafka has them. A topic whose name nobody knows is left in.
func (c *call) refusedOffsetTopics(q *kmsg.OffsetFetchRequestGroup) (refused []kmsg.OffsetFetchResponseGroupTopic) {
	q.Topics = slices.DeleteFunc(q.Topics, func(t kmsg.OffsetFetchRequestGroupTopic) bool {
		code := kerr.TopicAuthorizationFailed.Code
		switch {
		case c.version >= 10 && t.Topic == "":
			code = kerr.UnknownTopicID.Code
		case c.allowed(sdk.OperationDescribe, sdk.ResourceTopic, t.Topic):
			return false
		}
		no := refusedOffsetTopic(t.Topic, t.Partitions, code)
		if c.version >= 10 {
			no.Topic, no.TopicID = "", t.TopicID
		}
		refused = append(refused, no)
		return true
	})
	return refused
}

// withIDs turns the topics of an answer into ids. A topic that does not exist any more has none and is left out.
func (s *Server) withIDs(r *kmsg.OffsetFetchResponseGroup) {
	kept := r.Topics[:0]
	for _, t := range r.Topics {
		if t.TopicID == [16]byte{} {
			topic := s.Registry.Named(t.Topic)
			if topic == nil {
				continue
			}
			t.TopicID = topic.ID
		}
		t.Topic = ""
		kept = append(kept, t)
	}
	r.Topics = kept
}

// oldOffsetFetch is a request of one group in the form of many.
func oldOffsetFetch(q *kmsg.OffsetFetchRequest) kmsg.OffsetFetchRequestGroup {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = q.Group
	if q.Topics == nil {
		return g
	}
	g.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	for _, t := range q.Topics {
		topic := kmsg.NewOffsetFetchRequestGroupTopic()
		topic.Topic, topic.Partitions = t.Topic, t.Partitions
		g.Topics = append(g.Topics, topic)
	}
	return g
}

// oldOffsetAnswer turns the answer for one group back. Version 1 has no top-level error,
// so each partition tells it.
func oldOffsetAnswer(q *kmsg.OffsetFetchRequest, a *kmsg.OffsetFetchResponse) {
	g := a.Groups[0]
	a.Groups = nil
	a.ErrorCode = g.ErrorCode
	a.Topics = []kmsg.OffsetFetchResponseTopic{}
	if q.Version < 2 && g.ErrorCode != 0 {
		g.Topics = refusedOffsets(q, g.ErrorCode)
	}
	for _, t := range g.Topics {
		topic := kmsg.NewOffsetFetchResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			partition := kmsg.NewOffsetFetchResponseTopicPartition()
			partition.Partition, partition.Offset, partition.LeaderEpoch = p.Partition, p.Offset, p.LeaderEpoch
			partition.Metadata, partition.ErrorCode = p.Metadata, p.ErrorCode
			topic.Partitions = append(topic.Partitions, partition)
		}
		a.Topics = append(a.Topics, topic)
	}
}

// refusedOffsets tells one error for all that was asked.
func refusedOffsets(q *kmsg.OffsetFetchRequest, code int16) (topics []kmsg.OffsetFetchResponseGroupTopic) {
	for _, t := range q.Topics {
		topics = append(topics, refusedOffsetTopic(t.Topic, t.Partitions, code))
	}
	return topics
}

func refusedOffsetTopic(name string, partitions []int32, code int16) kmsg.OffsetFetchResponseGroupTopic {
	topic := kmsg.NewOffsetFetchResponseGroupTopic()
	topic.Topic = name
	for _, index := range partitions {
		p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
		p.Partition, p.Offset, p.Metadata, p.ErrorCode = index, -1, kmsg.StringPtr(""), code
		topic.Partitions = append(topic.Partitions, p)
	}
	return topic
}
