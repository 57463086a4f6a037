package client_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/plugins/wasm"
	"github.com/millrace/millrace/plugins/wasm/abi"
	. "github.com/millrace/millrace/plugins/wasm/assemble"
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
}
