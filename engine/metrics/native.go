package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// buckets is one histogram on its way to a scraper: a prometheus.Metric with native
// buckets for those that read protobuf and a few classic ones for the others. The
// client library can make either, not both at once.
type buckets struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair
	scale  *scale
	snapshot
}

// Desc names the metric.
func (b *buckets) Desc() *prometheus.Desc { return b.desc }

// Write fills in the message that is sent.
func (b *buckets) Write(out *dto.Metric) error {
	out.Label = b.labels
	h := &dto.Histogram{
		SampleCount:   new(b.count),
		SampleSum:     new(float64(b.sum) / b.scale.unit),
		Bucket:        b.classic(),
		Schema:        new(int32(schema)),
		ZeroThreshold: new(b.scale.upper(0)),
		ZeroCount:     new(b.counts[0]),
	}
	h.PositiveSpan, h.PositiveDelta = b.native()
	if len(h.PositiveSpan) == 0 {
		h.PositiveSpan = []*dto.BucketSpan{{Offset: new(int32(0)), Length: new(uint32(0))}} // marks it as native
	}
	out.Histogram = h
	return nil
}

// native is runs of buckets that are not empty: the distance of each run from the last,
// and the counts, each as its difference from the one before.
func (b *buckets) native() (spans []*dto.BucketSpan, deltas []int64) {
	var last int64
	next := 0 // native index after the last bucket sent
	for i := 1; i < len(b.counts); i++ {
		if b.counts[i] == 0 {
			continue
		}
		at := b.scale.first + i - 1
		if len(spans) == 0 || at != next {
			spans = append(spans, &dto.BucketSpan{Offset: new(int32(at - next)), Length: new(uint32(0))})
		}
		*spans[len(spans)-1].Length++
		deltas = append(deltas, int64(b.counts[i])-last)
		last = int64(b.counts[i])
		next = at + 1
	}
	return spans, deltas
}

// Classic buckets are a factor of four apart: every 32nd bound, so that none is split.
const classicStep = 2 * perOctave

// classic is the cumulative counts at powers of four.
func (b *buckets) classic() []*dto.Bucket {
	var all []*dto.Bucket
	below := uint64(0)
	for i, n := range b.counts {
		below += n
		if index := b.scale.first + i - 1; index%classicStep == 0 && index >= b.firstClassic() {
			all = append(all, &dto.Bucket{CumulativeCount: new(below), UpperBound: new(b.scale.upper(i))})
		}
	}
	return all
}

// firstClassic leaves out times below 61 microseconds.
func (b *buckets) firstClassic() int { return max(b.scale.first, -14*perOctave) }
