package commitlog

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// CleanOptions are what a cleaning needs to know, besides the settings of the log.
type CleanOptions struct {
	// DeleteRetention is how long a deletion marker stays after it was first cleaned.
	DeleteRetention time.Duration
	// MinLag is how old the records of a segment must be before it is cleaned.
	MinLag time.Duration
	// MaxLag is how old a record may become that was not cleaned. Zero: any age.
	MaxLag time.Duration
	// MapBytes bounds the map of keys, LoadFactor how full it may get.
	MapBytes   int64
	LoadFactor float64
	// Last tells of producers that may go on what they sent last: of that a batch stays, be it
	// empty, so that their sequence can be found in the log.
	Last map[int64]LastSent
	// Pause is told of bytes that were read or written, and may wait. An error ends the
	// cleaning. Nil: nobody is told.
	Pause func(bytes int) error
	// Swap runs f on the owner of the log.
	Swap   func(f func() error) error
	Memory batch.Memory
}

// LastSent is what a producer sent last: the last offset of a batch, or −1 for a marker
// that ended a transaction under this epoch.
type LastSent struct {
	Offset int64
	Epoch  int16
}

// Dirt is how much of a log was not cleaned yet.
type Dirt struct {
	From, To     int64 // the offsets that a cleaning would clean
	Clean, Dirty int64 // bytes before From, and from there to To
	Due          bool  // a record has waited longer than MaxLag
}

// Ratio is the share of the log that is dirty, of what may be cleaned.
func (d Dirt) Ratio() float64 {
	if d.Clean+d.Dirty == 0 {
		return 0
	}
	return float64(d.Dirty) / float64(d.Clean+d.Dirty)
}

// Cleaning is one look at a log that is to be compacted, and the compaction if it comes to
// it: of each key only the newest record stays.
//
//	sealed segments          clean     │  dirty            │ active, or not to be touched yet
//	                                   From                To
//	  1. From … To, or as far as memory goes: key → last offset
//	  2. groups of segments up to there: ──read──▶ filter ──write──▶ <base>.log.cleaned
//	  3. on the owner: the group is replaced by it
//
// Offsets stay. Where records were, a batch without records keeps their place, so that no
// log has gaps, cleaned or not, and what is missing is always damage.
//
// Ownership: the owner of the log makes it; then it belongs to one other goroutine. It reads
// sealed segments only, of which it holds references while it reads.
type Cleaning struct {
	log   *Log
	o     CleanOptions
	of    Options // as they were when the owner made it
	limit int64

	stats   CleanStats
	seen    map[int64]bool            // producers with records of a transaction since its last marker
	aborted map[int64][]batch.Aborted // by producer
	markers map[int64]batch.Aborted   // by the offset of the marker

	// Reused.
	body    []byte
	probes  [probes]probe
	offsets []int64
}

// CleanStats is what a cleaning has done.
type CleanStats struct {
	BytesRead, BytesWritten int64
	BytesCold               int64 // of those read, from segments that were read past the page cache
	Records, Kept           int64 // that were looked at, and that stayed
	Segments                int   // that were replaced
	MapBytes                int64
	MapUse                  float64 // how full the map became, of what it may
}

// NewCleaning begins to look at the log, whose records from limit on (the high watermark, or
// the last stable offset if that is lower) are not touched.
func (l *Log) NewCleaning(limit int64, o CleanOptions) *Cleaning {
	limit = min(limit, l.unsettled())
	if o.Pause == nil {
		o.Pause = func(int) error { return nil }
	}
	if o.Swap == nil {
		o.Swap = func(f func() error) error { return f() }
	}
	return &Cleaning{log: l, o: o, of: l.o, limit: limit, seen: map[int64]bool{}}
}

// Dirt measures what there is to clean.
func (c *Cleaning) Dirt(now time.Time) (Dirt, error) {
	d, err := c.dirt(now)
	return d, c.explain(err)
}

