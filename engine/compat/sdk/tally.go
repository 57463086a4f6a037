package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// totals are tests that were run to an end. Only those count that have no tests below them.
type totals struct{ passed, failed, skipped int }

func (t *totals) add(o totals) {
	t.passed, t.failed, t.skipped = t.passed+o.passed, t.failed+o.failed, t.skipped+o.skipped
}

func (t totals) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", t.passed, t.failed, t.skipped)
}

// event is a line that go test -json prints.
type event struct{ Action, Test, Output string }

// tally counts what go test -json says, and shows what tests printed that failed or were skipped.
func tally(from io.Reader, to io.Writer) (sum totals, err error) {
	ends := map[string]string{}
	said := map[string][]string{}
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(to, lines.Text()) // a build that failed says so in its own words
			continue
		}
		switch e.Action {
		case "output", "build-output":
			said[e.Test] = append(said[e.Test], e.Output)
		case "pass", "fail", "skip":
			ends[e.Test] = e.Action
			if e.Action != "pass" && e.Test != "" {
				fmt.Fprintf(to, "%s %s\n%s", e.Action, e.Test, strings.Join(said[e.Test], ""))
			}
			delete(said, e.Test)
		}
	}
	for _, lost := range said { // of tests that never ended, as when another one panics
		fmt.Fprint(to, strings.Join(lost, ""))
	}
	if err := lines.Err(); err != nil {
		return sum, fmt.Errorf("read what go test says: %w", err)
	}
	names := make([]string, 0, len(ends))
	for name := range ends {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name == "" || slices.ContainsFunc(names, func(other string) bool { return strings.HasPrefix(other, name+"/") }) && ends[name] != "fail" {
			continue
		}
		switch ends[name] {
		case "pass":
			sum.passed++
		case "fail":
			sum.failed++
		case "skip":
			sum.skipped++
		}
	}
	return sum, nil
}
