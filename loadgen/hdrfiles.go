package loadgen

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/millrace/millrace/results"
)

// phaseFiles are the files of one phase that HdrHistogram's plotters read:
// <result>-<phase>.hlog with one histogram a second for each latency, told apart by tag,
// and <result>-<phase>-<latency>.hgrm with the percentiles of the measured part.
type phaseFiles struct {
	base string
	log  *os.File
	err  error
}

// openFiles begins the files of a phase and lets the collector fill them.
func (o *Options) openFiles(r *results.Result, p *Phase, c *collector) (*phaseFiles, error) {
	if o.HDRDir == "" || p.Discard {
		return &phaseFiles{}, nil
	}
	if err := os.MkdirAll(o.HDRDir, 0o755); err != nil {
		return nil, fmt.Errorf("write histograms: %w", err)
	}
	f := &phaseFiles{base: filepath.Join(o.HDRDir, r.ID+"-"+strings.ReplaceAll(p.Name, " ", "-"))}
	var err error
	if f.log, err = os.Create(f.base + ".hlog"); err != nil {
		return nil, fmt.Errorf("write histograms: %w", err)
	}
	start := time.Now()
	log, err := results.NewIntervalLog(f.log, start, fmt.Sprintf("[Written by millrace bench: %s, phase %s, nanoseconds]", r.ID, p.Name))
	if err != nil {
		return nil, errors.Join(err, f.log.Close())
	}
	c.each = func(m *merged) {
		end := start.Add(time.Duration(m.index-c.first+1) * time.Second)
		for k, h := range m.latency {
			if h != nil && f.err == nil {
				f.err = log.Write(h, kindNames[k], end.Add(-time.Duration(m.length)), end)
			}
		}
	}
	return f, nil
}

// close writes the percentiles and ends the files.
func (f *phaseFiles) close(c *collector) error {
	if f.log == nil {
		return nil
	}
	err := errors.Join(f.err, f.log.Close())
	for k, h := range c.latency {
		if h != nil && h.TotalCount() > 0 && k != int(sendLag) && k != int(ownLag) {
			err = errors.Join(err, writePercentiles(fmt.Sprintf("%s-%s.hgrm", f.base, kindNames[k]), h))
		}
	}
	return err
}

func writePercentiles(path string, h *hdrhistogram.Histogram) error {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write histograms: %w", err)
	}
	return errors.Join(results.WritePercentiles(file, h), file.Close())
}
