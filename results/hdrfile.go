package results

import (
	"fmt"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// WritePercentiles writes h as a .hgrm file: the percentile table, in milliseconds,
// that HdrHistogram's plotters draw.
func WritePercentiles(w io.Writer, h *hdrhistogram.Histogram) error {
	if _, err := h.PercentilesPrint(w, 5, 1e6); err != nil {
		return fmt.Errorf("write percentiles: %w", err)
	}
	return nil
}

// IntervalLog writes one histogram a second as an .hlog file.
type IntervalLog struct {
	log *hdrhistogram.HistogramLogWriter
}

// NewIntervalLog writes the head of an .hlog file whose times count from start.
func NewIntervalLog(w io.Writer, start time.Time, comment string) (*IntervalLog, error) {
	log := hdrhistogram.NewHistogramLogWriter(w)
	steps := []func() error{
		func() error { return log.OutputComment(comment) },
		log.OutputLogFormatVersion,
		func() error { return log.OutputStartTime(start.UnixMilli()) },
		log.OutputLegend,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, fmt.Errorf("begin an interval log: %w", err)
		}
	}
	log.SetBaseTime(start.UnixMilli())
	return &IntervalLog{log}, nil
}

// Write adds the interval from begin to end. A tag distinguishes several series of one
// file; it may be empty.
func (l *IntervalLog) Write(h *hdrhistogram.Histogram, tag string, begin, end time.Time) error {
	h.SetTag(tag)
	h.SetStartTimeMs(begin.UnixMilli())
	h.SetEndTimeMs(end.UnixMilli())
	if err := l.log.OutputIntervalHistogram(h); err != nil {
		return fmt.Errorf("write an interval: %w", err)
	}
	return nil
}
