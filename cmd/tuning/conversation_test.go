package tuning

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/millrace/millrace/results"
)

// TestConversations plays what the tuner is told and writes down what it wants.
//
//	observe            a run: "class gc 30", "plugin mask 20", "request-bytes 400", "setting k v", …, shares in percent
//	next               what is tried next
//	measured           how that went: "phase mode metric ratio verdict" a line
//	failed             that it could not be measured, and why
//	base               what is configured by now
func TestConversations(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		tuner := New(Options{}, Configuration{})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "begin":
				o := Options{}
				d.MaybeScanArgs(t, "goal", &o.Goal)
				d.MaybeScanArgs(t, "changes", &o.Changes)
				o.Weaken = d.HasArg("weaken")
				tuner = New(o, Configuration{})
				return ""
			case "observe":
				tuner.Observe(observed(t, d.Input))
				return proposals(tuner.waiting)
			case "next":
				p, ok := tuner.Next()
				if !ok {
					return "nothing is left to try\n"
				}
				return fmt.Sprintf("%s: %s\n", p.Rule, p.Change)
			case "measured":
				trial, again := tuner.Measured(compared(t, d.Input))
				text := fmt.Sprintf("%s: %s\n", trial.Verdict, trial.Reason)
				if again {
					text += "look again\n"
				}
				return text
			case "failed":
				trial := tuner.Failed(strings.TrimSpace(d.Input))
				return fmt.Sprintf("%s: %s\n", trial.Verdict, trial.Reason)
			case "base":
				return configured(tuner.Base())
			}
			t.Fatalf("unknown command %q", d.Cmd)
			return ""
		})
	})
}

func proposals(all []Proposal) string {
	if len(all) == 0 {
		return "no rule speaks\n"
	}
	var b strings.Builder
	for _, p := range all {
		fmt.Fprintf(&b, "%.2f %s: %s\n  %s\n", p.Score, p.Rule, p.Change, p.Why)
		if p.Weakens != "" {
			fmt.Fprintf(&b, "  but %s\n", p.Weakens)
		}
		if p.Loses != "" {
			fmt.Fprintf(&b, "  without %s\n", p.Loses)
		}
	}
	return b.String()
}

func configured(c Configuration) string {
	var b strings.Builder
	for _, part := range []struct {
		kind string
		all  map[string]string
	}{{Setting, c.Settings}, {Environment, c.Environment}, {Workload, c.Workload}} {
		for _, key := range slices.Sorted(maps.Keys(part.all)) {
			fmt.Fprintf(&b, "%s %s=%s\n", part.kind, key, part.all[key])
		}
	}
	if b.Len() == 0 {
		return "as it was\n"
	}
	return b.String()
}

// observed reads an observation; what is not said is as with a broker that is well set up.
func observed(t *testing.T, text string) *Observation {
	o := &Observation{
		CPU: Ranking{Labels: map[string][]Share{}}, Settings: map[string]string{}, Environment: map[string]string{}, Plugins: map[string][]string{}, PluginMillis: map[string]float64{},
		GCPercent: 200, Batch: 16 << 10, RequestBytes: 16 << 10, InFlight: 5, AsFastAsGoes: true, Codec: "none", Cores: 2,
	}
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		last := words[len(words)-1]
		number, err := strconv.ParseFloat(last, 64)
		numeric := func() float64 {
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			return number
		}
		switch words[0] {
		case "class":
			o.CPU.Classes = append(o.CPU.Classes, Share{Name: words[1], Part: numeric() / 100})
		case "plugin":
			o.CPU.Labels[ByPlugin] = append(o.CPU.Labels[ByPlugin], Share{Name: words[1], Part: numeric() / 100})
		case "plugin-ms":
			o.PluginMillis[words[1]] = numeric()
		case "interceptors":
			o.Plugins[words[1]] = strings.Split(last, ",")
		case "topic-config":
			if o.TopicConfig == nil {
				o.TopicConfig = map[string]string{}
			}
			o.TopicConfig[words[1]] = last
		case "setting":
			o.Settings[words[1]] = last
		case "environment":
			o.Environment[words[1]] = last
		case "request-bytes":
			o.RequestBytes = numeric()
		case "api":
			o.CPU.Labels[ByAPI] = append(o.CPU.Labels[ByAPI], Share{Name: words[1], Part: numeric() / 100})
		case "fetch-bytes":
			o.FetchBytes = int(numeric())
			o.PartitionBytes = max(o.PartitionBytes, 1<<20)
		case "partition-bytes":
			o.PartitionBytes = int(numeric())
		case "batch":
			o.Batch = int(numeric())
		case "gc-percent":
			o.GCPercent = numeric()
		case "gc-per-second":
			o.GCPerSecond = numeric()
		case "in-flight":
			o.InFlight = int(numeric())
		case "codec":
			o.Codec = last
		case "by-record":
			o.ByRecord = true
		default:
			t.Fatalf("unknown line %q", line)
		}
	}
	return o
}

// compared reads a comparison.
func compared(t *testing.T, text string) (c results.Comparison) {
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if line == "" {
			continue
		}
		words := strings.Fields(line)
		if len(words) != 5 {
			t.Fatalf("%q: want phase, mode, metric, ratio and verdict", line)
		}
		name := strings.ReplaceAll(words[2], "-", " ")
		at := slices.IndexFunc(results.Metrics, func(m results.Metric) bool { return m.Name == name })
		ratio, err := strconv.ParseFloat(words[3], 64)
		if at < 0 || err != nil {
			t.Fatalf("%q: no such metric, or no ratio", line)
		}
		c.Rows = append(c.Rows, results.Row{
			Phase: words[0], Mode: words[1], Metric: results.Metrics[at], Ratio: ratio,
			Spread: results.Interval{Low: ratio * 0.95, High: ratio * 1.05}, Verdict: results.Verdict(words[4]),
		})
	}
	return c
}
