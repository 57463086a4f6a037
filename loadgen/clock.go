package loadgen

import (
	"math"
	"time"
)

// clock counts nanoseconds from the moment it was started, monotonic. Every time in
// a phase is such a number, so that no two goroutines can disagree about one. It is
// started before the goroutines that read it and not changed after.
type clock struct {
	start time.Time
	epoch int64 // of start, in nanoseconds since 1970
}

// never is later than every time of a clock.
const never = math.MaxInt64

// begin makes now the time 0.
func (c *clock) begin() {
	c.start = time.Now()
	c.epoch = c.start.UnixNano()
}

func (c *clock) now() int64 { return int64(time.Since(c.start)) }

// wall translates a time of the clock into milliseconds since 1970.
func (c *clock) wall(at int64) int64 { return (c.epoch + at) / int64(time.Millisecond) }

func (c *clock) at(at int64) time.Time { return c.start.Add(time.Duration(at)) }
