package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/ledger"
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

	admin    *kadm.Client
	all      *ledger.Ledger // every acknowledgement of every round
	verified map[int32]int64
	lasting  []*producer
	side     *side
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
		verdict, next, err := l.round(ctx, round, running)
		running = next
		if err != nil {
			return failed, fmt.Errorf("round %d: %w\n%s", round, err, running.Log())
		}
		mark := "ok"
		if verdict.Err() != nil {
			failed++
			mark = "FAIL " + verdict.Err().Error()
		}
		fmt.Printf("%6.1f s  round %2d  %6d acked  %6d read  %s\n", time.Since(l.begin).Seconds(), round, verdict.Acked, verdict.Read, mark)
	}
	for _, p := range l.lasting {
		p.stop()
	}
	total, err := l.readBack(ctx, map[int32]int64{}, l.all)
	if err != nil {
		return failed, fmt.Errorf("read everything again: %w", err)
	}
	if err := running.Stop(); err != nil {
		return failed, err
	}
	if total.Err() != nil {
		failed++
		fmt.Println("FAIL over all rounds:", total.Err())
	}
	fmt.Printf("\nkill -9: %d rounds in %.0f s, %d records acked, %d lost, %d duplicated, %d out of order; %d topics, %d offset commits kept; %d tails torn; slowest start %d ms\n",
		l.rounds, time.Since(l.begin).Seconds(), total.Acked, total.Lost, total.Duplicated, total.OutOfOrder, l.side.topics, l.side.commits, l.torn, l.slowest.Milliseconds())
	return failed, nil
}

// prepare makes the topic and the lasting producers.
func (l *loop) prepare(ctx context.Context) error {
	k, err := kgo.NewClient(kgo.SeedBrokers(l.address), kgo.RetryTimeout(20*time.Second), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		return err
	}
	l.admin = kadm.NewClient(k)
	if _, err := l.admin.CreateTopic(ctx, int32(l.partitions), 1, nil, topic); err != nil {
		return fmt.Errorf("create the topic: %w", err)
	}
	l.all, l.verified = ledger.New(), map[int32]int64{}
	for i := range l.producers {
		p, err := l.producer(fmt.Sprintf("lasting-%d", i))
		if err != nil {
			return err
		}
		l.lasting = append(l.lasting, p)
	}
	l.side = &side{admin: l.admin}
	return nil
}

func (l *loop) close() {
	for _, p := range l.lasting {
		p.client.Close()
	}
	l.admin.Close()
}

// round is one kill. It answers the broker that runs afterwards.
func (l *loop) round(ctx context.Context, number int, running *broker.Running) (ledger.Verdict, *broker.Running, error) {
	book := ledger.New()
	writing, done := context.WithCancel(ctx)
	defer done()
	var passing []*producer
	for i := range l.producers {
		p, err := l.producer(fmt.Sprintf("passing-%d-%d", number, i))
		if err != nil {
			return ledger.Verdict{}, running, err
		}
		passing = append(passing, p)
		defer p.client.Close()
	}
	for _, p := range append(passing, l.lasting...) {
		p.run(writing, book, l.all)
	}
	l.side.run(writing, number)
	l.wait(ctx, l.least+time.Duration(l.random.Int64N(int64(l.most-l.least+1))))
	running.Kill()
	for _, p := range passing {
		p.abandon()
	}
	if err := l.tear(); err != nil {
		return ledger.Verdict{}, running, err
	}
	begin := time.Now()
	next, err := l.start(ctx)
	if err != nil {
		return ledger.Verdict{}, running, err
	}
	l.slowest = max(l.slowest, time.Since(begin))
	done()
	for _, p := range l.lasting {
		if err := p.flush(ctx); err != nil {
			return ledger.Verdict{}, next, err
		}
	}
	if err := l.side.check(ctx, l.address); err != nil {
		return ledger.Verdict{}, next, err
	}
	verdict, err := l.readBack(ctx, l.verified, book)
	return verdict, next, err
}

func (l *loop) wait(ctx context.Context, d time.Duration) {
	soon, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-soon.Done()
}

