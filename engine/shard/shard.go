// Package shard runs the goroutines that may change partitions. A partition belongs to
// one shard for as long as the broker runs, and nobody else touches its state: others
// post tasks to the shard, and read what it publishes by atomics.
//
//	loop ──Append──▶ queue ─▶ admit ─▶ one pwritev per partition and turn ─▶ publish end
//	                                        │
//	syncer ◀── the active file ─────────────┘
//	   └──durable──▶ queue ─▶ high watermark ─▶ acks answered, waiting fetches woken
//
// A turn takes all that waits, so that the busier a partition is, the larger its writes
// and the fewer its syncs. The coordinators whose log a partition is run on its shard
// too, and so need no locks either.
package shard

import (
	"log/slog"
	"time"
)

// Options are what a shard needs from outside.
type Options struct {
	Now func() time.Time // Zero: time.Now
	Log *slog.Logger     // Zero: slog.Default
}

// Shard is one goroutine, its partitions and what waits for them.
type Shard struct {
	queue Queue
	wake  chan struct{} // holds one token when there is something to do
	ended chan struct{}

	// Everything below belongs to the goroutine.
	now      time.Time
	clock    func() time.Time
	log      *slog.Logger
	timers   timers
	touched  []*Replica // appended to in this turn, to be written at its end
	replicas map[*Replica]struct{}
	stopping bool
	busy     time.Duration
}

// Start starts a shard. The owner ends it by Stop.
func Start(o Options) *Shard {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Shard{
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
		clock: o.Now, log: o.Log, now: o.Now(), replicas: map[*Replica]struct{}{},
	}
	go s.run()
	return s
}

// Post hands a task to the shard, from any goroutine. Tasks of one poster run in the
// order in which they were posted.
func (s *Shard) Post(n *Node, t Task) {
	n.task = t
	if s.queue.Push(n) {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// call is a task that somebody wrote down for once.
type call struct {
	Node
	f func()
}

func (c *call) Run(*Shard) { c.f() }

// Do runs f on the shard, some time later. It allocates, so it is not for the hot path.
func (s *Shard) Do(f func()) {
	c := &call{f: f}
	s.Post(&c.Node, c)
}

// Wait runs f on the shard and returns when it has run. Never call it on a shard.
func (s *Shard) Wait(f func()) {
	done := make(chan struct{})
	s.Do(func() {
		defer close(done)
		f()
	})
	<-done
}

// Now is the time of the current turn. On the shard only.
func (s *Shard) Now() time.Time { return s.now }

// SetTimer runs t.Task on the shard once when has come. On the shard only.
func (s *Shard) SetTimer(t *Timer, when time.Time) { s.timers.set(t, when) }

// ClearTimer forgets t. On the shard only.
func (s *Shard) ClearTimer(t *Timer) { s.timers.clear(t) }

// Stop ends the goroutine after what was posted before. Replicas must have been closed.
func (s *Shard) Stop() {
	s.Do(func() { s.stopping = true })
	<-s.ended
}

func (s *Shard) run() {
	defer close(s.ended)
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for !s.stopping {
		s.turn()
		if s.stopping || s.queue.head.Load() != nil {
			continue
		}
		if len(s.timers) == 0 {
			<-s.wake
			continue
		}
		alarm.Reset(s.timers[0].When.Sub(s.clock()))
		select {
		case <-s.wake:
		case <-alarm.C:
		}
	}
}

// turn does all that waits: tasks, then the writes they asked for, then what is due.
func (s *Shard) turn() {
	s.now = s.clock()
	for n := s.queue.Take(); n != nil; {
		next := n.next
		n.next = nil
		n.task.Run(s)
		n = next
	}
	for t := s.timers.due(s.now); t != nil; t = s.timers.due(s.now) {
		t.Task.Run(s)
	}
	// A write may answer a coordinator, which may append again: hence the loop.
	for len(s.touched) > 0 {
		last := len(s.touched) - 1
		r := s.touched[last]
		s.touched[last] = nil
		s.touched = s.touched[:last]
		r.write()
	}
}
