// Package unpack bounds what it costs a broker to decompress what others sent: a few
// kilobytes may stand for gigabytes.
//
//	loop ──Work──▶ Pool (its workers: one CPU less than there are) ──task──▶ loop
//	                 │
//	                 ├── Budget: what must be held decompressed, of all of them together
//	                 └── Purse: of that, what one of them may take without waiting for others
//
// Most of what is decompressed is only looked through, in a window (sdk/batch, Scan), and
// takes no memory to speak of, but time: loops and shards, which others wait for, leave it
// to the pool. What cannot be done in a window borrows from the budget, and waits its turn
// when that is spent; who holds some of it already, or the place of an interceptor, takes what is
// free and does not wait.
package unpack

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// patience is how long somebody waits for others to give memory back.
const patience = 5 * time.Second

// ErrSpent says that the budget stayed spent. Who sent the records may send them again.
var ErrSpent = errors.New("there is no memory for decompressed records, send them again later (decompression.buffer.bytes)")

// Budget is the memory that may be held decompressed at a time. Any goroutine.
type Budget struct {
	limit int64
	turns *semaphore.Weighted // who comes first is served first
	used  atomic.Int64
	loose atomic.Int64 // given back, and for the garbage collector to find
}

// dropped is from which size on what is given back is garbage: nobody keeps so much for the
// batch after.
const dropped = 4 << 20

// NewBudget is a budget of so many bytes.
func NewBudget(bytes int64) *Budget {
	return &Budget{limit: bytes, turns: semaphore.NewWeighted(bytes)}
}

// Borrow takes memory out of the budget. When it is spent it waits a few seconds for
// others to give theirs back, and then answers ErrSpent.
func (b *Budget) Borrow(bytes int) error {
	if int64(bytes) > b.limit {
		return b.tooMuch(bytes)
	}
	if !b.turns.TryAcquire(int64(bytes)) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if b.turns.Acquire(ctx, int64(bytes)) != nil {
			return ErrSpent
		}
	}
	b.used.Add(int64(bytes))
	return nil
}

// Try is Borrow for those who must not wait.
func (b *Budget) Try(bytes int) error {
	if int64(bytes) > b.limit {
		return b.tooMuch(bytes)
	}
	if !b.turns.TryAcquire(int64(bytes)) {
		return ErrSpent
	}
	b.used.Add(int64(bytes))
	return nil
}

func (b *Budget) tooMuch(bytes int) error {
	return fmt.Errorf("the records need %d bytes at once when they are decompressed, and %d are allowed (decompression.buffer.bytes)", bytes, b.limit)
}

// Return gives memory back.
func (b *Budget) Return(bytes int) {
	if bytes >= dropped {
		b.loose.Add(int64(bytes))
	}
	b.used.Add(int64(-bytes))
	b.turns.Release(int64(bytes))
}

// Collect runs the garbage collector when half of the budget was given back in large pieces since
// it ran here last, and reports whether it did. By itself it would let the heap grow by gc.percent,
// and what was lent would be there two or three times beside what is lent. It takes milliseconds:
// not for loops and shards.
func (b *Budget) Collect() bool {
	loose := b.loose.Load()
	if loose < b.limit/2 || !b.loose.CompareAndSwap(loose, 0) {
		return false
	}
	runtime.GC()
	return true
}

// Used is how many bytes are lent.
func (b *Budget) Used() int64 { return b.used.Load() }

// waitingWork is how much may wait for a worker. A connection waits with one request that
// writes, behind which it is paused, and one fetch that interceptors see, behind which its other
// such fetches wait.
const waitingWork = 4096

// Pool has workers for what takes too long for a loop.
//
// Ownership: who makes it ends it by Close.
type Pool struct {
	work    chan Work
	workers sync.WaitGroup
}

// Work is something to do. It tells nobody but its owner how it went.
type Work interface{ Unpack() }

// NewPool starts the workers: all CPUs but one, which stays with those who wait. What they do
// takes its memory from that budget.
func NewPool(memory *Budget) *Pool {
	p := &Pool{work: make(chan Work, waitingWork)}
	for range Workers() {
		p.workers.Go(func() {
			for w := range p.work {
				w.Unpack()
				memory.Collect()
			}
		})
	}
	return p
}

// Workers is how many there are.
func Workers() int { return max(1, runtime.NumCPU()-1) }

// Post has w.Unpack called soon, unless too much waits already: then it reports false.
// Never after Close.
func (p *Pool) Post(w Work) bool {
	select {
	case p.work <- w:
		return true
	default:
		return false
	}
}

// Waiting is how much waits for a worker.
func (p *Pool) Waiting() int { return len(p.work) }

// Close has done what waits, and ends the workers.
func (p *Pool) Close() {
	close(p.work)
	p.workers.Wait()
}
