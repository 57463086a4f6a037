package client_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client"
)

// peerVariable names a broker to run the conformance suite of consumers and Admin against,
// in place of a Millrace in this process. It must have been started with arenaSettings.
const peerVariable = "MILLRACE_CONSUMER_PEER"

// arenaSettings have time-outs of groups that a test can wait for.
var arenaSettings = []string{
	"group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=300", "auto.create.topics.enable=true",
	"group.consumer.min.session.timeout.ms=300", "group.consumer.session.timeout.ms=10000",
	"group.consumer.min.heartbeat.interval.ms=50", "group.consumer.heartbeat.interval.ms=200",
	"offsets.topic.num.partitions=4", "transaction.state.log.num.partitions=4",
}

// theBroker is one Millrace for all tests, in memory.
var theBroker = sync.OnceValues(func() (string, error) {
	settings, err := config.Parse("", "", append([]string{"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=/arena", "admin.listener="}, arenaSettings...))
	if err != nil {
		return "", err
	}
	b, err := engine.Start(engine.Options{Settings: settings, FS: diskio.NewMemory(), Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))})
	if err != nil {
		return "", err
	}
	return b.Addresses()[0], nil
})

// arena is a broker, and what a test does to it beside the consumer under test.
type arena struct {
	*testing.T
	address string
	ctx     context.Context
	plain   *kgo.Client
	kadm    *kadm.Client

	elsewhere bool // the broker is a process of its own, perhaps not Millrace
}

func enterArena(t *testing.T) *arena {
	t.Helper()
	address := os.Getenv(peerVariable)
	if address == "" {
		var err error
		if address, err = theBroker(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	plain, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(20*time.Millisecond), kgo.UnknownTopicRetries(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { plain.Close(); cancel() })
	return &arena{t, address, ctx, plain, kadm.NewClient(plain), os.Getenv(peerVariable) != ""}
}

// unique is a name that nobody has.
func (a *arena) unique(what string) string {
	return fmt.Sprintf("%s-%s-%06x", what, strings.Map(func(r rune) rune {
		if r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, a.Name()), rand.IntN(1<<24))
}

func (a *arena) topic(partitions int32) string {
	a.Helper()
	name := a.unique("t")
	a.create(name, partitions)
	return name
}

func (a *arena) create(name string, partitions int32) {
	a.Helper()
	if _, err := a.kadm.CreateTopic(a.ctx, partitions, 1, nil, name); err != nil {
		a.Fatal(err)
	}
	for { // a broker may know of a topic a little later
		m, err := a.kadm.ListEndOffsets(a.ctx, name)
		if err == nil && m.Error() == nil && len(m[name]) == int(partitions) {
			return
		}
		if a.ctx.Err() != nil {
			a.Fatal(err, m.Error())
		}
	}
}

// produce appends values to a partition.
func (a *arena) produce(topic string, partition int32, values ...string) {
	a.Helper()
	var records []*kgo.Record
	for _, v := range values {
		records = append(records, &kgo.Record{Topic: topic, Partition: partition, Key: []byte("k" + v), Value: []byte(v)})
	}
	if err := a.plain.ProduceSync(a.ctx, records...).FirstErr(); err != nil {
		a.Fatal(err)
	}
}

// numbers is count values, from first on.
func numbers(first, count int) []string {
	values := make([]string, count)
	for i := range values {
		values[i] = fmt.Sprint(first + i)
	}
	return values
}

// config is settings of a consumer with pairs of others.
func (a *arena) config(pairs ...string) client.Config {
	c := client.Config{
		"bootstrap.servers": a.address, "auto.offset.reset": "earliest", "enable.auto.commit": "false",
		"session.timeout.ms": "10000", "heartbeat.interval.ms": "100", "fetch.max.wait.ms": "50", "metadata.max.age.ms": "500",
	}
	for i := 0; i < len(pairs); i += 2 {
		c[pairs[i]] = pairs[i+1]
	}
	if c["group.protocol"] == "consumer" { // where the broker decides
		for _, key := range []string{"session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"} {
			delete(c, key)
		}
	}
	return c
}

type textConsumer = client.Consumer[string, string]

// consumer makes a consumer that the test's end closes.
func (a *arena) consumer(pairs ...string) *textConsumer {
	a.Helper()
	return a.consumerWith(client.ConsumerOptions[string, string]{}, pairs...)
}

func (a *arena) consumerWith(o client.ConsumerOptions[string, string], pairs ...string) *textConsumer {
	a.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(writerOf(a.T), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	c, err := client.NewConsumer(a.config(pairs...), o)
	if err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			a.Errorf("close: %v", err)
		}
	})
	return c
}

func writerOf(t *testing.T) io.Writer { return t.Output() }

// poll is one Poll that must not fail.
func (a *arena) poll(c *textConsumer, timeout time.Duration) []*client.ConsumerRecord[string, string] {
	a.Helper()
	records, err := c.Poll(a.ctx, timeout)
	if err != nil {
		a.Fatal(err)
	}
	return records
}

// read polls until count records have come.
func (a *arena) read(c *textConsumer, count int) (all []*client.ConsumerRecord[string, string]) {
	a.Helper()
	for len(all) < count {
		if a.ctx.Err() != nil {
			a.Fatalf("%d of %d records came", len(all), count)
		}
		all = append(all, a.poll(c, 100*time.Millisecond)...)
	}
	return all
}

func valuesOf(records []*client.ConsumerRecord[string, string]) string {
	var values []string
	for _, r := range records {
		values = append(values, r.Value)
	}
	return strings.Join(values, " ")
}

// expect reads count records and checks their values.
func (a *arena) expect(c *textConsumer, values ...string) {
	a.Helper()
	if got, want := valuesOf(a.read(c, len(values))), strings.Join(values, " "); got != want {
		a.Fatalf("read %s, want %s", got, want)
	}
}

// none polls for a little and wants nothing to come.
func (a *arena) none(c *textConsumer, why string) {
	a.Helper()
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
		if records := a.poll(c, 50*time.Millisecond); len(records) > 0 {
			a.Fatalf("%s, and %s came", why, valuesOf(records))
		}
	}
}

