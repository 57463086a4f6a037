package totals

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
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

// reading counts tests and keeps the output of those that are still running.
type reading struct {
	Totals
	output map[string]*strings.Builder // by package and test
	w      io.Writer
}

// GoTest counts what `go test -json` says, each test, also those that have tests below them, and each package that
// fails. It shows one line for each package, and all that a test printed that failed, was skipped or never ended. A
// line that is not an event (a build that failed before Go wrote JSON) is shown as it is.
func GoTest(from io.Reader, to io.Writer) (Totals, error) {
	t := reading{output: map[string]*strings.Builder{}, w: to}
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil {
				fmt.Fprint(to, line)
			} else {
				t.take(e)
			}
		}
		if errors.Is(err, io.EOF) {
			return t.Totals, nil
		}
		if err != nil {
			return t.Totals, fmt.Errorf("read the tests' events: %w", err)
		}
	}
}

func (t *reading) take(e event) {
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

func (t *reading) end(e event, key string) {
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
		t.Passed++
	case "fail":
		t.Failed++
	case "skip":
		t.Skipped++
		fmt.Fprint(t.w, text)
	}
}

// endPackage shows the package's line. A package may fail without a test that failed: it did not build, or it exited.
func (t *reading) endPackage(e event) {
	switch e.Action {
	case "fail":
		t.Failed++
		t.unfinished(e.Package)
	case "skip": // no test in it
		return
	}
	fmt.Fprintf(t.w, "%-5s %-60s %6.1f s\n", e.Action, e.Package, e.Elapsed)
}

// unfinished shows what the tests printed that never ended: of a run that was cut off, with the stacks of all goroutines.
func (t *reading) unfinished(name string) {
	for _, key := range slices.Sorted(maps.Keys(t.output)) {
		if strings.HasPrefix(key, name+" ") {
			fmt.Fprint(t.w, t.output[key].String())
			delete(t.output, key)
		}
	}
}
