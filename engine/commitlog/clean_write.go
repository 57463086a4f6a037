package commitlog

import (
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// rewrite cleans a group of segments into one, which takes their place.
func (c *Cleaning) rewrite(group []*Segment, keys *offsetMap, end int64, now time.Time) error {
	for _, s := range group {
		if !s.retain() {
			return errReplaced
		}
		defer s.Release()
		// Who holds one of them when it is replaced goes on with its file: that has to be open
		// before another has its name.
		if _, err := s.file(); err != nil {
			return err
		}
	}
	n, err := c.fresh(group, keys, end, now)
	if err != nil {
		return err
	}
	defer n.Release()
	err = c.forget(group)
	if err == nil {
		err = c.o.Swap(func() error { return c.log.replace(group, n) })
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(c.log.fs.Remove(n.path+logSuffix+cleanedSuffix)))
	}
	c.stats.Segments += len(group)
	return n.seal(0)
}

// forget has the journal never write what it has of segments that are replaced into the one
// that has their name then. Until that is there, they must not need the journal.
func (c *Cleaning) forget(group []*Segment) error {
	if c.of.Forget == nil {
		return nil
	}
	for _, s := range group {
		s.unsettle()
		if err := s.sync(); err != nil {
			return err
		}
		if err := c.of.Forget(c.log.journalName(s.base)); err != nil {
			return fmt.Errorf("%w: journal: %w", ErrSync, err)
		}
	}
	return nil
}

// fresh writes what stays of a group to a file of its own, and makes it durable.
func (c *Cleaning) fresh(group []*Segment, keys *offsetMap, end int64, now time.Time) (*Segment, error) {
	n := c.log.newSegment(group[0].base, 0)
	name := n.path + logSuffix + cleanedSuffix
	f, err := c.log.fs.Open(name, os.O_RDWR|createFlags)
	if err != nil {
		return nil, fmt.Errorf("write cleaned segment: %w", err)
	}
	n.handle.Store(&handle{f})
	out := cleanWriter{c: c, segment: n, file: f, next: n.base, gap: n.base, indexer: newIndexer(n.base, c.of.IndexInterval)}
	n.trail.Start(0)
	for _, s := range group {
		if err == nil {
			err = c.batches(s, -1, func(b batch.Batch) error { return c.clean(&out, b, keys, end, now) })
		}
	}
	if err == nil {
		err = out.finish()
	}
	if err != nil {
		n.Release()
		return nil, errors.Join(err, ignoreMissing(c.log.fs.Remove(name)))
	}
	return n, nil
}

// clean decides what becomes of one batch.
func (c *Cleaning) clean(out *cleanWriter, b batch.Batch, keys *offsetMap, end int64, now time.Time) error {
	c.stats.Records += int64(b.Count())
	done := false // with the transaction that the batch ends, of which nothing is left
	if b.Control() {
		done = !c.seen[b.ProducerID()]
		delete(c.seen, b.ProducerID())
	} else if b.Transactional() {
		c.seen[b.ProducerID()] = true
	}
	if b.Count() == 0 {
		return out.rest(b, c.isLast(b))
	}
	millis := now.UnixMilli()
	horizon, set := b.DeleteHorizon()
	expired := set && millis >= horizon
	aborted, last := c.discarded(b), c.isLast(b)
	var newest []int64 // of the records with a key that are still to come
	if !b.Control() && !aborted && b.BaseOffset() < end {
		var err error
		if newest, err = c.newest(keys, b); err != nil {
			return &unreadable{b.BaseOffset(), err}
		}
	}
	kept, keep, err := batch.Filter(out.one[:0], b, batch.FilterOptions{
		Keep: func(b batch.Batch, r *batch.Record) bool {
			offset := b.BaseOffset() + int64(r.OffsetDelta)
			latest := int64(-1)
			if r.Key != nil && len(newest) > 0 {
				latest, newest = newest[0], newest[1:]
			}
			switch {
			case b.Control():
				return !done || !expired || last
			case aborted:
				return false
			case offset >= end:
				return true
			case r.Key == nil || latest > offset:
				return false
			}
			return r.Value != nil || !expired
		},
		Horizon: millis + c.o.DeleteRetention.Milliseconds(), Marker: done, Hold: heldRecord, Memory: c.o.Memory,
		MaxSize: 2*len(b) + 16*int(b.Count()) + 64<<10,
	})
	if errors.Is(err, batch.ErrGrown) {
		kept, keep.Records, err = b, int(b.Count()), nil // compressed anew it would be larger than with all that goes
	}
	if err != nil {
		return &unreadable{b.BaseOffset(), err}
	}
	c.stats.Kept += int64(keep.Records)
	if keep.Records == 0 {
		return out.rest(b, last)
	}
	if keep.Changed {
		out.one = kept[:0]
	}
	return out.write(kept)
}

