package native

import (
	"context"
	"errors"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/sdk/client/native/transaction"
)

// answer has the sender hear what a coordinator says to the next question.
func answer(t *testing.T, s *sender, a *transaction.Answer) {
	t.Helper()
	for now := s.p.now(); ; {
		ask, at := s.txn.m.Next(now, false)
		if ask != nil {
			break
		}
		if at == transaction.Never {
			t.Fatal("nothing is asked")
		}
		now = at
	}
	(&answered{a}).happen(s)
}

func transactional() (*sender, *partition) {
	return testSender(Options{TransactionalID: "x", Idempotent: true, RetryBackoff: func(int) time.Duration { return 0 }})
}

// A caller whose time ends when the outcome comes leaves that to the next call.
func TestAnOutcomeThatNobodyHeardIsKept(t *testing.T) {
	s, _ := transactional()
	first := &transacting{begin: (*transaction.Machine).Init, done: make(chan struct{})}
	first.happen(s)
	answer(t, s, &transaction.Answer{Broker: "a:1", ProducerID: -1, Version: -1})
	answer(t, s, &transaction.Answer{ProducerID: 7, Version: 2})
	select {
	case <-first.done:
	default:
		t.Fatal("the call is not over")
	}
	(&leaving{first}).happen(s)
	second := &transacting{begin: (*transaction.Machine).Init, done: make(chan struct{})}
	second.happen(s)
	select {
	case <-second.done:
	default:
		t.Fatal("the second call waits")
	}
	if second.err != nil {
		t.Errorf("the outcome was lost: %v", second.err)
	}
	if s.txn.m.Begin() != nil {
		t.Error("no transaction can be begun")
	}
}

// serveEvents is a sender that takes so many events.
func serveEvents(s *sender, count int) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		for range count {
			(<-s.events).happen(s)
		}
	}()
	return done
}

func TestACallThatRunsOutOfTimeSaysWhy(t *testing.T) {
	s, _ := transactional()
	s.p.ended = make(chan struct{})
	first := &transacting{begin: (*transaction.Machine).Init, done: make(chan struct{})}
	first.happen(s)
	answer(t, s, &transaction.Answer{Err: kerr.CoordinatorNotAvailable, ProducerID: -1, Version: -1})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrTimeout)
	done := serveEvents(s, 2)
	err := s.p.InitTransactions(ctx)
	if <-done; !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "find the coordinator of transactions: COORDINATOR_NOT_AVAILABLE") {
		t.Errorf("it says %v", err)
	}
}

// A producer without an id has no transactions, however it is called.
func TestTransactionsWithoutAnID(t *testing.T) {
	s, _ := testSender(Options{})
	s.p.ended = make(chan struct{})
	c := &transacting{done: make(chan struct{})}
	c.happen(s)
	(&leaving{c}).happen(s)
	done := serveEvents(s, 1)
	err := s.p.CommitTransaction(t.Context())
	if <-done; err == nil || !strings.Contains(err.Error(), "no transactional id") {
		t.Errorf("it says %v", err)
	}
}

// What stood in the way of a request is no answer to it, whatever it is called.
func TestARefusalOnTheWayIsNoAnswer(t *testing.T) {
	s, _ := transactional()
	s.o.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, kerr.SaslAuthenticationFailed }
	s.o.Servers = []string{"a:1"}
	c := &coordinators{o: s.o, at: map[string]*coordinator{}}
	for kind, got := range map[transaction.Kind]*transaction.Answer{
		transaction.End:  c.carry(t.Context(), &transaction.Ask{Kind: transaction.End, To: "a:1"}),
		transaction.Find: (&control{o: s.o}).locate(t.Context(), &transaction.Ask{Kind: transaction.Find}),
	} {
		if !got.Unanswered || !errors.Is(got.Err, kerr.SaslAuthenticationFailed) {
			t.Errorf("%s: unanswered %v, %v", kind, got.Unanswered, got.Err)
		}
	}
}

// A record that waits for memory while its transaction ends is not part of the next.
func TestARecordStaysOutOfTheNextTransaction(t *testing.T) {
	s, part := transactional()
	p := s.p
	first := &transacting{begin: (*transaction.Machine).Init, done: make(chan struct{})}
	first.happen(s)
	answer(t, s, &transaction.Answer{Broker: "a:1", ProducerID: -1, Version: -1})
	answer(t, s, &transaction.Answer{ProducerID: 7, Version: 2})
	do := func(what func(m *transaction.Machine) (*transaction.Call, error)) {
		c := &transacting{begin: what, done: make(chan struct{})}
		c.happen(s)
		s.transact(p.now())
		if <-c.done; c.err != nil {
			t.Fatal(c.err)
		}
	}
	begin := func(m *transaction.Machine) (*transaction.Call, error) { return nil, m.Begin() }
	do(begin)
	all := 1 << 20
	if !p.memory.TryTake(all) {
		t.Fatal("there is no memory")
	}
	sent := make(chan error, 1)
	topic := &Topic{Name: "t", parts: []*partition{part}}
	record := &Record{Value: []byte("late"), Transaction: p.Number()}
	go func() {
		_, err := p.Put(t.Context(), topic, 0, record, time.Minute)
		sent <- err
	}()
	for !p.memory.Blocked() {
		runtime.Gosched()
	}
	do((*transaction.Machine).Commit)
	do(begin)
	p.memory.Give(all)
	if err := <-sent; !errors.Is(err, errOver) {
		t.Errorf("it is answered %v", err)
	}
	if b := part.open; b != nil && b.builder.Count() > 0 {
		t.Error("it is in the next transaction")
	}
	if !p.memory.TryTake(all) {
		t.Error("the memory that it got is not given back")
	}
	p.memory.Give(all)
	part.told = false
	p.ready.take(nil)
	record.Transaction = p.Number()
	if _, err := p.Put(t.Context(), topic, 0, record, time.Minute); err != nil || part.open.builder.Count() != 1 {
		t.Errorf("nothing is taken any more: %v", err)
	}
	if !slices.Contains(p.ready.take(nil), part) {
		t.Error("the sender is not told of the next record")
	}
}
