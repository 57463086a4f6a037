package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	_ "github.com/millrace/millrace/plugins/wasm"
	. "github.com/millrace/millrace/plugins/wasm/assemble"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/chain"
	"github.com/millrace/millrace/sdk/client"
)

// module is the settings of an example in testdata of plugins/wasm: key, value, key, value.
func module(name, file string, more ...string) []string {
	return append([]string{"plugin." + name + ".type", "wasm", "plugin." + name + ".path", filepath.Join("../../../plugins/wasm/testdata", file+".wasm")}, more...)
}

// The modules that brokers load, in a producer and in a consumer: whatever broker is behind them stores, and gives
// back, what a broker with the same modules would.
func TestModulesThatSeeBatches(t *testing.T) {
	address := serving(t)
	for _, codec := range []string{"none", "lz4"} {
		t.Run(codec, func(t *testing.T) {
			name, logs := topic(t, address, 2), topic(t, address, 1)
			settings := slices.Concat(module("hide", "mask"), module("sort", "filter", "plugin.sort.config.topic", logs),
				[]string{"interceptors", "sort,hide", "linger.ms", "5", "batch.size", "2000", "compression.type", codec})
			p := producer(t, client.EngineNative, address, settings...)
			var futures []*client.Future
			const count = 400
			for i := range count {
				text := fmt.Sprintf("%d paid with 4111111111111111", i)
				if i%4 == 0 {
					text = fmt.Sprintf("debug: %d", i)
				}
				futures = append(futures, p.Send(limited(t), &record{Topic: name, Partition: new(int32(i % 2)), Value: []byte(text)}))
			}
			for i, f := range futures {
				want := name
				if i%4 == 0 {
					want = logs
				}
				if m, err := f.Get(limited(t)); err != nil || m.Topic != want || m.Offset < 0 {
					t.Fatalf("record %d: %+v, %v", i, m, err)
				}
			}
			kept, routed := stored(t, address, name), stored(t, address, logs)
			if len(kept) != count*3/4 || len(routed) != count/4 {
				t.Errorf("%d records are stored and %d elsewhere", len(kept), len(routed))
			}
			last := map[int32]int{}
			for _, r := range kept {
				n := 0
				if _, err := fmt.Sscanf(string(r.Value), "%d paid with ************1111", &n); err != nil || n < last[r.Partition] {
					t.Fatalf("%q is stored behind %d", r.Value, last[r.Partition])
				}
				last[r.Partition] = n
			}
			stamped(t, address, name, len(kept))
		})
	}
}

