package commitlog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// Open opens the log in a folder, which it makes if need be. After an unclean stop it
// drops a torn tail, and fails with a *Damage when something is broken that was durable.
func Open(dir string, o Options, r Recovery) (*Log, error) {
	o = o.complete()
	if r.Log == nil {
		r.Log = slog.Default()
	}
	l := &Log{rewrite: r.Rewrite && !r.Clean, fs: o.FS, logger: r.Log.With("log", filepath.Base(dir)), dir: dir, o: o}
	l.publish(nil)
	l.cleaned.Store(-1)
	l.epochs.Store(new([]epoch))
	if err := l.open(r); err != nil {
		l.release()
		return nil, fmt.Errorf("open log %s: %w", dir, err)
	}
	return l, nil
}

func (l *Log) open(r Recovery) error {
	if err := l.fs.MkdirAll(l.dir); err != nil {
		return err
	}
	if !r.Clean {
		// The process may have died between making a folder or file and making it durable.
		for _, dir := range []string{filepath.Dir(l.dir), l.dir} {
			if err := l.fs.SyncDir(dir); err != nil { // alone: a want of descriptors is no fault of the disk
				return fmt.Errorf("%w: %w", ErrSync, err)
			}
		}
	}
	if err := l.endSwaps(); err != nil {
		return err
	}
	list, err := l.list(r.Clean)
	if err != nil {
		return err
	}
	start, err := readStart(l.fs, l.dir)
	if err != nil {
		return err
	}
	if l.savedStart = start; r.Rewrite && start > 0 {
		l.savedStart = -1
		if err := l.saveStart(start); err != nil {
			return err
		}
	}
	if err := l.claimTopic(r, len(list) == 0); err != nil {
		return err
	}
	known, err := l.readEpochs(r.Clean)
	if err != nil {
		return err
	}
	if list, err = l.dropBelow(list, start); err != nil {
		return err
	}
	l.doubtStart(list, start)
	if err := l.identify(list, r); err != nil {
		return err
	}
	if err := l.recover(list, known, r); err != nil {
		return err
	}
	if end := l.end.Load(); end < r.From {
		return &Damage{l.active.path + logSuffix, l.active.size.Load(), fmt.Errorf("the log ends at offset %d, and was durable up to %d: files of it are older ones, or missing; bring back the newest", end, r.From)}
	}
	return l.settle(start)
}

