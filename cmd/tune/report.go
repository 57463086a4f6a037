package tune

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/cmd/tuning"
	"github.com/millrace/millrace/results"
)

// evidence is all that a tuning has seen, tried and kept.
type evidence struct {
	Workload     string                `json:"workload"`
	Goal         string                `json:"goal"`
	Repeats      int                   `json:"repeats"`
	Begin        tuning.Configuration  `json:"begin"`
	End          tuning.Configuration  `json:"end"`
	Observations []*tuning.Observation `json:"observations"`
	Trials       []tuning.Trial        `json:"trials"`
}

// write leaves evidence.json, report.md and tuned.properties.
func (e *evidence) write(folder string, say func(string, ...any)) error {
	data, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("write the evidence: %w", err)
	}
	for name, text := range map[string]string{
		"evidence.json": string(data) + "\n", "report.md": e.report(), "tuned.properties": e.properties(),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	say("\n%s\n%s", e.verdict(), filepath.Join(folder, "report.md"))
	return nil
}

// kept are the changes that were.
func (e *evidence) kept() (all []tuning.Trial) {
	for _, t := range e.Trials {
		if t.Verdict == tuning.Kept {
			all = append(all, t)
		}
	}
	return all
}

// verdict is one sentence.
func (e *evidence) verdict() string {
	kept := e.kept()
	switch {
	case len(e.Trials) == 0:
		return "No rule speaks: nothing was tried."
	case len(kept) == 0:
		return fmt.Sprintf("%d changes were tried, and none of them is better beyond doubt: nothing is changed.", len(e.Trials))
	}
	var what []string
	for _, t := range kept {
		what = append(what, t.Change.String())
	}
	return fmt.Sprintf("%d of %d changes were kept: %s.", len(kept), len(e.Trials), strings.Join(what, "; "))
}

// properties is what to change in server.properties, and what is to be changed elsewhere as
// comments.
func (e *evidence) properties() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# What `millrace tune --workload %s` changed, goal %s.\n", e.Workload, e.Goal)
	for _, t := range e.kept() {
		c := t.Change
		fmt.Fprintf(&b, "\n# %s\n", t.Why)
		if t.Loses != "" {
			fmt.Fprintf(&b, "# Nobody does then %s. Only if that is not needed:\n# %s\n", t.Loses, c)
			continue
		}
		switch {
		case c.Kind == tuning.Setting && c.To == "":
			fmt.Fprintf(&b, "# take this out: %s=%s\n", c.Key, c.From)
		case c.Kind == tuning.Setting:
			fmt.Fprintf(&b, "# was: %s\n%s=%s\n", orUnset(c.From), c.Key, c.To)
		case c.Kind == tuning.Environment:
			fmt.Fprintf(&b, "# in the environment of the broker: %s\n", c)
		case c.Key == "config":
			fmt.Fprintf(&b, "# in the settings of the topic: %s\n", c)
		default:
			fmt.Fprintf(&b, "# in the clients: %s%s\n", c, clientWords(c.Key))
		}
	}
	if len(e.kept()) == 0 {
		b.WriteString("# Nothing.\n")
	}
	return b.String()
}

func orUnset(value string) string {
	if value == "" {
		return "unset"
	}
	return value
}

// clientWords says how Kafka's clients call what a workload calls otherwise.
func clientWords(key string) string {
	if name := map[string]string{
		"batch": "batch.size", "linger": "linger.ms", "in_flight": "max.in.flight.requests.per.connection", "codec": "compression.type",
	}[key]; name != "" {
		return " (" + name + " of a producer)"
	}
	if name := map[string]string{"fetch_bytes": "fetch.max.bytes", "partition_bytes": "max.partition.fetch.bytes"}[key]; name != "" {
		return " (" + name + " of a consumer)"
	}
	return ""
}

