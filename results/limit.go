package results

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// limitsSuite begins the suite of every run of `millrace bench limits`; the number of the row follows.
const limitsSuite = "limits-"

// Labels of the runs of `millrace bench limits`.
const (
	RowLabel   = "row"
	SideLabel  = "side"
	QuickLabel = "quick" // small volumes: shows that it works, counts for no verdict
	// VolumeLabel is how many bytes a run wrote where it was told to write other than its row says.
	VolumeLabel = "volume"
)

// LimitSuite is the suite of the runs of one row. It is part of their names, so that rows
// measured within one second do not collide.
func LimitSuite(row int) string { return fmt.Sprintf("%s%02d", limitsSuite, row) }

// Limit is one row of the table of limits: what is promised, and how to read whether it
// is kept from the runs.
type Limit struct {
	Row    int
	What   string
	Checks []Check
	Now    string // what limits it now, written by a person
}

// Check is one bound. It concerns a figure of the runs of one side, or its ratio to that
// of another.
type Check struct {
	What    string `yaml:"what"`    // which of the row's bounds this is
	Row     int    `yaml:"row"`     // whose runs are read. Zero: the limit's own
	Side    string `yaml:"side"`    // whose figure
	Against string `yaml:"against"` // what it is divided by. Empty: the figure itself is bounded
	Phase   string `yaml:"phase"`   // Empty: a figure of the run as a whole
	Figure  string `yaml:"figure"`
	Minus   string `yaml:"minus"` // a figure of the same run as a whole that is taken off. Empty: none
	Must    Bound  `yaml:"must"`  // Empty: for information
	Goal    Bound  `yaml:"goal"`
}

// Bound is a least or a greatest value, as "≤ 1/5", "≥ 0.8" or "≤ 50 ms".
type Bound struct {
	text  string
	least bool // the value may not be smaller; else not larger
	value float64
}

