package client_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"syscall"
	"testing"

	"github.com/millrace/millrace/sdk/client"
)

func bytesProducer(t testing.TB, engine, address string) *client.Producer[[]byte, []byte] {
	t.Helper()
	p, err := client.NewProducer(client.Config{"bootstrap.servers": address, "client.engine": engine},
		client.ProducerOptions[[]byte, []byte]{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// processor is the time that this process has spent, in nanoseconds.
func processor() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkFire: what a record of 100 bytes costs, with the broker that acknowledges it in
// the same process. `millrace bench client` measures the client alone.
func BenchmarkFire(b *testing.B) {
	for _, engine := range []string{client.EngineNative, client.EngineKgo} {
		for _, partitions := range []int32{1, 6} {
			b.Run(fmt.Sprintf("%s/%d", engine, partitions), func(b *testing.B) {
				p := bytesProducer(b, engine, nullBroker(b, partitions))
				r := &client.ProducerRecord[[]byte, []byte]{Topic: "t", Value: make([]byte, 100)}
				ctx := context.Background()
				if err := p.Fire(ctx, r); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				before := processor()
				for b.Loop() {
					if err := p.Fire(ctx, r); err != nil {
						b.Fatal(err)
					}
				}
				if err := p.Flush(ctx); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(processor()-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// TestFireAllocatesNothing: in steady state what is allocated is for batches that wait for
// memory, of which each has more than a hundred records.
func TestFireAllocatesNothing(t *testing.T) {
	p := bytesProducer(t, client.EngineNative, nullBroker(t, 3))
	ctx := context.Background()
	r := &client.ProducerRecord[[]byte, []byte]{Topic: "t", Key: []byte("key"), Value: make([]byte, 100)}
	send := func(count int) {
		for range count {
			if err := p.Fire(ctx, r); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	send(300_000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const count = 200_000
	send(count)
	runtime.ReadMemStats(&after)
	if each := float64(after.Mallocs-before.Mallocs) / count; each > 0.05 {
		t.Errorf("a record allocates %.4f times, want none", each)
	}
}
