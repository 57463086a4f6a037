package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The topics of the check kill. A record is its number; one in ten is no JSON, and a dead letter.
const (
	killTopic  = "kill"
	deadTopic  = "kill-dead"
	partitions = 3
)

// kill has an idempotent producer write through a chain that buries and stamps, which changes all the time, while the
// broker is killed. In the end every good record is there once and in order, and every bad one is a dead letter.
func (s *stand) kill(ctx context.Context, _ string) error {
	admin, done, err := s.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	producer, err := kgo.NewClient(kgo.SeedBrokers(s.address), kgo.DefaultProduceTopic(killTopic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(time.Millisecond), kgo.MaxBufferedRecords(2000), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		return err
	}
	defer producer.Close()
	writing, stop := context.WithCancel(ctx)
	defer stop()
	var failed atomic.Int64
	sent := make(chan int, 1)
	go func() { // ends with writing
		n := 0
		for ; writing.Err() == nil; n++ {
			producer.Produce(ctx, &kgo.Record{Value: []byte(value(n)), Partition: int32(n % partitions)}, func(_ *kgo.Record, err error) {
				if err != nil {
					failed.Add(1)
				}
			})
		}
		sent <- n
	}()
	changed, err := s.strike(ctx, admin)
	stop()
	n := <-sent
	if err != nil {
		return err
	}
	if err := producer.Flush(ctx); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	if failed.Load() > 0 {
		return fmt.Errorf("%d of %d records failed", failed.Load(), n)
	}
	twice, err := s.judge(ctx, n)
	fmt.Printf("     kill: %d records, %d kills, %d changes of plugins, %d dead letters more than once\n", n, s.kills, changed, twice)
	return err
}

func value(n int) string {
	if n%10 == 7 {
		return "bad " + strconv.Itoa(n)
	}
	return strconv.Itoa(n)
}

// admin makes the topics and loads the plugin that stays.
func (s *stand) admin(ctx context.Context) (*kadm.Client, func(), error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(s.address), kgo.RetryTimeout(20*time.Second), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		return nil, nil, err
	}
	admin := kadm.NewClient(c)
	if _, err := admin.CreateTopics(ctx, partitions, 1, nil, killTopic, deadTopic); err != nil {
		return nil, nil, fmt.Errorf("create topics: %w", err)
	}
	err = alter(ctx, admin, "", "plugins", "guard,stamp", "plugin.guard.type", "json-schema", "plugin.guard.config.schema", `{"type":"number"}`,
		"plugin.guard.on.error", "dlq", "plugin.guard.dlq.topic", deadTopic, "plugin.stamp.type", "header-stamp")
	if err == nil {
		err = alter(ctx, admin, killTopic, "interceptors.produce", "guard,stamp")
	}
	return admin, c.Close, err
}

// alter sets settings of a topic, or with "" of all brokers.
func alter(ctx context.Context, admin *kadm.Client, topic string, settings ...string) error {
	var changes []kadm.AlterConfig
	for i := 0; i < len(settings); i += 2 {
		changes = append(changes, kadm.AlterConfig{Name: settings[i], Value: new(settings[i+1])})
	}
	var answers kadm.AlterConfigsResponses
	var err error
	if topic == "" {
		answers, err = admin.AlterBrokerConfigs(ctx, changes)
	} else {
		answers, err = admin.AlterTopicConfigs(ctx, changes, topic)
	}
	if err != nil {
		return fmt.Errorf("alter %v: %w", settings, err)
	}
	for _, a := range answers {
		if a.Err != nil {
			return fmt.Errorf("alter %v: %w: %s", settings, a.Err, a.ErrMessage)
		}
	}
	return nil
}

// strike changes plugins, kills, starts, and answers how many changes there were.
func (s *stand) strike(ctx context.Context, admin *kadm.Client) (changed int, err error) {
	for kill := range s.kills {
		for i := range 10 {
			header := fmt.Sprintf("at-%d-%d", kill, i)
			if err := alter(ctx, admin, "", "plugins", "guard,stamp", "plugin.stamp.config.time.header", header); err != nil {
				return changed, err
			}
			if err := alter(ctx, admin, killTopic, "interceptors.produce", "guard,stamp"); err != nil {
				return changed, err
			}
			if err := alter(ctx, admin, killTopic, "interceptors.produce", "guard"); err != nil {
				return changed, err
			}
			if err := alter(ctx, admin, "", "plugins", "guard"); err != nil {
				return changed, err
			}
			changed += 4
		}
		s.running.Kill()
		if err := s.start(ctx); err != nil {
			return changed, err
		}
	}
	return changed, nil
}

// judge reads everything, and answers how many dead letters came more than once.
func (s *stand) judge(ctx context.Context, n int) (twice int, err error) {
	good, err := s.read(ctx, killTopic)
	if err != nil {
		return 0, err
	}
	for partition := range partitions {
		next := partition
		for _, text := range good[int32(partition)] {
			for next%10 == 7 {
				next += partitions
			}
			if text != value(next) {
				return 0, fmt.Errorf("partition %d has %q, want %q", partition, text, value(next))
			}
			next += partitions
		}
		for next%10 == 7 {
			next += partitions
		}
		if next < n {
			return 0, fmt.Errorf("partition %d ends before %q", partition, value(next))
		}
	}
	dead, err := s.read(ctx, deadTopic)
	if err != nil {
		return 0, err
	}
	times := map[string]int{}
	for _, texts := range dead {
		for _, text := range texts {
			if !strings.HasPrefix(text, "bad ") {
				return 0, fmt.Errorf("%q is a dead letter", text)
			}
			if times[text]++; times[text] == 2 {
				twice++
			}
		}
	}
	for i := 7; i < n; i += 10 {
		if times[value(i)] == 0 {
			return twice, fmt.Errorf("the dead letter %q is lost", value(i))
		}
	}
	return twice, nil
}

// read is all values of a topic, by partition.
func (s *stand) read(ctx context.Context, topic string) (map[int32][]string, error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(s.address), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ends, err := kadm.NewClient(c).ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("end of %s: %w", topic, err)
	}
	got := map[int32][]string{}
	last := map[int32]int64{} // offset of the last record that is there: behind it there may be gaps
	for {
		left := false
		ends.Each(func(o kadm.ListedOffset) { left = left || last[o.Partition] < o.Offset })
		if !left {
			return got, nil
		}
		poll, cancel := context.WithTimeout(ctx, 2*time.Second)
		fetches := c.PollFetches(poll)
		cancel()
		if fetches.NumRecords() == 0 {
			return got, ctx.Err() // nothing but gaps
		}
		fetches.EachRecord(func(r *kgo.Record) {
			got[r.Partition] = append(got[r.Partition], string(r.Value))
			last[r.Partition] = r.Offset + 1
		})
	}
}
