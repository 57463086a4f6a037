package bench

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/results"
)

// side is to which side a column of a table is set.
type side bool

const (
	left  side = false
	right side = true
)

// table prints rows so that their columns line up.
type table struct {
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write prints the table. Columns beyond the given sides are set to the right.
func (t *table) write(w io.Writer, sides ...side) error {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			switch {
			case i >= len(sides) || sides[i] == right:
				line.WriteString(pad + cell)
			default:
				line.WriteString(cell + pad)
			}
			line.WriteString("  ")
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return fmt.Errorf("print a table: %w", err)
		}
	}
	return nil
}

// summary prints the phases of a result.
func summary(w io.Writer, r *results.Result) error {
	var t table
	t.add("phase", "records/s", "MB/s", "latency", "p50", "p99", "p99.9", "max", "broker s/GB", "client s/GB", "broker MB")
	for i := range r.Phases {
		p := &r.Phases[i]
		name := p.Name
		if !p.Valid {
			name += " INVALID"
		}
		l := p.Latency[p.Primary()]
		t.add(name, results.Figure(p.Rate), results.Figure(p.Megabytes), p.Primary(),
			results.Micros(l.P50), results.Micros(l.P99), results.Micros(l.P999), results.Micros(l.Max),
			optional(p.CPU.BrokerPerGigabyte), results.Figure(p.CPU.ClientPerGigabyte), memory(p.Memory.BrokerPeak))
	}
	fmt.Fprintln(w)
	if err := t.write(w, left, right, right, left); err != nil {
		return err
	}
	for i := range r.Phases {
		p := &r.Phases[i]
		if !p.Valid {
			fmt.Fprintf(w, "\n%s is INVALID: %s\n", p.Name, p.InvalidReason)
		}
		for _, note := range p.Notes {
			fmt.Fprintf(w, "\n%s: %s\n", p.Name, note)
		}
	}
	for _, o := range r.Objectives {
		word := "broken"
		if o.OK {
			word = "kept"
		}
		fmt.Fprintf(w, "\n%s: %s (%s)\n", word, o.Expression, o.Detail)
	}
	return nil
}

func optional(v *float64) string {
	if v == nil {
		return "–"
	}
	return results.Figure(*v)
}

func memory(v *int64) string {
	if v == nil {
		return "–"
	}
	return results.Figure(float64(*v) / 1e6)
}
