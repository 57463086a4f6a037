package commitlog

import (
	"errors"
	"fmt"
	"sort"

	"github.com/millrace/millrace/sdk/batch"
)

// OffsetForTime finds the first record below limit whose timestamp is at or after ts:
// its offset, timestamp and leader epoch, or −1, −1, −1 (any). It reads from the disk and
// may decompress a batch, for which m lends the memory (nil: whatever it takes).
func (l *Log) OffsetForTime(ts, limit int64, m batch.Memory) (offset, timestamp int64, epoch int32, err error) {
	limit = min(limit, l.end.Load())
	for at := l.start.Load(); at < limit; {
		s, next := l.acquire(at)
		if s == nil {
			return -1, -1, -1, l.missing()
		}
		found, err := s.firstSince(ts, at, limit, m)
		s.Release()
		if err != nil || found.offset >= 0 {
			return found.offset, found.timestamp, found.epoch, err
		}
		at = next
	}
	return -1, -1, -1, nil
}

// MaxTimestamp finds the first of the records below limit that have the largest
// timestamp of all: its offset, timestamp and leader epoch, or −1, −1, −1 (any). It takes
// what OffsetForTime does.
func (l *Log) MaxTimestamp(limit int64, m batch.Memory) (offset, timestamp int64, epoch int32, err error) {
	limit = min(limit, l.end.Load())
	best := noRecord
	for at := l.start.Load(); at < limit; {
		s, next := l.acquire(at)
		if s == nil {
			return -1, -1, -1, l.missing()
		}
		found, err := s.latest(best.timestamp, at, limit, m)
		s.Release()
		if err != nil {
			return -1, -1, -1, err
		}
		if found.offset >= 0 {
			best = found
		}
		at = next
	}
	return best.offset, best.timestamp, best.epoch, nil
}

// place is a record that was looked for.
type place struct {
	offset, timestamp int64
	epoch             int32
}

var noRecord = place{-1, -1, -1}

// firstSince is OffsetForTime within one segment, from the offset start on.
func (s *Segment) firstSince(ts, start, limit int64, m batch.Memory) (place, error) {
	if largest, err := s.largestTimestamp(); err != nil || largest < ts {
		return noRecord, err
	}
	w, err := s.walk(s.size.Load())
	if err != nil {
		return noRecord, err
	}
	defer w.done()
	w.memory = m
	at, err := s.before(w, start, func(e timeEntry) bool { return e.timestamp > ts })
	if err != nil {
		return noRecord, err
	}
	for next := start; at < w.end && next < limit; at, next = w.next(), w.head.NextOffset() {
		if err := w.load(at); err != nil {
			return noRecord, err
		}
		if w.head.MaxTimestamp() < ts || w.head.LastOffset() < start {
			continue
		}
		found, err := w.firstRecord(ts, start, limit)
		if err != nil || found.offset >= 0 {
			return found, err
		}
	}
	return noRecord, nil
}

// latest is MaxTimestamp within one segment, if there is something larger than best.
func (s *Segment) latest(best, start, limit int64, m batch.Memory) (place, error) {
	if largest, err := s.largestTimestamp(); err != nil || largest <= best {
		return noRecord, err
	}
	w, err := s.walk(s.size.Load())
	if err != nil {
		return noRecord, err
	}
	defer w.done()
	w.memory = m
	if start > s.base {
		return s.latestFrom(w, best, start, limit)
	}
	top, found, at, err := s.known(w, best, limit)
	if err != nil {
		return noRecord, err
	}
	for next := start; at < w.end && next < limit; at, next = w.next(), w.head.NextOffset() {
		if err := w.load(at); err != nil {
			return noRecord, err
		}
		if w.head.LastOffset() >= start && w.head.NextOffset() <= limit && w.head.MaxTimestamp() > top && w.head.Count() > 0 {
			top, found = w.head.MaxTimestamp(), at
		}
	}
	if found < 0 {
		return noRecord, nil
	}
	if err := w.load(found); err != nil {
		return noRecord, err
	}
	return w.firstRecord(top, start, limit)
}

// latestFrom is latest where the log starts inside the segment, maybe inside a batch: the
// indexes do not know of that.
func (s *Segment) latestFrom(w *walker, best, start, limit int64) (place, error) {
	at, err := s.before(w, start, func(timeEntry) bool { return true })
	if err != nil {
		return noRecord, err
	}
	found := noRecord
	for next := start; at < w.end && next < limit; at, next = w.next(), w.head.NextOffset() {
		if err := w.load(at); err != nil {
			return noRecord, err
		}
		if w.head.MaxTimestamp() <= max(best, found.timestamp) || w.head.NextOffset() > limit {
			continue
		}
		err := w.records(func(p place) bool {
			if p.offset >= start && p.timestamp > max(best, found.timestamp) {
				found = p
			}
			return true
		})
		if err != nil {
			return noRecord, err
		}
	}
	return found, nil
}

