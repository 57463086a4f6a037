package results

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
)

// Metric is one figure of a phase that runs can be compared by.
type Metric struct {
	Name   string
	Unit   string
	Higher bool // is better
	read   func(p *Phase) (value float64, ok bool)
}

// Of reads the metric from one phase; ok is false when the phase does not have it.
func (m Metric) Of(p *Phase) (value float64, ok bool) { return m.read(p) }

// Metrics are all that Compare looks at, in the order of its table.
var Metrics = []Metric{
	{"throughput", "records/s", true, func(p *Phase) (float64, bool) { return p.Rate, p.Mode == Max && p.Rate > 0 }},
	{"p50", "µs", false, percentile(func(l Latency) float64 { return l.P50 })},
	{"p99", "µs", false, percentile(func(l Latency) float64 { return l.P99 })},
	{"p99.9", "µs", false, percentile(func(l Latency) float64 { return l.P999 })},
	{"broker CPU", "s/GB", false, func(p *Phase) (float64, bool) { return known(p.CPU.BrokerPerGigabyte) }},
	{"client CPU", "s/GB", false, func(p *Phase) (float64, bool) { return p.CPU.ClientPerGigabyte, p.CPU.ClientPerGigabyte > 0 }},
	{"broker memory", "MB", false, func(p *Phase) (float64, bool) {
		if p.Memory.BrokerPeak == nil {
			return 0, false
		}
		return float64(*p.Memory.BrokerPeak) / 1e6, true
	}},
}

func percentile(pick func(Latency) float64) func(*Phase) (float64, bool) {
	return func(p *Phase) (float64, bool) {
		l, ok := p.Latency[p.Primary()]
		return pick(l), ok
	}
}

func known(value *float64) (float64, bool) {
	if value == nil {
		return 0, false
	}
	return *value, true
}

// Verdict is what a comparison says about B against A.
type Verdict string

// The verdicts. Unresolved is an answer: the runs do not tell the two apart.
const (
	Better     Verdict = "better"
	Worse      Verdict = "worse"
	Unresolved Verdict = "unresolved"
)

// MinRepeats is how many valid runs each side needs before Compare takes a stand.
const MinRepeats = 5

// Row compares one metric of one phase.
type Row struct {
	Phase   string
	Mode    string // of the phase: Fixed or Max
	Metric  Metric
	A, B    []float64 // one value per valid run, never pooled samples
	Ratio   float64   // median B / median A
	Spread  Interval
	P       float64 // Mann-Whitney, two-sided
	Verdict Verdict
	Why     string // when unresolved
}

// Comparison is every metric that both sides have.
type Comparison struct {
	Rows               []Row
	InvalidA, InvalidB int // phases left out because their run is invalid
}

// Compare judges B against A. Each run is one value; phases that are INVALID are left
// out and counted.
func Compare(a, b []*Result) Comparison {
	var c Comparison
	for _, name := range phaseNames(a, b) {
		phasesA, lostA := validPhases(a, name)
		phasesB, lostB := validPhases(b, name)
		c.InvalidA += lostA
		c.InvalidB += lostB
		for _, metric := range Metrics {
			row := Row{Phase: name, Metric: metric, A: values(metric, phasesA), B: values(metric, phasesB)}
			if len(row.A) > 0 && len(row.B) > 0 {
				row.Mode = phasesA[0].Mode
				row.judge()
				c.Rows = append(c.Rows, row)
			}
		}
	}
	return c
}

// judge asks for two independent witnesses: the interval of the ratio must exclude 1,
// and the ranks must differ.
func (r *Row) judge() {
	r.Ratio, r.Spread = Ratio(r.A, r.B)
	r.P = MannWhitney(r.A, r.B)
	switch {
	case len(r.A) < MinRepeats || len(r.B) < MinRepeats:
		r.Verdict, r.Why = Unresolved, fmt.Sprintf("%d and %d valid runs, needs %d of each", len(r.A), len(r.B), MinRepeats)
	case math.IsNaN(r.Spread.Low) || r.Spread.Low <= 1 && r.Spread.High >= 1:
		r.Verdict, r.Why = Unresolved, "the spread includes 1"
	case r.P >= 0.05:
		r.Verdict, r.Why = Unresolved, fmt.Sprintf("the runs overlap (p = %.2f)", r.P)
	case r.Ratio > 1 == r.Metric.Higher:
		r.Verdict = Better
	default:
		r.Verdict = Worse
	}
}

func phaseNames(sides ...[]*Result) []string {
	var names []string
	seen := map[string]bool{}
	for _, side := range sides {
		for _, r := range side {
			for i := range r.Phases {
				if name := r.Phases[i].Name; !seen[name] {
					seen[name] = true
					names = append(names, name)
				}
			}
		}
	}
	return names
}

func validPhases(runs []*Result, name string) (valid []*Phase, invalid int) {
	for _, r := range runs {
		switch p := r.Phase(name); {
		case p == nil:
		case p.Valid:
			valid = append(valid, p)
		default:
			invalid++
		}
	}
	return valid, invalid
}

func values(m Metric, phases []*Phase) []float64 {
	var all []float64
	for _, p := range phases {
		if value, ok := m.Of(p); ok {
			all = append(all, value)
		}
	}
	return all
}

// Write prints the comparison as a table.
func (c Comparison) Write(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "phase\tmetric\tA\tB\tB / A\t95 %\tp\tB is")
	for _, r := range c.Rows {
		verdict := string(r.Verdict)
		if r.Why != "" {
			verdict += ": " + r.Why
		}
		fmt.Fprintf(table, "%s\t%s, %s\t%s\t%s\t%.3f\t%.3f–%.3f\t%.3f\t%s\n", r.Phase, r.Metric.Name, r.Metric.Unit,
			Figure(Median(r.A)), Figure(Median(r.B)), r.Ratio, r.Spread.Low, r.Spread.High, r.P, verdict)
	}
	if c.InvalidA+c.InvalidB > 0 {
		fmt.Fprintf(table, "\nleft out because INVALID: %d phases of A, %d of B\n", c.InvalidA, c.InvalidB)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print comparison: %w", err)
	}
	return nil
}

// Figure prints a number with three digits that mean something.
func Figure(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a >= 1e8:
		return fmt.Sprintf("%.0f M", v/1e6)
	case a >= 1e7:
		return fmt.Sprintf("%.1f M", v/1e6)
	case a >= 1e6:
		return fmt.Sprintf("%.2f M", v/1e6)
	case a >= 1e5:
		return fmt.Sprintf("%.0f k", v/1e3)
	case a >= 1e4:
		return fmt.Sprintf("%.1f k", v/1e3)
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}
