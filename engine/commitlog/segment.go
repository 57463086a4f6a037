package commitlog

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// Endings of file names.
const (
	logSuffix       = ".log"
	indexSuffix     = ".index"
	timeSuffix      = ".timeindex"
	txnSuffix       = ".txnindex"
	snapshotSuffix  = ".snapshot"
	deletedSuffix   = ".deleted"
	temporarySuffix = ".tmp"
)

// unknownTime stands where a timestamp was not read yet.
const unknownTime = math.MinInt64

// Segment is a file of batches, named by the offset that it begins at, and its indexes.
// The last segment of a log is active: the owner appends to it. The others are sealed.
//
// Ownership: the log holds a reference, and so does every Range; the file closes with the
// last. Files of sealed segments are opened, and indexes read, when somebody needs them.
type Segment struct {
	log  *Log
	base int64
	path string // without an ending

	refs     atomic.Int64
	size     atomic.Int64                         // bytes; what lies behind is no part of the log
	handle   atomic.Pointer[handle]               // nil until somebody reads
	index    atomic.Pointer[indexes]              // nil until somebody looks
	largest  atomic.Int64                         // timestamp, or unknownTime
	used     atomic.Bool                          // the index was used since Retain looked
	distrust atomic.Bool                          // the active segment's index contradicts its data
	aborted  atomic.Pointer[table[batch.Aborted]] // nil until somebody looks, of what is appended to never
	deleted  atomic.Bool
	lives    atomic.Int64 // how often it was cut: what was read before may not be there any more
	trail    diskio.Trail // of what stays in the page cache

	// guard keeps two syncs of one file apart, for the kernel tells a lost page to one of
	// them only; and two who seal.
	guard  sync.Mutex //nolint:forbidigo // syncer and shard meet here at a roll, never in an append
	synced atomic.Int64
	cuts   atomic.Int64 // how often synced went back
	lost   error        // why a sync failed, after which no other proves anything; under guard
	sealed atomic.Bool  // the index files are complete; set under guard
	ends   int          // how often it was made active again; under guard

	// The owner's, while the segment is active.
	commit    commitFile
	indexer   indexer
	reserved  int64 // bytes from the beginning of the file
	first     int64 // timestamp of the first batch, or unknownTime
	created   time.Time
	resumed   bool   // nothing was appended since it was opened
	outgrown  bool   // its index files are those of an earlier stop, and it was appended to since
	gathering bool   // recovery finds out what was aborted
	doubted   bool   // and its index does not tell
	named     bool   // it had an index of aborted transactions when it was opened
	indexed   bool   // it had an offset index then
	covered   int64  // bytes from the beginning that survive a power cut, by the journal or by a sync; −1: not known
	name      string // as the journal has it; empty until it is needed
	rested    bool   // the file of commit was closed
}

type handle struct{ diskio.File }

// commitFile is the active file for those who make it durable.
type commitFile struct {
	diskio.File
	segment *Segment
}

// Sync makes the segment durable. One that was deleted meanwhile needs nothing.
func (f *commitFile) Sync() error { return f.segment.sync() }

func segmentName(base int64) string { return fmt.Sprintf("%020d", base) }

// parseName reads a file name of 20 digits and the given ending.
func parseName(name, suffix string) (offset int64, ok bool) {
	digits, found := strings.CutSuffix(name, suffix)
	if !found || len(digits) != 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	return int64(n), err == nil
}

func (l *Log) newSegment(base, size int64) *Segment {
	s := &Segment{log: l, base: base, path: filepath.Join(l.dir, segmentName(base)), first: unknownTime, covered: -1}
	s.refs.Store(1)
	s.size.Store(size)
	s.synced.Store(size)
	s.largest.Store(unknownTime)
	return s
}

