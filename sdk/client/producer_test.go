package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client"
	"github.com/millrace/millrace/sdk/keyhash"
	"github.com/millrace/millrace/sdk/kit"
)

func TestSettingsOfAProducerHangTogether(t *testing.T) {
	for name, test := range map[string]struct {
		settings string // as properties
		refused  string // "": none
	}{
		"defaults":                     {"", ""},
		"acks=1 turns idempotence off": {"acks=1", ""},
		"acks=1 and idempotence":       {"acks=1\nenable.idempotence=true", "enable.idempotence=true needs acks=all"},
		"six requests":                 {"max.in.flight.requests.per.connection=6\nenable.idempotence=true", "of at most 5"},
		"no retries":                   {"retries=0\nenable.idempotence=true", "retries of more than 0"},
		"all of it at once":            {"acks=0\nretries=0\nenable.idempotence=true", "retries of more than 0"},
		"short delivery":               {"delivery.timeout.ms=1000", "less than linger.ms + request.timeout.ms = 30005"},
		"long request":                 {"request.timeout.ms=600000", ""},
		"transactions need it":         {"transactional.id=t\nenable.idempotence=false", "transactional.id needs enable.idempotence=true"},
		"transactions need acks":       {"transactional.id=t\nacks=1", "needs acks=all"},
		"a transaction without name":   {"transactional.id=", "transactional.id is empty"},
		"an engine that is none":       {"client.engine=java", "client.engine=java: String must be one of: native, kgo"},
		"a partitioner that is none":   {"partitioner.class=mine", `there is no partitioner "mine" (there are: consistent-random,`},
		"a partitioner of Kafka's":     {"partitioner.class=org.apache.kafka.clients.producer.RoundRobinPartitioner", ""},
		"a zone":                       {"partitioner.class=zone-aware\nclient.rack=a", ""},
		"no zone":                      {"partitioner.class=zone-aware", "set client.rack"},
		"an interceptor that is none":  {"interceptor.classes=mine", `there is no producer interceptor "mine"`},
		"a serializer that is none":    {"value.serializer=mine", `there is no serializer of string "mine"`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, engine := range []string{client.EngineNative, client.EngineKgo} {
				c, err := client.ParseConfig("bootstrap.servers=127.0.0.1:1\n" + test.settings)
				if err != nil {
					t.Fatal(err)
				}
				if c["client.engine"] == "" {
					c = c.With("client.engine", engine)
				}
				p, err := client.NewProducer(c, client.ProducerOptions[[]byte, string]{Log: slog.New(slog.DiscardHandler)})
				if err == nil {
					if err := p.Close(context.Background()); err != nil {
						t.Error(err)
					}
				}
				if test.refused == "" && err != nil || test.refused != "" && (err == nil || !strings.Contains(err.Error(), test.refused)) {
					t.Errorf("%s: %v, want %q", engine, err, test.refused)
				}
			}
		})
	}
}

func TestATypeNeedsASerializer(t *testing.T) {
	_, err := client.NewProducer(client.Config{"bootstrap.servers": "127.0.0.1:1"}, client.ProducerOptions[[]byte, point]{})
	if err == nil || !strings.Contains(err.Error(), "value.serializer is missing: client_test.point") {
		t.Error(err)
	}
}

// upper changes values, and remembers what it was told.
type upper struct {
	mu    sync.Mutex
	fail  bool
	panic bool
	acks  []string
}

func (u *upper) OnSend(r *sdk.Record) error {
	if u.panic {
		panic("no")
	}
	r.Value = strings.ToUpper(r.Value.(string))
	r.Headers = append(r.Headers, sdk.Header{Key: "seen"})
	if u.fail {
		return errors.New("no")
	}
	return nil
}

func (u *upper) OnAck(m sdk.RecordMetadata, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.acks = append(u.acks, fmt.Sprintf("%s-%d %d %v", m.Topic, m.Partition, m.Offset, err != nil))
	if u.panic {
		panic("no")
	}
}

func (u *upper) told() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.acks
}

// seen is a serializer that remembers values.
type seen struct {
	mu  sync.Mutex
	all []string
	err error
}

