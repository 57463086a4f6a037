package loadgen

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestScheduleOfBatches(t *testing.T) {
	for name, test := range map[string]struct {
		pace Pace
		due  []time.Duration
	}{
		"evenly spaced": {
			Pace{Rate: 1000, Span: 50 * time.Millisecond, Batch: 10, Connections: 1},
			[]time.Duration{0, 10 * time.Millisecond, 20 * time.Millisecond, 30 * time.Millisecond, 40 * time.Millisecond},
		},
		"the second of two connections comes in between": {
			Pace{Rate: 1000, Span: 50 * time.Millisecond, Batch: 10, Connection: 1, Connections: 2},
			[]time.Duration{10 * time.Millisecond, 30 * time.Millisecond},
		},
		"a ramp from 0 to 100 in a second has sent 50 when it ends": {
			Pace{Rate: 100, Ramp: time.Second, Span: 1100 * time.Millisecond, Batch: 25, Connections: 1},
			[]time.Duration{0, 707106781, time.Second},
		},
		"a ramp that falls": {
			Pace{Rate: 10, From: 30, Ramp: time.Second, Span: 1500 * time.Millisecond, Batch: 10, Connections: 1},
			[]time.Duration{0, time.Duration((3 - math.Sqrt(5)) / 2 * 1e9), time.Second},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := NewSchedule(test.pace)
			if err != nil {
				t.Fatal(err)
			}
			if s.Len() != len(test.due) {
				t.Fatalf("%d batches are due at %v, want %v", s.Len(), s.Due, test.due)
			}
			for i, want := range test.due {
				if got := time.Duration(s.Due[i]); (got - want).Abs() > time.Microsecond {
					t.Errorf("batch %d is due at %v, want %v", i, got, want)
				}
				if s.Count(i) != test.pace.Batch {
					t.Errorf("batch %d has %d records, want %d", i, s.Count(i), test.pace.Batch)
				}
			}
		})
	}
}

func TestScheduleOfRecordsClosesBatches(t *testing.T) {
	pace := Pace{Rate: 1000, Span: 20 * time.Millisecond, Batch: 4, ByRecord: true, Linger: 2 * time.Millisecond, Connections: 1}
	s, err := NewSchedule(pace)
	if err != nil {
		t.Fatal(err)
	}
	// One record a millisecond: three are there when the linger of the first ends.
	if s.Count(0) != 3 || s.Due[0] != int64(2*time.Millisecond) {
		t.Errorf("the first batch has %d records and is due at %v, want 3 at 2ms", s.Count(0), time.Duration(s.Due[0]))
	}
	pace.Linger = 10 * time.Millisecond
	if s, err = NewSchedule(pace); err != nil {
		t.Fatal(err)
	}
	if s.Count(0) != 4 || s.Due[0] != int64(3*time.Millisecond) {
		t.Errorf("a batch that is full has %d records and is due at %v, want 4 at 3ms", s.Count(0), time.Duration(s.Due[0]))
	}
	var all []int64
	for i := range s.Len() {
		for _, at := range s.Arrivals(i) {
			if at > s.Due[i] {
				t.Errorf("batch %d leaves at %d with a record that arrives at %d", i, s.Due[i], at)
			}
		}
		all = append(all, s.Arrivals(i)...)
	}
	if len(all) != 20 || !slices.IsSorted(all) {
		t.Errorf("the batches hold %d arrivals, want the 20 in order", len(all))
	}
}

func TestPoissonScheduleKeepsTheRateAndRepeats(t *testing.T) {
	pace := Pace{Rate: 10_000, Span: 10 * time.Second, Batch: 1, Poisson: true, Seed: 7, Connections: 1}
	a, err := NewSchedule(pace)
	if err != nil {
		t.Fatal(err)
	}
	if n := float64(a.Len()); math.Abs(n-100_000) > 1500 {
		t.Errorf("%v arrivals in ten seconds at 10000/s", n)
	}
	b, err := NewSchedule(pace)
	if err != nil || !slices.Equal(a.Due, b.Due) {
		t.Errorf("the same seed gives another schedule (%v)", err)
	}
	// Gaps of a Poisson process vary as much as their mean.
	var sum, squares float64
	for i := 1; i < a.Len(); i++ {
		gap := float64(a.Due[i] - a.Due[i-1])
		sum += gap
		squares += gap * gap
	}
	n := float64(a.Len() - 1)
	mean := sum / n
	if variation := math.Sqrt(squares/n-mean*mean) / mean; variation < 0.95 || variation > 1.05 {
		t.Errorf("the gaps vary by %.2f of their mean, want 1", variation)
	}
}

func TestScheduleRefusesTooManyArrivals(t *testing.T) {
	if _, err := NewSchedule(Pace{Rate: 1e8, Span: time.Minute, Batch: 1, Connections: 1}); err == nil {
		t.Fatal("six billion arrivals were accepted")
	}
}
