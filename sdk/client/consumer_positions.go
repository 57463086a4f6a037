package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
)

// Times that a broker takes for places in a log.
const (
	latest   = -1
	earliest = -2
)

// found is what a broker answers to a look-up: the first record at a time, or an end of the log.
type found struct {
	offset    int64 // −1: none
	epoch     int32
	timestamp int64 // of the record there; −1: not asked for
}

// lookUp asks where in their logs partitions are at times, which are milliseconds or latest
// or earliest. A partition's error is the call's.
func (c *Subscriber) lookUp(ctx context.Context, client *kgo.Client, times map[sdk.TopicPartition]int64) (map[sdk.TopicPartition]found, error) {
	return lookUp(ctx, client, c.committedOnly(), times)
}

// committedOnly reports whether records of open transactions are left out.
func (c *Subscriber) committedOnly() bool {
	return strings.EqualFold(IsolationLevel.Of(c.s.Values), "read_committed")
}

func lookUp(ctx context.Context, client *kgo.Client, committedOnly bool, times map[sdk.TopicPartition]int64) (map[sdk.TopicPartition]found, error) {
	all := make(map[sdk.TopicPartition]found, len(times))
	if len(times) == 0 {
		return all, nil
	}
	a, err := placesIn(committedOnly, times).RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("look up offsets: %w", err)
	}
	for _, t := range a.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("look up offsets of %s-%d: %w", t.Topic, p.Partition, err)
			}
			all[sdk.TopicPartition{Topic: t.Topic, Partition: p.Partition}] = found{p.Offset, p.LeaderEpoch, p.Timestamp}
		}
	}
	for tp := range times {
		if _, ok := all[tp]; !ok {
			return nil, fmt.Errorf("look up offsets of %s-%d: the broker did not answer", tp.Topic, tp.Partition)
		}
	}
	return all, nil
}

// placesIn asks where partitions are at times.
func placesIn(committedOnly bool, times map[sdk.TopicPartition]int64) *kmsg.ListOffsetsRequest {
	q := kmsg.NewPtrListOffsetsRequest()
	if committedOnly {
		q.IsolationLevel = 1
	}
	byTopic := map[string]int{}
	for tp, at := range times {
		i, ok := byTopic[tp.Topic]
		if !ok {
			i = len(q.Topics)
			byTopic[tp.Topic] = i
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = tp.Topic
			q.Topics = append(q.Topics, t)
		}
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = tp.Partition, at
		q.Topics[i].Partitions = append(q.Topics[i].Partitions, p)
	}
	return q
}

// lookUpReset is where auto.offset.reset begins.
func (c *Subscriber) lookUpReset(ctx context.Context, client *kgo.Client, partitions []sdk.TopicPartition) (map[sdk.TopicPartition]found, error) {
	at := int64(latest)
	switch c.reset.name {
	case "none":
		return map[sdk.TopicPartition]found{}, nil
	case "earliest":
		at = earliest
	case "by_duration":
		at = time.Now().Add(-c.reset.ago).UnixMilli()
	}
	all, err := c.lookUp(ctx, client, same(partitions, at))
	if err != nil || c.reset.name != "by_duration" {
		return all, err
	}
	var newer []sdk.TopicPartition // than all their records
	for tp, f := range all {
		if f.offset < 0 {
			newer = append(newer, tp)
		}
	}
	ends, err := c.lookUp(ctx, client, same(newer, latest))
	for tp, f := range ends {
		all[tp] = f
	}
	return all, err
}

func same(partitions []sdk.TopicPartition, at int64) map[sdk.TopicPartition]int64 {
	times := make(map[sdk.TopicPartition]int64, len(partitions))
	for _, tp := range partitions {
		times[tp] = at
	}
	return times
}

