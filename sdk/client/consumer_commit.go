package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
)

// commitsWaiting is how many commits may wait for the one before; whoever asks for more
// waits too.
const commitsWaiting = 1024

// commit is offsets on their way to the broker. Commits of a session go one after the
// other, so that a later one is never overtaken by an earlier one.
type commit struct {
	offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata
	done    func(error) // called by the committer
}

// commitAll is the committer of a session: it ends when no more can come.
func (c *Subscriber) commitAll(e *session) {
	defer close(e.idle)
	for k := range e.commits {
		k.done(c.commit(e, k.offsets))
	}
}

// commit tells the broker offsets, and answers what became of it.
func (c *Subscriber) commit(e *session, offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata) error {
	if len(offsets) == 0 {
		return nil
	}
	if e.over() {
		return ErrCommitFailed
	}
	ctx, cancel := context.WithTimeoutCause(e.asking, DefaultTimeout.Of(c.s.Values), ErrTimeout)
	defer cancel()
	var err error
	if e.group {
		err = commitAsMember(ctx, e.client, offsets)
	} else {
		err = commitAlone(ctx, e.client, c.group, offsets)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.IllegalGeneration), errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.FencedInstanceID),
		errors.Is(err, kerr.RebalanceInProgress), errors.Is(err, kerr.StaleMemberEpoch), errors.Is(err, kgo.ErrClientClosed):
		return fmt.Errorf("%w: %w", ErrCommitFailed, err)
	default:
		return err
	}
}

// commitAsMember commits in the name of the member that the client is.
func commitAsMember(ctx context.Context, client *kgo.Client, offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata) error {
	heads := map[string]map[int32]kgo.EpochOffset{}
	for tp, o := range offsets {
		if heads[tp.Topic] == nil {
			heads[tp.Topic] = map[int32]kgo.EpochOffset{}
		}
		heads[tp.Topic][tp.Partition] = kgo.EpochOffset{Epoch: o.LeaderEpoch, Offset: o.Offset}
	}
	ctx = kgo.PreCommitFnContext(ctx, func(q *kmsg.OffsetCommitRequest) error {
		for _, t := range q.Topics {
			for i := range t.Partitions {
				metadata := offsets[sdk.TopicPartition{Topic: t.Topic, Partition: t.Partitions[i].Partition}].Metadata
				t.Partitions[i].Metadata = &metadata
			}
		}
		return nil
	})
	done := make(chan error, 1)
	client.CommitOffsets(ctx, heads, func(_ *kgo.Client, q *kmsg.OffsetCommitRequest, a *kmsg.OffsetCommitResponse, err error) {
		if err == nil {
			err = refusedOffset(q, a)
		}
		done <- err
	})
	return <-done
}

// refusedOffset is the first error of an answer.
func refusedOffset(q *kmsg.OffsetCommitRequest, a *kmsg.OffsetCommitResponse) error {
	for i, t := range a.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				topic := t.Topic
				if topic == "" && i < len(q.Topics) {
					topic = q.Topics[i].Topic
				}
				return fmt.Errorf("%s-%d: %w", topic, p.Partition, err)
			}
		}
	}
	return nil
}

// commitAlone commits for a group without being a member of it.
func commitAlone(ctx context.Context, client *kgo.Client, group string, offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata) error {
	var heads kadm.Offsets
	for tp, o := range offsets {
		heads.Add(kadm.Offset{Topic: tp.Topic, Partition: tp.Partition, At: o.Offset, LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata})
	}
	answers, err := kadm.NewClient(client).CommitOffsets(ctx, group, heads)
	if err != nil {
		return err
	}
	for topic, partitions := range answers {
		for p, answer := range partitions {
			if answer.Err != nil {
				return fmt.Errorf("%s-%d: %w", topic, p, answer.Err)
			}
		}
	}
	return nil
}

// CommitSync commits offsets, nil for the positions of all partitions, and waits until they
// are. An offset is that of the next record to read: one more than that of the last one
// processed. Callbacks of earlier calls of CommitAsync have been called when it returns.
func (c *Subscriber) CommitSync(ctx context.Context, offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata) error {
	leave, err := c.enter()
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	defer leave()
	if offsets, err = c.committable(offsets); err != nil {
		return err
	}
	ctx, stop := c.waiting(ctx, 0)
	defer stop()
	if ctx.Err() != nil { // a Wakeup came before
		return c.cause(ctx, "commit", ctx.Err())
	}
	for tries := 1; ; tries++ {
		err = c.commitNow(ctx, offsets)
		// A session that is ended gives its commits up: a listener that commits holds up who ends it.
		if err == nil || ctx.Err() != nil || !awaited(err) || c.session.asking.Err() != nil || pause(ctx, c.s.retryBackoff()(tries)) != nil {
			break
		}
	}
	c.done.run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() == nil:
		return fmt.Errorf("commit: %w", err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return c.cause(ctx, "commit", err)
	}
	why := c.cause(ctx, "commit", err)
	if errors.Is(why, ErrWakeup) {
		return why
	}
	return fmt.Errorf("%w (last: %w)", why, err)
}

