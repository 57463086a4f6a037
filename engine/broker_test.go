package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/engine/config"
)

// start runs a broker on loopback, in a folder of the test's, until the test ends.
func start(t testing.TB, folder string, overrides ...string) *Broker {
	t.Helper()
	b, err := begin(folder, overrides...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, b) })
	return b
}

// begun is a broker in a new folder, for tests that stop it themselves.
func begun(t testing.TB) (folder string, b *Broker) {
	t.Helper()
	folder = t.TempDir()
	b, err := begin(folder)
	if err != nil {
		t.Fatal(err)
	}
	return folder, b
}

func begin(folder string, overrides ...string) (*Broker, error) {
	settings, err := config.Parse("", "", append([]string{
		"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=" + folder, "admin.listener=", "group.initial.rebalance.delay.ms=0",
	}, overrides...))
	if err != nil {
		return nil, err
	}
	return Start(Options{Settings: settings, Log: slog.New(slog.DiscardHandler)})
}

func stop(t testing.TB, b *Broker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func client(t testing.TB, b *Broker, o ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addresses()...), kgo.AllowAutoTopicCreation()}, o...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func limited(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// produce sends count records to one topic and waits for all of them.
func produce(t testing.TB, c *kgo.Client, topic string, count int) {
	t.Helper()
	var records []*kgo.Record
	for i := range count {
		records = append(records, &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Appendf(nil, "value %d", i)})
	}
	if err := c.ProduceSync(limited(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// consume reads until it has count records, and returns their values sorted.
func consume(t testing.TB, c *kgo.Client, count int) (values []string) {
	t.Helper()
	ctx := limited(t)
	for len(values) < count {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(values), count, err)
		}
		fetches.EachError(func(topic string, p int32, err error) { t.Fatalf("%s-%d: %v", topic, p, err) })
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	slices.Sort(values)
	return values
}

func TestRecordsComeBackWithEveryCodec(t *testing.T) {
	b := start(t, t.TempDir())
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) {
			topic := "codec-" + name
			produce(t, client(t, b, kgo.ProducerBatchCompression(codec)), topic, 1000)
			if got := consume(t, client(t, b, kgo.ConsumeTopics(topic)), 1000); len(got) != 1000 || len(slices.Compact(got)) != 1000 {
				t.Fatalf("%d records, %d of them different", len(got), len(slices.Compact(got)))
			}
		})
	}
}

func TestAGroupSharesAndRemembers(t *testing.T) {
	folder, b := begun(t)
	if _, err := kadm.NewClient(client(t, b)).CreateTopics(limited(t), 6, 1, nil, "shared"); err != nil {
		t.Fatal(err)
	}
	produce(t, client(t, b, kgo.RecordPartitioner(kgo.RoundRobinPartitioner())), "shared", 600)
	got := shareOut(t, b, 3, 600)
	if got != 600 {
		t.Fatalf("three members read %d records, want 600", got)
	}
	stop(t, b)
	again := start(t, folder)
	produce(t, client(t, again, kgo.RecordPartitioner(kgo.RoundRobinPartitioner())), "shared", 60)
	if got := shareOut(t, again, 1, 60); got != 60 {
		t.Fatalf("after a restart the group read %d records, want the 60 new ones", got)
	}
}

// shareOut reads with so many members of one group until they have count records
// together; they commit and leave.
func shareOut(t *testing.T, b *Broker, members, count int) int {
	t.Helper()
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	var wait sync.WaitGroup
	seen := make(chan int, 1000)
	for range members {
		wait.Go(func() {
			c, err := kgo.NewClient(kgo.SeedBrokers(b.Addresses()...), kgo.ConsumerGroup("sharers"), kgo.ConsumeTopics("shared"),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.HeartbeatInterval(100*time.Millisecond))
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for ctx.Err() == nil {
				fetches := c.PollFetches(ctx)
				if fetches.NumRecords() > 0 {
					if err := c.CommitRecords(limited(t), fetches.Records()...); err != nil {
						t.Error(err)
					}
					seen <- fetches.NumRecords()
				}
			}
		})
	}
	total := 0
	for total < count {
		select {
		case n := <-seen:
			total += n
		case <-ctx.Done():
			t.Fatalf("%d of %d records in time", total, count)
		}
	}
	cancel()
	wait.Wait()
	return total
}

func TestTheSecondBrokerOnAFolderIsRefused(t *testing.T) {
	folder := t.TempDir()
	start(t, folder)
	b, err := begin(folder)
	if err == nil {
		stop(t, b)
		t.Fatal("two brokers have one folder")
	}
	if !errors.Is(err, ErrInUse) {
		t.Fatalf("got %q", err)
	}
}
