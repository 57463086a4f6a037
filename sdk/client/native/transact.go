package native

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/millrace/millrace/sdk/client/native/transaction"
)

// transactions is the sender's half that has to do with them: a machine that decides, those
// who wait for it, and where its questions go.
type transactions struct {
	m       *transaction.Machine
	waiting []*transacting
	asks    chan *transaction.Ask // one at a time
	last    atomic.Pointer[error] // why the machine asks again; for callers who run out of time
}

// transacting is a caller who wants something of a transaction.
type transacting struct {
	begin func(m *transaction.Machine) (*transaction.Call, error)
	call  *transaction.Call // nil: over at once
	err   error             // once done
	done  chan struct{}
}

// refuse has Append answer why no record may be sent; nil: they may. What was closed stays so.
func (p *Producer) refuse(why error) {
	var next *error
	if why != nil {
		next = &why
	}
	for {
		is := p.refusal.Load()
		if is == next || is != nil && (*is == ErrClosed || *is == why) {
			return
		}
		if p.refusal.CompareAndSwap(is, next) {
			return
		}
	}
}

// transact has the sender do something to its transactions, and waits for it.
func (p *Producer) transact(ctx context.Context, begin func(m *transaction.Machine) (*transaction.Call, error)) error {
	c := &transacting{begin: begin, done: make(chan struct{})}
	if err := p.tell(c); err != nil {
		return err
	}
	var err error
	select {
	case <-c.done:
		return c.err
	case <-p.ended:
		err = ErrClosed
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	select {
	case <-c.done: // at the last moment
		return c.err
	default:
	}
	if t := p.sender.txn; t != nil {
		if last := t.last.Load(); last != nil {
			err = fmt.Errorf("%w (last: %w)", err, *last)
		}
	}
	_ = p.tell(&leaving{c}) // when it cannot be told, the sender is gone
	return err
}

// InitTransactions ends what a producer with the same id left, and keeps that one from going
// on. When ctx ends before, it may be called again, as CommitTransaction and AbortTransaction.
func (p *Producer) InitTransactions(ctx context.Context) error {
	return p.transact(ctx, (*transaction.Machine).Init)
}

// BeginTransaction makes all that is appended until its end part of a transaction.
func (p *Producer) BeginTransaction(ctx context.Context) error {
	return p.transact(ctx, func(m *transaction.Machine) (*transaction.Call, error) { return nil, m.Begin() })
}

// SendOffsets commits offsets with the transaction.
func (p *Producer) SendOffsets(ctx context.Context, o *transaction.Offsets) error {
	return p.transact(ctx, func(m *transaction.Machine) (*transaction.Call, error) { return m.SendOffsets(o) })
}

// CommitTransaction waits for what was appended, and commits it.
func (p *Producer) CommitTransaction(ctx context.Context) error {
	return p.transact(ctx, (*transaction.Machine).Commit)
}

// AbortTransaction gives up what was not sent, and aborts the rest.
func (p *Producer) AbortTransaction(ctx context.Context) error {
	return p.transact(ctx, (*transaction.Machine).Abort)
}

func (c *transacting) happen(s *sender) {
	t := s.txn
	if t == nil {
		c.err = fmt.Errorf("the producer has no transactional id")
		close(c.done)
		return
	}
	if c.call, c.err = c.begin(t.m); c.err == nil && c.call == nil {
		t.settle(s)
	}
	if c.call == nil {
		close(c.done)
		return
	}
	t.waiting = append(t.waiting, c)
	t.settle(s)
	if state := t.m.State(); state == transaction.Committing || state == transaction.Aborting {
		s.gatherAll() // nothing is appended any more
	}
}

// leaving is a caller who does not wait any more.
type leaving struct{ *transacting }

func (l *leaving) happen(s *sender) {
	if l.call == nil { // it was over at once, and would be again
		return
	}
	s.txn.waiting = slices.DeleteFunc(s.txn.waiting, func(c *transacting) bool { return c == l.transacting })
	select {
	case <-l.done:
		l.call.Unheard() // the outcome came when nobody listened any more: it is kept for the next call
	default:
	}
}

// answered is what a coordinator said.
type answered struct{ *transaction.Answer }

func (a *answered) happen(s *sender) {
	if err := a.Err; err != nil {
		s.o.Log.Debug("a coordinator refuses, or does not answer", "transactional.id", s.o.TransactionalID, "why", err)
	}
	s.txn.m.Answered(s.p.now(), a.Answer)
	s.txn.settle(s)
}

// transact asks what the machine wants to know, and says when to look again.
func (s *sender) transact(now int64) (wakeAt int64) {
	t := s.txn
	if t == nil || s.abandoned {
		return never
	}
	busy := s.busy()
	if s.closing && !busy && t.m.Ongoing() {
		_, _ = t.m.Abort() // refused while it is being ended, or once nothing can be done
	}
	if why := t.m.Dropping(); why != nil {
		t.settle(s) // refuses what comes, before the rest is given up
		s.giveUp(why)
		busy = s.busy()
	}
	ask, wakeAt := t.m.Next(now, busy)
	switch {
	case ask == nil:
	case ask.Kind == transaction.Find || ask.Kind == transaction.FindGroup:
		s.control <- job{find: ask}
	default:
		t.asks <- ask
	}
	t.settle(s)
	return wakeAt
}

// settle makes known what the machine has decided.
func (t *transactions) settle(s *sender) {
	i := &s.identity
	i.id, i.epoch = t.m.Producer()
	i.known = i.id >= 0
	s.p.number.Store(int64(t.m.Number())) // before records are let in
	if t.last.Store(nil); t.m.Why() != nil {
		t.last.Store(new(t.m.Why()))
	}
	s.p.refuse(t.m.Refusal())
	t.waiting = slices.DeleteFunc(t.waiting, func(c *transacting) bool {
		over, err := c.call.Outcome()
		if over {
			c.call.Heard()
			c.err = err
			close(c.done)
		}
		return over
	})
}

// over reports whether a producer that is being closed has no transaction to end.
func (t *transactions) over() bool { return t == nil || !t.m.Ongoing() }

// busy reports whether a batch waits or is under way.
func (s *sender) busy() bool {
	return slices.ContainsFunc(s.active, func(part *partition) bool { return !part.idle() })
}

// gatherAll queues all that was appended.
func (s *sender) gatherAll() {
	for _, parts := range s.parts {
		for _, part := range parts {
			part.gather(true)
			s.activate(part)
		}
	}
}

// giveUp fails the batches that are not under way.
func (s *sender) giveUp(why error) {
	for _, part := range s.active {
		part.gather(true)
		for i, b := range part.queue {
			part.queue[i] = nil
			part.renumber = part.renumber || b.numbered
			s.settle(b, why, -1, -1)
			s.release(b)
		}
		part.queue = part.queue[:0]
	}
}

// admitted reports whether a partition is part of the transaction, so that its batches may go.
func (s *sender) admitted(part *partition) bool {
	t := s.txn
	if t == nil {
		return true
	}
	return t.m.Admit(transaction.Partition{Topic: part.topic, Index: part.index})
}
