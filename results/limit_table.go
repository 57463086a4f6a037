package results

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// limitsSection writes the table of limits and what limits each row now.
func limitsSection(out *strings.Builder, all []*Result, limits []Limit) {
	out.WriteString("\n## Limits\n\n")
	limitsHead(out, all)
	limitsTable(out, all, limits)
	limitsNotes(out, all, limits)
	out.WriteString("\n### What limits each now\n")
	for _, l := range limits {
		now := strings.TrimSpace(l.Now)
		if now == "" {
			now = "Not profiled yet."
		}
		fmt.Fprintf(out, "\n**%d.** %s\n", l.Row, now)
	}
}

// WriteLimits prints the table alone.
func WriteLimits(w io.Writer, all []*Result, limits []Limit) error {
	var out strings.Builder
	limitsTable(&out, all, limits)
	limitsNotes(&out, all, limits)
	if _, err := io.WriteString(w, out.String()); err != nil {
		return fmt.Errorf("write the table of limits: %w", err)
	}
	return nil
}

func limitsTable(out *strings.Builder, all []*Result, limits []Limit) {
	out.WriteString("| # | what | must be | goal | measured | verdict |\n|--:|---|---|---|---|---|\n")
	for _, l := range limits {
		for i, o := range l.Judge(all) {
			number, what := "", "– "+o.What
			if i == 0 {
				number, what = fmt.Sprint(l.Row), l.What+": "+o.What
			}
			fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %s |\n", number, what, o.Must, o.Goal, o.measured(), o.verdict())
		}
	}
}

func limitsHead(out *strings.Builder, all []*Result) {
	fmt.Fprintf(out, `Made by `+"`millrace bench limits`"+`. A figure is the median of the valid runs with their range in brackets, a ratio that of
medians, with its 95 %% interval in parentheses; where systems or modes are compared, their runs were made in turn. A verdict is about
the 95 %% interval (bootstrap) and not about the median: *goal met*, *met* and *not met* when all of it is on that side of the bound,
*unresolved* when it is not, or when there are fewer than %d valid runs. The row's file in loadgen/limits/rows/ says what was run.
`, MinRepeats)
	runs := slices.DeleteFunc(slices.Clone(all), func(r *Result) bool { return !strings.HasPrefix(r.Suite, limitsSuite) })
	if len(runs) == 0 {
		out.WriteString("\nNothing was measured yet.\n\n")
		return
	}
	first, last := runs[0], runs[len(runs)-1]
	e := last.Environment
	fmt.Fprintf(out, "\n%d runs, %s to %s, of Millrace %s, on %s, %d cores, %s memory, %s, %s.\n\n", len(runs), first.Started.UTC().Format("2006-01-02 15:04"),
		last.Started.UTC().Format("2006-01-02 15:04 UTC"), strings.Join(buildsOf(runs), ", "), e.CPU, e.Cores, byteSize(e.Memory), e.Kernel, e.FileSystem)
}

// measured is the cell that shows what the runs said, bad or good, and whether they were
// made with less, or more, than the row says.
func (o *Outcome) measured() string {
	text := o.said()
	if len(o.Volumes) > 0 {
		text += ", with " + strings.Join(o.Volumes, " and ") + " instead"
	}
	return text
}

func (o *Outcome) said() string {
	if o.Verdict == NotMeasured {
		if o.Invalid > 0 {
			return fmt.Sprintf("%d runs, INVALID", o.Invalid)
		}
		return "–"
	}
	format := func(v float64) string { return InUnit(v, o.Unit) }
	if o.Against == "" {
		return side(o.Ours, o.Invalid, format, true)
	}
	text := fmt.Sprintf("**%.2f** (%.2f–%.2f)", o.Value, o.Spread.Low, o.Spread.High)
	if len(o.Ours)+len(o.Theirs) == 2 {
		text = fmt.Sprintf("**%.2f**", o.Value) // one run of each says nothing of the spread
	}
	text += fmt.Sprintf(": %s to %s", side(o.Ours, 0, format, true), side(o.Theirs, 0, format, true))
	if o.Invalid > 0 {
		text += fmt.Sprintf(" (%d INVALID)", o.Invalid)
	}
	return text
}

func (o *Outcome) verdict() string {
	switch {
	case o.Verdict == NotMet:
		return "**not met**"
	case o.Why != "":
		return string(o.Verdict) + ": " + o.Why
	default:
		return string(o.Verdict)
	}
}

// InUnit prints a value with its base unit.
func InUnit(v float64, unit string) string {
	switch unit {
	case Seconds:
		if v < 0 {
			return "−" + Micros(-v*1e6)
		}
		return Micros(v * 1e6)
	case SizeBytes:
		return fmt.Sprintf("%.1f MiB", v/(1<<20))
	case Pure:
		if v >= 1000 {
			return Figure(v)
		}
		return fmt.Sprintf("%.2f", v)
	default:
		return Figure(v) + " " + unit
	}
}

// limitsNotes says which runs are not in the table, and which do not count.
func limitsNotes(out *strings.Builder, all []*Result, limits []Limit) {
	rows := map[string]int{}
	for _, l := range limits {
		rows[LimitSuite(l.Row)] = l.Row
	}
	older, invalid := 0, []string(nil)
	for _, r := range all {
		row, ok := rows[r.Suite]
		if !ok {
			continue
		}
		if !slices.Contains(current(all, row), r) {
			older++
			continue
		}
		for i := range r.Phases {
			if p := &r.Phases[i]; !p.Valid {
				invalid = append(invalid, fmt.Sprintf("- %s (%s): %s", r.ID, p.Name, p.InvalidReason))
			}
		}
	}
	if older > 0 {
		fmt.Fprintf(out, "\nNot in the table: %d runs that were quick, or of an earlier build than the row's last.\n", older)
	}
	if len(invalid) > 0 {
		fmt.Fprintf(out, "\nINVALID, and left out of the figures:\n\n%s\n", strings.Join(invalid, "\n"))
	}
}
