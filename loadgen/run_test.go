package loadgen

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/millrace/millrace/results"
)

func fakeCluster(t *testing.T, brokers int) []string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(brokers))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

func runWorkload(t *testing.T, text string, o Options) *results.Result {
	t.Helper()
	w, err := ParseWorkload("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o.Workload = w
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Everything that is sent is acknowledged and read again, whatever the driver, the codec
// and the number of brokers; and the result is one that the schema accepts.
func TestRun(t *testing.T) {
	const workload = `
name: test
partitions: 4
producers: 2
consumers: 2
codec: %s
key: %s
encode: each
duration: 300ms
phases:
  - {name: produce, do: produce, rate: 20k, batch: 4KiB}
  - {name: consume, do: consume, loop: false, decode: records, duration: 20s}
  - {name: follow, do: end-to-end, rate: 2k, arrival: record, linger: 2ms}
slo: ["produce: p99 < 1m", "follow: p50 < 1us"]
`
	for _, test := range []struct {
		driver, codec, key string
		brokers            int
	}{
		{DriverOwn, "none", KeyZipf, 1}, {DriverOwn, "none", KeyNone, 2}, {DriverOwn, "lz4", KeyUniform, 2},
		{DriverOwn, "zstd", KeyNone, 1}, {DriverOwn, "gzip", KeyNone, 1}, {DriverOwn, "snappy", KeyNone, 1},
		{DriverKgo, "none", KeyZipf, 2}, {DriverKgo, "lz4", KeyNone, 1},
	} {
		t.Run(fmt.Sprintf("%s/%s/%s/%d brokers", test.driver, test.codec, test.key, test.brokers), func(t *testing.T) {
			r := runWorkload(t, fmt.Sprintf(workload, test.codec, test.key), Options{Brokers: fakeCluster(t, test.brokers), Driver: test.driver})
			produced, consumed, followed := r.Phases[0], r.Phases[1], r.Phases[2]
			if produced.Acked < 5000 || consumed.Received != produced.Acked {
				t.Errorf("%d records were acknowledged and %d read", produced.Acked, consumed.Received)
			}
			if followed.Acked < 550 || followed.Received != followed.Acked || followed.Latency[results.E2E].Count != followed.Received {
				t.Errorf("%d records were acknowledged, %d read, %d timed", followed.Acked, followed.Received, followed.Latency[results.E2E].Count)
			}
			if len(r.Objectives) != 2 || !r.Objectives[0].OK || r.Objectives[1].OK {
				t.Errorf("the promises are judged %+v", r.Objectives)
			}
			if _, err := results.Write(t.TempDir(), r); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRunAtFullSpeedStopsAtItsVolume(t *testing.T) {
	r := runWorkload(t, `
name: volume
partitions: 3
request_batches: 3
phases:
  - {name: warm, do: produce, discard: true, bytes: 10kB}
  - {name: produce, do: produce, rate: max, bytes: 3MB}
  - {name: without acks, do: produce, acks: 0, rate: max, bytes: 1MB}
  - {name: again and again, do: consume, duration: 1200ms, session: false, decode: crc}
`, Options{Brokers: fakeCluster(t, 1)})
	if len(r.Phases) != 3 {
		t.Fatalf("%d phases are reported, want 3: one was to be discarded", len(r.Phases))
	}
	if p := r.Phases[0]; p.Bytes < 3e6 || p.Bytes > 3.3e6 || p.Mode != results.Max || p.Latency[results.Service].Count != p.Acked {
		t.Errorf("%d bytes were sent of 3 MB, mode %s, %d of %d records timed", p.Bytes, p.Mode, p.Latency[results.Service].Count, p.Acked)
	}
	if p := r.Phases[1]; p.Acked != p.Sent || p.Bytes < 1e6 {
		t.Errorf("without acks %d of %d were counted", p.Acked, p.Sent)
	}
	if p := r.Phases[2]; p.Bytes < 5e6 {
		t.Errorf("%d bytes were read: once is about 4 MB", p.Bytes)
	}
}

func TestRunRefusesWhatItCannotDo(t *testing.T) {
	w, err := ParseWorkload("w.yaml", []byte("name: w\nphases: [{name: p, do: consume, group: g}]"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), Options{Workload: w, Brokers: fakeCluster(t, 1)}); err == nil || !strings.Contains(err.Error(), "--driver kgo") {
		t.Errorf("a group with the own driver: %v", err)
	}
	if _, err := Run(context.Background(), Options{Workload: w, Brokers: fakeCluster(t, 1), Driver: "x"}); err == nil {
		t.Error("an unknown driver was accepted")
	}
}

func TestHistogramFilesCanBeReadBack(t *testing.T) {
	dir := t.TempDir()
	r := runWorkload(t, `
name: files
phases:
  - {name: one two, do: produce, rate: 1000, batch: 200, duration: 1300ms}
`, Options{Brokers: fakeCluster(t, 1), HDRDir: dir})
	base := filepath.Join(dir, r.ID+"-one-two")
	text, err := os.ReadFile(base + ".hlog")
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{}
	log := hdrhistogram.NewHistogramLogReader(bytes.NewReader(text))
	for {
		h, err := log.NextIntervalHistogram()
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			break
		}
		counts[h.Tag()] += h.TotalCount()
	}
	want := r.Phases[0].Latency[results.Response].Count
	if counts[results.Response] != want || counts[results.Service] != want || want != 1300 {
		t.Errorf("the log holds %v, the result %d responses, want 1300", counts, want)
	}
	percentiles, err := os.ReadFile(base + "-response.hgrm")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(percentiles, []byte("1/(1-Percentile)")) || !bytes.Contains(percentiles, []byte("#[Max")) {
		t.Errorf("this is not a percentile file:\n%.200s", percentiles)
	}
}
