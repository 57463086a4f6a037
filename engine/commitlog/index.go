package commitlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"
	"sync/atomic"

	"github.com/millrace/millrace/sdk/batch"
)

// Sizes of the entries on disk, in bytes.
const (
	offsetEntrySize = 8
	timeEntrySize   = 12
)

// offsetEntry says where the batch lies whose last offset is relative to the segment's base.
type offsetEntry struct {
	relative int32
	position int32
}

// timeEntry says that no batch up to the one with this last offset has a larger timestamp.
type timeEntry struct {
	timestamp int64
	relative  int32
}

// table is a growing list with one writer and many readers.
type table[E any] struct {
	entries atomic.Pointer[[]E] // never shorter than count
	count   atomic.Int64
}

// view is the entries so far (any).
func (t *table[E]) view() []E {
	n := t.count.Load()
	if n == 0 {
		return nil
	}
	return (*t.entries.Load())[:n]
}

func (t *table[E]) add(e E) {
	n := t.count.Load()
	var have []E
	if p := t.entries.Load(); p != nil {
		have = *p
	}
	if int(n) == len(have) {
		grown := make([]E, max(32, 2*n))
		copy(grown, have)
		t.entries.Store(&grown)
		have = grown
	}
	have[n] = e
	t.count.Store(n + 1)
}

// cut keeps n entries. Who has a view keeps it unchanged.
func (t *table[E]) cut(n int) {
	if int64(n) == t.count.Load() {
		return
	}
	fresh := make([]E, len(*t.entries.Load()))
	copy(fresh, t.view()[:n])
	t.count.Store(int64(n))
	t.entries.Store(&fresh)
}

func (t *table[E]) set(entries []E) {
	t.entries.Store(&entries)
	t.count.Store(int64(len(entries)))
}

// indexes are both indexes of one segment, in memory.
type indexes struct {
	offsets table[offsetEntry]
	times   table[timeEntry]
	txn     txnSeal // as it was read from the file
}

// byOffset finds the last entry whose batch ends at or before relative.
func byOffset(entries []offsetEntry, relative int64) (offsetEntry, bool) {
	i := sort.Search(len(entries), func(i int) bool { return int64(entries[i].relative) > relative })
	if i == 0 {
		return offsetEntry{}, false
	}
	return entries[i-1], true
}

// byPosition finds the last entry whose batch begins at or before position.
func byPosition(entries []offsetEntry, position int64) (offsetEntry, bool) {
	i := sort.Search(len(entries), func(i int) bool { return int64(entries[i].position) > position })
	if i == 0 {
		return offsetEntry{}, false
	}
	return entries[i-1], true
}

// cut forgets what lies at or behind a position and an offset.
func (x *indexes) cut(position, relative int64) {
	offsets, times := x.offsets.view(), x.times.view()
	x.offsets.cut(sort.Search(len(offsets), func(i int) bool { return int64(offsets[i].position) >= position }))
	x.times.cut(sort.Search(len(times), func(i int) bool { return int64(times[i].relative) >= relative }))
}

// indexer decides which batches get an entry. It belongs to whoever adds to the segment.
type indexer struct {
	indexes  *indexes
	base     int64
	interval int
	since    int // bytes since the last offset entry
	time     timeEntry
	last     offsetEntry // of the last batch
	some     bool        // there is a last batch
}

func newIndexer(base int64, interval int) indexer {
	return indexer{indexes: new(indexes), base: base, interval: interval, time: timeEntry{timestamp: -1}}
}

// add takes the header of the next batch, which begins at position.
func (x *indexer) add(b batch.Batch, position int64) {
	x.last = offsetEntry{int32(b.LastOffset() - x.base), int32(position)}
	x.some = true
	if t := b.MaxTimestamp(); t > x.time.timestamp && b.Count() > 0 { // the time of a batch without records is nobody's
		x.time = timeEntry{t, x.last.relative}
	}
	if x.since > x.interval {
		x.indexes.offsets.add(x.last)
		x.addTime()
		x.since = 0
	}
	x.since += b.Size()
}

func (x *indexer) addTime() {
	if x.time.timestamp < 0 {
		return
	}
	if all := x.indexes.times.view(); len(all) == 0 || all[len(all)-1].timestamp < x.time.timestamp {
		x.indexes.times.add(x.time)
	}
}