// known is what the indexes tell about the largest timestamp below limit, if it is larger
// than best: where its batch lies (or −1), and from where on to look for more.
func (s *Segment) known(w *walker, best, limit int64) (top, found, at int64, err error) {
	x, err := s.load(w)
	if err != nil {
		return best, -1, 0, err
	}
	times := x.times.view()
	i := sort.Search(len(times), func(i int) bool { return s.base+int64(times[i].relative) >= limit })
	if i == 0 {
		return best, -1, 0, nil
	}
	entry := times[i-1]
	at, err = s.before(w, s.base+int64(entry.relative), func(timeEntry) bool { return true })
	if err != nil {
		return best, -1, 0, err
	}
	top, found = best, -1
	if entry.timestamp > best {
		top, found = entry.timestamp, at
	}
	// Whenever an offset entry was made, so was the time entry that was due.
	if entries, err := s.trusted(w); err == nil {
		if e, ok := byOffset(entries, limit-1-s.base); ok {
			at = max(at, int64(e.position))
		}
	}
	return top, found, at, nil
}

// before is a position at or before the first batch, from the offset start on, behind the
// last time entry that after does not reject.
func (s *Segment) before(w *walker, start int64, after func(timeEntry) bool) (int64, error) {
	x, err := s.load(w)
	if err != nil {
		return 0, err
	}
	relative := start - s.base
	times := x.times.view()
	if i := sort.Search(len(times), func(i int) bool { return after(times[i]) }); i > 0 {
		relative = max(relative, int64(times[i-1].relative))
	}
	entries, err := s.trusted(w)
	if err != nil {
		return 0, err
	}
	found, err := w.find(entries, s.base+relative)
	if errors.Is(err, errIndex) {
		if entries, err = s.mistrust(w); err == nil {
			found, err = w.find(entries, s.base+relative)
		}
	}
	if err != nil || !found {
		return w.end, err
	}
	return w.at, nil
}

// firstRecord finds the first record of the loaded batch, from start to limit, that is at or after ts.
func (w *walker) firstRecord(ts, start, limit int64) (place, error) {
	found := noRecord
	err := w.records(func(p place) bool {
		if p.timestamp < ts || p.offset < start || p.offset >= limit {
			return true
		}
		found = p
		return false
	})
	return found, err
}

// records calls f with every record of the loaded batch until it returns false.
func (w *walker) records(f func(place) bool) error {
	b := make(batch.Batch, w.head.Size())
	if _, err := w.file.ReadAt(b, w.at); err != nil {
		return fmt.Errorf("read batch: %w", err)
	}
	if err := b.Check(); err != nil {
		return w.damage(err)
	}
	records, err := batch.Scan(b, batch.ScanOptions{Max: batch.MaxPlain, Memory: w.memory})
	if err != nil {
		return w.damage(err)
	}
	defer records.Close()
	for records.Next() {
		head := records.Head()
		p := place{b.BaseOffset() + int64(head.OffsetDelta), b.BaseTimestamp() + head.TimestampDelta, b.LeaderEpoch()}
		if b.LogAppendTime() {
			p.timestamp = b.MaxTimestamp()
		}
		if !f(p) {
			return nil
		}
	}
	if err := records.Err(); err != nil {
		return w.damage(err)
	}
	return nil
}

// Oldest is the offset of the first batch that is there, at or below Start: what lies
// between is not read by clients any more, and still tells of producers (any).
func (l *Log) Oldest() int64 {
	if list := *l.segments.Load(); len(list) > 0 {
		return list[0].base
	}
	return l.start.Load()
}

// Headers calls f with the header of every batch from the one that contains from, or from
// Oldest, to the end, and with all of a control batch. It is good during the call.
func (l *Log) Headers(from int64, f func(batch.Batch) error) error {
	end := l.end.Load()
	for at := max(from, l.Oldest()); at < end; {
		s, next := l.acquire(at)
		if s == nil {
			return l.missing()
		}
		err := s.headers(at, end, f)
		s.Release()
		if err != nil {
			return err
		}
		at = next
	}
	return nil
}

func (s *Segment) headers(from, end int64, f func(batch.Batch) error) error {
	w, err := s.walk(s.size.Load())
	if err != nil {
		return err
	}
	defer w.done()
	at, err := s.before(w, from, func(timeEntry) bool { return true })
	if err != nil {
		return err
	}
	for next := from; at < w.end && next < end; at, next = w.next(), w.head.NextOffset() {
		if err := w.load(at); err != nil {
			return err
		}
		head := w.head
		if head.Control() {
			if head, err = w.whole(); err != nil {
				return err
			}
		}
		if err := f(head); err != nil {
			return err
		}
	}
	return nil
}

// maxMarker is more than any control batch has, in bytes.
const maxMarker = 1 << 10

// whole reads all of a small batch, or only what fits.
func (w *walker) whole() (batch.Batch, error) {
	size := int64(min(w.head.Size(), maxMarker))
	if w.at+size <= w.high {
		return batch.Batch(w.buf[w.at-w.low:][:size]), nil
	}
	p := make([]byte, size)
	if _, err := w.file.ReadAt(p, w.at); err != nil {
		return nil, fmt.Errorf("read segment: %w", err)
	}
	return p, nil
}
