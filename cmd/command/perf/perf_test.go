package perf

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kversion"
)

func TestStatistics(t *testing.T) {
	var out bytes.Buffer
	start := time.UnixMilli(0)
	s := newStatistics(&out, 100, time.Second, false, start)
	for i := range 100 {
		s.record(time.Duration(i+1)*time.Millisecond, 1<<20, start.Add(time.Duration(i+1)*20*time.Millisecond))
	}
	s.printTotal(start.Add(2 * time.Second))
	want := "50 records sent, 50.0 records/sec (50.00 MB/sec), 25.5 ms avg latency, 50.0 ms max latency.\n" +
		"50 records sent, 50.0 records/sec (50.00 MB/sec), 75.5 ms avg latency, 100.0 ms max latency.\n" +
		"100 records sent, 50.000000 records/sec (50.00 MB/sec), 50.50 ms avg latency, 100.00 ms max latency, 51 ms 50th, 96 ms 95th, 100 ms 99th, 100 ms 99.9th.\n"
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", out.String(), want)
	}
}

// Of very many records only some are kept for the percentiles.
func TestStatisticsSamples(t *testing.T) {
	s := newStatistics(io.Discard, 5_000_000, time.Hour, true, time.UnixMilli(0))
	for range 100 {
		s.record(time.Millisecond, 1, time.UnixMilli(1))
	}
	if len(s.latencies) != 10 {
		t.Errorf("kept %d of 100, want 10", len(s.latencies))
	}
}

func TestSteadyState(t *testing.T) {
	var out bytes.Buffer
	start := time.UnixMilli(0)
	s := newStatistics(&out, 2, time.Second, true, start)
	s.record(time.Millisecond, 1, start.Add(time.Second))
	s.record(time.Millisecond, 1, start.Add(2*time.Second))
	s.printTotal(start.Add(2 * time.Second))
	if got := out.String(); strings.Count(got, "In steady state.\n") != 1 || !strings.Contains(got, "2 steady state records sent, ") {
		t.Errorf("printed %s", got)
	}
}

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		slow := throttle{rate: 1000, start: start}
		<-time.After(time.Millisecond)
		for i := int64(1); i <= 2000; i++ {
			slow.wait(t.Context(), i, time.Now())
		}
		if took := time.Since(start); took < 1900*time.Millisecond || took > 2100*time.Millisecond {
			t.Errorf("2000 turns at 1000 a second took %v", took)
		}
		start = time.Now()
		fast := throttle{rate: -1, start: start}
		fast.wait(t.Context(), 1_000_000, time.Now().Add(time.Second))
		if took := time.Since(start); took != 0 {
			t.Errorf("without a limit a turn took %v", took)
		}
		stopped, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		none := throttle{rate: 0, start: start}
		none.wait(stopped, 1, start.Add(time.Second))
		if stopped.Err() == nil {
			t.Error("a rate of 0 lets turns pass")
		}
	})
}

func TestPayloads(t *testing.T) {
	random := newPayloads(&ProducerOptions{RecordSize: 21})
	first := string(random.next(nil, 0))
	if !regexp.MustCompile(`^[A-Z]{21}$`).MatchString(first) || first == string(random.next(nil, 1)) {
		t.Errorf("random payload %q", first)
	}
	numbers := newPayloads(&ProducerOptions{Monotonic: true})
	if got := string(numbers.next(make([]byte, 0, 32), 41)); got != "41" {
		t.Errorf("payload %q, want 41", got)
	}
	path := filepath.Join(t.TempDir(), "payloads")
	if err := os.WriteFile(path, []byte("a;b;c;"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	list, err := ReadPayloads(&out, path, ";")
	if err != nil || len(list) != 3 || out.String() != "Reading payloads from: "+path+"\nNumber of records read: 3\n" {
		t.Errorf("%q %q %v", list, out.String(), err)
	}
	if _, err := ReadPayloads(&out, path+".none", ";"); err == nil {
		t.Error("a file that is not there was read")
	}
	if n := testing.AllocsPerRun(100, func() { random.next(make([]byte, 0, 64)[:0:64], 0) }); n > 1 {
		t.Errorf("a payload allocates %v times", n)
	}
}

func cluster(t *testing.T, options ...kfake.Opt) string {
	t.Helper()
	c, err := kfake.NewCluster(append(options, kfake.NumBrokers(1), kfake.SeedTopics(2, "perf"),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}

func TestProduceAndConsume(t *testing.T) {
	address := cluster(t)
	var out, errs bytes.Buffer
	options := func(properties session.Properties) session.Options {
		return session.Options{Servers: address, Properties: properties, Streams: session.Streams{Out: &out, Err: &errs}}
	}
	err := Produce(t.Context(), options(session.Properties{"client.id": "p", "batch.size": "100"}), ProducerOptions{Topic: "perf", Records: 300, RecordSize: 1000, Throughput: -1, PrintMetrics: true})
	if err != nil || errs.Len() > 0 || !strings.HasPrefix(out.String(), "300 records sent, ") {
		t.Fatalf("%s %s %v", out.String(), errs.String(), err)
	}
	if !regexp.MustCompile(`(?m)^producer-metrics:record-send-total:\{client-id=p\} +: 300\.000$`).MatchString(out.String()) {
		t.Errorf("metrics\n%s", out.String())
	}
	out.Reset()
	err = Consume(t.Context(), options(session.Properties{"client.id": "c", "group.id": "g", "auto.offset.reset": "earliest"}),
		ConsumerOptions{Topic: "perf", Records: 300, Timeout: 30 * time.Second, Interval: time.Nanosecond, Detailed: true, DateFormat: "HH", PrintMetrics: true})
	if err != nil || !regexp.MustCompile(`(?m)^\d\d, 0, 0\.2861, [\d.]+, 300, `).MatchString(out.String()) {
		t.Errorf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "consumer-metrics:records-consumed-total:{client-id=c}") {
		t.Errorf("metrics\n%s", out.String())
	}
	if err := Consume(t.Context(), options(session.Properties{}), ConsumerOptions{DateFormat: "bbb"}); err == nil {
		t.Error("a date format that nobody knows was accepted")
	}
}

func TestTransactions(t *testing.T) {
	transactional := func(address string) (string, error) {
		var out bytes.Buffer
		err := Produce(t.Context(), session.Options{Servers: address, Properties: session.Properties{"transactional.id": "t"}, Streams: session.Streams{Out: &out, Err: io.Discard}},
			ProducerOptions{Topic: "perf", Records: 20, Monotonic: true, Throughput: -1, TransactionDuration: time.Nanosecond})
		return out.String(), err
	}
	if out, err := transactional(cluster(t)); err != nil || !strings.HasPrefix(out, "20 records sent, ") {
		t.Errorf("%s %v", out, err)
	}
	without := kversion.Tip()
	without.SetMaxKeyVersion(24, -1)
	if out, err := transactional(cluster(t, kfake.MaxVersions(without))); err == nil || !strings.Contains(err.Error(), "does not offer transactions") {
		t.Errorf("%s %v", out, err)
	}
}
