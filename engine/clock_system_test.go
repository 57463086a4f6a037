package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/engine/config"
)

// fickle is a system whose time somebody sets.
type fickle struct {
	begin            time.Time
	ran, jump, slept atomic.Int64 // nanoseconds
}

func newFickle() *fickle { return &fickle{begin: time.Now().Round(0)} }

func (s *fickle) clocks() system {
	return system{read: func() (time.Time, time.Duration) {
		ran := time.Duration(s.ran.Load())
		return s.begin.Add(ran + time.Duration(s.slept.Load()+s.jump.Load())), ran
	}, slept: func() time.Duration { return time.Duration(s.slept.Load()) }}
}

// pass has d pass, with a look at the system's time each second, and reports whether the
// clock ever went back.
func (s *fickle) pass(c *clock, d time.Duration) (back bool) {
	before := c.Now()
	for ; d > 0; d -= time.Second / 2 {
		s.ran.Add(int64(time.Second / 2))
		back = back || c.Now().Before(before)
		before = c.Now()
		if time.Duration(s.ran.Load())%time.Second == 0 {
			c.Adjust()
		}
		back = back || c.Now().Before(before)
		before = c.Now()
	}
	return back
}

const year = 365 * 24 * time.Hour

// TestTheClockBearsJumps: whatever somebody does to the system's time, durations stay what they
// are, and the clock never goes back.
func TestTheClockBearsJumps(t *testing.T) {
	for name, test := range map[string]struct {
		jump        time.Duration
		after       time.Duration
		least, most time.Duration // how far the clock is ahead of what has passed
		past        time.Duration // the same of what records are measured by
	}{
		"none":                      {0, time.Minute, 0, 0, 0},
		"NTP, ahead":                {time.Second / 2, time.Minute, time.Second / 2, time.Second / 2, time.Second / 2},
		"NTP, back":                 {-time.Second / 2, time.Minute, -time.Second / 2, -time.Second / 2, -time.Second / 2},
		"to the year 2100":          {74 * year, 30 * time.Minute, 0, 4 * time.Minute, 181 * time.Second},
		"to 2100, and nobody minds": {74 * year, 61 * time.Minute, 74 * year, 74 * year, 74 * year},
		"to the year 1970":          {-56 * year, 2 * time.Hour, -13 * time.Minute, 0, -56 * year},
		"an hour back, for eleven":  {-time.Hour, 11 * time.Hour, -time.Hour, -time.Hour, -time.Hour},
		"an hour ahead, for two":    {time.Hour, 2 * time.Hour, time.Hour, time.Hour, time.Hour},
	} {
		s := newFickle()
		c := newClock(s.clocks(), slog.New(slog.DiscardHandler))
		s.pass(c, time.Minute)
		s.jump.Store(int64(test.jump))
		if c.Now() != s.begin.Add(time.Minute) {
			t.Errorf("%s: the clock jumped with it, by %v", name, c.Now().Sub(s.begin)-time.Minute)
		}
		if s.pass(c, test.after) {
			t.Errorf("%s: the clock went back", name)
		}
		passed := time.Minute + test.after
		if off := c.Now().Sub(s.begin) - passed; off < test.least || off > test.most {
			t.Errorf("%s: the clock is off by %v, want %v to %v", name, off, test.least, test.most)
		}
		if off := c.Past().Sub(s.begin) - passed; (off - test.past).Abs() > 2*time.Second {
			t.Errorf("%s: records are measured by a time that is off by %v, want %v", name, off, test.past)
		}
	}
}

// TestAClockThatJumpedAndCameBack leaves nothing behind.
func TestAClockThatJumpedAndCameBack(t *testing.T) {
	s := newFickle()
	c := newClock(s.clocks(), slog.New(slog.DiscardHandler))
	for range 3 {
		s.jump.Store(int64(74 * year))
		s.pass(c, 59*time.Minute)
		s.jump.Store(0)
		s.pass(c, 2*time.Hour)
	}
	if off := c.Now().Sub(s.begin) - time.Duration(s.ran.Load()); off != 0 {
		t.Errorf("the clock is off by %v", off)
	}
}