// must fails the test with an error.
func (a *arena) must(err error) {
	a.Helper()
	if err != nil {
		a.Fatal(err)
	}
}

// until polls c until done.
func (a *arena) until(c *textConsumer, what string, done func() bool) {
	a.Helper()
	for !done() {
		if a.ctx.Err() != nil {
			a.Fatalf("%s did not happen", what)
		}
		a.poll(c, 20*time.Millisecond)
	}
}

// eventually waits until done, which others bring about.
func (a *arena) eventually(what string, done func() bool) {
	a.Helper()
	for !done() {
		select {
		case <-a.ctx.Done():
			a.Fatalf("%s did not come about", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func at(topic string, partition int32) sdk.TopicPartition {
	return sdk.TopicPartition{Topic: topic, Partition: partition}
}

func offsets(pairs ...any) map[sdk.TopicPartition]sdk.OffsetAndMetadata {
	m := map[sdk.TopicPartition]sdk.OffsetAndMetadata{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(sdk.TopicPartition)] = sdk.OffsetAndMetadata{Offset: int64(pairs[i+1].(int)), LeaderEpoch: -1}
	}
	return m
}

// committed is what a group has committed of a partition; −1: nothing.
func (a *arena) committed(group string, tp sdk.TopicPartition) int64 {
	a.Helper()
	answers, err := a.kadm.FetchOffsets(a.ctx, group)
	if err != nil {
		a.Fatal(err)
	}
	if o, ok := answers.Lookup(tp.Topic, tp.Partition); ok {
		return o.At
	}
	return -1
}
