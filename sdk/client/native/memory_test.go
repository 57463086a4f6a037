package native

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryIsServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(100)
		if !m.TryTake(80) || m.TryTake(30) {
			t.Fatal("100 bytes were not 100")
		}
		var order []int
		done := make(chan struct{}, 2)
		for i, need := range []int{50, 10} {
			go func() {
				if err := m.Take(t.Context(), need, time.Minute); err != nil {
					t.Error(err)
				}
				order = append(order, i)
				done <- struct{}{}
			}()
			synctest.Wait()
		}
		if m.TryTake(5) || !m.Blocked() {
			t.Error("somebody was served before those who wait")
		}
		m.Give(30) // enough for the first alone
		<-done
		m.Give(10)
		<-done
		if order[0] != 0 {
			t.Error("the second was served first")
		}
		m.Give(40)
		if m.Blocked() || !m.TryTake(40) || m.TryTake(1) {
			t.Errorf("60 bytes are taken, and %d free", m.free)
		}
	})
}

func TestMemoryDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(100)
		if err := m.Take(t.Context(), 101, time.Minute); err == nil || !strings.Contains(err.Error(), "buffer.memory has 100") {
			t.Errorf("more than there is: %v", err)
		}
		m.TryTake(100)
		began := time.Now()
		err := m.Take(t.Context(), 1, 3*time.Second)
		if !errors.Is(err, ErrTimeout) || time.Since(began) != 3*time.Second || !strings.Contains(err.Error(), "max.block.ms=3000") {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := m.Take(ctx, 1, time.Minute); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if m.Blocked() {
			t.Error("those who left still stand in line")
		}
		ended := make(chan error)
		go func() { ended <- m.Take(t.Context(), 1, time.Minute) }()
		synctest.Wait()
		m.Close()
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("%v", err)
		}
		if err := m.Take(t.Context(), 1, time.Minute); !errors.Is(err, ErrClosed) {
			t.Errorf("%v", err)
		}
	})
}
