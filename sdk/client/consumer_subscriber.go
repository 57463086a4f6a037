package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/sdk"
)

// Subscriber is all of a Consumer that does not depend on the types of keys and values:
// what it is subscribed to, where it is in each partition, and what it commits.
//
// franz-go keeps the member of the group alive, in goroutines of its own, and fetches ahead.
// What Kafka's client does in poll happens in Poll here too: franz-go's callbacks leave a
// closure in the mailbox and wait until whoever has the turn has run it. So everything
// below the line has one owner at a time, and needs no lock.
//
//	franz-go: revoke, assign, lost ──▶ mail ──▶ Poll: commit, call the listener, note positions
//	committer: done                ──▶ done ──▶ Poll, CommitSync, Close: callbacks, OnCommit
type Subscriber struct {
	s            *settings
	group        string // "" without one
	reset        reset
	dealers      []kgo.GroupBalancer
	interceptors []sdk.ConsumerInterceptor
	faults       atomic.Int64 // of them
	panics       atomic.Int64 // of callbacks
	brakes       brakes
	screening    *screening // nil: there are no interceptors of batches

	turn    turn
	mail    *mailbox
	done    *mailbox
	woken   atomic.Bool
	closed  atomic.Bool
	call    atomic.Pointer[context.CancelCauseFunc] // of a call that waits; Wakeup ends it
	polling atomic.Pointer[context.CancelCauseFunc] // of a wait for records; mail ends it
	member  atomic.Pointer[session]                 // the session, if it is one of a group
	idle    *time.Timer                             // runs between calls of Poll, for max.poll.interval.ms
	others  sync.WaitGroup                          // goroutines that end before Close does

	// ─── of whoever has the turn ───
	wants      subscription
	session    *session // nil: not begun
	places     map[sdk.TopicPartition]*place
	backlog    []chunk // polled from franz-go and not returned yet
	nextCommit time.Time
	halts      bool    // a place may have to be halted, or let go again
	moves      bool    // a place has moved and franz-go does not know
	failures   []error // Poll has to return these
	plain      *kgo.Client
	parent     context.Context // of the call: what listeners get
}

// subscription is what the program asked for.
type subscription struct {
	topics   []string
	pattern  string // of topics; "" when they are named
	manual   bool   // partitions were assigned by the program
	listener RebalanceListener
}

func (w subscription) none() bool { return len(w.topics) == 0 && w.pattern == "" && !w.manual }

// place is where the consumer is in one partition.
type place struct {
	offset  int64 // of the next record to return; −1: not known yet
	epoch   int32
	live    bool     // franz-go has it, at offset unless it has moved
	moved   bool     // to offset, which franz-go has not been told
	paused  bool     // by the program
	halted  bool     // by us: franz-go has been told to fetch no more of it
	unknown bool     // somebody has to find out where to begin
	looking bool     // and is about to
	fresh   bool     // begin at what is committed, if something is
	missing bool     // its topic was deleted; see miss
	sought  bool     // by the program, since it is missing
	id      [16]byte // of the topic that is missing; zero: not known
	stuck   error    // why Poll cannot go on there until somebody seeks
}

// chunk is records of one partition, in order.
type chunk struct {
	sdk.TopicPartition
	records []*kgo.Record
	shown   bool                 // to interceptors, if there are any
	dropped map[*kgo.Record]bool // by them
}

// enter begins a call; what it answers ends it.
func (c *Subscriber) enter() (leave func(), err error) {
	leave, err = c.turn.enter()
	if err != nil {
		return nil, err
	}
	if c.closed.Load() {
		leave()
		return nil, ErrClosed
	}
	return leave, nil
}

// waiting is the context of a call that may wait: it ends with parent, after the time given
// (0: default.api.timeout.ms), or at a Wakeup.
func (c *Subscriber) waiting(parent context.Context, timeout time.Duration) (context.Context, func()) {
	if timeout == 0 {
		timeout = DefaultTimeout.Of(c.s.Values)
	}
	ctx, expire := context.WithTimeoutCause(parent, timeout, ErrTimeout)
	ctx, cancel := context.WithCancelCause(ctx)
	outer := c.call.Swap(&cancel) // of the call whose listener this is
	if c.woken.Load() {
		cancel(ErrWakeup)
	}
	return ctx, func() {
		c.call.Store(outer)
		cancel(nil)
		expire()
	}
}

// cause is why a call that waited on ctx failed with err: what ended ctx, if that did.
func (c *Subscriber) cause(ctx context.Context, doing string, err error) error {
	if ctx.Err() == nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	why := context.Cause(ctx)
	if errors.Is(why, ErrWakeup) {
		c.woken.Store(false)
		return ErrWakeup
	}
	return fmt.Errorf("%s: %w", doing, why)
}

