package client_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client"
)

func (a *arena) admin() *client.Admin {
	a.Helper()
	admin, err := client.NewAdmin(client.Config{"bootstrap.servers": a.address}, client.AdminOptions{})
	a.must(err)
	a.Cleanup(admin.Close)
	return admin
}

func TestAdminTopics(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	admin := a.admin()
	one, two := a.unique("one"), a.unique("two")
	a.must(admin.CreateTopics(a.ctx, client.NewTopic{Name: one, Partitions: 2, Replicas: 1, Configs: map[string]string{"retention.ms": "1000"}}, client.NewTopic{Name: two}))
	err := admin.CreateTopics(a.ctx, client.NewTopic{Name: one}, client.NewTopic{Name: "no good name"})
	if !errors.Is(err, kerr.TopicAlreadyExists) || !errors.Is(err, kerr.InvalidTopicException) || !strings.Contains(err.Error(), "create topic "+one+": ") {
		t.Errorf("creating one that is there and one that cannot be: %v", err)
	}
	a.must(admin.CreatePartitions(a.ctx, map[string]int32{one: 3}))
	if err := admin.CreatePartitions(a.ctx, map[string]int32{one: 1}); !errors.Is(err, kerr.InvalidPartitions) {
		t.Errorf("fewer partitions: %v", err)
	}
	a.eventually("three partitions", func() bool {
		d, err := admin.DescribeTopics(a.ctx, one)
		return err == nil && len(d[one].Partitions) == 3 && d[one].Partitions[2].Leader >= 0 && len(d[one].Partitions[2].InSync) == 1
	})
	d, err := admin.DescribeTopics(a.ctx, one, "nowhere")
	if !errors.Is(err, kerr.UnknownTopicOrPartition) || len(d) != 1 || d[one].ID == [16]byte{} {
		t.Errorf("describing one that is there and one that is not: %v, %v", d, err)
	}
	names := func(internal bool) (all []string) {
		list, err := admin.ListTopics(a.ctx, internal)
		a.must(err)
		for _, l := range list {
			all = append(all, l.Name)
		}
		return all
	}
	if all := names(false); !slices.Contains(all, one) || !slices.IsSorted(all) || slices.Contains(all, "__consumer_offsets") {
		t.Errorf("the topics are %q", all)
	}
	a.must(admin.DeleteTopics(a.ctx, one))
	if err := admin.DeleteTopics(a.ctx, "nowhere"); !errors.Is(err, kerr.UnknownTopicOrPartition) || !strings.Contains(err.Error(), "delete topic nowhere") {
		t.Errorf("deleting what is not there: %v", err)
	}
	a.eventually("the end of a topic", func() bool { return !slices.Contains(names(false), one) })
}

func TestAdminConfigs(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	admin, topic := a.admin(), a.topic(1)
	r := client.TopicResource(topic)
	a.must(admin.IncrementalAlterConfigs(a.ctx, map[client.ConfigResource][]client.AlterConfigOp{r: {client.SetConfig("retention.ms", "12345"), client.SetConfig("segment.bytes", "1048576")}}))
	a.must(admin.IncrementalAlterConfigs(a.ctx, map[client.ConfigResource][]client.AlterConfigOp{r: {client.DeleteConfig("segment.bytes")}}))
	a.eventually("one changed setting", func() bool {
		all, err := admin.DescribeConfigs(a.ctx, r)
		a.must(err)
		value := map[string]string{}
		for _, c := range all[r] {
			value[c.Name] = c.Value
		}
		return value["retention.ms"] == "12345" && value["segment.bytes"] == "1073741824" && value["cleanup.policy"] == "delete"
	})
	err := admin.IncrementalAlterConfigs(a.ctx, map[client.ConfigResource][]client.AlterConfigOp{r: {client.SetConfig("retention.ms", "soon")}})
	if !errors.Is(err, kerr.InvalidConfig) || !strings.Contains(err.Error(), "retention.ms") {
		t.Errorf("a value that is none: %v", err)
	}
}

