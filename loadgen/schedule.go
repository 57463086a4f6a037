package loadgen

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Pace says when records arrive, over all connections together, and which connection
// of how many a schedule is for.
type Pace struct {
	Rate     float64       // records per second
	From     float64       // rate at the start of the ramp
	Ramp     time.Duration // time in which the rate goes from From to Rate. Zero: Rate at once
	Span     time.Duration // how long records arrive
	Poisson  bool          // random arrivals; else evenly spaced
	Seed     uint64        // of the random arrivals
	ByRecord bool          // records arrive one by one; else a whole batch at a time
	Batch    int           // records of a batch: exactly, or at most when ByRecord
	Linger   time.Duration // ByRecord: how long a batch waits for more records

	Connection, Connections int
}

// Schedule is when every batch of one connection is due, in nanoseconds from the start
// of the phase. It is computed before the phase and never changed by it.
type Schedule struct {
	Due      []int64
	arrivals []int64 // of every record, when they arrive one by one
	ends     []int32 // index in arrivals behind the last record of each batch
	batch    int
}

// maxArrivals bounds the memory of one schedule.
const maxArrivals = 32 << 20

// NewSchedule computes the schedule of one connection.
func NewSchedule(p Pace) (*Schedule, error) {
	unit := float64(p.Batch)
	if p.ByRecord {
		unit = 1
	}
	if expected := p.expected(p.Span.Seconds()) / unit / float64(p.Connections); expected > maxArrivals {
		return nil, fmt.Errorf("a connection would have %.0f arrivals, allowed are %d: use arrival: batch, more producers or a shorter phase", expected, maxArrivals)
	}
	times := p.times(unit)
	if !p.ByRecord {
		return &Schedule{Due: times, batch: p.Batch}, nil
	}
	s := &Schedule{arrivals: times, batch: p.Batch}
	s.close(int64(p.Linger))
	return s, nil
}

// times lists the arrivals of this connection, each of so many records.
func (p Pace) times(unit float64) []int64 {
	var times []int64
	random := rand.New(rand.NewPCG(p.Seed, uint64(p.Connection)))
	step := unit * float64(p.Connections)
	count := unit * float64(p.Connection)
	if p.Poisson {
		count = random.ExpFloat64() * step
	}
	for {
		at := p.moment(count)
		if at >= p.Span.Seconds() {
			return times
		}
		times = append(times, int64(at*float64(time.Second)))
		if p.Poisson {
			count += random.ExpFloat64() * step
		} else {
			count += step
		}
	}
}

// expected is how many records arrive until t seconds.
func (p Pace) expected(t float64) float64 {
	ramp := p.Ramp.Seconds()
	if ramp == 0 {
		return p.Rate * t
	}
	within := min(t, ramp)
	return p.From*within + (p.Rate-p.From)*within*within/(2*ramp) + p.Rate*(t-within)
}

// moment is the inverse of expected: after how many seconds count records have arrived.
func (p Pace) moment(count float64) float64 {
	ramp := p.Ramp.Seconds()
	onRamp := p.expected(ramp)
	if count >= onRamp {
		return ramp + (count-onRamp)/p.Rate
	}
	slope := (p.Rate - p.From) / ramp
	if slope == 0 {
		return count / p.From
	}
	return (math.Sqrt(p.From*p.From+2*slope*count) - p.From) / slope
}

// close cuts the arrivals into batches. A batch is due when it is full, or linger after
// its first record, whatever is earlier.
func (s *Schedule) close(linger int64) {
	for first := 0; first < len(s.arrivals); {
		due := s.arrivals[first] + linger
		end := first
		for end < len(s.arrivals) && s.arrivals[end] <= due && end-first < s.batch {
			end++
		}
		if end-first == s.batch {
			due = s.arrivals[end-1]
		}
		s.Due = append(s.Due, due)
		s.ends = append(s.ends, int32(end))
		first = end
	}
}

// Len is how many batches are due in all.
func (s *Schedule) Len() int { return len(s.Due) }

// Count is how many records batch i has.
func (s *Schedule) Count(i int) int {
	if s.ends == nil {
		return s.batch
	}
	return len(s.Arrivals(i))
}

// Arrivals lists when each record of batch i arrived; nil when all arrived as it was due.
func (s *Schedule) Arrivals(i int) []int64 {
	if s.ends == nil {
		return nil
	}
	first := int32(0)
	if i > 0 {
		first = s.ends[i-1]
	}
	return s.arrivals[first:s.ends[i]]
}
