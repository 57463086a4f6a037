package commitlog

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/diskio"
)

// Range is a run of whole batches in one segment.
//
// Ownership: it holds a reference of the segment until Release.
type Range struct {
	File     diskio.File
	Position int64
	Bytes    int
	First    int   // size of the first batch
	End      int64 // an offset behind the last record, and not beyond the limit
	Segment  *Segment
}

// Release lets the segment go. A second call, or one on an empty range, does nothing.
func (r *Range) Release() {
	if r.Segment != nil {
		r.Segment.Release()
		r.Segment = nil
	}
}

// Locate finds the batches from the one that contains offset on, at most maxBytes, though
// at least the first whatever its size, and none that reaches limit (exclusive). The range
// is empty when there is none. Outside of [Start, End] the error is
// kerr.OffsetOutOfRange (any).
func (l *Log) Locate(offset int64, maxBytes int, limit int64) (Range, error) {
	return l.find(offset, maxBytes, limit, sight{})
}

// LocateCached is Locate for those who must not wait for the disk. The error is ErrCold
// when the range, or what is needed to find it, is not in memory; Range.Warm of what
// Locate finds brings it there (any).
func (l *Log) LocateCached(offset int64, maxBytes int, limit int64) (Range, error) {
	return l.find(offset, maxBytes, limit, sight{hot: true})
}

// Warm brings the range into memory.
func (r *Range) Warm() error {
	if err := r.File.Warm(r.Position, r.Bytes); err != nil {
		return fmt.Errorf("read segment: %w", err)
	}
	return nil
}

// sight is how a range is looked for.
type sight struct {
	hot  bool      // without waiting for the disk
	past *pastView // past the page cache. Nil: through it
}

func (l *Log) find(offset int64, maxBytes int, limit int64, how sight) (Range, error) {
	for {
		end := l.end.Load()
		r, err := l.findUpTo(end, offset, maxBytes, limit, how)
		// What was appended since then may have been cleaned already, together with what was
		// there: one batch without records then begins before this end and ends behind it.
		if _, damaged := errors.AsType[*Damage](err); !damaged || l.end.Load() == end {
			return r, err
		}
	}
}

// findUpTo is find in a log that ends at end.
func (l *Log) findUpTo(end, offset int64, maxBytes int, limit int64, how sight) (Range, error) {
	if offset < l.start.Load() || offset > end {
		return Range{}, kerr.OffsetOutOfRange
	}
	limit = min(limit, end)
	if offset >= limit {
		return Range{}, nil
	}
	s, next := l.acquire(offset)
	if s == nil {
		return Range{}, l.missing()
	}
	r, err := s.locate(offset, int64(maxBytes), limit, next, how)
	if err == nil && r.Bytes > 0 {
		return r, nil
	}
	if err == nil && (limit == end || next <= limit) {
		err = &Damage{s.path + logSuffix, 0, fmt.Errorf("%w: the one with offset %d claims to end beyond %d", errOrder, offset, limit)}
	}
	s.Release()
	return Range{}, err
}

// missing explains why there is no segment for an offset that was in range.
func (l *Log) missing() error {
	if len(*l.segments.Load()) == 0 {
		return ErrClosed
	}
	return kerr.OffsetOutOfRange
}

// acquire takes a reference of the segment that would contain offset, and tells where
// the next begins (any).
func (l *Log) acquire(offset int64) (s *Segment, next int64) {
	for {
		list := *l.segments.Load()
		i := sort.Search(len(list), func(i int) bool { return list[i].base > offset })
		if i == 0 {
			return nil, 0
		}
		next = math.MaxInt64
		if i < len(list) {
			next = list[i].base
		}
		if list[i-1].retain() {
			return list[i-1], next
		}
		// It went away after the list was loaded: there is a newer list.
	}
}

// locate is Locate within one segment, which ends before next. The caller holds a
// reference; it passes to the range unless that is empty.
func (s *Segment) locate(offset, maxBytes, limit, next int64, how sight) (Range, error) {
	hot := how.hot
	if hot && (s.handle.Load() == nil || s.index.Load() == nil) {
		return Range{}, ErrCold
	}
	life := s.lives.Load() // before the size
	w, err := s.walk(s.size.Load())
	if err != nil {
		return Range{}, err
	}
	defer w.done()
	if w.hot = hot; how.past != nil {
		how.past.show(w, life)
	}
	x, err := s.trusted(w)
	if err != nil {
		return Range{}, err
	}
	r, err := s.span(w, x, offset, maxBytes, limit, next)
	if hot && err == nil && r.Bytes > 0 && !s.trail.Recent(r.Position) && !r.File.Resident(r.Position, r.Bytes) {
		err = ErrCold
	}
	if errors.Is(err, errIndex) {
		if hot {
			return Range{}, ErrCold // it takes reading the whole segment to know better
		}
		if x, err = s.mistrust(w); err == nil {
			r, err = s.span(w, x, offset, maxBytes, limit, next)
		}
	}
	return r, err
}