func TestAdminGroups(t *testing.T) {
	protocols(t, func(a *arena, group ...string) {
		admin, topic, id := a.admin(), a.topic(2), group[3]
		a.produce(topic, 0, "0")
		c := a.consumer(append(group, "client.id", "someone")...)
		a.must(c.Subscribe([]string{topic}, nil))
		a.expect(c, "0")
		a.must(c.CommitSync(a.ctx, offsets(at(topic, 0), 1)))
		d, err := admin.DescribeConsumerGroups(a.ctx, id)
		a.must(err)
		g := d[id]
		if g.Type != group[1] || g.State != "Stable" || len(g.Members) != 1 || g.Members[0].ClientID != "someone" || len(g.Members[0].Assignment) != 2 {
			a.Errorf("the group is %+v", g)
		}
		list, err := admin.ListGroups(a.ctx)
		a.must(err)
		if !slices.ContainsFunc(list, func(l client.GroupListing) bool { return l.ID == id && strings.EqualFold(l.Type, group[1]) }) {
			a.Errorf("the groups are %+v", list)
		}
		if err := admin.DeleteConsumerGroups(a.ctx, id); !errors.Is(err, kerr.NonEmptyGroup) {
			a.Errorf("deleting a group with a member: %v", err)
		}
		a.must(c.Close(a.ctx))
		want := map[sdk.TopicPartition]sdk.OffsetAndMetadata{at(topic, 0): {Offset: 7, LeaderEpoch: -1, Metadata: "note"}, at(topic, 1): {Offset: 8, LeaderEpoch: -1}}
		a.must(admin.AlterConsumerGroupOffsets(a.ctx, id, want))
		if got, err := admin.ListConsumerGroupOffsets(a.ctx, id); err != nil || !maps.Equal(got, want) {
			a.Errorf("the offsets are %v, %v, want %v", got, err, want)
		}
		a.must(admin.DeleteConsumerGroupOffsets(a.ctx, id, at(topic, 1)))
		if got, err := admin.ListConsumerGroupOffsets(a.ctx, id); err != nil || len(got) != 1 {
			a.Errorf("the offsets are %v, %v, want one", got, err)
		}
		a.must(admin.DeleteConsumerGroups(a.ctx, id))
		if err := admin.DeleteConsumerGroups(a.ctx, id); !errors.Is(err, kerr.GroupIDNotFound) {
			a.Errorf("deleting a group that is not there: %v", err)
		}
	})
}

func TestAdminRecordsAndFolders(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	admin, topic := a.admin(), a.topic(1)
	base := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for i := range 5 {
		a.must(a.plain.ProduceSync(a.ctx, &kgo.Record{Topic: topic, Value: []byte("v"), Timestamp: base.Add(time.Duration(i) * time.Second)}).FirstErr())
	}
	begin, err := admin.DeleteRecords(a.ctx, map[sdk.TopicPartition]int64{at(topic, 0): 2})
	if err != nil || begin[at(topic, 0)] != 2 {
		t.Errorf("after the deletion of two records the partition begins at %v, %v", begin, err)
	}
	if _, err := admin.DeleteRecords(a.ctx, map[sdk.TopicPartition]int64{at(topic, 0): 99}); !errors.Is(err, kerr.OffsetOutOfRange) || !strings.Contains(err.Error(), topic+"-0") {
		t.Errorf("deleting records that are not there: %v", err)
	}
	for place, want := range map[client.OffsetSpec]int64{client.Earliest: 2, client.Latest: 5, client.MaxTimestamp: 4, client.TimeSpec(base.Add(3 * time.Second)): 3, client.TimeSpec(time.UnixMilli(-1)): 2} {
		got, err := admin.ListOffsets(a.ctx, map[sdk.TopicPartition]client.OffsetSpec{at(topic, 0): place})
		if err != nil || got[at(topic, 0)].Offset != want {
			t.Errorf("place %d is %+v, %v, want offset %d", place, got, err, want)
		}
	}
	none := a.unique("none")
	some, err := admin.ListOffsets(a.ctx, map[sdk.TopicPartition]client.OffsetSpec{at(topic, 0): client.Latest, at(topic, 7): client.Latest, at(none, 0): client.Latest})
	if len(some) != 1 || some[at(topic, 0)].Offset != 5 {
		t.Errorf("of three places two of which there are not: %v", some)
	}
	if !errors.Is(err, kerr.UnknownTopicOrPartition) || !strings.Contains(err.Error(), topic+"-7") || !strings.Contains(err.Error(), none+"-0") {
		t.Errorf("the other two: %v", err)
	}
	dirs, err := admin.DescribeLogDirs(a.ctx)
	if err != nil || !slices.ContainsFunc(dirs, func(d client.LogDir) bool { return d.Replicas[at(topic, 0)] > 0 }) {
		t.Errorf("the folders are %+v, %v", dirs, err)
	}
}