// isLast reports whether a batch is the last that an active producer has sent.
func (c *Cleaning) isLast(b batch.Batch) bool {
	if b.ProducerID() < 0 {
		return false
	}
	last, ok := c.o.Last[b.ProducerID()]
	return ok && (last.Offset == b.LastOffset() || last.Offset < 0 && b.Control() && last.Epoch == b.ProducerEpoch())
}

// cleanWriter writes a segment anew. Batches that go leave a gap, which one batch without
// records fills before the next that stays, or before another leader epoch begins: of what
// epoch an offset was stays known.
type cleanWriter struct {
	c       *Cleaning
	segment *Segment
	file    diskio.File
	indexer indexer
	buf     []byte // not written yet
	size    int64  // bytes so far, with buf
	next    int64  // offset behind the last batch that was written
	gap     int64  // offset behind the last that goes
	epoch   int32  // of what goes
	one     []byte // for the batch that is built
	filler  []byte
}

// writeSize is how much is written at once, in bytes.
const writeSize = 1 << 20

// rest drops a batch of which no record stays, or keeps its header.
func (w *cleanWriter) rest(b batch.Batch, last bool) error {
	if last {
		w.filler = batch.Empty(w.filler, b)
		return w.write(w.filler)
	}
	if w.gap > w.next && w.epoch != b.LeaderEpoch() {
		if err := w.fill(); err != nil {
			return err
		}
	}
	w.gap, w.epoch = b.NextOffset(), b.LeaderEpoch()
	return nil
}

// fill ends a gap.
func (w *cleanWriter) fill() error {
	if w.gap <= w.next {
		return nil
	}
	var head [batch.HeaderSize]byte
	return w.append(batch.Filler(head[:0], w.next, w.gap-1, w.epoch))
}

func (w *cleanWriter) write(b batch.Batch) error {
	if err := w.fill(); err != nil {
		return err
	}
	return w.append(b)
}

func (w *cleanWriter) append(b batch.Batch) error {
	if w.size+int64(len(b)) > math.MaxInt32 {
		return fmt.Errorf("the cleaned segment would have more than %d bytes: make segment.bytes smaller", math.MaxInt32)
	}
	w.indexer.add(b, w.size)
	// As long as the marker is there: who found records in a segment that is replaced meanwhile
	// asks afterwards which of them were aborted.
	if a, ok := w.c.markers[b.BaseOffset()]; ok && b.Control() && b.Count() > 0 {
		w.segment.addAborted(a)
	}
	w.size += int64(len(b))
	w.next = b.NextOffset()
	w.buf = append(w.buf, b...)
	if len(w.buf) >= writeSize {
		return w.flush()
	}
	return nil
}

func (w *cleanWriter) flush() error {
	if _, err := w.file.WriteAt(w.buf, w.size-int64(len(w.buf))); err != nil {
		return fmt.Errorf("write cleaned segment: %w", err)
	}
	n := len(w.buf)
	w.buf = w.buf[:0]
	w.c.stats.BytesWritten += int64(n)
	if cache := w.c.of.Cache; cache != nil {
		cache.Wrote(&w.segment.trail, w.file, w.size)
	}
	return w.c.o.Pause(n)
}

// finish makes the file durable and says what is in it.
func (w *cleanWriter) finish() error {
	err := w.fill()
	if err == nil {
		err = w.flush()
	}
	if err == nil {
		if err = w.file.Sync(); err != nil {
			err = fmt.Errorf("sync cleaned segment: %w: %w", ErrSync, err)
		}
	}
	if err != nil {
		return err
	}
	if cache := w.c.of.Cache; cache != nil {
		cache.Done(&w.segment.trail, w.file, w.size)
	}
	w.indexer.finish()
	s := w.segment
	s.size.Store(w.size)
	s.synced.Store(w.size)
	s.largest.Store(w.indexer.time.timestamp)
	s.index.Store(w.indexer.indexes)
	s.ends = 0
	if s.aborted.Load() == nil { // and so has the file of the segment that had the name removed
		s.setAborted(nil)
	}
	return nil
}
