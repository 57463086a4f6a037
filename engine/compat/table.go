package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/totals"
)

// conclude shows the table, writes the files and reports whether everything passed.
func (d *driver) conclude(targets []broker.Target) (bool, error) {
	names := make([]string, len(targets))
	for i, t := range targets {
		names[i] = t.Name()
	}
	d.table(os.Stdout, names)
	passed, failed := 0, 0
	for _, o := range d.outcomes {
		if o.Result == "pass" {
			passed++
		} else {
			failed++
			fmt.Printf("FAIL %s, %s, %s: %s\n", o.Target, o.Client, o.Check, o.Detail)
		}
	}
	fmt.Printf("\ncompat: %d passed, %d failed in %.0f s\n", passed, failed, time.Since(d.begin).Seconds())
	if err := d.writeJSON(); err != nil {
		return false, err
	}
	if d.target == "both" && d.client == "" && d.check == "" {
		path := filepath.Join(d.root, "docs", "compatibility.md")
		if err := os.WriteFile(path, []byte(document(names, d.outcomes)), 0o644); err != nil {
			return false, fmt.Errorf("write the table: %w", err)
		}
		fmt.Println("wrote", path)
	}
	if err := totals.Append(d.counts, passed, failed); err != nil {
		return false, err
	}
	return failed == 0 && passed > 0, nil
}

// table prints client × feature × result × seconds.
func (d *driver) table(w io.Writer, targets []string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	header := []string{"client", "feature"}
	for _, name := range targets {
		header = append(header, short(name), "s")
	}
	fmt.Fprintf(t, "\n%s\n", strings.Join(header, "\t"))
	for _, c := range d.chosen {
		for _, f := range features {
			row := []string{c.name, f.check}
			found := false
			for _, name := range targets {
				result, seconds := "", ""
				for _, o := range d.outcomes {
					if o.Target == name && o.Client == c.name && o.Check == f.check {
						result, seconds, found = o.Result, fmt.Sprintf("%.2f", o.Seconds), true
					}
				}
				row = append(row, result, seconds)
			}
			if found {
				fmt.Fprintln(t, strings.Join(row, "\t"))
			}
		}
	}
	t.Flush()
	fmt.Fprintln(w)
}

func (d *driver) writeJSON() error {
	path := d.json
	if path == "" {
		path = filepath.Join(d.root, ".cache", "compat.json")
	}
	text, err := json.MarshalIndent(d.outcomes, "", "\t")
	if err != nil {
		return fmt.Errorf("write the outcomes: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write the outcomes: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the outcomes: %w", err)
	}
	return nil
}
