package perf

import (
	"context"
	"time"
)

// throttle slows a loop down to about rate turns a second. It lets short bursts
// pass and sleeps in pieces of at least two milliseconds, like Kafka's, so that
// figures taken with --throughput compare.
type throttle struct {
	rate    float64 // negative: as fast as it goes
	start   time.Time
	deficit time.Duration
}

const leastSleep = 2 * time.Millisecond

// wait sleeps when the loop is ahead of its rate after n turns.
func (t *throttle) wait(ctx context.Context, n int64, now time.Time) {
	elapsed := now.Sub(t.start).Seconds()
	if t.rate < 0 || elapsed <= 0 || float64(n)/elapsed <= t.rate {
		return
	}
	if t.rate == 0 {
		<-ctx.Done()
		return
	}
	t.deficit += time.Duration(float64(time.Second) / t.rate)
	if t.deficit < leastSleep {
		return
	}
	timer := time.NewTimer(t.deficit)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	t.deficit = 0
}
