package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/millrace/millrace/cmd/command/plugin"
	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/loadgen/metrics"
)

const (
	// fewFiles is a limit of open files that a broker with some thousand partitions and
	// connections reaches.
	fewFiles = 65536
	// slowSync is a 99th percentile of fdatasync that makes every acknowledgement slow.
	slowSync = 20 * time.Millisecond
)

// metrics asks a broker for what only it knows, and answers why data folders were stopped.
func (r *report) metrics(ctx context.Context, address string) map[string]string {
	if address == "" {
		return nil
	}
	families, err := metrics.Of(ctx, address)
	if err != nil {
		r.add(warning, "metrics", "http://%s/metrics: %v; --admin is the broker's admin.listener", address, err)
		return nil
	}
	reasons := map[string]string{}
	for _, m := range families["millrace_disk_stopped"].GetMetric() {
		reasons[metrics.Label(m, "folder")] = metrics.Label(m, "reason")
	}
	if h := families["millrace_fsync_seconds"].GetMetric(); len(h) > 0 && h[0].GetHistogram().GetSampleCount() > 0 {
		p99 := percentile(h[0].GetHistogram(), 0.99)
		v, advice := fine, ""
		if p99 > slowSync {
			v, advice = warning, "; acknowledgements wait for it: use a faster disk, or log.flush.mode=os where records may be lost"
		}
		r.add(v, "fsync", "99 %% of %d took at most %v%s", h[0].GetHistogram().GetSampleCount(), p99, advice)
	}
	r.plugins(families)
	return reasons
}

// plugins looks for those that are not called.
func (r *report) plugins(families map[string]*dto.MetricFamily) {
	for _, t := range plugin.Troubles(families) {
		v := warning
		if t.Broken {
			v = bad
		}
		r.add(v, "plugin "+t.Plugin, "%s", t)
	}
}

// percentile is the upper bound of the bucket that it lies in.
func percentile(h *dto.Histogram, p float64) time.Duration {
	for _, b := range h.GetBucket() {
		if float64(b.GetCumulativeCount()) >= p*float64(h.GetSampleCount()) {
			return time.Duration(b.GetUpperBound() * float64(time.Second))
		}
	}
	return 0
}

// machine looks at the limits of this process, which a broker started in the same way has too.
func (r *report) machine() {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil {
		// Go raises the soft limit to the hard one.
		if files.Max < fewFiles {
			r.add(warning, "open files", "at most %d: partitions and connections need more; raise the limit (ulimit -Hn, LimitNOFILE)", files.Max)
		} else {
			r.add(fine, "open files", "at most %d", files.Max)
		}
	}
}

const (
	probes     = 200
	probeBytes = 4 << 10
)

// disk measures how long a small write takes to be durable.
func (r *report) disk(folder string) {
	r.mounted(folder)
	what := "disk of " + folder
	took, err := probe(folder)
	if err != nil {
		r.add(bad, what, "%v", err)
		return
	}
	slices.Sort(took)
	p50, p99 := took[len(took)/2], took[len(took)*99/100]
	v, advice := fine, ""
	if p99 > slowSync {
		v, advice = warning, "; every acknowledgement waits for one"
	}
	free, total, err := diskio.OS.Space(folder)
	if err == nil && free < total/20 {
		v, advice = warning, advice+"; less than a twentieth is free"
	}
	r.add(v, what, "%d syncs of 4 KiB: p50 %v, p99 %v; %s of %s free%s", probes, p50.Round(time.Microsecond), p99.Round(time.Microsecond),
		bytes(int64(free)), bytes(int64(total)), advice)
}

func probe(folder string) (took []time.Duration, err error) {
	name := filepath.Join(folder, fmt.Sprintf(".doctor-%d", os.Getpid()))
	f, err := diskio.OS.Open(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, failure := range []error{f.Close(), diskio.OS.Remove(name)} {
			if err == nil {
				err = failure
			}
		}
	}()
	page := []byte(strings.Repeat("Millrace", probeBytes/8))
	for i := range int64(probes) {
		begin := time.Now()
		if _, err := f.WriteAt(page, i*probeBytes); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin))
	}
	return took, nil
}
