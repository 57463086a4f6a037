package commitlog

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// Log is the log of one partition. It belongs to its shard; methods marked (any) are safe
// from every goroutine.
type Log struct {
	fs     diskio.FS
	logger *slog.Logger
	dir    string
	o      Options // the owner's
	// rewrite: while the log is opened, what is recovered is written again.
	rewrite bool

	// Published by the owner.
	start, end, size atomic.Int64
	segments         atomic.Pointer[[]*Segment] // oldest first; empty once closed
	epochs           atomic.Pointer[[]epoch]    // lowest first
	failure          atomic.Pointer[error]      // a sync outside of the owner failed
	cleaned          atomic.Int64               // offset up to which the log was cleaned; −1: not read yet
	gone             atomic.Bool                // it was closed or deleted: what is not open cannot be found any more

	// names keeps those who write files into the folder beside the owner from writing them into
	// its namesake: it is held from the look whether the log was deleted until they are there.
	names sync.Mutex //nolint:forbidigo // who seals and a deletion meet here, never an append

	// The owner's.
	active      *Segment
	spoiled     bool            // files hold more than the segments say; repair makes it good
	extra       []*Segment      // whose files repair removes
	savedEpochs *[]epoch        // what the checkpoint file holds
	savedStart  int64           // what the start file holds
	listed      []int64         // the snapshots in the folder, highest first; nil: it has to be asked
	startDue    bool            // retention moved the start, and could not make that durable
	rollDue     bool            // retention found no space for a new segment, and has said so
	doomed      []*doomed       // renamed, still to be removed
	rolled      []*Segment      // by the append that is under way
	aborting    []batch.Aborted // by markers that the next append has
	swap        *swap           // of a cleaning, begun and not ended for want of space
	lagging     *Segment        // rolled, and not yet known to be durable; the one before active, or nil
	pledged     [2]pledge       // of active and lagging
}

// SetOptions changes the settings of the topic. FS, Cache and TopicID stay.
func (l *Log) SetOptions(o Options) {
	o.FS, o.Cache, o.TopicID = l.fs, l.o.Cache, l.o.TopicID
	commit := l.o.SyncOnRoll
	l.o = o.complete()
	if l.active == nil {
		return
	}
	l.active.indexer.interval = l.o.IndexInterval
	var err error
	switch {
	case l.o.SyncOnRoll && !commit:
		err = l.Sync() // from now on a sync of the last two segments must be enough
	case commit && !l.o.SyncOnRoll:
		l.lagging = nil
		err = l.active.reopen() // from now on an index vouches
	}
	if err != nil {
		l.fail(err)
	}
}

// Start is the log start offset (any).
func (l *Log) Start() int64 { return l.start.Load() }

// End is the offset that the next record gets (any).
func (l *Log) End() int64 { return l.end.Load() }

// Size is how many bytes the segments have (any).
func (l *Log) Size() int64 { return l.size.Load() }

// Segments is how many segments there are (any).
func (l *Log) Segments() int { return len(*l.segments.Load()) }

// Active is the file that must be synced to make durable what was appended so far. It
// changes with a roll.
func (l *Log) Active() diskio.File { return &l.active.commit }

// Sync makes everything durable.
func (l *Log) Sync() error {
	if l.active == nil {
		return ErrClosed
	}
	for _, s := range *l.segments.Load() {
		if err := s.sync(); err != nil {
			return err
		}
	}
	return l.failed()
}

// fail remembers that something which nobody waits for went wrong with the disk.
func (l *Log) fail(err error) { l.failure.CompareAndSwap(nil, &err) }