// stamped reads with a module that stamps.
func stamped(t *testing.T, address, topic string, count int) {
	t.Helper()
	config := client.Config{"bootstrap.servers": address, "auto.offset.reset": "earliest", "interceptors": "stamp"}
	for pair := range slices.Chunk(module("stamp", "stamp", "plugin.stamp.config.value", "here"), 2) {
		config[pair[0]] = pair[1]
	}
	c, err := client.NewConsumer(config, client.ConsumerOptions[[]byte, []byte]{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(limited(t)); err != nil {
			t.Error(err)
		}
	}()
	if err := c.Assign(sdk.TopicPartition{Topic: topic}, sdk.TopicPartition{Topic: topic, Partition: 1}); err != nil {
		t.Fatal(err)
	}
	for seen, ctx := 0, limited(t); seen < count; {
		records, err := c.Poll(ctx, time.Second)
		if err != nil || ctx.Err() != nil {
			t.Fatalf("after %d records: %v", seen, err)
		}
		for _, r := range records {
			if h := r.Headers; len(h) != 1 || h[0].Key != "origin" || string(h[0].Value) != "here" {
				t.Fatalf("a record has the headers %v", h)
			}
			seen++
		}
	}
}

// Batches of three records trap; the broker's error answers, cut connections and dead letters together: each
// record is once where its sender was told, and in order.
func TestDeadLettersSurviveTrouble(t *testing.T) {
	m := Module{Memory: Limits{Min: 8}, Functions: []Function{
		{Export: "millrace_plugin_abi_v1"},
		{Export: "millrace_alloc_in", Params: "i", Results: "i", Code: I32(1 << 16)},
		{Export: "millrace_on_produce", Params: "i", Results: "I", Code: Seq(I32(1<<16+8), Load(), I32(3), Op(0x46), If(Op(0x00)), I64(0))},
	}}
	path := filepath.Join(t.TempDir(), "threes.wasm")
	if err := os.WriteFile(path, m.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	address := serving(t)
	via := newProxy(t, address)
	via.script(every(4, verdict{code: 6}), every(7, verdict{cut: true}))
	name, dead := topic(t, address, 1), topic(t, address, 3)
	p := producer(t, client.EngineNative, via.address(), "interceptors", "threes", "plugin.threes.type", "wasm", "plugin.threes.path", path, "plugin.threes.on.error", "dlq",
		"plugin.threes.dlq.topic", dead, "plugin.threes.breaker.faults", "0", "linger.ms", "30000")
	sent := 0
	var good, bad int
	for round := range 60 {
		count := 1 + round%4
		var futures []*client.Future
		for range count {
			futures = append(futures, p.Send(limited(t), numbered(name, sent)))
			sent++
		}
		if err := p.Flush(limited(t)); err != nil {
			t.Fatal(err)
		}
		for _, f := range futures {
			m, err := f.Get(limited(t))
			want, offset := name, good
			if count == 3 {
				want, offset = dead, bad
			}
			if err != nil || m.Topic != want || m.Partition != 0 || m.Offset != int64(offset) {
				t.Fatalf("round %d: %+v, %v; want %s at %d", round, m, err, want, offset)
			}
			if count == 3 {
				bad++
			} else {
				good++
			}
		}
	}
	wantAscending(t, stored(t, address, name), good)
	letters := stored(t, address, dead)
	wantAscending(t, letters, bad)
	for _, r := range letters {
		says := map[string]string{}
		for _, h := range r.Headers {
			says[h.Key] = string(h.Value)
		}
		if says[chain.HeaderPlugin] != "threes" || says[chain.HeaderTopic] != name || says[chain.HeaderPartition] != "0" || !strings.Contains(says[chain.HeaderError], "unreachable") {
			t.Fatalf("a dead letter says %v", says)
		}
	}
}

// wantAscending fails unless there are so many records, each once, in order.
func wantAscending(t *testing.T, records []*kgo.Record, count int) {
	t.Helper()
	if len(records) != count {
		t.Errorf("%d records are stored, want %d", len(records), count)
	}
	before := -1
	for _, r := range records {
		if n := numberOf(t, r); n <= before {
			t.Fatalf("record %d is behind %d", n, before)
		} else {
			before = n
		}
	}
}

// Modules that see single records hear from the broker what was stored and committed, whichever it is, and what they
// make of records is what others read.
func TestModulesThatSeeRecords(t *testing.T) {
	address := serving(t)
	engines(t, func(t *testing.T, engine string) {
		name, ctx := topic(t, address, 1), limited(t)
		p := producer(t, engine, address, append(module("origin", "producer_interceptor", "plugin.origin.config.name", "shop"), "interceptor.classes", "origin")...)
		for _, v := range []string{"one", "secret two", "debug three", "four"} {
			if _, err := p.Send(ctx, &record{Topic: name, Value: []byte(v)}).Get(ctx); err != nil {
				t.Fatal(err)
			}
		}
		var kept []string
		for _, r := range stored(t, address, name) {
			one := string(r.Value)
			for _, h := range r.Headers {
				one += fmt.Sprintf(" %s=%s", h.Key, h.Value)
			}
			kept = append(kept, one)
		}
		if want := []string{"one origin=shop", "secret two", "debug three origin=shop stored=2", "four origin=shop stored=3"}; !slices.Equal(kept, want) {
			t.Errorf("stored is %q, want %q", kept, want)
		}
		config := client.Config{"bootstrap.servers": address, "auto.offset.reset": "earliest", "group.id": name, "enable.auto.commit": "false",
			"interceptor.classes": "sieve", "max.poll.records": "2"}
		for pair := range slices.Chunk(module("sieve", "consumer_interceptor"), 2) {
			config[pair[0]] = pair[1]
		}
		c, err := client.NewConsumer(config, client.ConsumerOptions[[]byte, []byte]{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := c.Close(limited(t)); err != nil {
				t.Error(err)
			}
		}()
		if err := c.Assign(sdk.TopicPartition{Topic: name}); err != nil {
			t.Fatal(err)
		}
		var read []string
		for len(read) < 3 {
			records, err := c.Poll(ctx, time.Second)
			if err != nil || ctx.Err() != nil {
				t.Fatalf("after %q: %v", read, err)
			}
			for _, r := range records {
				one := fmt.Sprintf("%d %s", r.Offset, r.Value)
				for _, h := range r.Headers {
					one += fmt.Sprintf(" %s=%s", h.Key, h.Value)
				}
				read = append(read, one)
			}
			if err := c.CommitSync(ctx, nil); err != nil {
				t.Fatal(err)
			}
		}
		if want := []string{"0 one", "1 secret two", "3 four stored=3 committed=2"}; !slices.Equal(read, want) {
			t.Errorf("read is %q, want %q", read, want)
		}
		if n := committed(t, address, name, name); n != 4 {
			t.Errorf("the group has committed %d", n)
		}
	})
}

// A broker takes records with any headers, and so do modules that have no business with them.
func TestModulesMeetOddHeaders(t *testing.T) {
	address := serving(t)
	name, ctx := topic(t, address, 2), limited(t)
	odd := append(slices.Repeat([]sdk.Header{{Key: "many"}}, 1500), sdk.Header{Key: "\xff", Value: []byte("x")})
	p := producer(t, client.EngineNative, address, append(module("hide", "mask"), "interceptors", "hide")...)
	if _, err := p.Send(ctx, &record{Topic: name, Partition: new(int32), Value: []byte("paid with 4111111111111111"), Headers: odd}).Get(ctx); err != nil {
		t.Fatal(err)
	}
	kept := stored(t, address, name)
	if len(kept) != 1 || len(kept[0].Headers) != len(odd) || kept[0].Headers[1500].Key != "\xff" || string(kept[0].Value) != "paid with ************1111" {
		t.Errorf("stored are %d records", len(kept))
	}
}
