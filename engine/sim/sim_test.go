package sim

import (
	"flag"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/sim/history"
	"github.com/millrace/millrace/sdk/batch"
)

var (
	firstSeed = flag.Uint64("seed", 1, "the first seed that TestSeeds plays")
	seedCount = flag.Int("seeds", 0, "how many it plays; 0: seedsUsually, or seedsShort")
)

const (
	seedsUsually = 200
	seedsShort   = 30 // with -short
)

// each plays seeds, as many at a time as there are processors, until f has had enough of the results.
func each(first uint64, count int, o Options, f func(Result) (enough bool)) {
	var guard sync.Mutex
	var all sync.WaitGroup
	next, over := first, false
	take := func() (seed uint64, ok bool) {
		guard.Lock()
		defer guard.Unlock()
		next++
		return next - 1, !over && next-1 < first+uint64(count)
	}
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for seed, ok := take(); ok; seed, ok = take() {
				o := o
				o.Seed = seed
				r := Run(o)
				guard.Lock()
				over = over || f(r)
				guard.Unlock()
			}
		})
	}
	all.Wait()
}

// TestSeeds plays seeds, each of which must keep every promise. Together they come by every corner.
func TestSeeds(t *testing.T) {
	count := seedsUsually
	if testing.Short() {
		count = seedsShort
	}
	if *seedCount > 0 {
		count = *seedCount
	}
	reached, ended, lives, reads := map[string]int{}, map[history.Result]int{}, 0, 0
	each(*firstSeed, count, Options{}, func(r Result) bool {
		if len(r.Anomalies) > 0 {
			t.Errorf("seed %d: %s; again: go run ./engine/sim/run -trace -seed %d", r.Seed, history.Summary(r.Anomalies), r.Seed)
		}
		for k, n := range r.Reached {
			reached[k] += n
		}
		for k, n := range r.Ended {
			ended[k] += n
		}
		lives, reads = lives+r.Lives, reads+r.Reads
		return false
	})
	t.Logf("%d seeds: %d lives, %d ok, %d failed, %d unknown operations, %d records read", count, lives, ended[history.OK], ended[history.Failed], ended[history.Unknown], reads)
	if count < seedsUsually {
		return
	}
	for _, corner := range []string{
		"power cut", "process killed", "died while starting", "late frame", "stall", "request timed out", "zombie", "fenced", "transaction left open",
		"transaction given up", "unknown commit", "commit refused", "copied", "committed", "joined a classic group", "assigned in a consumer group", "removed from a group", "copier away",
	} {
		if reached[corner] == 0 {
			t.Errorf("no seed came by %q: %v", corner, slices.Sorted(maps.Keys(reached)))
		}
	}
}

// TestSeedsAreTheSameTwice: a seed is one world, to the last line of its trace.
func TestSeedsAreTheSameTwice(t *testing.T) {
	traces := map[uint64]uint64{}
	for seed := range uint64(8) {
		var text strings.Builder
		once, again := Run(Options{Seed: 1000 + seed}), Run(Options{Seed: 1000 + seed, Trace: &text})
		if once.Hash != again.Hash || once.Lines != again.Lines || strings.Count(text.String(), "\n") != again.Lines {
			t.Errorf("seed %d: %d lines with hash %x, then %d with %x", 1000+seed, once.Lines, once.Hash, again.Lines, again.Hash)
		}
		if before, known := traces[once.Hash]; known {
			t.Errorf("seeds %d and %d have the same trace", before, seed)
		}
		traces[once.Hash] = seed
	}
}

// TestBrokenBrokersAreFound: the simulator is of use only if it finds who breaks a promise.
func TestBrokenBrokersAreFound(t *testing.T) {
	rewrite := func(f func(q kmsg.Request)) *broken {
		return &broken{rewrite: func(q kmsg.Request) kmsg.Request { f(q); return q }}
	}
	for name, test := range map[string]struct {
		broken  *broken
		classes []string // one of them
	}{
		"answers before anything is durable": {&broken{answersFirst: true}, []string{history.Lost, history.Inconsistent, Damaged, Refused, history.Torn, history.OffsetsBack}},
		"remembers more than is durable":     {&broken{boasts: true}, []string{Stuck, Refused, Panicked, Hanging}},
		"forgets producers":                  {&broken{expiry: time.Millisecond}, []string{history.Duplicated, history.Torn, history.Reordered, Refused}},
		"forgets transactions in a crash":    {&broken{forgets: cluster.TransactionsTopic + "-0"}, []string{history.Torn, Hanging, history.Lost, Stuck, history.Inconsistent}},
		"forgets offsets in a crash":         {&broken{forgets: "__consumer_offsets-0"}, []string{history.OffsetsBack, history.Duplicated, history.Torn}},
		"shows what is not stable": {rewrite(func(q kmsg.Request) {
			if q, ok := q.(*kmsg.FetchRequest); ok {
				q.IsolationLevel = 0
			}
		}), []string{history.AbortedRead}},
		"takes idempotent batches as they come": {rewrite(func(q kmsg.Request) {
			if q, ok := q.(*kmsg.ProduceRequest); ok && q.TransactionID == nil {
				q.Topics[0].Partitions[0].Records = withoutProducer(q.Topics[0].Partitions[0].Records)
			}
		}), []string{history.Duplicated, history.Reordered}},
		"commits what is to be aborted": {rewrite(func(q kmsg.Request) {
			if q, ok := q.(*kmsg.EndTxnRequest); ok {
				q.Commit = true
			}
		}), []string{history.AbortedRead}},
		"aborts what is to be committed": {rewrite(func(q kmsg.Request) {
			if q, ok := q.(*kmsg.EndTxnRequest); ok {
				q.Commit = false
			}
		}), []string{history.Lost}},
		"lets everybody commit offsets in transactions": {rewrite(func(q kmsg.Request) {
			if q, ok := q.(*kmsg.TxnOffsetCommitRequest); ok {
				q.MemberID, q.Generation = "", -1
			}
		}), []string{history.Duplicated, history.OffsetsBack}},
		"tells offsets of open transactions as they were": {rewrite(func(q kmsg.Request) {
			if q, ok := q.(*kmsg.OffsetFetchRequest); ok {
				q.RequireStable = false
			}
		}), []string{history.Duplicated}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			played, found := 0, ""
			each(1, 150, Options{broken: test.broken}, func(r Result) bool {
				played++
				for _, a := range r.Anomalies {
					if slices.Contains(test.classes, a.Class) && found == "" {
						first, _, _ := strings.Cut(a.Detail, "\n")
						found = a.Class + ": " + first
					}
				}
				return found != ""
			})
			if found == "" {
				t.Fatalf("%d seeds do not find it", played)
			}
			t.Logf("found with %d seeds: %s", played, found)
		})
	}
}

// withoutProducer is a batch as one that no idempotent producer has sent.
func withoutProducer(b []byte) []byte {
	one := batch.Batch(slices.Clone(b))
	one.SetProducer(-1, -1, -1)
	return one
}
