package metrics_test

import (
	"errors"
	"flag"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/millrace/millrace/engine/metrics"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/names.txt anew")

// used is Metrics of which every part was used.
func used() *metrics.Metrics {
	m := metrics.New(metrics.Options{Version: "test"})
	m.Request(0).Observe(13, metrics.Times{Queue: 50 * time.Microsecond, Local: 200 * time.Microsecond, Remote: 3 * time.Millisecond, Send: 10 * time.Microsecond})
	m.Request(0).Result(0)
	m.Request(0).Result(6)
	m.Request(1).Observe(17, metrics.Times{Local: time.Millisecond})
	m.FollowerFetch().Observe(18, metrics.Times{Local: time.Millisecond})
	topic := m.Topic("orders")
	topic.Produced(1000, 10)
	topic.ProduceFailed()
	topic.Fetched(500)
	topic.FetchFailed()
	topic.Rejected(5)
	topic.InvalidCRC()
	topic.InvalidMagic()
	topic.InvalidSequence()
	topic.NoKey()
	m.Flushed(2*time.Millisecond, 12)
	m.LoadedGroups(2 * time.Millisecond)
	m.LoadedTransactions(20 * time.Millisecond)
	m.Verified(time.Millisecond, false)
	m.Verified(time.Millisecond, true)
	m.Plugin("mask", "produce", func(time.Time) (time.Duration, time.Duration) { return 0, 0 }).Took(time.Millisecond)
	m.PluginBroken("gone", errors.New("no such \xff"))
	m.Throttled(1500 * time.Millisecond)
	m.Throttled(time.Second)
	m.Proofs("SASL_PLAINTEXT", "PLAIN").Succeeded(false)
	m.SetSources(sources())
	return m
}

func sources() *metrics.Sources {
	n := func(n int64) func() int64 { return func() int64 { return n } }
	return &metrics.Sources{
		BrokerState: n(3), Partitions: n(7), Leaders: n(7), UnderReplicated: n(0), UnderMinISR: n(0), AtMinISR: n(7), OfflineReplicas: n(0),
		ActiveController: n(1), OfflinePartitions: n(0), Topics: n(2), GlobalPartitions: n(7), ActiveBrokers: n(1), FencedBrokers: n(0),
		Groups: func() metrics.Groups { return metrics.Groups{Stable: 2, Empty: 1, Offsets: 9} },
		Transactions: func() metrics.Transactions {
			return metrics.Transactions{IDs: 5, Open: 2, OldestSeconds: 1.5, Committed: 30, Aborted: 10, TimedOut: 3, Fenced: 4, Producers: 6, Late: 1}
		},
		Sessions: n(4), SessionPartitions: n(40),
		Waiting: func(yield func(string, int64)) { yield("Produce", 1); yield("Fetch", 5) },
		Listeners: func(yield func(metrics.Connections)) {
			yield(metrics.Connections{Listener: "PLAINTEXT", Loop: 0, Open: 3, Created: 5, Closed: 2})
			yield(metrics.Connections{Listener: "PLAINTEXT", Loop: 1, Open: 1, Created: 1})
		},
		LoopsIdle: func() float64 { return 0.75 }, ShardsIdle: func() float64 { return 0.5 },
		RequestQueue: n(0), ResponseQueue: n(0), FramesInFlight: n(2), FrameBytes: n(2048), FrameBudget: n(1 << 20), Unpacked: n(1024), Unpacking: n(1), ColdBuffers: n(1 << 20), OfflineDirs: n(0), Profiles: n(2), ProfileBytes: n(4096),
		Stopped:  func(yield func(string, error)) { yield("/data", errors.New("sync failed")) },
		Journals: func(yield func(string, metrics.Journal)) { yield("/data", metrics.Journal{Rounds: 3}) },
		Cleaning: func() metrics.Cleaning { return metrics.Cleaning{BytesRead: 10} },
		Logs: func(yield func(string, int32, metrics.Log)) {
			yield("orders", 0, metrics.Log{Bytes: 1000, Start: 0, End: 10, Segments: 1})
		},
	}
}

