package conformance

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client"
)

// Settings that no other test looks for have the effect that they promise, as a broker sees it. Those of sockets are in
// sdk/client (franz_test.go).
func TestWhatSettingsOfProducersDo(t *testing.T) {
	// Each answers a number that must be as wanted, or at least must differ as wanted between two values.
	for key, test := range map[string]struct {
		with []string
		see  func(t *testing.T, engine string, settings []string) int
		// from is what is seen of the value, or with below of the first value, which is more than that of the second.
		values []string
		want   []int
		below  bool
	}{
		"retries":                 {nil, requestsUntilGivenUp, []string{"1", "3"}, []int{2, 4}, false},
		"partitioner.ignore.keys": {[]string{"batch.size", "512"}, partitionsOfAKey, []string{"false", "true"}, []int{0, 1}, false},
		"compression.gzip.level":  {[]string{"compression.type", "gzip"}, bytesOnTheWire, []string{"1", "9"}, nil, true},
		"compression.lz4.level":   {[]string{"compression.type", "lz4"}, bytesOnTheWire, []string{"9", "17"}, nil, true},
		"compression.zstd.level":  {[]string{"compression.type", "zstd"}, bytesOnTheWire, []string{"1", "19"}, nil, true},
	} {
		t.Run(key, func(t *testing.T) {
			engines(t, func(t *testing.T, engine string) {
				var seen []int
				for _, value := range test.values {
					seen = append(seen, test.see(t, engine, append([]string{key, value}, test.with...)))
				}
				if test.below && seen[1] >= seen[0] {
					t.Errorf("%s=%s shows as %d, and %s as %d, which is not less", key, test.values[0], seen[0], test.values[1], seen[1])
				}
				for i, want := range test.want {
					if seen[i] != want {
						t.Errorf("%s=%s shows as %d, want %d", key, test.values[i], seen[i], want)
					}
				}
			})
		})
	}
}

// requestsUntilGivenUp is how often a record is sent that the broker always refuses.
func requestsUntilGivenUp(t *testing.T, engine string, settings []string) int {
	address := serving(t)
	proxy := newProxy(t, address)
	proxy.script(func(int) verdict { return verdict{code: kerr.NotEnoughReplicas.Code} }, nil)
	p := producer(t, engine, proxy.address(), append(settings, "enable.idempotence", "false", "max.in.flight.requests.per.connection", "1")...)
	if _, err := p.Send(limited(t), numbered(topic(t, address, 1), 0)).Get(limited(t)); err == nil {
		t.Error("the record was stored")
	}
	return proxy.produces()
}