func (s *seen) Append(dst []byte, _ string, headers *[]sdk.Header, v string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, fmt.Sprint(v, len(*headers)))
	return append(dst, v...), s.err
}

func TestInterceptors(t *testing.T) {
	for name, test := range map[string]struct {
		first, second *upper
		value         string // and how many headers
		faults        int64
	}{
		"both":        {&upper{}, &upper{}, "A2", 0},
		"one fails":   {&upper{}, &upper{fail: true}, "A1", 1},
		"one panics":  {&upper{panic: true}, &upper{}, "A1", 2},
		"both cannot": {&upper{fail: true}, &upper{panic: true}, "a0", 3},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			values := &seen{}
			p, err := client.NewProducer(client.Config{"bootstrap.servers": nullBroker(t, 1)}, client.ProducerOptions[[]byte, string]{
				ValueSerializer: values, Interceptors: []sdk.ProducerInterceptor{test.first, test.second}, Log: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			r := client.ProducerRecord[[]byte, string]{Topic: "t", Value: "a"}
			if _, err := p.Send(ctx, &r).Get(ctx); err != nil {
				t.Fatal(err)
			}
			if r.Value != "a" || len(r.Headers) != 0 {
				t.Errorf("the caller's record was changed: %+v", r)
			}
			if len(values.all) != 1 || values.all[0] != test.value || p.InterceptorFaults() != test.faults {
				t.Errorf("serialized %v with %d faults, want %s with %d", values.all, p.InterceptorFaults(), test.value, test.faults)
			}
			// What fails at once they hear of too, and fire and forget as well.
			values.err = errors.New("no")
			if err := p.Fire(ctx, &r); err == nil {
				t.Error("sent what could not be serialized")
			}
			if err := p.Close(ctx); err != nil {
				t.Error(err)
			}
			for _, u := range []*upper{test.first, test.second} {
				if got := fmt.Sprint(u.told()); got != "[t-0 0 false t--1 -1 true]" {
					t.Errorf("told %s", got)
				}
			}
		})
	}
}

// spreading is a partitioner that answers what it is set to.
type spreading struct{ at int32 }

func (s spreading) Partition(p *sdk.Placement) int32 { return s.at }