var boundUnits = map[string]float64{"": 1, "s": 1, "ms": 1e-3, "µs": 1e-6, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

var errBound = errors.New(`a bound is ≤ or ≥, a number or a fraction, and perhaps a unit: "≤ 1/5", "≥ 0.8", "≤ 50 ms", "≤ 64 MiB"`)

// UnmarshalText reads a bound.
func (b *Bound) UnmarshalText(text []byte) error {
	fields := strings.Fields(string(text))
	if len(fields) < 2 || len(fields) > 3 || fields[0] != "≤" && fields[0] != "≥" {
		return fmt.Errorf("%q: %w", text, errBound)
	}
	unit := ""
	if len(fields) == 3 {
		unit = fields[2]
	}
	scale, ok := boundUnits[unit]
	over, under, fraction := strings.Cut(fields[1], "/")
	value, err := strconv.ParseFloat(over, 64)
	if err == nil && fraction {
		var divisor float64
		divisor, err = strconv.ParseFloat(under, 64)
		value /= divisor
	}
	if err != nil || !ok || math.IsNaN(value) || math.IsInf(value, 0) {
		return fmt.Errorf("%q: %w", text, errBound)
	}
	*b = Bound{text: strings.Join(fields, " "), least: fields[0] == "≥", value: value * scale}
	return nil
}

func (b Bound) String() string {
	if b.text == "" {
		return "–"
	}
	return b.text
}

// Set reports whether there is a bound at all.
func (b Bound) Set() bool { return b.text != "" }

// keeps reports whether the whole interval is within the bound, breaks whether all of it is beyond.
func (b Bound) keeps(i Interval) bool {
	return b.Set() && (b.least && i.Low >= b.value || !b.least && i.High <= b.value)
}
func (b Bound) breaks(i Interval) bool {
	return b.least && i.High < b.value || !b.least && i.Low > b.value
}

// The verdicts on a bound. They are about the 95 % interval and not about the median:
// unless all of it is on one side of the bound, nothing is decided.
const (
	GoalMet     Verdict = "goal met"
	Met         Verdict = "met"
	NotMet      Verdict = "not met"
	NotMeasured Verdict = "not measured"
	QuickRun    Verdict = "quick run"
	Information Verdict = "–"
)

// Outcome is what the runs say of one check.
type Outcome struct {
	Check
	Unit         string
	Ours, Theirs []float64 // one value per valid run
	Invalid      int       // runs left out
	Quick        bool
	Volumes      []string // that were written instead of those the row says
	Value        float64  // the median, or the ratio of medians
	Spread       Interval
	Verdict      Verdict
	Why          string // when unresolved
}

// Judge reads every check of the limit from the runs of `millrace bench limits`.
func (l Limit) Judge(all []*Result) []Outcome {
	var out []Outcome
	for _, c := range l.Checks {
		if c.Row == 0 {
			c.Row = l.Row
		}
		runs := current(all, c.Row)
		o := Outcome{Check: c}
		o.Ours = o.take(runs, c.Side)
		if c.Against != "" {
			o.Theirs = o.take(runs, c.Against)
		}
		o.judge()
		out = append(out, o)
	}
	return out
}

// current are the runs of a row that count: those of the build that was measured last,
// and no quick ones when there are others.
func current(all []*Result, row int) []*Result {
	var runs []*Result
	for _, r := range all {
		if r.Suite == LimitSuite(row) {
			runs = append(runs, r)
		}
	}
	if slices.ContainsFunc(runs, func(r *Result) bool { return !r.quick() }) {
		runs = slices.DeleteFunc(runs, (*Result).quick)
	}
	if len(runs) == 0 {
		return nil
	}
	newest := lastBuild(runs)
	return slices.DeleteFunc(runs, func(r *Result) bool { return r.build() != newest })
}

// lastBuild is the build of the run that was started last.
func lastBuild(runs []*Result) string {
	return slices.MaxFunc(runs, func(a, b *Result) int { return a.Started.Compare(b.Started) }).build()
}

// buildsOf are the builds of runs, each once, in their order.
func buildsOf(runs []*Result) []string {
	var builds []string
	for _, r := range runs {
		if !slices.Contains(builds, r.build()) {
			builds = append(builds, r.build())
		}
	}
	return builds
}

func (r *Result) quick() bool { return r.Labels[QuickLabel] != "" }

func (r *Result) build() string {
	return fmt.Sprintf("%.10s%s", r.Environment.Git, dirtyMark(r.Environment.Dirty))
}

// take reads the values of one side.
func (o *Outcome) take(runs []*Result, side string) []float64 {
	var values []float64
	for _, r := range runs {
		if r.Labels[SideLabel] != side {
			continue
		}
		value, unit, state := o.read(r)
		switch state {
		case absent:
		case invalid:
			o.Invalid++
		default:
			o.Unit, o.Quick = unit, o.Quick || r.quick()
			if v := r.Labels[VolumeLabel]; v != "" && !slices.Contains(o.Volumes, v) {
				o.Volumes = append(o.Volumes, v)
			}
			values = append(values, value)
		}
	}
	return values
}

const (
	absent = iota
	invalid
	present
)

// read is the figure of one run.
func (c *Check) read(r *Result) (value float64, unit string, state int) {
	if c.Phase == "" {
		m, ok := r.Figure(c.Figure)
		if !ok {
			return 0, "", absent
		}
		value, unit = m.Value, m.Unit
	} else {
		p, f := r.Phase(c.Phase), phaseFigures[c.Figure]
		if p == nil || f.read == nil {
			return 0, "", absent
		}
		if !p.Valid {
			return 0, "", invalid
		}
		var ok bool
		if value, ok = f.read(p); !ok {
			return 0, "", absent
		}
		unit = f.unit
	}
	if c.Minus != "" {
		less, ok := r.Figure(c.Minus)
		if !ok {
			return 0, "", absent
		}
		value -= less.Value
	}
	return value, unit, present
}

// phaseFigure is one figure that a phase has.
type phaseFigure struct {
	unit string
	read func(*Phase) (float64, bool)
}

var phaseFigures = map[string]phaseFigure{
	"broker CPU":    {PerGigabyte, func(p *Phase) (float64, bool) { return known(p.CPU.BrokerPerGigabyte) }},
	"throughput":    {MegabytesSecond, func(p *Phase) (float64, bool) { return p.Megabytes, p.Megabytes > 0 }},
	"p50":           {Seconds, seconds(func(l Latency) float64 { return l.P50 })},
	"p99":           {Seconds, seconds(func(l Latency) float64 { return l.P99 })},
	"p99.9":         {Seconds, seconds(func(l Latency) float64 { return l.P999 })},
	"broker memory": {SizeBytes, brokerMemory},
	"last quarter / first": {Pure, func(p *Phase) (float64, bool) {
		q, ok := p.Quarters()
		return q[3] / q[0], ok
	}},
	"first quarter":  {MegabytesSecond, func(p *Phase) (float64, bool) { q, ok := p.Quarters(); return q[0], ok }},
	"second quarter": {MegabytesSecond, func(p *Phase) (float64, bool) { q, ok := p.Quarters(); return q[1], ok }},
	"third quarter":  {MegabytesSecond, func(p *Phase) (float64, bool) { q, ok := p.Quarters(); return q[2], ok }},
	"last quarter":   {MegabytesSecond, func(p *Phase) (float64, bool) { q, ok := p.Quarters(); return q[3], ok }},
}

// PhaseFigure reports whether a phase can have a figure of that name.
func PhaseFigure(name string) bool { return phaseFigures[name].read != nil }

func seconds(pick func(Latency) float64) func(*Phase) (float64, bool) {
	micros := percentile(pick)
	return func(p *Phase) (float64, bool) {
		v, ok := micros(p)
		return v / 1e6, ok
	}
}

func brokerMemory(p *Phase) (float64, bool) {
	if p.Memory.BrokerPeak == nil {
		return 0, false
	}
	return float64(*p.Memory.BrokerPeak), true
}

// Quarters is the rate in MB/s in each quarter of what a phase moved, from its seconds.
func (p *Phase) Quarters() (rates [4]float64, ok bool) {
	total, last := 0.0, 0.0
	for _, s := range p.Series {
		if !s.Warmup {
			total += s.Megabytes * (s.T - last)
		}
		last = s.T
	}
	if total <= 0 {
		return rates, false
	}
	quarter := total / 4
	took, at, left := [4]float64{}, 0, quarter
	last = 0
	for _, s := range p.Series {
		length := s.T - last
		last = s.T
		if s.Warmup {
			continue
		}
		if s.Megabytes == 0 {
			took[at] += length // a standstill is the next byte's fault
			continue
		}
		for amount := s.Megabytes * length; amount > 0; {
			part := amount // of the last quarter: rounding must not open a fifth
			if at < 3 {
				part = min(amount, left)
			}
			took[at] += part / s.Megabytes
			amount, left = amount-part, left-part
			if left <= 0 && at < 3 {
				at, left = at+1, quarter
			}
		}
	}
	for i := range rates {
		if took[i] > 0 {
			rates[i] = quarter / took[i]
		}
	}
	return rates, rates[0] > 0 && rates[3] > 0
}

// judge compares the interval of what was measured with the bounds.
func (o *Outcome) judge() {
	fewest := len(o.Ours)
	o.Value = Median(o.Ours)
	if o.Against != "" {
		fewest = min(fewest, len(o.Theirs))
	}
	if fewest == 0 {
		o.Verdict = NotMeasured
		return
	}
	if o.Against != "" {
		o.Value, o.Spread = Ratio(o.Theirs, o.Ours)
	} else {
		o.Spread = Around(o.Ours)
	}
	switch {
	case !o.Must.Set():
		o.Verdict = Information
	case o.Quick:
		o.Verdict = QuickRun
	case fewest < MinRepeats:
		o.Verdict, o.Why = Unresolved, fmt.Sprintf("%d of %d valid runs", fewest, MinRepeats)
	case math.IsNaN(o.Spread.Low):
		o.Verdict, o.Why = Unresolved, "the ratio has no interval"
	case o.Goal.keeps(o.Spread):
		o.Verdict = GoalMet
	case o.Must.keeps(o.Spread):
		o.Verdict = Met
	case o.Must.breaks(o.Spread):
		o.Verdict = NotMet
	default:
		o.Verdict, o.Why = Unresolved, "the interval includes the bound"
	}
}

// Around returns the bootstrap interval of the median.
func Around(values []float64) Interval {
	if len(values) == 0 {
		return Interval{math.NaN(), math.NaN()}
	}
	random := rand.New(rand.NewPCG(uint64(len(values)), 0))
	medians, drawn := make([]float64, resamples), make([]float64, len(values))
	for i := range medians {
		medians[i] = redraw(random, drawn, values)
	}
	slices.Sort(medians)
	last := float64(len(medians) - 1)
	return Interval{medians[int(last*0.025)], medians[int(math.Ceil(last*0.975))]}
}
