package shard

import (
	"time"

	"github.com/millrace/millrace/engine/label"
)

// A guest is a goroutine, an event loop or one of the disk's syncer, that finds a shard asleep
// and does a small task there itself, in place of waking the shard's goroutine: the hand-over
// costs more than most appends. Whoever works on a shard, goroutine or guest, holds it. A task
// that finds it held, or others waiting, is posted, so that the order of one poster's
// tasks is kept; a guest that finds posted tasks at its end does those that are small as
// well, up to a bound, and leaves the rest to the goroutine.
//
//	Visit ─▶ held? ──no──▶ others wait? ──no──▶ small? ──yes──▶ Run, write ─▶ posted? ─▶ let go
//	           │yes              │yes             │no                ▲            │ small
//	           └─────────────────┴────────────────┴──▶ Post          └────────────┘

// Limits of what a guest does. While it works, its connections wait.
const (
	// guestBytes is the largest batch that a guest appends.
	guestBytes = 128 << 10
	// guestRounds is how often it takes what others have posted meanwhile.
	guestRounds = 4
	// guestPatience is how long a visit may take before it counts as slow.
	guestPatience = 2 * time.Millisecond
	// guestPause is for how many times as long as a slow visit took there are no others.
	guestPause = 32
	// guestOwed is for how long a sync may be under way before no guest writes to its log: a
	// disk that hangs must hold up its shard, and nobody else.
	guestOwed = 20 * time.Millisecond
)

// light is a task that a guest may run, if it says so itself. It is asked by who holds
// the shard.
type light interface {
	Task
	light(s *Shard) bool
}

// Visit runs t at once on the caller's goroutine when nobody works on the shard and the
// task is small, and posts it otherwise (any goroutine).
func (s *Shard) Visit(n *Node, t light) {
	if !s.guests || !s.guest(t) {
		s.Post(n, t)
	}
}

// Return is Visit for the syncer of the shard's own disk, which may be a guest also where
// event loops may not: what it would wait for there it waits for anyhow.
func (s *Shard) Return(n *Node, t light) {
	if s.stepped || !s.guest(t) {
		s.Post(n, t)
		return
	}
	if label.On() {
		label.Set(label.Syncer)
	}
}

// guest reports whether it has run t.
func (s *Shard) guest(t light) bool {
	if s.queue.head.Load() != nil || !s.held.CompareAndSwap(false, true) {
		return false
	}
	s.visited.Store(true)
	s.now = s.clock()
	ran := s.queue.head.Load() == nil && s.backlog == nil && !s.now.Before(s.calm) && t.light(s)
	if ran {
		s.visit(t)
	}
	idle := s.backlog == nil
	s.visited.Store(false)
	s.held.Store(false)
	// What was posted until here has not woken the goroutine, or it has found the shard held.
	if !idle || s.queue.head.Load() != nil || s.owed.Load() && s.owed.Swap(false) {
		s.rouse()
	}
	return ran
}

// visit runs t, and then small tasks that were posted meanwhile.
func (s *Shard) visit(t light) {
	began := s.now
	t.Run(s)
	s.writeTouched()
	for round := 0; round < guestRounds && s.backlog == nil && s.queue.head.Load() != nil; round++ {
		s.backlog = s.queue.Take()
		for s.backlog != nil {
			if t, ok := s.backlog.task.(light); !ok || !t.light(s) {
				break
			}
			s.runFirst()
		}
		s.writeTouched()
	}
	if took := s.clock().Sub(began); took > guestPatience {
		s.calm = began.Add(guestPause * took)
	}
	if next := s.firstTimer(); !next.IsZero() && (s.alarm.IsZero() || next.Before(s.alarm)) {
		s.owed.Store(true) // the goroutine would sleep for too long
	}
}

// hold waits until no guest is at work. Only the shard's goroutine calls it.
func (s *Shard) hold() {
	for !s.held.CompareAndSwap(false, true) {
		s.owed.Store(true)
		if s.held.CompareAndSwap(false, true) {
			s.owed.Store(false)
			return
		}
		<-s.wake
	}
}

// firstTimer is when the next timer is due, the zero time when there is none.
func (s *Shard) firstTimer() time.Time {
	if len(s.timers) == 0 {
		return time.Time{}
	}
	return s.timers[0].When
}

// light: appended by a write alone, to a log that is open, on a disk that answers.
func (a *Append) light(s *Shard) bool {
	r := a.Replica
	return len(a.Batch) <= guestBytes && r.is(open) && r.disk.Failed() == nil &&
		(!r.syncing || s.now.Sub(r.asked) < guestOwed) && r.log.Load().Room(a.Batch, len(r.batches), r.gathered, s.now)
}

// light: the partition is open, or there is nothing to open and nobody makes it.
func (q *question) light(*Shard) bool {
	r := q.Replica
	return r.is(open) || r.is(absent) && r.opening == nil
}

// light: no partition has to be opened for it.
func (e *entering) light(*Shard) bool {
	for i := range e.links {
		if !e.links[i].replica.is(open) {
			return false
		}
	}
	return true
}

func (e *leaving) light(*Shard) bool { return true }

// light: nothing but answers, and the next sync.
func (d *synced) light(*Shard) bool { return d.replica.idle == nil }
