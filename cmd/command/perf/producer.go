package perf

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ProducerOptions describe a run of the producer performance test.
type ProducerOptions struct {
	Topic   string
	Records int64
	// Exactly one of these says what the values are.
	RecordSize int
	Payloads   [][]byte
	Monotonic  bool
	// Throughput is how many records a second are sent at most. Negative: as many
	// as go through.
	Throughput float64
	// Warmup is how many records are not part of the steady state.
	Warmup int64
	// Interval is the length of a window. Zero: five seconds.
	Interval time.Duration
	// TransactionDuration commits a transaction each time it has passed. Zero: no
	// transactions.
	TransactionDuration time.Duration
	PrintMetrics        bool
}

// ErrNoTransactions is the error of transactions on a broker that has none.
var ErrNoTransactions = errors.New("this broker does not offer transactions (AddPartitionsToTxn and EndTxn are not among its APIs): " +
	"run without --transactional-id and --transaction-duration-ms")

// Produce sends records and prints how that went.
func Produce(ctx context.Context, so session.Options, o ProducerOptions) error {
	if o.Interval == 0 {
		o.Interval = 5 * time.Second
	}
	hooks := &counters{client: so.Properties["client.id"]}
	s, err := openProducer(ctx, so, &o, hooks)
	if err != nil {
		return err
	}
	defer s.Close()
	if o.TransactionDuration > 0 && !(s.Supports(kmsg.AddPartitionsToTxn) && s.Supports(kmsg.EndTxn)) {
		return ErrNoTransactions
	}
	if o.Warmup > 0 {
		fmt.Fprintf(s.Out, "Warmup first %d records. Steady state results will print after the complete test summary.\n", o.Warmup)
	}
	now := time.Now()
	r := producing{s: s, o: &o, values: newPayloads(&o), throttle: throttle{rate: o.Throughput, start: now},
		all: newStatistics(s.Out, o.Records, o.Interval, false, now)}
	r.pool.New = r.newSending
	if err := r.run(ctx); err != nil {
		return err
	}
	end := time.Now()
	r.all.printTotal(end)
	if r.steady != nil {
		r.steady.printTotal(end)
	}
	if o.PrintMetrics {
		hooks.print(s.Out, "producer", r.all.count)
	}
	return nil
}

// openProducer gives a client the defaults of Kafka's producer. A batch is as large
// as batch.size says, or as one record needs.
func openProducer(ctx context.Context, so session.Options, o *ProducerOptions, hooks *counters) (*session.Session, error) {
	so.Role |= session.Producer
	for name, value := range map[string]string{"linger.ms": "5", "compression.type": "none", "buffer.memory": "33554432", "delivery.timeout.ms": "120000", "batch.size": "16384"} {
		so.Properties.Default(name, value)
	}
	batch, err := strconv.ParseInt(so.Properties["batch.size"], 10, 32)
	if err != nil {
		return nil, fmt.Errorf("Invalid value %s for configuration batch.size: Not a number of type INT", so.Properties["batch.size"])
	}
	longest := o.RecordSize
	for _, p := range o.Payloads {
		longest = max(longest, len(p))
	}
	const overhead = 512 // of a batch and of a record in it, at most
	so.Client = append(so.Client, kgo.ProducerBatchMaxBytes(int32(max(int(batch), longest+overhead))),
		kgo.AllowAutoTopicCreation(), kgo.WithHooks(hooks))
	return session.Open(ctx, so)
}

// producing is one run of Produce. Owner: the sending goroutine; statistics belong
// to the one that the client calls back on.
type producing struct {
	s        *session.Session
	o        *ProducerOptions
	values   payloads
	throttle throttle
	all      *statistics
	steady   *statistics
	pool     sync.Pool
}

// sending is a record under way. Ownership: it goes back to the pool, value and
// all, once its promise was kept.
type sending struct {
	run     *producing
	record  kgo.Record
	buf     []byte
	start   time.Time
	steady  *statistics
	promise func(*kgo.Record, error)
}

func (p *producing) newSending() any {
	one := &sending{run: p}
	one.promise = one.done
	return one
}

func (one *sending) done(_ *kgo.Record, err error) {
	p := one.run
	if err != nil {
		fmt.Fprintln(p.s.Err, session.Exception(err))
	} else {
		now := time.Now()
		latency := now.Sub(one.start)
		p.all.record(latency, len(one.record.Value), now)
		if one.steady != nil {
			one.steady.record(latency, len(one.record.Value), now)
		}
	}
	one.record, one.steady = kgo.Record{}, nil
	p.pool.Put(one)
}

// run sends every record and waits for the last acknowledgement.
func (p *producing) run(ctx context.Context) error {
	var transaction time.Time // when the open one began
	for i := int64(0); i < p.o.Records && ctx.Err() == nil; i++ {
		now := time.Now()
		if p.o.TransactionDuration > 0 && transaction.IsZero() {
			if err := p.s.Client.BeginTransaction(); err != nil {
				return fmt.Errorf("begin a transaction: %w", err)
			}
			transaction = now
		}
		if p.o.Warmup > 0 && i == p.o.Warmup {
			p.steady = newStatistics(p.s.Out, p.o.Records-p.o.Warmup, p.o.Interval, true, now)
			p.all.quiet.Store(true)
		}
		p.send(i, now)
		if !transaction.IsZero() && now.Sub(transaction) >= p.o.TransactionDuration {
			if err := p.commit(ctx); err != nil {
				return err
			}
			transaction = time.Time{}
		}
		p.throttle.wait(ctx, i, now)
	}
	if !transaction.IsZero() {
		return p.commit(ctx)
	}
	if err := p.s.Client.Flush(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("wait for the last records: %w", err)
	}
	return nil
}

func (p *producing) send(i int64, now time.Time) {
	one := p.pool.Get().(*sending)
	value := p.values.next(one.buf, i)
	if len(p.o.Payloads) == 0 {
		one.buf = value
	}
	one.record.Topic, one.record.Value = p.o.Topic, value
	one.start, one.steady = now, p.steady
	p.s.Client.Produce(context.Background(), &one.record, one.promise)
}

func (p *producing) commit(ctx context.Context) error {
	if err := p.s.Client.Flush(ctx); err != nil {
		return fmt.Errorf("wait for the records of a transaction: %w", err)
	}
	if err := p.s.Client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("commit a transaction: %w", err)
	}
	return nil
}