// Wakeup ends a call of Poll, CommitSync or another that waits, with ErrWakeup, or the next
// one if none does now. It is the one method that any goroutine may call at any time.
func (c *Subscriber) Wakeup() {
	c.woken.Store(true)
	if cancel := c.call.Load(); cancel != nil {
		(*cancel)(ErrWakeup)
	}
}

// errMail ends a wait for records because there is mail.
var errMail = errors.New("there is mail")

// post leaves do for whoever has the turn, and sees to it that Poll notices.
func (c *Subscriber) post(m *mailbox, do func()) {
	m.put(do)
	if cancel := c.polling.Load(); cancel != nil {
		(*cancel)(errMail)
	}
}

// Subscribe joins the group and reads what it assigns of the topics, in place of what the
// consumer was subscribed to before. A nil listener is none. Poll does the work.
func (c *Subscriber) Subscribe(topics []string, listener RebalanceListener) error {
	if len(topics) == 0 {
		return c.Unsubscribe(context.Background())
	}
	if slices.Contains(topics, "") {
		return errors.New("subscribe: a topic has no name")
	}
	return c.subscribe(subscription{topics: slices.Compact(slices.Sorted(slices.Values(topics))), listener: listener})
}

// SubscribePattern is Subscribe to all topics whose names the pattern matches, also those
// that come to be; they are looked for every metadata.max.age.ms. Internal topics are
// left out.
func (c *Subscriber) SubscribePattern(pattern *regexp.Regexp, listener RebalanceListener) error {
	if pattern == nil || pattern.String() == "" {
		return errors.New("subscribe: the pattern is empty")
	}
	return c.subscribe(subscription{pattern: pattern.String(), listener: listener})
}

func (c *Subscriber) subscribe(w subscription) error {
	leave, err := c.enter()
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	defer leave()
	if c.group == "" {
		return fmt.Errorf("subscribe: %s is missing: a consumer without a group assigns itself partitions", GroupID.Name)
	}
	if c.wants.manual {
		return errors.New("subscribe: partitions are assigned by hand: unsubscribe first")
	}
	old := c.wants
	c.wants = w
	if c.session == nil || c.session.over() {
		return nil
	}
	if old.pattern != "" || w.pattern != "" {
		if old.pattern != w.pattern {
			c.session.stale = true // Poll leaves the group and joins it anew
		}
		return nil
	}
	c.checkNames(c.session.resubscribe(old.topics, w.topics))
	return nil
}

// Assign reads these partitions, in place of those assigned before, without the group
// dealing them out. With a group.id it begins at what the group has committed.
func (c *Subscriber) Assign(partitions ...sdk.TopicPartition) error {
	if len(partitions) == 0 {
		return c.Unsubscribe(context.Background())
	}
	leave, err := c.enter()
	if err != nil {
		return fmt.Errorf("assign: %w", err)
	}
	defer leave()
	if !c.wants.none() && !c.wants.manual {
		return errors.New("assign: topics are subscribed to: unsubscribe first")
	}
	for _, tp := range partitions {
		if tp.Topic == "" || tp.Partition < 0 {
			return fmt.Errorf("assign: there is no partition %d of topic %q", tp.Partition, tp.Topic)
		}
	}
	if c.session != nil && AutoCommit.Of(c.s.Values) && c.group != "" {
		c.commitLater(c.positions(), c.report) // of those that go
	}
	c.wants.manual = true
	gone := maps.Clone(c.places)
	known := map[string]bool{}
	for tp := range c.places {
		known[tp.Topic] = true
	}
	var come []string // topics
	for _, tp := range partitions {
		delete(gone, tp)
		if !known[tp.Topic] {
			known[tp.Topic], come = true, append(come, tp.Topic)
		}
		if c.places[tp] == nil {
			c.places[tp] = &place{offset: -1, epoch: -1, unknown: true, fresh: true}
		}
	}
	c.forget(slices.Collect(maps.Keys(gone)))
	if c.session != nil && !c.session.over() { // else the next one looks at all of them
		c.checkNames(come)
	}
	return nil
}

// Unsubscribe leaves the group, or gives up what was assigned by hand. What is committed by
// itself is committed, and the listener called, as when the consumer closes.
func (c *Subscriber) Unsubscribe(ctx context.Context) error {
	leave, err := c.enter()
	if err == nil && c.turn.listening() {
		leave()
		err = errors.New("a listener must not")
	}
	if err != nil {
		return fmt.Errorf("unsubscribe: %w", err)
	}
	defer leave()
	c.parent = ctx
	ctx, stop := c.waiting(ctx, 0)
	defer stop()
	err = c.depart(ctx, "unsubscribe")
	c.wants = subscription{}
	return err
}

