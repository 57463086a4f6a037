package client_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client"
)

var errRude = errors.New("as rude as can be")

// panicky panics wherever it is asked anything, once it shall.
type panicky struct{ now *bool }

func (p panicky) panic() {
	if *p.now {
		panic(errRude)
	}
}

func (p panicky) Append(dst []byte, _ string, _ *[]sdk.Header, v string) ([]byte, error) {
	p.panic()
	return append(dst, v...), nil
}

func (p panicky) Decode(_ string, _ []sdk.Header, data []byte) (string, error) {
	p.panic()
	return string(data), nil
}

func (p panicky) Partition(*sdk.Placement) int32 {
	p.panic()
	return 0
}

func (p panicky) OnNewBatch(string, int32) { panic(errRude) }

// A panic of a callback, serializer or partitioner fails what it was for, and nothing else.
func TestProducersOutliveTheirProgramsPanics(t *testing.T) {
	for _, engine := range []string{client.EngineNative, client.EngineKgo} {
		t.Run(engine, func(t *testing.T) {
			said := &output{}
			var serializer, partitioner bool
			p := valuesProducer(t, client.Config{"bootstrap.servers": kitBroker(t, nil), "client.engine": engine, "linger.ms": "0", "batch.size": "0", "max.request.size": "10000"},
				client.ProducerOptions[string, string]{ValueSerializer: panicky{&serializer}, Partitioner: panicky{&partitioner}, Log: slog.New(slog.NewTextHandler(said, nil))})
			heard := make(chan error, 10)
			rude := func(_ sdk.RecordMetadata, err error) {
				heard <- err
				panic(errRude)
			}
			good := &client.ProducerRecord[string, string]{Topic: "t", Value: strings.Repeat("good ", 60)}
			for range 3 {
				p.SendFunc(t.Context(), good, rude)
			}
			p.SendFunc(t.Context(), &client.ProducerRecord[string, string]{Topic: "t", Value: strings.Repeat("x", 20_000)}, rude) // told at once
			if err := p.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(heard) != 4 || p.CallbackPanics() < 7 { // and OnNewBatch
				t.Errorf("%d callbacks were called, %d panics counted", len(heard), p.CallbackPanics())
			}
			if !strings.Contains(said.String(), "as rude as can be") || !strings.Contains(said.String(), "guard_test.go") || !strings.Contains(said.String(), "OnNewBatch") {
				t.Errorf("the log does not say who panicked, and where: %s", said)
			}
			for what, now := range map[string]*bool{"value.serializer": &serializer, "choose a partition": &partitioner} {
				*now = true
				_, err := p.Send(t.Context(), good).Get(t.Context())
				*now = false
				var panicked *client.PanicError
				if !errors.As(err, &panicked) || !errors.Is(err, errRude) || !strings.Contains(err.Error(), what) || !strings.Contains(string(panicked.Stack), "guard_test.go") {
					t.Errorf("%s panics, and the sender is told %v", what, err)
				}
			}
			if where, err := p.Send(t.Context(), good).Get(t.Context()); err != nil || where.Offset != 3 {
				t.Errorf("the record after that is at offset %d: %v", where.Offset, err)
			}
		})
	}
}

