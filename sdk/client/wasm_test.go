package client_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/plugins/wasm"
	"github.com/millrace/millrace/plugins/wasm/abi"
	. "github.com/millrace/millrace/plugins/wasm/assemble"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client"
	"github.com/millrace/millrace/sdk/kit"
)

// celsius is a type that nothing here is registered for.
type celsius int32

// wasmModule is the settings that name a module in testdata of plugins/wasm as a plugin.
func wasmModule(t *testing.T, name, file string) client.Config {
	t.Helper()
	path := filepath.Join("../../plugins/wasm/testdata", file+".wasm")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	return client.Config{
		"plugin." + name + ".type": "wasm", "plugin." + name + ".path": path, "plugin." + name + ".sha256": hex.EncodeToString(sum[:]),
	}
}

func merged(all ...client.Config) client.Config {
	c := client.Config{}
	for _, one := range all {
		for key, value := range one {
			c[key] = value
		}
	}
	return c
}

// Partitioner, serializer, deserializer and assignor as modules, each by its settings alone;
// what they make is read by a client that others wrote.
func TestModulesRunInClients(t *testing.T) {
	for _, engine := range []string{client.EngineNative, client.EngineKgo} {
		t.Run(engine, func(t *testing.T) { runInClients(t, engine) })
	}
}

func runInClients(t *testing.T, engine string) {
	broker := kit.Start(t, kit.Options{Topics: map[string]int32{"readings": 4}})
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	base := client.Config{"bootstrap.servers": broker.Address()}
	producer, err := client.NewProducer(merged(base, wasmModule(t, "by-byte", "partitioner"), wasmModule(t, "reading", "serializer"), client.Config{
		"client.engine": engine, "partitioner.class": "by-byte", "value.serializer": "reading", "plugin.reading.config.header": "unit", "plugin.by-byte.config.first": "3",
	}), client.ProducerOptions[[]byte, celsius]{})
	if err != nil {
		t.Fatal(err)
	}
	const records = 40
	var sent []*client.Future
	for n := range records {
		sent = append(sent, producer.Send(ctx, &client.ProducerRecord[[]byte, celsius]{Topic: "readings", Key: []byte{byte(n), 'k'}, Value: celsius(-n)}))
	}
	for n, future := range sent {
		if where, err := future.Get(ctx); err != nil || where.Partition != int32(n%4) {
			t.Fatalf("record %d went to %+v, want partition %d: %v", n, where, n%4, err)
		}
	}
	cold := &client.ProducerRecord[[]byte, celsius]{Topic: "readings", Value: -300_000}
	if _, err := producer.Send(ctx, cold).Get(ctx); !errors.Is(err, wasm.ErrGuest) || !strings.Contains(err.Error(), "there is no such temperature") {
		t.Errorf("what the guest refuses: %v", err)
	}
	if err := producer.Close(ctx); err != nil {
		t.Fatal(err)
	}
	seenByFranz(ctx, t, broker.Address(), records)
	seenByMembers(ctx, t, base, records)
}

// seenByFranz reads what was produced with franz-go.
func seenByFranz(ctx context.Context, t *testing.T, address string, records int) {
	t.Helper()
	foreign, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics("readings"))
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	for seen := 0; seen < records; {
		fetches := foreign.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d records: %v", seen, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			seen++
			n := int(r.Key[0])
			if want := fmt.Sprintf("%08x", uint32(-n)); fmt.Sprintf("%x", r.Value) != want || r.Partition != int32(n%4) || len(r.Headers) != 1 || r.Headers[0].Key != "unit" || string(r.Headers[0].Value) != "mC" {
				t.Errorf("record %d is %x in partition %d with %v", n, r.Value, r.Partition, r.Headers)
			}
		})
	}
}