// TestTheClockCountsWhatTheSystemSlept at the next look, so that nobody has to wait for an hour.
func TestTheClockCountsWhatTheSystemSlept(t *testing.T) {
	s := newFickle()
	c := newClock(s.clocks(), slog.New(slog.DiscardHandler))
	for range 2 {
		s.pass(c, time.Minute)
		s.slept.Add(int64(9 * time.Hour))
		s.pass(c, time.Second)
		if off := c.Now().Sub(c.Wall()); off != 0 {
			t.Errorf("a second after it woke the clock is off by %v", off)
		}
	}
}

// jumping is a broker on a system whose time somebody sets.
func jumping(t *testing.T, overrides ...string) (*Broker, *fickle) {
	t.Helper()
	settings, err := config.Parse("", "", append([]string{
		"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=" + t.TempDir(), "admin.listener=", "group.initial.rebalance.delay.ms=0",
	}, overrides...))
	if err != nil {
		t.Fatal(err)
	}
	s := newFickle()
	b, err := Start(Options{Settings: settings, Log: slog.New(slog.DiscardHandler), clocks: s.clocks()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, b) })
	return b, s
}

// TestNothingIsDeletedWhenTheTimeJumps: a system that is in the year 2100 for a moment has no old records.
func TestNothingIsDeletedWhenTheTimeJumps(t *testing.T) {
	b, s := jumping(t)
	createTopic(t, b, 1, "kept")
	produce(t, client(t, b), "kept", 3)
	for _, jump := range []time.Duration{74 * year, -56 * year, 0} {
		s.jump.Store(int64(jump))
		b.Recheck()
		if got := len(readAll(t, b, "kept")); got != 3 {
			t.Fatalf("with a system's time that is %v off there are %d records, want 3", jump, got)
		}
	}
	s.ran.Store(int64(8 * 24 * time.Hour)) // the default is a week
	b.Recheck()
	if got := len(readAll(t, b, "kept")); got != 0 {
		t.Errorf("after eight days there are %d records", got)
	}
}

// TestATransactionIsAsLongAsItsTimeLimit, whatever the system's time does meanwhile.
func TestATransactionIsAsLongAsItsTimeLimit(t *testing.T) {
	b, s := jumping(t, "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000")
	createTopic(t, b, 1, "t")
	c := client(t, b, kgo.TransactionalID("x"), kgo.TransactionTimeout(time.Minute))
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := c.ProduceSync(limited(t), &kgo.Record{Topic: "t", Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	open := func() bool {
		b.Recheck()
		r := b.registry.Named("t").Replica(0)
		return r.StableOffset() < r.HighWatermark()
	}
	for _, jump := range []time.Duration{74 * year, -56 * year} {
		s.jump.Store(int64(jump))
		s.ran.Add(int64(2 * time.Second))
		if !open() {
			t.Fatalf("a jump of %v ended the transaction", jump)
		}
	}
	s.ran.Add(int64(time.Minute))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for open() {
		if err := ctx.Err(); err != nil {
			t.Fatal(errors.New("the transaction is open behind its time limit"))
		}
	}
}

// TestRecordsAreStampedWithTheSystemsTime, as Kafka does, whatever the broker makes of it.
func TestRecordsAreStampedWithTheSystemsTime(t *testing.T) {
	b, s := jumping(t)
	p := dial(t, b.Addresses()[0])
	to := p.topic(1, "message.timestamp.type", "LogAppendTime")
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		s.jump.Store(int64(jump))
		at := p.produce(9, to, 0, records("v")).LogAppendTime
		if want := s.begin.Add(jump).UnixMilli(); at != want {
			t.Errorf("with a system's time that is %v off it was stamped %d ms off", jump, at-s.begin.UnixMilli())
		}
	}
}