// A panic of a listener or deserializer is what Poll says, one of a callback is logged, and the
// consumer goes on.
func TestConsumerOutlivesItsProgramsPanics(t *testing.T) {
	protocols(t, func(a *arena, group ...string) {
		topic := a.topic(1)
		a.produce(topic, 0, "0", "1")
		var unread bool
		said := &output{}
		c := a.consumerWith(client.ConsumerOptions[string, string]{ValueDeserializer: panicky{&unread}, Log: slog.New(slog.NewTextHandler(said, nil))}, append(group, "max.poll.records", "1")...)
		saying := func(want any) (err error) {
			for err == nil && a.ctx.Err() == nil {
				_, err = c.Poll(a.ctx, 100*time.Millisecond)
			}
			var panicked *client.PanicError
			if !errors.As(err, want) || !errors.As(err, &panicked) || !strings.Contains(string(panicked.Stack), "guard_test.go") {
				a.Errorf("Poll says %v", err)
			}
			return err
		}
		a.must(c.Subscribe([]string{topic}, client.RebalanceFuncs{Assigned: func(context.Context, []sdk.TopicPartition) error { panic(errRude) }}))
		if err := saying(new(*client.PanicError)); !strings.Contains(err.Error(), "partitions assigned: it panicked: as rude as can be") {
			a.Errorf("Poll says %v", err)
		}
		a.expect(c, "0")
		unread = true
		var failed *client.DeserializationError
		if err := saying(&failed); failed == nil || failed.Offset != 1 || string(failed.Value) != "1" {
			a.Errorf("Poll says %v", err)
		}
		unread = false
		called := 0
		a.must(c.CommitAsync(nil, func(map[sdk.TopicPartition]sdk.OffsetAndMetadata, error) {
			called++
			panic(errRude)
		}))
		a.must(c.CommitSync(a.ctx, nil))
		if called != 1 || c.CallbackPanics() != 1 || !strings.Contains(said.String(), "what=callback") {
			a.Errorf("the callback was called %d times, %d panics were counted: %s", called, c.CallbackPanics(), said)
		}
		a.expect(c, "1")
	})
}

type panickyAssignor struct{ dealt }

func (panickyAssignor) UserData([]string, []sdk.TopicPartition) []byte { panic(errRude) }

func (panickyAssignor) Assign([]sdk.GroupMember, map[string]int32) (map[string][]sdk.TopicPartition, error) {
	panic(errRude)
}

func TestConsumerSaysThatItsAssignorPanicked(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	said := &output{}
	c := a.consumerWith(client.ConsumerOptions[string, string]{Assignors: []sdk.Assignor{panickyAssignor{dealt{name: "panicky"}}}, Log: slog.New(slog.NewTextHandler(said, nil))}, "group.id", a.unique("g"))
	a.must(c.Subscribe([]string{a.topic(1)}, nil))
	var err error
	for err == nil {
		_, err = c.Poll(a.ctx, 100*time.Millisecond)
	}
	if !strings.Contains(err.Error(), "as rude as can be") {
		t.Errorf("Poll says %v", err)
	}
	if !strings.Contains(said.String(), "UserData of assignor panicky") {
		t.Errorf("the log does not say that the member joins without its data: %s", said)
	}
}

// tool is everything that a client can be given, and counts how often it is closed.
type tool struct {
	panicky
	sdk.Nop
	looking
	dealt
	closed atomic.Int32
}

func newTool() *tool { return &tool{panicky: panicky{new(bool)}, dealt: dealt{name: "tool"}} }

func (t *tool) Close() error {
	t.closed.Add(1)
	return errRude
}

// looking is interceptors that look on.
type looking struct{}

func (looking) OnSend(*sdk.Record) error                              { return nil }
func (looking) OnAck(sdk.RecordMetadata, error)                       {}
func (looking) OnConsume(all []*sdk.Record) ([]*sdk.Record, error)    { return all, nil }
func (looking) OnCommit(map[sdk.TopicPartition]sdk.OffsetAndMetadata) {}

// tools are one for each place, and one for several.
type tools struct{ key, value, partitioner, record, batches, assignor, several *tool }

func newTools() *tools {
	return &tools{newTool(), newTool(), newTool(), newTool(), newTool(), newTool(), newTool()}
}

func (all *tools) producer() client.ProducerOptions[string, string] {
	return client.ProducerOptions[string, string]{KeySerializer: all.key, ValueSerializer: all.value, Partitioner: all.partitioner,
		Interceptors: []sdk.ProducerInterceptor{all.record, all.several}, BatchInterceptors: []sdk.Interceptor{all.batches, all.several}}
}

func (all *tools) consumer() client.ConsumerOptions[string, string] {
	return client.ConsumerOptions[string, string]{KeyDeserializer: all.key, ValueDeserializer: all.value, Assignors: []sdk.Assignor{all.assignor},
		Interceptors: []sdk.ConsumerInterceptor{all.record, all.several}, BatchInterceptors: []sdk.Interceptor{all.batches, all.several}}
}

