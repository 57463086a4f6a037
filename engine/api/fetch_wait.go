package api

import (
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/netpoll"
)

// settle has the disk looked at for partitions that nobody used yet. It reports whether
// there were any; then resume follows, when all are settled, or when the fetch cannot wait for them any longer:
// partitions of other disks are sent without those of a disk that hangs.
func (f *fetchCall) settle() bool {
	var s *settling
	for i := range f.targets {
		r := f.targets[i].replica
		if r == nil || r.Settled() {
			continue
		}
		if t := &f.targets[i]; !f.opens(t) {
			t.shut = true
			continue
		}
		if s == nil {
			s = &settling{loop: f.conn.Loop(), wakeup: &f.wakeup}
			s.left.Store(1)
		}
		s.left.Add(1) // where too many wait already, until the time is over
		r.Seek(s.settled)
	}
	if s == nil {
		return false
	}
	f.suspend(f.conn.Loop().Now())
	if s.left.Load() > 1 {
		wait := time.Duration(f.request.MaxWaitMillis) * time.Millisecond
		s.stop = f.server.Later(min(max(wait, settlePatience), gatherPatience), s.giveUp)
	}
	f.opening = s
	s.settled()
	return true
}

// settlePatience is how long a fetch waits at least for logs to be opened.
const settlePatience = time.Second

// settling wakes a fetch once, when its partitions are settled or it has waited for long enough. Shards may know
// of it longer than the fetch lasts.
type settling struct {
	left   atomic.Int32
	ended  atomic.Bool
	late   atomic.Bool // it has waited for long enough
	loop   *netpoll.Loop
	wakeup *netpoll.Task // of the fetch, until it ended
	stop   func()        // ends the wait; nil: nobody waits
}

func (s *settling) settled() {
	if s.left.Add(-1) > 0 {
		return
	}
	if s.stop != nil {
		s.stop()
	}
	s.end()
}

func (s *settling) giveUp() {
	s.late.Store(true)
	s.end()
}

func (s *settling) end() {
	if s.ended.CompareAndSwap(false, true) {
		s.loop.Post(s.wakeup)
	}
}

// waitFor has the call look again when so many bytes more can be read, or its time is over.
func (f *fetchCall) waitFor(bytes int64) {
	f.releaseRanges()
	for i := range f.targets {
		f.wait.Add(f.targets[i].replica, f.targets[i].seen, f.request.ReadCommitted)
	}
	f.wait.Need = bytes
	passed := f.conn.Loop().Now().Sub(f.received)
	f.wait.When = f.server.Now().Add(time.Duration(f.request.MaxWaitMillis)*time.Millisecond - passed)
	f.suspend(f.conn.Loop().Now())
	f.waiting = true
	f.session.awaited += len(f.targets)
	f.parties.Add(2) // the wait, and the wake that will come
	f.session.park(f)
	f.wait.Begin()
}

// Wake has the loop look again. It runs on a shard.
func (f *fetchCall) Wake() { f.conn.Loop().Post(&f.wakeup) }

// Idle says that no shard knows of the wait any more. It runs on a shard, or on the loop.
func (f *fetchCall) Idle() { f.drop() }

// leave ends the wait.
func (f *fetchCall) leave() {
	f.waiting = false
	f.session.awaited -= len(f.targets)
	f.session.unpark(f)
	f.wait.End()
	f.drop() // of the wake
}

// abandon ends a fetch whose connection closed. If a wake is on its way, resume drops
// the party that the wake is.
func (f *fetchCall) abandon() {
	f.answered = true
	f.gone.Store(true)
	if f.filtering.on && !f.filtering.turn { // no worker has it
		f.releaseRanges()
	}
	if f.waiting {
		f.waiting = false
		if f.wait.Cancel() {
			f.drop()
		}
	}
	f.slot.Discard()
	f.drop()
}

// park remembers a waiting fetch, so that it ends with its connection.
func (s *session) park(f *fetchCall) {
	f.prev, f.next = nil, s.waiting
	if s.waiting != nil {
		s.waiting.prev = f
	}
	s.waiting = f
}

func (s *session) unpark(f *fetchCall) {
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		s.waiting = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	}
	f.prev, f.next = nil, nil
}

// abandonFetches ends what waits for a connection that closed.
func (s *session) abandonFetches() {
	s.filters.behind = nil
	for f := s.waiting; f != nil; {
		next := f.next
		f.prev, f.next = nil, nil
		f.abandon()
		f = next
	}
	s.waiting = nil
}
