package chain

import (
	"math"
	"sync/atomic"
	"time"
)

// Breaker switches a plugin off that fails too often, for a while. All instances of the
// plugin share it: any goroutine.
type Breaker struct {
	window, coolDown int64 // nanoseconds
	faults           []atomic.Int64
	next             atomic.Uint64
	until            atomic.Int64
	trips            atomic.Uint64
}

// longAgo is before all faults.
const longAgo = math.MinInt64 / 2

// NewBreaker is a breaker that switches off after so many faults within a window, and on
// again after a cool-down. With faults ≤ 0 it never does.
func NewBreaker(faults int, window, coolDown time.Duration) *Breaker {
	b := &Breaker{window: int64(window), coolDown: int64(coolDown), faults: make([]atomic.Int64, max(0, faults))}
	b.until.Store(longAgo)
	b.forget()
	return b
}

func (b *Breaker) forget() {
	for i := range b.faults {
		b.faults[i].Store(longAgo)
	}
}

// Off reports whether the plugin is switched off.
func (b *Breaker) Off(now time.Time) bool {
	return b != nil && now.UnixNano() < b.until.Load()
}

// Rest is how long the plugin is switched off yet; 0 when it is not.
func (b *Breaker) Rest(now time.Time) time.Duration {
	if !b.Off(now) {
		return 0
	}
	return time.Duration(b.until.Load() - now.UnixNano())
}

// Trips is how often the plugin was switched off.
func (b *Breaker) Trips() uint64 {
	if b == nil {
		return 0
	}
	return b.trips.Load()
}

// Fault notes a fault. Each takes the place of the one so many before it: when that is
// within the window, there were too many. It reports whether that is so.
func (b *Breaker) Fault(now time.Time) (tripped bool) {
	if b == nil || len(b.faults) == 0 {
		return false
	}
	at := now.UnixNano()
	n := b.next.Add(1)
	b.faults[n%uint64(len(b.faults))].Store(at)
	oldest := b.faults[(n+1)%uint64(len(b.faults))].Load()
	if at-oldest > b.window {
		return false
	}
	b.until.Store(at + b.coolDown)
	b.trips.Add(1)
	b.forget()
	return true
}
