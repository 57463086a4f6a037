package franz

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/compat/ledger"
	"github.com/millrace/millrace/engine/compat/sample"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// codec: what was compressed comes back byte for byte.
func (c client) codec(ctx context.Context, name string, codec kgo.CompressionCodec) error {
	topic, err := c.topic(ctx, name, 1)
	if err != nil {
		return err
	}
	sent := sample.Mixed(7, 500)
	records := make([]*kgo.Record, len(sent))
	for i, r := range sent {
		records[i] = &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value}
	}
	if err := c.send(ctx, records, kgo.ProducerBatchCompression(codec)); err != nil {
		return err
	}
	got, err := c.readAll(ctx, topic, 1, len(sent))
	if err != nil {
		return err
	}
	return same(got, func(i int) sample.Record { return sent[i] })
}

func (c client) foreign(ctx context.Context) error {
	got, err := c.readAll(ctx, c.Foreign, 1, sample.ForeignCount)
	if err != nil {
		return err
	}
	for i, r := range got {
		if len(r.Headers) != 1 || string(r.Headers[0].Value) != strconv.Itoa(i) {
			return fmt.Errorf("record %d has headers %v", i, r.Headers)
		}
		if at := r.Timestamp.UnixMilli(); at != sample.ForeignBase+int64(i)*1000 {
			return fmt.Errorf("record %d has timestamp %d", i, at)
		}
	}
	return same(got, sample.Foreign)
}

// records: null is not empty, headers keep order and repetition, timestamps are the producer's.
func (c client) records(ctx context.Context) error {
	topic, err := c.topic(ctx, "records", 1)
	if err != nil {
		return err
	}
	at := time.UnixMilli(time.Now().UnixMilli() - 3_600_123)
	headers := []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}, {Key: "null"}, {Key: "empty", Value: []byte{}}, {Key: "", Value: []byte("no name")}}
	sent := []*kgo.Record{
		{Topic: topic, Timestamp: at, Key: nil, Value: []byte("no key")},
		{Topic: topic, Timestamp: at, Key: []byte("no value"), Value: nil},
		{Topic: topic, Timestamp: at, Key: []byte{}, Value: []byte{}},
		{Topic: topic, Timestamp: at, Key: nil, Value: nil},
		{Topic: topic, Timestamp: at, Key: []byte("k"), Value: []byte("v"), Headers: headers},
	}
	if err := c.send(ctx, sent); err != nil {
		return err
	}
	got, err := c.readAll(ctx, topic, 1, len(sent))
	if err != nil {
		return err
	}
	for i, r := range got {
		if !r.Timestamp.Equal(at) {
			return fmt.Errorf("record %d has timestamp %v, want %v", i, r.Timestamp, at)
		}
	}
	for i, h := range got[4].Headers {
		if h.Key != headers[i].Key || string(h.Value) != string(headers[i].Value) || (h.Value == nil) != (headers[i].Value == nil) {
			return fmt.Errorf("header %d is %q=%q, want %q=%q", i, h.Key, h.Value, headers[i].Key, headers[i].Value)
		}
	}
	return same(got, func(i int) sample.Record { return sample.Record{Key: sent[i].Key, Value: sent[i].Value} })
}

func (c client) large(ctx context.Context) error {
	topic, err := c.topic(ctx, "large", 1)
	if err != nil {
		return err
	}
	big := sample.Noise(3, 900_000)
	if err := c.send(ctx, []*kgo.Record{{Topic: topic, Value: big}}); err != nil {
		return fmt.Errorf("send 900,000 bytes: %w", err)
	}
	err = c.send(ctx, []*kgo.Record{{Topic: topic, Value: sample.Noise(4, 2_000_000)}},
		kgo.ProducerBatchMaxBytes(4_000_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err := want(err, kerr.MessageTooLarge, "send 2,000,000 bytes"); err != nil {
		return err
	}
	got, err := c.readAll(ctx, topic, 1, 1)
	if err != nil {
		return err
	}
	return same(got, func(int) sample.Record { return sample.Record{Value: big} })
}

func (c client) acks(ctx context.Context) error {
	topic, err := c.topic(ctx, "acks", 1)
	if err != nil {
		return err
	}
	for i, acks := range []kgo.Acks{kgo.NoAck(), kgo.LeaderAck(), kgo.AllISRAcks()} {
		if err := c.send(ctx, numbered(topic, 0, 100*i, 100), kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite()); err != nil {
			return fmt.Errorf("acks %+v: %w", acks, err)
		}
		if _, err := c.readAll(ctx, topic, 1, 100*(i+1)); err != nil {
			return fmt.Errorf("acks %+v: %w", acks, err)
		}
	}
	return nil
}

func (c client) autocreate(ctx context.Context) error {
	topic := c.Name("autocreate")
	if err := c.send(ctx, numbered(topic, 0, 0, 10), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(20)); err != nil {
		return err
	}
	_, err := c.readAll(ctx, topic, 1, 10)
	return err
}

// drops: every acknowledged record is there once and in order, although answers were lost on the way.
func (c client) drops(ctx context.Context) error {
	through := c
	suite := *c.Suite
	suite.Bootstrap = c.Drops
	through.Suite = &suite
	const partitions, each = 3, 4000
	topic, err := through.topic(ctx, "drops", partitions)
	if err != nil {
		return err
	}
	k, err := through.dial(kgo.ProducerBatchMaxBytes(8<<10), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }))
	if err != nil {
		return err
	}
	defer k.Close()
	l := ledger.New()
	filling := strings.Repeat("x", 240)
	for i := range int64(each) {
		for p := range int32(partitions) {
			k.Produce(ctx, &kgo.Record{Topic: topic, Partition: p, Value: fmt.Appendf(nil, "%d %s", i, filling)}, func(_ *kgo.Record, err error) {
				if err == nil {
					l.Acked(ledger.Stream{Partition: p}, i, ledger.Anywhere)
				}
			})
		}
	}
	if err := k.Flush(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	got, err := through.readAll(ctx, topic, partitions, partitions*each)
	for _, r := range got {
		number, _, _ := strings.Cut(string(r.Value), " ")
		i, bad := strconv.ParseInt(number, 10, 64)
		if bad != nil {
			return fmt.Errorf("read a record that nobody sent: %w", bad)
		}
		l.Read(ledger.Stream{Partition: r.Partition}, i, r.Offset)
	}
	v := l.Judge()
	if v.Err() != nil {
		return v.Err()
	}
	if v.Acked != partitions*each {
		return fmt.Errorf("%d of %d records were acknowledged", v.Acked, partitions*each)
	}
	return err
}
