package client_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client"
)

// filled is the address of a broker with a new topic of that many partitions and records.
func filled(topic string, partitions int32, records int) string {
	address := os.Getenv(peerVariable)
	if address == "" {
		address, _ = theBroker()
	}
	admin, err := client.NewAdmin(client.Config{"bootstrap.servers": address}, client.AdminOptions{})
	if err != nil {
		panic(err)
	}
	defer admin.Close()
	_ = admin.DeleteTopics(context.Background(), topic) // of an earlier run
	if err := admin.CreateTopics(context.Background(), client.NewTopic{Name: topic, Partitions: partitions}); err != nil {
		panic(err)
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic))
	if err != nil {
		panic(err)
	}
	defer c.Close()
	for i := range records {
		r := kgo.KeyStringRecord(fmt.Sprint("key ", i), fmt.Sprint("value ", i))
		r.Partition = int32(i) % partitions
		if err := c.ProduceSync(context.Background(), r).FirstErr(); err != nil {
			panic(err)
		}
	}
	return address
}

func ExampleConsumer() {
	ctx, topic := context.Background(), "example-consumer"
	address := filled(topic, 1, 3)

	consumer, err := client.NewConsumer(client.Config{
		"bootstrap.servers":  address,
		"group.id":           "example",
		"auto.offset.reset":  "earliest",
		"enable.auto.commit": "false",
	}, client.ConsumerOptions[string, string]{})
	if err != nil {
		panic(err)
	}

	if err := consumer.Subscribe([]string{topic}, nil); err != nil {
		panic(err)
	}
	for read := 0; read < 3; {
		records, err := consumer.Poll(ctx, time.Second)
		if err != nil {
			panic(err)
		}
		for _, r := range records {
			fmt.Println(r.Offset, r.Key, r.Value)
		}
		read += len(records)
		if err := consumer.CommitSync(ctx, nil); err != nil {
			panic(err)
		}
	}
	if err := consumer.Close(ctx); err != nil {
		panic(err)
	}
	// Output:
	// 0 key 0 value 0
	// 1 key 1 value 1
	// 2 key 2 value 2
}

func ExampleSubscriber_Seek() {
	ctx, topic := context.Background(), "example-seek"
	address := filled(topic, 1, 5)
	consumer, err := client.NewConsumer(client.Config{"bootstrap.servers": address}, client.ConsumerOptions[string, string]{})
	if err != nil {
		panic(err)
	}

	partition := sdk.TopicPartition{Topic: topic, Partition: 0}
	if err := consumer.Assign(partition); err != nil {
		panic(err)
	}
	if err := consumer.Seek(partition, 3); err != nil {
		panic(err)
	}
	records, err := consumer.Poll(ctx, 10*time.Second)
	fmt.Println(len(records), records[0].Value, err)
	fmt.Println(consumer.Close(ctx))
	// Output:
	// 2 value 3 <nil>
	// <nil>
}

func ExampleDeserializationError() {
	ctx, topic := context.Background(), "example-dead-letters"
	address := filled(topic, 1, 2)
	consumer, err := client.NewConsumer(client.Config{"bootstrap.servers": address, "auto.offset.reset": "earliest"},
		client.ConsumerOptions[string, int64]{}) // the values are text, not numbers
	if err != nil {
		panic(err)
	}
	if err := consumer.Assign(sdk.TopicPartition{Topic: topic, Partition: 0}); err != nil {
		panic(err)
	}
	for skipped := 0; skipped < 2; {
		_, err := consumer.Poll(ctx, time.Second)
		var bad *client.DeserializationError
		if errors.As(err, &bad) {
			fmt.Printf("offset %d: %q is put aside\n", bad.Offset, bad.Value)
			err = consumer.Seek(bad.TopicPartition, bad.Offset+1)
			skipped++
		}
		if err != nil {
			panic(err)
		}
	}
	if err := consumer.Close(ctx); err != nil {
		panic(err)
	}
	// Output:
	// offset 0: "value 0" is put aside
	// offset 1: "value 1" is put aside
}