// partitionsOfAKey is 1 when records of one key are spread, and 0 when they are together.
func partitionsOfAKey(t *testing.T, engine string, settings []string) int {
	address := serving(t)
	name := topic(t, address, 8)
	p := producer(t, engine, address, settings...)
	for n := range 300 {
		if err := p.Fire(limited(t), &client.ProducerRecord[[]byte, []byte]{Topic: name, Key: []byte("one"), Value: fmt.Appendf(nil, "%0100d", n)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Flush(limited(t)); err != nil {
		t.Fatal(err)
	}
	used := map[int32]bool{}
	for _, r := range stored(t, address, name) {
		used[r.Partition] = true
	}
	if len(used) > 1 {
		return 1
	}
	return 0
}

// bytesOnTheWire is how many bytes of records a producer sends for text that can be compressed.
func bytesOnTheWire(t *testing.T, engine string, settings []string) int {
	address := serving(t)
	proxy := newProxy(t, address)
	sizes := make(chan int, 100)
	proxy.heard = func(request []byte) {
		key, version := int16(binary.BigEndian.Uint16(request)), int16(binary.BigEndian.Uint16(request[2:]))
		if key != kmsg.Produce.Int16() {
			return
		}
		for _, topic := range produceOf(request, version).Topics {
			for _, partition := range topic.Partitions {
				sizes <- len(partition.Records)
			}
		}
	}
	p := producer(t, engine, proxy.address(), append(settings, "batch.size", "500000")...)
	record := &client.ProducerRecord[[]byte, []byte]{Topic: topic(t, address, 1), Value: prose(200_000)}
	if _, err := p.Send(limited(t), record).Get(limited(t)); err != nil {
		t.Fatal(err)
	}
	return <-sizes
}

// prose is text of a few hundred words, the same in each run.
func prose(size int) []byte {
	dice := rand.New(rand.NewPCG(1, 2))
	var words []string
	for range 400 {
		words = append(words, strconv.FormatUint(dice.Uint64N(1<<(10+dice.UintN(30))), 36))
	}
	var text bytes.Buffer
	for text.Len() < size {
		text.WriteString(words[dice.IntN(1+dice.IntN(len(words)))] + " ")
	}
	return text.Bytes()[:size]
}

// Of a consumer the broker sees what it asks for.
func TestWhatSettingsOfConsumersDo(t *testing.T) {
	for key, test := range map[string]struct {
		value string
		see   func(q *kmsg.FetchRequest) any
		want  any
	}{
		"fetch.min.bytes":           {"7", func(q *kmsg.FetchRequest) any { return q.MinBytes }, int32(7)},
		"fetch.max.bytes":           {"2000001", func(q *kmsg.FetchRequest) any { return q.MaxBytes }, int32(2_000_001)},
		"max.partition.fetch.bytes": {"50001", func(q *kmsg.FetchRequest) any { return q.Topics[0].Partitions[0].PartitionMaxBytes }, int32(50_001)},
		"fetch.max.wait.ms":         {"77", func(q *kmsg.FetchRequest) any { return q.MaxWaitMillis }, int32(77)},
		"isolation.level":           {"read_committed", func(q *kmsg.FetchRequest) any { return q.IsolationLevel }, int8(1)},
		"client.rack":               {"cellar", func(q *kmsg.FetchRequest) any { return q.Rack }, "cellar"},
	} {
		t.Run(key, func(t *testing.T) {
			address := serving(t)
			proxy := newProxy(t, address)
			fetches := make(chan *kmsg.FetchRequest, 1)
			proxy.heard = func(request []byte) {
				if int16(binary.BigEndian.Uint16(request)) != kmsg.Fetch.Int16() {
					return
				}
				q := kmsg.NewPtrFetchRequest()
				q.Version = int16(binary.BigEndian.Uint16(request[2:]))
				if err := q.ReadFrom(body(request, q.IsFlexible())); err == nil && len(q.Topics) > 0 {
					select {
					case fetches <- q:
					default: // the first one was asked for
					}
				}
			}
			c, name := consumerOf(t, proxy.address(), topic(t, address, 1), key, test.value)
			if err := c.Assign(sdk.TopicPartition{Topic: name}); err != nil {
				t.Fatal(err)
			}
			for ctx := limited(t); ; {
				if _, err := c.Poll(ctx, 10*time.Millisecond); err != nil {
					t.Fatal(err)
				}
				select {
				case q := <-fetches:
					if got := test.see(q); got != test.want {
						t.Errorf("%s=%s shows as %v, want %v", key, test.value, got, test.want)
					}
					return
				default:
				}
			}
		})
	}
}

// consumerOf is a consumer with one more setting.
func consumerOf(t *testing.T, address, topic, key, value string) (*client.Consumer[string, string], string) {
	t.Helper()
	settings := client.Config{"bootstrap.servers": address, "auto.offset.reset": "earliest", "enable.auto.commit": "false", "fetch.max.wait.ms": "50"}
	c, err := client.NewConsumer(settings.With(key, value), client.ConsumerOptions[string, string]{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return c, topic
}

// A batch whose checksum is wrong is an error of Poll, unless check.crcs says that nobody looks.
func TestWhatCheckCRCsDoes(t *testing.T) {
	for _, check := range []bool{true, false} {
		t.Run(strconv.FormatBool(check), func(t *testing.T) {
			address := serving(t)
			name := topic(t, address, 1)
			p := producer(t, client.EngineNative, address)
			if _, err := p.Send(limited(t), &client.ProducerRecord[[]byte, []byte]{Topic: name, Value: []byte("whole")}).Get(limited(t)); err != nil {
				t.Fatal(err)
			}
			proxy := newProxy(t, address)
			proxy.alter = spoil
			c, _ := consumerOf(t, proxy.address(), name, "check.crcs", strconv.FormatBool(check))
			if err := c.Assign(sdk.TopicPartition{Topic: name}); err != nil {
				t.Fatal(err)
			}
			var records []*client.ConsumerRecord[string, string]
			var err error
			for ctx := limited(t); len(records) == 0 && err == nil && ctx.Err() == nil; {
				records, err = c.Poll(ctx, 100*time.Millisecond)
			}
			switch {
			case check && (err == nil || len(records) > 0):
				t.Errorf("Poll answers %d records, %v; want an error", len(records), err)
			case !check && (err != nil || len(records) != 1 || records[0].Value != "whole"):
				t.Errorf("Poll answers %d records, %v; want the record", len(records), err)
			}
		})
	}
}

// spoil changes the checksum of the batches that a broker answers.
func spoil(key, version int16, answer []byte) []byte {
	if key != kmsg.Fetch.Int16() {
		return answer
	}
	return reworded(kmsg.NewPtrFetchResponse(), version, answer, func(a *kmsg.FetchResponse) {
		for i := range a.Topics {
			for j := range a.Topics[i].Partitions {
				if batches := a.Topics[i].Partitions[j].RecordBatches; len(batches) > 17 {
					batches[17] ^= 0xff
				}
			}
		}
	})
}
