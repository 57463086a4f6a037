package commitlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/diskio"
)

// doomed are files that were renamed and will be removed.
type doomed struct {
	path string // of the segment
	gone atomic.Bool
}

// Retain removes what retention does not keep, and what lies wholly below the start, but
// never a record at or above the high watermark. It returns how many segments went. The
// active segment goes too when it is too old; a new one begins. Of the log's bytes so many
// may be gone after a power cut: what is removed must not be made up for by them.
func (l *Log) Retain(now time.Time, highWatermark, unsynced int64) (removed int, err error) {
	return l.shrink(now, func(list []*Segment) (int, error) { return l.deletable(list, now, highWatermark, unsynced) })
}

// Trim removes only what lies wholly below the start, as Retain does it.
func (l *Log) Trim(now time.Time, highWatermark int64) (removed int, err error) {
	return l.shrink(now, func(list []*Segment) (int, error) {
		limit := min(highWatermark, l.start.Load())
		n := 0
		for n < len(list) && l.endOf(list, n) <= limit && (n+1 < len(list) || list[n].size.Load() > 0) {
			n++
		}
		return n, nil
	})
}

// shrink removes as many of the oldest segments as choose says.
func (l *Log) shrink(now time.Time, choose func(list []*Segment) (int, error)) (removed int, err error) {
	if err := l.ready(); err != nil {
		return 0, err
	}
	if l.startDue {
		err := l.saveStart(l.start.Load())
		if l.startDue = err != nil; l.startDue && !diskio.Full(err) { // else what follows frees some space
			return 0, err
		}
	}
	l.doomed = slices.DeleteFunc(l.doomed, func(d *doomed) bool { return d.gone.Load() })
	list := *l.segments.Load()
	n, err := choose(list)
	if err != nil {
		return 0, err
	}
	if n == len(list) {
		err := l.Roll(now)
		stays := diskio.Full(err) && !errors.Is(err, ErrSync)
		switch {
		case stays:
			n--
			if !l.rollDue {
				l.logger.Warn("retention would remove the active segment; it stays until there is space for its successor", "folder", l.dir, "error", err)
			}
		case err != nil:
			return 0, err
		}
		l.rollDue = stays
		list = *l.segments.Load()
	}
	l.forgetIndexes(list)
	if n == 0 {
		return 0, nil
	}
	return n, l.remove(list, n)
}

// deletable counts the oldest segments that go.
func (l *Log) deletable(list []*Segment, now time.Time, highWatermark, unsynced int64) (int, error) {
	excess := int64(-1)
	if l.o.RetentionBytes >= 0 {
		excess = l.size.Load() - unsynced - l.o.RetentionBytes
	}
	for i, s := range list {
		next, size := l.endOf(list, i), s.size.Load()
		if next > highWatermark || i+1 == len(list) && size == 0 {
			return i, nil
		}
		expired := false
		if l.o.RetentionAge >= 0 {
			largest, err := s.largestTime()
			if err != nil {
				return i, err
			}
			expired = now.Sub(largest) > l.o.RetentionAge
		}
		if next > l.start.Load() && excess < size && !expired {
			return i, nil
		}
		excess -= size
	}
	return len(list), nil
}

// endOf is the offset behind segment i.
func (l *Log) endOf(list []*Segment, i int) int64 {
	if i+1 < len(list) {
		return list[i+1].base
	}
	return l.end.Load()
}

// largestTime is the largest timestamp of s, or when its file was last written to if its
// batches have none.
func (s *Segment) largestTime() (time.Time, error) {
	largest, err := s.largestTimestamp()
	if err != nil {
		return time.Time{}, err
	}
	if largest >= 0 {
		return time.UnixMilli(largest), nil
	}
	found, err := s.log.fs.Stat(s.path + logSuffix)
	if errors.Is(err, os.ErrNotExist) && s.deleted.Load() {
		return time.Time{}, kerr.OffsetOutOfRange // retention has overtaken the cleaner
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("look at segment: %w", err)
	}
	return found.ModTime, nil
}

// largestTimestamp is the largest timestamp of s in milliseconds, −1 when there is none.
// The caller holds a reference (any).
func (s *Segment) largestTimestamp() (int64, error) {
	if t := s.largest.Load(); t != unknownTime {
		return t, nil
	}
	w, err := s.walk(s.size.Load())
	if err != nil {
		return 0, err
	}
	defer w.done()
	x, err := s.load(w)
	if err != nil {
		return 0, err
	}
	largest := int64(-1)
	if times := x.times.view(); len(times) > 0 {
		largest = times[len(times)-1].timestamp
	}
	s.largest.CompareAndSwap(unknownTime, largest)
	return largest, nil
}

// forgetIndexes gives back the memory of indexes that nobody used since the last time.
func (l *Log) forgetIndexes(list []*Segment) {
	for _, s := range list[:len(list)-1] {
		if !s.used.Swap(false) && s.guard.TryLock() {
			if s.sealed.Load() {
				s.index.Store(nil)
				s.indexer = indexer{} // it had the same, from when the segment was active
			}
			s.guard.Unlock()
		}
	}
}

