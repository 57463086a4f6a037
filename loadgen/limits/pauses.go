package limits

import (
	"context"

	"github.com/millrace/millrace/loadgen/peers"
	"github.com/millrace/millrace/results"
)

// longestPause is the longest time for which the garbage collector stopped the broker since it was started, of its last
// 256 collections: the broker of a side is the same in all repeats, so it is the longest of those before, too.
const longestPause = "longest GC pause"

// paused is that figure, if the row wants it and the broker has metrics of the Go runtime.
func (t *trial) paused(ctx context.Context) error {
	if !t.row.Pauses || t.broker.Admin == "" {
		return nil
	}
	all, err := peers.Metrics(ctx, t.broker.Admin)
	if err != nil {
		return err
	}
	for _, m := range all["go_gc_duration_seconds"].GetMetric() {
		for _, q := range m.GetSummary().GetQuantile() {
			if q.GetQuantile() == 1 {
				t.figure(longestPause, results.Seconds, q.GetValue())
			}
		}
	}
	return nil
}
