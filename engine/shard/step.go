package shard

import (
	"errors"
	"fmt"
	"time"
)

// Step takes one turn of a shard that was started with Stepped.
func (s *Shard) Step() {
	if !s.held.CompareAndSwap(false, true) {
		panic("shard: a step within a step")
	}
	s.turn()
	s.held.Store(false)
}

// Pending reports whether a Step would find tasks. Stepped shards only.
func (s *Shard) Pending() bool { return s.queue.head.Load() != nil || s.backlog != nil }

// Due is when the first timer is due, the zero time when there is none. Stepped shards only.
func (s *Shard) Due() time.Time { return s.firstTimer() }

// Check reports which invariant of what the shard decides by does not hold: partitions,
// groups and transactions. It is for simulators; on the shard, or between the steps of one.
func (s *Shard) Check() error {
	var wrong []error
	for r := range s.replicas {
		if err := r.check(); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", r.folder(), err))
		}
	}
	return errors.Join(wrong...)
}

func (r *Replica) check() error {
	if !r.is(open) {
		return nil
	}
	log := r.log.Load()
	stable, high, end := r.stable.Load(), r.high.Load(), log.End()
	switch {
	case stable > high || high > end:
		return fmt.Errorf("last stable offset %d, high watermark %d, end %d", stable, high, end)
	case r.settings.Commit && high > r.durable.Load():
		return fmt.Errorf("high watermark %d, durable to %d", high, r.durable.Load())
	}
	if g := r.groups; g != nil && !g.loading && g.again.IsZero() {
		if err := g.machine.Check(); err != nil {
			return fmt.Errorf("groups: %w", err)
		}
	}
	if t := r.transactions; t != nil && !t.loading && t.again.IsZero() {
		if err := t.machine.Check(); err != nil {
			return fmt.Errorf("transactions: %w", err)
		}
	}
	return r.machine.Check()
}
