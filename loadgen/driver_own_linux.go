package loadgen

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/results"
)

// ownDriver runs the wire sender and the wire fetcher, each on loops of their own.
type ownDriver struct {
	job       *job
	nodes     map[int32]node
	producing []*loop
	consuming []*loop
	budget    *atomic.Int64
	target    atomic.Int64
	received  atomic.Int64
}

func newOwnDriver() driver { return &ownDriver{} }

func (d *ownDriver) start(ctx context.Context, j *job) error {
	if j.Group != "" {
		return errors.New("the own driver has no consumer groups: use --driver kgo")
	}
	d.job = j
	d.target.Store(-1)
	d.budget = j.budget
	var err error
	if d.nodes, err = j.target.nodes(ctx); err != nil {
		return err
	}
	topics, err := j.target.layouts(ctx, j.workload)
	if err != nil {
		return err
	}
	if j.produces() {
		if err := d.startProducers(ctx, topics); err != nil {
			return err
		}
	}
	if j.consumes() {
		return d.startConsumers(topics)
	}
	return nil
}

// loops makes as many loops as the phase has threads, no more than members.
func (d *ownDriver) loops(members int, kinds ...kind) ([]*loop, error) {
	var all []*loop
	for range min(d.job.Threads, members) {
		l, err := newLoop(d.job.clock, d.job.recorder(kinds...))
		if err != nil {
			return all, err
		}
		all = append(all, l)
	}
	return all, nil
}

// startProducers makes one connection per producer, topic and leader.
func (d *ownDriver) startProducers(ctx context.Context, topics []*topicLayout) (err error) {
	j := d.job
	if d.producing, err = d.loops(j.Producers, j.produceKinds()...); err != nil {
		return err
	}
	for i := range j.Producers {
		l := d.producing[i%len(d.producing)]
		for _, topic := range topics {
			for leader, own := range topic.leaders {
				if err := d.addSender(ctx, l, i, topic, d.nodes[leader], own, len(topics)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (d *ownDriver) addSender(ctx context.Context, l *loop, index int, topic *topicLayout, n node, own []int32, topics int) error {
	j := d.job
	shape, err := newShape(j.Value, j.Key, uint64(index))
	if err != nil {
		return err
	}
	s := &sender{
		producePlan: &producePlan{
			Settings: j.Settings, version: n.produce, topic: topic.Topic, records: shape.recordsOf(j.Batch), stop: j.stop, budget: d.budget,
		},
		clock: j.clock, recorder: l.recorder, producer: producerState{-1, -1},
		spread: newSpread(shape, topic.partitions, own, index),
	}
	if len(s.spread.order) == 0 {
		return nil // no key belongs to this leader
	}
	if j.Idempotent {
		if s.producer, err = j.target.producerID(ctx); err != nil {
			return err
		}
	}
	if j.Rate > 0 {
		share := s.spread.share / float64(topics)
		pace := j.pace(share, s.records*j.RequestBatches, index, j.Producers, uint64(index)<<16|uint64(len(l.members)))
		if s.schedule, err = NewSchedule(pace); err != nil {
			return err
		}
	}
	if err := s.prepare(); err != nil {
		return err
	}
	if s.c, err = dial(n.address); err != nil {
		return err
	}
	return l.add(s)
}

// startConsumers deals the partitions of every leader to the consumers, and makes one
// connection per consumer, topic and leader that got some.
func (d *ownDriver) startConsumers(topics []*topicLayout) (err error) {
	j := d.job
	measure := fetchTime
	if d.consuming, err = d.loops(j.Consumers, measure, endToEnd); err != nil {
		return err
	}
	for i := range j.Consumers {
		l := d.consuming[i%len(d.consuming)]
		for _, topic := range topics {
			for leader, own := range topic.leaders {
				if err := d.addFetcher(l, i, topic, d.nodes[leader], own); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (d *ownDriver) addFetcher(l *loop, index int, topic *topicLayout, n node, own []int32) error {
	j := d.job
	shape, err := newShape(j.Value, Key{Kind: KeyNone}, 0)
	if err != nil {
		return err
	}
	f := &fetcher{
		fetchPlan: &fetchPlan{
			Settings: j.Settings, version: n.fetch, topic: topic.Topic, mean: shape.mean, stop: j.stop,
			follow: j.Do == results.EndToEnd, target: &d.target, received: &d.received,
		},
		clock: j.clock, recorder: l.recorder, index: map[int32]int{},
	}
	if f.follow {
		f.Decode = DecodeRecords
	}
	for i, p := range own {
		if i%j.Consumers != index {
			continue
		}
		at := topic.start[p]
		if f.follow {
			at = topic.end[p]
		}
		f.index[p] = len(f.windows)
		f.windows = append(f.windows, window{position: position{p, at}, start: topic.start[p], end: topic.end[p], moved: true})
	}
	if len(f.windows) == 0 {
		return nil
	}
	if f.c, err = dial(n.address); err != nil {
		return err
	}
	return l.add(f)
}

// run drives all loops. Consumers that follow learn from the producers' end how many
// records are still to come.
func (d *ownDriver) run(ctx context.Context) error {
	var producers, consumers errgroup.Group
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(before + len(d.producing) + len(d.consuming)) // see syscall_linux.go
	defer runtime.GOMAXPROCS(before)
	start := func(group *errgroup.Group, l *loop) {
		group.Go(func() error {
			err := l.run(ctx)
			if err != nil {
				cancel() // one broken connection ends the phase
			}
			return err
		})
	}
	for _, l := range d.consuming {
		start(&consumers, l)
	}
	for _, l := range d.producing {
		start(&producers, l)
	}
	err := producers.Wait()
	if len(d.producing) > 0 {
		sent := int64(0)
		for _, l := range d.producing {
			sent += l.recorder.allAcked
		}
		d.target.Store(sent)
	}
	return errors.Join(err, consumers.Wait())
}

func (d *ownDriver) share() float64 {
	busiest := 0.0
	for _, l := range append(d.producing, d.consuming...) {
		busiest = max(busiest, l.share)
	}
	return busiest
}

func (d *ownDriver) close() error {
	var errs []error
	for _, l := range append(d.producing, d.consuming...) {
		if err := l.close(); err != nil {
			errs = append(errs, fmt.Errorf("close a loop: %w", err))
		}
	}
	return errors.Join(errs...)
}
