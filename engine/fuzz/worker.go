package fuzz

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"time"
)

const (
	perGroup  = 1000             // executions that share a T, and so what they leave to its Cleanup
	mostTime  = 2 * time.Second  // what takes longer each time it is tried is a finding
	mostBytes = 64 << 20         // what allocates more is one
	hung      = 60 * time.Second // what takes so long is not waited for
)

// worker executes a target. Everything belongs to the goroutine of the test but now, which the watch reads.
type worker struct {
	target   reflect.Value
	call     func(*testing.T, []value)
	options  options
	mutator  *mutator
	progress Progress
	now      atomic.Int64 // the execution under way; -1: none
	long     atomic.Int64 // an execution that was seen to take long; -1: none
	begun    time.Time    // when the progress was saved
	batch    int64        // executions between two looks at what was allocated
	sample   []metrics.Sample
	told     bool // what fails is in the corpus already
}

func newWorker(name string, o options, corpus [][]value, target reflect.Value) (*worker, error) {
	p, err := ReadProgress(o.report)
	if err != nil {
		return nil, err
	}
	p.Target, p.Seed, p.Corpus = name, o.seed, len(corpus)
	w := &worker{target: target, options: o, mutator: newMutator(corpus, o.seed), progress: p, batch: 64,
		sample: []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}}
	w.call = w.caller()
	w.now.Store(-1)
	w.long.Store(-1)
	return w, nil
}

// caller calls the target; those of one text without reflection.
func (w *worker) caller() func(*testing.T, []value) {
	switch target := w.target.Interface().(type) {
	case func(*testing.T, []byte):
		return func(t *testing.T, in []value) { target(t, in[0].text[:len(in[0].text):len(in[0].text)]) }
	case func(*testing.T, string):
		return func(t *testing.T, in []value) { target(t, string(in[0].text)) }
	}
	arguments := make([]reflect.Value, w.target.Type().NumIn())
	return func(t *testing.T, in []value) {
		arguments[0] = reflect.ValueOf(t)
		for i := range in {
			arguments[i+1] = in[i].argument()
		}
		w.target.Call(arguments)
	}
}

// work executes what is left, until something is found.
func (w *worker) work(t *testing.T) {
	done, watched := make(chan struct{}), make(chan struct{})
	go func() { defer close(watched); w.watch(done) }()
	defer func() { close(done); <-watched }()
	w.begun = time.Now()
	w.progress.Ended = false
	w.save(t)
	for w.progress.Executions < w.options.executions && !t.Failed() {
		if t.Run("some", w.some); time.Since(w.begun) > time.Second {
			w.save(t)
		}
	}
	w.progress.Ended = !t.Failed()
	w.save(t)
}

// save writes how far it came.
func (w *worker) save(t *testing.T) {
	now := time.Now()
	w.progress.Seconds += now.Sub(w.begun).Seconds()
	w.begun = now
	if err := w.progress.Write(w.options.report); err != nil {
		t.Fatal(err)
	}
}

// some is a group of executions.
func (w *worker) some(t *testing.T) {
	last := min(w.progress.Executions+perGroup, w.options.executions)
	defer func() {
		defer w.now.Store(-1)
		if p := recover(); p != nil {
			w.progress.Executions++
			w.found(t, w.now.Load(), fmt.Sprintf("panic: %v\n%s", p, debug.Stack()))
			return
		}
		if i := w.now.Load(); i >= 0 { // the target ended this goroutine
			if w.progress.Executions++; t.Failed() && !w.told {
				w.found(t, i, "the target failed")
			}
		}
	}()
	for w.progress.Executions < last && !t.Failed() {
		w.some64(t, min(w.progress.Executions+w.batch, last))
	}
}

// some64 executes up to a number, and looks at what that allocated and how long it took.
func (w *worker) some64(t *testing.T, last int64) {
	first, before := w.progress.Executions, w.allocated()
	for i := first; i < last; i++ {
		if w.execute(t, i); t.Failed() {
			w.found(t, i, "the target failed")
			return
		}
		w.progress.Executions++
	}
	w.now.Store(-1)
	if long := w.long.Swap(-1); long >= 0 {
		w.slow(t, long)
	}
	used := w.allocated() - before
	if used <= mostBytes {
		return
	}
	// One of them may have allocated it all. If they all do, they are looked at more closely from now on.
	for i := first; i < last; i++ {
		before := w.allocated()
		w.execute(t, i)
		w.now.Store(-1)
		if used := w.allocated() - before; used > mostBytes {
			w.found(t, i, fmt.Sprintf("it allocates %d bytes", used))
			return
		}
	}
	w.batch = max(1, w.batch/2)
}

func (w *worker) execute(t *testing.T, i int64) {
	in := w.mutator.input(i)
	if w.options.careful != "" {
		if err := os.WriteFile(w.options.careful, encode(in), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	w.now.Store(i)
	w.call(t, in)
}

func (w *worker) allocated() uint64 {
	metrics.Read(w.sample)
	return w.sample[0].Value.Uint64()
}

// slow tries an execution again that took long, for others may have held up the machine.
func (w *worker) slow(t *testing.T, i int64) {
	best := hung
	for range 3 {
		begun := time.Now()
		w.execute(t, i)
		w.now.Store(-1)
		best = min(best, time.Since(begun))
	}
	if best > mostTime {
		w.found(t, i, fmt.Sprintf("it takes %v", best))
	}
}

// found keeps the input of an execution and says so. Of executions that shared an end nobody knows which it was: a run
// that tries each by itself begins with the first of them.
func (w *worker) found(t *testing.T, i int64, why string) {
	w.told = true
	if w.options.together > 1 {
		w.progress.Executions = max(0, i+1-w.options.together)
		t.Errorf("execution %d of %s=%d, or one of those before: %s\n%s", i, Seed, w.options.seed, why, OneByOne)
		return
	}
	file, err := keep(w.progress.Target, encode(w.mutator.input(i)))
	if err != nil {
		t.Error(err)
		return
	}
	w.progress.Findings = append(w.progress.Findings, file)
	t.Errorf("execution %d of %s=%d: %s\nFailing input written to %s", i, Seed, w.options.seed, why, file)
}

// watch looks every second whether an execution takes long. One that does not end ends the process: nothing else
// ends a goroutine that runs.
func (w *worker) watch(done chan struct{}) {
	every := time.NewTicker(mostTime / 2)
	defer every.Stop()
	seen, since := int64(-1), time.Now()
	for {
		select {
		case <-done:
			return
		case now := <-every.C:
			i := w.now.Load()
			if i < 0 || i != seen {
				seen, since = i, now
				continue
			}
			if now.Sub(since) >= mostTime {
				w.long.Store(i)
			}
			if now.Sub(since) >= hung {
				w.abort(i)
			}
		}
	}
}

// abort keeps the input of an execution that does not end, and ends the process with the stacks of all goroutines. The
// worker is in that execution: what it saved last is all that can be said.
func (w *worker) abort(i int64) {
	m := newMutator(w.mutator.corpus, w.options.seed)
	file, err := keep(w.progress.Target, encode(m.input(i)))
	if p, readErr := ReadProgress(w.options.report); readErr == nil {
		p.Findings, p.Ended = append(p.Findings, file), false
		err = errors.Join(err, p.Write(w.options.report))
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	fmt.Fprintf(os.Stderr, "execution %d of %s=%d does not end\nFailing input written to %s (%v)\n%s\n", i, Seed, w.options.seed, file, err, stacks)
	os.Exit(1)
}
