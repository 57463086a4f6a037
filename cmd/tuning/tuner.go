package tuning

import (
	"math"
	"slices"

	"github.com/millrace/millrace/results"
)

// Options of a Tuner.
type Options struct {
	Goal    string // Empty: GoalCPU
	Changes int    // how many are tried at most. Zero: 8
	Weaken  bool   // propose also what promises less
}

// Trial is one change that was tried.
type Trial struct {
	Proposal
	Verdict Verdict `json:"verdict"`
	Reason  string  `json:"reason"`
	Rows    []Row   `json:"rows"`
}

// Row is one line of a comparison, for the evidence.
type Row struct {
	Phase   string    `json:"phase"`
	Metric  string    `json:"metric"`
	Unit    string    `json:"unit"`
	Without []float64 `json:"without"` // one value for each run
	With    []float64 `json:"with"`
	Ratio   float64   `json:"ratio"`
	Low     float64   `json:"low"` // of the 95 % interval
	High    float64   `json:"high"`
	P       float64   `json:"p"`
	Verdict string    `json:"verdict"`
}

// Tuner goes from observation to proposal to verdict. It is a machine: Observe, then Next and
// Measured in turn. After a change was kept it wants to Observe again.
type Tuner struct {
	options Options
	base    Configuration
	waiting []Proposal
	tried   []Change
	Trials  []Trial
}

// New is a tuner that begins with a configuration.
func New(o Options, begin Configuration) *Tuner {
	if o.Goal == "" {
		o.Goal = GoalCPU
	}
	if o.Changes == 0 {
		o.Changes = 8
	}
	return &Tuner{options: o, base: begin}
}

// Base is the best configuration so far.
func (t *Tuner) Base() Configuration { return t.base }

// Observe tells what a run with the base has shown.
func (t *Tuner) Observe(o *Observation) { t.waiting = Propose(o, t.tried, t.options.Weaken) }

// Next is the change to try next; ok is false when there is none.
func (t *Tuner) Next() (p Proposal, ok bool) {
	if len(t.waiting) == 0 || len(t.Trials) >= t.options.Changes {
		return p, false
	}
	return t.waiting[0], true
}

// Measured tells how the change that Next named has done. It reports whether the base is
// another now.
func (t *Tuner) Measured(c results.Comparison) (Trial, bool) {
	trial := t.take()
	p := trial.Proposal
	trial.Verdict, trial.Reason = Judge(c, t.options.Goal)
	for _, row := range c.Rows {
		if !finite(row.Ratio, row.Spread.Low, row.Spread.High, row.P) {
			continue // something took no time that could be measured: there is no ratio, and nothing to show
		}
		trial.Rows = append(trial.Rows, Row{
			row.Phase, row.Metric.Name, row.Metric.Unit, row.A, row.B, row.Ratio, row.Spread.Low, row.Spread.High, row.P, string(row.Verdict),
		})
	}
	t.Trials = append(t.Trials, trial)
	if trial.Verdict != Kept {
		return trial, false
	}
	t.base = t.base.With(p.Change)
	// The way back is not worth a try.
	t.tried = append(t.tried, Change{p.Change.Kind, p.Change.Key, p.Change.To, p.Change.From})
	t.waiting = nil
	return trial, true
}

func finite(all ...float64) bool {
	return !slices.ContainsFunc(all, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
}

// Failed tells that the change that Next named could not be measured, and why: a broker that
// does not start with it, for one.
func (t *Tuner) Failed(reason string) Trial {
	trial := t.take()
	trial.Verdict, trial.Reason = Dropped, "it could not be measured: "+reason
	t.Trials = append(t.Trials, trial)
	return trial
}

// take begins the trial of the change that Next named.
func (t *Tuner) take() Trial {
	p := t.waiting[0]
	t.waiting = t.waiting[1:]
	t.tried = append(t.tried, p.Change)
	return Trial{Proposal: p}
}
