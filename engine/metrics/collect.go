package metrics

import (
	"sort"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// quantiles are those that Kafka's metrics have, written as the JMX exporter writes them.
var quantiles = []struct {
	text string
	q    float64
}{{"0.50", 0.50}, {"0.75", 0.75}, {"0.95", 0.95}, {"0.98", 0.98}, {"0.99", 0.99}, {"0.999", 0.999}}

// Describe tells nothing: which metrics there are depends on what was used, so the
// registry checks them when they are collected.
func (m *Metrics) Describe(chan<- *prometheus.Desc) {}

// Collect sends all metrics. Any goroutine, several at a time.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	s := m.sources.Load()
	now := m.options.Now()
	m.collectTopics(out)
	m.collectRequests(out, now)
	m.collectDisk(out, now)
	m.collectPlugins(out, now)
	m.collectProofs(out)
	collectGauges(out, s)
	collectGroups(out, s)
	m.collectTransactions(out, s, now)
	collectConnections(out, s)
	collectJournals(out, s)
	collectLogs(out, s)
	if s.Cleaning != nil {
		done := s.Cleaning()
		for _, g := range cleaningGauges {
			show(out, g.name, g.help, float64(g.of(done)))
		}
	}
	count(out, "kafka_server_replicamanager_isrshrinks_total", "Times that a copy fell out of sync.", m.ISRShrinks.Load())
	count(out, "kafka_server_replicamanager_isrexpands_total", "Times that a copy came into sync.", m.ISRExpands.Load())
	count(out, "kafka_server_fetchsessioncache_incrementalfetchsessionevictions_total", "Fetch sessions that made room for others.", m.SessionEvictions.Load())
}

func send(out chan<- prometheus.Metric, kind prometheus.ValueType, name, help string, value float64, labels ...string) {
	names := make([]string, 0, len(labels)/2)
	values := make([]string, 0, len(labels)/2)
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, value, values...)
}

func count(out chan<- prometheus.Metric, name, help string, n uint64, labels ...string) {
	send(out, prometheus.CounterValue, name, help, float64(n), labels...)
}

func show(out chan<- prometheus.Metric, name, help string, n float64, labels ...string) {
	send(out, prometheus.GaugeValue, name, help, n, labels...)
}

// collectTopics sends each topic's counts, and under no topic their sum.
func (m *Metrics) collectTopics(out chan<- prometheus.Metric) {
	var all Topic
	all.add(&m.gone)
	m.topics.Range(func(name, topic any) bool {
		for _, c := range topicCounters {
			n := c.of(topic.(*Topic)).Load()
			c.of(&all).Add(n)
			count(out, "kafka_server_brokertopicmetrics_"+c.name, c.help, n, "topic", name.(string))
		}
		return true
	})
	for _, c := range topicCounters {
		count(out, "kafka_server_brokertopicmetrics_"+c.name, c.help, raise(c.of(&m.totals), c.of(&all).Load()), "topic", "")
	}
}

// raise sets n to at least v and answers n.
func raise(n *atomic.Uint64, v uint64) uint64 {
	for {
		old := n.Load()
		if v <= old {
			return old
		}
		if n.CompareAndSwap(old, v) {
			return v
		}
	}
}

// collectRequests sends counts and times of every API key that was used. Fetches of
// consumers and of followers are shown apart and, as Fetch, together.
func (m *Metrics) collectRequests(out chan<- prometheus.Metric, now time.Time) {
	for i := range m.requests {
		if r := m.requests[i].Load(); r != nil {
			m.collectRequest(out, now, r, r.name)
			if i == keyFetch {
				m.collectRequest(out, now, r, "Fetch", m.follower.Load())
			}
		}
	}
	if r := m.follower.Load(); r != nil {
		m.collectRequest(out, now, r, r.name)
		if m.requests[keyFetch].Load() == nil {
			m.collectRequest(out, now, r, "Fetch")
		}
	}
}

