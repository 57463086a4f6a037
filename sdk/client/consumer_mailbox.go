package client

import (
	"runtime"
	"sync/atomic"
)

// mailbox is where other goroutines leave what the one that uses the consumer shall do, in
// the order in which it came. It takes any number: whoever puts must not be held up.
type mailbox struct {
	newest atomic.Pointer[letter]
	signal chan struct{} // holds one when something came; for whoever waits for nothing else
}

type letter struct {
	do    func()
	older *letter
}

func newMailbox() *mailbox { return &mailbox{signal: make(chan struct{}, 1)} }

// put leaves do for the owner.
func (m *mailbox) put(do func()) {
	l := &letter{do: do}
	for {
		l.older = m.newest.Load()
		if m.newest.CompareAndSwap(l.older, l) {
			break
		}
	}
	select {
	case m.signal <- struct{}{}:
	default:
	}
}

func (m *mailbox) empty() bool { return m.newest.Load() == nil }

// run does all that came, the oldest first.
func (m *mailbox) run() {
	var first *letter
	for l := m.newest.Swap(nil); l != nil; {
		older := l.older
		l.older, first, l = first, l, older
	}
	for ; first != nil; first = first.older {
		first.do()
	}
}

// turn lets one goroutine at a time use a consumer, and lets it lend its turn to a listener
// that it calls.
//
//	free ──enter──▶ held ──lend──▶ lent ──enter──▶ used
//	  ◀────leave────      ◀─return──     ◀──leave───
type turn struct{ state atomic.Int32 }

const (
	free int32 = iota
	held
	lent
	used
)

// enter takes the turn; leave gives it back.
func (t *turn) enter() (leave func(), err error) {
	switch {
	case t.state.CompareAndSwap(free, held):
		return func() { t.state.Store(free) }, nil
	case t.state.CompareAndSwap(lent, used):
		return func() { t.state.Store(lent) }, nil
	default:
		return nil, ErrConcurrentUse
	}
}

// lend calls do, which may enter, as may what it calls; a panic of it is an error. So may, without a right to it, a
// goroutine that comes just then, for nobody can tell them apart: until that has left, the
// turn does not come back.
func (t *turn) lend(do func() error) error {
	if !t.state.CompareAndSwap(held, lent) {
		return guarded(do) // the listener's listener: it has the turn already
	}
	defer func() {
		for !t.state.CompareAndSwap(lent, held) {
			runtime.Gosched()
		}
	}()
	return guarded(do)
}

// listening reports whether a listener has the turn.
func (t *turn) listening() bool { s := t.state.Load(); return s == lent || s == used }