// list finds the segments in the folder, lowest first, and removes what a stop left behind.
// A clean one leaves no index without its segment behind the others.
func (l *Log) list(clean bool) ([]*Segment, error) {
	names, err := l.fs.ReadDir(l.dir)
	if err != nil {
		return nil, err
	}
	var list []*Segment
	for _, name := range names {
		base, ok := parseName(name, logSuffix)
		if !ok {
			continue
		}
		found, err := l.fs.Stat(filepath.Join(l.dir, name))
		if err != nil {
			return nil, err
		}
		s := l.newSegment(base, found.Size)
		s.sealed.Store(true)
		stem := strings.TrimSuffix(name, logSuffix)
		_, s.named = slices.BinarySearch(names, stem+txnSuffix)
		_, s.indexed = slices.BinarySearch(names, stem+indexSuffix)
		list = append(list, s)
	}
	for _, name := range names {
		base, index := parseName(name, indexSuffix)
		if clean && index && (len(list) == 0 || base > list[len(list)-1].base) {
			return nil, &Damage{filepath.Join(l.dir, segmentName(base)+logSuffix), 0, errors.New("the segment is missing, and its index is there: restore the file")}
		}
		if leftover(name, list) {
			if err := ignoreMissing(l.fs.Remove(filepath.Join(l.dir, name))); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// leftover says whether a file is of no use: half removed, half written, or the index of
// no segment. Files that are not ours stay.
func leftover(name string, list []*Segment) bool {
	stem, removed := strings.CutSuffix(name, deletedSuffix)
	if !removed {
		stem, removed = strings.CutSuffix(name, temporarySuffix)
	}
	if removed && (stem == epochFile || stem == startFile || stem == topicFile || stem == cleanedFile) || cleanedSegment(name) {
		return true
	}
	for _, suffix := range []string{logSuffix, indexSuffix, timeSuffix, txnSuffix, snapshotSuffix} {
		base, ok := parseName(stem, suffix)
		if !ok {
			continue
		}
		index := suffix == indexSuffix || suffix == timeSuffix || suffix == txnSuffix
		if removed || !index {
			return removed
		}
		_, there := slices.BinarySearchFunc(list, base, func(s *Segment, base int64) int { return cmp.Compare(s.base, base) })
		return !there
	}
	return false
}

// dropBelow removes segments that lie wholly below the start: a deletion that the stop
// interrupted. Below the start there may be gaps.
func (l *Log) dropBelow(list []*Segment, start int64) ([]*Segment, error) {
	for len(list) > 1 && list[1].base <= start {
		if err := l.removeFiles(list[0].path); err != nil {
			return nil, err
		}
		list = list[1:]
	}
	return list, nil
}

// doubtStart says what does not fit together. Nothing is refused for it: on a disk that was
// full retention could not save the start, and an old start only shows what was deleted.
func (l *Log) doubtStart(list []*Segment, start int64) {
	if len(list) > 0 && list[0].base > start {
		l.logger.Error("the first segments are missing: unless retention removed them from a full disk, records are lost; restore the files if there is a copy",
			"folder", l.dir, "from", start, "to", list[0].base-1)
	}
	if all := *l.epochs.Load(); len(all) > 0 && len(list) > 0 && all[0].start > max(start, list[0].base) && l.firstEpoch(list[0]) == all[0].epoch {
		l.logger.Warn("the log start offset is older than the leader epochs, or one of the two is damaged: records that were deleted may show again",
			"file", filepath.Join(l.dir, startFile), "start", start, "epochs", all[0].start)
	}
}

// firstEpoch is the leader epoch of the first batch of a segment, −1 when there is none.
func (l *Log) firstEpoch(s *Segment) int32 {
	defer s.closeFile()
	w, err := s.walk(s.size.Load())
	if err != nil {
		return -1
	}
	defer w.done()
	if w.load(0) != nil {
		return -1
	}
	return w.head.LeaderEpoch()
}

func (l *Log) removeFiles(path string) error {
	var errs []error
	for _, suffix := range []string{indexSuffix, timeSuffix, txnSuffix, logSuffix} {
		errs = append(errs, ignoreMissing(l.fs.Remove(path+suffix)))
	}
	return errors.Join(errs...)
}

// readEpochs reads the checkpoint and reports whether it could.
func (l *Log) readEpochs(clean bool) (known bool, err error) {
	name := filepath.Join(l.dir, epochFile)
	data, err := diskio.ReadFile(l.fs, name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read leader epochs: %w", err)
	}
	all, err := parseEpochs(string(data))
	if err != nil {
		l.logger.Warn("leader epochs cannot be read; they are made again from the batches", "file", name, "error", err)
		return false, nil
	}
	l.epochs.Store(&all)
	if clean {
		l.savedEpochs = &all
	}
	return true, nil
}

// identify looks whether the last segment is the one that was there when the log was closed, before
// anything of it is changed. No checksum in it says of which partition it is. Older points may lie
// before it: of those segments nothing is known, for a cleaning changes them.
func (l *Log) identify(list []*Segment, r Recovery) error {
	if !r.Lasts || len(list) == 0 || list[len(list)-1].base >= r.From {
		return nil
	}
	s := list[len(list)-1]
	last, ok, err := s.lastBefore(r.From)
	if err != nil || ok && last == r.Last {
		return err
	}
	if !ok { // it ends before From, or a batch there cannot be read: recover says which
		return nil
	}
	return &Damage{s.path + logSuffix, 0, fmt.Errorf("the batch that ends at offset %d has the checksum %08x, and at the last stop it was %08x: "+
		"these are the files of another partition, or of another time; bring back this log's own", r.From, last, r.Last)}
}

// lastBefore is the checksum of the batch that ends at offset, if there is one. It reads headers, and
// changes nothing.
func (s *Segment) lastBefore(offset int64) (sum uint32, ok bool, err error) {
	defer s.closeFile()
	w, err := s.walk(s.size.Load())
	if err != nil {
		return 0, false, err
	}
	defer w.done()
	at := int64(0)
	if tail, ok := s.indexTail(w.end); ok && s.base+int64(tail.last.relative) < offset && w.jump(tail.last) == nil {
		at = int64(tail.last.position)
	}
	for at < w.end && w.load(at) == nil && w.head.NextOffset() < offset {
		at = w.next()
	}
	if at >= w.end || w.load(at) != nil || w.head.NextOffset() != offset {
		return 0, false, nil
	}
	return w.head.CRC(), true, nil
}

// Last is the checksum of the last batch, if the last segment has one (any).
func (l *Log) Last() (sum uint32, ok bool) {
	head, ok := l.headAt(l.end.Load() - 1)
	return head.CRC(), ok
}

// recover finds where the log ends, and makes the last segment active.
// Epochs says that the leader epochs of sealed segments are known.
func (l *Log) recover(list []*Segment, epochs bool, r Recovery) error {
	for i := 0; i < len(list)-1; i++ {
		s, next := list[i], list[i+1].base
		from := int64(math.MaxInt64) // headers only
		if !r.Clean {
			switch {
			case r.From >= 0 && r.From < next:
				from = r.From
			case !l.endsAt(s, next):
				from = -1
			}
		}
		// What was aborted in one that never got its index is in the snapshot only, which leaves
		// out what nobody tells the log of.
		if from == math.MaxInt64 && epochs && s.indexed {
			continue
		}
		cut, err := l.checkSealed(s, next, from, i == len(list)-2, r)
		if err != nil {
			return err
		}
		if cut {
			if err := l.dropSegments(list[i+1:]); err != nil {
				return err
			}
			list = list[:i+1]
		}
	}
	if len(list) == 0 {
		return l.begin(l.savedStart)
	}
	s := list[len(list)-1]
	if err := s.activate(0); err != nil {
		return err
	}
	l.active = s
	l.publish(list)
	if !r.Clean || !epochs || !l.resume(s) {
		if err := l.recoverTail(s, r); err != nil {
			return err
		}
	}
	s.covered = s.size.Load() // a clean stop, or recoverTail, has made it durable
	return nil
}

// begin makes the first segment of an empty log.
func (l *Log) begin(offset int64) error {
	s, err := l.create(offset)
	if err != nil {
		return err
	}
	l.active = s
	l.publish([]*Segment{s})
	l.end.Store(offset)
	return nil
}

// endsAt reports whether the indexes of a sealed segment are complete and its last batch
// ends where the next segment begins. It reads two places only.
func (l *Log) endsAt(s *Segment, next int64) bool {
	defer s.closeFile()
	w, err := s.walk(s.size.Load())
	if err != nil {
		return false
	}
	defer w.done()
	tail, ok := s.indexTail(s.size.Load())
	return ok && w.jump(tail.last) == nil && w.next() == w.end && w.head.NextOffset() == next
}

// indexTail is the end of an .index file.
type indexTail struct {
	last offsetEntry
	txn  txnSeal
}

// indexTail reads the end of the index file of a segment that had size bytes (any).
func (s *Segment) indexTail(size int64) (tail indexTail, ok bool) {
	f, err := s.log.fs.Open(s.path+indexSuffix, os.O_RDONLY)
	if err != nil {
		return tail, false
	}
	defer f.Close() //nolint:errcheck // it was only read
	bytes, err := f.Size()
	if err != nil || bytes < offsetEntrySize {
		return tail, false
	}
	data := make([]byte, offsetEntrySize+bytes%offsetEntrySize)
	if _, err := f.ReadAt(data, bytes-int64(len(data))); err != nil {
		return tail, false
	}
	data, tail.txn = splitIndex(data)
	entries, err := decodeOffsets(data, size)
	if err != nil {
		return tail, false
	}
	tail.last = entries[0]
	return tail, true
}

// checkSealed checks every batch of a sealed segment from the recovery point on. Where the
// segment was durable damage is an error: with SyncOnRoll that is all of them but the last
// sealed one, and else those whose index says so. Where it was not, damage is where the log
// was torn: cut reports that the segment now ends there. A clean stop has made all durable.
func (l *Log) checkSealed(s *Segment, next, from int64, last bool, r Recovery) (cut bool, err error) {
	defer s.closeFile()
	vouched := l.vouched(s)
	found, err := l.scan(s, from)
	if err != nil {
		return false, err
	}
	if found.damage == nil && found.next != next {
		found.damage = &Damage{s.path + logSuffix, found.size, fmt.Errorf("the batches end at offset %d, the next segment begins at %d", found.next, next)}
	}
	if found.damage == nil {
		found.indexer.finish()
		s.index.Store(found.indexer.indexes)
		s.largest.Store(found.indexer.time.timestamp)
		s.sealed.Store(false)
		s.synced.Store(-1)
		if l.rewrite {
			if err := l.rewriteSealed(s); err != nil {
				return false, err
			}
		}
		noted, doubt := s.noted()
		if s.gather(found, noted, doubt); s.gathering {
			return false, s.sync() // Recovered seals it, when it is known what was aborted
		}
		return false, s.seal(s.ends)
	}
	switch {
	case vouched || r.Clean || found.next < r.From:
		return false, found.damage
	case l.o.SyncOnRoll && !last:
		return false, &Damage{found.damage.File, found.damage.Position, fmt.Errorf("%w; %s", found.damage.Err, otherMode)}
	}
	return true, l.cutTail(s, found)
}

// otherMode is what to do about a segment that was durable, if it was written in a mode that syncs
// it, and that nothing else vouches for. In what mode it was written stands nowhere.
const otherMode = "it has no index that says it was durable: if the power failed while this log was written with log.flush.mode=os without log.flush.interval.ms and log.flush.interval.messages " +
	"(flush.mode, flush.ms and flush.messages of its topic), start once that way, which drops what is torn and all behind it; if it was written in any other way, restore the file"

// vouched reports whether s was durable once: its index file is begun after that. It is
// taken away before more is appended, or else what was appended is synced at the roll.
func (l *Log) vouched(s *Segment) bool {
	_, err := l.fs.Stat(s.path + indexSuffix)
	return err == nil
}

// dropSegments removes what lies behind a torn segment, last first.
func (l *Log) dropSegments(list []*Segment) error {
	for _, s := range slices.Backward(list) {
		l.logger.Warn("dropped a segment behind a torn one", "file", s.path+logSuffix, "bytes", s.size.Load())
		if err := errors.Join(l.removeFiles(s.path), l.fs.SyncDir(l.dir)); err != nil {
			return err
		}
	}
	return nil
}

// resume continues an active segment that Close has left: its index says where it ends.
func (l *Log) resume(s *Segment) bool {
	w, err := s.walk(s.size.Load())
	if err != nil {
		return false
	}
	defer w.done()
	x, err := s.readIndexes(w)
	if err != nil {
		return false
	}
	i := indexer{indexes: x, base: s.base, interval: l.o.IndexInterval, time: timeEntry{timestamp: -1}}
	if times := x.times.view(); len(times) > 0 {
		i.time = times[len(times)-1]
	}
	if offsets := x.offsets.view(); len(offsets) > 0 {
		i.last, i.some = offsets[len(offsets)-1], true
		l.end.Store(w.head.NextOffset()) // readIndexes has loaded the last batch
		l.assign(w.head.LeaderEpoch(), w.head.BaseOffset())
	} else {
		l.end.Store(s.base)
	}
	if !x.txn.there && !s.named {
		s.setAborted(nil) // as most logs, which so are opened without another look at their files
	} else if _, err := s.abortedIndex(false); err != nil {
		return false
	}
	s.useIndexer(i)
	s.largest.Store(i.time.timestamp)
	s.resumed = true
	return true
}

// recoverTail checks the last segment and drops what is torn.
func (l *Log) recoverTail(s *Segment, r Recovery) error {
	// The checkpoint is as old as the segment. What it says about offsets in it may be of
	// batches that were undone.
	l.cutEpochs(0, s.base)
	found, err := l.scan(s, r.From)
	if err != nil {
		return err
	}
	// An index file is begun when the data is durable. That its last entry lies behind what
	// can be read, both in offset and in position, no flipped bit of its own can make.
	tail, ok := s.indexTail(math.MaxInt64)
	if last := tail.last; ok && s.base+int64(last.relative) >= found.next && int64(last.position) >= found.size {
		reason := fmt.Errorf("the index knows a batch that ends at offset %d, so that it was durable: restore the file", s.base+int64(last.relative))
		if found.damage != nil {
			reason = fmt.Errorf("%w; %w", found.damage.Err, reason)
		}
		return &Damage{s.path + logSuffix, found.size, reason}
	}
	noted, doubt := s.noted() // before its files go
	if err := l.cutTail(s, found); err != nil {
		return err
	}
	s.useIndexer(found.indexer)
	s.gather(found, noted, doubt)
	s.largest.Store(found.indexer.time.timestamp)
	l.end.Store(found.next)
	return nil
}

// noted is what the files of a segment, which may be older than its batches, say that it has aborted.
func (s *Segment) noted() ([]batch.Aborted, error) {
	tail, _ := s.indexTail(math.MaxInt64)
	return s.readAborted(tail.txn)
}

// gather has Recover tell what was aborted in a segment that was scanned, if anything can
// have been. What was noted may be old, but is true if its markers are there: a cleaning that was
// interrupted may have taken them away, and a reader would wait for them.
func (s *Segment) gather(found scanned, noted []batch.Aborted, doubt error) {
	if s.gathering = found.control; !found.control {
		s.setAborted(nil)
		return
	}
	// What it has not, batches and snapshot tell. When the two files do not agree, a snapshot may have
	// left to it what it had.
	noted = slices.DeleteFunc(noted, func(a batch.Aborted) bool { return a.Last >= found.next })
	for i := 0; i < len(noted) && doubt == nil; i++ {
		doubt = s.confirm(noted[i])
	}
	if s.doubted = doubt != nil; s.doubted {
		noted = nil
	}
	s.setAborted(noted)
}

// cutTail ends a segment where a scan found it torn, and makes what is left durable: the
// process may have died with a live page cache, and readers will see it.
func (l *Log) cutTail(s *Segment, found scanned) error {
	s.sealed.Store(false)
	s.synced.Store(-1)
	if found.damage != nil {
		l.logger.Warn("dropped a torn tail", "file", s.path+logSuffix, "position", found.size,
			"bytes", s.size.Load()-found.size, "offset", found.next, "reason", found.damage.Err)
	}
	s.size.Store(found.size)
	if !s.writable() {
		if err := s.activate(0); err != nil {
			return err
		}
	}
	// Even if the size is right: this frees what was reserved behind it.
	if err := s.commit.Truncate(found.size); err != nil {
		return fmt.Errorf("drop torn tail: %w", err)
	}
	if err := s.reopen(); err != nil {
		return fmt.Errorf("drop torn tail: %w", err)
	}
	if l.rewrite {
		if err := writeAgain(s.commit.File, found.size); err != nil {
			return err
		}
	}
	return s.sync()
}

// writeAgain writes the first size bytes of a file once more as they are, so that the kernel
// knows again that they have to go to the disk.
func writeAgain(f diskio.File, size int64) error {
	buf := make([]byte, min(size, readAhead))
	for at := int64(0); at < size; at += int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), size-at)]
		if _, err := f.ReadAt(buf, at); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("write %s again: %w", f.Name(), err)
		}
		if _, err := f.WriteAt(buf, at); err != nil {
			return fmt.Errorf("write %s again: %w", f.Name(), err)
		}
	}
	return nil
}

// rewriteSealed is writeAgain for a segment that nobody appends to.
func (l *Log) rewriteSealed(s *Segment) error {
	f, err := l.fs.Open(s.path+logSuffix, os.O_RDWR)
	if err != nil {
		return fmt.Errorf("write segment again: %w", err)
	}
	return errors.Join(writeAgain(f, s.size.Load()), f.Close())
}

// settle brings start, sizes, epochs and snapshots in line with where the log ends.
func (l *Log) settle(start int64) error {
	list := *l.segments.Load()
	if start > l.end.Load() {
		// What was below the start is lost, and would not be shown anyway.
		l.logger.Warn("the log ends below its start; it goes on at its start", "end", l.end.Load(), "start", start)
		if err := l.dropSegments(list); err != nil {
			return err
		}
		l.release()
		if err := l.begin(start); err != nil {
			return err
		}
		list = *l.segments.Load()
	}
	l.start.Store(max(start, list[0].base))
	size := int64(0)
	for _, s := range list {
		size += s.size.Load()
	}
	l.size.Store(size)
	l.cutEpochs(l.start.Load(), l.end.Load())
	return l.dropSnapshots(l.end.Load())
}
