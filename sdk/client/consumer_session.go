package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
)

// session is one franz-go client that consumes: a member of the group from its first join
// until it leaves, or one that was told its partitions.
type session struct {
	client  *kgo.Client
	group   bool
	stale   bool            // the subscription has changed so that it cannot go on
	expired atomic.Bool     // nobody polled for max.poll.interval.ms
	life    context.Context // ends when nobody will answer its callbacks any more
	vanish  context.CancelFunc
	asking  context.Context    // of its commits
	give    context.CancelFunc // gives them up
	quit    context.CancelFunc // ends all that franz-go does
	commits chan *commit       // to its committer, which ends when it is closed
	idle    chan struct{}      // closed when the committer has ended
	left    chan struct{}      // closed when a session that expired has left the group
}

// over reports whether the session has ended without anybody asking it to.
func (e *session) over() bool { return e.expired.Load() }

// resubscribe changes the topics, and answers those that are new.
func (e *session) resubscribe(old, topics []string) (come []string) {
	var gone []string
	for _, topic := range old {
		if !slices.Contains(topics, topic) {
			gone = append(gone, topic)
		}
	}
	for _, topic := range topics {
		if !slices.Contains(old, topic) {
			come = append(come, topic)
		}
	}
	if len(come) > 0 {
		e.client.AddConsumeTopics(come...)
	}
	if len(gone) > 0 {
		e.client.PurgeTopicsFromConsuming(gone...)
	}
	return come
}

// beginSession begins to consume what is wanted.
func (c *Subscriber) beginSession() error {
	e := &session{group: !c.wants.manual, left: make(chan struct{}), commits: make(chan *commit, commitsWaiting), idle: make(chan struct{})}
	e.life, e.vanish = context.WithCancel(context.Background())
	e.asking, e.give = context.WithCancel(context.Background())
	base, quit := context.WithCancel(context.Background())
	e.quit = quit
	options := append(c.s.franz(), c.fetchOptions()...)
	options = append(options, kgo.WithContext(base))
	if e.group {
		options = append(options, c.groupOptions(e)...)
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		quit()
		return fmt.Errorf("begin to consume: %w", err)
	}
	e.client, c.session = client, e
	if e.group {
		c.member.Store(e)
	}
	for _, p := range c.places {
		p.live, p.halted, p.looking = false, false, false
	}
	c.halts, c.moves = true, true
	c.others.Add(1)
	go func() {
		defer c.others.Done()
		c.commitAll(e)
	}()
	topics := c.wants.topics
	if c.wants.manual {
		for tp := range c.places {
			topics = append(topics, tp.Topic)
		}
	}
	c.checkNames(slices.Compact(slices.Sorted(slices.Values(topics))))
	return nil
}

func (c *Subscriber) fetchOptions() []kgo.Opt {
	v := c.s.Values
	most := int32(min(FetchMaxBytes.Of(v), 1<<30))
	options := []kgo.Opt{
		kgo.FetchMinBytes(int32(FetchMinBytes.Of(v))),
		kgo.FetchMaxBytes(most),
		kgo.FetchMaxWait(FetchMaxWait.Of(v)),
		kgo.FetchMaxPartitionBytes(int32(min(PartitionFetchBytes.Of(v), 1<<30))),
		kgo.BrokerMaxReadBytes(max(most, 100<<20)),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // where to begin is found out here
		kgo.KeepControlRecords(),                    // so that the position gets past them
	}
	if c.committedOnly() {
		options = append(options, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	if !CheckCRCs.Of(v) {
		options = append(options, kgo.DisableFetchCRCValidation())
	}
	if AutoCreateTopics.Of(v) {
		options = append(options, kgo.AllowAutoTopicCreation())
	}
	return options
}

func (c *Subscriber) groupOptions(e *session) []kgo.Opt {
	v := c.s.Values
	options := []kgo.Opt{
		kgo.ConsumerGroup(c.group),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(SessionTimeout.Of(v)),
		kgo.HeartbeatInterval(HeartbeatInterval.Of(v)),
		kgo.RebalanceTimeout(MaxPollInterval.Of(v)),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			c.hand(e, func() { c.assigned(m) })
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			c.hand(e, func() {
				ctx, cancel := context.WithTimeout(context.Background(), RequestTimeout.Of(c.s.Values))
				defer cancel()
				c.revoked(ctx, m)
			})
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			c.hand(e, func() { c.lost(m) })
		}),
		kgo.AdjustFetchOffsetsFn(func(ctx context.Context, found map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
			return c.begin(ctx, e, found)
		}),
	}
	if c.wants.pattern != "" {
		// With an exclusion, even of nothing, franz-go looks for topics itself, also when the
		// broker deals out partitions; a broker would find internal ones too.
		options = append(options, kgo.ConsumeRegex(), kgo.ConsumeTopics(c.wants.pattern), kgo.ConsumeExcludeTopics("^$"))
	} else {
		options = append(options, kgo.ConsumeTopics(c.wants.topics...))
	}
	if id := GroupInstanceID.Of(v); id != "" {
		options = append(options, kgo.InstanceID(id))
	}
	if ClientRack.Of(v) != "" {
		options = append(options, kgo.BalanceRacks())
	}
	if c.s.brokerDeals() {
		remote := kgo.StickyBalancer() // franz-go's word for uniform
		if RemoteAssignor.Of(v) == "range" {
			remote = kgo.RangeBalancer()
		}
		return append(options, kgo.ServerSideBalancer(), kgo.Balancers(remote))
	}
	return append(options, kgo.Balancers(c.dealers...))
}

