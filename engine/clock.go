package engine

import (
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// clockPause is the time between two looks at the system's time.
	clockPause = time.Second
	// steepest is the largest share of a pause by which the clock is brought nearer to the
	// system's time in it: time limits become so much shorter or longer.
	steepest = 10
	// ordinary is how far the two may be apart before somebody is told.
	ordinary = time.Minute
	// standing is how long the system's time must have been ahead before it is taken over. Who
	// set it wrong has so long to set it right.
	standing = time.Hour
)

// clock is the time that a broker goes by, unless it is given another. It passes as the
// system's monotonic clock does, so that the time limits of members and transactions measure
// durations, and never goes back. What sets the system's time does not move it at once:
//
//	a little off      it runs faster or slower until the two agree, as after an adjustment by NTP
//	the system slept  that time has passed, for everybody
//	ahead for an hour it takes that time over: it was wrong before
//	behind            it runs slower; the difference that is left ends with the next start
//
// Readings have no monotonic part: those of one clock can be compared with moments that were
// made of milliseconds, in one order.
//
// Ownership: Adjust belongs to the housekeeper; the rest to everybody.
type clock struct {
	system
	log    *slog.Logger
	course atomic.Pointer[course]

	// The housekeeper's.
	slept time.Duration // what the clock knows of that
	ahead time.Duration // when the system's time was first seen far ahead, as it has run; zero: it is not
	told  bool
}

// course is how the clock runs from one adjustment on.
type course struct {
	from  time.Time
	ran   time.Duration // at from
	drift time.Duration // what it gains in the first pause; less than zero: what it loses
}

// system is what a system knows of time. Ran does not count what it has slept.
type system struct {
	read  func() (wall time.Time, ran time.Duration)
	slept func() time.Duration
}

// theSystem has the clocks there are.
func theSystem() system {
	begin := time.Now()
	read := func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Round(0), now.Sub(begin)
	}
	return system{read, sleptSinceBoot}
}

// newClock begins with the system's time.
func newClock(of system, log *slog.Logger) *clock {
	c := &clock{system: of, log: log, slept: of.slept()}
	wall, ran := c.read()
	c.course.Store(&course{from: wall, ran: ran})
	return c
}

// Now is the time (any).
func (c *clock) Now() time.Time {
	_, ran := c.read()
	return c.course.Load().at(ran)
}

// Past is the time by which records grow old: the earlier one of the clock's and the system's.
// What either of them takes for young is not removed (any).
func (c *clock) Past() time.Time {
	wall, ran := c.read()
	if now := c.course.Load().at(ran); now.Before(wall) {
		return now
	}
	return wall
}

// Wall is the system's time, which records are stamped with (any).
func (c *clock) Wall() time.Time {
	wall, _ := c.read()
	return wall
}

func (c *course) at(ran time.Duration) time.Time {
	passed := max(ran-c.ran, 0)
	return c.from.Add(passed + time.Duration(float64(c.drift)*min(float64(passed)/float64(clockPause), 1)))
}

// Adjust brings the clock nearer to the system's time.
func (c *clock) Adjust() {
	wall, ran := c.read()
	slept := c.system.slept()
	now := c.course.Load().at(ran).Add(max(slept-c.slept, 0))
	c.slept = max(c.slept, slept) // it is read in two steps, which may be a second off
	off := wall.Sub(now)
	if c.tell(off, ran); c.ahead != 0 && ran-c.ahead >= standing {
		c.log.Warn("the system's time has been ahead for long: it is taken over, so that time limits end early and records may be old at once", "ahead", off)
		c.course.Store(&course{from: wall, ran: ran})
		c.ahead, c.told = 0, false
		return
	}
	c.course.Store(&course{from: now, ran: ran, drift: min(max(off, -clockPause/steepest), clockPause/steepest)})
}

// tell notes since when the system's time is far off, and logs that once.
func (c *clock) tell(off, ran time.Duration) {
	far := off.Abs() > ordinary
	switch {
	case off <= ordinary:
		c.ahead = 0
	case c.ahead == 0:
		c.ahead = ran
	}
	if far && !c.told {
		what := "the system's time has jumped ahead: time limits are not touched, nothing grows old by it, and it is taken over in an hour; set it right, or start the broker again to take it over now"
		if off < 0 {
			what = "the system's time has gone back: the broker goes on with its own, and comes near slowly; start it again to take the system's over now"
		}
		c.log.Warn(what, "off", off)
	}
	c.told = far
}