// Rest closes the files of sealed segments that nobody reads, for there may be more of them than the process may
// have open. What a commit is under way for, or a swap was not ended of, keeps its own. What of them is in the page
// cache is left to the system to drop.
func (l *Log) Rest() {
	list := *l.segments.Load()
	if len(list) == 0 || l.swap != nil || l.failed() != nil {
		return
	}
	busy := l.behind()
	for _, s := range list[:len(list)-1] {
		if s != busy && s != l.pledged[0].segment && s != l.pledged[1].segment {
			s.rest()
		}
	}
}

// remove takes the n oldest segments away. The new start is durable before, so that what
// was deleted never comes back, and no gap can be taken for damage.
func (l *Log) remove(list []*Segment, n int) error {
	start := max(l.start.Load(), list[n].base)
	err := l.saveStart(start)
	full := diskio.Full(err)
	if err != nil && !full {
		return err
	}
	gone, rest := list[:n], slices.Clone(list[n:])
	l.start.Store(start)
	l.publish(rest)
	l.cutEpochs(start, l.end.Load())
	var errs []error
	for _, s := range gone {
		s.deleted.Store(true)
		l.size.Add(-s.size.Load())
		errs = append(errs, l.doom(s.path))
		if full {
			// There was no space to say so first: then one after the other.
			errs = append(errs, l.fs.SyncDir(l.dir))
		}
		s.Release()
	}
	err = errors.Join(errs...)
	l.startDue = full
	return err
}

// doom renames the files of a segment and has them removed later.
func (l *Log) doom(path string) error {
	// The log goes first: an index without one is removed when the log is opened.
	for _, suffix := range []string{logSuffix, timeSuffix, indexSuffix, txnSuffix} {
		err := diskio.WithRoom(l.fs, diskio.Full, func() error { return l.fs.Rename(path+suffix, path+suffix+deletedSuffix) })
		if ignoreMissing(err) != nil {
			return fmt.Errorf("delete segment: %w", err)
		}
	}
	d := &doomed{path: path}
	l.doomed = append(l.doomed, d)
	l.o.Later(l.o.DeleteDelay, func() { l.removeOne(d) })
	return nil
}

// removeOne removes the renamed files; a second time it finds nothing (any).
func (l *Log) removeOne(d *doomed) {
	for _, suffix := range []string{logSuffix, timeSuffix, indexSuffix, txnSuffix} {
		if err := ignoreMissing(l.fs.Remove(d.path + suffix + deletedSuffix)); err != nil {
			l.logger.Warn("cannot remove what was deleted; the next start tries again", "error", err)
			return
		}
	}
	d.gone.Store(true)
}

func (l *Log) removeDoomed() {
	for _, d := range l.doomed {
		if !d.gone.Load() {
			l.removeOne(d)
		}
	}
	l.doomed = nil
}

// SetStart moves the log start offset up to offset, durably: what lies below is not read
// any more, and goes with the next Retain. A lower offset changes nothing.
func (l *Log) SetStart(offset int64) error {
	if err := l.ready(); err != nil {
		return err
	}
	if offset > l.end.Load() {
		return fmt.Errorf("move log start to %d: the log ends at %d", offset, l.end.Load())
	}
	if offset <= l.start.Load() {
		return nil
	}
	if err := l.saveStart(offset); err != nil {
		return err
	}
	l.start.Store(offset)
	l.cutEpochs(offset, l.end.Load())
	return nil
}

// Delete closes the log and gives its folder a name that no partition has. The folder is
// removed after DeleteDelay; what a stop leaves of it is known by its name (IsDeleted).
func (l *Log) Delete() error {
	if l.active == nil {
		return ErrClosed
	}
	l.gone.Store(true)
	for _, s := range *l.segments.Load() {
		s.deleted.Store(true)
	}
	l.release()
	above, name := filepath.Split(l.dir)
	var to string
	for i := 0; ; i++ {
		suffix := fmt.Sprintf(".%032x%s", i, DeletedSuffix)
		to = filepath.Join(above, name[:min(len(name), MaxName-len(suffix))]+suffix)
		if _, err := l.fs.Stat(to); err != nil {
			break
		}
	}
	l.names.Lock() // waits for a seal that is under way: up to three files and the folder are synced
	err := l.fs.Rename(l.dir, to)
	l.names.Unlock()
	if err != nil {
		return fmt.Errorf("delete log: %w", err)
	}
	if err := l.fs.SyncDir(above); err != nil {
		return fmt.Errorf("delete log: %w", err)
	}
	l.o.Later(l.o.DeleteDelay, func() {
		if err := l.fs.RemoveAll(to); err != nil {
			l.logger.Warn("cannot remove a deleted log; the next start tries again", "error", err)
		}
	})
	return nil
}

// DeletedSuffix ends the name of the folder of a deleted log, as in Kafka. No partition's
// does: that ends with a number.
const DeletedSuffix = "-delete"

// MaxName is how long the name of a file or folder may be, in bytes. Who gives a folder another one cuts
// what stands before the ending: topics may have names that leave no room for it.
const MaxName = 255

// IsDeleted reports whether a folder is what remains of a deleted log: a name, 32 hexadecimal
// digits and DeletedSuffix.
func IsDeleted(name string) bool {
	rest, ok := strings.CutSuffix(name, DeletedSuffix)
	if !ok || len(rest) < 34 || rest[len(rest)-33] != '.' {
		return false
	}
	return strings.Trim(rest[len(rest)-32:], "0123456789abcdef") == ""
}
