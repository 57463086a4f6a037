// Package sarama drives a broker with IBM's Sarama: sync and async producers, consumers, consumer groups, admin.
package sarama

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	kafka "github.com/IBM/sarama"
	"github.com/millrace/millrace/engine/compat/report"
	"github.com/millrace/millrace/engine/compat/sample"
)

// client is what the checks share.
type client struct{ *report.Suite }

// Run runs every check.
func Run(s *report.Suite) {
	kafka.Logger = log.New(io.Discard, "", 0)
	c := client{s}
	for _, codec := range []kafka.CompressionCodec{
		kafka.CompressionNone, kafka.CompressionGZIP, kafka.CompressionSnappy, kafka.CompressionLZ4, kafka.CompressionZSTD,
	} {
		s.Check(codec.String(), func(ctx context.Context) error { return c.codec(ctx, codec) })
	}
	for _, check := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"cluster", c.cluster}, {"foreign", c.foreign}, {"records", c.records}, {"large", c.large}, {"acks", c.acks},
		{"autocreate", c.autocreate}, {"assign", c.assign}, {"reset", c.reset}, {"time", c.time}, {"pause", c.pause},
		{"group", c.group}, {"static", c.static}, {"commit", c.commit}, {"old", c.old},
		{"topics", c.topics}, {"partitions", c.partitions}, {"configs", c.configs}, {"delete-records", c.deleteRecords},
		{"groups", c.groups}, {"offsets", c.offsets}, {"group-offsets", c.groupOffsets}, {"log-dirs", c.logDirs}, {"acls", c.acls},
		{"drops", c.drops}, {"transactions", c.transactions},
	} {
		s.Check(check.name, check.run)
	}
}

// config is Sarama's, quick to notice what changed, with the newest protocol versions that it knows.
func config() *kafka.Config {
	o := kafka.NewConfig()
	o.Version = kafka.MaxVersion
	o.Producer.Return.Successes = true
	o.Producer.Partitioner = kafka.NewManualPartitioner
	o.Consumer.Offsets.Initial = kafka.OffsetOldest
	o.Consumer.MaxWaitTime = 200 * time.Millisecond
	o.Consumer.Return.Errors = true
	o.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	o.Consumer.Group.Rebalance.Retry.Backoff = 100 * time.Millisecond
	o.Metadata.Retry.Backoff = 50 * time.Millisecond
	o.Metadata.AllowAutoTopicCreation = false
	return o
}

func (c client) admin() (kafka.ClusterAdmin, error) {
	return kafka.NewClusterAdmin([]string{c.Bootstrap}, config())
}

// topic creates a topic of this run and answers its name.
func (c client) topic(what string, partitions int32) (string, error) {
	a, err := c.admin()
	if err != nil {
		return "", err
	}
	defer a.Close()
	name := c.Name(what)
	if err := a.CreateTopic(name, &kafka.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false); err != nil {
		return "", fmt.Errorf("create topic %s: %w", name, err)
	}
	return name, led(a, name, int(partitions))
}

// led waits until every partition of a topic has a leader.
func led(a kafka.ClusterAdmin, topic string, partitions int) error {
	return report.Eventually(context.Background(), func() error {
		described, err := a.DescribeTopics([]string{topic})
		if err != nil {
			return err
		}
		for _, p := range described[0].Partitions {
			if p.Err != kafka.ErrNoError || p.Leader < 0 {
				return fmt.Errorf("partition %d of %s has leader %d: %w", p.ID, topic, p.Leader, p.Err)
			}
		}
		if described[0].Err != kafka.ErrNoError || len(described[0].Partitions) != partitions {
			return fmt.Errorf("topic %s has %d partitions, want %d: %w", topic, len(described[0].Partitions), partitions, described[0].Err)
		}
		return nil
	})
}

// send produces with a client of its own and waits for every acknowledgement.
func (c client) send(o *kafka.Config, messages []*kafka.ProducerMessage) error {
	p, err := kafka.NewSyncProducer([]string{c.Bootstrap}, o)
	if err != nil {
		return err
	}
	return errors.Join(p.SendMessages(messages), p.Close())
}

// numbered makes count messages for one partition whose values are their numbers from first on.
func numbered(topic string, partition int32, first, count int) []*kafka.ProducerMessage {
	messages := make([]*kafka.ProducerMessage, count)
	for i := range messages {
		messages[i] = &kafka.ProducerMessage{Topic: topic, Partition: partition, Value: kafka.StringEncoder(fmt.Sprint(first + i))}
	}
	return messages
}

// read consumes n messages of one partition from an offset on.
func (c client) read(ctx context.Context, topic string, partition int32, from int64, n int) ([]*kafka.ConsumerMessage, error) {
	o := config()
	consumer, err := kafka.NewConsumer([]string{c.Bootstrap}, o)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	p, err := consumer.ConsumePartition(topic, partition, from)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return take(ctx, p, n)
}

func take(ctx context.Context, p kafka.PartitionConsumer, n int) ([]*kafka.ConsumerMessage, error) {
	var got []*kafka.ConsumerMessage
	for len(got) < n {
		select {
		case m := <-p.Messages():
			got = append(got, m)
		case err := <-p.Errors():
			if !errors.Is(err, kafka.ErrNotLeaderForPartition) { // a new topic's leader may still be taking office; Sarama asks again
				return got, err
			}
		case <-ctx.Done():
			return got, fmt.Errorf("read %d of %d records: %w", len(got), n, ctx.Err())
		}
	}
	return got, nil
}

// want fails unless err is the error that the protocol prescribes.
func want(err error, expected kafka.KError, doing string) error {
	var topic *kafka.TopicError
	if errors.As(err, &topic) {
		err = topic.Err
	}
	if !errors.Is(err, expected) {
		return fmt.Errorf("%s: %v, want %v", doing, err, expected)
	}
	return nil
}

// same compares what was read with what was sent.
func same(got []*kafka.ConsumerMessage, wanted func(i int) sample.Record) error {
	for i, m := range got {
		if err := sample.Differ(sample.Record{Key: m.Key, Value: m.Value}, wanted(i)); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
		if m.Offset != int64(i) {
			return fmt.Errorf("record %d has offset %d", i, m.Offset)
		}
	}
	return nil
}

// encoder hands bytes to Sarama; a nil slice is Kafka's null, which Sarama wants as no encoder at all.
func encoder(p []byte) kafka.Encoder {
	if p == nil {
		return nil
	}
	return kafka.ByteEncoder(p)
}

// wait pauses a poll loop.
func wait(ctx context.Context, d time.Duration) {
	soon, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-soon.Done()
}
