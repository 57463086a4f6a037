package unpack

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Two who need more than half of the budget each come to it one after the other: none waits
// with memory in its hands.
func TestPursesAreFilledAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		ended := make(chan error, 2)
		begin := time.Now()
		for range 2 {
			go func() {
				p := b.Purse()
				err := p.Wait(70)
				for range 7 {
					if err == nil {
						err = p.Borrow(10)
						time.Sleep(time.Millisecond) //nolint:forbidigo // the clock is synctest's
					}
				}
				p.Return(70)
				p.Close()
				ended <- err
			}()
		}
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(begin); took >= patience || b.Used() != 0 {
			t.Errorf("it took %v, %d bytes are lent", took, b.Used())
		}
	})
}

func TestAPurseTakesWhatIsFreeAndDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		if err := b.Borrow(30); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		p := b.Purse()
		if err := p.Borrow(60); err != nil || b.Used() != 90 {
			t.Errorf("60 of 70: %v, %d are lent", err, b.Used())
		}
		if err := p.Borrow(20); !errors.Is(err, ErrSpent) {
			t.Errorf("20 of 10: %v", err)
		}
		if err := p.Borrow(41); err == nil || errors.Is(err, ErrSpent) || !strings.Contains(err.Error(), "101 bytes") {
			t.Errorf("101 of 100: %v", err)
		}
		p.Return(50)
		if err := p.Reserve(45); err != nil || b.Used() != 90 {
			t.Errorf("what was put back is not there: %v, %d are lent", err, b.Used())
		}
		p.Close()
		if b.Used() != 40 {
			t.Errorf("%d bytes are lent, want the 30 of before and the 10 that are still borrowed", b.Used())
		}
		b.Return(10)
		if err := p.Wait(1000); !errors.Is(err, ErrSpent) || time.Since(begin) != patience {
			t.Errorf("all of it, of which 30 bytes are lent: %v after %v", err, time.Since(begin))
		}
		b.Return(30)
		if err := p.Wait(1000); err != nil || b.Used() != 100 {
			t.Errorf("all of it: %v, %d bytes are lent", err, b.Used())
		}
		if err := b.Eager().Borrow(1); !errors.Is(err, ErrSpent) {
			t.Errorf("one more: %v", err)
		}
		p.Close()
		if err := b.Eager().Borrow(1); err != nil || b.Used() != 1 {
			t.Errorf("when all is free: %v", err)
		}
		b.Eager().Return(1)
	})
}

func TestAShareIsBounded(t *testing.T) {
	s := NewBudget(100).Share(2)
	for _, test := range []struct {
		take  int
		spent bool
	}{{30, false}, {21, true}, {20, false}, {1, true}} {
		if err := s.Take(test.take); errors.Is(err, ErrSpent) != test.spent || err != nil && !test.spent {
			t.Errorf("take %d: %v", test.take, err)
		}
	}
	if err := s.Take(51); err == nil || errors.Is(err, ErrSpent) {
		t.Errorf("more than there ever is: %v", err)
	}
	s.Give(50)
	if s.Used() != 0 || s.Limit() != 50 {
		t.Errorf("%d of %d are taken", s.Used(), s.Limit())
	}
}

// Who must not wait fills a purse with what is free, or does not.
func TestAPurseIsFilledWithoutWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, begin := NewBudget(100), time.Now()
		p := b.Purse()
		if err := p.Borrow(10); err != nil {
			t.Fatal(err)
		}
		if err := p.Fill(60); err != nil || b.Used() != 60 {
			t.Errorf("60 of 100: %v, %d are lent", err, b.Used())
		}
		if err := p.Fill(1000); err != nil || b.Used() != 100 {
			t.Errorf("all of it: %v, %d are lent", err, b.Used())
		}
		p.Return(10)
		p.Close()
		if err := b.Borrow(1); err != nil {
			t.Fatal(err)
		}
		if err := p.Fill(1000); !errors.Is(err, ErrSpent) || !time.Now().Equal(begin) {
			t.Errorf("all of it, of which one byte is lent: %v after %v", err, time.Since(begin))
		}
		b.Return(1)
	})
}
