package engine

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/config"
)

// A broker whose clock is not the system's tells times by its own alone.
func TestABrokerHasOneClock(t *testing.T) {
	onlyOurs(t)
	settings, err := config.Parse("", "", []string{
		"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=" + t.TempDir(), "admin.listener=127.0.0.1:0", "profile.interval.ms=0",
		"plugins=obedient", "plugin.obedient.breaker.faults=3", "plugin.obedient.breaker.cooldown.ms=30000",
	})
	if err != nil {
		t.Fatal(err)
	}
	var at atomic.Int64 // seconds
	at.Store(1_500_000_000)
	b, err := Start(Options{Settings: settings, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Unix(at.Load(), 0) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, b) })
	p := dial(t, b.Addresses()[0])
	s, plain := p.topic(1, "interceptors.produce", "obedient"), p.topic(1)

	if code := p.transactor("open").send(12, plain, 0, "v"); code != 0 {
		t.Fatal(errorName(code))
	}
	for range 3 {
		want(t, "a fault", p.produce(9, s, 0, records("panic")).ErrorCode, kerr.PolicyViolation)
	}
	for _, step := range []struct {
		after int64
		open  float64
		why   string
	}{{0, 0, "switched off"}, {29, 29, "switched off"}, {1, 30, "as asked"}} {
		at.Add(step.after)
		if got := scrape(t, b, "millrace_transactions_oldest_open_seconds"); got != step.open {
			t.Errorf("the oldest transaction is open for %v s, want %v", got, step.open)
		}
		if r := p.produce(9, s, 0, records("panic")); !strings.Contains(why(r), step.why) {
			t.Errorf("after %v s told %q, want %q", step.open, why(r), step.why)
		}
	}
}
