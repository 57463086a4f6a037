package diskio

import (
	"os"
	"slices"
	"sync/atomic"
)

// SyncerOptions are the limits of a Syncer.
type SyncerOptions struct {
	// Parallel is how many files are synced at the same time. Zero: 4, beyond which one
	// disk gets no faster.
	Parallel int
}

// Syncer makes files durable for those who wait. There is one for each disk.
//
//	Sync ──▶ inbox (a lock-free stack) ──▶ dispatcher ──▶ workers: fdatasync ──▶ Done
//	                                           ▲              │
//	                                           └──────────────┘ the file is free again
//
// While one sync of a file runs, later requests for it wait and share the next one: that
// is the group commit. Two syncs of one file never run at the same time, for the kernel
// tells a lost page to one of them only.
//
// The first error stops the disk: the kernel may have dropped what it could not write
// and would call the next fdatasync a success. Every request from then on fails.
type Syncer struct {
	inbox   atomic.Pointer[Request] // newest first; shut once nobody takes from it
	failure atomic.Pointer[error]
	closing atomic.Bool
	wake    chan struct{}
	work    chan *Request
	free    chan File // synced, and may be again
	ended   chan struct{}

	// The dispatcher's own.
	waiting  queue
	running  []File // being synced
	parallel int
}

// Request asks for one sync.
//
// Ownership: the caller's, but the Syncer's from Sync until Done.
type Request struct {
	File File
	// Done is called on a goroutine of the syncer, after an fdatasync that began after
	// Sync was called. It must not block. From here on r may be used again.
	Done func(r *Request, err error)

	next *Request // in the inbox, or in the queue
	same *Request // who shares the sync
}

// shut stands in the inbox of a syncer that has ended.
var shut = new(Request)

// NewSyncer starts the goroutines; Close ends them.
func NewSyncer(o SyncerOptions) *Syncer {
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	s := &Syncer{
		wake: make(chan struct{}, 1), ended: make(chan struct{}), parallel: o.Parallel,
		work: make(chan *Request, o.Parallel), free: make(chan File, o.Parallel),
	}
	for range o.Parallel {
		go s.sync()
	}
	go s.dispatch()
	return s
}

// Sync has r.File made durable and r.Done called. Any goroutine may call it; it does
// not block.
func (s *Syncer) Sync(r *Request) {
	for {
		head := s.inbox.Load()
		if head == shut {
			r.Done(r, os.ErrClosed)
			return
		}
		r.next = head
		if s.inbox.CompareAndSwap(head, r) {
			if head == nil {
				s.nudge()
			}
			return
		}
	}
}

func (s *Syncer) nudge() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake, or will be
	}
}

// Err is the error that stopped the disk, or nil.
func (s *Syncer) Err() error {
	if err := s.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Close serves what waits and ends. A later Sync is answered with os.ErrClosed.
func (s *Syncer) Close() {
	s.closing.Store(true)
	s.nudge()
	<-s.ended
}

// dispatch hands requests to the workers, all for one file together.
func (s *Syncer) dispatch() {
	defer close(s.ended)
	defer close(s.work)
	for {
		select {
		case <-s.wake:
		case done := <-s.free:
			s.finished(done)
		}
		s.take()
		s.start()
		if s.closing.Load() && s.waiting.first == nil && len(s.running) == 0 && s.inbox.CompareAndSwap(nil, shut) {
			return
		}
	}
}

// take empties the inbox into the queue, oldest first.
func (s *Syncer) take() {
	var oldest *Request
	for r := s.inbox.Swap(nil); r != nil; {
		next := r.next
		r.next = oldest
		oldest, r = r, next
	}
	for r := oldest; r != nil; {
		next := r.next
		r.next = nil
		s.waiting.push(r)
		r = next
	}
}

// start gives work to idle workers: the oldest request whose file is not being synced,
// and with it all others for that file.
func (s *Syncer) start() {
	for len(s.running) < s.parallel {
		first := s.waiting.remove(func(r *Request) bool { return !s.busy(r.File) })
		if first == nil {
			return
		}
		for last := first; ; last = last.same {
			last.same = s.waiting.remove(func(r *Request) bool { return r.File == first.File })
			if last.same == nil {
				break
			}
		}
		s.running = append(s.running, first.File)
		s.work <- first
	}
}

func (s *Syncer) busy(f File) bool { return slices.Contains(s.running, f) }

func (s *Syncer) finished(f File) {
	i := slices.Index(s.running, f)
	last := len(s.running) - 1
	s.running[i] = s.running[last]
	s.running[last] = nil
	s.running = s.running[:last]
}

// sync is one worker.
func (s *Syncer) sync() {
	for r := range s.work {
		err := s.Err()
		if err == nil {
			if err = r.File.Sync(); err != nil {
				err = s.stop(err)
			}
		}
		s.free <- r.File
		for r != nil {
			next := r.same
			r.same = nil
			r.Done(r, err)
			r = next
		}
	}
}

// stop remembers the first error; later ones are its consequence.
func (s *Syncer) stop(err error) error {
	s.failure.CompareAndSwap(nil, &err)
	return s.Err()
}

// queue is a list of requests, oldest first.
type queue struct {
	first, last *Request
}

func (q *queue) push(r *Request) {
	if q.last == nil {
		q.first = r
	} else {
		q.last.next = r
	}
	q.last = r
}

// remove takes out the first request that fits, or returns nil.
func (q *queue) remove(fits func(*Request) bool) *Request {
	var before *Request
	for r := q.first; r != nil; before, r = r, r.next {
		if !fits(r) {
			continue
		}
		if before == nil {
			q.first = r.next
		} else {
			before.next = r.next
		}
		if q.last == r {
			q.last = before
		}
		r.next = nil
		return r
	}
	return nil
}