// readBack reads every partition from the offsets given to its end, enters what it finds, judges, and moves the offsets.
func (l *loop) readBack(ctx context.Context, from map[int32]int64, book *ledger.Ledger) (ledger.Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ends, err := l.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return ledger.Verdict{}, fmt.Errorf("list offsets: %w", err)
	}
	assigned := map[int32]kgo.Offset{}
	left := 0
	for p, end := range ends[topic] {
		if end.Err != nil {
			return ledger.Verdict{}, fmt.Errorf("list offsets of partition %d: %w", p, end.Err)
		}
		if end.Offset < from[p] {
			return ledger.Verdict{}, fmt.Errorf("partition %d ends at %d, and had %d records before", p, end.Offset, from[p])
		}
		if end.Offset > from[p] {
			assigned[p] = kgo.NewOffset().At(from[p])
			left += int(end.Offset - from[p])
		}
	}
	if left == 0 {
		return book.Judge(), nil
	}
	k, err := kgo.NewClient(kgo.SeedBrokers(l.address), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: assigned}))
	if err != nil {
		return ledger.Verdict{}, err
	}
	defer k.Close()
	for left > 0 {
		f := k.PollFetches(ctx)
		if err := f.Err(); err != nil {
			return ledger.Verdict{}, fmt.Errorf("read back, %d records left: %w", left, err)
		}
		for _, r := range f.Records() {
			if r.Offset != from[r.Partition] {
				return ledger.Verdict{}, fmt.Errorf("partition %d: offset %d came where %d is due", r.Partition, r.Offset, from[r.Partition])
			}
			from[r.Partition]++
			left--
			if err := enter(book, r); err != nil {
				return ledger.Verdict{}, err
			}
		}
	}
	return book.Judge(), nil
}

// enter reads whose record it is: `producer number filling`.
func enter(book *ledger.Ledger, r *kgo.Record) error {
	fields := strings.SplitN(string(r.Value), " ", 3)
	if len(fields) != 3 {
		return fmt.Errorf("partition %d offset %d holds what nobody sent: %q", r.Partition, r.Offset, r.Value)
	}
	number, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return fmt.Errorf("partition %d offset %d holds what nobody sent: %w", r.Partition, r.Offset, err)
	}
	book.Read(ledger.Stream{Producer: fields[0], Partition: r.Partition}, number)
	return nil
}

// side is what happens beside the producers: topics are created and offsets committed. Its fields belong to the
// goroutine of run until ended is closed.
type side struct {
	admin   *kadm.Client
	ended   chan struct{}
	topics  int   // created and acknowledged, in all rounds
	commits int   // acknowledged, in all rounds
	acked   int64 // the last offset whose commit was acknowledged
	asked   int64 // the last offset whose commit was sent
	made    []string
}

const sideGroup = "kill"

// run works until a call fails, which the kill sees to, or the round is over.
func (s *side) run(ctx context.Context, round int) {
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		for n := 0; ctx.Err() == nil; n++ {
			call, cancel := context.WithTimeout(ctx, time.Second)
			err := s.one(call, round, n)
			cancel()
			if err != nil {
				return
			}
		}
	}()
}

func (s *side) one(ctx context.Context, round, n int) error {
	if n%20 == 0 {
		name := fmt.Sprintf("side-%d-%d", round, n)
		if _, err := s.admin.CreateTopic(ctx, 1, 1, nil, name); err != nil {
			return err
		}
		s.made = append(s.made, name)
		s.topics++
	}
	var offsets kadm.Offsets
	s.asked++
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: s.asked, LeaderEpoch: -1})
	if err := s.admin.CommitAllOffsets(ctx, sideGroup, offsets); err != nil {
		return err
	}
	s.acked = s.asked
	s.commits++
	return nil
}

// check compares what was acknowledged with what the broker knows after its restart.
func (s *side) check(ctx context.Context, address string) error {
	<-s.ended
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	k, err := kgo.NewClient(kgo.SeedBrokers(address)) // a new one: what a client heard before the kill it may keep
	if err != nil {
		return err
	}
	admin := kadm.NewClient(k)
	defer admin.Close()
	listed, err := admin.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	var lost []error
	for _, name := range s.made {
		if listed[name].Err != nil || len(listed[name].Partitions) != 1 {
			lost = append(lost, fmt.Errorf("topic %s was created and is gone (%v)", name, listed[name].Err))
		}
	}
	if s.commits > 0 {
		fetched, err := admin.FetchOffsets(ctx, sideGroup)
		if err != nil {
			return fmt.Errorf("fetch offsets: %w", err)
		}
		if o, _ := fetched.Lookup(topic, 0); o.Err != nil || o.At < s.acked || o.At > s.asked {
			lost = append(lost, fmt.Errorf("committed offset is %d (%v), acknowledged was %d", o.At, o.Err, s.acked))
		}
	}
	return errors.Join(lost...)
}
