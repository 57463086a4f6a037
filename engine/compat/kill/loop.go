package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/ledger"
	"github.com/millrace/millrace/engine/compat/traffic"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const topic = "kill"

// A loop is the whole run. It belongs to one goroutine; producers have their own and reach only their ledgers.
type loop struct {
	options
	dir     string
	address string
	start   func(context.Context) (*broker.Running, error)
	random  *rand.Rand
	begin   time.Time

	all      *ledger.Ledger // every acknowledgement of every round
	verified traffic.Offsets
	lasting  []*traffic.Producer
	side     *traffic.Side
	torn     int
	slowest  time.Duration // from the start of a broker until it answered
}

// run plays every round and answers how many were not clean.
func (l *loop) run(ctx context.Context) (failed int, err error) {
	running, err := l.start(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { running.Kill() }()
	if err := l.prepare(ctx); err != nil {
		return 0, err
	}
	defer l.close()
	for round := 1; round <= l.rounds; round++ {
		var verdict ledger.Verdict
		running, err = l.timed(ctx, running, func(ctx context.Context) (next *broker.Running, err error) {
			verdict, next, err = l.round(ctx, round, running)
			return next, err
		})
		if err != nil {
			return failed, fmt.Errorf("round %d: %w", round, err)
		}
		mark := "ok"
		if verdict.Err() != nil {
			failed++
			mark = "FAIL " + verdict.Err().Error()
		}
		fmt.Printf("%6.1f s  round %2d  %6d acked  %6d read  %s\n", time.Since(l.begin).Seconds(), round, verdict.Acked, verdict.Read, mark)
	}
	l.close()
	if err := traffic.ReadBack(ctx, l.address, traffic.Offsets{topic: {}}, l.all); err != nil {
		return failed, fmt.Errorf("read everything again: %w", err)
	}
	total := l.all.Judge()
	if err := running.Stop(); err != nil {
		return failed, err
	}
	if total.Err() != nil {
		failed++
		fmt.Println("FAIL over all rounds:", total.Err())
	}
	fmt.Printf("\nkill -9: %d rounds in %.0f s, %d records acked, %d lost, %d misplaced, %d duplicated, %d out of order; %d topics, %d offset commits kept; %d tails torn; slowest start %d ms\n",
		l.rounds, time.Since(l.begin).Seconds(), total.Acked, total.Lost, total.Misplaced, total.Duplicated, total.OutOfOrder, l.side.Topics, l.side.Commits, l.torn, l.slowest.Milliseconds())
	return failed, nil
}

// prepare makes the topic and the lasting producers.
func (l *loop) prepare(ctx context.Context) error {
	k, err := kgo.NewClient(kgo.SeedBrokers(l.address), kgo.RetryTimeout(20*time.Second), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		return err
	}
	admin := kadm.NewClient(k)
	defer admin.Close()
	if _, err := admin.CreateTopic(ctx, int32(l.partitions), 1, nil, topic); err != nil {
		return fmt.Errorf("create the topic: %w", err)
	}
	l.all, l.verified = ledger.New(), traffic.Offsets{topic: {}}
	for i := range l.producers {
		p, err := l.producer(fmt.Sprintf("lasting-%d", i))
		if err != nil {
			return err
		}
		l.lasting = append(l.lasting, p)
	}
	l.side = &traffic.Side{Address: l.address, Group: "kill", Topic: topic}
	return nil
}

func (l *loop) producer(name string) (*traffic.Producer, error) {
	return traffic.NewProducer(traffic.ProducerOptions{Name: name, Address: l.address, Topic: topic, Partitions: l.partitions})
}

func (l *loop) close() {
	for _, p := range l.lasting {
		p.Abandon()
	}
}

// roundTime is how long a round may take, so that a broker which does not answer is found out.
const roundTime = 2 * time.Minute

var errSlow = fmt.Errorf("the round took longer than %v", roundTime)

// timed plays a round within its time, and says of one that fails what the broker printed.
func (l *loop) timed(ctx context.Context, running *broker.Running, round func(context.Context) (*broker.Running, error)) (*broker.Running, error) {
	soon, cancel := context.WithTimeoutCause(ctx, roundTime, errSlow)
	defer cancel()
	next, err := round(soon)
	if err == nil {
		return next, nil
	}
	if next == nil {
		next = running
	}
	if cause := context.Cause(soon); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return next, fmt.Errorf("%w\n%s", err, next.Log())
}

// strike gives the broker its time under load and kills it. A broker that has died before is an error.
func (l *loop) strike(ctx context.Context, running *broker.Running) error {
	watched, end := running.Watch(ctx)
	defer end()
	l.wait(watched, l.least+time.Duration(l.random.Int64N(int64(l.most-l.least+1))))
	if err := context.Cause(watched); err != nil {
		return err
	}
	running.Kill()
	return running.Fallen()
}

// revive starts the broker again. What needs it has the context that is answered: it ends when the broker falls.
func (l *loop) revive(ctx context.Context) (*broker.Running, context.Context, context.CancelFunc, error) {
	begin := time.Now()
	next, err := l.start(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	l.slowest = max(l.slowest, time.Since(begin))
	watched, end := next.Watch(ctx)
	return next, watched, end, nil
}

// why prefers the reason for which a context ended to the errors that came of it.
func why(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// round is one kill. It answers the broker that runs afterwards.
func (l *loop) round(ctx context.Context, number int, running *broker.Running) (ledger.Verdict, *broker.Running, error) {
	book := ledger.New()
	writing, done := context.WithCancel(ctx)
	defer done()
	var passing []*traffic.Producer
	for i := range l.producers {
		p, err := l.producer(fmt.Sprintf("passing-%d-%d", number, i))
		if err != nil {
			return ledger.Verdict{}, running, err
		}
		passing = append(passing, p)
		defer p.Abandon()
	}
	for _, p := range append(passing, l.lasting...) {
		p.Run(writing, book, l.all)
	}
	if err := l.side.Run(writing, number); err != nil {
		return ledger.Verdict{}, running, err
	}
	if err := l.strike(ctx, running); err != nil {
		return ledger.Verdict{}, running, err
	}
	for _, p := range passing {
		p.Abandon()
	}
	if err := l.tear(); err != nil {
		return ledger.Verdict{}, running, err
	}
	next, watched, end, err := l.revive(ctx)
	if err != nil {
		return ledger.Verdict{}, running, err
	}
	defer end()
	done()
	for _, p := range l.lasting {
		if err := p.Flush(watched); err != nil {
			return ledger.Verdict{}, next, why(watched, err)
		}
	}
	if err := l.side.Check(watched); err != nil {
		return ledger.Verdict{}, next, why(watched, err)
	}
	err = traffic.ReadBack(watched, l.address, l.verified, book)
	return book.Judge(), next, why(watched, err)
}

func (l *loop) wait(ctx context.Context, d time.Duration) {
	soon, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-soon.Done()
}
