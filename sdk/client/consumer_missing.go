package client

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
)

// leastLook is how long to wait at least before the next look for a topic.
const leastLook = 100 * time.Millisecond

// named is how long topics may take to come to be before checkNames says that they are not there.
const named = time.Second

// checkNames warns of topics that are not there, a little after they were asked for: a name may be
// misspelt, and Poll would wait for it in silence.
func (c *Subscriber) checkNames(topics []string) {
	if len(topics) == 0 {
		return
	}
	e := c.session
	c.others.Add(1)
	go func() {
		defer c.others.Done()
		if pause(e.life, named) != nil {
			return
		}
		ctx, cancel := context.WithTimeout(e.life, RequestTimeout.Of(c.s.Values))
		defer cancel()
		q := kmsg.NewPtrMetadataRequest()
		for _, name := range topics {
			one := kmsg.NewMetadataRequestTopic()
			one.Topic = &name
			q.Topics = append(q.Topics, one)
		}
		a, err := q.RequestWith(ctx, e.client)
		if err != nil {
			return // who cannot be asked now is waited for, and franz-go says so
		}
		for _, t := range a.Topics {
			if t.ErrorCode == kerr.UnknownTopicOrPartition.Code && t.Topic != nil {
				c.s.log.Warn("no broker knows a topic that the consumer wants; it waits for it", "topic", *t.Topic, "group", c.group)
			}
		}
	}()
}

// miss is told that a broker does not know a partition's topic by the id that it is read under:
// it was deleted, or the broker has not heard of it yet. franz-go would ask on without a pause,
// and never reads another topic of that name; so the partition is halted, and its topic looked for.
func (c *Subscriber) miss(tp sdk.TopicPartition, id [16]byte) {
	p := c.places[tp]
	if p == nil || p.missing {
		return
	}
	looking := c.misses(tp.Topic)
	p.missing, p.sought, p.id, c.halts = true, false, id, true
	c.s.log.Warn("the topic is not there (any more)", "topic", tp.Topic, "partition", tp.Partition)
	if !looking {
		c.lookFor(tp.Topic)
	}
}

// misses reports whether a partition of the topic is missing.
func (c *Subscriber) misses(topic string) bool {
	for tp, p := range c.places {
		if tp.Topic == topic && p.missing {
			return true
		}
	}
	return false
}

// lookFor asks after a while whether there is a topic of that name.
func (c *Subscriber) lookFor(topic string) {
	e := c.session
	c.others.Add(1)
	go func() {
		defer c.others.Done()
		if pause(e.life, max(RetryBackoffMax.Of(c.s.Values), leastLook)) != nil {
			return
		}
		ctx, cancel := context.WithTimeout(e.life, RequestTimeout.Of(c.s.Values))
		defer cancel()
		id, there := find(ctx, e.client, topic)
		c.post(c.mail, func() {
			switch {
			case c.session != e || e.over() || !c.misses(topic):
			case there && c.returns(topic, id):
			case there:
				c.madeAgain(topic)
			default:
				c.lookFor(topic)
			}
		})
	}()
}

// find reports whether brokers know a topic of that name, and its id.
func find(ctx context.Context, client *kgo.Client, name string) (id [16]byte, there bool) {
	q := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &name
	q.Topics = append(q.Topics, topic)
	a, err := q.RequestWith(ctx, client)
	if err != nil || len(a.Topics) != 1 || a.Topics[0].ErrorCode != 0 {
		return id, false
	}
	return a.Topics[0].TopicID, true
}

// returns reports whether the topic of that id is the one that was missed; then it is read on.
func (c *Subscriber) returns(topic string, id [16]byte) bool {
	for tp, p := range c.places {
		if tp.Topic == topic && p.missing && (p.id != id || id == [16]byte{}) {
			return false
		}
	}
	for tp, p := range c.places {
		if tp.Topic == topic {
			p.missing = false
		}
	}
	c.halts = true
	return true
}

// madeAgain begins with a topic that was deleted and is there again: at what the group has
// committed since, or where auto.offset.reset says, but where the program has sought meanwhile. A
// member of a group joins it anew for that.
func (c *Subscriber) madeAgain(topic string) {
	c.s.log.Info("the topic was deleted and made again", "topic", topic)
	if c.session.group {
		c.session.stale = true
		return
	}
	c.session.client.PurgeTopicsFromConsuming(topic)
	for tp, p := range c.places {
		if tp.Topic == topic {
			next := place{offset: -1, epoch: -1, unknown: true, fresh: true, paused: p.paused, halted: p.halted}
			if p.sought {
				next.offset, next.unknown, next.fresh = p.offset, false, false
			}
			*p = next
			c.drop(tp)
		}
	}
	c.halts, c.moves = true, true
}
