// Package franz drives a broker with franz-go: kgo to produce and consume, kadm for the admin calls.
package franz

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/compat/report"
	"github.com/millrace/millrace/engine/compat/sample"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// client is what the checks share.
type client struct{ *report.Suite }

// Run runs every check.
func Run(s *report.Suite) {
	c := client{s}
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		s.Check(name, func(ctx context.Context) error { return c.codec(ctx, name, codec) })
	}
	for _, check := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"cluster", c.cluster}, {"foreign", c.foreign}, {"records", c.records}, {"large", c.large}, {"acks", c.acks},
		{"autocreate", c.autocreate}, {"assign", c.assign}, {"reset", c.reset}, {"time", c.time}, {"pause", c.pause},
		{"group", c.group}, {"cooperative", c.cooperative}, {"static", c.static}, {"pattern", c.pattern}, {"commit", c.commit},
		{"consumer-group", c.consumerGroup}, {"consumer-migrate", c.consumerMigrate},
		{"topics", c.topics}, {"partitions", c.partitions}, {"configs", c.configs}, {"delete-records", c.deleteRecords},
		{"groups", c.groups}, {"offsets", c.offsets}, {"max-time", c.maxTime}, {"group-offsets", c.groupOffsets}, {"log-dirs", c.logDirs}, {"acls", c.acls},
		{"epochs", c.epochs}, {"drops", c.drops},
		{"transactions", c.transactions}, {"transform", c.transform}, {"fencing", c.fencing}, {"timeout", c.timeout},
	} {
		s.Check(check.name, check.run)
	}
}

// dial makes a kgo client that is quick to notice what changed.
func (c client) dial(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(c.Bootstrap), kgo.MetadataMinAge(100 * time.Millisecond), kgo.FetchMaxWait(200 * time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}, options...)...)
}

// admin makes an admin client; the caller closes it.
func (c client) admin() (*kadm.Client, error) {
	k, err := c.dial()
	if err != nil {
		return nil, err
	}
	return kadm.NewClient(k), nil
}

// topic creates a topic of this run and answers its name.
func (c client) topic(ctx context.Context, what string, partitions int32) (string, error) {
	a, err := c.admin()
	if err != nil {
		return "", err
	}
	defer a.Close()
	name := c.Name(what)
	_, err = a.CreateTopic(ctx, partitions, 1, nil, name)
	if err != nil {
		return "", fmt.Errorf("create topic %s: %w", name, err)
	}
	return name, led(ctx, a, name, int(partitions))
}

// led waits until every partition of a topic has a leader.
func led(ctx context.Context, a *kadm.Client, topic string, partitions int) error {
	return report.Eventually(ctx, func() error {
		listed, err := a.ListTopics(ctx, topic)
		if err != nil {
			return err
		}
		t := listed[topic]
		for _, p := range t.Partitions {
			if p.Err != nil || p.Leader < 0 {
				return fmt.Errorf("partition %d of %s has leader %d: %w", p.Partition, topic, p.Leader, p.Err)
			}
		}
		if t.Err != nil || len(t.Partitions) != partitions {
			return fmt.Errorf("topic %s has %d partitions, want %d: %w", topic, len(t.Partitions), partitions, t.Err)
		}
		return nil
	})
}

// send produces with a client of its own and waits for every acknowledgement.
func (c client) send(ctx context.Context, records []*kgo.Record, options ...kgo.Opt) error {
	k, err := c.dial(options...)
	if err != nil {
		return err
	}
	defer k.Close()
	return k.ProduceSync(ctx, records...).FirstErr()
}

// numbered makes count records for one partition whose values are their numbers from first on.
func numbered(topic string, partition int32, first, count int) []*kgo.Record {
	records := make([]*kgo.Record, count)
	for i := range records {
		records[i] = &kgo.Record{Topic: topic, Partition: partition, Value: fmt.Appendf(nil, "%d", first+i)}
	}
	return records
}

// read polls until n records came, and looks whether one more comes than should.
func read(ctx context.Context, k *kgo.Client, n int) ([]*kgo.Record, error) {
	var records []*kgo.Record
	for len(records) < n {
		f := k.PollFetches(ctx)
		if err := f.Err(); err != nil {
			return records, fmt.Errorf("read %d of %d records: %w", len(records), n, err)
		}
		records = append(records, f.Records()...)
	}
	if len(records) > n {
		return records, fmt.Errorf("read %d records, want %d", len(records), n)
	}
	return records, nil
}

// readAll reads n records of a topic from its start by assignment.
func (c client) readAll(ctx context.Context, topic string, partitions int32, n int) ([]*kgo.Record, error) {
	assigned := map[int32]kgo.Offset{}
	for p := range partitions {
		assigned[p] = kgo.NewOffset().AtStart()
	}
	k, err := c.dial(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: assigned}))
	if err != nil {
		return nil, err
	}
	defer k.Close()
	return read(ctx, k, n)
}

// want fails unless err is the error that the protocol prescribes.
func want(err, expected error, doing string) error {
	if !errors.Is(err, expected) {
		return fmt.Errorf("%s: %v, want %v", doing, err, expected)
	}
	return nil
}

// same compares what was read with what was sent.
func same(got []*kgo.Record, wanted func(i int) sample.Record) error {
	for i, r := range got {
		if err := sample.Differ(sample.Record{Key: r.Key, Value: r.Value}, wanted(i)); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
		if r.Offset != int64(i) {
			return fmt.Errorf("record %d has offset %d", i, r.Offset)
		}
	}
	return nil
}

// Prepare writes the topic that every client reads: a fifth of its records with each codec.
func Prepare(ctx context.Context, bootstrap, topic string) error {
	s := report.Suite{Bootstrap: bootstrap, Prefix: topic}
	c := client{&s}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	// Its records are old: retention must not take them.
	if _, err := a.CreateTopic(ctx, 1, 1, map[string]*string{"retention.ms": kadm.StringPtr("-1")}, topic); err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	if err := led(ctx, a, topic, 1); err != nil {
		return err
	}
	codecs := []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	}
	each := sample.ForeignCount / len(codecs)
	for n, codec := range codecs {
		records := make([]*kgo.Record, each)
		for i := range records {
			number := n*each + i
			r := sample.Foreign(number)
			records[i] = &kgo.Record{
				Topic: topic, Key: r.Key, Value: r.Value, Timestamp: time.UnixMilli(sample.ForeignBase + int64(number)*1000),
				Headers: []kgo.RecordHeader{{Key: "number", Value: fmt.Appendf(nil, "%d", number)}},
			}
		}
		if err := c.send(ctx, records, kgo.ProducerBatchCompression(codec)); err != nil {
			return fmt.Errorf("write topic %s: %w", topic, err)
		}
	}
	return nil
}
