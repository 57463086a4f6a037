package client_test

import (
	"context"
	"testing"
	"time"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client"
	"github.com/millrace/millrace/sdk/serde/avro"
	"github.com/millrace/millrace/sdk/serde/registry/registrytest"
)

// A program that reads, and writes what it made of it with the offsets of what it read in
// one transaction; what is aborted is read again.
func TestConsumerInATransactionOfAProducer(t *testing.T) {
	protocols(t, func(a *arena, group ...string) {
		in, out := a.topic(1), a.topic(1)
		a.produce(in, 0, numbers(0, 4)...)
		producer, err := client.NewProducer[string, string](client.Config{"bootstrap.servers": a.address, "transactional.id": a.unique("x")}, client.ProducerOptions[string, string]{})
		a.must(err)
		a.Cleanup(func() {
			if err := producer.Close(context.Background()); err != nil {
				a.Error(err)
			}
		})
		a.must(producer.InitTransactions(a.ctx))
		c := a.consumer(append(group, "isolation.level", "read_committed", "max.poll.records", "2")...)
		a.must(c.Subscribe([]string{in}, nil))
		for step, commit := range []bool{true, false, true} {
			a.must(producer.BeginTransaction())
			offsets := map[sdk.TopicPartition]sdk.OffsetAndMetadata{}
			for _, r := range a.read(c, 2) {
				_, err := producer.Send(a.ctx, &client.ProducerRecord[string, string]{Topic: out, Value: "out " + r.Value}).Get(a.ctx)
				a.must(err)
				offsets[at(r.Topic, r.Partition)] = sdk.OffsetAndMetadata{Offset: r.Offset + 1, LeaderEpoch: -1}
			}
			m, err := c.GroupMetadata()
			a.must(err)
			a.must(producer.SendOffsetsToTransaction(a.ctx, offsets, m))
			if commit {
				a.must(producer.CommitTransaction(a.ctx))
				continue
			}
			a.must(producer.AbortTransaction(a.ctx))
			back, err := c.Committed(a.ctx, at(in, 0))
			if err != nil || back[at(in, 0)].Offset != 2 {
				a.Fatalf("after step %d %v is committed, %v, want 2", step, back, err)
			}
			a.must(c.Seek(at(in, 0), back[at(in, 0)].Offset))
		}
		result := a.consumer("isolation.level", "read_committed")
		a.must(result.Assign(at(out, 0)))
		a.expect(result, "out 0", "out 1", "out 2", "out 3")
		a.none(result, "what was aborted is not read")
	})
}

type measure struct {
	Name string `avro:"name"`
}

func init() { avro.Register[measure]("") }

// Keys that say themselves how they are written, and values with a schema registry, by the
// settings of producer and consumer alone.
func TestSerializersByName(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	topic, schemas := a.topic(1), registrytest.Start(t)
	p, err := client.NewProducer[int64, measure](client.Config{"bootstrap.servers": a.address, "schema.registry.url": schemas.URL, "value.serializer": "avro-registry"}, client.ProducerOptions[int64, measure]{})
	a.must(err)
	_, err = p.Send(a.ctx, &client.ProducerRecord[int64, measure]{Topic: topic, Key: 7, Value: measure{"m"}}).Get(a.ctx)
	a.must(err)
	a.must(p.Close(a.ctx))
	c, err := client.NewConsumer(client.Config{"bootstrap.servers": a.address, "schema.registry.url": schemas.URL, "value.deserializer": "avro-registry", "auto.offset.reset": "earliest"},
		client.ConsumerOptions[int64, measure]{})
	a.must(err)
	a.must(c.Assign(at(topic, 0)))
	var records []*client.ConsumerRecord[int64, measure]
	for len(records) == 0 {
		records, err = c.Poll(a.ctx, time.Second)
		a.must(err)
	}
	if r := records[0]; r.Key != 7 || r.Value.Name != "m" || r.KeySize != 8 || r.ValueSize != 7 {
		t.Errorf("read is %+v", r)
	}
	if got := schemas.Subjects(); len(got) != 1 || got[0] != topic+"-value" {
		t.Errorf("the subjects are %q", got)
	}
	a.must(c.Close(a.ctx))
}
