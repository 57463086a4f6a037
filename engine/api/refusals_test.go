package api

import (
	"testing"
	"time"
)

// What a connection is told that is refused as often as each line says, one after the other.
func TestRefusals(t *testing.T) {
	const ms = time.Millisecond
	type step struct {
		after time.Duration // since the one before
		count int           // refused at that moment; all but the last are left alone not at all
		wait  time.Duration // what the last is told
	}
	for name, test := range map[string]struct {
		limit int
		steps []step
	}{
		"a second's worth at once, and then one by one": {100, []step{
			{0, 100, 0}, {0, 1, 10 * ms}, {10 * ms, 1, 10 * ms}, {10 * ms, 1, 10 * ms},
		}},
		"just as often as it may": {100, []step{{0, 100, 0}, {10 * ms, 1, 0}, {10 * ms, 1, 0}, {20 * ms, 2, 0}}},
		"silence earns a second's worth again, and no more": {100, []step{
			{0, 100, 0}, {0, 1, 10 * ms}, {500 * ms, 49, 0}, {0, 1, 10 * ms}, {time.Hour, 100, 0}, {0, 1, 10 * ms},
		}},
		"rarely":                   {1, []step{{0, 1, 0}, {time.Second, 1, 0}, {time.Second, 1, 0}}},
		"a second is the longest":  {1, []step{{0, 1, 0}, {0, 1, time.Second}, {0, 1, time.Second}}},
		"in whole milliseconds":    {3000, []step{{0, 3000, 0}, {0, 1, ms}, {ms, 2, 0}, {0, 1, ms}}},
		"no limit":                 {0, []step{{0, 10000, 0}}},
		"the most that can be set": {1_000_000, []step{{0, 1_000_000, 0}, {0, 1, ms}}},
	} {
		t.Run(name, func(t *testing.T) {
			var r refusals
			now := time.Unix(1e9, 0)
			for i, s := range test.steps {
				now = now.Add(s.after)
				for n := range s.count {
					want := time.Duration(0)
					if n == s.count-1 {
						want = s.wait
					}
					if got := r.refused(now, test.limit); got != want {
						t.Fatalf("step %d, refusal %d: left alone for %v, want %v", i, n, got, want)
					}
				}
			}
		})
	}
}

// A client that waits for as long as it is told comes through as often as the limit says, whatever
// it is; one that does not is the business of the pause.
func TestWhoWaitsAsToldIsRefusedAsOftenAsTheLimit(t *testing.T) {
	for _, limit := range []int{1, 7, 100, 999} {
		var r refusals
		begin := time.Unix(1e9, 0)
		count := 0
		for now := begin; now.Before(begin.Add(10 * time.Second)); count++ {
			now = now.Add(r.refused(now, limit))
		}
		if most := 11*limit + 1; count > most || count < most*9/10 {
			t.Errorf("limit %d: refused %d times in 10 s, want at most %d and not much less", limit, count, most)
		}
	}
}

// A limit that changes holds at once for what comes then.
func TestALimitThatChanges(t *testing.T) {
	var r refusals
	now := time.Unix(1e9, 0)
	for range 100 {
		r.refused(now, 100)
	}
	if got := r.refused(now, 0); got != 0 {
		t.Errorf("without a limit: %v", got)
	}
	if got := r.refused(now, 1); got != time.Second {
		t.Errorf("with a limit of 1: %v", got)
	}
	if got := r.refused(now.Add(time.Second), 100000); got != 10*time.Microsecond && got != time.Millisecond {
		t.Errorf("with a limit of 100000: %v", got)
	}
}
