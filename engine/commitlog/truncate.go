package commitlog

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Truncate drops the batches that reach offset or lie behind it, and makes that durable.
// Nobody may be reading them: they are above the high watermark. When offset lies below
// the first segment the log becomes empty and goes on at offset.
func (l *Log) Truncate(offset int64) error {
	if err := l.ready(); err != nil {
		return err
	}
	if offset >= l.end.Load() {
		return nil
	}
	if err := l.truncate(offset); err != nil {
		err = fmt.Errorf("truncate log: %w", err)
		l.fail(err) // what is on disk and what readers see may differ
		return err
	}
	return nil
}

func (l *Log) truncate(offset int64) error {
	list := slices.Clone(*l.segments.Load())
	if offset < list[0].base {
		return l.restart(offset, list)
	}
	for len(list) > 1 && list[len(list)-1].base >= offset {
		if err := l.dropLast(&list); err != nil {
			return err
		}
	}
	s := list[len(list)-1]
	at, err := s.positionOf(offset)
	if err == nil {
		err = l.cutSegment(s, at)
	}
	if err != nil {
		return err
	}
	if l.active = s; l.lagging == s {
		l.lagging = nil // it is active again, and cutSegment has synced it
	}
	l.start.Store(min(l.start.Load(), l.end.Load()))
	l.cutEpochs(l.start.Load(), l.end.Load())
	return l.dropSnapshots(l.end.Load())
}

// dropLast removes the last segment for good: one that came back after a crash would
// follow a gap.
func (l *Log) dropLast(list *[]*Segment) error {
	s := (*list)[len(*list)-1]
	rest := slices.Clone((*list)[:len(*list)-1])
	if err := l.forget(s); err != nil {
		return err
	}
	l.end.Store(s.base)
	l.size.Add(-s.size.Load())
	s.deleted.Store(true)
	l.publish(rest)
	*list = rest
	if len(rest) > 0 {
		if l.active = rest[len(rest)-1]; !l.active.writable() {
			if err := l.active.activate(0); err != nil {
				return err
			}
		}
	}
	err := errors.Join(l.removeFiles(s.path), l.fs.SyncDir(l.dir))
	s.Release()
	return err
}

// positionOf is where the batch begins that contains offset, or the end of the segment.
func (s *Segment) positionOf(offset int64) (int64, error) {
	w, err := s.walk(s.size.Load())
	if err != nil {
		return 0, err
	}
	defer w.done()
	found, err := w.find(nil, offset)
	if err != nil || !found {
		return w.end, err
	}
	return w.at, nil
}

// cutSegment ends a segment at a position, makes it active and indexes it again.
func (l *Log) cutSegment(s *Segment, at int64) error {
	if err := l.forget(s); err != nil {
		return err
	}
	if _, err := s.abortedIndex(false); err != nil {
		return err
	}
	l.size.Add(at - s.size.Load())
	s.size.Store(at)
	s.unsettle()
	if !s.writable() {
		if err := s.activate(0); err != nil {
			return err
		}
	}
	if err := l.reindex(s); err != nil {
		return err
	}
	s.cutAborted(l.end.Load())
	if err := s.reopen(); err != nil {
		return err
	}
	if err := s.commit.Truncate(at); err != nil {
		return err
	}
	s.lives.Add(1)
	if err := s.sync(); err != nil {
		return err
	}
	s.covered = at
	return nil
}

// reindex makes the indexes of the active segment again from its batches.
func (l *Log) reindex(s *Segment) error {
	found, err := l.scan(s, math.MaxInt64)
	if err != nil {
		return err
	}
	if found.damage != nil {
		return found.damage
	}
	s.useIndexer(found.indexer)
	s.largest.Store(found.indexer.time.timestamp)
	l.end.Store(found.next)
	return nil
}

// restart makes the log empty, to go on at offset.
func (l *Log) restart(offset int64, list []*Segment) error {
	l.start.Store(offset)
	for len(list) > 0 {
		if err := l.dropLast(&list); err != nil {
			return err
		}
	}
	l.active, l.lagging = nil, nil
	l.savedStart = -1
	if err := l.saveStart(offset); err != nil {
		return err
	}
	if err := l.begin(offset); err != nil {
		return err
	}
	l.cutEpochs(offset, offset)
	return l.dropSnapshots(offset)
}
