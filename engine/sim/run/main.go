// Command run plays seeds of the simulator, and prints how to play one again that fails.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/sim"
	"github.com/millrace/millrace/engine/sim/history"
)

func main() {
	first := flag.Uint64("seed", 1, "the first seed")
	count := flag.Int("seeds", 10_000, "how many seeds are played")
	trace := flag.Bool("trace", false, "play the first seed alone and print its trace")
	twice := flag.Int("twice", 100, "every so manieth seed is played twice, and must be the same; 0: none")
	untilFailure := flag.Bool("until-failure", false, "end with the first seed that fails")
	workers := flag.Int("workers", runtime.NumCPU(), "how many seeds are played at a time")
	flag.Parse()
	debug.SetGCPercent(400) // a world is small and lives for a moment
	if *trace {
		out := bufio.NewWriterSize(os.Stdout, 1<<20)
		r := sim.Run(sim.Options{Seed: *first, Trace: out})
		fmt.Fprintf(out, "hash %016x, %d lives, %d reads, operations %v\n", r.Hash, r.Lives, r.Reads, r.Ended)
		for _, a := range r.Anomalies {
			fmt.Fprintf(out, "ANOMALY %s: %s\n", a.Class, a.Detail)
		}
		if out.Flush() != nil || len(r.Anomalies) > 0 {
			os.Exit(1)
		}
		return
	}
	if failed := play(*first, *count, *twice, *workers, *untilFailure); failed > 0 {
		os.Exit(1)
	}
}

// total is what all runs come to.
type total struct {
	begin                time.Time
	played, failed, same int
	lives, reads, lines  int
	lived                time.Duration
	ended                map[history.Result]int
	reached, anomalies   map[string]int
}

// play plays seeds, several at a time, and answers how many have failed.
func play(first uint64, count, twice, workers int, untilFailure bool) (failed int) {
	t := &total{begin: time.Now(), ended: map[history.Result]int{}, reached: map[string]int{}, anomalies: map[string]int{}}
	seeds, results := make(chan uint64), make(chan sim.Result)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for seed := range seeds {
				r := sim.Run(sim.Options{Seed: seed})
				if twice > 0 && seed%uint64(twice) == 0 {
					if again := sim.Run(sim.Options{Seed: seed}); again.Hash != r.Hash {
						r.Anomalies = append(r.Anomalies, history.Anomaly{Class: "not the same", Detail: fmt.Sprintf("hash %016x, then %016x", r.Hash, again.Hash)})
					}
				}
				results <- r
			}
		})
	}
	go func() {
		for seed := first; seed < first+uint64(count); seed++ {
			seeds <- seed
		}
		close(seeds)
		all.Wait()
		close(results)
	}()
	for r := range results {
		if t.add(r, twice); untilFailure && t.failed > 0 {
			return t.failed // what is still being played ends with the process
		}
	}
	t.tell()
	return t.failed
}

func (t *total) add(r sim.Result, twice int) {
	t.played++
	t.lives, t.reads, t.lines, t.lived = t.lives+r.Lives, t.reads+r.Reads, t.lines+r.Lines, t.lived+r.Lived
	if twice > 0 && r.Seed%uint64(twice) == 0 {
		t.same++
	}
	for k, n := range r.Ended {
		t.ended[k] += n
	}
	for k, n := range r.Reached {
		t.reached[k] += n
	}
	if len(r.Anomalies) > 0 {
		t.failed++
		for _, a := range r.Anomalies {
			t.anomalies[a.Class]++
		}
		fmt.Printf("FAIL seed %d: %s\n  again, with its trace: go run ./engine/sim/run -trace -seed %d\n", r.Seed, history.Summary(r.Anomalies), r.Seed)
	}
	if t.played%500 == 0 {
		t.tell()
	}
}

func (t *total) tell() {
	took := time.Since(t.begin)
	fmt.Printf("%6.1f s  %6d seeds (%.0f/s, %.0f times real time)  %d failed  %d played twice  %d lives  %d ok, %d failed, %d unknown operations  %d records read  %d lines\n",
		took.Seconds(), t.played, float64(t.played)/took.Seconds(), t.lived.Seconds()/took.Seconds(), t.failed, t.same, t.lives,
		t.ended[history.OK], t.ended[history.Failed], t.ended[history.Unknown], t.reads, t.lines)
	if len(t.anomalies) > 0 {
		fmt.Println("        anomalies:", t.anomalies)
	}
	if t.played%5000 == 0 {
		for _, k := range slices.Sorted(maps.Keys(t.reached)) {
			fmt.Printf("        %9d × %s\n", t.reached[k], k)
		}
	}
}