// closed is how often each was.
func (all *tools) closed() (counts [7]int32) {
	for n, one := range []*tool{all.key, all.value, all.record, all.batches, all.several, all.partitioner, all.assignor} {
		counts[n] = one.closed.Load()
	}
	return counts
}

// What a client was given it closes, each once.
func TestClientsCloseWhatTheyWereGiven(t *testing.T) {
	config := client.Config{"bootstrap.servers": nullBroker(t, 1)}
	ofProducer, ofConsumer := newTools(), newTools()
	p, err := client.NewProducer(config, ofProducer.producer())
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.NewConsumer(config, ofConsumer.consumer())
	if err != nil {
		t.Fatal(err)
	}
	for _, closing := range []func(context.Context) error{p.Close, c.Close} {
		if err := closing(t.Context()); !errors.Is(err, errRude) {
			t.Errorf("what they say when they are closed is not told: %v", err)
		}
		if err := closing(t.Context()); err != nil {
			t.Errorf("closed again: %v", err)
		}
	}
	if got := ofProducer.closed(); got != [7]int32{1, 1, 1, 1, 1, 1, 0} {
		t.Errorf("the producer closed them %v times", got)
	}
	if got := ofConsumer.closed(); got != [7]int32{1, 1, 1, 1, 1, 0, 1} {
		t.Errorf("the consumer closed them %v times", got)
	}
}

// late is an interceptor that takes its time, and counts what it is told until it is closed.
type late struct {
	looking
	leave        chan struct{}
	told, before atomic.Int32
}

func (l *late) OnAck(sdk.RecordMetadata, error) {
	<-l.leave
	l.told.Add(1)
}

func (l *late) Close() error {
	l.before.Store(l.told.Load())
	return nil
}

// What a producer was given is not closed before it has been told of all records, though Close has
// given up waiting for brokers.
func TestWhatIsStillCalledIsNotClosed(t *testing.T) {
	for _, engine := range []string{client.EngineNative, client.EngineKgo} {
		t.Run(engine, func(t *testing.T) {
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Close()
			cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				return nil, errRude, true
			})
			l := &late{leave: make(chan struct{})}
			p, err := client.NewProducer(client.Config{"bootstrap.servers": cluster.ListenAddrs()[0], "client.engine": engine},
				client.ProducerOptions[string, string]{Interceptors: []sdk.ProducerInterceptor{l}, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			const records = 20
			for range records {
				if err := p.Fire(t.Context(), &client.ProducerRecord[string, string]{Topic: "t"}); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			time.AfterFunc(200*time.Millisecond, func() { close(l.leave) })
			if err := p.Close(ctx); err == nil {
				t.Error("no records were left")
			}
			if n := l.before.Load(); n != records {
				t.Errorf("it was told of %d of %d records before it was closed", n, records)
			}
		})
	}
}

// What a client is given that cannot be made stays the program's.
func TestClientsThatAreNotMadeCloseNothingThatTheyWereGiven(t *testing.T) {
	good := client.Config{"bootstrap.servers": "127.0.0.1:1"}
	all := newTools()
	for _, bad := range []client.Config{good.With("linger.ms", "soon"), good.With("interceptor.classes", "nobody"), good.With("interceptors", "nobody"), good.With("client.engine", "kgo")} {
		if _, err := client.NewProducer(bad, all.producer()); err == nil {
			t.Errorf("there is a producer of %v", bad)
		}
	}
	for _, bad := range []client.Config{good.With("max.poll.records", "many"), good.With("interceptor.classes", "nobody"), good.With("interceptors", "nobody"), good.With("partition.assignment.strategy", "nobody")} {
		if _, err := client.NewConsumer(bad, all.consumer()); err == nil {
			t.Errorf("there is a consumer of %v", bad)
		}
	}
	if got := all.closed(); got != [7]int32{} {
		t.Errorf("they were closed %v times", got)
	}
}

// output is what a client logs.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
