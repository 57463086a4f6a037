package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client"
)

type record = client.ProducerRecord[[]byte, []byte]

func TestRecordsComeBackAsTheyWent(t *testing.T) {
	address := serving(t)
	engines(t, func(t *testing.T, engine string) {
		for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
			t.Run(codec, func(t *testing.T) {
				name := topic(t, address, 1)
				p := producer(t, engine, address, "compression.type", codec)
				at := time.UnixMilli(1_700_000_000_123)
				sent := []*record{
					{Topic: name, Key: []byte("k"), Value: []byte("v"), Timestamp: at},
					{Topic: name, Value: []byte{}, Headers: []sdk.Header{{Key: "a", Value: []byte("1")}, {Key: "a"}}},
					{Topic: name, Key: []byte{}},
					{Topic: name, Key: []byte("large"), Value: bytes.Repeat([]byte("0123456789"), 9000)},
				}
				begin := time.Now().Add(-time.Second)
				var futures []*client.Future
				for _, r := range sent {
					futures = append(futures, p.Send(limited(t), r))
				}
				for i, f := range futures {
					m, err := f.Get(limited(t))
					if err != nil || m.Offset != int64(i) || m.Topic != name {
						t.Fatalf("record %d: %+v, %v", i, m, err)
					}
				}
				got := stored(t, address, name)
				for i, r := range got {
					if !same(r.Key, sent[i].Key) || !same(r.Value, sent[i].Value) || len(r.Headers) != len(sent[i].Headers) {
						t.Errorf("record %d came back as %q: %d bytes, %v", i, r.Key, len(r.Value), r.Headers)
					}
				}
				if !got[0].Timestamp.Equal(at) || got[1].Timestamp.Before(begin) || got[1].Timestamp.After(time.Now().Add(time.Second)) {
					t.Errorf("dated %v and %v", got[0].Timestamp, got[1].Timestamp)
				}
				if h := got[1].Headers; h[0].Key != "a" || string(h[0].Value) != "1" || h[1].Value != nil {
					t.Errorf("headers came back as %v", h)
				}
			})
		}
	})
}

func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

