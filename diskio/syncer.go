package diskio

import (
	"context"
	"errors"
	"os"
	"runtime/pprof"
	"sync/atomic"
	"time"
)

// SyncerOptions are the limits of a Syncer.
type SyncerOptions struct {
	// Parallel is how many files are synced at the same time. Zero: 4, beyond which one
	// disk gets no faster.
	Parallel int
	// Journal is what makes many files durable at once. The Syncer owns it from here on, and
	// closes it. Nil: each file is synced.
	Journal *Journal
	// Labels are those that the goroutines have in profiles of processor time, when they work
	// for no request that has its own. Nil: none.
	Labels context.Context
	// Stopped is told of the error that stops the disk, once, on a goroutine of the Syncer, also
	// when nobody waits for what failed. It must not block. Nil: nobody is told.
	Stopped func(error)
}

// Syncer makes files durable for those who wait. There is one for each disk.
//
//	Sync ──▶ inbox (a lock-free stack) ──▶ dispatcher ──▶ workers: fdatasync ──▶ Done
//	                                           ▲              │
//	                                           └──────────────┘ the file is free again
//	                         or, for many files at once: one block of the Journal ──▶ Done
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
	free    chan synced
	ended   chan struct{}
	now     func() time.Time // to tell durations
	stopped func(error)      // may be nil
	labels  context.Context  // of its goroutines

	// The dispatcher's own.
	waiting  queue
	behind   queue // checkpoints of the journal
	running  []run
	parallel int
	// checkpoints is how many of behind may be under way beside the others: the more there are,
	// the more of them share one commit of the file system.
	checkpoints int
	journal     *Journal // nil: none
	made        chan *journalFile
	age         <-chan time.Time
	chooser     chooser
	flushed     bool // closing: all that the journal is owed was asked for
}

// run is a sync that is under way.
type run struct {
	file          File
	checkpoint    bool
	files         int    // that were being synced when it began
	rounds, epoch uint64 // of the journal, when it began
}

// synced tells how a sync of a file ended. The file may be synced again.
type synced struct {
	file  File
	bytes int64
	took  time.Duration
	err   error
}

// Request asks for one sync.
//
// Ownership: the caller's, but the Syncer's from Sync until Done.
type Request struct {
	File File
	// Done is called on a goroutine of the syncer, after an fdatasync that began after
	// Sync was called; or by Sync itself, with os.ErrClosed, once the syncer has ended. It must
	// not block for longer than the disk would. From here on r may be
	// used again, and what Done asks for itself is part of the next round.
	Done func(r *Request, err error)
	// Together is how many requests were served by one round, when Done is called.
	Together int

	// Labels are those of the goroutine that syncs the file, for profiles. Nil: the syncer's.
	Labels context.Context

	// For the journal; a request without a name has the file itself synced. What lies at
	// From up to To is all that the file got since what was last made durable, and is not
	// changed any more, unless the file is cut and the journal told to forget.
	Name     string   // of the file, relative to the disk's folder: one folder, a slash, a name
	Tag      [16]byte // of what the file belongs to now; another time the name may be somebody else's
	From, To int64
	// Forget has the journal never write again what it has of the file called Name, even
	// after a crash. File is not used, and may be nil.
	Forget bool

	direct bool     // the journal cannot have it
	next   *Request // in the inbox, or in the queue
	same   *Request // who shares the sync
}

// shut stands in the inbox of a syncer that has ended.
var shut = new(Request)

