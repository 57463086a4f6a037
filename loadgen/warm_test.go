package loadgen

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What is free beyond the spare is taken, given back as others need it, and all of it at the end.
func TestMemoryTakesWhatIsFreeAndGivesItBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var others, pieces atomic.Int64 // bytes that somebody else wants, and what is held
		m := &Memory{asked: make(chan request), done: make(chan struct{})}
		m.free = func() (int64, error) {
			pieces.Store(int64(len(m.held)))
			return spare + 4*piece - others.Load() - pieces.Load()*piece, nil
		}
		go m.run()
		take := func(ctx context.Context) error {
			r := request{ctx, make(chan error, 1)}
			m.asked <- r
			return <-r.end
		}
		held := func(want int64) {
			t.Helper()
			if got := pieces.Load(); got != want {
				t.Errorf("%d pieces are held, want %d", got, want)
			}
		}
		if err := take(t.Context()); err != nil {
			t.Fatal(err)
		}
		held(4)
		others.Store(2*piece + 1)
		<-time.After(4 * lookMemory) // of the bubble's time
		synctest.Wait()
		held(1)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		others.Store(0)
		if err := take(over); err == nil {
			t.Error("memory is taken for a run that is over")
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if len(m.held) != 0 {
			t.Errorf("%d pieces are held after the end", len(m.held))
		}
	})
}