// collectRequest sends r, and what others add to it, under name.
func (m *Metrics) collectRequest(out chan<- prometheus.Metric, now time.Time, r *Request, name string, others ...*Request) {
	all := []*Request{r}
	for _, other := range others {
		if other != nil {
			all = append(all, other)
		}
	}
	for v := range r.versions {
		if n := sum(all, func(r *Request) *atomic.Uint64 { return &r.versions[v] }); n > 0 {
			count(out, "kafka_network_requestmetrics_requests_total", "Requests answered.", n, "request", name, "version", strconv.Itoa(v))
		}
	}
	for i := range r.errors {
		if n := sum(all, func(r *Request) *atomic.Uint64 { return &r.errors[i] }); n > 0 {
			count(out, "kafka_network_requestmetrics_errors_total", "Error codes in answers.", n, "request", name, "error", errorName(int16(i-1)))
		}
	}
	totals := make([]uint64, len(all))
	for stage, names := range stageNames {
		var ever, lately snapshot
		for i, one := range all {
			s := one.stage(stage, totals[i])
			if stage == stageTotal {
				totals[i] = s.count
			}
			lately = lately.plus(one.windows[stage].recent(now, m.options.Window, s))
			ever = ever.plus(s)
		}
		times(out, "kafka_network_requestmetrics_"+names.kafka, "Time of requests in milliseconds: "+names.own+".", ever, lately, "request", name)
		if name != "Fetch" { // the sum of the other two can be had by a query
			histogram(out, "millrace_request_seconds", "Time of requests by stage.", seconds, ever, "request", name, "stage", names.own)
		}
	}
}

func sum(all []*Request, of func(*Request) *atomic.Uint64) (n uint64) {
	for _, r := range all {
		n += of(r).Load()
	}
	return n
}

// collectDisk sends what fsyncs cost.
func (m *Metrics) collectDisk(out chan<- prometheus.Metric, now time.Time) {
	flush, batches := m.flush.snapshot(), m.batches.snapshot()
	times(out, "kafka_log_logflushstats_logflushrateandtimems", "Time of fsyncs in milliseconds.", flush,
		m.flushWindow.recent(now, m.options.Window, flush))
	histogram(out, "millrace_fsync_seconds", "Time of fsyncs.", seconds, flush)
	histogram(out, "millrace_fsync_batches", "Batches made durable by one fsync.", counts, batches)
	count(out, "millrace_authorization_denials_total", "Times that the authorizer did not allow what a request asked for.", m.Denials.Load())
	count(out, "millrace_cold_fetches_total", "Fetches whose records were not in memory and were read from the disk.", m.ColdFetches.Load())
	count(out, "millrace_cold_page_cache_reads_total", "Ranges of such fetches that came through the page cache, because the file system cannot do otherwise or log.cold.buffer.bytes were in use.", m.ColdCached.Load())
	count(out, "millrace_cold_read_bytes_total", "Bytes that were read from the disk past the page cache for consumers that are far behind.", m.coldRead.Load())
	histogram(out, "millrace_cold_read_seconds", "Time of these reads.", seconds, m.cold.snapshot())
	count(out, "millrace_fsync_failures_total", "Disks that were stopped because an fsync failed.", m.FsyncFailures.Load())
}

// times sends the quantiles of lately, in milliseconds, and how many there were ever.
func times(out chan<- prometheus.Metric, name, help string, ever, lately snapshot, labels ...string) {
	for _, q := range quantiles {
		show(out, name, help, 1000*lately.quantile(seconds, q.q), append([]string{"quantile", q.text}, labels...)...)
	}
	count(out, name+"_count", help, ever.count, labels...)
}

// histogram sends s with classic and native buckets.
func histogram(out chan<- prometheus.Metric, name, help string, scale *scale, s snapshot, labels ...string) {
	h := &buckets{snapshot: s, scale: scale}
	var names []string
	for i := 0; i+1 < len(labels); i += 2 {
		names = append(names, labels[i])
		h.labels = append(h.labels, &dto.LabelPair{Name: new(labels[i]), Value: new(labels[i+1])})
	}
	sort.Slice(h.labels, func(i, j int) bool { return h.labels[i].GetName() < h.labels[j].GetName() })
	h.desc = prometheus.NewDesc(name, help, names, nil)
	out <- h
}