func (l *Log) failed() error {
	if err := l.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// ready says whether the log may be changed, and first makes good what an append that
// failed has left in its files.
func (l *Log) ready() error {
	if l.active == nil {
		return ErrClosed
	}
	if err := l.failed(); err != nil {
		return err
	}
	if l.active.distrust.Load() {
		if err := l.reindex(l.active); err != nil {
			return fmt.Errorf("make the index again: %w", err)
		}
	}
	if l.spoiled {
		if err := l.repair(); err != nil {
			return err
		}
	}
	if l.swap == nil {
		return nil
	}
	n := l.swap.n
	if err := l.finishSwap(); err != nil {
		return err
	}
	l.sealLater(n)
	return nil
}

// Append writes batches behind what is there, each whole, with offset and epoch set,
// the first at End and each where the one before ends. One write takes all that go into
// one segment. After an error nothing of them is visible, and the log may be appended to
// again.
func (l *Log) Append(batches [][]byte, now time.Time) error {
	defer func() { l.aborting = l.aborting[:0] }()
	if err := l.ready(); err != nil {
		return err
	}
	before := l.mark()
	next := before.end
	for len(batches) > 0 {
		n := l.fit(batches, now, next)
		if n == 0 {
			if err := l.roll(now, next); err != nil {
				l.undo(before)
				return err
			}
			n = l.fit(batches, now, next)
		}
		if err := l.write(batches[:n]); err != nil {
			l.undo(before)
			return err
		}
		next = batch.Batch(batches[n-1]).NextOffset()
		batches = batches[n:]
	}
	l.end.Store(next)
	l.sealRolled()
	return nil
}

// fit is how many of the batches go into the active segment: none when it has to roll
// first, at least one when it is empty.
func (l *Log) fit(batches [][]byte, now time.Time, next int64) int {
	s := l.active
	size, first := s.size.Load(), s.firstTime()
	for i, p := range batches {
		b := batch.Batch(p)
		if len(p) < batch.HeaderSize || b.Size() != len(p) || b.BaseOffset() != next {
			panic(fmt.Sprintf("commitlog: append %d bytes at offset %d, the log wants offset %d", len(p), b.BaseOffset(), next))
		}
		next = b.NextOffset()
		if size > 0 {
			age := now.Sub(s.created)
			if first >= 0 {
				age = time.Duration(b.MaxTimestamp()-first) * time.Millisecond
			}
			if size+int64(len(p)) > l.o.SegmentBytes || age > l.o.SegmentAge || b.LastOffset()-s.base > math.MaxInt32 ||
				s.indexer.full(i+1, l.o.IndexBytes) {
				return i
			}
		} else {
			first = b.MaxTimestamp()
		}
		size += int64(len(p))
	}
	return len(batches)
}

// Room reports whether a batch that comes next, or after so many others of so many bytes, can
// be appended by a write alone, without a new segment, space to be reserved, or an index file
// to be taken away or made anew.
func (l *Log) Room(b batch.Batch, others int, bytes int64, now time.Time) bool {
	s := l.active
	if s == nil || l.failed() != nil || s.resumed || s.distrust.Load() || l.spoiled || s.first == unknownTime {
		return false
	}
	age := now.Sub(s.created)
	if s.first >= 0 {
		age = time.Duration(b.MaxTimestamp()-s.first) * time.Millisecond
	}
	size := s.size.Load() + bytes + int64(b.Size())
	return size <= l.o.SegmentBytes && (size < reserveFrom || size <= s.reserved) && age <= l.o.SegmentAge &&
		l.end.Load()+int64(b.LastOffsetDelta())-s.base <= math.MaxInt32 && !s.indexer.full(others+1, l.o.IndexBytes)
}

// firstTime is the timestamp of the first batch, negative when it has none.
func (s *Segment) firstTime() int64 {
	if s.first != unknownTime || s.size.Load() == 0 {
		return s.first
	}
	w, err := s.walk(s.size.Load())
	if err == nil {
		defer w.done()
		if err = w.load(0); err == nil {
			s.first = w.head.MaxTimestamp()
			return s.first
		}
	}
	s.first = -1
	return s.first
}

// write appends to the active segment. Readers see it when end is stored.
func (l *Log) write(batches [][]byte) error {
	s := l.active
	size := s.size.Load()
	bytes := int64(0)
	for _, p := range batches {
		bytes += int64(len(p))
	}
	if s.resumed {
		if err := l.leaveIndexes(s); err != nil {
			return fmt.Errorf("append to segment: %w", err)
		}
	}
	l.reserve(s, size+bytes)
	l.spoiled = true // until it is known what is in the file
	n, err := s.commit.Writev(batches, size)
	if err != nil {
		return fmt.Errorf("append to segment: %w", err)
	}
	if int64(n) != bytes {
		panic(fmt.Sprintf("commitlog: wrote %d of %d bytes to %s without an error", n, bytes, s.commit.Name()))
	}
	l.spoiled = false
	if c := l.o.Cache; c != nil {
		c.Wrote(&s.trail, s.commit.File, size+bytes)
	}
	s.size.Store(size + bytes)
	l.size.Add(bytes)
	at := size
	for _, p := range batches {
		b := batch.Batch(p)
		if at == 0 {
			s.first = b.MaxTimestamp()
		}
		s.indexer.add(b, at)
		l.aborting = s.abort(b, l.aborting)
		l.assign(b.LeaderEpoch(), b.BaseOffset())
		at += int64(len(p))
	}
	s.largest.Store(s.indexer.time.timestamp)
	return nil
}

// leaveIndexes says that the index files of a segment that was closed, and goes on, will
// not be true. Where they vouch for durability they have to go before.
func (l *Log) leaveIndexes(s *Segment) error {
	if l.o.SyncOnRoll {
		s.unseal()
		s.outgrown = true
	} else if err := s.reopen(); err != nil {
		return err
	}
	s.resumed = false
	return nil
}

// Reserving space in advance halves the work of appending. A segment must have grown
// before it gets any, and gets at most half of what it has, so that small topics stay small.
const (
	reserveFrom = 4 << 20
	reserveStep = 16 << 20
)

func (l *Log) reserve(s *Segment, size int64) {
	if size < reserveFrom || size <= s.reserved {
		return
	}
	step := min(reserveStep, size/2, max(l.o.SegmentBytes-size, 0))
	if step > 0 && s.commit.Allocate(size, step) == nil {
		s.reserved = size + step
		return
	}
	s.reserved = size + reserveStep // not possible here, or no space: ask again later
}

// trim gives back what was reserved and not used.
func (s *Segment) trim() error {
	if s.reserved == 0 {
		return nil
	}
	s.reserved = 0
	return s.commit.Truncate(s.size.Load())
}

// Roll begins a new segment, unless the active one is empty.
func (l *Log) Roll(now time.Time) error {
	if err := l.ready(); err != nil {
		return err
	}
	if l.active.size.Load() == 0 {
		return nil
	}
	before := l.mark()
	if err := l.roll(now, before.end); err != nil {
		l.undo(before)
		return err
	}
	l.sealRolled()
	return nil
}

// roll seals the active segment and begins the next at offset base.
func (l *Log) roll(now time.Time, base int64) error {
	old := l.active
	if err := old.trim(); err != nil {
		return fmt.Errorf("end segment: %w", err)
	}
	if l.o.SyncOnRoll {
		if err := l.settleRolls(old); err != nil {
			return err
		}
	}
	if err := l.saveEpochs(); err != nil {
		return err
	}
	old.indexer.finish()
	s, err := l.create(base)
	if err != nil {
		return err
	}
	if c := l.o.Cache; c != nil {
		c.Done(&old.trail, old.commit.File, old.size.Load())
	}
	s.created = now
	l.publish(append(append(make([]*Segment, 0, len(*l.segments.Load())+1), *l.segments.Load()...), s))
	l.active = s
	l.rolled = append(l.rolled, old)
	if l.o.SyncOnRoll {
		l.lagging = old
	}
	return nil
}

// settleRolls makes durable what must be before the active segment is followed by another.
// Of old itself that is nothing: the next Commit asks for both, so that the owner need not
// wait for the disk here. But the segment before it must be, for only one may be torn. Old
// must be if its index files are those of an earlier stop, for they would vouch for all of it,
// or if something was cut off it, which must not come back between it and its successor.
func (l *Log) settleRolls(old *Segment) error {
	if s := l.behind(); s != nil {
		if err := s.sync(); err != nil {
			return err
		}
	}
	if old.outgrown || old.synced.Load() < 0 {
		return old.sync()
	}
	return nil
}

// create makes an empty segment file.
func (l *Log) create(base int64) (*Segment, error) {
	s := l.newSegment(base, 0)
	if err := s.activate(createFlags); err != nil {
		return nil, err
	}
	s.useIndexer(newIndexer(base, l.o.IndexInterval))
	s.setAborted(nil)
	s.largest.Store(-1)
	s.covered = 0
	// In both modes: a missing segment is damage.
	if err := l.fs.SyncDir(l.dir); err != nil {
		s.deleted.Store(true)
		l.extra, l.spoiled = append(l.extra, s), true
		return nil, fmt.Errorf("sync folder of segment: %w: %w", ErrSync, err)
	}
	return s, nil
}

func (s *Segment) useIndexer(x indexer) {
	s.indexer = x
	s.index.Store(x.indexes)
	s.distrust.Store(false)
}

// publish shows readers a new list of segments.
func (l *Log) publish(list []*Segment) { l.segments.Store(&list) }

// sealRolled writes the indexes of what was rolled, behind the back of the owner.
func (l *Log) sealRolled() {
	for _, s := range l.rolled {
		l.sealLater(s)
	}
	clear(l.rolled)
	l.rolled = l.rolled[:0]
}

func (l *Log) sealLater(s *Segment) {
	if !s.retain() {
		return
	}
	ends, tell := s.ends, l.o.Failed
	l.o.Later(0, func() {
		defer s.Release()
		if err := s.seal(ends); err != nil {
			l.fail(err)
			if tell != nil && errors.Is(err, ErrSync) {
				tell(err)
			}
		}
	})
}

// mark is where the log stood before a change.
type mark struct {
	end, size, bytes int64
	active           *Segment
	list             *[]*Segment
	epochs           *[]epoch
	indexer          indexer
	first            int64
	lagging          *Segment
}

func (l *Log) mark() mark {
	s := l.active
	return mark{l.end.Load(), l.size.Load(), s.size.Load(), s, l.segments.Load(), l.epochs.Load(), s.indexer, s.first, l.lagging}
}

// undo brings the log back to m after a failed append. Readers never saw more: they stop
// at end. If the files cannot be brought back now, the next change tries again.
func (l *Log) undo(m mark) {
	for _, s := range (*l.segments.Load())[len(*m.list):] {
		s.deleted.Store(true)
		l.extra = append(l.extra, s)
	}
	clear(l.rolled)
	l.rolled = l.rolled[:0]
	l.segments.Store(m.list)
	l.size.Store(m.size)
	l.epochs.Store(m.epochs)
	s := m.active
	l.active, l.lagging = s, m.lagging
	s.covered = min(s.covered, m.bytes)
	if s.size.Swap(m.bytes) > m.bytes {
		// Readers may keep chunks of it with what is undone, and the next append puts other
		// batches there. After the size: who sees the new life must not see the old size.
		s.lives.Add(1)
	}
	s.first = m.first
	s.indexer = m.indexer
	s.indexer.indexes.cut(m.bytes, m.end-s.base)
	s.cutAborted(m.end)
	s.largest.Store(s.indexer.time.timestamp)
	s.reserved = 0
	l.spoiled = true
	if err := l.repair(); err != nil {
		l.logger.Warn("cannot undo a failed append yet; the next append tries again", "segment", s.path, "error", err)
	}
}

// repair makes the files as the segments say: removes those that have none, last first
// and each for good before the next, for none may follow a gap; and cuts the active one.
func (l *Log) repair() error {
	s := l.active
	for len(l.extra) > 0 {
		last := l.extra[len(l.extra)-1]
		if err := ignoreMissing(l.fs.Remove(last.path + logSuffix)); err != nil {
			return fmt.Errorf("undo append: %w", err)
		}
		if err := s.reopen(); err != nil {
			return fmt.Errorf("undo append: %w", err)
		}
		last.Release()
		l.extra = l.extra[:len(l.extra)-1]
	}
	if err := s.commit.Truncate(s.size.Load()); err != nil {
		return fmt.Errorf("undo append: %w", err)
	}
	// What was cut off may be on the disk already: until a sync it can come back, and must
	// not when a successor exists.
	s.unsettle()
	l.spoiled = false
	return nil
}

// Close makes everything durable and closes the files. It leaves the log so that the
// next Open, if nothing happens to it in between, is Clean.
func (l *Log) Close() error {
	if l.active == nil {
		return ErrClosed
	}
	if slices.ContainsFunc(*l.segments.Load(), func(s *Segment) bool { return s.gathering }) {
		// It was opened after a crash, and what was aborted is not known: no index may vouch
		// for that. It stays as it was found.
		l.release()
		return nil
	}
	err := l.ready()
	if err == nil {
		l.active.indexer.finish()
		l.active.unseal()
		err = errors.Join(l.active.trim(), l.saveEpochs())
	}
	for _, s := range *l.segments.Load() {
		if err == nil {
			err = s.seal(s.ends)
		}
	}
	if err == nil {
		err = l.failed()
	}
	l.removeDoomed()
	l.gone.Store(true)
	l.release()
	if err != nil {
		return fmt.Errorf("close log %s: %w", filepath.Base(l.dir), err)
	}
	return nil
}

// release gives up all segments.
func (l *Log) release() {
	list := *l.segments.Load()
	l.publish(nil)
	l.active = nil
	for _, s := range list {
		s.Release()
	}
	for _, s := range l.extra {
		s.Release()
	}
	l.extra = nil
	if l.swap != nil {
		for _, s := range l.swap.group {
			s.Release()
		}
		l.swap = nil
	}
}
