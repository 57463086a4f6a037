// Package traffic is the work that a broker is given while something is done to it: producers that number their
// records and enter what was acknowledged in a ledger, clients that create topics and commit offsets, and a reader that
// enters everything that is found.
package traffic

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

// ProducerOptions are what a producer writes, and how.
type ProducerOptions struct {
	Name       string // unique among all that write to the topic; no spaces
	Address    string
	Topic      string
	Partitions int
	// AckLeader asks for acks=1 without idempotence. Zero: acks=all, idempotent.
	AckLeader bool
	// Plain sends uncompressed batches. Zero: the client's default codec.
	Plain bool
	Size  int           // values have up to so many bytes. Zero: 200
	Burst int           // records for each partition at a time. Zero: 5
	Pace  time.Duration // between bursts. Zero: 4 ms
}

// A Producer writes numbered records to every partition, at a pace that leaves room to read them all back.
type Producer struct {
	ProducerOptions
	client    *kgo.Client
	filling   string
	next      int64         // the number of the next record; the same in every partition
	ended     chan struct{} // closed when Run is over
	failure   atomic.Pointer[error]
	abandoned atomic.Bool // what fails from now on was cut off on purpose
	deaf      atomic.Bool // acknowledgements count no more
	calls     sync.WaitGroup
}

// NewProducer makes a producer; it ends with Abandon.
func NewProducer(o ProducerOptions) (*Producer, error) {
	if o.Size == 0 {
		o.Size = 200
	}
	if o.Burst == 0 {
		o.Burst = 5
	}
	if o.Pace == 0 {
		o.Pace = 4 * time.Millisecond
	}
	settings := []kgo.Opt{kgo.SeedBrokers(o.Address), kgo.DefaultProduceTopic(o.Topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.MaxBufferedRecords(5000), kgo.AlwaysRetryEOF(), kgo.MetadataMinAge(50 * time.Millisecond)}
	if o.AckLeader {
		settings = append(settings, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	} else {
		settings = append(settings, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.StopProducerOnDataLossDetected())
	}
	if o.Plain {
		settings = append(settings, kgo.ProducerBatchCompression(kgo.NoCompression()))
	}
	k, err := kgo.NewClient(settings...)
	if err != nil {
		return nil, fmt.Errorf("producer %s: %w", o.Name, err)
	}
	return &Producer{ProducerOptions: o, client: k, filling: strings.Repeat("x", o.Size)}, nil
}

// Run writes until ctx ends and enters acknowledgements in each book.
func (p *Producer) Run(ctx context.Context, books ...*ledger.Ledger) {
	p.ended = make(chan struct{})
	ticks := time.NewTicker(p.Pace)
	if p.AckLeader {
		for _, book := range books {
			book.Repeats(p.Name)
		}
	}
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

// burst sends a few records to every partition. A record has its own life: the end of a round does not take it back.
func (p *Producer) burst(books []*ledger.Ledger) {
	for range p.Burst {
		for n := range int32(p.Partitions) {
			number := p.next
			p.calls.Add(1)
			r := &kgo.Record{Partition: n, Value: fmt.Appendf(nil, "%s %d %s", p.Name, number, p.filling[:number*7919%int64(p.Size)])}
			p.client.TryProduce(context.Background(), r, func(r *kgo.Record, err error) {
				defer p.calls.Done()
				switch {
				case err == nil && p.deaf.Load():
				case err == nil:
					for _, book := range books {
						book.Acked(ledger.Stream{Producer: p.Name, Topic: p.Topic, Partition: n}, number, r.Offset)
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

// Deafen has acknowledgements that come from now on count for nothing.
func (p *Producer) Deafen() { p.deaf.Store(true) }

// Abandon ends a producer with what it has under way.
func (p *Producer) Abandon() {
	p.abandoned.Store(true)
	p.client.Close()
	if p.ended != nil {
		<-p.ended
	}
	p.calls.Wait()
}

// Flush waits until everything is acknowledged: a producer that lives through a crash is told of every record.
func (p *Producer) Flush(ctx context.Context) error {
	if p.ended == nil {
		return nil // it has not begun
	}
	<-p.ended
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := p.client.Flush(ctx); err != nil {
		return fmt.Errorf("producer %s was not answered after the restart: %w", p.Name, err)
	}
	p.calls.Wait()
	if failure := p.failure.Load(); failure != nil {
		return fmt.Errorf("producer %s: %w", p.Name, *failure)
	}
	return nil
}
