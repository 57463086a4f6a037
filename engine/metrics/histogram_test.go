package metrics

import (
	"math"
	"math/rand/v2"
	"sort"
	"testing"
	"time"
)

// The fast way to a bucket finds what looking at every bound finds.
func TestFindIsTheFirstBoundNotBelow(t *testing.T) {
	for name, s := range map[string]*scale{"seconds": seconds, "counts": counts} {
		slow := func(v int64) int {
			return min(sort.Search(len(s.bounds), func(i int) bool { return s.bounds[i] >= v }), len(s.bounds)-1)
		}
		check := func(v int64) {
			if got, want := s.find(v), slow(v); got != want {
				t.Fatalf("%s: %d is in bucket %d, want %d", name, v, got, want)
			}
		}
		for v := int64(0); v < 1<<16; v++ {
			check(v)
		}
		for _, b := range s.bounds {
			check(b - 1)
			check(b)
			check(b + 1)
		}
		random := rand.New(rand.NewPCG(1, 2))
		for range 100_000 {
			check(int64(random.Uint64() >> (1 + random.UintN(62))))
		}
		check(math.MaxInt64)
	}
}

// Each power of two of the exported unit is a bound, as native buckets have it.
func TestBoundsAreNative(t *testing.T) {
	for i := range seconds.bounds {
		if got, want := float64(seconds.bounds[i]), seconds.upper(i)*1e9; math.Abs(got-want) > 1 {
			t.Fatalf("bucket %d ends at %v, want %v", i, got, want)
		}
	}
	if at := seconds.find(int64(time.Second)); seconds.upper(at) != 1 {
		t.Errorf("a second is in the bucket that ends at %v", seconds.upper(at))
	}
	if at := seconds.find(int64(time.Second) + 1); seconds.upper(at) == 1 {
		t.Error("more than a second is in the bucket that ends at a second")
	}
	if at := counts.find(1); counts.upper(at) != 1 {
		t.Errorf("one is in the bucket that ends at %v", counts.upper(at))
	}
	if last := seconds.upper(len(seconds.bounds) - 1); last != 128 {
		t.Errorf("the last bucket ends at %v", last)
	}
}

func TestQuantilesAreNear(t *testing.T) {
	h := newHistogram(seconds)
	random := rand.New(rand.NewPCG(3, 4))
	values := make([]float64, 50_000)
	for i := range values {
		n := int64(math.Exp(random.NormFloat64()*1.5 + math.Log(2e6))) // around 2 ms, with a long tail
		values[i] = float64(n) / 1e9
		h.Observe(n)
	}
	sort.Float64s(values)
	s := h.snapshot()
	if s.count != uint64(len(values)) {
		t.Fatalf("%d values", s.count)
	}
	for _, q := range quantiles {
		want := values[int(math.Ceil(q.q*float64(len(values))))-1]
		if got := s.quantile(seconds, q.q); math.Abs(got/want-1) > 0.045 {
			t.Errorf("quantile %s is %v, want %v", q.text, got, want)
		}
	}
	if got := (snapshot{}).quantile(seconds, 0.5); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
}

func TestTooLongAndNegative(t *testing.T) {
	h := newHistogram(seconds)
	h.Observe(-5)
	h.Observe(math.MaxInt64 / 4)
	s := h.snapshot()
	if s.counts[0] != 1 || s.counts[len(s.counts)-1] != 1 {
		t.Error("neither in the first nor in the last bucket")
	}
	if got := s.quantile(seconds, 1); got != 128 {
		t.Errorf("the greatest is %v", got)
	}
}

// Quantiles forget what was more than two windows ago.
func TestWindow(t *testing.T) {
	var w window
	h := newHistogram(seconds)
	now := time.Unix(1000, 0)
	at := func(after time.Duration, observe int64, want uint64) {
		t.Helper()
		now = now.Add(after)
		h.Observe(observe)
		if got := w.recent(now, time.Minute, h.snapshot()).count; got != want {
			t.Errorf("%d values, want %d", got, want)
		}
	}
	at(0, 1, 1)
	at(10*time.Second, 1, 2)
	at(60*time.Second, 1, 3) // sets the first mark, at three
	at(30*time.Second, 1, 4)
	at(31*time.Second, 1, 2) // the second mark: what was before the first is forgotten
	at(10*time.Second, 1, 3)
	at(60*time.Second, 1, 2)
}

func TestObserveAllocatesNothing(t *testing.T) {
	m := New(Options{})
	r, topic := m.Request(0), m.Topic("t")
	if n := testing.AllocsPerRun(1000, func() {
		r.Observe(13, Times{Queue: 10, Local: 2000, Remote: time.Millisecond, Send: 3000})
		r.Result(0)
		topic.Produced(1000, 10)
		topic.Fetched(1000)
		m.Flushed(time.Millisecond, 7)
		m.Request(0).Result(6)
		m.ISRShrinks.Add(1)
	}); n != 0 {
		t.Fatalf("counting allocates %v times, want 0", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	r := New(Options{}).Request(0)
	b.ReportAllocs()
	for b.Loop() {
		r.Observe(13, Times{Queue: 10_000, Local: 20_000, Remote: time.Millisecond, Send: 3000})
	}
}

func BenchmarkObserveByAll(b *testing.B) {
	r := New(Options{}).Request(0)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			r.Observe(13, Times{Queue: 10_000, Local: 20_000, Remote: time.Millisecond, Send: 3000})
		}
	})
}

func BenchmarkTopicProduced(b *testing.B) {
	topic := New(Options{}).Topic("t")
	b.ReportAllocs()
	for b.Loop() {
		topic.Produced(1000, 10)
	}
}
