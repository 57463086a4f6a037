package sarama

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	kafka "github.com/IBM/sarama"
	"github.com/millrace/millrace/engine/compat/ledger"
	"github.com/millrace/millrace/engine/compat/sample"
)

func (c client) codec(ctx context.Context, codec kafka.CompressionCodec) error {
	topic, err := c.topic(codec.String(), 1)
	if err != nil {
		return err
	}
	sent := sample.Mixed(9, 500)
	messages := make([]*kafka.ProducerMessage, len(sent))
	for i, r := range sent {
		messages[i] = &kafka.ProducerMessage{Topic: topic, Key: encoder(r.Key), Value: encoder(r.Value)}
	}
	o := config()
	o.Producer.Compression = codec
	if err := c.send(o, messages); err != nil {
		return err
	}
	got, err := c.read(ctx, topic, 0, 0, len(sent))
	if err != nil {
		return err
	}
	return same(got, func(i int) sample.Record { return sent[i] })
}

func (c client) foreign(ctx context.Context) error {
	got, err := c.read(ctx, c.Foreign, 0, kafka.OffsetOldest, sample.ForeignCount)
	if err != nil {
		return err
	}
	for i, m := range got {
		if len(m.Headers) != 1 || string(m.Headers[0].Value) != strconv.Itoa(i) {
			return fmt.Errorf("record %d has headers %v", i, m.Headers)
		}
		if at := m.Timestamp.UnixMilli(); at != sample.ForeignBase+int64(i)*1000 {
			return fmt.Errorf("record %d has timestamp %d", i, at)
		}
	}
	return same(got, sample.Foreign)
}

func (c client) records(ctx context.Context) error {
	topic, err := c.topic("records", 1)
	if err != nil {
		return err
	}
	at := time.UnixMilli(time.Now().UnixMilli() - 3_600_123)
	sent := []sample.Record{
		{Key: nil, Value: []byte("no key")}, {Key: []byte("no value"), Value: nil}, {Key: []byte{}, Value: []byte{}}, {Key: nil, Value: nil},
	}
	headers := []kafka.RecordHeader{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("a"), Value: []byte("2")}, {Key: []byte("empty"), Value: []byte{}}}
	var messages []*kafka.ProducerMessage
	for _, r := range sent {
		messages = append(messages, &kafka.ProducerMessage{Topic: topic, Key: encoder(r.Key), Value: encoder(r.Value), Timestamp: at, Headers: headers})
	}
	if err := c.send(config(), messages); err != nil {
		return err
	}
	got, err := c.read(ctx, topic, 0, 0, len(sent))
	if err != nil {
		return err
	}
	for i, m := range got {
		if !m.Timestamp.Equal(at) {
			return fmt.Errorf("record %d has timestamp %v, want %v", i, m.Timestamp, at)
		}
		for j, h := range m.Headers {
			if string(h.Key) != string(headers[j].Key) || string(h.Value) != string(headers[j].Value) {
				return fmt.Errorf("header %d is %q=%q, want %q=%q", j, h.Key, h.Value, headers[j].Key, headers[j].Value)
			}
		}
	}
	return same(got, func(i int) sample.Record { return sent[i] })
}

func (c client) large(ctx context.Context) error {
	topic, err := c.topic("large", 1)
	if err != nil {
		return err
	}
	o := config()
	o.Producer.MaxMessageBytes = 10_000_000
	big := sample.Noise(3, 900_000)
	if err := c.send(o, []*kafka.ProducerMessage{{Topic: topic, Value: kafka.ByteEncoder(big)}}); err != nil {
		return fmt.Errorf("send 900,000 bytes: %w", err)
	}
	err = c.send(o, []*kafka.ProducerMessage{{Topic: topic, Value: kafka.ByteEncoder(sample.Noise(4, 2_000_000))}})
	var refused kafka.ProducerErrors
	if !errors.As(err, &refused) || !errors.Is(refused[0].Err, kafka.ErrMessageSizeTooLarge) {
		return fmt.Errorf("send 2,000,000 bytes: %v, want %v", err, kafka.ErrMessageSizeTooLarge)
	}
	got, err := c.read(ctx, topic, 0, 0, 1)
	if err != nil {
		return err
	}
	return same(got, func(int) sample.Record { return sample.Record{Value: big} })
}

