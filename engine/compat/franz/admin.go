package franz

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/compat/report"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (c client) cluster(ctx context.Context) error {
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	m, err := a.BrokerMetadata(ctx)
	if err != nil {
		return err
	}
	if m.Cluster == "" || len(m.Brokers) != 1 || m.Controller != m.Brokers[0].NodeID {
		return fmt.Errorf("cluster %q with brokers %v and controller %d", m.Cluster, m.Brokers, m.Controller)
	}
	k, err := c.dial()
	if err != nil {
		return err
	}
	defer k.Close()
	described, err := kmsg.NewPtrDescribeClusterRequest().RequestWith(ctx, k)
	if err != nil {
		return err
	}
	if described.ErrorCode != 0 || described.ClusterID != m.Cluster || len(described.Brokers) != 1 {
		return fmt.Errorf("DescribeCluster: error %d, cluster %q, %d brokers", described.ErrorCode, described.ClusterID, len(described.Brokers))
	}
	versions, err := a.ApiVersions(ctx)
	if err != nil {
		return err
	}
	return versions[m.Brokers[0].NodeID].Err
}

// topics: made, made again, badly named, listed, deleted, and another one when made again.
func (c client) topics(ctx context.Context) error {
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	name := c.Name("topics")
	if _, err := a.ValidateCreateTopics(ctx, 3, 1, nil, name); err != nil {
		return fmt.Errorf("validate: %w", err)
	}
	made, err := a.CreateTopic(ctx, 3, -1, map[string]*string{"retention.ms": kadm.StringPtr("3600000")}, name)
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	for _, wrong := range []struct {
		name       string
		partitions int32
		replicas   int16
		configs    map[string]*string
		want       error
	}{
		{name, 3, 1, nil, kerr.TopicAlreadyExists},
		{"not/a/name", 1, 1, nil, kerr.InvalidTopicException},
		{c.Name("zero"), 0, 1, nil, kerr.InvalidPartitions},
		{c.Name("three"), 1, 3, nil, kerr.InvalidReplicationFactor},
		{c.Name("config"), 1, 1, map[string]*string{"no.such.thing": kadm.StringPtr("1")}, kerr.InvalidConfig},
	} {
		_, err := a.CreateTopic(ctx, wrong.partitions, wrong.replicas, wrong.configs, wrong.name)
		if err := want(err, wrong.want, "create "+wrong.name); err != nil {
			return err
		}
	}
	if err := led(ctx, a, name, 3); err != nil {
		return err
	}
	listed, err := a.ListTopics(ctx, name)
	if err != nil {
		return err
	}
	if t := listed[name]; t.ID != made.ID || t.ID == (kadm.TopicID{}) {
		return fmt.Errorf("listed %+v, created with id %v", t, made.ID)
	}
	if _, err := a.DeleteTopic(ctx, name); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	_, err = a.DeleteTopic(ctx, name)
	if err := want(err, kerr.UnknownTopicOrPartition, "delete again"); err != nil {
		return err
	}
	again, err := a.CreateTopic(ctx, 1, 1, nil, name)
	if err != nil {
		return fmt.Errorf("create again: %w", err)
	}
	if again.ID == made.ID {
		return fmt.Errorf("the new topic has the old one's id %v", made.ID)
	}
	return nil
}

// filled makes a topic with 100 records in one partition, and an admin client for the caller to close.
func (c client) filled(ctx context.Context, name string) (topic string, a *kadm.Client, err error) {
	if topic, err = c.topic(ctx, name, 1); err != nil {
		return "", nil, err
	}
	if err := c.send(ctx, numbered(topic, 0, 0, 100)); err != nil {
		return "", nil, err
	}
	a, err = c.admin()
	return topic, a, err
}

func (c client) partitions(ctx context.Context) error {
	topic, err := c.topic(ctx, "partitions", 2)
	if err != nil {
		return err
	}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	if r, err := a.UpdatePartitions(ctx, 5, topic); err != nil || r.Error() != nil {
		return fmt.Errorf("to 5 partitions: %w, %w", err, r.Error())
	}
	r, err := a.UpdatePartitions(ctx, 3, topic)
	if err != nil {
		return err
	}
	if err := want(r.Error(), kerr.InvalidPartitions, "to fewer partitions"); err != nil {
		return err
	}
	if err := led(ctx, a, topic, 5); err != nil {
		return err
	}
	if err := c.send(ctx, numbered(topic, 4, 0, 10)); err != nil {
		return fmt.Errorf("write to a new partition: %w", err)
	}
	_, err = c.readAll(ctx, topic, 5, 10)
	return err
}

// valueOf answers a setting of a topic and where it comes from.
func valueOf(ctx context.Context, a *kadm.Client, topic, key string) (string, kmsg.ConfigSource, error) {
	described, err := a.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return "", 0, err
	}
	for _, config := range described[0].Configs {
		if config.Key == key {
			return config.MaybeValue(), config.Source, described[0].Err
		}
	}
	return "", 0, fmt.Errorf("no setting %s among %d: %w", key, len(described[0].Configs), described[0].Err)
}

