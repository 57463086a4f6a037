package txn

import (
	"testing"
	"time"
)

// TestCount lives through transactions that end in every way.
func TestCount(t *testing.T) {
	s := newStage(t, Options{Version: 2, Expiration: time.Hour, RemoveInterval: time.Minute})
	want := func(when string, want Counts) {
		t.Helper()
		if got := s.c.Count(); got != want {
			t.Errorf("%s: %+v, want %+v", when, got, want)
		}
	}
	begin := func() {
		t.Helper()
		s.add(s.current(2), false, "t")
	}
	s.init(-1, -1)
	want("before any", Counts{IDs: 1})
	begin()
	want("while it is open", Counts{IDs: 1, Open: 1, Oldest: s.now.UnixMilli()})
	s.holdMarks = true
	s.end(s.current(2), true)
	h := Happened{Committed: 1}
	want("while markers are owed", Counts{IDs: 1, Ending: 1, Happened: h})
	s.holdMarks = false
	s.settle()
	begin()
	s.end(s.current(2), false)
	h.Aborted++
	want("after both ends", Counts{IDs: 1, Happened: h})
	s.end(s.current(2), false)
	want("after the abort of nothing", Counts{IDs: 1, Happened: h})
	begin()
	s.init(-1, -1)
	h.Aborted++
	h.Fenced++
	want("after another took the id", Counts{IDs: 1, Happened: h})
	begin()
	s.tick(2 * time.Minute)
	h.Aborted++
	h.TimedOut++
	want("after the time limit", Counts{IDs: 1, Happened: h})
	s.tick(2 * time.Hour)
	h.Expired++
	want("after the id has expired", Counts{Happened: h})
	s.check()
}

func TestCountsAdd(t *testing.T) {
	n := Counts{IDs: 1, Open: 1, Oldest: 50, Happened: Happened{1, 2, 3, 4, 5}}
	n.Add(Counts{IDs: 2, Ending: 1, Happened: Happened{1, 1, 1, 1, 1}})
	n.Add(Counts{Open: 1, Oldest: 40})
	n.Add(Counts{Open: 1, Oldest: 60})
	if want := (Counts{IDs: 3, Open: 3, Ending: 1, Oldest: 40, Happened: Happened{2, 3, 4, 5, 6}}); n != want {
		t.Errorf("%+v, want %+v", n, want)
	}
}

// TestATransactionFromTheFuture: the coordinator stopped, and its time had been far ahead. What is open
// then ends at its time limit all the same.
func TestATransactionFromTheFuture(t *testing.T) {
	s := newStage(t, Options{Version: 2})
	s.init(-1, -1)
	s.add(s.current(2), false, "t")
	s.now = s.now.Add(-365 * 24 * time.Hour)
	s.restart()
	s.tick(2 * time.Minute)
	if got := s.c.Count(); got.Open != 0 || got.TimedOut != 1 {
		t.Errorf("behind its time limit: %+v", got)
	}
	s.check()
}
