package client_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/client"
)

// A broker that has not heard of a topic yet does not know its id, though the topic is the same:
// it is read on, and not begun anew where auto.offset.reset says.
func TestATopicThatABrokerDoesNotKnowYetIsReadOn(t *testing.T) {
	const unknownTopicID = 100
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	var left atomic.Int64 // fetches that are answered so
	cluster.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		q := r.(*kmsg.FetchRequest)
		if len(q.Topics) == 0 || left.Add(-1) < 0 {
			return nil, nil, false
		}
		a := q.ResponseKind().(*kmsg.FetchResponse)
		for _, asked := range q.Topics {
			topic := kmsg.NewFetchResponseTopic()
			topic.Topic, topic.TopicID = asked.Topic, asked.TopicID
			for _, p := range asked.Partitions {
				partition := kmsg.NewFetchResponseTopicPartition()
				partition.Partition, partition.ErrorCode = p.Partition, unknownTopicID
				topic.Partitions = append(topic.Partitions, partition)
			}
			a.Topics = append(a.Topics, topic)
		}
		return a, nil, true
	})
	c, err := client.NewConsumer(client.Config{"bootstrap.servers": cluster.ListenAddrs()[0], "auto.offset.reset": "latest", "retry.backoff.max.ms": "100"},
		client.ConsumerOptions[string, string]{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeIt(ctx, c)
	if err := c.Assign(at("t", 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Position(ctx, at("t", 0)); err != nil { // the end: nothing is there
		t.Fatal(err)
	}
	left.Store(20)
	plain, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.DefaultProduceTopic("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if err := plain.ProduceSync(ctx, kgo.StringRecord("a"), kgo.StringRecord("b"), kgo.StringRecord("c")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for len(got) < 3 {
		records, err := c.Poll(ctx, 100*time.Millisecond)
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		for _, r := range records {
			got = append(got, r.Value)
		}
	}
	if left.Load() > 0 {
		t.Errorf("%d fetches were not refused", left.Load())
	}
}