func (c client) configs(ctx context.Context) error {
	topic, err := c.topic(ctx, "configs", 1)
	if err != nil {
		return err
	}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	type state struct {
		value  string
		source kmsg.ConfigSource
	}
	const standard = "604800000"
	for _, step := range []struct {
		doing   string
		replace bool // AlterConfigs, which forgets what it does not name
		change  []kadm.AlterConfig
		fail    error
		want    state
	}{
		{doing: "at first", want: state{standard, kmsg.ConfigSourceDefaultConfig}},
		{doing: "set", change: []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("1234567")}},
			want: state{"1234567", kmsg.ConfigSourceDynamicTopicConfig}},
		{doing: "a value that is no number", change: []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("soon")}},
			fail: kerr.InvalidConfig, want: state{"1234567", kmsg.ConfigSourceDynamicTopicConfig}},
		{doing: "delete", change: []kadm.AlterConfig{{Op: kadm.DeleteConfig, Name: "retention.ms"}},
			want: state{standard, kmsg.ConfigSourceDefaultConfig}},
		{doing: "replace all", replace: true, change: []kadm.AlterConfig{{Name: "retention.ms", Value: kadm.StringPtr("7654321")}},
			want: state{"7654321", kmsg.ConfigSourceDynamicTopicConfig}},
		{doing: "replace all by another", replace: true, change: []kadm.AlterConfig{{Name: "max.message.bytes", Value: kadm.StringPtr("100000")}},
			want: state{standard, kmsg.ConfigSourceDefaultConfig}},
	} {
		if step.change != nil {
			alter := a.AlterTopicConfigs
			if step.replace {
				alter = a.AlterTopicConfigsState
			}
			r, err := alter(ctx, step.change, topic)
			if err != nil {
				return fmt.Errorf("%s: %w", step.doing, err)
			}
			if err := want(r[0].Err, step.fail, step.doing); err != nil {
				return err
			}
		}
		if err := report.Eventually(ctx, func() error {
			value, source, err := valueOf(ctx, a, topic, "retention.ms")
			if err != nil || (state{value, source}) != step.want {
				return fmt.Errorf("%s: retention.ms is %s from %v (%w), want %s from %v", step.doing, value, source, err, step.want.value, step.want.source)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	m, err := a.BrokerMetadata(ctx)
	if err != nil {
		return err
	}
	described, err := a.DescribeBrokerConfigs(ctx, m.Brokers[0].NodeID)
	if err != nil || described[0].Err != nil || len(described[0].Configs) < 50 {
		return fmt.Errorf("the broker's settings: %w, %w", err, described[0].Err)
	}
	return nil
}

func (c client) deleteRecords(ctx context.Context) error {
	topic, a, err := c.filled(ctx, "delete-records")
	if err != nil {
		return err
	}
	defer a.Close()
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 60, LeaderEpoch: -1})
	r, err := a.DeleteRecords(ctx, offsets)
	if err != nil {
		return err
	}
	if d, _ := r.Lookup(topic, 0); d.Err != nil || d.LowWatermark != 60 {
		return fmt.Errorf("low watermark %d (%w), want 60", d.LowWatermark, d.Err)
	}
	got, err := c.readAll(ctx, topic, 1, 40)
	if err != nil {
		return err
	}
	if got[0].Offset != 60 || string(got[0].Value) != "60" {
		return fmt.Errorf("the first record is %s at %d, want 60", got[0].Value, got[0].Offset)
	}
	offsets = nil
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 500, LeaderEpoch: -1})
	if r, err = a.DeleteRecords(ctx, offsets); err != nil {
		return err
	}
	return want(r.Error(), kerr.OffsetOutOfRange, "delete beyond the end")
}

// groups: listed, described with members and without, deleted when nobody is in.
func (c client) groups(ctx context.Context) error {
	g, err := c.crowd(ctx, "groups", kgo.Balancers(kgo.RangeBalancer()))
	if err != nil {
		return err
	}
	defer g.end()
	if err := g.join(ctx, "member"); err != nil {
		return err
	}
	if _, err := g.assigned(ctx, 1); err != nil {
		return err
	}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	listed, err := a.ListGroups(ctx, "Stable")
	if err != nil || listed[g.group].State != "Stable" || listed[g.group].ProtocolType != "consumer" {
		return fmt.Errorf("listed %+v: %w", listed[g.group], err)
	}
	described, err := a.DescribeGroups(ctx, g.group)
	if err != nil {
		return err
	}
	d := described[g.group]
	if d.Protocol != "range" || len(d.Members) != 1 || d.Members[0].ClientHost == "" || d.Members[0].ClientID != "member" {
		return fmt.Errorf("described %+v", d)
	}
	_, err = a.DeleteGroup(ctx, g.group)
	if err := want(err, kerr.NonEmptyGroup, "delete a group with a member"); err != nil {
		return err
	}
	if err := g.write(ctx, 0, 60); err != nil {
		return err
	}
	if err := g.Got(ctx, 60); err != nil {
		return err
	}
	g.part("member")
	if described, err = a.DescribeGroups(ctx, g.group); err != nil || described[g.group].State != "Empty" {
		return fmt.Errorf("after the last member left: %+v: %w", described[g.group], err)
	}
	if _, err := a.DeleteGroup(ctx, g.group); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	_, err = a.DeleteGroup(ctx, g.group)
	return want(err, kerr.GroupIDNotFound, "delete again")
}