// retain takes a reference, unless the segment is gone.
func (s *Segment) retain() bool {
	for {
		n := s.refs.Load()
		if n == 0 {
			return false
		}
		if n < 0 {
			runtime.Gosched() // it rests in a moment, and is not gone
			continue
		}
		if s.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release gives a reference back (any).
func (s *Segment) Release() {
	switch n := s.refs.Add(-1); {
	case n == 0:
		s.closeFile()
	case n < 0:
		panic(fmt.Sprintf("segment %s was released %d times too often", s.path, -n))
	}
}

// resting stands in refs while the file of a segment that nobody holds is taken away.
const resting = math.MinInt64 / 2

// rest closes the file of a sealed segment that nobody holds. Who reads it next opens it again.
func (s *Segment) rest() {
	if !s.guard.TryLock() {
		return // somebody syncs or seals it
	}
	defer s.guard.Unlock()
	if !s.sealed.Load() || !s.refs.CompareAndSwap(1, resting) {
		return
	}
	h := s.handle.Swap(nil)
	s.refs.Store(1)
	if h != nil {
		_ = h.Close() // it was synced before it was sealed
	}
	if f := s.commit.File; f != nil && !s.rested {
		s.rested = true
		if h == nil || f != h.File {
			_ = f.Close()
		}
	}
}

// writable reports whether the owner has the file open to write.
func (s *Segment) writable() bool { return s.commit.File != nil && !s.rested }

func (s *Segment) closeFile() {
	s.trail.Close()
	h := s.handle.Swap(nil)
	if h != nil {
		_ = h.Close() // Sync has told what was to be told
	}
	if f := s.commit.File; f != nil && (h == nil || f != h.File) {
		_ = f.Close()
	}
}

// file is the open file; the caller holds a reference (any).
func (s *Segment) file() (diskio.File, error) {
	if h := s.handle.Load(); h != nil {
		return h.File, nil
	}
	f, err := s.log.fs.Open(s.path+logSuffix, os.O_RDONLY)
	if h := s.handle.Load(); err != nil && h != nil {
		return h.File, nil // a cleaning has opened it meanwhile, and taken its name away
	}
	if errors.Is(err, os.ErrNotExist) && s.deleted.Load() {
		return nil, kerr.OffsetOutOfRange // retention has overtaken a reader
	}
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	if s.deleted.Load() && s.handle.Load() == nil { // meanwhile: the name may be another topic's by now
		_ = f.Close()
		return nil, kerr.OffsetOutOfRange
	}
	if s.handle.CompareAndSwap(nil, &handle{f}) {
		return f, nil
	}
	_ = f.Close()
	return s.handle.Load().File, nil
}

// activate opens the file for the owner to write.
func (s *Segment) activate(flag int) error {
	f, err := s.log.fs.Open(s.path+logSuffix, os.O_RDWR|flag)
	if err != nil {
		return fmt.Errorf("open active segment: %w", err)
	}
	// Readers of a segment that was sealed before go on with the file that they have.
	s.handle.CompareAndSwap(nil, &handle{f})
	s.commit, s.rested = commitFile{f, s}, false
	s.trail.Start(s.size.Load())
	s.created = s.log.o.Now()
	s.reserved = 0
	return nil
}

// sync makes the file durable (any).
func (s *Segment) sync() error {
	s.guard.Lock()
	defer s.guard.Unlock()
	return s.syncGuarded()
}

func (s *Segment) syncGuarded() error {
	before, size := s.synced.Load(), s.size.Load()
	if before >= size || s.deleted.Load() {
		return nil
	}
	if s.lost != nil {
		return s.lost
	}
	if !s.retain() {
		if s.deleted.Load() { // meanwhile: who is told of a closed file would owe its sync for ever
			return nil
		}
		return fmt.Errorf("sync segment %s: %w: %w", s.path, ErrClosed, os.ErrClosed)
	}
	defer s.Release()
	f, err := s.file()
	opened := err == nil
	if opened {
		err = f.Sync()
	}
	if err != nil {
		if s.deleted.Load() {
			return nil
		}
		err = fmt.Errorf("sync segment: %w: %w", ErrSync, err)
		if opened {
			s.lost = err
		}
		return err
	}
	s.synced.CompareAndSwap(before, size) // else something was cut off meanwhile, and is not known to be gone
	return nil
}

// unsettle says that the file is not known to be durable, whatever sync is under way: something
// is cut off it, which must not come back (any). It says so with another number each time, which
// no sync that had begun before can have seen.
func (s *Segment) unsettle() {
	s.synced.Store(-1 - s.cuts.Add(1))
}

// seal makes the file durable and writes the index files, which say so (any). Once the
// segment was made active again, what had been meant to seal it does nothing.
func (s *Segment) seal(ends int) error {
	s.guard.Lock()
	defer s.guard.Unlock()
	if s.sealed.Load() || s.deleted.Load() || s.ends != ends {
		return nil
	}
	if err := s.syncGuarded(); err != nil {
		return err
	}
	x := s.index.Load()
	if x == nil {
		return nil
	}
	s.log.names.Lock()
	defer s.log.names.Unlock()
	if s.deleted.Load() { // meanwhile: the folder may be another topic's by now
		return nil
	}
	err := s.writeIndexes(x)
	if err != nil && !s.deleted.Load() {
		// They are made again from the batches when they are needed. What was aborted stays where
		// it is: the snapshots may have left it out.
		s.log.logger.Warn("cannot write index", "segment", s.path, "error", errors.Join(err, s.dropVouching()))
		return nil
	}
	s.sealed.Store(true)
	return nil
}

// unseal says that the index files are not what they should be (any).
func (s *Segment) unseal() {
	s.guard.Lock()
	defer s.guard.Unlock()
	s.sealed.Store(false)
}

// writeIndexes writes the offset index last: it vouches for the others. The name of the index of
// aborted transactions has to be durable before one is there that vouches for it, and before
// a snapshot leaves its content out.
func (s *Segment) writeIndexes(x *indexes) error {
	txn, err := s.writeAborted()
	if err != nil {
		return err
	}
	if err := s.writeIndex(timeSuffix, encodeTimes(x.times.view())); err != nil {
		return err
	}
	return s.writeIndex(indexSuffix, append(encodeOffsets(x.offsets.view()), txn.encode()...))
}

func (s *Segment) writeIndex(suffix string, data []byte) error {
	f, err := s.log.fs.Open(s.path+suffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, 0); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// reopen takes away index files that will not be true any more. It syncs the folder: if
// they came back they would vouch for something else.
func (s *Segment) reopen() error {
	s.guard.Lock()
	defer s.guard.Unlock()
	s.sealed.Store(false)
	s.ends++
	return errors.Join(s.dropIndexes(), s.log.fs.SyncDir(s.log.dir))
}

func (s *Segment) dropIndexes() error {
	return errors.Join(s.dropVouching(), ignoreMissing(s.log.fs.Remove(s.path+txnSuffix)))
}

// dropVouching takes away the indexes that batches can be asked for at any time, and with them
// the word that the segment is durable.
func (s *Segment) dropVouching() error {
	return errors.Join(
		ignoreMissing(s.log.fs.Remove(s.path+indexSuffix)),
		ignoreMissing(s.log.fs.Remove(s.path+timeSuffix)))
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
