package sarama

import (
	"context"
	"fmt"
	"time"

	kafka "github.com/IBM/sarama"
)

func (c client) assign(ctx context.Context) error {
	topic, err := c.topic("assign", 3)
	if err != nil {
		return err
	}
	for p := range int32(3) {
		if err := c.send(config(), numbered(topic, p, 0, 100)); err != nil {
			return err
		}
		if _, err := c.read(ctx, topic, p, kafka.OffsetOldest, 100); err != nil {
			return fmt.Errorf("from the start: %w", err)
		}
	}
	got, err := c.read(ctx, topic, 1, 90, 10)
	if err != nil {
		return fmt.Errorf("from offset 90: %w", err)
	}
	if got[0].Offset != 90 || string(got[9].Value) != "99" {
		return fmt.Errorf("from offset 90: began at %d and ended with %q", got[0].Offset, got[9].Value)
	}
	consumer, err := kafka.NewConsumer([]string{c.Bootstrap}, config())
	if err != nil {
		return err
	}
	defer consumer.Close()
	p, err := consumer.ConsumePartition(topic, 2, kafka.OffsetNewest)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := c.send(config(), numbered(topic, 2, 100, 1)); err != nil {
		return err
	}
	last, err := take(ctx, p, 1)
	if err != nil {
		return fmt.Errorf("from the end: %w", err)
	}
	if last[0].Offset != 100 {
		return fmt.Errorf("from the end: came offset %d, want 100", last[0].Offset)
	}
	return nil
}

// reset: a group whose committed offset does not exist begins at the start.
func (c client) reset(ctx context.Context) error {
	topic, err := c.topic("reset", 1)
	if err != nil {
		return err
	}
	if err := c.send(config(), numbered(topic, 0, 0, 20)); err != nil {
		return err
	}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	_, err = a.AlterConsumerGroupOffsets(c.Name("reset"), map[string]map[int32]kafka.OffsetAndMetadata{topic: {0: {Offset: 5000, LeaderEpoch: -1}}}, nil)
	if err != nil {
		return err
	}
	g := c.crowdOn(topic, "reset", config())
	defer g.end()
	if err := g.join(ctx, "one", ""); err != nil {
		return err
	}
	return g.Got(ctx, 20)
}

func (c client) time(ctx context.Context) error {
	topic, err := c.topic("time", 1)
	if err != nil {
		return err
	}
	base := time.Now().UnixMilli() - 3_600_000
	messages := numbered(topic, 0, 0, 100)
	for i, m := range messages {
		m.Timestamp = time.UnixMilli(base + int64(i)*1000)
	}
	for i := 0; i < len(messages); i += 25 {
		if err := c.send(config(), messages[i:i+25]); err != nil {
			return err
		}
	}
	k, err := kafka.NewClient([]string{c.Bootstrap}, config())
	if err != nil {
		return err
	}
	defer k.Close()
	for at, wanted := range map[int64]int64{0: 0, 1: 1, 9_999: 10, 10_000: 10, 10_001: 11, 24_500: 25, 99_000: 99, 99_001: -1, -5000: 0} {
		offset, err := k.GetOffset(topic, 0, base+at)
		if err != nil || offset != wanted {
			return fmt.Errorf("at the first record's time %+d ms: offset %d (%w), want %d", at, offset, err, wanted)
		}
	}
	return nil
}

func (c client) pause(ctx context.Context) error {
	topic, err := c.topic("pause", 2)
	if err != nil {
		return err
	}
	consumer, err := kafka.NewConsumer([]string{c.Bootstrap}, config())
	if err != nil {
		return err
	}
	defer consumer.Close()
	var parts [2]kafka.PartitionConsumer
	for n := range parts {
		if parts[n], err = consumer.ConsumePartition(topic, int32(n), 0); err != nil {
			return err
		}
		defer parts[n].Close()
	}
	parts[0].Pause()
	for p := range int32(2) {
		if err := c.send(config(), numbered(topic, p, 0, 50)); err != nil {
			return err
		}
	}
	if _, err := take(ctx, parts[1], 50); err != nil {
		return err
	}
	if n := len(parts[0].Messages()); n > 0 {
		return fmt.Errorf("%d records came from a paused partition", n)
	}
	parts[0].Resume()
	_, err = take(ctx, parts[0], 50)
	return err
}

func (c client) commit(ctx context.Context) error {
	topic, err := c.topic("commit", 1)
	if err != nil {
		return err
	}
	if err := c.send(config(), numbered(topic, 0, 0, 100)); err != nil {
		return err
	}
	k, err := kafka.NewClient([]string{c.Bootstrap}, config())
	if err != nil {
		return err
	}
	defer k.Close()
	manager, err := kafka.NewOffsetManagerFromClient(c.Name("commit"), k)
	if err != nil {
		return err
	}
	p, err := manager.ManagePartition(topic, 0)
	if err != nil {
		return err
	}
	p.MarkOffset(40, "forty, in words")
	manager.Commit()
	if err := p.Close(); err != nil {
		return err
	}
	if err := manager.Close(); err != nil {
		return err
	}
	again, err := kafka.NewOffsetManagerFromClient(c.Name("commit"), k)
	if err != nil {
		return err
	}
	defer again.Close()
	if p, err = again.ManagePartition(topic, 0); err != nil {
		return err
	}
	defer p.AsyncClose()
	if offset, metadata := p.NextOffset(); offset != 40 || metadata != "forty, in words" {
		return fmt.Errorf("fetched offset %d and %q, want 40 with its words", offset, metadata)
	}
	g := c.crowdOn(topic, "commit", config())
	defer g.end()
	if err := g.join(ctx, "one", ""); err != nil {
		return err
	}
	return g.Got(ctx, 60)
}