// seenByMembers reads it with a group of two, whose assignor and deserializer are modules.
func seenByMembers(ctx context.Context, t *testing.T, base client.Config, records int) {
	t.Helper()
	config := merged(base, wasmModule(t, "reading", "serializer"), wasmModule(t, "fair", "assignor"), client.Config{
		"group.id": "readers", "auto.offset.reset": "earliest", "value.deserializer": "reading", "partition.assignment.strategy": "fair", "heartbeat.interval.ms": "100",
	})
	var members []*client.Consumer[[]byte, celsius]
	for range 2 {
		c, err := client.NewConsumer[[]byte, celsius](config, client.ConsumerOptions[[]byte, celsius]{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := c.Close(ctx); err != nil {
				t.Error(err)
			}
		}()
		if err := c.Subscribe([]string{"readings"}, nil); err != nil {
			t.Fatal(err)
		}
		members = append(members, c)
	}
	seen := map[int]bool{}
	has := func(c *client.Consumer[[]byte, celsius]) int {
		all, err := c.Assignment()
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	for len(seen) < records || has(members[0]) != 2 || has(members[1]) != 2 {
		for _, c := range members {
			all, err := c.Poll(ctx, 50*time.Millisecond)
			if err != nil {
				t.Fatalf("after %d records: %v", len(seen), err)
			}
			for _, r := range all {
				if n := int(r.Key[0]); r.Value != celsius(-n) {
					t.Errorf("record %d is %d", n, r.Value)
				} else {
					seen[n] = true
				}
			}
		}
	}
}

// brokenModule is one of a partitioner that does so.
func brokenModule(t *testing.T, code []byte) client.Config {
	t.Helper()
	m := Module{Memory: Limits{Min: 8}, Functions: []Function{
		{Export: abi.Marker},
		{Export: abi.Alloc, Params: "i", Results: "i", Code: I32(1 << 16)},
		{Export: abi.Partition, Params: "i", Results: "I", Code: code},
	}}
	path := filepath.Join(t.TempDir(), "broken.wasm")
	if err := os.WriteFile(path, m.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return client.Config{"partitioner.class": "broken", "plugin.broken.type": "wasm", "plugin.broken.path": path}
}

func TestABrokenModuleIsToldToTheSender(t *testing.T) {
	broker := kit.Start(t, kit.Options{Topics: map[string]int32{"t": 3}})
	for name, test := range map[string]struct {
		code []byte
		want error
	}{
		"traps": {Op(0x00), wasm.ErrTrap},
		"loops": {Seq(Loop(Br(0)), I64(0)), wasm.ErrFuel},
		"lies":  {I64(3), wasm.ErrOutput},
	} {
		p, err := client.NewProducer(merged(client.Config{"bootstrap.servers": broker.Address()}, brokenModule(t, test.code)), client.ProducerOptions[string, string]{})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			err := p.Fire(t.Context(), &client.ProducerRecord[string, string]{Topic: "t", Value: "v"})
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), "choose a partition of topic t") || !strings.Contains(err.Error(), "broken.wasm") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestModulesThatClientsRefuse(t *testing.T) {
	base := client.Config{"bootstrap.servers": "127.0.0.1:1"}
	pinned := wasmModule(t, "m", "partitioner").With("plugin.m.sha256", strings.Repeat("0", 64))
	for name, test := range map[string]struct {
		config client.Config
		want   string
	}{
		"another file": {pinned.With("partitioner.class", "m"), "not the one that sha256 pins"},
		"another kind": {wasmModule(t, "m", "serializer").With("partitioner.class", "m"), "does not export millrace_partition"},
		"a setting":    {wasmModule(t, "m", "partitioner").With("partitioner.class", "m").With("plugin.m.config.fist", "1"), "unknown setting fist"},
		"a limit":      {wasmModule(t, "m", "partitioner").With("partitioner.class", "m").With("plugin.m.memory", "1"), `unknown setting "memory"`},
		"no type":      {client.Config{"partitioner.class": "m", "plugin.m.path": "x"}, `there is no partitioner "m"`},
	} {
		if _, err := client.NewProducer(merged(base, test.config), client.ProducerOptions[string, string]{}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	if _, err := client.NewConsumer[string, string](merged(base, wasmModule(t, "m", "partitioner"), client.Config{"partition.assignment.strategy": "m"}),
		client.ConsumerOptions[string, string]{}); err == nil || !strings.Contains(err.Error(), "does not export millrace_assign") {
		t.Errorf("a consumer with another kind: %v", err)
	}
	for kind, key := range map[string]string{"millrace_on_produce or millrace_on_fetch": "interceptors", "millrace_on_send": "interceptor.classes"} {
		if _, err := client.NewProducer(merged(base, wasmModule(t, "m", "partitioner"), client.Config{key: "m"}), client.ProducerOptions[string, string]{}); err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "does not export "+kind) {
			t.Errorf("a producer whose %s is another kind: %v", key, err)
		}
	}
}

// interceptorModule is one of an interceptor whose on_produce does so.
func interceptorModule(t *testing.T, code []byte, more ...string) client.Config {
	t.Helper()
	m := Module{Memory: Limits{Min: 8}, Functions: []Function{
		{Export: abi.Marker},
		{Export: abi.Alloc, Params: "i", Results: "i", Code: I32(1 << 16)},
		{Export: abi.OnProduce, Params: "i", Results: "I", Code: code},
		{Export: abi.OnFetch, Params: "i", Results: "I", Code: code},
	}}
	path := filepath.Join(t.TempDir(), "broken.wasm")
	if err := os.WriteFile(path, m.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return with(map[string]string{"interceptors": "broken", "plugin.broken.type": "wasm", "plugin.broken.path": path}, more...)
}

// atCount is code that runs for batches of so many records, and lets all others pass.
func atCount(records int32, code []byte) []byte {
	return Seq(I32(1<<16+8), Load(), I32(records), Op(0x46), If(code), I64(0))
}

// What becomes of the records of a broken module is the policy's to say. An instance that has trapped
// is replaced: the next batch goes through.
func TestABrokenInterceptorOfAProducer(t *testing.T) {
	address := kit.Start(t, kit.Options{Topics: map[string]int32{"t": 1, "dead": 1}}).Address()
	traps, loops := atCount(2, Op(0x00)), atCount(2, Loop(Br(0)))
	for name, test := range map[string]struct {
		code   []byte
		policy string
		topic  string // where records of the batch go; "": they fail
		says   string
	}{
		"traps, fail": {traps, "fail", "", "unreachable"},
		"traps, skip": {traps, "skip", "t", ""},
		"traps, dlq":  {traps, "dlq", "dead", ""},
		"loops, fail": {loops, "fail", "", "fuel"},
		"loops, dlq":  {loops, "dlq", "dead", ""},
		"lies, fail":  {atCount(2, Seq(I64(1<<40|64), Op(0x0f))), "fail", "", "answer"},
		"lies, skip":  {atCount(2, Seq(I64(1<<40|64), Op(0x0f))), "skip", "t", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := valuesProducer(t, interceptorModule(t, test.code, "bootstrap.servers", address, "linger.ms", "30000", "plugin.broken.on.error", test.policy,
				"plugin.broken.dlq.topic", "dead", "plugin.broken.breaker.faults", "0"), client.ProducerOptions[string, string]{})
			send := func(count int) (all []*client.Future) {
				for range count {
					all = append(all, p.Send(t.Context(), &client.ProducerRecord[string, string]{Topic: "t", Value: "v"}))
				}
				if err := p.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				return all
			}
			for range 3 {
				for _, f := range send(2) {
					m, err := f.Get(t.Context())
					if test.topic == "" && (!errors.Is(err, kerr.PolicyViolation) || !strings.Contains(err.Error(), "plugin broken") || !strings.Contains(err.Error(), test.says)) {
						t.Errorf("the error is %v", err)
					}
					if test.topic != "" && (err != nil || m.Topic != test.topic) {
						t.Errorf("it went to %+v, %v", m, err)
					}
				}
				for _, f := range send(3) {
					if m, err := f.Get(t.Context()); err != nil || m.Topic != "t" {
						t.Errorf("the next batch: %+v, %v", m, err)
					}
				}
			}
		})
	}
}

// One that fails too often is switched off, and called no more.
func TestTheBreakerOfAnInterceptorInAProducer(t *testing.T) {
	address := kit.Start(t, kit.Options{Topics: map[string]int32{"t": 1}}).Address()
	p := valuesProducer(t, interceptorModule(t, atCount(2, Op(0x00)), "bootstrap.servers", address, "linger.ms", "30000",
		"plugin.broken.breaker.faults", "2", "plugin.broken.breaker.cooldown.ms", "600000"), client.ProducerOptions[string, string]{})
	fails := func(count int) error {
		var last *client.Future
		for range count {
			last = p.Send(t.Context(), &client.ProducerRecord[string, string]{Topic: "t", Value: "v"})
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := last.Get(t.Context())
		return err
	}
	for range 2 {
		if err := fails(2); err == nil || strings.Contains(err.Error(), "switched off") {
			t.Fatalf("a fault: %v", err)
		}
	}
	if err := fails(1); !errors.Is(err, kerr.PolicyViolation) || !strings.Contains(err.Error(), "switched off") {
		t.Errorf("behind two faults: %v", err)
	}
}

// A consumer whose interceptor traps stays where it is and says so; under skip it gets records as they are.
func TestABrokenInterceptorOfAConsumer(t *testing.T) {
	address := kit.Start(t, kit.Options{Topics: map[string]int32{"t": 1}}).Address()
	p := valuesProducer(t, client.Config{"bootstrap.servers": address, "linger.ms": "30000"}, client.ProducerOptions[string, string]{})
	for range 2 {
		p.Send(t.Context(), &client.ProducerRecord[string, string]{Topic: "t", Value: "v"})
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for policy, want := range map[string]int{"fail": 0, "skip": 2} {
		c, err := client.NewConsumer(interceptorModule(t, atCount(2, Op(0x00)), "bootstrap.servers", address, "auto.offset.reset", "earliest", "plugin.broken.on.error", policy),
			client.ConsumerOptions[string, string]{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Assign(sdk.TopicPartition{Topic: "t"}); err != nil {
			t.Fatal(err)
		}
		records, err := c.Poll(t.Context(), 20*time.Second)
		if len(records) != want || (err != nil) != (want == 0) || err != nil && !strings.Contains(err.Error(), "plugin broken") {
			t.Errorf("%s: %d records, %v", policy, len(records), err)
		}
		if n, err := c.Position(t.Context(), sdk.TopicPartition{Topic: "t"}); err != nil || n != int64(want) {
			t.Errorf("%s: the position is %d, %v", policy, n, err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A module that sends records to other topics does so from a producer.
func TestAModuleThatRoutesInAProducer(t *testing.T) {
	address := kit.Start(t, kit.Options{Topics: map[string]int32{"orders": 1, "logs": 1}}).Address()
	p := valuesProducer(t, merged(wasmModule(t, "sort", "filter"), client.Config{"bootstrap.servers": address, "interceptors": "sort", "linger.ms": "30000"}), client.ProducerOptions[string, string]{})
	var all []*client.Future
	for _, v := range []string{"order 1", "debug: a", "order 2", "debug: b"} {
		all = append(all, p.Send(t.Context(), &client.ProducerRecord[string, string]{Topic: "orders", Value: v}))
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"orders 0", "logs 0", "orders 1", "logs 1"} {
		if m, err := all[i].Get(t.Context()); err != nil || fmt.Sprint(m.Topic, " ", m.Offset) != want {
			t.Errorf("record %d went to %s at %d, %v; want %s", i, m.Topic, m.Offset, err, want)
		}
	}
	if got := readAll(t, client.Config{"bootstrap.servers": address}, "logs", 2); got[0] != "debug: a" || got[1] != "debug: b" {
		t.Errorf("routed are %q", got)
	}
}

// A module sees what a consumer has fetched before its program does.
func TestAModuleInAConsumer(t *testing.T) {
	address := kit.Start(t, kit.Options{Topics: map[string]int32{"t": 1}}).Address()
	p := valuesProducer(t, client.Config{"bootstrap.servers": address}, client.ProducerOptions[string, string]{})
	const count = 500
	for i := range count {
		p.Send(t.Context(), &client.ProducerRecord[string, string]{Topic: "t", Value: fmt.Sprint(i), Headers: []sdk.Header{{Key: "a"}}})
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := client.NewConsumer(merged(wasmModule(t, "stamp", "stamp"), client.Config{"bootstrap.servers": address, "auto.offset.reset": "earliest", "interceptors": "stamp", "plugin.stamp.config.value": "here"}),
		client.ConsumerOptions[string, string]{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Assign(sdk.TopicPartition{Topic: "t"}); err != nil {
		t.Fatal(err)
	}
	for seen := 0; seen < count; {
		records, err := c.Poll(t.Context(), 20*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if h := r.Headers; r.Value != fmt.Sprint(seen) || r.Offset != int64(seen) || len(h) != 2 || h[0].Key != "a" || h[1].Key != "origin" || string(h[1].Value) != "here" {
				t.Fatalf("record %d is %q at %d with %v", seen, r.Value, r.Offset, h)
			}
			seen++
		}
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// said is the headers of a record in one text.
func said(headers []sdk.Header) string {
	var all []string
	for _, h := range headers {
		all = append(all, h.Key+"="+string(h.Value))
	}
	return strings.Join(all, " ")
}

// Interceptors of single records as modules, by settings alone: what a producer's adds is sent and what
// it refuses goes as it was, and a consumer's hears of commits and leaves records out.
func TestModulesThatSeeSingleRecords(t *testing.T) {
	for _, engine := range []string{client.EngineNative, client.EngineKgo} {
		t.Run(engine, func(t *testing.T) {
			address := kit.Start(t, kit.Options{Topics: map[string]int32{"t": 1}}).Address()
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			p := valuesProducer(t, merged(wasmModule(t, "origin", "producer_interceptor"), client.Config{"bootstrap.servers": address, "client.engine": engine,
				"interceptor.classes": "origin", "plugin.origin.config.name": "shop"}), client.ProducerOptions[string, string]{})
			for _, v := range []string{"one", "secret two", "debug three", "four"} {
				if _, err := p.Send(ctx, &client.ProducerRecord[string, string]{Topic: "t", Key: "k", Value: v}).Get(ctx); err != nil {
					t.Fatal(err)
				}
			}
			c, err := client.NewConsumer(merged(wasmModule(t, "sieve", "consumer_interceptor"), client.Config{"bootstrap.servers": address, "auto.offset.reset": "earliest", "group.id": "g", "enable.auto.commit": "false",
				"interceptor.classes": "sieve", "max.poll.records": "2"}), client.ConsumerOptions[string, string]{})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Assign(sdk.TopicPartition{Topic: "t"}); err != nil {
				t.Fatal(err)
			}
			var got []string
			for len(got) < 3 {
				records, err := c.Poll(ctx, time.Second)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range records {
					got = append(got, fmt.Sprintf("%d %s: %s", r.Offset, r.Value, said(r.Headers)))
				}
				if err := c.CommitSync(ctx, nil); err != nil {
					t.Fatal(err)
				}
			}
			if want := []string{"0 one: ", "1 secret two: ", "3 four: stored=3 committed=2"}; !slices.Equal(got, want) {
				t.Errorf("read is %q, want %q", got, want)
			}
			for range 2 {
				if err := c.Close(ctx); err != nil {
					t.Error(err)
				}
			}
			raw := readHeaders(ctx, t, address)
			if want := []string{"origin=shop", "", "origin=shop stored=2", "origin=shop stored=3"}; !slices.Equal(raw, want) {
				t.Errorf("stored headers are %q, want %q", raw, want)
			}
		})
	}
}

// readHeaders are those of the four records of topic t, as a client sees them that others wrote.
func readHeaders(ctx context.Context, t *testing.T, address string) (all []string) {
	t.Helper()
	foreign, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	for len(all) < 4 {
		fetches := foreign.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var headers []sdk.Header
			for _, h := range r.Headers {
				headers = append(headers, sdk.Header{Key: h.Key, Value: h.Value})
			}
			all = append(all, said(headers))
		})
	}
	return all
}

// Values of every type come to a module as such, and come back as what they were.
func TestAModuleSeesValuesOfAnyType(t *testing.T) {
	address := kit.Start(t, kit.Options{Topics: map[string]int32{"t": 1}}).Address()
	p, err := client.NewProducer(merged(wasmModule(t, "origin", "producer_interceptor"), wasmModule(t, "reading", "serializer"), client.Config{"bootstrap.servers": address, "interceptor.classes": "origin",
		"value.serializer": "reading"}), client.ProducerOptions[[]byte, celsius]{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Send(t.Context(), &client.ProducerRecord[[]byte, celsius]{Topic: "t", Value: -7}).Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if got := readAll(t, client.Config{"bootstrap.servers": address}, "t", 1); got[0] != "\xff\xff\xff\xf9" {
		t.Errorf("stored is %x", got[0])
	}
}
