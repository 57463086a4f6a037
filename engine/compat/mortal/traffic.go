package mortal

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A watch counts the committed records of topics as they come.
type watch struct {
	seen   atomic.Int64
	cancel context.CancelFunc
	ended  chan struct{}
}

func (s *stage) watch(ctx context.Context, topics ...string) (*watch, error) {
	k, err := s.dial(kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		defer k.Close()
		for ctx.Err() == nil {
			w.seen.Add(int64(k.PollFetches(ctx).NumRecords())) // while the broker is dead there are none
		}
	}()
	return w, nil
}

func (w *watch) close() {
	w.cancel()
	<-w.ended
}

func (w *watch) count() int { return int(w.seen.Load()) }

// A flow is what a program is given, turn by turn, and what comes of it: each turn must lead to so much that is seen.
type flow struct {
	turns, perTurn int
	ahead          int // how many turns may be under way: what is killed always has work, and always has work to come
	give           func(ctx context.Context, turn int) error
	seen           func() int
	topics         []string // to look for open transactions in when something is missing
}

// reached asks whether so much was seen.
func (f flow) reached(n int) func() error {
	return func() error {
		if seen := f.seen(); seen < n {
			return fmt.Errorf("%d of %d records were seen", seen, n)
		}
		return nil
	}
}

// A blow happens when part of what shall come has been seen.
type blow struct {
	part   float64
	strike func(ctx context.Context) error
}

// play feeds the programs turn by turn, strikes in the middle, and returns when everything has been seen.
func (s *stage) play(ctx context.Context, f flow, programs []*program, blows []blow) error {
	if err := f.play(ctx, programs, blows); err != nil {
		return fmt.Errorf("%w\n%s", err, s.unsettled(f.topics...))
	}
	return nil
}

func (f flow) play(ctx context.Context, programs []*program, blows []blow) error {
	for n := range f.turns {
		if err := until(ctx, fmt.Sprintf("before turn %d", n), programs, f.reached(f.perTurn*max(n-f.ahead, 0))); err != nil {
			return err
		}
		for len(blows) > 0 && f.reached(int(blows[0].part*float64(f.perTurn*f.turns)))() == nil {
			if err := blows[0].strike(ctx); err != nil {
				return err
			}
			blows = blows[1:]
		}
		if err := f.give(ctx, n); err != nil {
			return fmt.Errorf("write turn %d: %w", n, err)
		}
	}
	if len(blows) > 0 {
		return fmt.Errorf("%d blows have not been struck: everything was written before", len(blows))
	}
	return until(ctx, "at the end", programs, f.reached(f.perTurn*f.turns))
}

// gives makes a flow's give of records for topics. done ends it.
func (s *stage) gives(turn func(n int) []*kgo.Record) (give func(ctx context.Context, turn int) error, done func(), err error) {
	k, err := s.dial()
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, n int) error { return k.ProduceSync(ctx, turn(n)...).FirstErr() }, k.Close, nil
}

// unsettled says where committed readers wait for the end of a transaction, for the text of a failure.
func (s *stage) unsettled(topics ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	a, err := s.admin()
	if err != nil {
		return err.Error()
	}
	defer a.Close()
	ends, err := a.ListEndOffsets(ctx, topics...)
	if err != nil {
		return err.Error()
	}
	stable, err := a.ListCommittedOffsets(ctx, topics...)
	if err != nil {
		return err.Error()
	}
	var open []string
	ends.Each(func(end kadm.ListedOffset) {
		if o, ok := stable.Lookup(end.Topic, end.Partition); ok && o.Offset < end.Offset {
			open = append(open, fmt.Sprintf("%s-%d is committed up to %d of %d", end.Topic, end.Partition, o.Offset, end.Offset))
		}
	})
	if len(open) == 0 {
		return "no transaction is open"
	}
	return strings.Join(open, ", ")
}

// committed reads the committed records of a topic from its start to its end, partition by partition.
func (s *stage) committed(ctx context.Context, topic string) (map[int32][]*kgo.Record, error) {
	records, err := s.all(ctx, topic, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	for p := range records {
		records[p] = slices.DeleteFunc(records[p], func(r *kgo.Record) bool { return r.Attrs.IsControl() })
	}
	return records, err
}

// all reads what there is in a topic up to its last stable offset, control records too.
func (s *stage) all(ctx context.Context, topic string, options ...kgo.Opt) (map[int32][]*kgo.Record, error) {
	a, err := s.admin()
	if err != nil {
		return nil, err
	}
	defer a.Close()
	listed, err := a.ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("the end of %s: %w", topic, err)
	}
	left, from := map[int32]int64{}, map[int32]kgo.Offset{}
	for p, o := range listed[topic] {
		from[p] = kgo.NewOffset().AtStart()
		if o.Offset > 0 {
			left[p] = o.Offset
		}
	}
	// Control records show that the end is reached, which they mostly are.
	k, err := s.dial(append(options, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.KeepControlRecords())...)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	records := map[int32][]*kgo.Record{}
	for len(left) > 0 {
		fetches := k.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read %s, of which %v is left: %w", topic, left, err)
		}
		for _, r := range fetches.Records() {
			records[r.Partition] = append(records[r.Partition], r)
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		}
	}
	return records, nil
}
