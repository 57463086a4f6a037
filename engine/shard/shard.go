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
//
// What must stay true:
//
//   - Nothing is acknowledged that is not below the high watermark, and in commit mode
//     nothing is below it that was not fsynced. Once a disk has failed nothing on it is
//     acknowledged.
//   - Every Append ends exactly once, in the order of its partition's offsets, and its
//     memory is given back before.
//   - No file is closed while a sync of it is asked for: a closed file is no failed disk.
//   - A folder is opened only for the topic whose id it carries.
package shard

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/engine/label"
	"github.com/millrace/millrace/engine/txn"
)

// Options are what a shard needs from outside.
type Options struct {
	// Now is the clock, asked from any goroutine. Nil: time.Now.
	Now func() time.Time
	// Wall is the time that LogAppendTime says, which may be set. Nil: Now.
	Wall func() time.Time
	Log  *slog.Logger // Nil: slog.Default
	// Flushed is told of every sync, how long it took and how many batches it made
	// durable. Nil: nobody is told.
	Flushed func(took time.Duration, batches int)
	// Verify asks the coordinator of a transaction about it, and calls v.Done later, from any
	// goroutine. It is called on the shard. Nil: nobody is asked, every transaction is taken
	// for open.
	Verify func(v *Verification)
	// Loaded is told how long it took to load the coordinator whose log is a partition of a
	// topic, Verified how long the coordinator of a transaction took to answer, and whether
	// it refused. Nil: nobody is told.
	Loaded   func(topic string, took time.Duration)
	Verified func(took time.Duration, refused bool)
	// Guests says that goroutines which find the shard asleep may do small tasks in its
	// place. They then wait for its disk.
	Guests bool
	// Stepped says that there is no goroutine: whoever started the shard calls Step when it
	// is to do what waits, for one thread of control that decides the order of everything.
	Stepped bool
}

// Shard is one goroutine, its partitions and what waits for them.
type Shard struct {
	queue Queue
	wake  chan struct{} // holds one token when there is something to do
	ended chan struct{}
	clock func() time.Time
	wall  func() time.Time
	log   *slog.Logger

	stepped bool

	// held is set by who works on the shard, its goroutine or a guest; visited while that is
	// a guest; owed by the goroutine when a guest is in its way, who then rouses it.
	guests              bool
	held, visited, owed atomic.Bool

	// Published by the goroutine.
	asleep   atomic.Int64 // unix nanoseconds since when it waits, 0 while it works
	idle     atomic.Int64 // nanoseconds that it waited before
	produces atomic.Int64 // appends that wait for the high watermark
	fetches  atomic.Int64 // fetches that wait for records

	// Everything below belongs to who holds the shard.
	now      time.Time
	calm     time.Time // no guest works before
	alarm    time.Time // when the goroutine will wake by itself; zero: never
	backlog  *Node     // taken from the queue and not run yet, oldest first
	flushed  func(time.Duration, int)
	verify   func(*Verification)
	timers   timers
	touched  []*Replica            // appended to in this turn, to be written at its end
	replicas map[*Replica]struct{} // that anybody has looked at
	groups   map[*Groups]struct{}  // that are loaded
	loaded   func(string, time.Duration)
	verified func(time.Duration, bool)
	expired  uint64       // producers
	happened txn.Happened // to transactions of coordinators that are gone

	transactions map[*Transactions]struct{} // that are loaded

	retired  bool // nothing is opened any more
	stopping bool
}