func (c *Cleaning) dirt(now time.Time) (Dirt, error) {
	from, err := c.log.cleanedTo()
	if err != nil {
		return Dirt{}, err
	}
	list := *c.log.segments.Load()
	if len(list) < 2 {
		return Dirt{}, nil
	}
	d := Dirt{From: from, To: list[0].base}
	for i, s := range list[:len(list)-1] {
		next := list[i+1].base
		if next > c.limit {
			break
		}
		ok, err := c.ripe(s, now, &d, next > from)
		if err != nil {
			return Dirt{}, err
		}
		if !ok {
			break
		}
		if d.To = next; s.base < from {
			d.Clean += s.size.Load()
		} else {
			d.Dirty += s.size.Load()
		}
	}
	if d.From = max(d.From, c.log.start.Load(), list[0].base); d.From > d.To {
		d.From = d.To
	}
	d.Due = d.Due && d.Dirty > 0
	return d, nil
}

// ripe reports whether a segment is old enough, and notes one that is too old.
func (c *Cleaning) ripe(s *Segment, now time.Time, d *Dirt, dirty bool) (bool, error) {
	if !dirty || c.o.MinLag <= 0 && c.o.MaxLag <= 0 {
		return true, nil
	}
	if !s.retain() {
		return false, nil
	}
	defer s.Release()
	if c.o.MinLag > 0 {
		largest, err := s.largestTime()
		if err != nil || now.Sub(largest) <= c.o.MinLag {
			return false, err
		}
	}
	if c.o.MaxLag > 0 {
		w, err := s.walk(s.size.Load())
		if err != nil {
			return false, err
		}
		defer w.done()
		if err := w.load(0); err != nil {
			return false, err
		}
		if first := w.head.MaxTimestamp(); first > 0 && now.Sub(time.UnixMilli(first)) > c.o.MaxLag {
			d.Due = true
		}
	}
	return true, nil
}

// Run cleans what Dirt has found, or as much of it as there is memory for.
func (c *Cleaning) Run(d Dirt, now time.Time) (CleanStats, error) {
	stats, err := c.run(d, now)
	return stats, c.explain(err)
}

func (c *Cleaning) run(d Dirt, now time.Time) (CleanStats, error) {
	if d.From >= d.To {
		return c.stats, nil
	}
	if err := c.readAborted(d.To); err != nil {
		return c.stats, err
	}
	keys := newOffsetMap(c.slots(d), d.From)
	defer keys.close()
	c.stats.MapBytes = keys.bytes()
	end, err := c.gather(keys, d)
	if err != nil {
		return c.stats, fmt.Errorf("clean log %s: %w", filepath.Base(c.log.dir), err)
	}
	c.stats.MapUse = keys.use()
	clear(c.seen)
	for _, group := range c.groups(end) {
		if err := c.rewrite(group, keys, end, now); err != nil {
			return c.stats, fmt.Errorf("clean log %s: %w", filepath.Base(c.log.dir), err)
		}
	}
	return c.stats, c.o.Swap(func() error { return c.log.saveCleaned(end) })
}

// slots is how many keys the map has room for: never more than there are records.
func (c *Cleaning) slots(d Dirt) int64 {
	load := c.o.LoadFactor
	if load <= 0 || load >= 1 {
		load = 0.9
	}
	most := int64(float64(c.o.MapBytes/mapSlotBytes) * load)
	return max(1, min(most, d.To-d.From))
}

// readAborted finds the transactions that were aborted below an offset.
func (c *Cleaning) readAborted(to int64) error {
	c.aborted, c.markers = map[int64][]batch.Aborted{}, map[int64]batch.Aborted{}
	list, err := c.log.Aborted(nil, c.log.Oldest(), to, false)
	if err != nil {
		return fmt.Errorf("read aborted transactions: %w", err)
	}
	for _, t := range list {
		c.aborted[t.ProducerID] = append(c.aborted[t.ProducerID], t)
		c.markers[t.Last] = t
	}
	return nil
}

// discarded reports whether the records of a batch belong to a transaction that was aborted.
func (c *Cleaning) discarded(b batch.Batch) bool {
	if !b.Transactional() || b.Control() {
		return false
	}
	for _, t := range c.aborted[b.ProducerID()] {
		if b.BaseOffset() >= t.First && b.BaseOffset() <= t.Last {
			return true
		}
	}
	return false
}

// heldRecord is how large a record may be whose key is looked at, in bytes.
const heldRecord = 64 << 20