func (c client) offsets(ctx context.Context) error {
	topic, a, err := c.filled(ctx, "offsets")
	if err != nil {
		return err
	}
	defer a.Close()
	for name, ask := range map[string]struct {
		list func(context.Context, ...string) (kadm.ListedOffsets, error)
		want int64
	}{
		"earliest": {a.ListStartOffsets, 0}, "latest": {a.ListEndOffsets, 100}, "latest committed": {a.ListCommittedOffsets, 100},
	} {
		l, err := ask.list(ctx, topic)
		if err != nil {
			return err
		}
		if o, _ := l.Lookup(topic, 0); o.Err != nil || o.Offset != ask.want {
			return fmt.Errorf("%s: offset %d (%w), want %d", name, o.Offset, o.Err, ask.want)
		}
	}
	return nil
}

// maxTime: the greatest timestamp need not be the last record's.
func (c client) maxTime(ctx context.Context) error {
	topic, err := c.topic(ctx, "max-time", 1)
	if err != nil {
		return err
	}
	late := numbered(topic, 0, 0, 3)
	for i, seconds := range []int64{1, 3, 2} {
		late[i].Timestamp = time.Now().Add(time.Duration(seconds) * time.Second)
	}
	if err := c.send(ctx, late); err != nil {
		return err
	}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	l, err := a.ListMaxTimestampOffsets(ctx, topic)
	if err != nil {
		return err
	}
	if o, _ := l.Lookup(topic, 0); o.Err != nil || o.Offset != 1 {
		return fmt.Errorf("greatest timestamp: offset %d (%w), want 1", o.Offset, o.Err)
	}
	return nil
}

// groupOffsets: set and deleted from outside, while nobody is in the group.
func (c client) groupOffsets(ctx context.Context) error {
	topic, err := c.topic(ctx, "group-offsets", 2)
	if err != nil {
		return err
	}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	group := c.Name("group-offsets")
	var offsets kadm.Offsets
	for p := range int32(2) {
		offsets.Add(kadm.Offset{Topic: topic, Partition: p, At: 10 + int64(p), LeaderEpoch: -1})
	}
	if err := a.CommitAllOffsets(ctx, group, offsets); err != nil {
		return err
	}
	gone := kadm.TopicsSet{}
	gone.Add(topic, 0)
	if r, err := a.DeleteOffsets(ctx, group, gone); err != nil || r.Error() != nil {
		return fmt.Errorf("delete an offset: %w, %w", err, r.Error())
	}
	fetched, err := a.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	if o, found := fetched.Lookup(topic, 0); found && o.At >= 0 {
		return fmt.Errorf("the deleted offset is still %d", o.At)
	}
	if o, _ := fetched.Lookup(topic, 1); o.At != 11 {
		return fmt.Errorf("the other offset is %d, want 11", o.At)
	}
	_, err = a.DeleteOffsets(ctx, c.Name("nobody"), gone)
	return want(err, kerr.GroupIDNotFound, "delete an offset of a group that is not")
}

func (c client) logDirs(ctx context.Context) error {
	topic, a, err := c.filled(ctx, "log-dirs")
	if err != nil {
		return err
	}
	defer a.Close()
	all, err := a.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return err
	}
	for _, dirs := range all {
		for _, d := range dirs {
			if p, found := d.Topics.Lookup(topic, 0); found && p.Size > 0 && d.TotalBytes > 0 && d.Err == nil {
				return nil
			}
		}
	}
	return fmt.Errorf("partition not found, or of no size, in %+v", all)
}

// epochs: where the leader's epoch ends, for a consumer that looks for truncation.
func (c client) epochs(ctx context.Context) error {
	topic, a, err := c.filled(ctx, "epochs")
	if err != nil {
		return err
	}
	defer a.Close()
	l, err := a.ListEndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	end, _ := l.Lookup(topic, 0)
	var q kadm.OffsetForLeaderEpochRequest
	q.Add(topic, 0, end.LeaderEpoch)
	r, err := a.OffsetForLeaderEpoch(ctx, q)
	if err != nil {
		return err
	}
	if e := r[topic][0]; e.Err != nil || e.EndOffset != 100 {
		return fmt.Errorf("epoch %d ends at %d (%w), want 100", end.LeaderEpoch, e.EndOffset, e.Err)
	}
	return nil
}
