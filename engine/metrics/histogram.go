package metrics

import (
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// Histogram counts values in buckets that grow by the same factor, as a log-linear
// histogram does: 16 to a power of two, so a quantile is at most 2.2 % off. Their bounds
// are exactly those of Prometheus's native histograms of schema 4 (2^(i/16)), so nothing
// is lost or moved when they are exported.
//
// Observe may be called from any goroutine; it costs two atomic additions. A snapshot
// taken meanwhile may miss what is being added, and no more.
type Histogram struct {
	scale   *scale
	buckets []atomic.Uint64 // buckets[0]: values at or below bounds[0], near enough to zero
	_       [32]byte
	sum     atomic.Int64
	_       [56]byte
}

// schema is Prometheus's name for 16 buckets to a power of two.
const (
	schema    = 4
	perOctave = 1 << schema
	// The scale finds a bucket by the highest bits of a value: this many after the leading
	// one. 32 steps to a power of two are finer than the buckets, so that the first guess is
	// at most two buckets low.
	stepBits = 5
)

// scale is the bounds of the buckets, shared by all histograms of one unit.
type scale struct {
	unit   float64 // stored values per exported one
	first  int     // native index of buckets[1]; buckets[i] ends at 2^((first+i-1)/16) units
	bounds []int64 // greatest value of each bucket
	guess  []uint16
}

var (
	// seconds holds nanoseconds, from a microsecond to 128 seconds.
	seconds = newScale(1e9, -319, 7*perOctave)
	// counts holds whole numbers up to 16 million.
	counts = newScale(1, -1, 24*perOctave)
)

// newScale makes the buckets that end at 2^(least/16) units to 2^(most/16).
func newScale(unit float64, least, most int) *scale {
	s := &scale{unit: unit, first: least + 1}
	for i := least; i <= most; i++ {
		s.bounds = append(s.bounds, int64(math.Floor(math.Exp2(float64(i)/perOctave)*unit*(1+1e-15))))
	}
	s.guess = make([]uint16, 64<<stepBits)
	for prefix := range s.guess {
		low := lowest(prefix)
		at := 0
		for at < len(s.bounds)-1 && s.bounds[at] < low {
			at++
		}
		s.guess[prefix] = uint16(at)
	}
	return s
}

// prefix is the highest bits of a value above 31: the place of its leading one and the
// five bits after it. Smaller values stand for themselves.
func prefix(v uint64) int {
	if v < 1<<stepBits {
		return int(v)
	}
	octave := bits.Len64(v) - 1
	return octave<<stepBits | int(v>>(octave-stepBits))&(1<<stepBits-1)
}

// lowest is the least value with that prefix.
func lowest(prefix int) int64 {
	octave := prefix >> stepBits
	if octave < stepBits {
		return int64(prefix)
	}
	return int64(1<<stepBits|prefix&(1<<stepBits-1)) << (octave - stepBits)
}

// find is the bucket of v: the first whose bound is not below it, or the last.
func (s *scale) find(v int64) int {
	if v <= s.bounds[0] {
		return 0
	}
	at := int(s.guess[prefix(uint64(v))])
	for at < len(s.bounds)-1 && s.bounds[at] < v {
		at++
	}
	return at
}

func newHistogram(s *scale) *Histogram {
	return &Histogram{scale: s, buckets: make([]atomic.Uint64, len(s.bounds))}
}

// Observe counts v: nanoseconds, or a whole number.
func (h *Histogram) Observe(v int64) {
	if v < 0 {
		v = 0
	}
	h.buckets[h.scale.find(v)].Add(1)
	h.sum.Add(v)
}

// snapshot is a histogram at one moment.
type snapshot struct {
	counts []uint64
	count  uint64
	sum    int64
}

func (h *Histogram) snapshot() snapshot {
	s := snapshot{counts: make([]uint64, len(h.buckets)), sum: h.sum.Load()}
	for i := range h.buckets {
		s.counts[i] = h.buckets[i].Load()
		s.count += s.counts[i]
	}
	return s
}

// plus is both together, in memory of its own.
func (s snapshot) plus(b snapshot) snapshot {
	both := snapshot{counts: slices.Clone(b.counts), count: s.count + b.count, sum: s.sum + b.sum}
	for i := range s.counts {
		both.counts[i] += s.counts[i]
	}
	return both
}

// since is what was counted after before was taken.
func (s snapshot) since(before snapshot) snapshot {
	d := snapshot{counts: slices.Clone(s.counts), sum: s.sum - before.sum}
	for i := range before.counts {
		d.counts[i] -= before.counts[i]
	}
	for _, n := range d.counts {
		d.count += n
	}
	return d
}

// quantile is the value below which the share q of all values lies, in the unit that is
// exported; 0 when there are none. Within a bucket it assumes what Prometheus does: values
// spread evenly on a logarithmic axis.
func (s snapshot) quantile(scale *scale, q float64) float64 {
	if s.count == 0 {
		return 0
	}
	rank := q * float64(s.count)
	below := 0.0
	for i, n := range s.counts {
		if n == 0 || below+float64(n) < rank {
			below += float64(n)
			continue
		}
		if i == 0 {
			return 0
		}
		share := (rank - below) / float64(n)
		return math.Exp2((float64(scale.first+i-2) + share) / perOctave)
	}
	return scale.upper(len(s.counts) - 1)
}

// upper is the bound of bucket i in the unit that is exported.
func (s *scale) upper(i int) float64 { return math.Exp2(float64(s.first+i-1) / perOctave) }

// window remembers a histogram as it was, so that quantiles tell of the last minute and
// not of all the time since the start. It is changed only at scrapes, by one atomic.
type window struct {
	marks atomic.Pointer[marks]
}

type marks struct {
	older, newer snapshot
	at           time.Time // of newer
}

// recent is what was counted since the mark before the last. A mark is set at most once
// in least.
func (w *window) recent(now time.Time, least time.Duration, current snapshot) snapshot {
	m := w.marks.Load()
	if m == nil {
		m = &marks{at: now}
		w.marks.CompareAndSwap(nil, m)
	} else if now.Sub(m.at) >= least {
		next := &marks{older: m.newer, newer: current, at: now}
		w.marks.CompareAndSwap(m, next)
		m = next
	}
	return current.since(m.older)
}