func TestAdminClusterAndFeatures(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	admin := a.admin()
	c, err := admin.DescribeCluster(a.ctx)
	if err != nil || c.ID == "" || len(c.Nodes) != 1 || fmt.Sprintf("%s:%d", c.Nodes[0].Host, c.Nodes[0].Port) != a.address {
		t.Errorf("the cluster is %+v, %v", c, err)
	}
	f, err := admin.DescribeFeatures(a.ctx)
	if err != nil || f.Finalized["group.version"].Max != 1 || f.Supported["transaction.version"].Max < 2 {
		t.Errorf("its features are %+v, %v", f, err)
	}
	if err := admin.UpdateFeatures(a.ctx, client.Upgrade, map[string]int16{"group.version": 99}); err == nil {
		t.Error("a version that there is not is no error")
	}
}

func TestAdminTransactions(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	admin, topic, id := a.admin(), a.topic(1), a.unique("x")
	p, err := kgo.NewClient(kgo.SeedBrokers(a.address), kgo.TransactionalID(id), kgo.DefaultProduceTopic(topic))
	a.must(err)
	defer p.Close()
	a.must(p.BeginTransaction())
	a.must(p.ProduceSync(a.ctx, kgo.StringRecord("open")).FirstErr())
	d, err := admin.DescribeTransactions(a.ctx, id)
	if err != nil || d[id].State != "Ongoing" || len(d[id].Partitions) != 1 || d[id].Started.IsZero() {
		t.Errorf("the transaction is %+v, %v", d, err)
	}
	list, err := admin.ListTransactions(a.ctx, "Ongoing")
	if err != nil || !slices.ContainsFunc(list, func(l client.TransactionListing) bool { return l.TransactionalID == id }) {
		t.Errorf("open are %+v, %v", list, err)
	}
	all, err := admin.DescribeProducers(a.ctx, at(topic, 0))
	if err != nil || len(all[at(topic, 0)]) != 1 || all[at(topic, 0)][0].TransactionStart != 0 || all[at(topic, 0)][0].ProducerID != d[id].ProducerID {
		t.Fatalf("the producers are %+v, %v", all, err)
	}
	a.must(admin.AbortTransaction(a.ctx, at(topic, 0), all[at(topic, 0)][0]))
	all, err = admin.DescribeProducers(a.ctx, at(topic, 0))
	if err != nil || all[at(topic, 0)][0].TransactionStart != -1 {
		t.Errorf("after it was aborted the producers are %+v, %v", all, err)
	}
	if _, err := admin.DescribeTransactions(a.ctx, "nowhere"); !errors.Is(err, kerr.TransactionalIDNotFound) {
		t.Errorf("a transactional id that is not there: %v", err)
	}
}

func TestAdminSaysWhatItWasDoing(t *testing.T) {
	t.Parallel()
	admin, err := client.NewAdmin(client.Config{"bootstrap.servers": "127.0.0.1:1", "default.api.timeout.ms": "100"}, client.AdminOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if _, err := admin.ListTopics(t.Context(), false); err == nil || !strings.HasPrefix(err.Error(), "list topics: ") {
		t.Errorf("no broker answers: %v", err)
	}
}