// hand has whoever has the turn do something for a callback of the session, and waits until
// it is done. It answers false when nobody will.
func (c *Subscriber) hand(e *session, do func()) bool {
	done := make(chan struct{})
	c.post(c.mail, func() {
		defer close(done)
		if c.session == e && !e.over() {
			do()
		}
	})
	select {
	case <-done:
		return true
	case <-e.life.Done():
		return false
	}
}

// assigned is what a rebalance has brought.
func (c *Subscriber) assigned(m map[string][]int32) {
	partitions := listed(m)
	for _, tp := range partitions {
		if c.places[tp] == nil {
			c.places[tp] = &place{offset: -1, epoch: -1, fresh: true}
		}
	}
	c.listen("assigned", partitions, RebalanceListener.OnPartitionsAssigned)
}

// revoked is what a rebalance takes, or leaving the group. All that was read can still be
// committed; what is under way to be is waited for, so that it cannot come after whoever
// gets the partitions has committed.
func (c *Subscriber) revoked(ctx context.Context, m map[string][]int32) {
	partitions := c.ours(listed(m))
	offsets := map[sdk.TopicPartition]sdk.OffsetAndMetadata{}
	if AutoCommit.Of(c.s.Values) {
		offsets = c.positions()
	}
	if err := c.commitNow(ctx, offsets); err != nil {
		c.report(offsets, err)
	}
	c.done.run()
	if len(partitions) > 0 {
		c.listen("revoked", partitions, RebalanceListener.OnPartitionsRevoked)
	}
	if err := c.commitNow(ctx, nil); err != nil { // what the listener began to commit
		c.report(nil, err)
	}
	c.forget(partitions)
}

// lost is what others may have already.
func (c *Subscriber) lost(m map[string][]int32) {
	if partitions := c.ours(listed(m)); len(partitions) > 0 {
		c.listen("lost", partitions, RebalanceListener.OnPartitionsLost)
		c.forget(partitions)
	}
}

// listen calls the listener, who may use the consumer.
func (c *Subscriber) listen(what string, partitions []sdk.TopicPartition, call func(RebalanceListener, context.Context, []sdk.TopicPartition) error) {
	if c.wants.listener == nil {
		return
	}
	if err := c.turn.lend(func() error { return call(c.wants.listener, c.parent, partitions) }); err != nil {
		if stack := stackOf(err); stack != nil { // Poll says why, and not where
			c.s.log.With(stack...).Warn("a rebalance listener has panicked", "partitions", what, "why", oneLine(err))
		}
		c.failures = append(c.failures, fmt.Errorf("rebalance listener, partitions %s: %w", what, err))
	}
}

// forget is what is to be done when partitions are this consumer's no more.
func (c *Subscriber) forget(partitions []sdk.TopicPartition) {
	if len(partitions) == 0 {
		return
	}
	resume, remove := map[string][]int32{}, map[string][]int32{}
	for _, tp := range partitions {
		p := c.places[tp]
		if p.halted {
			resume[tp.Topic] = append(resume[tp.Topic], tp.Partition)
		}
		if p.live {
			remove[tp.Topic] = append(remove[tp.Topic], tp.Partition)
		}
		c.drop(tp)
		delete(c.places, tp)
	}
	if c.session == nil || c.session.over() {
		return
	}
	if !c.session.group && len(remove) > 0 {
		c.session.client.RemoveConsumePartitions(remove)
	}
	if len(resume) > 0 {
		c.session.client.ResumeFetchPartitions(resume)
	}
}

// replaceSession begins anew after max.poll.interval.ms has passed, or when the subscription
// has changed so that the session cannot take it.
func (c *Subscriber) replaceSession(ctx context.Context) error {
	if c.session.over() {
		c.s.log.Warn("the consumer left its group, for Poll was not called in time; it joins again",
			"group", c.group, "setting", MaxPollInterval.Name, "is", MaxPollInterval.Of(c.s.Values))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), RequestTimeout.Of(c.s.Values))
	defer cancel()
	if err := c.endSession(ctx); err != nil {
		return fmt.Errorf("poll: leave the group to join it with another subscription: %w", err)
	}
	return nil
}

