package security

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace/millrace/sdk"
)

// workers is how many messages of clients an authenticator is shown at a time, waiting how many may
// wait. A connection has one of them at most.
const (
	workers = 4
	waiting = 1024
)

// patience is how long the end of a broker waits for authenticators to heed the end of their contexts.
const patience = 2 * time.Second

// Worker shows an authenticator the messages of its clients. Any goroutine.
//
// Ownership: who makes it ends it by Close.
type Worker struct {
	authenticator sdk.Authenticator
	ctx           context.Context
	cancel        context.CancelFunc
	work          chan step
	running       sync.WaitGroup
}

// Answer is what an authenticator makes of a message.
type Answer struct {
	Token []byte
	Who   *sdk.Identity // nil: it is not proved yet
	Err   error
}

// Undecided reports whether an exchange failed for want of time: nobody judged the client, which may
// well succeed when it tries again.
func Undecided(err error) bool {
	_, denied := errors.AsType[*sdk.Denial](err)
	return !denied && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled))
}

type step struct {
	ctx      context.Context
	exchange sdk.Exchange
	message  []byte
	done     func(Answer)
}

// NewWorker has a few goroutines work for an authenticator.
func NewWorker(a sdk.Authenticator) *Worker {
	w := &Worker{authenticator: a, work: make(chan step, waiting)}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	for range workers {
		w.running.Go(w.run)
	}
	return w
}

// Mechanism is the name of what it works for.
func (w *Worker) Mechanism() string { return w.authenticator.Mechanism() }

// run works until the end. What waits then fails, since its time is over.
func (w *Worker) run() {
	for {
		select {
		case s := <-w.work:
			s.done(s.run())
			continue
		case <-w.ctx.Done():
		}
		select {
		case s := <-w.work:
			s.done(s.run())
		default:
			return
		}
	}
}

// Close ends the contexts of what is under way, and waits for it as far as it heeds that. Nobody may
// call Step any more.
func (w *Worker) Close() error {
	w.cancel()
	ended := make(chan struct{})
	go func() {
		w.running.Wait()
		close(ended)
	}()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-ended:
		return nil
	case <-limit.C:
		return fmt.Errorf("the authenticator of %s does not heed that its time is over", w.Mechanism())
	}
}

// Begin begins an exchange with one client, which has until the deadline. A nil exchange: the
// authenticator panicked.
func (w *Worker) Begin(peer sdk.Peer, deadline time.Duration) (e *Exchange) {
	defer func() {
		if recover() != nil {
			e = nil
		}
	}()
	one := w.authenticator.Begin(peer)
	if one == nil {
		return nil
	}
	e = &Exchange{worker: w, exchange: one}
	e.ctx, e.end = context.WithTimeout(w.ctx, deadline)
	return e
}

// Exchange is one client's with an authenticator.
//
// Ownership: the loop of the client's connection, which ends it by End.
type Exchange struct {
	worker   *Worker
	exchange sdk.Exchange
	ctx      context.Context
	end      context.CancelFunc
}

// End has what is under way end.
func (e *Exchange) End() { e.end() }

// Step has the authenticator see a message; done is called on a worker. It reports false, and done is
// not called, when too many wait already.
//
// Ownership: the message is the authenticator's.
func (e *Exchange) Step(message []byte, done func(Answer)) bool {
	select {
	case e.worker.work <- step{e.ctx, e.exchange, message, done}:
		return true
	default:
		return false
	}
}

// run is one step. Whatever a plugin does, there is an answer, unless it never comes back.
func (s *step) run() (a Answer) {
	defer func() {
		if p := recover(); p != nil {
			a = Answer{Err: fmt.Errorf("the authenticator panicked: %v", p)}
		}
	}()
	if err := s.ctx.Err(); err != nil {
		return Answer{Err: fmt.Errorf("too late: %w", err)}
	}
	a.Token, a.Who, a.Err = s.exchange.Step(s.ctx, s.message)
	_, denied := errors.AsType[*sdk.Denial](a.Err)
	switch {
	case s.ctx.Err() != nil && !denied: // whatever the authenticator calls that
		a = Answer{Err: fmt.Errorf("too late: %w", s.ctx.Err())}
	case a.Err != nil:
		a.Token, a.Who = nil, nil
	case a.Who != nil && (a.Who.Principal.Type == "" || a.Who.Principal.Name == ""):
		a = Answer{Err: errors.New("the authenticator says that it is nobody")}
	}
	return a
}
