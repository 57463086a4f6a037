package franz

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// assign: from the start, from an offset, from the end.
func (c client) assign(ctx context.Context) error {
	topic, err := c.topic(ctx, "assign", 3)
	if err != nil {
		return err
	}
	for p := range int32(3) {
		if err := c.send(ctx, numbered(topic, p, 0, 100)); err != nil {
			return err
		}
	}
	if _, err := c.readAll(ctx, topic, 3, 300); err != nil {
		return fmt.Errorf("from the start: %w", err)
	}
	k, err := c.dial(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {1: kgo.NewOffset().At(90)}}))
	if err != nil {
		return err
	}
	defer k.Close()
	got, err := read(ctx, k, 10)
	if err != nil {
		return fmt.Errorf("from offset 90: %w", err)
	}
	if got[0].Offset != 90 || string(got[9].Value) != "99" {
		return fmt.Errorf("from offset 90: began at %d and ended with %q", got[0].Offset, got[9].Value)
	}
	return c.atEnd(ctx, topic)
}

// atEnd reads from the end: nothing older than the moment of the question may come.
func (c client) atEnd(ctx context.Context, topic string) error {
	k, err := c.dial(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {2: kgo.NewOffset().AtEnd()}}))
	if err != nil {
		return err
	}
	defer k.Close()
	for number := 100; ; number++ {
		if err := c.send(ctx, numbered(topic, 2, number, 1)); err != nil {
			return err
		}
		soon, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		got := k.PollFetches(soon).Records()
		cancel()
		if len(got) > 0 {
			if got[0].Offset < 100 {
				return fmt.Errorf("from the end: came offset %d, which was there before", got[0].Offset)
			}
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("from the end: nothing came: %w", ctx.Err())
		}
	}
}

// reset: an offset that does not exist leads to where the consumer said.
func (c client) reset(ctx context.Context) error {
	topic, err := c.topic(ctx, "reset", 1)
	if err != nil {
		return err
	}
	if err := c.send(ctx, numbered(topic, 0, 0, 20)); err != nil {
		return err
	}
	k, err := c.dial(kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(5000)}}))
	if err != nil {
		return err
	}
	defer k.Close()
	got, err := read(ctx, k, 20)
	if err != nil {
		return err
	}
	if got[0].Offset != 0 {
		return fmt.Errorf("began at offset %d, want 0", got[0].Offset)
	}
	return nil
}

// time: the first record at or after a moment, also from the middle of a batch.
func (c client) time(ctx context.Context) error {
	topic, err := c.topic(ctx, "time", 1)
	if err != nil {
		return err
	}
	base := time.Now().UnixMilli() - 3_600_000
	records := numbered(topic, 0, 0, 100)
	for i, r := range records {
		r.Timestamp = time.UnixMilli(base + int64(i)*1000)
	}
	for i := 0; i < len(records); i += 25 {
		if err := c.send(ctx, records[i:i+25]); err != nil {
			return err
		}
	}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	for at, wanted := range map[int64]int64{0: 0, 1: 1, 9_999: 10, 10_000: 10, 10_001: 11, 24_500: 25, 99_000: 99, 99_001: 100, -5000: 0} {
		l, err := a.ListOffsetsAfterMilli(ctx, base+at, topic)
		if err != nil {
			return err
		}
		if o, _ := l.Lookup(topic, 0); o.Err != nil || o.Offset != wanted {
			return fmt.Errorf("at the first record's time %+d ms: offset %d (%v), want %d", at, o.Offset, o.Err, wanted)
		}
	}
	k, err := c.dial(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AfterMilli(base + 59_500)}}))
	if err != nil {
		return err
	}
	defer k.Close()
	got, err := read(ctx, k, 40)
	if err != nil {
		return err
	}
	if got[0].Offset != 60 {
		return fmt.Errorf("consumer began at offset %d, want 60", got[0].Offset)
	}
	return nil
}

func (c client) pause(ctx context.Context) error {
	topic, err := c.topic(ctx, "pause", 2)
	if err != nil {
		return err
	}
	k, err := c.dial(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart(), 1: kgo.NewOffset().AtStart()}}))
	if err != nil {
		return err
	}
	defer k.Close()
	k.PauseFetchPartitions(map[string][]int32{topic: {0}})
	for p := range int32(2) {
		if err := c.send(ctx, numbered(topic, p, 0, 50)); err != nil {
			return err
		}
	}
	for _, partition := range []int32{1, 0} {
		got, err := read(ctx, k, 50)
		if err != nil {
			return err
		}
		for _, r := range got {
			if r.Partition != partition {
				return fmt.Errorf("got partition %d while only %d was awaited", r.Partition, partition)
			}
		}
		k.ResumeFetchPartitions(map[string][]int32{topic: {0}})
	}
	return nil
}

// pattern: a topic made after the subscription is found.
func (c client) pattern(ctx context.Context) error {
	first, err := c.topic(ctx, "pattern-1", 1)
	if err != nil {
		return err
	}
	k, err := c.dial(kgo.ConsumeRegex(), kgo.ConsumeTopics("^"+regexp.QuoteMeta(c.Name("pattern-"))+".*"), kgo.ConsumerGroup(c.Name("pattern")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMaxAge(500*time.Millisecond))
	if err != nil {
		return err
	}
	defer k.Close()
	if err := c.send(ctx, numbered(first, 0, 0, 10)); err != nil {
		return err
	}
	if _, err := read(ctx, k, 10); err != nil {
		return err
	}
	second, err := c.topic(ctx, "pattern-2", 1)
	if err != nil {
		return err
	}
	if err := c.send(ctx, numbered(second, 0, 0, 10)); err != nil {
		return err
	}
	got, err := read(ctx, k, 10)
	if err != nil {
		return err
	}
	if got[0].Topic != second {
		return fmt.Errorf("got topic %s, want %s", got[0].Topic, second)
	}
	return nil
}

// commit: an offset with its metadata is kept, and a consumer goes on from it.
func (c client) commit(ctx context.Context) error {
	topic, err := c.topic(ctx, "commit", 1)
	if err != nil {
		return err
	}
	if err := c.send(ctx, numbered(topic, 0, 0, 100)); err != nil {
		return err
	}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	group := c.Name("commit")
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 40, LeaderEpoch: -1, Metadata: "forty, in words"})
	if err := a.CommitAllOffsets(ctx, group, offsets); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	fetched, err := a.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	if o, ok := fetched.Lookup(topic, 0); !ok || o.At != 40 || o.Metadata != "forty, in words" {
		return fmt.Errorf("fetched %+v, want offset 40 with its words", o)
	}
	for _, part := range []struct{ first, count int }{{40, 60}, {100, 30}} {
		if part.first == 100 {
			if err := c.send(ctx, numbered(topic, 0, 100, 30)); err != nil {
				return err
			}
		}
		if err := c.goOn(ctx, group, topic, part.first, part.count); err != nil {
			return err
		}
	}
	return nil
}

// goOn consumes count records as a new member, expects the first to be number first, and commits.
func (c client) goOn(ctx context.Context, group, topic string, first, count int) error {
	k, err := c.dial(kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit())
	if err != nil {
		return err
	}
	defer k.Close()
	got, err := read(ctx, k, count)
	if err != nil {
		return err
	}
	if string(got[0].Value) != strconv.Itoa(first) {
		return fmt.Errorf("began with record %s, want %d", got[0].Value, first)
	}
	return k.CommitRecords(ctx, got...)
}