// A consumer for each goroutine: the group deals out the partitions.
func ExampleConsumer_consumerPerGoroutine() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	topic := "example-goroutines"
	address := filled(topic, 4, 40)

	var read atomic.Int64
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			consumer, err := client.NewConsumer(client.Config{
				"bootstrap.servers": address, "group.id": "example-goroutines", "auto.offset.reset": "earliest",
			}, client.ConsumerOptions[string, string]{})
			if err != nil {
				panic(err)
			}
			if err := consumer.Subscribe([]string{topic}, nil); err != nil {
				panic(err)
			}
			for ctx.Err() == nil {
				records, err := consumer.Poll(ctx, time.Second)
				if err != nil && ctx.Err() == nil {
					panic(err)
				}
				if read.Add(int64(len(records))) == 40 {
					stop()
				}
			}
			if err := consumer.Close(context.Background()); err != nil { // commits and leaves
				panic(err)
			}
		})
	}
	all.Wait()
	fmt.Println("read", read.Load())
	// Output: read 40
}

// pool has one consumer, and a worker for each partition that has records. The records of
// a partition are processed in order; a partition is paused while its worker is at it; and
// an offset is committed when all before it have been processed, also when the partition
// goes to another member. Close must come after run has returned.
type pool struct {
	consumer *client.Consumer[string, string]
	process  func(*client.ConsumerRecord[string, string])
	working  map[sdk.TopicPartition]chan int64 // where each worker says how far it came
}

func (p *pool) run(ctx context.Context, topic string) error {
	p.working = map[sdk.TopicPartition]chan int64{}
	if err := p.consumer.Subscribe([]string{topic}, client.RebalanceFuncs{Revoked: p.finish, Lost: p.abandon}); err != nil {
		return err
	}
	for ctx.Err() == nil {
		records, err := p.consumer.Poll(ctx, 10*time.Millisecond)
		if err != nil && ctx.Err() == nil {
			return err
		}
		for len(records) > 0 { // the records of a partition stand together
			tp := sdk.TopicPartition{Topic: records[0].Topic, Partition: records[0].Partition}
			n := slices.IndexFunc(records, func(r *client.ConsumerRecord[string, string]) bool { return r.Partition != tp.Partition })
			if n < 0 {
				n = len(records)
			}
			if err := p.begin(tp, records[:n]); err != nil {
				return err
			}
			records = records[n:]
		}
		if err := p.commitDone(); err != nil {
			return err
		}
	}
	return nil
}

func (p *pool) begin(tp sdk.TopicPartition, records []*client.ConsumerRecord[string, string]) error {
	done := make(chan int64, 1)
	p.working[tp] = done
	go func() {
		for _, r := range records {
			p.process(r)
		}
		done <- records[len(records)-1].Offset + 1
	}()
	return p.consumer.Pause(tp)
}

// commitDone commits what workers have done, and lets their partitions go on.
func (p *pool) commitDone() error {
	offsets := map[sdk.TopicPartition]sdk.OffsetAndMetadata{}
	for tp, done := range p.working {
		select {
		case next := <-done:
			offsets[tp] = sdk.OffsetAndMetadata{Offset: next, LeaderEpoch: -1}
			delete(p.working, tp)
		default:
		}
	}
	if len(offsets) == 0 {
		return nil
	}
	if err := p.consumer.Resume(slices.Collect(maps.Keys(offsets))...); err != nil {
		return err
	}
	return p.consumer.CommitAsync(offsets, nil)
}

// finish waits for the workers of partitions that go, and commits what they have done.
func (p *pool) finish(ctx context.Context, partitions []sdk.TopicPartition) error {
	offsets := map[sdk.TopicPartition]sdk.OffsetAndMetadata{}
	for _, tp := range partitions {
		if done := p.working[tp]; done != nil {
			offsets[tp] = sdk.OffsetAndMetadata{Offset: <-done, LeaderEpoch: -1}
			delete(p.working, tp)
		}
	}
	return p.consumer.CommitSync(context.WithoutCancel(ctx), offsets)
}