// Start starts a shard. The owner ends it by Stop.
func Start(o Options) *Shard {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wall == nil {
		o.Wall = o.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Flushed == nil {
		o.Flushed = func(time.Duration, int) {}
	}
	if o.Loaded == nil {
		o.Loaded = func(string, time.Duration) {}
	}
	if o.Verified == nil {
		o.Verified = func(time.Duration, bool) {}
	}
	if o.Verify == nil {
		o.Verify = func(v *Verification) { v.Done(nil) }
	}
	s := &Shard{
		wake: make(chan struct{}, 1), ended: make(chan struct{}),
		clock: o.Now, wall: o.Wall, log: o.Log, stepped: o.Stepped, guests: o.Guests, flushed: o.Flushed, verify: o.Verify, now: o.Now(), replicas: map[*Replica]struct{}{}, groups: map[*Groups]struct{}{},
		loaded: o.Loaded, verified: o.Verified, transactions: map[*Transactions]struct{}{},
	}
	if !o.Stepped {
		go s.run()
	}
	return s
}

// Post hands a task to the shard, from any goroutine. Tasks of one poster run in the
// order in which they were posted. What is posted after Stop never runs.
func (s *Shard) Post(n *Node, t Task) {
	n.task = t
	if s.queue.Push(n) && !s.visited.Load() {
		s.rouse()
	}
}

// rouse has the goroutine look for work.
func (s *Shard) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
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

// Wait runs f on the shard and returns when it has run, or when the shard has ended and
// it never will. Never call it on a shard.
func (s *Shard) Wait(f func()) (ran bool) {
	done := make(chan struct{})
	s.Do(func() {
		defer close(done)
		f()
	})
	if s.stepped {
		s.Step()
	}
	select {
	case <-done:
		return true
	case <-s.ended:
	}
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// Now is the time of the current turn. On the shard only.
func (s *Shard) Now() time.Time { return s.now }

// SetTimer runs t.Task on the shard once when has come. On the shard only.
func (s *Shard) SetTimer(t *Timer, when time.Time) { s.timers.set(t, when) }

// ClearTimer forgets t. On the shard only.
func (s *Shard) ClearTimer(t *Timer) { s.timers.clear(t) }

// Waiting is how many appends wait to be committed, and how many fetches for records (any).
func (s *Shard) Waiting() (produces, fetches int64) { return s.produces.Load(), s.fetches.Load() }

// Idle is how long the shard's goroutine had nothing to do since it was started (any).
// What guests do in its place is their time.
func (s *Shard) Idle() time.Duration {
	idle := s.idle.Load()
	if since := s.asleep.Load(); since != 0 {
		idle += max(s.clock().UnixNano()-since, 0)
	}
	return time.Duration(idle)
}

// ExpireProducers forgets producers that were idle for too long. On the shard only.
func (s *Shard) ExpireProducers() {
	for r := range s.replicas {
		if r.is(open) {
			s.expired += uint64(r.machine.Expire(s.now.UnixMilli()))
		}
	}
}

// Syncing is since when the oldest sync of its partitions is under way; zero: none is. On the shard only.
func (s *Shard) Syncing() (since time.Time) {
	for r := range s.replicas {
		if r.syncing && (since.IsZero() || r.asked.Before(since)) {
			since = r.asked
		}
	}
	return since
}

// Coordinators calls f with every coordinator that is loaded. On the shard only.
func (s *Shard) Coordinators(f func(*group.Coordinator)) {
	for g := range s.groups {
		f(g.machine)
	}
}

// Retire ends the service of all partitions, and from here on none is opened: appends
// that came before are written and acknowledged, whoever else waits is sent elsewhere.
// Partitions that are open are handed to take once their last sync is done, to be closed
// (Replica.Finish) on any goroutine; ready is called after the last. Both run on the
// shard and must not block. On the shard only.
func (s *Shard) Retire(take func(*Replica), ready func()) {
	s.retired = true
	left := 1
	ended := func() {
		if left--; left == 0 {
			ready()
		}
	}
	for r := range s.replicas {
		left++
		r.retire(func(usable bool) {
			if usable {
				take(r)
			}
			ended()
		})
	}
	clear(s.replicas)
	ended()
}

// Stop ends the goroutine after what was posted before.
func (s *Shard) Stop() {
	s.Do(func() { s.stopping = true })
	<-s.ended
}

func (s *Shard) run() {
	defer close(s.ended)
	label.Set(label.Shard)
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		s.hold()
		for s.turn(); s.queue.head.Load() != nil && !s.stopping; {
			s.turn()
		}
		if s.stopping {
			return // and holds the shard for good
		}
		s.sleep(alarm)
	}
}

// sleep lets the shard go and waits for a task or the next timer.
func (s *Shard) sleep(alarm *time.Timer) {
	begin, next := s.clock(), s.firstTimer()
	s.alarm = next
	s.asleep.Store(begin.UnixNano())
	s.held.Store(false)
	if next.IsZero() {
		<-s.wake
	} else {
		alarm.Reset(next.Sub(begin))
		select {
		case <-s.wake:
		case <-alarm.C:
		}
	}
	s.asleep.Store(0)
	s.idle.Add(int64(s.clock().Sub(begin)))
}

// turn does all that waits: tasks, then what is due, then the writes that they asked for.
func (s *Shard) turn() {
	s.now = s.clock()
	for s.backlog != nil { // a guest has left it
		s.runFirst()
	}
	for s.backlog = s.queue.Take(); s.backlog != nil; {
		s.runFirst()
	}
	for t := s.timers.due(s.now); t != nil; t = s.timers.due(s.now) {
		t.Task.Run(s)
	}
	s.writeTouched()
}

// runFirst runs the oldest task of the backlog.
func (s *Shard) runFirst() {
	n := s.backlog
	s.backlog, n.next = n.next, nil
	if label.On() {
		label.Set(label.Shard)
	}
	n.task.Run(s)
}

// writeTouched writes what this turn has gathered.
func (s *Shard) writeTouched() {
	for i, r := range s.touched {
		s.touched[i] = nil
		if label.On() {
			label.Set(r.topic.ProduceLabels())
		}
		r.write()
	}
	s.touched = s.touched[:0]
}
