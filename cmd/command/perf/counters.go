package perf

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// counters count what a client does, for --print-metrics: the totals that Kafka's
// clients have too, by the same names. Any goroutine.
type counters struct {
	client                                   string
	requests, outgoing, incoming             atomic.Int64
	produced, producedBatches, producedBytes atomic.Int64
	consumedBytes                            atomic.Int64
}

var (
	_ kgo.HookBrokerWrite         = (*counters)(nil)
	_ kgo.HookBrokerRead          = (*counters)(nil)
	_ kgo.HookProduceBatchWritten = (*counters)(nil)
	_ kgo.HookFetchBatchRead      = (*counters)(nil)
)

func (c *counters) OnBrokerWrite(_ kgo.BrokerMetadata, _ int16, n int, _, _ time.Duration, _ error) {
	c.requests.Add(1)
	c.outgoing.Add(int64(n))
}

func (c *counters) OnBrokerRead(_ kgo.BrokerMetadata, _ int16, n int, _, _ time.Duration, _ error) {
	c.incoming.Add(int64(n))
}

func (c *counters) OnProduceBatchWritten(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.ProduceBatchMetrics) {
	c.produced.Add(int64(m.NumRecords))
	c.producedBatches.Add(1)
	c.producedBytes.Add(int64(m.CompressedBytes))
}

func (c *counters) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	c.consumedBytes.Add(int64(m.CompressedBytes))
}

// print writes the table of a producer's or a consumer's counters. The client tells of
// batches a little later than of their records, so records, which are those that the
// test has counted itself, may be more than the batches hold.
func (c *counters) print(w io.Writer, kind string, records int64) {
	group := kind + "-metrics"
	values := map[string]float64{
		"request-total":       float64(c.requests.Load()),
		"outgoing-byte-total": float64(c.outgoing.Load()),
		"incoming-byte-total": float64(c.incoming.Load()),
	}
	if kind == "producer" {
		values["record-send-total"] = float64(records)
		values["batch-size-avg"] = average(c.producedBytes.Load(), c.producedBatches.Load())
		values["records-per-batch-avg"] = average(c.produced.Load(), c.producedBatches.Load())
	} else {
		values["records-consumed-total"] = float64(records)
		values["bytes-consumed-total"] = float64(c.consumedBytes.Load())
	}
	width := 0
	named := map[string]float64{}
	for name, value := range values {
		full := fmt.Sprintf("%s:%s:{client-id=%s}", group, name, c.client)
		named[full] = value
		width = max(width, len(full))
	}
	fmt.Fprintf(w, "\n%-*s   %s\n", width, "Metric Name", "Value")
	for _, name := range slices.Sorted(maps.Keys(named)) {
		fmt.Fprintf(w, "%-*s : %.3f\n", width, name, named[name])
	}
}

func average(sum, n int64) float64 {
	if n == 0 {
		return 0
	}
	return float64(sum) / float64(n)
}