// scrape asks for /metrics as text and reads the answer as Prometheus does.
func scrape(t *testing.T, m *metrics.Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK {
		t.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// value is the number of the series with these labels; missing when there is none.
func value(f *dto.MetricFamily, labels ...string) float64 {
	for _, m := range f.GetMetric() {
		if matches(m, labels) {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return missing
}

const missing = -1

func matches(m *dto.Metric, labels []string) bool {
	for i := 0; i+1 < len(labels); i += 2 {
		if !slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == labels[i] && l.GetValue() == labels[i+1] }) {
			return false
		}
	}
	return true
}

// The names are those that dashboards ask for: testdata/names.txt, read by people.
func TestNames(t *testing.T) {
	var names []string
	for name, f := range scrape(t, used()) {
		if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			names = append(names, strings.ToLower(f.GetType().String())+" "+name)
		}
	}
	sort.Slice(names, func(i, j int) bool { return strings.Fields(names[i])[1] < strings.Fields(names[j])[1] })
	now := strings.Join(names, "\n") + "\n"
	if *rewrite {
		if err := os.WriteFile("testdata/names.txt", []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/names.txt")
	if err != nil {
		t.Fatal(err)
	}
	if now != string(want) {
		t.Errorf("the names are\n%s\nwant\n%s", now, want)
	}
}

// What alerts and dashboards made for Kafka ask for.
func TestKafkasNames(t *testing.T) {
	families := scrape(t, used())
	for _, test := range []struct {
		name   string
		want   float64
		labels []string
	}{
		{"kafka_server_brokertopicmetrics_bytesin_total", 1000, []string{"topic", "orders"}},
		{"kafka_server_brokertopicmetrics_messagesin_total", 10, []string{"topic", "orders"}},
		{"kafka_server_brokertopicmetrics_bytesout_total", 500, []string{"topic", ""}},
		{"kafka_server_brokertopicmetrics_totalproducerequests_total", 2, []string{"topic", ""}},
		{"kafka_server_brokertopicmetrics_failedproducerequests_total", 1, []string{"topic", "orders"}},
		{"kafka_network_requestmetrics_requests_total", 1, []string{"request", "Produce", "version", "13"}},
		{"kafka_network_requestmetrics_requests_total", 1, []string{"request", "FetchConsumer", "version", "17"}},
		{"kafka_network_requestmetrics_requests_total", 1, []string{"request", "Fetch", "version", "18"}},
		{"kafka_network_requestmetrics_errors_total", 1, []string{"request", "Produce", "error", "NONE"}},
		{"kafka_network_requestmetrics_errors_total", 1, []string{"request", "Produce", "error", "NOT_LEADER_OR_FOLLOWER"}},
		{"kafka_network_requestmetrics_totaltimems_count", 2, []string{"request", "Fetch"}},
		{"kafka_network_requestmetrics_remotetimems_count", 1, []string{"request", "FetchConsumer"}},
		{"kafka_network_requestmetrics_remotetimems", 0, []string{"request", "FetchConsumer", "quantile", "0.999"}},
		{"kafka_server_replicamanager_underreplicatedpartitions", 0, nil},
		{"kafka_server_replicamanager_partitioncount", 7, nil},
		{"kafka_controller_kafkacontroller_activecontrollercount", 1, nil},
		{"kafka_controller_kafkacontroller_offlinepartitionscount", 0, nil},
		{"kafka_coordinator_group_groupmetadatamanager_numgroups", 3, nil},
		{"kafka_server_delayedoperationpurgatory_purgatorysize", 5, []string{"delayedOperation", "Fetch"}},
		{"kafka_server_socketservermetrics_connection_count", 3, []string{"listener", "PLAINTEXT", "networkProcessor", "0"}},
		{"kafka_network_socketserver_networkprocessoravgidle_percent", 0.75, nil},
		{"kafka_server_kafkarequesthandlerpool_requesthandleravgidlepercent", 0.5, nil},
		{"kafka_log_logflushstats_logflushrateandtimems_count", 1, nil},
		{"kafka_log_log_size", 1000, []string{"topic", "orders", "partition", "0"}},
		{"kafka_server_addpartitionstotxnmanager_verificationtimems_count", 2, nil},
		{"kafka_server_addpartitionstotxnmanager_verificationfailurerate_count", 1, nil},
		{"kafka_server_transactioncoordinatormetrics_partition_load_time_avg", 20, nil},
		{"kafka_server_groupcoordinatormetrics_partition_load_time_avg", 2, nil},
		{"kafka_server_replicamanager_partitionswithlatetransactionscount", 1, nil},
		{"kafka_server_replicamanager_produceridcount", 6, nil},
		{"millrace_transactions_open", 2, nil},
		{"millrace_transactions_oldest_open_seconds", 1.5, nil},
		{"millrace_transactions_committed_total", 30, nil},
		{"millrace_transactions_timed_out_total", 3, nil},
		{"millrace_frames_in_flight", 2, nil},
		{"millrace_build_info", 1, []string{"version", "test"}},
	} {
		if got := value(families[test.name], test.labels...); got != test.want {
			t.Errorf("%s%v is %v, want %v", test.name, test.labels, got, test.want)
		}
	}
	for _, q := range []string{"0.50", "0.75", "0.95", "0.98", "0.99", "0.999"} {
		if got := value(families["kafka_network_requestmetrics_totaltimems"], "request", "Produce", "quantile", q); math.Abs(got/3.26-1) > 0.045 {
			t.Errorf("quantile %s of a produce is %v ms, want about 3.26", q, got)
		}
	}
	if got := value(families["kafka_server_transactioncoordinatormetrics_partition_load_time_max"]); math.Abs(got/20-1) > 0.045 {
		t.Errorf("the longest load took %v ms, want about 20", got)
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if families[name] == nil {
			t.Errorf("no %s", name)
		}
	}
	if got := value(families["kafka_server_replicamanager_partitioncount"], "no", "such"); got != missing {
		t.Errorf("the test finds what is not there: %v", got)
	}
}

// Nothing is shown of what nobody used or told.
func TestUnused(t *testing.T) {
	families := scrape(t, metrics.New(metrics.Options{}))
	for _, name := range []string{"kafka_network_requestmetrics_requests_total", "kafka_server_replicamanager_partitioncount"} {
		if families[name] != nil {
			t.Errorf("%s is shown", name)
		}
	}
}

// A scraper that reads protobuf gets native buckets, and classic ones that agree.
func TestNativeHistogram(t *testing.T) {
	m := metrics.New(metrics.Options{})
	r := m.Request(0)
	for range 100 {
		r.Observe(13, metrics.Times{Local: time.Millisecond})
	}
	r.Observe(13, metrics.Times{Local: 2 * time.Second})
	r.Observe(13, metrics.Times{})
	h := protobuf(t, m, "millrace_request_seconds", "stage", "local").GetHistogram()
	if h.GetSampleCount() != 102 || math.Abs(h.GetSampleSum()-2.1) > 1e-9 || h.GetZeroCount() != 1 || h.GetSchema() != 4 {
		t.Fatalf("%v", h)
	}
	index, at, n := 0, 0, int64(0)
	got := map[float64]int64{}
	for _, span := range h.GetPositiveSpan() {
		index += int(span.GetOffset())
		for range span.GetLength() {
			n += h.GetPositiveDelta()[at]
			got[math.Exp2(float64(index)/16)] = n
			at++
			index++
		}
	}
	if len(got) != 2 || got[2] != 1 {
		t.Errorf("native buckets %v", got)
	}
	for upper, n := range got {
		if n == 100 && (upper < 0.001 || upper > 0.001*math.Exp2(1.0/16)) {
			t.Errorf("a millisecond is in the bucket that ends at %v", upper)
		}
	}
	for _, b := range h.GetBucket() {
		want := uint64(1)
		if b.GetUpperBound() >= 0.001 {
			want = 101
		}
		if b.GetUpperBound() >= 2 {
			want = 102
		}
		if b.GetCumulativeCount() != want {
			t.Errorf("%d values up to %v, want %d", b.GetCumulativeCount(), b.GetUpperBound(), want)
		}
	}
}

// protobuf asks for /metrics as protobuf and answers one series.
func protobuf(t *testing.T, m *metrics.Metrics, name string, labels ...string) *dto.Metric {
	t.Helper()
	format := expfmt.NewFormat(expfmt.TypeProtoDelim)
	ask := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	ask.Header.Set("Accept", string(format))
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, ask)
	decoder := expfmt.NewDecoder(answer.Body, format)
	for {
		var f dto.MetricFamily
		if err := decoder.Decode(&f); err == io.EOF {
			t.Fatalf("no %s", name)
		} else if err != nil {
			t.Fatal(err)
		}
		for _, one := range f.GetMetric() {
			if f.GetName() == name && matches(one, labels) {
				return one
			}
		}
	}
}

// The sum over topics never falls, whatever is deleted.
func TestDropKeepsTotals(t *testing.T) {
	m := metrics.New(metrics.Options{})
	name := "kafka_server_brokertopicmetrics_bytesin_total"
	m.Topic("a").Produced(100, 1)
	m.Topic("b").Produced(10, 1)
	if first, second := m.Topic("a"), m.Topic("a"); first != second {
		t.Fatal("a topic has two handles")
	}
	m.Drop("a")
	m.Drop("never there")
	families := scrape(t, m)
	if got := value(families[name], "topic", "a"); got != missing {
		t.Errorf("a deleted topic is shown: %v", got)
	}
	if got := value(families[name], "topic", ""); got != 110 {
		t.Errorf("the total is %v", got)
	}
	m.Topic("a").Produced(1, 1)
	families = scrape(t, m)
	if got := value(families[name], "topic", "a"); got != 1 {
		t.Errorf("a topic made anew begins at %v", got)
	}
	if got := value(families[name], "topic", ""); got != 111 {
		t.Errorf("the total is %v", got)
	}
}

func TestUnknownRequests(t *testing.T) {
	m := metrics.New(metrics.Options{})
	for _, key := range []int16{-1, 120, 127, 128, math.MaxInt16} {
		m.Request(key).Observe(-1, metrics.Times{})
		m.Request(key).Result(-1)
		m.Request(key).Result(math.MaxInt16)
	}
	families := scrape(t, m)
	if got := value(families["kafka_network_requestmetrics_requests_total"], "request", "Unknown", "version", "0"); got != 5 {
		t.Errorf("%v unknown requests", got)
	}
	if got := value(families["kafka_network_requestmetrics_errors_total"], "request", "Unknown", "error", "UNKNOWN_SERVER_ERROR"); got != 5 {
		t.Errorf("%v errors", got)
	}
}

// Counting and scraping by many at once loses nothing, and no total falls.
func TestAtOnce(t *testing.T) {
	m := used()
	const each = 2000
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range each {
				m.Request(3).Observe(12, metrics.Times{Local: time.Microsecond, Remote: 1})
				m.Topic("shared").Produced(1, 1)
				m.Flushed(time.Millisecond, 1)
				m.Topic("short").Produced(1, 1)
			}
		})
	}
	work.Go(func() {
		for range 50 {
			m.Drop("short")
		}
	})
	for range 2 {
		work.Go(func() {
			last := 0.0
			for range 20 {
				got, err := m.Registry().Gather()
				if err != nil {
					t.Error(err)
					return
				}
				total := familyTotal(got)
				if total < last {
					t.Errorf("the total fell from %v to %v", last, total)
				}
				last = total
			}
		})
	}
	work.Wait()
	families := scrape(t, m)
	if got := value(families["kafka_network_requestmetrics_requests_total"], "request", "Metadata", "version", "12"); got != 4*each {
		t.Errorf("%v requests, want %v", got, 4*each)
	}
	if got := value(families["kafka_server_brokertopicmetrics_messagesin_total"], "topic", "shared"); got != 4*each {
		t.Errorf("%v records, want %v", got, 4*each)
	}
}

func familyTotal(families []*dto.MetricFamily) float64 {
	for _, f := range families {
		if f.GetName() == "kafka_server_brokertopicmetrics_bytesin_total" {
			return value(f, "topic", "")
		}
	}
	return missing
}

// Metrics passes the checks that the registry makes of any collector.
func TestIsACollector(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(used()); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Gather(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkScrape(b *testing.B) {
	m := used()
	for key := range int16(40) {
		m.Request(key).Observe(1, metrics.Times{Local: time.Millisecond})
	}
	for b.Loop() {
		if _, err := m.Registry().Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