// endSession ends the session, with all that belongs to it.
func (c *Subscriber) endSession(ctx context.Context) (err error) {
	e := c.session
	if e == nil {
		return nil
	}
	stop := context.AfterFunc(ctx, e.give)
	defer stop()
	defer e.give()
	all := map[string][]int32{}
	for tp := range c.places {
		all[tp.Topic] = append(all[tp.Topic], tp.Partition)
	}
	switch {
	case e.over():
		c.lost(all)
		<-e.left
	case e.group:
		err = c.leaveGroup(ctx, e, all)
	default:
		if AutoCommit.Of(c.s.Values) && c.group != "" {
			err = c.commitNow(ctx, c.positions())
		}
		c.forget(c.ours(listed(all)))
	}
	c.member.Store(nil)
	e.vanish()
	close(e.commits)
	<-e.idle
	e.quit()
	e.client.Close()
	c.session, c.backlog = nil, nil
	c.done.run()
	return err
}

// leaveGroup gives everything up and leaves the group, whatever franz-go is about to do in
// it: it would first wait for a rebalance to end, which others may hold up for minutes.
// Half of the time is for commits, so that there is some left to leave.
func (c *Subscriber) leaveGroup(ctx context.Context, e *session, all map[string][]int32) error {
	wait := RequestTimeout.Of(c.s.Values)
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)/2)
	}
	committing, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	c.revoked(committing, all)
	e.vanish()
	return c.s.goodbye(ctx, e.client)
}

// goodbye tells the broker that the member leaves; a static one of a classic group does not
// say so, and one of a group of KIP-848 that it will be back. (franz-go 1.22 leaves the
// instance out of that, and brokers refuse it.)
func (s *settings) goodbye(ctx context.Context, client *kgo.Client) error {
	id, _ := client.GroupMetadata()
	group, instance := GroupID.Of(s.Values), GroupInstanceID.Of(s.Values)
	if id == "" {
		return nil
	}
	if s.brokerDeals() {
		q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		q.Group, q.MemberID, q.MemberEpoch = group, id, -1
		if instance != "" {
			q.MemberEpoch, q.InstanceID = -2, &instance
		}
		answer, err := q.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(answer.ErrorCode)
		}
		if !errors.Is(err, kerr.UnsupportedVersion) {
			return farewell(err)
		} // else franz-go has made a member of a classic group
	}
	if instance != "" {
		return nil
	}
	q := kmsg.NewPtrLeaveGroupRequest()
	q.Group, q.MemberID = group, id
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID, m.Reason = id, kmsg.StringPtr("the consumer is being closed")
	q.Members = append(q.Members, m)
	answer, err := q.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	return farewell(err)
}

// farewell is err, unless it says that the member is gone already.
func farewell(err error) error {
	if err == nil || errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.GroupIDNotFound) || errors.Is(err, kerr.FencedInstanceID) {
		return nil
	}
	return fmt.Errorf("leave the group: %w", err)
}

// expire ends a session that nobody polled for max.poll.interval.ms: the member leaves, so
// that others get its partitions, and the next Poll finds the session over. It runs in a
// goroutine of its own and touches nothing but the session.
func (c *Subscriber) expire() {
	e := c.member.Load()
	if e == nil || !e.expired.CompareAndSwap(false, true) {
		return
	}
	defer close(e.left)
	e.vanish()
	ctx, cancel := context.WithTimeout(context.Background(), RequestTimeout.Of(c.s.Values))
	defer cancel()
	if err := c.s.goodbye(ctx, e.client); err != nil {
		c.s.log.Warn("leaving the group failed; it notices after session.timeout.ms", "group", c.group, "error", err)
	}
	e.quit()
	e.client.Close()
}

// ours are those of the partitions that are this consumer's.
func (c *Subscriber) ours(partitions []sdk.TopicPartition) []sdk.TopicPartition {
	return slices.DeleteFunc(partitions, func(tp sdk.TopicPartition) bool { return c.places[tp] == nil })
}

// listed is the partitions of a map, in order.
func listed(m map[string][]int32) []sdk.TopicPartition {
	return inOrder(func(yield func(sdk.TopicPartition) bool) {
		for topic, partitions := range m {
			for _, p := range partitions {
				if !yield(sdk.TopicPartition{Topic: topic, Partition: p}) {
					return
				}
			}
		}
	})
}

// inOrder is partitions by topic and number.
func inOrder(partitions iter.Seq[sdk.TopicPartition]) []sdk.TopicPartition {
	return slices.SortedFunc(partitions, func(a, b sdk.TopicPartition) int {
		if order := strings.Compare(a.Topic, b.Topic); order != 0 {
			return order
		}
		return int(a.Partition) - int(b.Partition)
	})
}
