package results

import (
	"fmt"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Bounds of every latency histogram: microsecond resolution, up to two minutes, three
// digits. Unit: nanoseconds, which HdrHistogram's plotters expect of .hlog files.
const (
	lowestNanos  = 1000
	highestNanos = int64(120e9)
	digits       = 3
)

// NewHistogram returns an empty latency histogram in nanoseconds.
func NewHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(lowestNanos, highestNanos, digits)
}

// Clamp brings a latency in nanoseconds into the range that a histogram can hold, so
// that no value is ever lost: a wait beyond two minutes counts as two minutes.
func Clamp(nanos int64) int64 { return min(max(nanos, 0), highestNanos) }

// Summarize reads the percentiles off h and encodes the whole of it.
func Summarize(h *hdrhistogram.Histogram) (Latency, error) {
	encoded, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return Latency{}, fmt.Errorf("encode a histogram: %w", err)
	}
	at := func(percentile float64) float64 { return micros(h.ValueAtPercentile(percentile)) }
	return Latency{
		Count: h.TotalCount(), Min: micros(h.Min()), Mean: h.Mean() / 1e3,
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), P9999: at(99.99),
		Max: micros(h.Max()), HDR: string(encoded),
	}, nil
}

// Histogram decodes the whole distribution.
func (l Latency) Histogram() (*hdrhistogram.Histogram, error) {
	h, err := hdrhistogram.Decode([]byte(l.HDR))
	if err != nil {
		return nil, fmt.Errorf("decode a histogram: %w", err)
	}
	return h, nil
}

func micros(nanos int64) float64 { return float64(nanos) / 1e3 }