// awaited reports whether CommitSync tries again after an error: the coordinator comes back. What is
// said of topics is told at once.
func awaited(err error) bool {
	return passes(err) && !errors.Is(err, ErrCommitFailed) && !errors.Is(err, kerr.UnknownTopicOrPartition) && !errors.Is(err, kerr.UnknownTopicID)
}

// CommitAsync commits offsets, nil for the positions of all partitions, and does not wait.
// What became of them done is told by the next call of Poll, CommitSync or Close, in the
// order of the calls; done may be nil. When done panics that is logged and counted by
// CallbackPanics, and the consumer goes on.
func (c *Subscriber) CommitAsync(offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata, done func(map[sdk.TopicPartition]sdk.OffsetAndMetadata, error)) error {
	leave, err := c.enter()
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	defer leave()
	if offsets, err = c.committable(offsets); err != nil {
		return err
	}
	c.commitLater(offsets, done)
	return nil
}

// committable is what there is to commit, if it can be.
func (c *Subscriber) committable(offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata) (map[sdk.TopicPartition]sdk.OffsetAndMetadata, error) {
	if c.group == "" {
		return nil, fmt.Errorf("commit: %s is missing", GroupID.Name)
	}
	if c.wants.none() {
		return nil, fmt.Errorf("commit: %w", ErrNotSubscribed)
	}
	if c.session == nil && c.wants.manual {
		if err := c.beginSession(); err != nil {
			return nil, fmt.Errorf("commit: %w", err)
		}
	}
	if c.session != nil && c.session.over() {
		return nil, fmt.Errorf("commit: %w", ErrCommitFailed)
	}
	if offsets == nil {
		return c.positions(), nil
	}
	copied := make(map[sdk.TopicPartition]sdk.OffsetAndMetadata, len(offsets))
	for tp, o := range offsets {
		switch {
		case o.Offset < 0:
			return nil, fmt.Errorf("commit: %d is no offset of %s-%d", o.Offset, tp.Topic, tp.Partition)
		case !c.wants.manual && c.places[tp] == nil:
			return nil, fmt.Errorf("commit %s-%d: %w: %w", tp.Topic, tp.Partition, ErrCommitFailed, ErrNotAssigned)
		}
		copied[tp] = o
	}
	return copied, nil
}

// positions is what the calls of Poll so far have returned, as offsets to commit. Those of a topic
// that was deleted are none of a topic of that name that there may be now.
func (c *Subscriber) positions() map[sdk.TopicPartition]sdk.OffsetAndMetadata {
	offsets := make(map[sdk.TopicPartition]sdk.OffsetAndMetadata, len(c.places))
	for tp, p := range c.places {
		if p.offset >= 0 && !p.missing {
			offsets[tp] = sdk.OffsetAndMetadata{Offset: p.offset, LeaderEpoch: p.epoch}
		}
	}
	return offsets
}

// commitNow commits, after all that were asked for before, and waits. Nothing to commit is
// to wait for those before.
func (c *Subscriber) commitNow(ctx context.Context, offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata) error {
	if c.session == nil {
		return nil
	}
	result := make(chan error, 1)
	select {
	case c.session.commits <- &commit{offsets, func(err error) { result <- err }}:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-result:
		if err == nil {
			c.committed(offsets)
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// commitLater commits without waiting.
func (c *Subscriber) commitLater(offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata, done func(map[sdk.TopicPartition]sdk.OffsetAndMetadata, error)) {
	told := func(err error) {
		if err == nil {
			c.committed(offsets)
		}
		if done != nil {
			if fault := c.turn.lend(func() error { done(offsets, err); return nil }); fault != nil {
				c.panics.Add(1)
				panicked(c.s.log, &c.brakes, "callback", fault)
			}
		}
	}
	if c.session == nil || len(offsets) == 0 {
		c.done.put(func() { told(nil) })
		return
	}
	c.session.commits <- &commit{offsets, func(err error) { c.post(c.done, func() { told(err) }) }}
}

// committed tells interceptors.
func (c *Subscriber) committed(offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata) {
	if len(offsets) == 0 {
		return
	}
	for at, i := range c.interceptors {
		if err := guarded(func() error { i.OnCommit(maps.Clone(offsets)); return nil }); err != nil {
			c.faults.Add(1)
			if more, silenced := c.brakes.take(at, "OnCommit", time.Now().Unix()); more {
				c.s.log.With(stackOf(err)...).Warn("an interceptor failed when it was told of a commit", "interceptor", fmt.Sprintf("%T", i), "error", oneLine(err), "lines left out", silenced)
			}
		}
	}
}

// report logs a commit that failed and that nobody asked for.
func (c *Subscriber) report(offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata, err error) {
	if err != nil {
		c.s.log.Warn("offsets could not be committed; what was read since the last commit may be read again", "group", c.group, "partitions", len(offsets), "error", err)
	}
}