// report is the evidence for people, in Markdown that reads well as it stands.
func (e *evidence) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# millrace tune: %s\n\n%s\n\nGoal: %s. Each side of a trial was run %d times, in turn. A change is kept when the interval of the ratio excludes 1, the ranks differ,\n"+
		"and nothing else that counts got worse by more than a tenth. Ratios are medians with the change to without; in brackets the 95 %% interval.\n",
		filepath.Base(e.Workload), e.verdict(), e.Goal, e.Repeats)
	if kept := e.kept(); len(kept) > 0 {
		b.WriteString("\n## What to change\n\n```properties\n" + e.properties() + "```\n")
	}
	if len(e.Trials) > 0 {
		b.WriteString("\n## What was tried\n\n")
	}
	trials := [][]string{{"", "rule", "change", "verdict"}}
	for i, t := range e.Trials {
		trials = append(trials, []string{strconv.Itoa(i + 1), t.Rule, t.Change.String(), string(t.Verdict)})
	}
	if len(e.Trials) > 0 {
		b.WriteString(table(trials, ">"))
	}
	for i, t := range e.Trials {
		fmt.Fprintf(&b, "\n### %d. %s\n\n%s.\n\n%s: %s.\n\n", i+1, t.Change, upperFirst(t.Why), upperFirst(string(t.Verdict)), t.Reason)
		if t.Loses != "" {
			fmt.Fprintf(&b, "Nobody does with it %s: whether that is needed is not for a measurement to say.\n\n", t.Loses)
		}
		rows := [][]string{{"phase", "figure", "without", "with", "ratio", "95 %", "p", "with is"}}
		for _, r := range t.Rows {
			rows = append(rows, []string{
				r.Phase, r.Metric + ", " + r.Unit, results.Figure(results.Median(r.Without)), results.Figure(results.Median(r.With)),
				fmt.Sprintf("%.2f", r.Ratio), fmt.Sprintf("%.2f–%.2f", r.Low, r.High), fmt.Sprintf("%.3f", r.P), r.Verdict,
			})
		}
		b.WriteString(table(rows, "<<>>>>><"))
	}
	for i, o := range e.Observations {
		fmt.Fprintf(&b, "\n## What it cost: look %d\n\n%s\n", i+1, costs(o))
	}
	return b.String()
}

func upperFirst(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// most is how many lines a table of costs has.
const most = 8

// costs are the tables of one observation.
func costs(o *tuning.Observation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", summary(o))
	for _, list := range []struct {
		title  string
		shares []tuning.Share
	}{
		{"kind of work", o.CPU.Classes}, {"API", o.CPU.Labels[tuning.ByAPI]}, {"topic", o.CPU.Labels[tuning.ByTopic]}, {"plugin", o.CPU.Labels[tuning.ByPlugin]},
		{"function", o.CPU.Functions}, {"lock held by", o.Mutex.Callers}, {"wait in", o.Block.Callers},
	} {
		if len(list.shares) == 0 || len(list.shares) == 1 && list.shares[0].Name == tuning.Unlabelled {
			continue
		}
		rows := [][]string{{list.title, "share"}}
		for _, s := range list.shares[:min(most, len(list.shares))] {
			rows = append(rows, []string{s.Name, fmt.Sprintf("%.1f %%", 100*s.Part)})
		}
		b.WriteString("\n" + table(rows, "<>"))
	}
	return b.String()
}

// summary is an observation in a few lines.
func summary(o *tuning.Observation) string {
	var parts []string
	for _, s := range o.CPU.Classes[:min(5, len(o.CPU.Classes))] {
		parts = append(parts, fmt.Sprintf("%s %.0f %%", s.Name, 100*s.Part))
	}
	if len(parts) == 0 {
		parts = []string{"the profile is empty"}
	}
	text := "Processor time: " + strings.Join(parts, ", ") + "."
	if o.RequestBytes > 0 {
		text += fmt.Sprintf(" A produce request has %.0f bytes.", o.RequestBytes)
	}
	text += fmt.Sprintf(" %.1f garbage collections a second at GOGC %.0f.", o.GCPerSecond, o.GCPercent)
	for _, name := range slices.Sorted(maps.Keys(o.PluginMillis)) {
		text += fmt.Sprintf(" Plugin %s: %.2f ms for a batch.", name, o.PluginMillis[name])
	}
	return text
}

// table is a Markdown table whose columns line up as text, too. Sides say of each column
// whether it is set to the left (<) or to the right (>); left when nothing is said.
func table(rows [][]string, sides string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell), 3)
		}
	}
	right := func(i int) bool { return i < len(sides) && sides[i] == '>' }
	var b strings.Builder
	line := func(row []string) {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if right(i) {
				b.WriteString("| " + pad + cell + " ")
			} else {
				b.WriteString("| " + cell + pad + " ")
			}
		}
		b.WriteString("|\n")
	}
	line(rows[0])
	for i, width := range widths {
		if right(i) {
			b.WriteString("|" + strings.Repeat("-", width+1) + ":")
		} else {
			b.WriteString("|" + strings.Repeat("-", width+2))
		}
	}
	b.WriteString("|\n")
	for _, row := range rows[1:] {
		line(row)
	}
	return b.String()
}
