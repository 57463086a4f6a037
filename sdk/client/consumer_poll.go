package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/sdk"
)

// soon is how long Poll waits before it tells franz-go again what that could not take yet:
// a seek between an assignment and its first fetch.
const soon = 2 * time.Millisecond

// poll waits for records and gives them to take, in order for each partition; when take
// cannot, the record stays. It answers when take has taken one, after the timeout, or with
// what keeps it from going on.
func (c *Subscriber) poll(ctx context.Context, timeout time.Duration, take func(*kgo.Record) error) error {
	leave, err := c.enter()
	if err == nil && c.turn.listening() {
		leave()
		err = errors.New("a rebalance listener must not")
	}
	if err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	defer leave()
	if c.wants.none() {
		return fmt.Errorf("poll: %w", ErrNotSubscribed)
	}
	c.parent = ctx
	c.idle.Stop()
	defer func() { c.idle.Reset(MaxPollInterval.Of(c.s.Values)) }()
	call, stop := c.waiting(ctx, max(timeout, 1))
	defer stop()
	for first := true; ; first = false {
		if err := c.prepare(call); err != nil {
			return err
		}
		if c.woken.Swap(false) {
			return ErrWakeup
		}
		taken, err := c.deliver(take)
		switch {
		case taken > 0:
			return nil
		case !first && err != nil:
			return err
		case !first && call.Err() != nil:
			return c.ended(ctx, call)
		}
		c.fetch(call, err == nil)
	}
}

// ended is how a Poll ends that has nothing to return: a timeout is no error. A Wakeup that
// came after the last look for one has ended the call, too.
func (c *Subscriber) ended(ctx, call context.Context) error {
	if errors.Is(context.Cause(call), ErrWakeup) {
		c.woken.Store(false)
		return ErrWakeup
	}
	if ctx.Err() != nil {
		return fmt.Errorf("poll: %w", context.Cause(ctx))
	}
	return nil
}

// prepare does what is due before records are looked for.
func (c *Subscriber) prepare(ctx context.Context) error {
	if c.session != nil && (c.session.over() || c.session.stale) {
		if err := c.replaceSession(ctx); err != nil {
			return err
		}
	}
	if c.session == nil {
		if err := c.beginSession(); err != nil {
			return fmt.Errorf("poll: %w", err)
		}
	}
	c.done.run()
	c.mail.run()
	c.done.run()
	if now := time.Now(); AutoCommit.Of(c.s.Values) && c.group != "" && !now.Before(c.nextCommit) {
		c.nextCommit = now.Add(AutoCommitInterval.Of(c.s.Values))
		c.commitLater(c.positions(), c.report)
	}
	c.look()
	c.tell()
	if len(c.failures) > 0 {
		err := errors.Join(c.failures...)
		c.failures = nil
		return fmt.Errorf("poll: %w", err)
	}
	return nil
}

// fetch waits for records, or for mail, and takes in what came; if it is not to wait, what
// is there.
func (c *Subscriber) fetch(call context.Context, patient bool) {
	wait, cancel := context.WithCancelCause(call)
	defer cancel(nil)
	if c.moves {
		var expire context.CancelFunc
		wait, expire = context.WithTimeout(wait, soon)
		defer expire()
	}
	c.polling.Store(&cancel)
	defer c.polling.Store(nil)
	if !c.mail.empty() || !c.done.empty() || c.session.stale {
		return
	}
	if !patient || wait.Err() != nil {
		wait = nil // to franz-go: do not wait
	}
	fetches := c.session.client.PollRecords(wait, MaxPollRecords.Of(c.s.Values))
	for i := range fetches {
		for j := range fetches[i].Topics {
			c.takeIn(&fetches[i].Topics[j])
		}
	}
}

// takeIn keeps what was fetched of a topic for Poll to answer.
func (c *Subscriber) takeIn(t *kgo.FetchTopic) {
	for i := range t.Partitions {
		p := &t.Partitions[i]
		tp := sdk.TopicPartition{Topic: t.Topic, Partition: p.Partition}
		if p.Err != nil {
			c.trouble(tp, t.TopicID, p.Err)
		}
		if len(p.Records) > 0 {
			c.backlog = append(c.backlog, chunk{TopicPartition: tp, records: p.Records})
		}
	}
}