func TestPartitionsAreChecked(t *testing.T) {
	ctx := context.Background()
	address := nullBroker(t, 3)
	for at, fine := range map[int32]bool{-1: false, 0: true, 2: true, 3: false} {
		p, err := client.NewProducer(client.Config{"bootstrap.servers": address}, client.ProducerOptions[[]byte, []byte]{Partitioner: spreading{at}})
		if err != nil {
			t.Fatal(err)
		}
		m, err := p.Send(ctx, &client.ProducerRecord[[]byte, []byte]{Topic: "t"}).Get(ctx)
		if (err == nil) != fine || fine && m.Partition != at {
			t.Errorf("partition %d: %+v, %v", at, m, err)
		}
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}

// Who waits for a topic that is not there is told that, and not only that time is over.
func TestATopicThatIsNotThere(t *testing.T) {
	address := kit.Start(t, kit.Options{Settings: map[string]string{"auto.create.topics.enable": "false"}}).Address()
	for _, engine := range []string{client.EngineNative, client.EngineKgo} {
		p := valuesProducer(t, client.Config{"bootstrap.servers": address, "client.engine": engine, "max.block.ms": "300", "retry.backoff.ms": "10"}, client.ProducerOptions[string, string]{})
		err := p.Fire(t.Context(), &client.ProducerRecord[string, string]{Topic: "nowhere"})
		if !errors.Is(err, client.ErrTimeout) || !errors.Is(err, kerr.UnknownTopicOrPartition) || !strings.Contains(err.Error(), "max.block.ms=300") {
			t.Errorf("%s: %v", engine, err)
		}
	}
}

// A record may name a partition that was added after the producer has asked what there are.
func TestPartitionsThatWereAdded(t *testing.T) {
	for _, engine := range []string{client.EngineNative, client.EngineKgo} {
		t.Run(engine, func(t *testing.T) {
			config := client.Config{"bootstrap.servers": kit.Start(t, kit.Options{Topics: map[string]int32{"t": 1}}).Address()}
			p := valuesProducer(t, config.With("client.engine", engine), client.ProducerOptions[string, string]{})
			send := func(at int32, headers ...sdk.Header) (sdk.RecordMetadata, error) {
				return p.Send(t.Context(), &client.ProducerRecord[string, string]{Topic: "t", Partition: &at, Headers: headers}).Get(t.Context())
			}
			if _, err := send(0); err != nil {
				t.Fatal(err)
			}
			admin, err := client.NewAdmin(config, client.AdminOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer admin.Close()
			for n, headers := range [][]sdk.Header{nil, {{Key: "h"}}} {
				at := int32(2 + 3*n)
				if err := admin.CreatePartitions(t.Context(), map[string]int32{"t": at + 1}); err != nil {
					t.Fatal(err)
				}
				if where, err := send(at, headers...); err != nil || where.Partition != at || where.Offset != 0 {
					t.Errorf("to partition %d: %+v, %v", at, where, err)
				}
				if _, err := send(7, headers...); err == nil || !strings.Contains(err.Error(), "there is no such partition") {
					t.Errorf("to partition 7 of %d: %v", at+1, err)
				}
			}
		})
	}
}

// The first record of all goes to a partition that was added, and before it some to none.
func TestTheFirstRecordIsForAPartitionThatWasAdded(t *testing.T) {
	for _, engine := range []string{client.EngineNative, client.EngineKgo} {
		t.Run(engine, func(t *testing.T) {
			config := client.Config{"bootstrap.servers": kit.Start(t, kit.Options{Topics: map[string]int32{"t": 1}}).Address(), "max.block.ms": "5000"}
			p := valuesProducer(t, config.With("client.engine", engine), client.ProducerOptions[string, string]{})
			send := func(at int32) (sdk.RecordMetadata, error) {
				return p.Send(t.Context(), &client.ProducerRecord[string, string]{Topic: "t", Partition: &at}).Get(t.Context())
			}
			refused := func(at int32) {
				if _, err := send(at); err == nil || !strings.Contains(err.Error(), "there is no such partition") {
					t.Errorf("to partition %d: %v", at, err)
				}
			}
			refused(1)
			admin, err := client.NewAdmin(config, client.AdminOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer admin.Close()
			if err := admin.CreatePartitions(t.Context(), map[string]int32{"t": 3}); err != nil {
				t.Fatal(err)
			}
			if where, err := send(2); err != nil || where.Partition != 2 || where.Offset != 0 {
				t.Errorf("to partition 2: %+v, %v", where, err)
			}
			refused(math.MaxInt32)
		})
	}
}

// Who sends to partitions that are not there does not flood brokers with questions.
func TestBrokersAreNotAskedWithoutAPause(t *testing.T) {
	for _, engine := range []string{client.EngineNative, client.EngineKgo} {
		t.Run(engine, func(t *testing.T) {
			b := kit.Start(t, kit.Options{Topics: map[string]int32{"t": 1}})
			p := valuesProducer(t, client.Config{"bootstrap.servers": b.Address(), "client.engine": engine, "retry.backoff.ms": "50", "retry.backoff.max.ms": "50"},
				client.ProducerOptions[string, string]{})
			at, begin := int32(1_000_000), time.Now()
			const sends = 10
			for range sends {
				if err := p.Fire(t.Context(), &client.ProducerRecord[string, string]{Topic: "t", Partition: &at}); err == nil {
					t.Fatal("it was sent")
				}
			}
			if took := time.Since(begin); took < (sends-1)*40*time.Millisecond { // a fifth less, as it is drawn
				t.Errorf("brokers were asked %d times in %v", sends, took)
			}
		})
	}
}

// A partition that was added and has no leader yet gets its records when it has one; franz-go has any
// broker take them before. Meanwhile the others get theirs without a question to brokers for each.
func TestAPartitionThatWasAddedHasNoLeaderYet(t *testing.T) {
	for _, engine := range []string{client.EngineNative, client.EngineKgo} {
		t.Run(engine, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "t"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cluster.Close)
			var partitions, asked atomic.Int32
			id := cluster.TopicInfo("t").TopicID
			cluster.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				asked.Add(1)
				if partitions.Load() == 3 {
					return nil, nil, false
				}
				return growing(r.(*kmsg.MetadataRequest), cluster.ListenAddrs()[0], id, partitions.Load()), nil, true
			})
			partitions.Store(1)
			p := valuesProducer(t, client.Config{"bootstrap.servers": cluster.ListenAddrs()[0], "client.engine": engine, "linger.ms": "0", "max.block.ms": "5000"}, client.ProducerOptions[string, string]{})
			send := func(at int32) *client.Future {
				return p.Send(ctx, &client.ProducerRecord[string, string]{Topic: "t", Partition: &at})
			}
			if _, err := send(0).Get(ctx); err != nil {
				t.Fatal(err)
			}
			partitions.Store(2)
			waits := send(1)
			asked.Store(0)
			begin := time.Now()
			for range 300 {
				if _, err := send(0).Get(ctx); err != nil {
					t.Fatal(err)
				}
			}
			// One in a retry.backoff.ms, which is 80 ms at least, and franz-go's own.
			if n, most := asked.Load(), 20+int32(time.Since(begin)/(40*time.Millisecond)); n > most {
				t.Errorf("300 records for partition 0 are %d questions, at most %d are due", n, most)
			}
			partitions.Store(3)
			if where, err := waits.Get(ctx); err != nil || where.Partition != 1 {
				t.Errorf("%+v, %v", where, err)
			}
		})
	}
}