// send sends so many numbered records and waits for all.
func send(t testing.TB, p *client.Producer[[]byte, []byte], topic string, count int) {
	t.Helper()
	var futures []*client.Future
	for i := range count {
		futures = append(futures, p.Send(limited(t), numbered(topic, i)))
	}
	for i, f := range futures {
		if _, err := f.Get(limited(t)); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
}

// small are settings with which a few records make many batches and requests.
var small = []string{"batch.size", "512", "linger.ms", "0"}

func TestOrderAndSingleCopiesSurviveTrouble(t *testing.T) {
	address := serving(t)
	for name, script := range map[string]struct{ request, answer func(n int) verdict }{
		"not leader, before":              {request: every(3, verdict{code: kerr.NotLeaderForPartition.Code})},
		"not leader, though it is stored": {answer: every(3, verdict{code: kerr.NotLeaderForPartition.Code})},
		"not enough replicas":             {request: every(4, verdict{code: kerr.NotEnoughReplicas.Code})},
		"cut before":                      {request: every(5, verdict{cut: true})},
		"cut, though it is stored":        {answer: every(5, verdict{cut: true})},
		"garbled":                         {answer: every(5, verdict{garble: true})},
		"all of it": {request: every(7, verdict{code: kerr.LeaderNotAvailable.Code}), answer: func(n int) verdict {
			switch n % 11 {
			case 3:
				return verdict{cut: true}
			case 6:
				return verdict{code: kerr.RequestTimedOut.Code}
			case 9:
				return verdict{garble: true}
			}
			return verdict{}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			engines(t, func(t *testing.T, engine string) {
				via := newProxy(t, address)
				via.script(script.request, script.answer)
				name := topic(t, address, 1)
				const count = 300
				send(t, producer(t, engine, via.address(), small...), name, count)
				wantSequence(t, stored(t, address, name), count)
				if via.produces() < 10 {
					t.Errorf("only %d requests were made: nothing was put to the test", via.produces())
				}
			})
		})
	}
}

// every answers v to each nth request.
func every(nth int, v verdict) func(n int) verdict {
	return func(n int) verdict {
		if n%nth == 0 {
			return v
		}
		return verdict{}
	}
}

// With one request under way nothing overtakes, even when brokers cannot tell copies.
func TestOrderWithOneRequestUnderWay(t *testing.T) {
	address := serving(t)
	engines(t, func(t *testing.T, engine string) {
		via := newProxy(t, address)
		via.script(every(3, verdict{code: kerr.NotLeaderForPartition.Code}), nil)
		name := topic(t, address, 1)
		p := producer(t, engine, via.address(), append(small, "enable.idempotence", "false", "max.in.flight.requests.per.connection", "1")...)
		send(t, p, name, 200)
		wantSequence(t, stored(t, address, name), 200)
	})
}

// A broker that has lost what it knew of the producer: it goes on under another epoch.
func TestALostProducerGoesOn(t *testing.T) {
	address := serving(t)
	engines(t, func(t *testing.T, engine string) {
		for _, code := range []int16{kerr.OutOfOrderSequenceNumber.Code, kerr.UnknownProducerID.Code} {
			t.Run(fmt.Sprint(code), func(t *testing.T) {
				via := newProxy(t, address)
				name := topic(t, address, 1)
				p := producer(t, engine, via.address(), "linger.ms", "0", "batch.size", "512")
				send(t, p, name, 5)
				via.script(func(n int) verdict {
					if n == 1 {
						return verdict{code: code}
					}
					return verdict{}
				}, nil)
				for i := 5; i < 10; i++ {
					if _, err := p.Send(limited(t), numbered(name, i)).Get(limited(t)); err != nil {
						t.Fatalf("record %d: %v", i, err)
					}
				}
				wantSequence(t, stored(t, address, name), 10)
			})
		}
	})
}

func TestAnAnswerThatDoesNotCome(t *testing.T) {
	address := serving(t)
	engines(t, func(t *testing.T, engine string) {
		via := newProxy(t, address)
		held := make(chan struct{})
		via.script(nil, func(n int) verdict {
			if n == 1 {
				<-held
			}
			return verdict{}
		})
		t.Cleanup(func() { close(held) })
		name := topic(t, address, 1)
		p := producer(t, engine, via.address(), "request.timeout.ms", "400", "linger.ms", "0")
		send(t, p, name, 20)
		wantSequence(t, stored(t, address, name), 20)
	})
}

func TestFullBufferSaysSo(t *testing.T) {
	address := serving(t)
	engines(t, func(t *testing.T, engine string) {
		via := newProxy(t, address)
		held := make(chan struct{})
		via.script(nil, func(int) verdict { <-held; return verdict{} })
		name := topic(t, address, 1)
		p := producer(t, engine, via.address(), "buffer.memory", "65536", "max.block.ms", "300", "linger.ms", "0")
		sent := 0
		var failure error
		for sent < 10_000 && failure == nil {
			if failure = p.Fire(limited(t), numbered(name, sent)); failure == nil {
				sent++
			}
		}
		close(held)
		if !errors.Is(failure, client.ErrTimeout) || !strings.Contains(failure.Error(), "max.block.ms=300") || !strings.Contains(failure.Error(), "buffer.memory=65536") {
			t.Fatalf("after %d records: %v", sent, failure)
		}
		if err := p.Flush(limited(t)); err != nil {
			t.Fatal(err)
		}
		wantSequence(t, stored(t, address, name), sent)
	})
}

func TestRecordsExpire(t *testing.T) {
	address := serving(t)
	engines(t, func(t *testing.T, engine string) {
		via := newProxy(t, address)
		held := make(chan struct{})
		name := topic(t, address, 1)
		p := producer(t, engine, via.address(), "delivery.timeout.ms", "1100", "request.timeout.ms", "1000", "linger.ms", "0")
		send(t, p, name, 1)
		via.script(func(int) verdict { <-held; return verdict{cut: true} }, nil)
		const lost = 99
		m, err := p.Send(limited(t), numbered(name, lost)).Get(limited(t))
		if !errors.Is(err, client.ErrTimeout) || !strings.Contains(err.Error(), "delivery.timeout.ms") || m.Offset != -1 {
			t.Errorf("%+v, %v", m, err)
		}
		via.script(nil, nil)
		close(held)
		// What follows is not held up by the gap that it left.
		if _, err := p.Send(limited(t), numbered(name, 1)).Get(limited(t)); err != nil {
			t.Error(err)
		}
		// The one that expired may be there or not: it was under way.
		wantSequence(t, slices.DeleteFunc(stored(t, address, name), func(r *kgo.Record) bool { return numberOf(t, r) == lost }), 2)
	})
}

func TestTooLarge(t *testing.T) {
	address := serving(t)
	engines(t, func(t *testing.T, engine string) {
		name := topic(t, address, 1, "max.message.bytes", "3000")
		p := producer(t, engine, address, "max.request.size", "20000", "linger.ms", "50")
		for size, want := range map[int]string{20_000: "max.request.size", 5_000: "MESSAGE_TOO_LARGE"} {
			_, err := p.Send(limited(t), &record{Topic: name, Value: make([]byte, size)}).Get(limited(t))
			if !errors.Is(err, kerr.MessageTooLarge) || !strings.Contains(err.Error(), want) {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
		if engine == client.EngineKgo {
			return // franz-go gives up a batch that the broker finds too large
		}
		send(t, p, name, 500) // about 25 KB in batches of 16 KiB
		wantSequence(t, stored(t, address, name), 500)
	})
}

func TestCloseSendsWhatIsLeft(t *testing.T) {
	address := serving(t)
	engines(t, func(t *testing.T, engine string) {
		name := topic(t, address, 1)
		p := producer(t, engine, address, "linger.ms", "30000")
		for i := range 100 {
			if err := p.Fire(limited(t), numbered(name, i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(limited(t)); err != nil {
			t.Fatal(err)
		}
		wantSequence(t, stored(t, address, name), 100)
		if err := p.Fire(limited(t), numbered(name, 0)); !errors.Is(err, client.ErrClosed) {
			t.Errorf("sent after Close: %v", err)
		}
		if err := p.Close(limited(t)); err != nil {
			t.Errorf("closed twice: %v", err)
		}
	})
}

func TestCloseGivesUp(t *testing.T) {
	address := serving(t)
	engines(t, func(t *testing.T, engine string) {
		via := newProxy(t, address)
		name := topic(t, address, 1)
		p := producer(t, engine, via.address(), "linger.ms", "0")
		send(t, p, name, 1)
		via.script(every(1, verdict{code: kerr.NotLeaderForPartition.Code}), nil)
		futures := []*client.Future{p.Send(limited(t), numbered(name, 1)), p.Send(limited(t), numbered(name, 2))}
		ctx, cancel := context.WithTimeout(limited(t), 100*time.Millisecond)
		defer cancel()
		if err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		for i, f := range futures {
			if _, err := f.Get(limited(t)); !errors.Is(err, client.ErrClosed) {
				t.Errorf("record %d: %v", i, err)
			}
		}
	})
}

func TestManySendersAndCallbacksInOrder(t *testing.T) {
	address := serving(t)
	engines(t, func(t *testing.T, engine string) {
		const senders, each, partitions = 8, 500, 3
		name := topic(t, address, partitions)
		p := producer(t, engine, address, "linger.ms", "2")
		var mu sync.Mutex
		offsets := map[int32][]int64{}
		var failures []error
		var wait sync.WaitGroup
		for s := range senders {
			wait.Go(func() {
				for i := range each {
					r := numbered(name, s*each+i)
					r.Key = fmt.Appendf(nil, "sender %d", s)
					p.SendFunc(limited(t), r, func(m sdk.RecordMetadata, err error) {
						mu.Lock()
						defer mu.Unlock()
						if err != nil {
							failures = append(failures, err)
						}
						offsets[m.Partition] = append(offsets[m.Partition], m.Offset)
					})
				}
			})
		}
		wait.Wait()
		if err := p.Flush(limited(t)); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		total := 0
		for partition, all := range offsets {
			total += len(all)
			if !slices.IsSorted(all) || len(slices.Compact(all)) != len(all) {
				t.Errorf("callbacks of partition %d came out of order, or twice", partition)
			}
		}
		if total != senders*each || len(failures) > 0 {
			t.Fatalf("%d callbacks, %v", total, failures)
		}
		last := map[string]int{}
		for _, r := range stored(t, address, name) {
			n, key := numberOf(t, r), string(r.Key)
			if before, seen := last[key]; seen && n != before+1 || !seen && n%each != 0 {
				t.Fatalf("%s: record %d behind %d", key, n, before)
			}
			last[key] = n
		}
		if len(last) != senders {
			t.Errorf("records of %d senders are stored, want %d", len(last), senders)
		}
	})
}

func TestAcks(t *testing.T) {
	address := serving(t)
	engines(t, func(t *testing.T, engine string) {
		for _, acks := range []string{"0", "1", "all"} {
			t.Run(acks, func(t *testing.T) {
				name := topic(t, address, 1)
				p := producer(t, engine, address, "acks", acks)
				var futures []*client.Future
				for i := range 50 {
					futures = append(futures, p.Send(limited(t), numbered(name, i)))
				}
				if err := p.Flush(limited(t)); err != nil {
					t.Fatal(err)
				}
				for i, f := range futures {
					m, err := f.Get(limited(t))
					if err != nil || acks == "0" && m.Offset != -1 || acks != "0" && m.Offset != int64(i) {
						t.Fatalf("record %d: %+v, %v", i, m, err)
					}
				}
				if acks != "0" {
					wantSequence(t, stored(t, address, name), 50)
				}
			})
		}
	})
}

func TestWhatIsRefusedAtOnce(t *testing.T) {
	address := serving(t)
	engines(t, func(t *testing.T, engine string) {
		name := topic(t, address, 2)
		p := producer(t, engine, address, "max.block.ms", "500")
		nine := int32(9)
		_, err := p.Send(limited(t), &record{Topic: name, Partition: &nine}).Get(limited(t))
		if err == nil || !strings.Contains(err.Error(), "partition 9 of topic") {
			t.Errorf("no such partition: %v", err)
		}
		if err := p.Fire(limited(t), &record{Topic: "no such name!"}); !errors.Is(err, kerr.InvalidTopicException) {
			t.Errorf("an impossible topic: %v", err)
		}
	})
}

func TestNoBrokerSaysSo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there now
	engines(t, func(t *testing.T, engine string) {
		p := producer(t, engine, l.Addr().String(), "max.block.ms", "200")
		err := p.Fire(limited(t), numbered("any", 0))
		if !errors.Is(err, client.ErrTimeout) || !strings.Contains(err.Error(), "max.block.ms=200") || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%v", err)
		}
	})
}

func TestRecordsWithoutKeysAreSpread(t *testing.T) {
	address := serving(t)
	engines(t, func(t *testing.T, engine string) {
		const partitions = 4
		name := topic(t, address, partitions)
		p := producer(t, engine, address, "batch.size", "1024")
		send(t, p, name, 2000)
		count := map[int32]int{}
		for _, r := range stored(t, address, name) {
			count[r.Partition]++
		}
		if len(count) != partitions {
			t.Errorf("records went to %v", count)
		}
	})
}

// One record after the other, and now and then a few at once, through trouble at random:
// what nobody wakes up for stays unsent until the test ends.
func TestTroubleAtRandom(t *testing.T) {
	address := serving(t)
	engines(t, func(t *testing.T, engine string) {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		var mu sync.Mutex
		chance := func(verdicts ...verdict) func(int) verdict {
			return func(int) verdict {
				mu.Lock()
				defer mu.Unlock()
				if n := random.IntN(10 * len(verdicts)); n < len(verdicts) {
					return verdicts[n]
				}
				return verdict{}
			}
		}
		via := newProxy(t, address)
		via.script(
			chance(verdict{code: kerr.NotLeaderForPartition.Code}, verdict{code: kerr.NotEnoughReplicas.Code}, verdict{cut: true}),
			chance(verdict{code: kerr.RequestTimedOut.Code}, verdict{garble: true}, verdict{cut: true}))
		name := topic(t, address, 1)
		p := producer(t, engine, via.address(), "linger.ms", "1", "batch.size", "700", "connections.max.idle.ms", "100", "metadata.max.age.ms", "20")
		sent := 0
		for range 150 {
			var futures []*client.Future
			for range 1 + 20*(digit(&mu, random)/9) {
				futures = append(futures, p.Send(limited(t), numbered(name, sent)))
				sent++
			}
			for _, f := range futures {
				if m, err := f.Get(limited(t)); err != nil {
					t.Fatalf("record at %d: %v", m.Offset, err)
				}
			}
		}
		wantSequence(t, stored(t, address, name), sent)
	})
}

// digit is a number below ten.
func digit(mu *sync.Mutex, r *rand.Rand) int {
	mu.Lock()
	defer mu.Unlock()
	return r.IntN(10)
}

// Requests that hold only some of the batches that are ready, several senders, and trouble.
func TestSmallRequestsManyPartitions(t *testing.T) {
	address := serving(t)
	engines(t, func(t *testing.T, engine string) {
		const senders, each, partitions = 4, 300, 6
		via := newProxy(t, address)
		via.script(every(9, verdict{code: kerr.NotLeaderForPartition.Code}), every(13, verdict{cut: true}))
		name := topic(t, address, partitions)
		p := producer(t, engine, via.address(), "linger.ms", "1", "batch.size", "600", "max.request.size", "2000", "buffer.memory", "20000")
		var wait sync.WaitGroup
		for s := range senders {
			wait.Go(func() {
				for i := range each {
					r := numbered(name, s*each+i)
					r.Partition = new(int32(i % partitions))
					if err := p.Fire(limited(t), r); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wait.Wait()
		if err := p.Flush(limited(t)); err != nil {
			t.Fatal(err)
		}
		last, total := map[string]int{}, 0
		for _, r := range stored(t, address, name) {
			n := numberOf(t, r)
			line := fmt.Sprint(n/each, "-", r.Partition)
			if before, seen := last[line]; seen && n != before+partitions || int32(n%each%partitions) != r.Partition {
				t.Fatalf("sender and partition %s: record %d behind %d", line, n, before)
			}
			last[line], total = n, total+1
		}
		if total != senders*each {
			t.Errorf("%d records are stored, want %d", total, senders*each)
		}
	})
}
