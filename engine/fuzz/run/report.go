package main

import (
	"fmt"
	"os"
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
	var rows []row
	for _, t := range all {
		p, err := fuzz.ReadProgress(r.state(t))
		if err != nil {
			return err
		}
		rows = append(rows, row{t, p})
	}
	r.tell.Lock()
	defer r.tell.Unlock()
	return os.WriteFile(r.table, []byte(page(rows)), 0o666)
}

// row is a target and how far it came.
type row struct {
	target
	fuzz.Progress
}

// perExecution is the seconds that one took; none when nobody knows.
func (r row) perExecution() float64 { return r.Seconds / max(float64(r.Executions), 1) }

const introduction = `X`

// page is docs/fuzz.md.
func page(rows []row) string {
	var out strings.Builder
	out.WriteString(introduction)
	fmt.Fprintln(&out, "| target | executions | seconds | executions/s | corpus | findings |")
	fmt.Fprintln(&out, "|---|---:|---:|---:|---:|---:|")
	for _, r := range rows {
		fmt.Fprintf(&out, "| %s | %d | %.0f | %.0f | %d | %d |\n", r.target, r.Executions, r.Seconds, float64(r.Executions)/max(r.Seconds, 1e-3), r.Corpus, len(r.Findings))
	}
	return out.String()
}