// lookUpCommitted is what the group has committed; what it has not is not in the map. With
// read_committed it waits until a transaction that commits offsets has ended.
func (c *Subscriber) lookUpCommitted(ctx context.Context, client *kgo.Client, partitions []sdk.TopicPartition) (map[sdk.TopicPartition]sdk.OffsetAndMetadata, error) {
	if c.committedOnly() {
		ctx = kadm.RequireStable(ctx)
	}
	for {
		all, err := c.committedNow(ctx, client, partitions)
		if !errors.Is(err, kerr.UnstableOffsetCommit) {
			return all, err
		}
		select {
		case <-time.After(RetryBackoff.Of(c.s.Values)):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (c *Subscriber) committedNow(ctx context.Context, client *kgo.Client, partitions []sdk.TopicPartition) (map[sdk.TopicPartition]sdk.OffsetAndMetadata, error) {
	answers, err := kadm.NewClient(client).FetchOffsets(ctx, c.group)
	if err != nil {
		return nil, fmt.Errorf("look up what group %s has committed: %w", c.group, err)
	}
	all := map[sdk.TopicPartition]sdk.OffsetAndMetadata{}
	for _, tp := range partitions {
		a, ok := answers.Lookup(tp.Topic, tp.Partition)
		switch {
		case !ok || a.Err == nil && a.At < 0:
		case a.Err != nil:
			return nil, fmt.Errorf("look up what group %s has committed of %s-%d: %w", c.group, tp.Topic, tp.Partition, a.Err)
		default:
			all[tp] = sdk.OffsetAndMetadata{Offset: a.At, LeaderEpoch: a.LeaderEpoch, Metadata: a.Metadata}
		}
	}
	return all, nil
}

// begin is franz-go's question where to begin with partitions of which it has fetched what
// is committed. It runs in franz-go's goroutine. What a listener has sought goes before,
// auto.offset.reset comes last. Where nobody knows yet the partition is halted; whoever
// polls finds out.
func (c *Subscriber) begin(ctx context.Context, e *session, committed map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	var missing []sdk.TopicPartition
	if !c.hand(e, func() { missing = c.takeCommitted(committed) }) {
		return nil, context.Canceled
	}
	resets := map[sdk.TopicPartition]found{}
	if len(missing) > 0 {
		var err error
		if resets, err = c.lookUpReset(ctx, e.client, missing); err != nil {
			c.s.log.Debug("where to begin is not known yet", "error", err)
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var begin map[string]map[int32]kgo.Offset
	if !c.hand(e, func() { begin = c.beginAt(committed, resets) }) {
		return nil, context.Canceled
	}
	return begin, nil
}

// takeCommitted notes what is committed, and answers the partitions of which nothing is.
func (c *Subscriber) takeCommitted(committed map[string]map[int32]kgo.Offset) (missing []sdk.TopicPartition) {
	for topic, partitions := range committed {
		for number, o := range partitions {
			tp := sdk.TopicPartition{Topic: topic, Partition: number}
			p := c.places[tp]
			if p == nil || p.offset >= 0 {
				continue
			}
			if at := o.EpochOffset(); at.Offset >= 0 {
				p.offset, p.epoch = at.Offset, at.Epoch
			} else {
				missing = append(missing, tp)
			}
		}
	}
	return missing
}

// beginAt is where franz-go shall begin.
func (c *Subscriber) beginAt(committed map[string]map[int32]kgo.Offset, resets map[sdk.TopicPartition]found) map[string]map[int32]kgo.Offset {
	begin := make(map[string]map[int32]kgo.Offset, len(committed))
	for topic, partitions := range committed {
		begin[topic] = make(map[int32]kgo.Offset, len(partitions))
		for number := range partitions {
			tp := sdk.TopicPartition{Topic: topic, Partition: number}
			p := c.places[tp]
			if p == nil {
				begin[topic][number] = kgo.NewOffset().At(0)
				continue // it was taken meanwhile; nothing of it is returned
			}
			if f, ok := resets[tp]; ok && p.offset < 0 {
				p.offset, p.epoch = f.offset, f.epoch
			}
			p.live, p.moved, p.fresh, p.unknown = true, false, false, p.offset < 0
			if p.unknown && c.reset.name == "none" {
				p.unknown, p.stuck = false, fmt.Errorf("%s-%d: %w", topic, number, ErrNoOffset)
			}
			begin[topic][number] = kgo.NewOffset().At(max(p.offset, 0)).WithEpoch(p.epoch)
		}
	}
	c.halts = true
	c.tell() // before anything is fetched
	return begin
}

// look begins to find out where to begin in partitions of which nobody knows.
func (c *Subscriber) look() {
	var partitions, fresh []sdk.TopicPartition
	for tp, p := range c.places {
		if p.unknown && !p.looking {
			p.looking = true
			partitions = append(partitions, tp)
			if p.fresh && c.group != "" {
				fresh = append(fresh, tp)
			}
		}
	}
	if len(partitions) == 0 {
		return
	}
	e := c.session
	c.others.Add(1)
	go func() {
		defer c.others.Done()
		ctx, cancel := context.WithTimeout(e.life, RequestTimeout.Of(c.s.Values))
		defer cancel()
		committed, resets, err := c.whereToBegin(ctx, e.client, partitions, fresh)
		if err != nil {
			select {
			case <-time.After(RetryBackoff.Of(c.s.Values)):
			case <-e.life.Done():
			}
		}
		c.post(c.mail, func() { c.looked(e, partitions, committed, resets, err) })
	}()
}

func (c *Subscriber) whereToBegin(ctx context.Context, client *kgo.Client, partitions, fresh []sdk.TopicPartition) (map[sdk.TopicPartition]sdk.OffsetAndMetadata, map[sdk.TopicPartition]found, error) {
	var committed map[sdk.TopicPartition]sdk.OffsetAndMetadata
	if len(fresh) > 0 {
		var err error
		if committed, err = c.lookUpCommitted(ctx, client, fresh); err != nil {
			return nil, nil, err
		}
	}
	var missing []sdk.TopicPartition
	for _, tp := range partitions {
		if _, ok := committed[tp]; !ok {
			missing = append(missing, tp)
		}
	}
	resets, err := c.lookUpReset(ctx, client, missing)
	return committed, resets, err
}

// passes reports whether an error passes by itself: brokers come back.
func passes(err error) bool {
	var network *net.OpError
	return kerr.IsRetriable(err) || kgo.IsRetryableBrokerErr(err) || errors.As(err, &network) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, kgo.ErrClientClosed)
}

// looked is what look has found.
func (c *Subscriber) looked(e *session, partitions []sdk.TopicPartition, committed map[sdk.TopicPartition]sdk.OffsetAndMetadata, resets map[sdk.TopicPartition]found, err error) {
	if c.session != e {
		return
	}
	if err != nil && !passes(err) {
		c.failures = append(c.failures, err)
	}
	for _, tp := range partitions {
		p := c.places[tp]
		if p == nil || !p.looking {
			continue
		}
		p.looking = false
		if !p.unknown {
			continue // somebody sought it meanwhile
		}
		if o, ok := committed[tp]; ok {
			p.offset, p.epoch = o.Offset, o.LeaderEpoch
		} else if f, ok := resets[tp]; ok {
			p.offset, p.epoch = f.offset, f.epoch
		} else if err != nil {
			continue // the next Poll looks again
		} else {
			p.stuck = fmt.Errorf("%s-%d: %w", tp.Topic, tp.Partition, ErrNoOffset)
		}
		p.unknown, p.fresh = false, false
		p.moved = p.offset >= 0
	}
	c.halts, c.moves = true, true
}

// tell tells franz-go which partitions are halted, and where those are that have moved.
func (c *Subscriber) tell() {
	if c.moves {
		c.moves = false
		if c.session.group {
			c.moveInGroup()
		} else {
			c.moveAlone()
		}
	}
	if !c.halts {
		return
	}
	c.halts = false
	waiting := make(map[sdk.TopicPartition]bool, len(c.backlog))
	for _, k := range c.backlog {
		waiting[k.TopicPartition] = len(k.records) > 0
	}
	halt, resume := map[string][]int32{}, map[string][]int32{}
	for tp, p := range c.places {
		wanted := p.paused || p.unknown || p.missing || p.stuck != nil || waiting[tp]
		switch {
		case wanted && !p.halted:
			halt[tp.Topic] = append(halt[tp.Topic], tp.Partition)
		case !wanted && p.halted:
			resume[tp.Topic] = append(resume[tp.Topic], tp.Partition)
		}
		p.halted = wanted
	}
	if len(halt) > 0 {
		c.session.client.PauseFetchPartitions(halt)
	}
	if len(resume) > 0 {
		c.session.client.ResumeFetchPartitions(resume)
	}
}

// moveInGroup tells where partitions are that have moved. franz-go takes that only once it
// has begun with them; until then it is told again.
func (c *Subscriber) moveInGroup() {
	set := map[string]map[int32]kgo.EpochOffset{}
	for tp, p := range c.places {
		if p.moved && p.live {
			if set[tp.Topic] == nil {
				set[tp.Topic] = map[int32]kgo.EpochOffset{}
			}
			set[tp.Topic][tp.Partition] = kgo.EpochOffset{Epoch: -1, Offset: p.offset}
		}
	}
	if len(set) == 0 {
		return
	}
	c.session.client.SetOffsets(set)
	taken := c.session.client.CommittedOffsets()
	for topic, partitions := range set {
		for number, o := range partitions {
			if got, ok := taken[topic][number]; ok && got == o {
				c.places[sdk.TopicPartition{Topic: topic, Partition: number}].moved = false
			} else {
				c.moves = true
			}
		}
	}
}

// moveAlone begins anew with partitions that have moved.
func (c *Subscriber) moveAlone() {
	remove, add := map[string][]int32{}, map[string]map[int32]kgo.Offset{}
	for tp, p := range c.places {
		if p.offset < 0 || p.live && !p.moved {
			continue
		}
		if p.live {
			remove[tp.Topic] = append(remove[tp.Topic], tp.Partition)
		}
		if add[tp.Topic] == nil {
			add[tp.Topic] = map[int32]kgo.Offset{}
		}
		add[tp.Topic][tp.Partition] = kgo.NewOffset().At(p.offset)
		p.live, p.moved = true, false
	}
	if len(remove) > 0 {
		c.session.client.RemoveConsumePartitions(remove)
	}
	if len(add) > 0 {
		c.session.client.AddConsumePartitions(add)
	}
}

// move puts the consumer somewhere else in a partition.
func (c *Subscriber) move(tp sdk.TopicPartition, offset int64, epoch int32) {
	p := c.places[tp]
	p.offset, p.epoch, p.moved, p.unknown, p.fresh, p.stuck = offset, epoch, true, false, false, nil
	p.sought = p.missing
	c.drop(tp)
	c.moves, c.halts = true, true
}

// Seek has the next Poll go on at that offset of a partition that is assigned.
func (c *Subscriber) Seek(tp sdk.TopicPartition, offset int64) error {
	leave, err := c.enter()
	if err != nil {
		return fmt.Errorf("seek: %w", err)
	}
	defer leave()
	if offset < 0 {
		return fmt.Errorf("seek: %d is no offset of %s-%d", offset, tp.Topic, tp.Partition)
	}
	if c.places[tp] == nil {
		return fmt.Errorf("seek in %s-%d: %w", tp.Topic, tp.Partition, ErrNotAssigned)
	}
	c.move(tp, offset, -1)
	return nil
}

// SeekToBeginning goes back to the first record of these partitions, of all that are
// assigned when none is named.
func (c *Subscriber) SeekToBeginning(ctx context.Context, partitions ...sdk.TopicPartition) error {
	return c.seekTo(ctx, partitions, earliest)
}

// SeekToEnd goes on behind the last record of these partitions, of all that are assigned
// when none is named; with read_committed, before the first transaction that is open.
func (c *Subscriber) SeekToEnd(ctx context.Context, partitions ...sdk.TopicPartition) error {
	return c.seekTo(ctx, partitions, latest)
}

// SeekToTime goes to the first record of these partitions, of all that are assigned when
// none is named, that is not older than t; where there is none, to the end.
func (c *Subscriber) SeekToTime(ctx context.Context, t time.Time, partitions ...sdk.TopicPartition) error {
	return c.seekTo(ctx, partitions, max(t.UnixMilli(), 0)) // below 0 are other places
}

func (c *Subscriber) seekTo(ctx context.Context, partitions []sdk.TopicPartition, at int64) error {
	return c.ask(ctx, "seek", func(ctx context.Context, client *kgo.Client) error {
		if len(partitions) == 0 {
			for tp := range c.places {
				partitions = append(partitions, tp)
			}
		}
		for _, tp := range partitions {
			if c.places[tp] == nil {
				return fmt.Errorf("%s-%d: %w", tp.Topic, tp.Partition, ErrNotAssigned)
			}
		}
		all, err := c.lookUp(ctx, client, same(partitions, at))
		if err != nil {
			return err
		}
		var newer []sdk.TopicPartition
		for tp, f := range all {
			if f.offset < 0 {
				newer = append(newer, tp)
			}
		}
		ends, err := c.lookUp(ctx, client, same(newer, latest))
		if err != nil {
			return err
		}
		for _, tp := range partitions {
			f := all[tp]
			if f.offset < 0 {
				f = ends[tp]
			}
			c.move(tp, f.offset, f.epoch)
		}
		return nil
	})
}

// ask does something that asks brokers.
func (c *Subscriber) ask(ctx context.Context, doing string, do func(context.Context, *kgo.Client) error) error {
	leave, err := c.enter()
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	defer leave()
	client, err := c.asker()
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	ctx, stop := c.waiting(ctx, 0)
	defer stop()
	if err := do(ctx, client); err != nil {
		return c.cause(ctx, doing, err)
	}
	return nil
}

// Position is the offset of the next record that Poll returns of a partition.
func (c *Subscriber) Position(ctx context.Context, tp sdk.TopicPartition) (offset int64, err error) {
	err = c.ask(ctx, "position", func(ctx context.Context, client *kgo.Client) error {
		p := c.places[tp]
		if p == nil {
			return fmt.Errorf("%s-%d: %w", tp.Topic, tp.Partition, ErrNotAssigned)
		}
		if p.stuck != nil {
			return p.stuck
		}
		if p.offset < 0 {
			var fresh []sdk.TopicPartition
			if p.fresh && c.group != "" {
				fresh = append(fresh, tp)
			}
			committed, resets, err := c.whereToBegin(ctx, client, []sdk.TopicPartition{tp}, fresh)
			if err != nil {
				return err
			}
			if o, ok := committed[tp]; ok {
				c.move(tp, o.Offset, o.LeaderEpoch)
			} else if f, ok := resets[tp]; ok {
				c.move(tp, f.offset, f.epoch)
			} else {
				return fmt.Errorf("%s-%d: %w", tp.Topic, tp.Partition, ErrNoOffset)
			}
		}
		offset = p.offset
		return nil
	})
	return offset, err
}

// Committed is what the group has committed of partitions, by whichever member. What has
// nothing committed is not in the map.
func (c *Subscriber) Committed(ctx context.Context, partitions ...sdk.TopicPartition) (all map[sdk.TopicPartition]sdk.OffsetAndMetadata, err error) {
	err = c.ask(ctx, "committed", func(ctx context.Context, client *kgo.Client) error {
		if c.group == "" {
			return fmt.Errorf("%s is missing", GroupID.Name)
		}
		all, err = c.lookUpCommitted(ctx, client, partitions)
		return err
	})
	return all, err
}

// OffsetAndTimestamp is a record's place and time.
type OffsetAndTimestamp struct {
	Offset      int64
	LeaderEpoch int32
	Timestamp   time.Time
}

// OffsetsForTimes is the first record of each partition that is not older than the time
// given. A partition that has none is not in the map.
func (c *Subscriber) OffsetsForTimes(ctx context.Context, times map[sdk.TopicPartition]time.Time) (map[sdk.TopicPartition]OffsetAndTimestamp, error) {
	at := make(map[sdk.TopicPartition]int64, len(times))
	for tp, t := range times {
		if at[tp] = t.UnixMilli(); at[tp] < 0 {
			return nil, fmt.Errorf("offsets for times: %v is before 1970", t)
		}
	}
	answers := map[sdk.TopicPartition]OffsetAndTimestamp{}
	err := c.ask(ctx, "offsets for times", func(ctx context.Context, client *kgo.Client) error {
		all, err := c.lookUp(ctx, client, at)
		for tp, f := range all {
			if f.offset >= 0 {
				answers[tp] = OffsetAndTimestamp{f.offset, f.epoch, time.UnixMilli(f.timestamp)}
			}
		}
		return err
	})
	return answers, err
}

// BeginningOffsets is the offsets of the first records of partitions.
func (c *Subscriber) BeginningOffsets(ctx context.Context, partitions ...sdk.TopicPartition) (map[sdk.TopicPartition]int64, error) {
	return c.offsetsAt(ctx, "beginning offsets", partitions, earliest)
}

// EndOffsets is the offsets behind the last records of partitions; with read_committed,
// those of the first records of transactions that are open.
func (c *Subscriber) EndOffsets(ctx context.Context, partitions ...sdk.TopicPartition) (map[sdk.TopicPartition]int64, error) {
	return c.offsetsAt(ctx, "end offsets", partitions, latest)
}

func (c *Subscriber) offsetsAt(ctx context.Context, doing string, partitions []sdk.TopicPartition, at int64) (map[sdk.TopicPartition]int64, error) {
	offsets := make(map[sdk.TopicPartition]int64, len(partitions))
	err := c.ask(ctx, doing, func(ctx context.Context, client *kgo.Client) error {
		all, err := c.lookUp(ctx, client, same(partitions, at))
		for tp, f := range all {
			offsets[tp] = f.offset
		}
		return err
	})
	return offsets, err
}