// NewSyncer starts the goroutines; Close ends them.
func NewSyncer(o SyncerOptions) *Syncer {
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	s := &Syncer{wake: make(chan struct{}, 1), ended: make(chan struct{}), parallel: o.Parallel, now: time.Now, stopped: o.Stopped, labels: o.Labels}
	if s.labels == nil {
		s.labels = context.Background()
	}
	if o.Journal != nil {
		s.checkpoints = journalParallel
		s.journal, s.made, s.age, s.now = o.Journal, o.Journal.made, o.Journal.timer.C, o.Journal.o.Now
	}
	workers := s.parallel + s.checkpoints
	s.work, s.free = make(chan *Request, workers), make(chan synced, workers)
	for range workers {
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

// dispatch hands requests to the workers, all for one file together, or makes rounds of
// the journal itself: those who come meanwhile share the next one.
func (s *Syncer) dispatch() {
	defer close(s.ended)
	defer close(s.work)
	pprof.SetGoroutineLabels(s.labels)
	for {
		select {
		case <-s.wake:
		case done := <-s.free:
			s.finished(done)
		case f := <-s.made:
			s.journal.adopt(f)
		case <-s.age:
			s.journal.armed = false
			s.checkpoint(func(*debt) bool { return true })
		}
		s.take()
		for s.toJournal() {
			s.start(true)
			s.round()
			s.take()
		}
		s.start(false)
		if s.closing.Load() && s.quiet() && s.inbox.CompareAndSwap(nil, shut) {
			if s.journal != nil {
				if err := s.journal.close(s.Err() != nil); err != nil {
					s.stop(err) //nolint:errcheck // whoever closes asks Err
				}
			}
			return
		}
	}
}

// quiet reports whether nothing is left to do. What the journal is owed is synced first.
func (s *Syncer) quiet() bool {
	if s.waiting.first != nil || len(s.running) > 0 {
		return false
	}
	if s.journal != nil && !s.flushed && s.Err() == nil {
		s.flushed = true
		s.checkpoint(func(*debt) bool { return true })
		s.start(false)
	}
	return len(s.running) == 0 && s.behind.first == nil
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
		if r.Forget && (s.journal == nil || s.journal.current == nil) {
			r.Done(r, nil) // nothing was written that could be forgotten
		} else {
			s.waiting.push(r)
		}
		r = next
	}
}

// start gives work to idle workers: the oldest request whose file is not being synced,
// and with it all others for that file. Those that the journal is to have are held back
// if asked to. Checkpoints come last.
func (s *Syncer) start(hold bool) {
	for s.count(false) < s.parallel {
		first := s.waiting.remove(func(r *Request) bool { return !s.busy(r.File) && !r.Forget && !(hold && s.suits(r)) })
		if first == nil {
			break
		}
		for last := first; ; last = last.same {
			last.same = s.waiting.remove(func(r *Request) bool { return r.File == first.File && !r.Forget })
			if last.same == nil {
				break
			}
		}
		s.run(first, false)
	}
	for s.count(true) < s.pace() {
		r := s.behind.remove(func(r *Request) bool { return !s.busy(r.File) })
		if r == nil {
			break
		}
		s.run(r, true)
	}
}

// pace is how many checkpoints may be under way. While the journal has files to go on in,
// they go one by one, for those who wait for a round use the same disk.
func (s *Syncer) pace() int {
	if s.journal != nil && !s.closing.Load() && s.journal.roomy() {
		return 1
	}
	return s.checkpoints
}

func (s *Syncer) run(first *Request, checkpoint bool) {
	now := run{file: first.File, checkpoint: checkpoint, files: len(s.running) + 1}
	if s.journal != nil {
		now.rounds, now.epoch = s.journal.rounds, s.journal.epoch
		if d := s.journal.debts[first.File]; d != nil {
			d.bytes = 0
		}
	}
	s.running = append(s.running, now)
	s.work <- first
}

// count is how many syncs are under way, of checkpoints or of others.
func (s *Syncer) count(checkpoints bool) (n int) {
	for i := range s.running {
		if s.running[i].checkpoint == checkpoints {
			n++
		}
	}
	return n
}

func (s *Syncer) busy(f File) bool {
	for i := range s.running {
		if s.running[i].file == f {
			return true
		}
	}
	return false
}

// held reports whether somebody waits for a sync of f that is under way.
func (s *Syncer) held(f File) bool {
	for i := range s.running {
		if s.running[i].file == f && !s.running[i].checkpoint {
			return true
		}
	}
	return false
}

func (s *Syncer) finished(done synced) {
	i := 0
	for s.running[i].file != done.file {
		i++
	}
	was, last := s.running[i], len(s.running)-1
	s.running[i] = s.running[last]
	s.running[last] = run{}
	s.running = s.running[:last]
	if s.journal != nil {
		s.journalFinished(was, done)
	}
}

// journalFinished has the journal learn from a sync of a file.
func (s *Syncer) journalFinished(was run, done synced) {
	j := s.journal
	d := j.debts[done.file]
	if was.checkpoint {
		j.stats.checkpoints.Add(1)
		if d != nil {
			d.queued = false
			d.stuck = errors.Is(done.err, os.ErrClosed)
		}
	} else {
		j.stats.fileSyncs.Add(1)
		j.stats.fileBytes.Add(uint64(done.bytes))
		j.stats.lastFileSync.Store(int64(done.took))
		if done.err == nil {
			s.chooser.filesTook(was.files, done.bytes, done.took)
		}
	}
	if done.err == nil {
		j.settle(done.file, was.rounds, was.epoch)
		if len(j.debts) > 0 {
			j.arm()
		}
		if d := j.debts[done.file]; d != nil && j.full() {
			s.ask(done.file, d) // what came during the sync: no round will ask, and some may wait for one
		}
		j.stats.owing.Store(uint64(len(j.debts)))
	}
}

// suits reports whether the journal may have r.
func (s *Syncer) suits(r *Request) bool {
	return r.Name != "" && !r.direct && s.journal.suits(r) && (r.Forget || !s.held(r.File))
}

// toJournal decides whether the next round is one of the journal.
func (s *Syncer) toJournal() bool {
	j := s.journal
	if j == nil {
		return false
	}
	if s.Err() != nil {
		s.refuse()
		return false
	}
	if !j.usable() {
		return false
	}
	files, bytes, must := 0, int64(0), false
	for r := s.waiting.first; r != nil; r = r.next {
		if s.suits(r) {
			files, bytes, must = files+1, bytes+r.To-r.From, must || r.Forget
		}
	}
	if files == 0 || !must && !s.chooser.toJournal(files, bytes) {
		return false
	}
	begun, err := j.begin()
	if err != nil {
		s.stop(err) //nolint:errcheck // those who wait are told by the workers
	}
	return begun
}

// refuse answers those who wait for a journal that does not work.
func (s *Syncer) refuse() {
	for {
		r := s.waiting.remove(func(r *Request) bool { return r.Forget })
		if r == nil {
			return
		}
		r.Done(r, s.Err())
	}
}

// round makes durable, with one block of the journal, as much as fits into it.
func (s *Syncer) round() {
	j := s.journal
	j.rounds++
	epoch := j.epoch
	var first, last *Request
	for {
		r := s.waiting.remove(func(r *Request) bool { return s.suits(r) && j.fits(r) })
		if r == nil {
			break
		}
		if j.add(r) != nil { // the file was closed or cut meanwhile: its own sync knows what that means
			r.direct = true
			s.waiting.push(r)
			continue
		}
		if d := j.owe(r); d != nil && d.bytes >= syncAfter {
			s.ask(r.File, d)
		}
		if first == nil {
			first = r
		} else {
			last.same = r
		}
		last = r
	}
	if first == nil {
		return
	}
	j.stats.owing.Store(uint64(len(j.debts)))
	began := s.now()
	err := j.commit()
	took := s.now().Sub(began)
	j.stats.lastRound.Store(int64(took))
	if err != nil {
		err = s.stop(err)
	} else {
		s.chooser.journalTook(j.payload, took)
	}
	answer(first, err)
	if j.full() { // the next round has to go on in another file
		s.checkpoint(func(d *debt) bool { return d.first <= epoch })
	}
}

// checkpoint has the files synced that owe it and are meant.
func (s *Syncer) checkpoint(meant func(*debt) bool) {
	for f, d := range s.journal.debts {
		if meant(d) {
			s.ask(f, d)
		}
	}
}

func (s *Syncer) ask(f File, d *debt) {
	if d.queued || d.stuck {
		return
	}
	d.queued = true
	d.request = Request{File: f}
	s.behind.push(&d.request)
}

// sync is one worker.
func (s *Syncer) sync() {
	pprof.SetGoroutineLabels(s.labels)
	for r := range s.work {
		if r.Labels != nil {
			pprof.SetGoroutineLabels(r.Labels)
		}
		marked := r.Labels != nil
		done := synced{file: r.File, err: s.Err()}
		for one := r; one != nil; one = one.same {
			done.bytes += one.To - one.From
		}
		if done.err == nil {
			began := s.now()
			done.err = r.File.Sync()
			done.took = s.now().Sub(began)
			if done.err != nil && !errors.Is(done.err, os.ErrClosed) {
				done.err = s.stop(done.err)
			}
		}
		asked := r.Done != nil // a checkpoint's request is the dispatcher's again once it is told
		s.free <- done
		if asked {
			answer(r, done.err)
		}
		if marked {
			pprof.SetGoroutineLabels(s.labels)
		}
	}
}

func answer(r *Request, err error) {
	together := 0
	for one := r; one != nil; one = one.same {
		together++
	}
	for r != nil {
		next := r.same
		r.same, r.direct, r.Together = nil, false, together
		r.Done(r, err)
		r = next
	}
}

// stop remembers the first error; later ones are its consequence.
func (s *Syncer) stop(err error) error {
	if s.failure.CompareAndSwap(nil, &err) && s.stopped != nil {
		s.stopped(err)
	}
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
