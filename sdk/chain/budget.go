package chain

import (
	"errors"
	"sync/atomic"
	"time"
)

const (
	second = int64(time.Second)
	// longestDebt is how long a plugin is not called at most, whatever its last call took.
	longestDebt = int64(time.Minute)
)

// Budget is the time that a plugin may take of each second, for calls of some kind. A second's
// worth may be drawn at once; from then on it is earned back as time goes by. A call is not
// cut short: what it takes beyond the budget is a debt. All instances of the plugin share
// it: any goroutine.
//
//	drawn    ▐█▌ a call of 25 ms                  each: 10 ms of a second
//	time  ────┼───────────────────────┼──────▶
//	          └──── spent for 1.5 s ──┘ then a call may be made, and after 2.5 s it is all there
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
	// A debt larger than any is of a clock that was set back since.
	if debt := b.repaid.Load() - now.UnixNano(); debt < second || debt > longestDebt {
		return nil
	}
	return b.spent
}

// Draw takes the time of a call that has ended now.
func (b *Budget) Draw(now time.Time, took time.Duration) {
	if b == nil || took <= 0 {
		return
	}
	at := now.UnixNano()
	earned := int64(min(float64(took)/float64(b.each)*float64(second), float64(longestDebt)))
	for {
		before := b.repaid.Load()
		from := before
		if before < at || before > at+longestDebt {
			from = at
		}
		if b.repaid.CompareAndSwap(before, min(from+earned, at+longestDebt)) {
			return
		}
	}
}