// span finds where the range begins and ends, by the entries of an index.
func (s *Segment) span(w *walker, entries []offsetEntry, offset, maxBytes, limit, next int64) (Range, error) {
	found, err := w.find(entries, offset)
	if err == nil && !found {
		err = &Damage{w.file.Name(), w.end, fmt.Errorf("%w: offset %d is in none of them", errOrder, offset)}
	}
	if err != nil || w.head.NextOffset() > limit {
		return Range{}, err
	}
	if w.head.BaseOffset() > offset {
		// Nothing is left out of a log, so this or the batch before it is not what was written.
		return Range{}, w.damage(fmt.Errorf("%w: it is %d, and offset %d is before it", errOrder, w.head.BaseOffset(), offset))
	}
	r := Range{File: w.file, Position: w.at, First: w.head.Size(), Segment: s}
	s.trail.Read(w.at)
	begin, last := w.at, w.head.LastOffset()
	most := begin + maxBytes
	if most < begin { // overflow
		most = math.MaxInt64
	}
	if next <= limit && most >= w.end {
		r.Bytes, r.End = int(w.end-begin), next
		return r, nil
	}
	// Jump to the last entry that surely lies within both bounds, and walk on from there.
	if e, ok := byPosition(entries, most); ok {
		if near, ok := byOffset(entries, limit-1-s.base); ok && near.position < e.position {
			e = near
		} else if !ok {
			e = offsetEntry{}
		}
		if int64(e.position) > begin {
			if err := w.jump(e); err != nil {
				return Range{}, err
			}
			if w.next() > most {
				r.Bytes, r.End = int(w.at-begin), w.head.BaseOffset()
				return r, nil
			}
			last = w.head.LastOffset()
		}
	}
	end := w.next()
	for last+1 < limit && end < w.end {
		if err := w.load(end); err != nil {
			return Range{}, err
		}
		if w.next() > most || w.head.NextOffset() > limit || w.head.BaseOffset() != last+1 {
			break
		}
		last, end = w.head.LastOffset(), w.next()
	}
	r.Bytes, r.End = int(end-begin), last+1
	return r, nil
}

// find loads the first batch that ends at or behind offset. It reports whether there is one.
func (w *walker) find(entries []offsetEntry, offset int64) (bool, error) {
	at, due := int64(0), w.base
	if e, ok := byOffset(entries, offset-w.base); ok {
		if begins, err := w.follows(entries, e, offset); begins || err != nil {
			return begins, err
		}
		if err := w.jump(e); err != nil {
			return false, err
		}
		at, due = int64(e.position), w.head.BaseOffset()
	}
	for ; at < w.end; due = w.head.NextOffset() {
		if err := w.load(at); err != nil {
			return false, err
		}
		if w.head.BaseOffset() != due { // no checksum covers it
			return false, w.damage(fmt.Errorf("%w: it is %d, where %d was due", errOrder, w.head.BaseOffset(), due))
		}
		if w.head.LastOffset() >= offset {
			return true, nil
		}
		at = w.next()
	}
	return false, nil
}

// follows loads the batch that begins at offset when the batch of e ends there and the next entry is that of
// this batch, as it is where batches are larger than what lies between entries: who reads on where he stopped need
// not look at the batch before. It reports whether it is.
func (w *walker) follows(entries []offsetEntry, e offsetEntry, offset int64) (bool, error) {
	if int64(e.relative)+1 != offset-w.base {
		return false, nil
	}
	i := sort.Search(len(entries), func(i int) bool { return entries[i].position > e.position })
	if i == len(entries) || int64(entries[i].position) >= w.end || int(entries[i].position-e.position) <= len(w.buf) {
		return false, nil // what is near by is read together
	}
	if err := w.jump(entries[i]); err == errIndex || err == diskio.ErrCold { //nolint:errorlint // bare; and it may be another batch than the one that is wanted
		return false, nil
	} else if err != nil {
		return false, err
	}
	return w.head.BaseOffset() == offset, nil
}