// depart ends the session for a call that is not Poll, which answers what the listener says to it.
func (c *Subscriber) depart(ctx context.Context, doing string) error {
	c.failures = nil // of what is given up
	err := c.endSession(ctx)
	if err != nil {
		err = c.cause(ctx, doing, err)
	}
	if len(c.failures) > 0 {
		err = errors.Join(err, fmt.Errorf("%s: %w", doing, errors.Join(c.failures...)))
		c.failures = nil
	}
	return err
}

// Subscription is the topics that the consumer is subscribed to; for a pattern, those that
// it has partitions of.
func (c *Subscriber) Subscription() ([]string, error) {
	leave, err := c.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if c.wants.pattern == "" {
		return slices.Clone(c.wants.topics), nil
	}
	var topics []string
	for tp := range c.places {
		topics = append(topics, tp.Topic)
	}
	slices.Sort(topics)
	return slices.Compact(topics), nil
}

// Assignment is the partitions that the consumer has, in order.
func (c *Subscriber) Assignment() ([]sdk.TopicPartition, error) {
	leave, err := c.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	return inOrder(maps.Keys(c.places)), nil
}

// Pause has Poll return nothing of these partitions until Resume. The consumer keeps them,
// unless a rebalance takes them; whoever gets them then begins unpaused.
func (c *Subscriber) Pause(partitions ...sdk.TopicPartition) error {
	return c.pause("pause", partitions, true)
}

// Resume undoes Pause.
func (c *Subscriber) Resume(partitions ...sdk.TopicPartition) error {
	return c.pause("resume", partitions, false)
}

func (c *Subscriber) pause(doing string, partitions []sdk.TopicPartition, paused bool) error {
	leave, err := c.enter()
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	defer leave()
	for _, tp := range partitions {
		if c.places[tp] == nil {
			return fmt.Errorf("%s %s-%d: %w", doing, tp.Topic, tp.Partition, ErrNotAssigned)
		}
	}
	for _, tp := range partitions {
		c.places[tp].paused = paused
	}
	c.halts = true
	return nil
}

// Paused is the partitions that are paused, in order.
func (c *Subscriber) Paused() ([]sdk.TopicPartition, error) {
	leave, err := c.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	return inOrder(func(yield func(sdk.TopicPartition) bool) {
		for tp, p := range c.places {
			if p.paused && !yield(tp) {
				return
			}
		}
	}), nil
}

// GroupMetadata is which member of its group the consumer is: what a transactional producer
// sends its offsets with.
func (c *Subscriber) GroupMetadata() (GroupMetadata, error) {
	leave, err := c.enter()
	if err != nil {
		return GroupMetadata{}, err
	}
	defer leave()
	if c.group == "" {
		return GroupMetadata{}, fmt.Errorf("group metadata: %s is missing", GroupID.Name)
	}
	m := GroupMetadata{Group: c.group, Generation: -1, Instance: GroupInstanceID.Of(c.s.Values)}
	if c.session != nil && c.session.group {
		m.Member, m.Generation = c.session.client.GroupMetadata()
	}
	return m, nil
}

// close ends the consumer: what is committed by itself is committed, the listener called,
// the group left. Closing again does nothing.
func (c *Subscriber) close(ctx context.Context) error {
	leave, err := c.turn.enter()
	if err == nil && c.turn.listening() {
		leave()
		err = errors.New("a listener must not")
	}
	if err != nil {
		return fmt.Errorf("close the consumer: %w", err)
	}
	defer leave()
	if c.closed.Load() {
		return nil
	}
	c.parent = ctx
	ctx, stop := context.WithTimeoutCause(ctx, DefaultTimeout.Of(c.s.Values), ErrTimeout) // Wakeup does not end it
	defer stop()
	err = c.depart(ctx, "close the consumer")
	c.closed.Store(true)
	c.idle.Stop()
	if c.plain != nil {
		c.plain.Close()
	}
	c.others.Wait()
	c.done.run()
	return err
}

// asker is a client to ask brokers with.
func (c *Subscriber) asker() (*kgo.Client, error) {
	if c.session != nil && !c.session.over() {
		return c.session.client, nil
	}
	if c.plain == nil {
		plain, err := kgo.NewClient(c.s.franz()...)
		if err != nil {
			return nil, err
		}
		c.plain = plain
	}
	return c.plain, nil
}
