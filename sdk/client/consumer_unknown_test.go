package client_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/client"
	"github.com/millrace/millrace/sdk/kit"
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

// A name that was misspelt is waited for, as by Kafka's consumer, but not in silence.
func TestATopicThatNobodyHasIsSaid(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	address := kit.Start(t, kit.Options{Settings: map[string]string{"auto.create.topics.enable": "false"}, Topics: map[string]int32{"orders": 1}}).Address()
	for name, begin := range map[string]func(c *textConsumer) error{
		"subscribed": func(c *textConsumer) error { return c.Subscribe([]string{"orders", "odrers"}, nil) },
		"subscribed later": func(c *textConsumer) error {
			if err := c.Subscribe([]string{"orders"}, nil); err != nil {
				return err
			}
			if _, err := c.Poll(ctx, time.Millisecond); err != nil {
				return err
			}
			return c.Subscribe([]string{"orders", "odrers"}, nil)
		},
		"assigned": func(c *textConsumer) error { return c.Assign(at("orders", 0), at("odrers", 0), at("odrers", 1)) },
		"assigned later": func(c *textConsumer) error {
			if err := c.Assign(at("orders", 0)); err != nil {
				return err
			}
			if _, err := c.Poll(ctx, time.Millisecond); err != nil {
				return err
			}
			return c.Assign(at("orders", 0), at("odrers", 0), at("odrers", 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			said := &output{}
			c, err := client.NewConsumer(client.Config{"bootstrap.servers": address, "group.id": name}, client.ConsumerOptions[string, string]{Log: slog.New(slog.NewTextHandler(said, nil))})
			if err != nil {
				t.Fatal(err)
			}
			defer closeIt(ctx, c)
			if err := begin(c); err != nil {
				t.Fatal(err)
			}
			for !strings.Contains(said.String(), "it waits for it\" topic=odrers") {
				if _, err := c.Poll(ctx, 20*time.Millisecond); err != nil {
					t.Fatalf("%v: %s", err, said)
				}
			}
			if strings.Contains(said.String(), "topic=orders") || strings.Count(said.String(), "odrers") != 1 {
				t.Errorf("it says %s", said)
			}
		})
	}
}