func collectGauges(out chan<- prometheus.Metric, s *Sources) {
	for _, g := range gauges {
		if ask := g.of(s); ask != nil {
			show(out, g.name, g.help, float64(ask()))
		}
	}
	for _, g := range idleGauges {
		if ask := g.of(s); ask != nil {
			share := ask()
			for _, name := range g.names {
				show(out, name, g.help, share)
			}
		}
	}
	if s.Stopped != nil {
		s.Stopped(func(folder string, reason error) {
			show(out, "millrace_disk_stopped", "Data folders whose disk was stopped, and the failure that stopped it.", 1, "folder", folder, "reason", reason.Error())
		})
	}
	if s.Waiting != nil {
		s.Waiting(func(operation string, requests int64) {
			show(out, "kafka_server_delayedoperationpurgatory_purgatorysize", "Requests that wait.", float64(requests), "delayedOperation", operation)
		})
	}
}

func collectGroups(out chan<- prometheus.Metric, s *Sources) {
	if s.Groups == nil {
		return
	}
	groups := s.Groups()
	for _, g := range groupGauges {
		show(out, "kafka_coordinator_group_groupmetadatamanager_"+g.name, g.help, float64(g.of(groups)))
	}
}

func (m *Metrics) collectTransactions(out chan<- prometheus.Metric, s *Sources, now time.Time) {
	for _, l := range []struct {
		*loads
		name, help string
	}{
		{&m.groupLoads, "groupcoordinatormetrics", "Milliseconds to read the groups of one partition"},
		{&m.transactionLoads, "transactioncoordinatormetrics", "Milliseconds to read the transactions of one partition"},
	} {
		lately := l.window.recent(now, m.options.Window, l.times.snapshot())
		average := 0.0
		if lately.count > 0 {
			average = float64(lately.sum) / float64(lately.count) / float64(time.Millisecond)
		}
		show(out, "kafka_server_"+l.name+"_partition_load_time_avg", l.help+": the mean.", average)
		show(out, "kafka_server_"+l.name+"_partition_load_time_max", l.help+": the longest.", 1000*lately.quantile(seconds, 1))
	}
	asked := m.verifications.snapshot()
	times(out, "kafka_server_addpartitionstotxnmanager_verificationtimems", "Time in milliseconds that coordinators of transactions took to verify, or add, a partition.", asked,
		m.verificationWindow.recent(now, m.options.Window, asked))
	count(out, "kafka_server_addpartitionstotxnmanager_verificationfailurerate_count", "Times that they refused.", m.verificationFailures.Load())
	if s.Transactions == nil {
		return
	}
	t := s.Transactions()
	for _, one := range transactionMetrics {
		kind := prometheus.GaugeValue
		if one.counter {
			kind = prometheus.CounterValue
		}
		send(out, kind, one.name, one.help, one.of(t))
	}
}

func collectConnections(out chan<- prometheus.Metric, s *Sources) {
	if s.Listeners == nil {
		return
	}
	s.Listeners(func(c Connections) {
		for _, one := range connectionMetrics {
			kind := prometheus.GaugeValue
			if one.counter {
				kind = prometheus.CounterValue
			}
			send(out, kind, "kafka_server_socketservermetrics_"+one.name, one.help, one.of(c),
				"listener", c.Listener, "networkProcessor", strconv.Itoa(c.Loop))
		}
	})
}

func collectJournals(out chan<- prometheus.Metric, s *Sources) {
	if s.Journals == nil {
		return
	}
	s.Journals(func(dir string, j Journal) {
		for _, one := range journalMetrics {
			kind := prometheus.GaugeValue
			if one.counter {
				kind = prometheus.CounterValue
			}
			send(out, kind, "millrace_journal_"+one.name, one.help, one.of(j), "dir", dir)
		}
	})
}

func collectLogs(out chan<- prometheus.Metric, s *Sources) {
	if s.Logs == nil {
		return
	}
	s.Logs(func(topic string, partition int32, log Log) {
		for _, g := range logGauges {
			show(out, g.name, g.help, float64(g.of(log)), "topic", topic, "partition", strconv.Itoa(int(partition)))
		}
	})
}