// finish gives the last batch an entry, so that opening the segment need not look for
// its end, and notes the largest timestamp.
func (x *indexer) finish() {
	if !x.some {
		return
	}
	if all := x.indexes.offsets.view(); len(all) == 0 || all[len(all)-1] != x.last {
		x.indexes.offsets.add(x.last)
		x.since = 0
	}
	x.addTime()
}

// full reports whether n more entries might not fit into an index of so many bytes.
func (x *indexer) full(n, bytes int) bool {
	// Two are kept back for finish.
	return (len(x.indexes.offsets.view())+n+2)*offsetEntrySize > bytes || (len(x.indexes.times.view())+n+2)*timeEntrySize > bytes
}

var errIndex = errors.New("index is damaged")

// encodeOffsets is the content of an .index file.
func encodeOffsets(entries []offsetEntry) []byte {
	out := make([]byte, 0, len(entries)*offsetEntrySize)
	for _, e := range entries {
		out = binary.BigEndian.AppendUint32(out, uint32(e.relative))
		out = binary.BigEndian.AppendUint32(out, uint32(e.position))
	}
	return out
}

// encodeTimes is the content of a .timeindex file.
func encodeTimes(entries []timeEntry) []byte {
	out := make([]byte, 0, len(entries)*timeEntrySize)
	for _, e := range entries {
		out = binary.BigEndian.AppendUint64(out, uint64(e.timestamp))
		out = binary.BigEndian.AppendUint32(out, uint32(e.relative))
	}
	return out
}

// sumSize is the size in bytes of what may stand behind the entries of an .index file.
const sumSize = 4

// txnSeal is what an .index file says of the .txnindex file beside it.
type txnSeal struct {
	there bool   // there is such a file, or nobody has looked in the batches whether there should be
	sum   uint32 // the CRC-32C of all of it, or that of nothing: nobody has looked
}

// encode is what stands behind the entries.
func (t txnSeal) encode() []byte {
	if !t.there {
		return nil
	}
	return binary.BigEndian.AppendUint32(nil, t.sum)
}

// splitIndex separates the entries of an .index file from what stands behind them. No number of
// entries has as many bytes as some entries and a sum.
func splitIndex(data []byte) (entries []byte, txn txnSeal) {
	if n := len(data) - sumSize; n > 0 && n%offsetEntrySize == 0 {
		return data[:n], txnSeal{true, binary.BigEndian.Uint32(data[n:])}
	}
	return data, txn
}

// decodeOffsets reads the entries of an .index file of a segment that has size bytes.
func decodeOffsets(data []byte, size int64) ([]offsetEntry, error) {
	if len(data)%offsetEntrySize != 0 {
		return nil, fmt.Errorf("%w: %d bytes are no whole entries", errIndex, len(data))
	}
	entries := make([]offsetEntry, len(data)/offsetEntrySize)
	before := offsetEntry{-1, -1}
	for i := range entries {
		p := data[i*offsetEntrySize:]
		e := offsetEntry{int32(binary.BigEndian.Uint32(p)), int32(binary.BigEndian.Uint32(p[4:]))}
		if e.relative <= before.relative || e.position <= before.position || int64(e.position)+batch.HeaderSize > size {
			return nil, fmt.Errorf("%w: entry %d is offset %d at %d, after offset %d at %d of %d bytes",
				errIndex, i, e.relative, e.position, before.relative, before.position, size)
		}
		entries[i], before = e, e
	}
	return entries, nil
}

// decodeTimes reads a .timeindex file.
func decodeTimes(data []byte) ([]timeEntry, error) {
	if len(data)%timeEntrySize != 0 {
		return nil, fmt.Errorf("%w: %d bytes are no whole entries", errIndex, len(data))
	}
	entries := make([]timeEntry, len(data)/timeEntrySize)
	before := timeEntry{math.MinInt64, -1}
	for i := range entries {
		p := data[i*timeEntrySize:]
		e := timeEntry{int64(binary.BigEndian.Uint64(p)), int32(binary.BigEndian.Uint32(p[8:]))}
		if e.relative <= before.relative || e.timestamp <= before.timestamp || e.timestamp < 0 {
			return nil, fmt.Errorf("%w: entry %d is time %d of offset %d, after time %d of offset %d",
				errIndex, i, e.timestamp, e.relative, before.timestamp, before.relative)
		}
		entries[i], before = e, e
	}
	return entries, nil
}