// trusted is the offset index of s, read from its file or made again when it has to be (any).
func (s *Segment) trusted(w *walker) ([]offsetEntry, error) {
	x, err := s.load(w)
	if err != nil || s.distrust.Load() {
		return nil, err
	}
	return x.offsets.view(), nil
}

// load is both indexes of s.
func (s *Segment) load(w *walker) (*indexes, error) {
	s.used.Store(true)
	if x := s.index.Load(); x != nil {
		return x, nil
	}
	x, err := s.readIndexes(w)
	if passing(err) {
		return nil, err
	}
	if err != nil {
		if x, err = s.scanIndexes(w); err != nil {
			return nil, err
		}
	}
	if err := s.fits(x); err != nil {
		return nil, err
	}
	if !s.index.CompareAndSwap(nil, x) {
		if other := s.index.Load(); other != nil { // else it was forgotten again meanwhile
			return other, nil
		}
	}
	return x, nil
}

// fits fails when a segment has offsets of the next one: then it is not what was here. What is too short
// for its place is found by who reads what is missing.
func (s *Segment) fits(x *indexes) error {
	entries, list := x.offsets.view(), *s.log.segments.Load()
	i := slices.Index(list, s)
	if i < 0 || i+1 == len(list) || len(entries) == 0 {
		return nil
	}
	last := entries[len(entries)-1]
	if end := s.base + int64(last.relative) + 1; end > list[i+1].base {
		return &Damage{s.path + logSuffix, int64(last.position), fmt.Errorf("%w: it ends at offset %d, and the next segment begins at %d: the file is of another partition, or one of the two is of another time; restore it",
			errOrder, end, list[i+1].base)}
	}
	return nil
}

// readIndexes reads the index files. That the last entry names the last batch shows that
// they are complete.
func (s *Segment) readIndexes(w *walker) (*indexes, error) {
	data, err := diskio.ReadFile(s.log.fs, s.path+indexSuffix)
	if err != nil {
		return nil, err
	}
	if s.deleted.Load() { // the name may be that of a cleaned segment already
		return nil, fmt.Errorf("%w: it is of another segment", errIndex)
	}
	data, txn := splitIndex(data)
	offsets, err := decodeOffsets(data, w.end)
	if err != nil {
		return nil, err
	}
	if data, err = diskio.ReadFile(s.log.fs, s.path+timeSuffix); err != nil {
		return nil, err
	}
	times, err := decodeTimes(data)
	if err != nil {
		return nil, err
	}
	if w.end > 0 {
		if len(offsets) == 0 {
			return nil, fmt.Errorf("%w: it is empty", errIndex)
		}
		err := w.jump(offsets[len(offsets)-1])
		if passing(err) {
			return nil, err
		}
		if err != nil || w.next() != w.end {
			return nil, fmt.Errorf("%w: its last entry is not the last batch", errIndex)
		}
	}
	if s.deleted.Load() {
		return nil, fmt.Errorf("%w: it is of another segment", errIndex)
	}
	x := &indexes{txn: txn}
	x.offsets.set(offsets)
	x.times.set(times)
	return x, nil
}

// scanIndexes makes the indexes again from the headers of all batches.
func (s *Segment) scanIndexes(w *walker) (*indexes, error) {
	i := newIndexer(s.base, defaultInterval)
	due := s.base
	for at := int64(0); at < w.end; at = w.next() {
		if err := w.load(at); err != nil {
			return nil, err
		}
		if w.head.BaseOffset() != due { // no checksum covers it, and an index would lead to it
			return nil, w.damage(fmt.Errorf("%w: it is %d, where %d was due", errOrder, w.head.BaseOffset(), due))
		}
		i.add(w.head, at)
		due = w.head.NextOffset()
	}
	i.finish()
	s.unseal()
	s.log.logger.Info("made the index again", "segment", s.path)
	return i.indexes, nil
}

// mistrust is called when an entry contradicts the data. A sealed segment gets a new
// index here; the active one when its owner comes by, and is read without one until then.
func (s *Segment) mistrust(w *walker) ([]offsetEntry, error) {
	if list := *s.log.segments.Load(); len(list) == 0 || list[len(list)-1] == s {
		s.distrust.Store(true)
		return nil, nil
	}
	x, err := s.scanIndexes(w)
	if err != nil {
		return nil, err
	}
	s.index.Store(x)
	return x.offsets.view(), nil
}
