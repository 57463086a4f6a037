package engine

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/sdk/batch"
)

// scrape reads one number of /metrics, −1 when it is not shown.
func scrape(t testing.TB, b *Broker, name string) float64 {
	t.Helper()
	answer, err := http.Get("http://" + b.AdminAddress() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + name + `(?:\{[^}]*\})? (\S+)$`).FindSubmatch(text)
	if found == nil {
		return -1
	}
	n, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMetricsHaveTheirSources(t *testing.T) {
	b := start(t, t.TempDir(), "admin.listener=127.0.0.1:0", "offsets.topic.num.partitions=5")
	createTopic(t, b, 3, "t")
	produce(t, client(t, b, kgo.RecordPartitioner(kgo.RoundRobinPartitioner())), "t", 30)
	if got := shareOutOf(t, b, "t", 30); got != 30 {
		t.Fatalf("consumed %d", got)
	}
	for name, want := range map[string]func(float64) bool{
		"kafka_server_kafkaserver_brokerstate":                               is(3),
		"kafka_server_replicamanager_partitioncount":                         is(8),
		"kafka_server_replicamanager_leadercount":                            is(8),
		"kafka_server_replicamanager_underreplicatedpartitions":              is(0),
		"kafka_server_replicamanager_offlinereplicacount":                    is(0),
		"kafka_controller_kafkacontroller_activecontrollercount":             is(1),
		"kafka_controller_kafkacontroller_globaltopiccount":                  is(2),
		"kafka_controller_kafkacontroller_globalpartitioncount":              is(8),
		"kafka_controller_kafkacontroller_activebrokercount":                 is(1),
		"kafka_controller_kafkacontroller_offlinepartitionscount":            is(0),
		"kafka_coordinator_group_groupmetadatamanager_numgroups":             is(1),
		"kafka_coordinator_group_groupmetadatamanager_numoffsets":            is(3),
		"kafka_log_logmanager_offlinelogdirectorycount":                      is(0),
		"kafka_log_logflushstats_logflushrateandtimems_count":                func(n float64) bool { return n >= 3 },
		"kafka_log_log_logendoffset":                                         func(n float64) bool { return n >= 1 },
		"kafka_server_delayedoperationpurgatory_purgatorysize":               shown,
		"kafka_server_fetchsessioncache_numincrementalfetchsessions":         func(n float64) bool { return n >= 1 },
		"kafka_server_socketservermetrics_connection_count":                  func(n float64) bool { return n >= 1 },
		"kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent": func(n float64) bool { return n > 0 && n <= 1 },
		"millrace_frame_bytes_in_flight":                                     shown,
		"millrace_journal_rounds_total":                                      shown,
		"millrace_fsync_failures_total":                                      is(0),
	} {
		if got := scrape(t, b, name); !want(got) {
			t.Errorf("%s is %v", name, got)
		}
	}
}

// shown is all that can be said of what depends on the moment: scrape answers −1 for what is not.
func shown(got float64) bool { return got >= 0 }

func is(want float64) func(float64) bool { return func(got float64) bool { return got == want } }

// shareOutOf consumes count records in a group of one, which commits and leaves.
func shareOutOf(t *testing.T, b *Broker, topic string, count int) int {
	t.Helper()
	c := client(t, b, kgo.ConsumerGroup("g"), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	n := len(consume(t, c, count))
	if err := c.CommitUncommittedOffsets(limited(t)); err != nil {
		t.Fatal(err)
	}
	return n
}

// What transactions came to is told by their coordinators, and not forgotten with them.
func TestMetricsOfTransactions(t *testing.T) {
	b := start(t, t.TempDir(), "admin.listener=127.0.0.1:0", "transaction.state.log.num.partitions=3")
	createTopic(t, b, 1, "t")
	transact := func(id string) *kgo.Client {
		c := client(t, b, kgo.TransactionalID(id), kgo.DefaultProduceTopic("t"))
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := c.ProduceSync(limited(t), kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	for id, commit := range map[string]bool{"a": true, "b": true, "c": false} {
		if err := transact(id).EndTransaction(limited(t), kgo.TransactionEndTry(commit)); err != nil {
			t.Fatal(err)
		}
	}
	transact("open")
	transact("fenced")
	if _, _, err := client(t, b, kgo.TransactionalID("fenced")).ProducerID(limited(t)); err != nil {
		t.Fatal(err)
	}
	atLeast := func(least float64) func(float64) bool { return func(got float64) bool { return got >= least } }
	for name, want := range map[string]func(float64) bool{
		"millrace_transactions_committed_total":                                is(2),
		"millrace_transactions_aborted_total":                                  is(2),
		"millrace_transactions_fenced_total":                                   is(1),
		"millrace_transactions_timed_out_total":                                is(0),
		"millrace_transactions_open":                                           is(1),
		"millrace_transactions_ending":                                         is(0),
		"millrace_transactions_oldest_open_seconds":                            func(n float64) bool { return n > 0 },
		"millrace_transactional_ids":                                           is(5),
		"kafka_server_replicamanager_produceridcount":                          is(5),
		"kafka_server_replicamanager_partitionswithlatetransactionscount":      is(0),
		"kafka_server_addpartitionstotxnmanager_verificationtimems_count":      atLeast(5),
		"kafka_server_addpartitionstotxnmanager_verificationfailurerate_count": is(0),
		"kafka_server_transactioncoordinatormetrics_partition_load_time_max":   func(n float64) bool { return n >= 0 && n < 20_000 }, // milliseconds
		"kafka_server_groupcoordinatormetrics_partition_load_time_avg":         is(0),
		"millrace_producers_expired_total":                                     is(0),
		"millrace_transactional_ids_expired_total":                             is(0),
	} {
		if got := scrape(t, b, name); !want(got) {
			t.Errorf("%s is %v", name, got)
		}
	}
}

// What is wrong with batches that are refused is counted, by topic, as Kafka counts it.
func TestMetricsOfRefusedBatches(t *testing.T) {
	b := start(t, t.TempDir(), "admin.listener=127.0.0.1:0")
	p := dial(t, b.Addresses()[0])
	s := p.topicNamed("refused", 1, "cleanup.policy", "compact")
	large := records(strings.Repeat("x", 1<<20))
	keyless := func(codec batch.Codec) []byte {
		var b batch.Builder
		b.Append(time.Now().UnixMilli(), nil, []byte("no key"), nil)
		o := batch.NoProducer()
		o.Codec = codec
		built, err := b.Finish(o)
		if err != nil {
			t.Fatal(err)
		}
		return built
	}
	for _, refused := range [][]byte{
		crcBroken(),
		changed(func(b []byte) { b[placeMagic] = 1 }), changed(func(b []byte) { b[placeMagic] = 3 }),
		changed(func(b []byte) { put32(b, placeCount, 3) }),
		large,
		keyless(batch.None), keyless(batch.LZ4),
	} {
		if p.produce(9, s, 0, refused).ErrorCode == 0 {
			t.Fatal("it was taken")
		}
	}
	for name, want := range map[string]float64{
		"invalidmessagecrcrecords_total": 1, "invalidmagicnumberrecords_total": 2, "invalidoffsetorsequencerecords_total": 1,
		"bytesrejected_total": float64(len(large)), "nokeycompactedtopicrecords_total": 2, "failedproducerequests_total": 7,
	} {
		if got := scrape(t, b, "kafka_server_brokertopicmetrics_"+name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}
