package sarama

import (
	"context"
	"errors"
	"fmt"

	kafka "github.com/IBM/sarama"
	"github.com/millrace/millrace/engine/compat/report"
)

func (c client) cluster(context.Context) error {
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	brokers, controller, err := a.DescribeCluster()
	if err != nil {
		return err
	}
	if len(brokers) != 1 || controller != brokers[0].ID() {
		return fmt.Errorf("%d brokers and controller %d", len(brokers), controller)
	}
	return nil
}

func (c client) topics(context.Context) error {
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	name := c.Name("topics")
	hour := "3600000"
	detail := &kafka.TopicDetail{NumPartitions: 3, ReplicationFactor: -1, ConfigEntries: map[string]*string{"retention.ms": &hour}}
	if err := a.CreateTopic(name, detail, true); err != nil {
		return fmt.Errorf("validate: %w", err)
	}
	if err := a.CreateTopic(name, detail, false); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	for _, wrong := range []struct {
		name   string
		detail kafka.TopicDetail
		want   kafka.KError
	}{
		{name, kafka.TopicDetail{NumPartitions: 3, ReplicationFactor: 1}, kafka.ErrTopicAlreadyExists},
		{"not/a/name", kafka.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, kafka.ErrInvalidTopic},
		{c.Name("zero"), kafka.TopicDetail{NumPartitions: 0, ReplicationFactor: 1}, kafka.ErrInvalidPartitions},
		{c.Name("three"), kafka.TopicDetail{NumPartitions: 1, ReplicationFactor: 3}, kafka.ErrInvalidReplicationFactor},
		{c.Name("config"), kafka.TopicDetail{NumPartitions: 1, ReplicationFactor: 1, ConfigEntries: map[string]*string{"no.such": &hour}}, kafka.ErrInvalidConfig},
	} {
		if err := want(a.CreateTopic(wrong.name, &wrong.detail, false), wrong.want, "create "+wrong.name); err != nil {
			return err
		}
	}
	if err := led(a, name, 3); err != nil {
		return err
	}
	listed, err := a.ListTopics()
	if err != nil {
		return err
	}
	if t := listed[name]; t.NumPartitions != 3 || t.ReplicationFactor != 1 || t.ConfigEntries["retention.ms"] == nil || *t.ConfigEntries["retention.ms"] != hour {
		return fmt.Errorf("listed %+v", t)
	}
	first, err := a.DescribeTopics([]string{name})
	if err != nil {
		return err
	}
	if err := a.DeleteTopic(name); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if err := want(a.DeleteTopic(name), kafka.ErrUnknownTopicOrPartition, "delete again"); err != nil {
		return err
	}
	if err := a.CreateTopic(name, detail, false); err != nil {
		return fmt.Errorf("create again: %w", err)
	}
	if err := led(a, name, 3); err != nil {
		return err
	}
	second, err := a.DescribeTopics([]string{name})
	if err != nil {
		return err
	}
	if first[0].Uuid == second[0].Uuid {
		return fmt.Errorf("the new topic has the old one's id %v", first[0].Uuid)
	}
	return nil
}

func (c client) partitions(ctx context.Context) error {
	topic, err := c.topic("partitions", 2)
	if err != nil {
		return err
	}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	if err := a.CreatePartitions(topic, 5, nil, false); err != nil {
		return fmt.Errorf("to 5 partitions: %w", err)
	}
	if err := a.CreatePartitions(topic, 3, nil, false); err == nil {
		return fmt.Errorf("to fewer partitions: no error")
	}
	if err := led(a, topic, 5); err != nil {
		return err
	}
	if err := c.send(config(), numbered(topic, 4, 0, 10)); err != nil {
		return fmt.Errorf("write to a new partition: %w", err)
	}
	_, err = c.read(ctx, topic, 4, 0, 10)
	return err
}

// describe answers one setting of a topic.
func describe(a kafka.ClusterAdmin, topic string) ([]kafka.ConfigEntry, error) {
	resource := &kafka.ConfigResource{Type: kafka.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}}
	results, err := a.DescribeConfigs([]*kafka.ConfigResource{resource}, kafka.DescribeConfigsOptions{IncludeSynonyms: true})
	if err != nil || len(results) != 1 {
		return nil, fmt.Errorf("%d answers: %w", len(results), err)
	}
	return results[0].Configs, nil
}

func (c client) configs(ctx context.Context) error {
	topic, err := c.topic("configs", 1)
	if err != nil {
		return err
	}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	expect := func(doing, value string, source kafka.ConfigSource) error {
		return report.Eventually(ctx, func() error {
			entries, err := describe(a, topic)
			if err != nil || len(entries) != 1 || entries[0].Value != value || entries[0].Source != source {
				return fmt.Errorf("%s: retention.ms is %+v (%w), want %s from %v", doing, entries, err, value, source)
			}
			return nil
		})
	}
	if err := expect("at first", "604800000", kafka.SourceDefault); err != nil {
		return err
	}
	first, second := "1234567", "100000"
	set := map[string]kafka.IncrementalAlterConfigsEntry{"retention.ms": {Operation: kafka.IncrementalAlterConfigsOperationSet, Value: &first}}
	if err := a.IncrementalAlterConfig(kafka.TopicResource, topic, set, false); err != nil {
		return fmt.Errorf("set: %w", err)
	}
	if err := expect("set", first, kafka.SourceTopic); err != nil {
		return err
	}
	if err := a.AlterConfig(kafka.TopicResource, topic, map[string]*string{"max.message.bytes": &second}, false); err != nil {
		return fmt.Errorf("replace all: %w", err)
	}
	return expect("replaced by another", "604800000", kafka.SourceDefault)
}

