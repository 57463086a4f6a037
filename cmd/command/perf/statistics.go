package perf

import (
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"
)

// statistics sums up acknowledged records, in windows and over all. Owner: the
// goroutine that the client calls back on; total is read once it has flushed.
type statistics struct {
	out      io.Writer
	interval time.Duration
	steady   bool // begun after the warm-up
	quiet    atomic.Bool

	start                time.Time
	sampling             int64
	latencies            []int32 // in milliseconds, every sampling-th
	iteration            int64
	count, bytes         int64
	maxLatency           int64
	totalLatency         int64
	windowStart          time.Time
	windowCount          int64
	windowBytes          int64
	windowMax, windowSum int64
}

func newStatistics(out io.Writer, records int64, interval time.Duration, steady bool, now time.Time) *statistics {
	sampling := records / min(records, 500000)
	return &statistics{out: out, interval: interval, steady: steady, start: now, windowStart: now,
		sampling: sampling, latencies: make([]int32, 0, records/sampling+1)}
}

// record adds one record of size bytes that was acknowledged at now.
func (s *statistics) record(latency time.Duration, size int, now time.Time) {
	took := latency.Milliseconds()
	s.count++
	s.bytes += int64(size)
	s.totalLatency += took
	s.maxLatency = max(s.maxLatency, took)
	s.windowCount++
	s.windowBytes += int64(size)
	s.windowSum += took
	s.windowMax = max(s.windowMax, took)
	if s.iteration%s.sampling == 0 {
		s.latencies = append(s.latencies, int32(took))
	}
	s.iteration++
	if now.Sub(s.windowStart) < s.interval {
		return
	}
	if s.steady && s.count == s.windowCount {
		fmt.Fprintln(s.out, "In steady state.")
	}
	if !s.quiet.Load() {
		s.printWindow(now)
	}
	s.windowStart, s.windowCount, s.windowMax, s.windowSum, s.windowBytes = now, 0, 0, 0, 0
}

func (s *statistics) printWindow(now time.Time) {
	elapsed := millis(now.Sub(s.windowStart))
	fmt.Fprintf(s.out, "%d records sent, %.1f records/sec (%.2f MB/sec), %.1f ms avg latency, %.1f ms max latency.\n",
		s.windowCount, 1000*float64(s.windowCount)/elapsed, 1000*float64(s.windowBytes)/elapsed/(1<<20),
		float64(s.windowSum)/float64(s.windowCount), float64(s.windowMax))
}

// printTotal prints the line that scripts read.
func (s *statistics) printTotal(now time.Time) {
	elapsed := millis(now.Sub(s.start))
	word := ""
	if s.steady {
		word = " steady state"
	}
	p := percentiles(s.latencies, 0.5, 0.95, 0.99, 0.999)
	fmt.Fprintf(s.out, "%d%s records sent, %f records/sec (%.2f MB/sec), %.2f ms avg latency, %.2f ms max latency, %d ms 50th, %d ms 95th, %d ms 99th, %d ms 99.9th.\n",
		s.count, word, 1000*float64(s.count)/elapsed, 1000*float64(s.bytes)/elapsed/(1<<20),
		float64(s.totalLatency)/float64(s.count), float64(s.maxLatency), p[0], p[1], p[2], p[3])
}

// millis is d in whole milliseconds, but at least one: rates are divided by it.
func millis(d time.Duration) float64 { return float64(max(d.Milliseconds(), 1)) }

// percentiles sorts latencies and picks; without any they are zero.
func percentiles(latencies []int32, fractions ...float64) []int32 {
	slices.Sort(latencies)
	picked := make([]int32, len(fractions))
	for i, f := range fractions {
		if n := int(f * float64(len(latencies))); n < len(latencies) {
			picked[i] = latencies[n]
		}
	}
	return picked
}
