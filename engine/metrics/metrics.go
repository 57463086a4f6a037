// Package metrics counts and times what the broker does. Whoever serves a request or a
// topic holds a handle, and adding to it is a few atomic additions: no lock, no
// allocation, no look-up. Everything else happens when somebody asks for /metrics.
//
//	loop, shard, syncer            scrape
//	Request.Observe ──▶ atomics ──▶ Collect ──▶ Prometheus text or protobuf
//	Topic.Produced  ──▶    ▲
//	Sources: callbacks ────┘  (what others know already is asked, not counted twice)
//
// Names are those that the usual rules of the JMX exporter give Kafka's own metrics, so
// that dashboards and alerts made for Kafka work; what Kafka has no name for begins with
// millrace_. The list of names is testdata/names.txt.
//
// Each latency is exported twice, because each form lacks what the other has:
//
//   - kafka_network_requestmetrics_totaltimems{quantile="0.99"} and its like, in
//     milliseconds, over the last one to two minutes. Dashboards made for Kafka ask for
//     these. They cannot be added up over brokers.
//   - millrace_request_seconds, a histogram. It can be added up and any quantile taken
//     from it. Scrapers that read protobuf get its native buckets (16 to a power of two,
//     4.4 % wide); to others it shows a few classic ones.
package metrics

import (
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Options are how Metrics are made.
type Options struct {
	// Version is shown in millrace_build_info.
	Version string
	// Now tells the time at a scrape. Zero: time.Now.
	Now func() time.Time
	// Window is the least time that quantiles look back; they look back at most twice as
	// far, or to the scrape before the last. Zero: a minute.
	Window time.Duration
}

// Metrics is all that one broker counts. It is a prometheus.Collector.
type Metrics struct {
	// ISRShrinks and ISRExpands count changes of the in-sync replicas.
	ISRShrinks, ISRExpands Counter
	// SessionEvictions counts fetch sessions that made room for others.
	SessionEvictions Counter
	// FsyncFailures counts disks that were stopped.
	FsyncFailures Counter
	// Denials counts what an authorizer did not allow.
	Denials Counter
	// ColdFetches counts fetches that had to read from the disk, ColdCached ranges of theirs
	// that came through the page cache.
	ColdFetches, ColdCached Counter

	throttled     Counter // requests
	throttledTime Counter // nanoseconds

	options  Options
	registry *prometheus.Registry
	sources  atomic.Pointer[Sources]
	requests [requestKeys]atomic.Pointer[Request]
	follower atomic.Pointer[Request]
	topics   sync.Map // name → *Topic
	gone     Topic    // the sum of topics that were dropped
	totals   Topic    // the greatest totals shown, so that none ever falls while a topic is dropped
	plugins  sync.Map // pluginKey → *Plugin
	switches sync.Map // name → func(now time.Time) bool
	broken   sync.Map // name → true
	proofs   sync.Map // proofKey → *Proofs
	flush    *Histogram
	batches  *Histogram
	cold     *Histogram
	coldRead Counter // bytes

	flushWindow window

	groupLoads, transactionLoads loads
	verifications                *Histogram
	verificationWindow           window
	verificationFailures         Counter
}

// loads is how long it took to load coordinators.
type loads struct {
	times  *Histogram
	window window
}

const (
	requestKeys = 128 // keys from 0; the last stands for all that are unknown
	keyFetch    = 1
)

// Counter is a number that only grows, alone on its cache line.
type Counter struct {
	n atomic.Uint64
	_ [56]byte
}

// Add counts n more.
func (c *Counter) Add(n uint64) { c.n.Add(n) }

// Load is the count.
func (c *Counter) Load() uint64 { return c.n.Load() }

// New makes Metrics and the registry that serves them, with those of the Go runtime and
// of the process.
func New(o Options) *Metrics {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Window == 0 {
		o.Window = time.Minute
	}
	m := &Metrics{options: o, registry: prometheus.NewRegistry(), flush: newHistogram(seconds), batches: newHistogram(counts), cold: newHistogram(seconds), verifications: newHistogram(seconds)}
	m.groupLoads.times, m.transactionLoads.times = newHistogram(seconds), newHistogram(seconds)
	m.sources.Store(&Sources{})
	m.registry.MustRegister(m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "millrace_build_info", Help: "1, with what this program was built from as labels.",
		ConstLabels: prometheus.Labels{"version": o.Version, "goversion": runtime.Version()}})
	build.Set(1)
	m.registry.MustRegister(build)
	return m
}

// Registry is where other parts of the program register collectors of their own.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Handler serves /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// SetSources says whom to ask at a scrape. Any goroutine, any time; the last one counts.
//
// Ownership: s is not changed any more.
func (m *Metrics) SetSources(s *Sources) { m.sources.Store(s) }

// Request is the handle of one API key. Callers keep it: asking costs an atomic load,
// and an allocation the first time. For Fetch (key 1) it counts fetches of consumers.
func (m *Metrics) Request(key int16) *Request {
	name := kmsg.NameForKey(key)
	switch {
	case key < 0 || key >= requestKeys || name == "" || name == "Unknown":
		key, name = requestKeys-1, "Unknown"
	case key == keyFetch:
		name = "FetchConsumer"
	}
	return ready(&m.requests[key], name)
}

// FollowerFetch is the handle of fetches that other brokers send.
func (m *Metrics) FollowerFetch() *Request { return ready(&m.follower, "FetchFollower") }

// ready is the handle in p, made when there is none.
func ready(p *atomic.Pointer[Request], name string) *Request {
	if r := p.Load(); r != nil {
		return r
	}
	p.CompareAndSwap(nil, newRequest(name))
	return p.Load()
}

// Topic is the handle of one topic. Callers keep it until the topic is deleted.
func (m *Metrics) Topic(name string) *Topic {
	if t, ok := m.topics.Load(name); ok {
		return t.(*Topic)
	}
	t, _ := m.topics.LoadOrStore(name, new(Topic))
	return t.(*Topic)
}

// Drop forgets a deleted topic. What is added to its handle afterwards is lost.
func (m *Metrics) Drop(name string) {
	if t, ok := m.topics.LoadAndDelete(name); ok {
		m.gone.add(t.(*Topic))
	}
}

// Flushed counts one fsync that made that many batches durable.
func (m *Metrics) Flushed(took time.Duration, batches int) {
	m.flush.Observe(int64(took))
	m.batches.Observe(int64(batches))
}

// Throttled counts one request after which its connection is left alone for so long, because interceptors
// refuse its requests too often.
func (m *Metrics) Throttled(wait time.Duration) {
	m.throttled.Add(1)
	m.throttledTime.Add(uint64(wait))
}

// ColdRead counts one read of a disk past the page cache.
func (m *Metrics) ColdRead(took time.Duration, bytes int) {
	m.cold.Observe(int64(took))
	m.coldRead.Add(uint64(bytes))
}

// LoadedGroups counts one partition of __consumer_offsets whose groups were read from its log.
func (m *Metrics) LoadedGroups(took time.Duration) { m.groupLoads.times.Observe(int64(took)) }

// LoadedTransactions counts one partition of __transaction_state whose transactions were.
func (m *Metrics) LoadedTransactions(took time.Duration) {
	m.transactionLoads.times.Observe(int64(took))
}

// Verified counts one question to the coordinator of a transaction, and whether it refused.
func (m *Metrics) Verified(took time.Duration, refused bool) {
	m.verifications.Observe(int64(took))
	if refused {
		m.verificationFailures.Add(1)
	}
}