func (c client) deleteRecords(ctx context.Context) error {
	topic, err := c.topic("delete-records", 1)
	if err != nil {
		return err
	}
	if err := c.send(config(), numbered(topic, 0, 0, 100)); err != nil {
		return err
	}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	if err := a.DeleteRecords(topic, map[int32]int64{0: 60}); err != nil {
		return err
	}
	got, err := c.read(ctx, topic, 0, kafka.OffsetOldest, 40)
	if err != nil {
		return err
	}
	if got[0].Offset != 60 || string(got[0].Value) != "60" {
		return fmt.Errorf("the first record is %s at %d, want 60", got[0].Value, got[0].Offset)
	}
	_, err = c.read(ctx, topic, 0, 10, 1)
	return want(err, kafka.ErrOffsetOutOfRange, "read what was deleted")
}

func (c client) groups(ctx context.Context) error {
	topic, err := c.topic("groups", 6)
	if err != nil {
		return err
	}
	g := c.crowdOn(topic, "groups", config())
	defer g.end()
	if err := g.write(0, 60); err != nil {
		return err
	}
	if err := g.join(ctx, "member", ""); err != nil {
		return err
	}
	if err := g.Got(ctx, 60); err != nil {
		return err
	}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	listed, err := a.ListConsumerGroups()
	if err != nil || listed[g.group] != "consumer" {
		return fmt.Errorf("listed as %q: %w", listed[g.group], err)
	}
	described, err := a.DescribeConsumerGroups([]string{g.group})
	if err != nil || described[0].State != "Stable" || described[0].Protocol != "range" || len(described[0].Members) != 1 {
		return fmt.Errorf("described %+v: %w", described, err)
	}
	if err := want(a.DeleteConsumerGroup(g.group), kafka.ErrNonEmptyGroup, "delete a group with a member"); err != nil {
		return err
	}
	g.part("member")
	if err := a.DeleteConsumerGroup(g.group); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return want(a.DeleteConsumerGroup(g.group), kafka.ErrGroupIDNotFound, "delete again")
}

func (c client) offsets(context.Context) error {
	topic, err := c.topic("offsets", 1)
	if err != nil {
		return err
	}
	messages := numbered(topic, 0, 0, 103)
	if err := c.send(config(), messages); err != nil {
		return err
	}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	for at, wanted := range map[int64]int64{kafka.OffsetOldest: 0, kafka.OffsetNewest: 103} {
		listed, err := a.ListOffsets(map[string]map[int32]int64{topic: {0: at}}, nil)
		if err != nil {
			return err
		}
		if o := listed[topic][0]; !errors.Is(o.Err, kafka.ErrNoError) || o.Offset != wanted {
			return fmt.Errorf("offset for %d is %d (%w), want %d", at, o.Offset, o.Err, wanted)
		}
	}
	return nil
}

func (c client) groupOffsets(context.Context) error {
	topic, err := c.topic("group-offsets", 2)
	if err != nil {
		return err
	}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	group := c.Name("group-offsets")
	set := map[string]map[int32]kafka.OffsetAndMetadata{topic: {0: {Offset: 10, LeaderEpoch: -1}, 1: {Offset: 11, LeaderEpoch: -1}}}
	if _, err := a.AlterConsumerGroupOffsets(group, set, nil); err != nil {
		return err
	}
	if err := a.DeleteConsumerGroupOffset(group, topic, 0); err != nil {
		return fmt.Errorf("delete an offset: %w", err)
	}
	fetched, err := a.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0, 1}})
	if err != nil {
		return err
	}
	if gone, kept := fetched.GetBlock(topic, 0), fetched.GetBlock(topic, 1); gone.Offset != -1 || kept.Offset != 11 {
		return fmt.Errorf("offsets are %d and %d, want -1 and 11", gone.Offset, kept.Offset)
	}
	return nil
}

func (c client) logDirs(context.Context) error {
	topic, err := c.topic("log-dirs", 1)
	if err != nil {
		return err
	}
	if err := c.send(config(), numbered(topic, 0, 0, 100)); err != nil {
		return err
	}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	brokers, _, err := a.DescribeCluster()
	if err != nil {
		return err
	}
	dirs, err := a.DescribeLogDirs([]int32{brokers[0].ID()})
	if err != nil {
		return err
	}
	for _, d := range dirs[brokers[0].ID()] {
		for _, t := range d.Topics {
			if t.Topic == topic && len(t.Partitions) == 1 && t.Partitions[0].Size > 0 {
				return nil
			}
		}
	}
	return fmt.Errorf("partition not found, or of no size, in %+v", dirs)
}
