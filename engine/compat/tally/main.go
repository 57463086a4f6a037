// Command tally reads `go test -json` and shows what a person needs: one line for each package, the whole
// output of a test that failed, and at the end how many tests passed and failed.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// An event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build-output event
	Test       string
	Output     string
	Elapsed    float64
}

// A tally counts tests and keeps the output of those that are still running.
type tally struct {
	passed, failed, skipped int
	output                  map[string]*strings.Builder // by package and test
	w                       io.Writer
}

func main() {
	counts := flag.String("counts", "", "append a line `passed failed` to this file")
	flag.Parse()
	t := tally{output: map[string]*strings.Builder{}, w: os.Stdout}
	err := t.read(os.Stdin)
	fmt.Printf("tests: %d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
	if err == nil && *counts != "" {
		err = t.appendTo(*counts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
	if t.failed > 0 {
		os.Exit(1)
	}
}

// read takes the whole stream. A line that is not an event (a build that failed before Go wrote JSON) is shown as it is.
func (t *tally) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil {
				fmt.Fprint(t.w, line)
			} else {
				t.take(e)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the tests' events: %w", err)
		}
	}
}

func (t *tally) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(t.w, e.Output)
	case "output":
		if t.output[key] == nil {
			t.output[key] = &strings.Builder{}
		}
		t.output[key].WriteString(e.Output)
	case "pass", "fail", "skip":
		t.end(e, key)
	}
}

func (t *tally) end(e event, key string) {
	text := ""
	if b := t.output[key]; b != nil {
		text = b.String()
		delete(t.output, key)
	}
	if e.Action == "fail" {
		fmt.Fprint(t.w, text)
	}
	if e.Test == "" {
		t.endPackage(e)
		return
	}
	switch e.Action {
	case "pass":
		t.passed++
	case "fail":
		t.failed++
	case "skip":
		t.skipped++
		fmt.Fprint(t.w, text)
	}
}

// endPackage shows the package's line. A package may fail without a test that failed: it did not build, or it exited.
func (t *tally) endPackage(e event) {
	switch e.Action {
	case "fail":
		t.failed++
		t.unfinished(e.Package)
	case "skip": // no test in it
		return
	}
	fmt.Fprintf(t.w, "%-5s %-60s %6.1f s\n", e.Action, e.Package, e.Elapsed)
}

// unfinished shows what the tests printed that never ended: of a run that was cut off, with the stacks of all goroutines.
func (t *tally) unfinished(name string) {
	for _, key := range slices.Sorted(maps.Keys(t.output)) {
		if strings.HasPrefix(key, name+" ") {
			fmt.Fprint(t.w, t.output[key].String())
			delete(t.output, key)
		}
	}
}

func (t *tally) appendTo(path string) (err error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("count tests: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = fmt.Fprintln(f, t.passed, t.failed)
	return err
}
