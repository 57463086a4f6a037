package chain

import (
	"errors"
	"sync/atomic"
	"time"
)

const (
	second = int64(time.Second)
	// saved is how long it takes to save up all that may be drawn at once: as long as the breaker
	// looks back, so that a few faults bar nobody.
	saved = 10 * second
	// longestDebt keeps a plugin from being called for a minute at most, whatever its last call took; for as
	// much as apart longer when the clock is set back meanwhile.
	longestDebt = saved + int64(time.Minute)
	// apart is more than there can be between the times of two calls that end at once, on processors
	// that are busy with others. A debt that much larger than any is of a clock that was set back.
	apart = int64(time.Minute)
)

// Budget is the time that a plugin may take of each second, for calls of some kind. What it does
// not take is saved up, ten seconds' worth at most, which is there at the start too. A call is not
// cut short: what it takes beyond the budget is a debt. All instances of the plugin share it: any
// goroutine.
//
//	drawn    ▐█▌ a call of 115 ms, of a full budget of 10 ms of each second
//	time  ────┼─────────────┼──────────────────────────────────▶
//	          └─ for 1.5 s ─┘ then a call may be made, and 10 s later all is saved up again
//	             it is spent
type Budget struct {
	each   int64        // nanoseconds of each second
	repaid atomic.Int64 // when all that was drawn will be earned back
	spent  error
}

// NewBudget is a budget of so much of each second; nil, which is without a bound, when that is
// not positive. The words are what is said while it is spent.
func NewBudget(each time.Duration, words string) *Budget {
	if each <= 0 {
		return nil
	}
	b := &Budget{each: int64(each), spent: errors.New(words)}
	b.repaid.Store(longAgo)
	return b
}

// Spent says why the plugin must not be called now; nil when it may be.
func (b *Budget) Spent(now time.Time) error {
	if b == nil {
		return nil
	}
	if owed(b.repaid.Load(), now.UnixNano()) < saved {
		return nil
	}
	return b.spent
}

// Rest is how long it is spent yet; 0 when it is not.
func (b *Budget) Rest(now time.Time) time.Duration {
	if b.Spent(now) == nil {
		return 0
	}
	return time.Duration(max(0, owed(b.repaid.Load(), now.UnixNano())-saved)) + 1
}

// Draw takes the time of a call that has ended now. It never makes less of what is owed, though the
// time of a call that was drawn before may be a little later.
func (b *Budget) Draw(now time.Time, took time.Duration) {
	if b == nil || took <= 0 {
		return
	}
	at := now.UnixNano()
	earned := int64(min(float64(took)/float64(b.each)*float64(second), float64(longestDebt)))
	for {
		before := b.repaid.Load()
		debt := owed(before, at)
		debt = max(debt, min(debt+earned, longestDebt))
		if b.repaid.CompareAndSwap(before, at+debt) {
			return
		}
	}
}

// owed is how long it takes from now on to earn all back.
func owed(repaid, now int64) int64 {
	if debt := repaid - now; debt <= longestDebt+apart {
		return max(0, debt)
	}
	return 0
}