// trouble notes what a fetch failed with, of a topic that was asked for by an id. What passes by
// itself is logged at most.
func (c *Subscriber) trouble(tp sdk.TopicPartition, id [16]byte, err error) {
	p := c.places[tp]
	var lost *kgo.ErrDataLoss
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrClientClosed):
	case errors.As(err, &lost):
		c.s.log.Warn("the broker has lost records", "topic", tp.Topic, "partition", tp.Partition, "consumed", lost.ConsumedTo, "reset", lost.ResetTo)
	case errors.Is(err, kerr.OffsetOutOfRange):
		if p == nil || p.moved || p.unknown || p.stuck != nil {
			return // of before somebody moved it
		}
		if c.reset.name == "none" {
			p.stuck = fmt.Errorf("%s-%d at offset %d: %w: %w", tp.Topic, tp.Partition, p.offset, ErrNoOffset, err)
		} else {
			c.s.log.Info("the offset is not in the log any more", "topic", tp.Topic, "partition", tp.Partition, "offset", p.offset, "reset", AutoOffsetReset.Of(c.s.Values))
			p.unknown, p.offset = true, -1
		}
		c.drop(tp)
		c.halts = true
	case errors.Is(err, kerr.UnknownTopicID):
		c.miss(tp, id)
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		c.s.log.Warn("the topic is not there (any more)", "topic", tp.Topic, "partition", tp.Partition)
	case passes(err):
		c.s.log.Debug("what failed is tried again", "topic", tp.Topic, "partition", tp.Partition, "error", err)
	case tp.Topic == "":
		c.failures = append(c.failures, err)
	default:
		c.failures = append(c.failures, fmt.Errorf("fetch %s-%d: %w", tp.Topic, tp.Partition, err))
	}
}

// deliver gives records of the backlog to take. Those of a partition that cannot go on wait
// there; the error is that of the first one, when nothing at all could be taken.
func (c *Subscriber) deliver(take func(*kgo.Record) error) (taken int, first error) {
	for _, p := range c.places {
		if p.stuck != nil && !p.paused {
			first = p.stuck
			break
		}
	}
	room := MaxPollRecords.Of(c.s.Values)
	kept := c.backlog[:0]
	for _, k := range c.backlog {
		p := c.places[k.TopicPartition]
		if p == nil || p.moved || p.unknown || p.stuck != nil {
			continue // of before a rebalance or a seek
		}
		if !p.paused {
			if c.screening != nil && !k.shown {
				if err := c.screening.see(&k); err != nil {
					if kept, c.halts = append(kept, k), true; first == nil {
						first = fmt.Errorf("%s-%d at offset %d: interceptors: %w", k.Topic, k.Partition, p.offset, err)
					}
					continue
				}
			}
			n, err := k.deliver(p, room-taken, take)
			taken += n
			if err != nil && first == nil {
				first = err
			}
		}
		if len(k.records) > 0 {
			kept = append(kept, k)
			c.halts = true
		}
	}
	clear(c.backlog[len(kept):])
	c.backlog = kept
	if taken > 0 {
		first = nil
	}
	return taken, first
}

// deliver gives at most room records to take, and keeps the others.
func (k *chunk) deliver(p *place, room int, take func(*kgo.Record) error) (taken int, err error) {
	for len(k.records) > 0 && taken < room {
		r := k.records[0]
		if r.Offset >= p.offset && !r.Attrs.IsControl() && (k.dropped == nil || !k.dropped[r]) {
			if err = take(r); err != nil {
				return taken, err
			}
			taken++
		}
		if r.Offset >= p.offset {
			p.offset, p.epoch = r.Offset+1, r.LeaderEpoch
		}
		k.records = k.records[1:]
	}
	return taken, nil
}

// drop forgets what was fetched of a partition.
func (c *Subscriber) drop(tp sdk.TopicPartition) {
	for i := range c.backlog {
		if c.backlog[i].TopicPartition == tp {
			c.backlog[i].records = nil
		}
	}
}