// growing is what a topic looks like whose first partition has a leader, broker 0.
func growing(q *kmsg.MetadataRequest, address string, id [16]byte, partitions int32) *kmsg.MetadataResponse {
	a := q.ResponseKind().(*kmsg.MetadataResponse)
	broker := kmsg.NewMetadataResponseBroker()
	host, port, _ := net.SplitHostPort(address)
	number, _ := strconv.Atoi(port)
	broker.Host, broker.Port = host, int32(number)
	a.Brokers = append(a.Brokers, broker)
	for _, asked := range q.Topics {
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic, topic.TopicID = asked.Topic, id
		for n := range partitions {
			one := kmsg.NewMetadataResponseTopicPartition()
			if one.Partition = n; n > 0 {
				one.Leader, one.LeaderEpoch, one.ErrorCode = -1, -1, kerr.LeaderNotAvailable.Code
			}
			topic.Partitions = append(topic.Partitions, one)
		}
		a.Topics = append(a.Topics, topic)
	}
	return a
}

func TestARecordThatIsTooLarge(t *testing.T) {
	ctx := context.Background()
	p, err := client.NewProducer(client.Config{"bootstrap.servers": nullBroker(t, 1), "max.request.size": "1000"}, client.ProducerOptions[[]byte, []byte]{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeIt(ctx, p)
	err = p.Fire(ctx, &client.ProducerRecord[[]byte, []byte]{Topic: "t", Value: make([]byte, 1000)})
	if !errors.Is(err, kerr.MessageTooLarge) || !strings.Contains(err.Error(), "max.request.size allows 1000") {
		t.Error(err)
	}
	if err := p.Fire(ctx, &client.ProducerRecord[[]byte, []byte]{Topic: "t", Value: make([]byte, 800)}); err != nil {
		t.Error(err)
	}
}

// What a producer can never send says so with the error that is known for it, in both engines.
func TestWhatCanNeverBeSent(t *testing.T) {
	ctx := context.Background()
	for _, engine := range []string{client.EngineNative, client.EngineKgo} {
		b := kit.Start(t, kit.Options{Topics: map[string]int32{"t": 1}})
		p, err := client.NewProducer(client.Config{"bootstrap.servers": b.Address(), "client.engine": engine, "buffer.memory": "20000", "batch.size": "1000"}, client.ProducerOptions[[]byte, []byte]{})
		if err != nil {
			t.Fatal(err)
		}
		defer closeIt(ctx, p)
		err = p.Fire(ctx, &client.ProducerRecord[[]byte, []byte]{Topic: "t", Value: make([]byte, 30_000)})
		if !errors.Is(err, kerr.MessageTooLarge) || !strings.Contains(err.Error(), "buffer.memory has 20000") {
			t.Errorf("%s, more than all memory: %v", engine, err)
		}
		for _, millis := range []int64{-1, -1000} {
			err = p.Fire(ctx, &client.ProducerRecord[[]byte, []byte]{Topic: "t", Timestamp: time.UnixMilli(millis)})
			if !errors.Is(err, kerr.InvalidTimestamp) {
				t.Errorf("%s, dated %d: %v", engine, millis, err)
			}
		}
	}
}

// A topic that is deleted and made again is sent to, though franz-go keeps to the one that it knew.
func TestATopicThatIsMadeAgain(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, engine := range []string{client.EngineNative, client.EngineKgo} {
		t.Run(engine, func(t *testing.T) {
			b := kit.Start(t, kit.Options{Topics: map[string]int32{"t": 1}, Settings: map[string]string{"auto.create.topics.enable": "false"}})
			p, err := client.NewProducer(client.Config{"bootstrap.servers": b.Address(), "client.engine": engine}, client.ProducerOptions[[]byte, []byte]{})
			if err != nil {
				t.Fatal(err)
			}
			defer closeIt(ctx, p)
			admin, err := client.NewAdmin(client.Config{"bootstrap.servers": b.Address()}, client.AdminOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer admin.Close()
			record := &client.ProducerRecord[[]byte, []byte]{Topic: "t", Value: []byte("v")}
			if _, err := p.Send(ctx, record).Get(ctx); err != nil {
				t.Fatal(err)
			}
			if err := admin.DeleteTopics(ctx, "t"); err != nil {
				t.Fatal(err)
			}
			if err := admin.CreateTopics(ctx, client.NewTopic{Name: "t", Partitions: 2}); err != nil {
				t.Fatal(err)
			}
			for at := int64(-1); at < 3; {
				m, err := p.Send(ctx, record).Get(ctx)
				switch {
				case err == nil:
					at = m.Offset
				case ctx.Err() != nil || at >= 0 || !errors.Is(err, kerr.UnknownTopicID):
					t.Fatal(err)
				}
			}
		})
	}
}

// A record that nobody has to be asked about goes another way than one with headers, and comes
// to the same end.
func TestPlainRecordsEndAsOthersDo(t *testing.T) {
	p, err := client.NewProducer(client.Config{"bootstrap.servers": nullBroker(t, 3), "client.engine": client.EngineNative, "max.request.size": "5000"},
		client.ProducerOptions[string, []byte]{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	type record = client.ProducerRecord[string, []byte]
	second, none := int32(1), int32(3)
	at := time.UnixMilli(1_700_000_000_000)
	end := func(name string, r record, partition int32, want string) {
		t.Helper()
		for _, headers := range [][]sdk.Header{nil, {{Key: "h"}}} {
			r.Headers = headers
			m, err := p.Send(t.Context(), &r).Get(t.Context())
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s, %d headers: got error %v, want %q", name, len(headers), err, want)
			}
			if m.Topic != r.Topic || m.Partition != partition || err == nil && !m.Timestamp.Equal(at) {
				t.Errorf("%s, %d headers: got %+v, want partition %d", name, len(headers), m, partition)
			}
		}
	}
	end("to a partition", record{Topic: "t", Partition: &second, Timestamp: at}, 1, "")
	end("by its key", record{Topic: "t", Timestamp: at, Key: "a"}, keyhash.Partition([]byte("a"), 3), "")
	end("to another topic", record{Topic: "u", Partition: &second, Timestamp: at}, 1, "")
	end("too large", record{Topic: "t", Value: make([]byte, 5000)}, -1, "max.request.size allows 5000")
	end("before 1970", record{Topic: "t", Timestamp: time.UnixMilli(-1)}, -1, "before 1970")
	end("where nothing is", record{Topic: "t", Partition: &none}, none, "there is no such partition")
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	end("closed", record{Topic: "t"}, -1, "closed")
}
