package commitlog

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/millrace/millrace/diskio"
)

// Endings of a segment that a cleaning makes: while it is written, and once it counts, until
// those are gone whose place it takes.
const (
	cleanedSuffix = ".cleaned"
	swapSuffix    = ".swap"
)

// replace puts n, whose file is durable, in the place of a group of segments that follow
// each other. From the first rename on the swap is done, whatever happens: Open ends it.
func (l *Log) replace(group []*Segment, n *Segment) error {
	if err := l.ready(); err != nil {
		return err
	}
	list := *l.segments.Load()
	at := slices.Index(list, group[0])
	if at < 0 || at+len(group) >= len(list) || !slices.Equal(list[at:at+len(group)], group) {
		return errReplaced
	}
	name := n.path + logSuffix
	if err := l.fs.Rename(name+cleanedSuffix, name+swapSuffix); err != nil {
		return fmt.Errorf("swap segments: %w", err)
	}
	n.retain() // the log's own; it was written under another
	for _, s := range group {
		s.deleted.Store(true)
		l.size.Add(-s.size.Load())
	}
	l.size.Add(n.size.Load())
	l.publish(slices.Concat(list[:at:at], []*Segment{n}, list[at+len(group):]))
	l.swap = &swap{group: group, n: n, named: group[1:]}
	return l.finishSwap()
}

// swap is one that counts and whose files are not what they should be yet.
type swap struct {
	group []*Segment
	n     *Segment
	named []*Segment // of the group, whose files still have their names; the first's goes to n
}

// finishSwap brings the files in line with the swap that was begun, if there is one. Where a full
// disk has no room for a name, or no descriptor is left, the next change of the log tries again; after any other error the
// files are of neither, and the next Open ends it.
func (l *Log) finishSwap() error {
	if l.swap == nil {
		return nil
	}
	err := diskio.WithRoom(l.fs, full, func() error { return l.endSwap(l.swap, l.swap.n.path+logSuffix) })
	if err != nil {
		err = fmt.Errorf("swap segments: %w", err)
		if !full(err) {
			l.fail(err)
		}
		return err
	}
	for _, s := range l.swap.group {
		s.Release()
	}
	l.swap = nil
	return nil
}

// full reports whether err says that there is no space, or no descriptor, and no more than that: a sync that
// failed for want of space has lost what it should have kept, and one that got no descriptor was not begun.
func full(err error) bool { return diskio.Lacking(err) || diskio.Full(err) && !errors.Is(err, ErrSync) }

// endSwap takes away what was replaced. The new segment has the name of the first, which
// goes by the last rename. What was done before an error may be done again, but that nothing is
// doomed twice.
func (l *Log) endSwap(w *swap, name string) error {
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("%w: %w", ErrSync, err)
	}
	for len(w.named) > 0 {
		if err := l.doom(w.named[0].path); err != nil {
			return err
		}
		w.named = w.named[1:]
	}
	// The old must be gone for good: one that came back would lie behind a longer one.
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("%w: %w", ErrSync, err)
	}
	if err := l.fs.Rename(name+swapSuffix, name); err != nil {
		return err
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("%w: %w", ErrSync, err)
	}
	return nil
}

// endSwaps ends what a stop has interrupted, before anybody looks at the segments.
func (l *Log) endSwaps() error {
	names, err := l.fs.ReadDir(l.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if base, ok := parseName(name, logSuffix+swapSuffix); ok {
			if err := l.endSwapOf(names, base); err != nil {
				return err
			}
		}
	}
	return nil
}

// endSwapOf removes the segments in whose place the one at base comes, and gives it its name.
func (l *Log) endSwapOf(names []string, base int64) error {
	path := filepath.Join(l.dir, segmentName(base))
	end, x, control, err := readSwap(l.fs, path+logSuffix+swapSuffix, base, l.o.IndexInterval)
	if err != nil {
		return err
	}
	if !slices.Contains(names, segmentName(end)+logSuffix) { // a segment that was cleaned is never the last
		return &Damage{path + logSuffix + swapSuffix, -1, fmt.Errorf("it ends at offset %d, where no segment begins: restore the file", end)}
	}
	for _, name := range names {
		if old, ok := parseName(name, logSuffix); ok && old > base && old < end {
			if err := l.removeFiles(filepath.Join(l.dir, segmentName(old))); err != nil {
				return err
			}
		}
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("%w: %w", ErrSync, err)
	}
	if err := l.fs.Rename(path+logSuffix+swapSuffix, path+logSuffix); err != nil {
		return err
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("%w: %w", ErrSync, err)
	}
	// The index of the segment that was replaced has vouched up to here that there is nothing
	// torn in it; so does this one.
	s := l.newSegment(base, 0)
	if !control {
		s.setAborted(nil)
	}
	if err := s.writeIndexes(x); err != nil {
		l.logger.Warn("cannot write index", "segment", path, "error", err)
	}
	l.logger.Info("ended a swap of cleaned segments", "segment", path, "end", end)
	return nil
}

// readSwap checks all of a segment that is to come in the place of others. It tells whether markers
// of transactions are in it.
func readSwap(fs diskio.FS, name string, base int64, interval int) (end int64, x *indexes, control bool, err error) {
	w, err := openForWalk(fs, name, base)
	if err != nil {
		return 0, nil, false, err
	}
	defer w.file.Close() //nolint:errcheck // it was only read
	body, i := reader{file: w.file, end: w.end}, newIndexer(base, interval)
	end = base
	epoch := int32(-1)
	for at := int64(0); at < w.end; at = w.next() {
		err := w.load(at)
		if err == nil && w.head.BaseOffset() != end {
			err = w.damage(fmt.Errorf("%w: it is %d, where %d was due", errOrder, w.head.BaseOffset(), end))
		}
		if err == nil && w.head.LeaderEpoch() < epoch {
			err = w.damage(errEpoch)
		}
		if err == nil {
			err = body.check(w)
		}
		if err != nil {
			return 0, nil, false, err
		}
		control = control || w.head.Control()
		epoch = w.head.LeaderEpoch()
		i.add(w.head, at)
		end = w.head.NextOffset()
	}
	i.finish()
	if end == base {
		return 0, nil, false, &Damage{name, 0, errors.New("it is empty: restore the file")}
	}
	return end, i.indexes, control, nil
}

// cleanedSegment reports whether a file is a cleaned segment that nobody has finished.
func cleanedSegment(name string) bool {
	_, ok := parseName(name, logSuffix+cleanedSuffix)
	return ok
}