// abandon waits for the workers of partitions that others have by now.
func (p *pool) abandon(_ context.Context, partitions []sdk.TopicPartition) error {
	for _, tp := range partitions {
		if done := p.working[tp]; done != nil {
			<-done
			delete(p.working, tp)
		}
	}
	return nil
}

// One consumer and a worker for each of its partitions.
func ExampleConsumer_workerPool() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	topic := "example-pool"
	address := filled(topic, 4, 40)
	consumer, err := client.NewConsumer(client.Config{
		"bootstrap.servers": address, "group.id": "example-pool", "auto.offset.reset": "earliest", "enable.auto.commit": "false",
	}, client.ConsumerOptions[string, string]{})
	if err != nil {
		panic(err)
	}
	var processed atomic.Int64
	p := &pool{consumer: consumer, process: func(*client.ConsumerRecord[string, string]) {
		if processed.Add(1) == 40 {
			stop()
		}
	}}
	if err := p.run(ctx, topic); err != nil {
		panic(err)
	}
	if err := consumer.Close(context.Background()); err != nil { // calls finish
		panic(err)
	}
	fmt.Println("processed", processed.Load())
	// Output: processed 40
}

func ExampleAdmin() {
	ctx := context.Background()
	admin, err := client.NewAdmin(client.Config{"bootstrap.servers": filled("example-admin", 3, 0)}, client.AdminOptions{})
	if err != nil {
		panic(err)
	}
	defer admin.Close()

	topics, err := admin.DescribeTopics(ctx, "example-admin")
	fmt.Println(len(topics["example-admin"].Partitions), err)
	err = admin.CreateTopics(ctx, client.NewTopic{Name: "example-admin"})
	fmt.Println(strings.HasPrefix(err.Error(), "create topic example-admin: TOPIC_ALREADY_EXISTS"))
	// Output:
	// 3 <nil>
	// true
}

// The pool of the example keeps the order of partitions and loses and repeats nothing,
// while another member comes and goes.
func TestThePoolOfTheExample(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	topic, group := a.topic(4), a.unique("g")
	for p := range int32(4) {
		a.produce(topic, p, numbers(0, 200)...)
	}
	var mu sync.Mutex
	next := map[int32]int64{}
	count := 0
	process := func(r *client.ConsumerRecord[string, string]) {
		mu.Lock()
		defer mu.Unlock()
		if r.Offset != next[r.Partition] {
			t.Errorf("partition %d: offset %d was processed, want %d", r.Partition, r.Offset, next[r.Partition])
		}
		next[r.Partition] = r.Offset + 1
		count++
	}
	var pools sync.WaitGroup
	member := func(ctx context.Context) {
		c := a.consumer("group.id", group, "max.poll.records", "20")
		pools.Go(func() {
			if err := (&pool{consumer: c, process: process}).run(ctx, topic); err != nil {
				t.Error(err)
			}
			if err := c.Close(a.ctx); err != nil {
				t.Error(err)
			}
		})
	}
	stays, stop := context.WithCancel(a.ctx)
	goes, leave := context.WithCancel(a.ctx)
	member(stays)
	member(goes)
	reach := func(want int) {
		a.eventually(fmt.Sprint(want, " records"), func() bool { mu.Lock(); defer mu.Unlock(); return count >= want })
	}
	reach(100)
	leave()
	reach(800)
	stop()
	pools.Wait()
	if count != 800 {
		t.Errorf("%d records were processed, want 800", count)
	}
	for p := range int32(4) {
		if got := a.committed(group, at(topic, p)); got != 200 {
			t.Errorf("offset %d of partition %d is committed, want 200", got, p)
		}
	}
}
