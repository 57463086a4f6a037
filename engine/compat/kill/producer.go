package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/engine/compat/ledger"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A producer writes numbered records to every partition, at a pace that leaves room to read them all back.
type producer struct {
	name       string
	client     *kgo.Client
	partitions int
	next       int64         // the number of the next record; the same in every partition
	ended      chan struct{} // closed when run is over
	failure    atomic.Pointer[error]
	abandoned  atomic.Bool // what fails from now on was cut off on purpose
	calls      sync.WaitGroup
}

const (
	burst = 5                    // records for each partition at a time
	pace  = 4 * time.Millisecond // between bursts
)

func (l *loop) producer(name string) (*producer, error) {
	k, err := kgo.NewClient(kgo.SeedBrokers(l.address), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerLinger(time.Millisecond), kgo.StopProducerOnDataLossDetected(),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.MaxBufferedRecords(5000), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("producer %s: %w", name, err)
	}
	return &producer{name: name, client: k, partitions: l.partitions}, nil
}

// run writes until ctx ends and enters acknowledgements in each book.
func (p *producer) run(ctx context.Context, books ...*ledger.Ledger) {
	p.ended = make(chan struct{})
	ticks := time.NewTicker(pace)
	go func() {
		defer close(p.ended)
		defer ticks.Stop()
		for !p.abandoned.Load() {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
				p.burst(books)
			}
		}
	}()
}

var filling = strings.Repeat("x", 200)

// burst sends a few records to every partition. A record has its own life: the end of a round does not take it back.
func (p *producer) burst(books []*ledger.Ledger) {
	for range burst {
		for n := range int32(p.partitions) {
			number := p.next
			p.calls.Add(1)
			r := &kgo.Record{Partition: n, Value: fmt.Appendf(nil, "%s %d %s", p.name, number, filling[:number%200])}
			p.client.TryProduce(context.Background(), r, func(_ *kgo.Record, err error) {
				defer p.calls.Done()
				switch {
				case err == nil:
					for _, book := range books {
						book.Acked(ledger.Stream{Producer: p.name, Partition: n}, number)
					}
				case errors.Is(err, kgo.ErrMaxBuffered) || p.abandoned.Load():
				default:
					p.failure.CompareAndSwap(nil, &err)
				}
			})
		}
		p.next++
	}
}

// abandon ends a producer with what it has under way.
func (p *producer) abandon() {
	p.abandoned.Store(true)
	p.client.Close()
	<-p.ended
	p.calls.Wait()
}

// flush waits until everything is acknowledged: a producer that lives through a kill is told of every record.
func (p *producer) flush(ctx context.Context) error {
	<-p.ended
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := p.client.Flush(ctx); err != nil {
		return fmt.Errorf("producer %s was not answered after the restart: %w", p.name, err)
	}
	p.calls.Wait()
	if failure := p.failure.Load(); failure != nil {
		return fmt.Errorf("producer %s: %w", p.name, *failure)
	}
	return nil
}

// stop ends a lasting producer after the last round.
func (p *producer) stop() {
	<-p.ended
	p.client.Close()
}
