package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine/fuzz"
)

// report writes the page, when one is asked for.
func (r *runner) report() error {
	if r.table == "" {
		return nil
	}
	all, err := targets(".")
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b target) int { return strings.Compare(a.String(), b.String()) })
	r.tell.Lock()
	defer r.tell.Unlock()
	before, err := os.ReadFile(r.table)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	told := parse(string(before))
	var rows []row
	for _, t := range all {
		p, err := fuzz.ReadProgress(r.state(t))
		if err != nil {
			return err
		}
		if p.Executions == 0 {
			p = told[t.String()] // by runs whose states are elsewhere
		}
		rows = append(rows, row{t, p})
	}
	return os.WriteFile(r.table, []byte(page(rows, r.executions)), 0o666)
}

// parse reads the rows of a page.
func parse(page string) map[string]fuzz.Progress {
	all := map[string]fuzz.Progress{}
	for line := range strings.Lines(page) {
		var name string
		var p fuzz.Progress
		var rate, findings int
		if n, _ := fmt.Sscanf(line, "| %s | %d | %f | %d | %d | %d |", &name, &p.Executions, &p.Seconds, &rate, &p.Corpus, &findings); n == 6 && findings >= 0 {
			p.Findings = make([]string, findings)
			all[name] = p
		}
	}
	return all
}

// row is a target and how far it came.
type row struct {
	target
	fuzz.Progress
}

// perExecution is the seconds that one took; none when nobody knows.
func (r row) perExecution() float64 { return r.Seconds / max(float64(r.Executions), 1) }

// introduction is what the page says before its table.
const introduction = `# Fuzzing

<!-- make fuzz-long writes this page. -->

Each decoder of bytes from the network, from a disk, from a plugin's guest or from a command line has a fuzz target. They are run in two ways:

- **Guided by coverage.** CI's step ` + "`fuzz`" + ` (` + "`make fuzz`" + `) gives each target five seconds with Go's engine, which finds inputs that reach new code. What it
  has found in runs of minutes and hours is the corpus below, with the seeds that the target declares and what is kept in ` + "`testdata/fuzz`" + `. How many
  executions those runs made was not written down; Go's engine makes some ten thousand in a second, so that ten million of each target would take it most of a day.
- **Blindly, and many times.** ` + "`make fuzz-long`" + ` executes each target ten million times with mutations of that corpus, without instrumentation, in one process
  (` + "`engine/fuzz`" + `). It learns nothing on the way: an input that reaches new code is not used for the next. An execution that takes more than two seconds, or
  allocates more than 64 MiB, is a finding beside panics and what targets assert. Two targets send inputs to a broker that runs; they ask it after sixteen of
  them whether it still answers, and try them one by one when it does not.

The table is about the second way only. A run goes on where it was stopped, so its executions may be of several versions of the code; after a finding it went on with what was mended.
Seconds say nothing about speed: the processor had other things to do. Findings are inputs that were added to
` + "`testdata/fuzz`" + ` by these runs, of decoders and of what the targets compare them with.

`

// page is docs/fuzz.md.
func page(rows []row, wanted int64) string {
	var out strings.Builder
	out.WriteString(introduction)
	var done int
	var all int64
	for _, r := range rows {
		if all += r.Executions; r.Executions >= wanted {
			done++
		}
	}
	fmt.Fprintf(&out, "%d of %d targets have had %d executions; all together %d.\n\n", done, len(rows), wanted, all)
	fmt.Fprintln(&out, "| target | executions | seconds | executions/s | corpus | findings |")
	fmt.Fprintln(&out, "|---|---:|---:|---:|---:|---:|")
	for _, r := range rows {
		fmt.Fprintf(&out, "| %s | %d | %.0f | %.0f | %d | %d |\n", r.target, r.Executions, r.Seconds, float64(r.Executions)/max(r.Seconds, 1e-3), r.Corpus, len(r.Findings))
	}
	return out.String()
}
