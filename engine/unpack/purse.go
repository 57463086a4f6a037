package unpack

import (
	"fmt"
	"sync/atomic"
)

// Purse is the memory of one piece of work. Whoever holds memory, or the place of an
// interceptor, must not wait for memory: two who did would wait for each other. So a purse is
// filled at once, by Wait, while its owner has nothing; what goes beyond that is taken when it is
// free, and refused when it is not.
//
// Ownership: one goroutine's, until Close.
type Purse struct {
	budget *Budget
	held   int // taken out of the budget
	used   int // of that, borrowed
}

// Purse is an empty purse.
func (b *Budget) Purse() Purse { return Purse{budget: b} }

// Wait fills the purse, which must be empty: with so many bytes, or with all that there ever
// are. When they are lent it waits a few seconds for them, and then answers ErrSpent.
func (p *Purse) Wait(bytes int) error {
	if p.used > 0 {
		panic(fmt.Sprintf("unpack: wait for %d bytes with %d in the purse", bytes, p.used))
	}
	p.Close()
	bytes = min(bytes, int(p.budget.limit))
	if err := p.budget.Borrow(bytes); err != nil {
		return err
	}
	p.held = bytes
	return nil
}

// Fill is Wait for those who must not wait: it answers ErrSpent at once. What is borrowed already
// is a part of what the purse then has.
func (p *Purse) Fill(bytes int) error {
	return p.Reserve(min(bytes, int(p.budget.limit)) - p.used)
}

// Reserve sees to it that so many bytes more can be borrowed. It does not wait.
func (p *Purse) Reserve(bytes int) error {
	need := p.used + bytes
	if int64(need) > p.budget.limit {
		return p.budget.tooMuch(need)
	}
	if need > p.held {
		if err := p.budget.Try(need - p.held); err != nil {
			return err
		}
		p.held = need
	}
	return nil
}

// Borrow takes from the purse, and beyond that what is free.
func (p *Purse) Borrow(bytes int) error {
	if err := p.Reserve(bytes); err != nil {
		return err
	}
	p.used += bytes
	return nil
}

// Return puts back what was borrowed.
func (p *Purse) Return(bytes int) { p.used -= bytes }

// Close empties the purse, but for what is still borrowed: that goes back to the budget itself,
// whenever its owner likes. An empty purse may be filled again.
func (p *Purse) Close() {
	if rest := p.held - p.used; rest > 0 {
		p.budget.Return(rest)
	}
	p.held, p.used = 0, 0
}

// Share is memory beside a budget, for what may be held for ever: whoever waits for the budget
// does not wait for that.
type Share struct {
	limit int64
	used  atomic.Int64
}

// Share is as much as one of so many parts of the budget, in addition to it.
func (b *Budget) Share(parts int) *Share { return &Share{limit: b.limit / int64(parts)} }

// Limit is how many bytes it is.
func (s *Share) Limit() int { return int(s.limit) }

// Take takes memory out of it. It does not wait.
func (s *Share) Take(bytes int) error {
	if int64(bytes) > s.limit {
		return fmt.Errorf("the answer needs %d bytes at once, and %d are allowed (half of decompression.buffer.bytes)", bytes, s.limit)
	}
	if s.used.Add(int64(bytes)) > s.limit {
		s.used.Add(int64(-bytes))
		return ErrSpent
	}
	return nil
}

// Give gives it back.
func (s *Share) Give(bytes int) { s.used.Add(int64(-bytes)) }

// Used is how much of the share is taken.
func (s *Share) Used() int64 { return s.used.Load() }

// eager is a budget for those who hold some of it already.
type eager Budget

// Eager lends what is free, and never waits.
func (b *Budget) Eager() *eager { return (*eager)(b) }

// Borrow takes what is free.
func (e *eager) Borrow(bytes int) error { return (*Budget)(e).Try(bytes) }

// Return gives memory back.
func (e *eager) Return(bytes int) { (*Budget)(e).Return(bytes) }