// gather notes the last offset of every key from d.From up to the offset that it answers:
// d.To, unless the map is full before.
func (c *Cleaning) gather(keys *offsetMap, d Dirt) (end int64, err error) {
	end = d.To
	list := *c.log.segments.Load()
	for i, s := range list {
		if s.base >= end {
			break
		}
		if i+1 < len(list) && list[i+1].base <= d.From {
			continue
		}
		err := c.batches(s, d.From, func(b batch.Batch) error {
			if b.Control() || b.Count() == 0 || b.BaseOffset() >= end || c.discarded(b) {
				return nil
			}
			full, err := c.gatherBatch(keys, b, d.From)
			if err != nil {
				return &unreadable{b.BaseOffset(), err}
			}
			if full >= 0 {
				end = full
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return end, nil
}

// gatherBatch notes the keys of one batch. It answers the offset of the first record that
// there was no room for, or −1.
func (c *Cleaning) gatherBatch(keys *offsetMap, b batch.Batch, from int64) (full int64, err error) {
	full = -1
	err = c.lookUp(keys, b, func(some []probe) bool {
		for i := range some {
			if p := &some[i]; p.offset >= from && !keys.put(p) {
				full = p.offset
				return false
			}
		}
		return true
	})
	return full, err
}

// newest is the last offset of the key of every record that has one, in order.
func (c *Cleaning) newest(keys *offsetMap, b batch.Batch) (offsets []int64, err error) {
	offsets = c.offsets[:0]
	err = c.lookUp(keys, b, func(some []probe) bool {
		for i := range some {
			offsets = append(offsets, keys.get(&some[i]))
		}
		return true
	})
	c.offsets = offsets
	return offsets, err
}

// lookUp calls f with the keys of a batch, some at a time, until it answers false. Records
// without a key, and those that are too large to be looked at, are left out.
func (c *Cleaning) lookUp(keys *offsetMap, b batch.Batch, f func([]probe) bool) error {
	records, err := batch.Scan(b, batch.ScanOptions{Hold: max(heldRecord, len(b)), Memory: c.o.Memory})
	if err != nil {
		return err
	}
	defer records.Close()
	some := c.probes[:0]
	for records.Next() {
		r := records.Record()
		if r == nil || r.Key == nil {
			continue
		}
		some = append(some, keys.probe(r.Key, b.BaseOffset()+int64(r.OffsetDelta)))
		if len(some) == len(c.probes) {
			keys.touch(some)
			if !f(some) {
				return nil
			}
			some = some[:0]
		}
	}
	if err := records.Err(); err != nil {
		return err
	}
	keys.touch(some)
	f(some)
	return nil
}

// coldFile is a segment that is read past the page cache.
type coldFile struct {
	diskio.File
	cold *diskio.ColdReader
}

func (f *coldFile) ReadAt(p []byte, at int64) (int, error) { return f.cold.ReadAt(p, at) }

// cold has a segment that is not in memory read past the page cache: it would take the place
// of what somebody reads. The segment's own file stays what it is.
func (c *Cleaning) cold(s *Segment, w *walker) (cold bool, done func()) {
	if c.of.Cache == nil || s.trail.Recent(0) {
		return false, func() {}
	}
	r, err := diskio.OpenCold(c.log.fs, s.path+logSuffix)
	if err != nil {
		return false, func() {} // it is read as any other, and BytesCold tells
	}
	w.file = &coldFile{w.file, r}
	return true, func() { r.Close() } //nolint:errcheck // nothing was written
}

// batches calls f with every batch of a sealed segment from the one with offset from on, each
// checked. A batch is good during the call.
func (c *Cleaning) batches(s *Segment, from int64, f func(batch.Batch) error) error {
	if !s.retain() {
		return errReplaced
	}
	defer s.Release()
	w, err := s.walk(s.size.Load())
	if err != nil {
		return err
	}
	defer w.done()
	cold, done := c.cold(s, w)
	defer done()
	body := reader{file: w.file, end: w.end, buf: c.body[:0]}
	defer func() { c.body = body.buf[:0] }()
	next := s.base
	for at := int64(0); at < w.end; at = w.next() {
		if err := w.load(at); err != nil {
			return err
		}
		if w.head.BaseOffset() != next {
			return w.damage(fmt.Errorf("%w: it is %d, where %d was due", errOrder, w.head.BaseOffset(), next))
		}
		if next = w.head.NextOffset(); next <= from {
			continue
		}
		if err := body.check(w); err != nil {
			return err
		}
		b, err := body.read(at, w.head.Size())
		if err == nil {
			c.stats.BytesRead += int64(len(b))
			if cold {
				c.stats.BytesCold += int64(len(b))
			}
			err = c.o.Pause(len(b))
		}
		if err == nil {
			err = f(b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// errReplaced says that the segments changed while they were cleaned. The next cleaning goes
// on with what there is then.
var errReplaced = errors.New("the log was changed by others while it was cleaned")

// explain tells what comes of others who changed the log meanwhile from what is wrong with it or
// its disk: a folder that has another name, or a segment that retention has removed. A sync that
// failed says something of the disk all the same.
func (c *Cleaning) explain(err error) error {
	if err == nil || Overtaken(err) || errors.Is(err, ErrSync) || !c.log.gone.Load() && !errors.Is(err, kerr.OffsetOutOfRange) {
		return err
	}
	return fmt.Errorf("%w: %w", errReplaced, err)
}

// Overtaken reports whether a cleaning ended because its log was cut, deleted or closed
// meanwhile.
func Overtaken(err error) bool { return errors.Is(err, errReplaced) || errors.Is(err, ErrClosed) }

// groups are the segments that begin below end, in runs that become one segment each.
func (c *Cleaning) groups(end int64) (groups [][]*Segment) {
	list := *c.log.segments.Load()
	size, index := int64(0), int64(0)
	for i, s := range list {
		if s.base >= end || i+1 == len(list) {
			break
		}
		bytes := s.size.Load()
		entries := (bytes/int64(c.of.IndexInterval+1) + 2) * timeEntrySize // about, and at most
		last := len(groups) - 1
		if last < 0 || size+bytes > c.of.SegmentBytes || index+entries > int64(c.of.IndexBytes) || list[i+1].base-1-groups[last][0].base > math.MaxInt32 {
			groups = append(groups, nil)
			last, size, index = last+1, 0, 0
		}
		groups[last] = append(groups[last], s)
		size, index = size+bytes, index+entries
	}
	return groups
}

// cleanedFile holds the offset up to which the log was cleaned, as log-start-offset holds
// its own.
const cleanedFile = "cleaner-offset"

// cleanedTo is the offset up to which the log was cleaned. Only the cleaner's goroutine asks.
func (l *Log) cleanedTo() (int64, error) {
	if to := l.cleaned.Load(); to >= 0 {
		return to, nil
	}
	name := filepath.Join(l.dir, cleanedFile)
	data, err := diskio.ReadFile(l.fs, name)
	to := int64(0)
	if err == nil {
		if to, err = parseStart(string(data)); err != nil {
			l.logger.Warn("how far the log was cleaned cannot be read; it is cleaned from its start", "file", name, "error", err)
			to, err = 0, nil
		}
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("read how far the log was cleaned: %w", err)
	}
	if to > l.end.Load() {
		to = 0
	}
	l.cleaned.Store(to)
	return to, nil
}

// saveCleaned remembers how far the log was cleaned.
func (l *Log) saveCleaned(offset int64) error {
	if err := l.ready(); err != nil {
		return err
	}
	if err := diskio.WriteFile(l.fs, filepath.Join(l.dir, cleanedFile), encodeStart(offset)); err != nil {
		return fmt.Errorf("save how far the log was cleaned: %w", err)
	}
	l.cleaned.Store(offset)
	return nil
}

// Unreadable reports whether a cleaning ended because a batch whose checksum is right holds
// what is no records.
func Unreadable(err error) bool {
	var unreadable *unreadable
	return errors.As(err, &unreadable)
}

// unreadable is what is wrong with the records of a batch.
type unreadable struct {
	offset int64
	err    error
}

func (u *unreadable) Error() string { return fmt.Sprintf("batch at offset %d: %v", u.offset, u.err) }

// Dirty reports whether a log that is not open has sealed segments that were not cleaned.
func Dirty(o Options, dir string) bool {
	o = o.complete()
	names, err := o.FS.ReadDir(dir)
	if err != nil {
		return false
	}
	var bases []int64
	for _, name := range names {
		if base, ok := parseName(name, logSuffix); ok {
			bases = append(bases, base)
		}
	}
	if len(bases) < 2 {
		return false
	}
	data, err := diskio.ReadFile(o.FS, filepath.Join(dir, cleanedFile))
	if err != nil {
		return true
	}
	to, err := parseStart(string(data))
	return err != nil || to < bases[len(bases)-1]
}
