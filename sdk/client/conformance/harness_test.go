package conformance

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/sdk/client"
)

// brokerVariable names a broker that is there already.
const brokerVariable = "MILLRACE_CONFORMANCE_BROKER"

// engines runs a test with each.
func engines(t *testing.T, f func(t *testing.T, engine string)) {
	for _, engine := range []string{client.EngineNative, client.EngineKgo} {
		t.Run(engine, func(t *testing.T) { f(t, engine) })
	}
}

// serving is the address of a broker.
func serving(t testing.TB, overrides ...string) string {
	t.Helper()
	if address := os.Getenv(brokerVariable); address != "" {
		return address
	}
	settings, err := config.Parse("", "", append([]string{
		"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=" + t.TempDir(), "admin.listener=", "group.initial.rebalance.delay.ms=0",
		"log.flush.mode=os", "log.journal.bytes=0",
	}, overrides...))
	if err != nil {
		t.Fatal(err)
	}
	b, err := engine.Start(engine.Options{Settings: settings, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return b.Addresses()[0]
}

var topics atomic.Int64

// topic makes one with so many partitions.
func topic(t testing.TB, address string, partitions int32, config ...string) string {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	name := fmt.Sprintf("conformance-%d-%d", time.Now().UnixNano(), topics.Add(1))
	settings := map[string]*string{}
	for i := 0; i+1 < len(config); i += 2 {
		settings[config[i]] = &config[i+1]
	}
	answers, err := kadm.NewClient(c).CreateTopics(limited(t), partitions, 1, settings, name)
	if err != nil || answers.Error() != nil {
		t.Fatal(err, answers.Error())
	}
	return name
}

func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// producer makes one of these settings: key, value, key, value.
func producer(t testing.TB, engine, address string, settings ...string) *client.Producer[[]byte, []byte] {
	t.Helper()
	c := client.Config{"bootstrap.servers": address, "client.engine": engine, "retry.backoff.ms": "5", "retry.backoff.max.ms": "50",
		"reconnect.backoff.ms": "5", "reconnect.backoff.max.ms": "50"}
	for i := 0; i+1 < len(settings); i += 2 {
		c[settings[i]] = settings[i+1]
	}
	said := &lines{}
	p, err := client.NewProducer(c, client.ProducerOptions[[]byte, []byte]{Log: slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && engine == client.EngineNative {
			t.Logf("the producer said:\n%s", said)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_ = p.Close(ctx) // what is left was not looked for
	})
	return p
}

// lines is what a producer logs.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// stored reads a topic from its beginning to where it ends now.
func stored(t testing.TB, address, topic string, options ...kgo.Opt) []*kgo.Record {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(address), kgo.ConsumeTopics(topic), kgo.FetchMaxWait(50 * time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords()}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := limited(t)
	ends, err := kadm.NewClient(c).ListEndOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	var all []*kgo.Record
	for len(left) > 0 {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("after %d records: %v", len(all), err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				all = append(all, r)
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return all
}

// numbered is a record whose value is a number.
func numbered(topic string, n int) *client.ProducerRecord[[]byte, []byte] {
	return &client.ProducerRecord[[]byte, []byte]{Topic: topic, Value: fmt.Appendf(nil, "%08d with some more bytes to fill batches", n)}
}

// numberOf is the inverse.
func numberOf(t testing.TB, r *kgo.Record) int {
	t.Helper()
	n, err := strconv.Atoi(string(r.Value[:8]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// wantSequence fails unless one partition has the numbers from 0 on, each once, in order.
func wantSequence(t testing.TB, records []*kgo.Record, count int) {
	t.Helper()
	if len(records) != count {
		t.Errorf("%d records are stored, want %d", len(records), count)
	}
	for i, r := range records {
		if n := numberOf(t, r); n != i {
			t.Fatalf("record %d is at place %d of %d", n, i, len(records))
		}
	}
}

// committed is where a group reads on in partition 0, −1 when nowhere.
func committed(t testing.TB, address, group, topic string) int64 {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	offsets, err := kadm.NewClient(c).FetchOffsets(limited(t), group)
	if err != nil {
		t.Fatal(err)
	}
	at, ok := offsets.Lookup(topic, 0)
	if !ok {
		return -1
	}
	return at.At
}