func (c client) acks(ctx context.Context) error {
	topic, err := c.topic("acks", 1)
	if err != nil {
		return err
	}
	for i, acks := range []kafka.RequiredAcks{kafka.NoResponse, kafka.WaitForLocal, kafka.WaitForAll} {
		o := config()
		o.Producer.RequiredAcks = acks
		if err := c.send(o, numbered(topic, 0, 100*i, 100)); err != nil {
			return fmt.Errorf("acks %d: %w", acks, err)
		}
		if _, err := c.read(ctx, topic, 0, 0, 100*(i+1)); err != nil {
			return fmt.Errorf("acks %d: %w", acks, err)
		}
	}
	return nil
}

func (c client) autocreate(ctx context.Context) error {
	topic := c.Name("autocreate")
	o := config()
	o.Metadata.AllowAutoTopicCreation = true
	o.Metadata.Retry.Max = 20
	if err := c.send(o, numbered(topic, 0, 0, 10)); err != nil {
		return err
	}
	_, err := c.read(ctx, topic, 0, 0, 10)
	return err
}

// old: a client pinned to the protocol of Kafka 2.1, the oldest that brokers of today must serve.
func (c client) old(ctx context.Context) error {
	topic, err := c.topic("old", 1)
	if err != nil {
		return err
	}
	o := config()
	o.Version = kafka.V2_1_0_0
	o.ApiVersionsRequest = false
	o.Producer.Compression = kafka.CompressionZSTD
	if err := c.send(o, numbered(topic, 0, 0, 100)); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	g := c.crowdOn(topic, "old", o)
	defer g.end()
	if err := g.join(ctx, "one", ""); err != nil {
		return err
	}
	return g.Got(ctx, 100)
}

func (c client) drops(ctx context.Context) error {
	through := c
	suite := *c.Suite
	suite.Bootstrap = c.Drops
	through.Suite = &suite
	const partitions, each = 3, 4000
	topic, err := through.topic("drops", partitions)
	if err != nil {
		return err
	}
	o := config()
	o.Producer.Idempotent = true
	o.Producer.RequiredAcks = kafka.WaitForAll
	o.Net.MaxOpenRequests = 1
	o.Producer.Retry.Max = 1000
	o.Producer.Retry.Backoff = 20 * time.Millisecond
	o.Producer.Flush.MaxMessages = 30
	o.Producer.Return.Errors = true
	o.Metadata.Retry.Max = 100
	l := ledger.New()
	failure := flood(ctx, c.Drops, topic, o, partitions, each, l)
	for n := range int32(partitions) {
		got, err := through.read(ctx, topic, n, 0, each)
		failure = errors.Join(failure, err)
		for _, m := range got {
			number, _, _ := strings.Cut(string(m.Value), " ")
			i, bad := strconv.ParseInt(number, 10, 64)
			if bad != nil {
				return fmt.Errorf("read a record that nobody sent: %w", bad)
			}
			l.Read(ledger.Stream{Partition: n}, i, m.Offset)
		}
	}
	v := l.Judge()
	if v.Acked != partitions*each {
		failure = errors.Join(failure, fmt.Errorf("%d of %d records were acknowledged", v.Acked, partitions*each))
	}
	return errors.Join(v.Err(), failure)
}

// flood sends each numbered records to every partition and enters what was acknowledged. The producer is closed
// when all were answered: Sarama gives up what it is retrying when it is asked to close.
func flood(ctx context.Context, address, topic string, o *kafka.Config, partitions int32, each int64, l *ledger.Ledger) error {
	p, err := kafka.NewAsyncProducer([]string{address}, o)
	if err != nil {
		return err
	}
	go func() {
		filling := strings.Repeat("x", 240)
		for i := range each {
			for n := range partitions {
				p.Input() <- &kafka.ProducerMessage{Topic: topic, Partition: n, Value: kafka.StringEncoder(fmt.Sprintf("%d %s", i, filling)), Metadata: i}
			}
		}
	}()
	var failure error
	for range int64(partitions) * each {
		select {
		case m := <-p.Successes():
			l.Acked(ledger.Stream{Partition: m.Partition}, m.Metadata.(int64), ledger.Anywhere)
		case e := <-p.Errors():
			failure = fmt.Errorf("a record failed: %w", e.Err)
		case <-ctx.Done():
			return fmt.Errorf("send: %w", errors.Join(failure, ctx.Err()))
		}
	}
	return errors.Join(failure, p.Close())
}
