package wasm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/kit"
)

// calm is a producer of another topic, one record after the other, which wants each of them acknowledged.
type calm struct {
	client *kgo.Client
	stored atomic.Int64  // records that were
	more   chan struct{} // hears of one
	stop   context.CancelFunc
	ended  chan error
}

func beCalm(ctx context.Context, t *testing.T, address string) *calm {
	t.Helper()
	c := &calm{client: connected(t, address), more: make(chan struct{}, 1), ended: make(chan error, 1)}
	ctx, c.stop = context.WithCancel(ctx)
	go func() {
		for n := 0; ctx.Err() == nil; n++ {
			// A record that was begun is ended: whether it is there must be known.
			if err := c.client.ProduceSync(context.WithoutCancel(ctx), &kgo.Record{Topic: "calm", Value: strconv.AppendInt(nil, int64(n), 10)}).FirstErr(); err != nil {
				c.ended <- fmt.Errorf("record %d: %w", n, err)
				return
			}
			c.stored.Add(1)
			select {
			case c.more <- struct{}{}:
			default:
			}
		}
		c.ended <- nil
	}()
	return c
}

// goesOn waits until one record more was stored than there were.
func (c *calm) goesOn(ctx context.Context, t *testing.T) {
	t.Helper()
	for before := c.stored.Load(); c.stored.Load() == before; {
		select {
		case <-c.more:
		case err := <-c.ended:
			t.Fatalf("the calm producer has ended: %v", err)
		case <-ctx.Done():
			t.Fatal("the calm producer does not get on")
		}
	}
}

func connected(t *testing.T, address string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	// Nothing here is given up because a machine is slow: the watchdog is the one time limit.
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(address), kgo.RequestTimeoutOverhead(15*time.Minute), kgo.RetryTimeout(15*time.Minute))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// All malicious modules go through one broker, as `millrace plugin load` loads them, while somebody produces to a topic
// that they have nothing to do with. Each is refused or cut off, the broker stays up, and nothing of the other topic is
// lost or there twice.
func TestABrokerSurvivesMaliciousModules(t *testing.T) {
	dir := t.TempDir()
	broker := kit.Start(t, kit.Options{Settings: map[string]string{"plugin.dir": dir}, Topics: map[string]int32{"calm": 1, "prey": 1}})
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // of a watchdog
	defer cancel()
	prey := connected(t, broker.Address(), kgo.DisableIdempotentWrite(), kgo.ManualFlushing(), kgo.DefaultProduceTopic("prey"))
	admin := kadm.NewClient(prey)
	load := func(name string, module []byte) error {
		if err := os.WriteFile(filepath.Join(dir, name), module, 0o600); err != nil {
			t.Fatal(err)
		}
		return altered(admin.AlterBrokerConfigs(ctx, []kadm.AlterConfig{
			{Name: "plugins", Value: kadm.StringPtr("beast")}, {Name: "plugin.beast.type", Value: kadm.StringPtr("wasm")}, {Name: "plugin.beast.path", Value: kadm.StringPtr(name)},
		}))
	}
	honest := answering(listOf(1, 1, 2))
	if err := load("honest.wasm", honest.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := altered(admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "interceptors.produce", Value: kadm.StringPtr("beast")}}, "prey")); err != nil {
		t.Fatal(err)
	}
	producer := beCalm(ctx, t, broker.Address())
	defer producer.stop()
	for n, name := range slices.Sorted(maps.Keys(malicious)) {
		test := malicious[name]
		err := load(fmt.Sprintf("%d.wasm", n), test.module.Bytes())
		switch {
		case errors.Is(test.want, refusedAtLoad):
			if err == nil {
				t.Errorf("%s: the broker has loaded it", name)
			}
		case err != nil:
			t.Errorf("%s: the broker has not loaded it: %v", name, err)
		default:
			devour(ctx, t, prey, name, test.want)
		}
		producer.goesOn(ctx, t)
	}
	producer.stop()
	if err := <-producer.ended; err != nil {
		t.Fatalf("the calm producer: %v", err)
	}
	allThere(ctx, t, broker.Address(), producer.stored.Load())
	if err := load("honest again.wasm", honest.Bytes()); err != nil {
		t.Errorf("an honest module is not loaded any more: %v", err)
	}
	devour(ctx, t, prey, "an honest module", nil)
}

// devour produces a batch that the module sees.
func devour(ctx context.Context, t *testing.T, prey *kgo.Client, name string, want error) {
	t.Helper()
	answers := make(chan error, 3)
	for _, value := range []string{"a", "b", "c"} {
		prey.Produce(ctx, kgo.StringRecord(value), func(_ *kgo.Record, err error) { answers <- err })
	}
	if err := prey.Flush(ctx); err != nil {
		t.Fatalf("%s: the broker does not answer: %v", name, err)
	}
	answer := kerr.PolicyViolation
	if _, rejects := errors.AsType[*sdk.Rejection](want); rejects {
		answer = kerr.InvalidRecord
	}
	for range 3 {
		if err := <-answers; want == nil && err != nil || want != nil && !errors.Is(err, answer) {
			t.Errorf("%s: the producer hears %v", name, err)
		}
	}
}

// altered is what was wrong with a change of settings.
func altered(answers kadm.AlterConfigsResponses, err error) error {
	for _, one := range answers {
		err = errors.Join(err, one.Err)
	}
	return err
}

// allThere reads the calm topic: each record once, in order.
func allThere(ctx context.Context, t *testing.T, address string, stored int64) {
	t.Helper()
	reader := connected(t, address, kgo.ConsumeTopics("calm"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ends, err := kadm.NewClient(reader).ListEndOffsets(ctx, "calm")
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup("calm", 0)
	if end.Offset != stored {
		t.Errorf("%d records were acknowledged, and the topic has %d", stored, end.Offset)
	}
	for next := int64(0); next < end.Offset; {
		fetched := reader.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			t.Fatal(err)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			if string(r.Value) != strconv.FormatInt(next, 10) {
				t.Fatalf("record %s is where record %d should be", r.Value, next)
			}
			next++
		})
	}
}
