package unpack

import (
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestBorrowersWaitTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		if err := b.Borrow(80); err != nil {
			t.Fatal(err)
		}
		second := make(chan error, 1)
		go func() { second <- b.Borrow(50) }()
		synctest.Wait()
		select {
		case err := <-second:
			t.Fatalf("130 bytes of 100 are lent, or refused at once: %v", err)
		default:
		}
		b.Return(80)
		if err := <-second; err != nil || b.Used() != 50 {
			t.Fatalf("%v, %d bytes are lent", err, b.Used())
		}
	})
}

func TestBorrowersDoNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		if err := b.Borrow(80); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := b.Borrow(50); !errors.Is(err, ErrSpent) || time.Since(begin) != patience {
			t.Fatalf("%v after %v", err, time.Since(begin))
		}
		if err := b.Borrow(101); err == nil || errors.Is(err, ErrSpent) || time.Since(begin) != patience {
			t.Fatalf("more than there ever is: %v after %v", err, time.Since(begin))
		}
		if err := b.Borrow(20); err != nil || b.Used() != 100 {
			t.Fatalf("what is left: %v, %d bytes are lent", err, b.Used())
		}
	})
}

type work struct{ done, proceed chan struct{} }

func (w work) Unpack() {
	w.done <- struct{}{}
	<-w.proceed
}

func TestAPoolRefusesWhatIsTooMuch(t *testing.T) {
	p := NewPool(NewBudget(64 << 20))
	w := work{make(chan struct{}, 2*waitingWork), make(chan struct{})}
	accepted := 0
	for p.Post(w) {
		accepted++
		if accepted > 2*waitingWork {
			t.Fatal("everything is accepted")
		}
	}
	if p.Waiting() != waitingWork {
		t.Errorf("%d wait", p.Waiting())
	}
	close(w.proceed)
	p.Close()
	if len(w.done) != accepted {
		t.Errorf("%d of %d were done", len(w.done), accepted)
	}
}

// Small pieces are used again; of large ones no more than half of the budget waits for the
// collector.
func TestLargePiecesAreCollected(t *testing.T) {
	b := NewBudget(64 << 20)
	lend := func(bytes int) {
		t.Helper()
		if err := b.Borrow(bytes); err != nil {
			t.Fatal(err)
		}
		b.Return(bytes)
	}
	for range 1000 {
		lend(1 << 20)
	}
	if b.Collect() {
		t.Fatal("small pieces are collected")
	}
	lend(20 << 20)
	if b.Collect() {
		t.Fatal("a third of the budget is collected")
	}
	lend(20 << 20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if !b.Collect() || b.Collect() {
		t.Fatal("half of the budget is not collected, or twice")
	}
	if runtime.ReadMemStats(&after); after.NumGC == before.NumGC {
		t.Error("the collector did not run")
	}
}
