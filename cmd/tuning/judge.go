package tuning

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/results"
)

// Goals: what a change has to make better.
const (
	GoalCPU        = "cpu"        // processor time of the broker for each byte
	GoalThroughput = "throughput" // records a second, of phases that go as fast as they can
	GoalLatency    = "latency"    // the 99th percentile, of phases with a rate
)

// Goals are all of them.
var Goals = []string{GoalCPU, GoalThroughput, GoalLatency}

// goalMetrics are the metrics of package results that each goal is about.
var goalMetrics = map[string]string{GoalCPU: "broker CPU", GoalThroughput: "throughput", GoalLatency: "p99"}

// tolerated is how much worse, as a ratio, what is not the goal may get.
const tolerated = 1.10

// Verdict is what becomes of a change.
type Verdict string

// The verdicts.
const (
	Kept       Verdict = "kept"
	Dropped    Verdict = "dropped"    // something that counts got worse
	Unresolved Verdict = "unresolved" // the runs do not tell the difference: dropped as well
)

// Judge says what becomes of a change, of which c compares the runs with (B) to those without
// (A). It is kept when the goal is better in some phase and worse in none, and nothing else
// that counts got worse by more than a tenth. Latencies count where there is a rate: as fast
// as it goes, larger batches are slower one by one and faster together.
func Judge(c results.Comparison, goal string) (Verdict, string) {
	var better, worse []string
	for _, row := range c.Rows {
		about := row.Metric.Name == goalMetrics[goal]
		text := fmt.Sprintf("%s, %s ×%.2f (%.2f–%.2f)", row.Phase, row.Metric.Name, row.Ratio, row.Spread.Low, row.Spread.High)
		switch {
		case row.Verdict == results.Better && about:
			better = append(better, text)
		case row.Verdict == results.Worse && (about || counts(row) && byHow(row) > tolerated):
			worse = append(worse, text)
		}
	}
	switch {
	case len(worse) > 0:
		return Dropped, "worse: " + strings.Join(worse, "; ")
	case len(better) > 0:
		return Kept, "better: " + strings.Join(better, "; ")
	case len(c.Rows) == 0:
		return Unresolved, "no phase was measured on both sides"
	default:
		return Unresolved, "the runs do not tell the two apart in what is to get better"
	}
}

// byHow is how many times worse a row is.
func byHow(row results.Row) float64 {
	if row.Metric.Higher {
		return 1 / row.Ratio
	}
	return row.Ratio
}

// counts reports whether a row that is not the goal may keep a change from being kept.
func counts(row results.Row) bool {
	switch row.Metric.Name {
	case "throughput", "broker CPU":
		return true
	case "p99":
		return row.Mode == results.Fixed
	default:
		return false
	}
}
