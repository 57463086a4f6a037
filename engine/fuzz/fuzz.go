// Package fuzz runs the fuzz targets of the project without Go's engine. A target ends with fuzz.Run(f, …) in place of
// f.Fuzz(…), which is the same until MILLRACE_FUZZ asks for a number of executions. Then Run has testing.F play
// its seeds, adds a folder of inputs that Go's engine has found, and calls the target with mutations of them, in this
// process and without instrumentation: ten to a hundred times as many in a second as the engine makes.
//
//	f.Add, testdata/fuzz/NAME ─┐
//	                           ├─▶ corpus ─▶ mutate(seed, number) ─▶ target ─▶ testdata/fuzz/NAME/hash, if it fails
//	MILLRACE_FUZZ_CORPUS/NAME ─┘
//
// Nothing is learned on the way, so that it takes the place of the engine nowhere: the engine finds inputs that reach
// new code, this looks very often beside those. What must stay true:
//
//   - The input of an execution follows from corpus, seed and its number alone, so that a run can be stopped anywhere
//     and goes on there, and any input can be made again.
//   - A finding is a panic, an error, an execution that takes more than two seconds each time it is tried, or one that
//     allocates more than 64 MiB. It is written as Go writes one; go test plays it from then on.
//   - Executions that share an end (RunTogether) are tried one by one before one of them is called a finding.
//   - What a target leaves to t.Cleanup is cleaned up after a thousand executions at the latest.
//
// Command run does all targets, and writes docs/fuzz.md.
package fuzz

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strconv"
	"testing"
)

// The variables that ask for executions. Command run sets them.
const (
	Executions = "MILLRACE_FUZZ"        // how many executions a target shall have had
	Corpus     = "MILLRACE_FUZZ_CORPUS" // a folder that has inputs in Go's format in NAME
	Seed       = "MILLRACE_FUZZ_SEED"   // a number; 1 unless it is given
	Report     = "MILLRACE_FUZZ_REPORT" // the file of a Progress: where to go on, and how far it came
	Careful    = "MILLRACE_FUZZ_INPUT"  // a file that each input is written to first, for targets that kill the process
)

// options are what the environment asks for.
type options struct {
	executions              int64
	seed                    uint64
	corpus, report, careful string
	together                int64 // executions that share an end
}

func optionsOf(variable func(string) string) (o options, err error) {
	o = options{seed: 1, together: 1, corpus: variable(Corpus), report: variable(Report), careful: variable(Careful)}
	if n := variable(Executions); n != "" {
		if o.executions, err = strconv.ParseInt(n, 10, 64); err != nil || o.executions < 1 {
			return o, fmt.Errorf("%s=%s is no number of executions", Executions, n)
		}
	}
	if n := variable(Seed); n != "" {
		if o.seed, err = strconv.ParseUint(n, 10, 64); err != nil {
			return o, fmt.Errorf("%s=%s is no number", Seed, n)
		}
	}
	return o, nil
}

// Run is f.Fuzz(target), or as many executions as MILLRACE_FUZZ says.
func Run(f *testing.F, target any) {
	f.Helper()
	o, err := optionsOf(os.Getenv)
	if err != nil {
		f.Fatal(err)
	}
	run(f, o, target)
}

// RunTogether is Run for a target with an end that costs more than the execution itself, such as asking a broker whether
// it still lives. Each input is given to each, and end is called after so many of them at most: after each one unless
// MILLRACE_FUZZ asks for executions. If something is found then, it says OneByOne, and the run is to go on with
// MILLRACE_FUZZ_INPUT, with which each has its own end, too.
func RunTogether(f *testing.F, most int, each func(*testing.T, []byte), end func(testing.TB)) {
	f.Helper()
	o, err := optionsOf(os.Getenv)
	if err != nil {
		f.Fatal(err)
	}
	if o.executions > 0 && o.careful == "" {
		o.together = int64(most)
	}
	open := int64(0)
	run(f, o, func(t *testing.T, input []byte) {
		open++
		each(t, input)
		if open >= o.together {
			open = 0
			end(t)
		}
	})
	if open > 0 && !f.Failed() {
		end(f)
	}
}

// OneByOne is said of a finding among executions that shared an end.
const OneByOne = "its executions are to be tried one by one"

func run(f *testing.F, o options, target any) {
	f.Helper()
	if o.executions == 0 {
		f.Fuzz(target)
		return
	}
	debug.SetMaxStack(64 << 20) // a decoder that calls itself for each byte shall not take a gigabyte to be found
	corpus := played(f, target)
	if f.Failed() {
		return
	}
	found, err := readFolder(filepath.Join(o.corpus, f.Name()), o.corpus != "", reflect.TypeOf(target))
	if err != nil {
		f.Fatal(err)
	}
	if corpus = append(corpus, found...); len(corpus) == 0 {
		f.Fatal("there is no seed to begin with")
	}
	w, err := newWorker(f.Name(), o, corpus, reflect.ValueOf(target))
	if err != nil {
		f.Fatal(err)
	}
	f.Logf("%d executions of %d inputs, %s=%d", o.executions, len(corpus), Seed, o.seed)
	// A testing.F has no T to lend once it has played its seeds.
	all := []testing.InternalTest{{Name: f.Name(), F: w.work}}
	if !testing.RunTests(func(string, string) (bool, error) { return true, nil }, all) {
		f.Fail()
	}
}

// played has testing.F run the target on its seeds, and answers them.
func played(f *testing.F, target any) (seeds [][]value) {
	of := reflect.ValueOf(target)
	f.Fuzz(reflect.MakeFunc(of.Type(), func(in []reflect.Value) []reflect.Value {
		var seed []value
		for _, v := range in[1:] {
			seed = append(seed, valueOf(v))
		}
		seeds = append(seeds, seed)
		return of.Call(in)
	}).Interface())
	return seeds
}
