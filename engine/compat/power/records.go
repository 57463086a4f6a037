package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/compat/ledger"
	"github.com/millrace/millrace/engine/compat/traffic"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A load is a topic and what every producer writes to it.
type load struct {
	topic      string
	partitions int
	configs    map[string]*string
	size       int // of values, at most
	burst      int
	pace       time.Duration
}

const (
	retained = 512 << 10
	full     = 10 // every so many rounds everything is read again
)

// The topics of a run. What is written to the rolling one spans several segments every second, most of which retention
// has removed by the end of the round.
var (
	few     = load{topic: "few", partitions: 4, configs: configs("internal.segment.bytes", "1000000"), size: 250, burst: 3, pace: 10 * time.Millisecond}
	rolling = load{topic: "rolling", partitions: 3, configs: configs("internal.segment.bytes", "65536", "retention.bytes", fmt.Sprint(retained)),
		size: 6000, burst: 2, pace: 10 * time.Millisecond}
	many = load{topic: "many", partitions: 200, size: 60, burst: 1, pace: 50 * time.Millisecond}
)

func configs(pairs ...string) map[string]*string {
	m := map[string]*string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &pairs[i+1]
	}
	return m
}

// records is the burden of producers, topics that come and go, and committed offsets.
type records struct {
	*loop
	all      *ledger.Ledger // every acknowledgement of every round
	verified traffic.Offsets
	lasting  []*traffic.Producer
	renewed  int // times
	side     *traffic.Side
	within   time.Duration // a record may be lost that was acknowledged so long before a cut; zero: none

	// Of the round that is played.
	book    *ledger.Ledger
	passing []*traffic.Producer
	rest    context.CancelFunc // ends what is done aside
	done    context.CancelFunc
	verdict ledger.Verdict
}

// prepare makes the topics and the lasting producers.
func (l *records) prepare(ctx context.Context) error {
	k, err := kgo.NewClient(kgo.SeedBrokers(l.address))
	if err != nil {
		return err
	}
	admin := kadm.NewClient(k)
	defer admin.Close()
	l.verified = traffic.Offsets{}
	for _, t := range []load{few, rolling, many} {
		if _, err := admin.CreateTopic(ctx, int32(t.partitions), 1, t.configs, t.topic); err != nil {
			return fmt.Errorf("create topic %s: %w", t.topic, err)
		}
		l.verified[t.topic] = map[int32]int64{}
	}
	l.side = &traffic.Side{Address: l.address, Group: "power", Topic: few.topic, Every: 8, Keep: 6}
	return l.renew()
}

func (l *records) abandon() {
	for _, p := range l.lasting {
		p.Abandon()
	}
	l.lasting = nil
}

// renew replaces the lasting producers: one that notices a loss, or was told a lie, stops for good.
func (l *records) renew() error {
	l.abandon()
	l.renewed++
	if l.expectLoss || l.within > 0 {
		return nil // an idempotent producer is told of a loss, and stops
	}
	for _, t := range []load{few, rolling} {
		p, err := l.producer(t, fmt.Sprintf("lasting-%d", l.renewed), false)
		if err != nil {
			return err
		}
		l.lasting = append(l.lasting, p)
	}
	return nil
}

func (l *records) producer(t load, name string, ackLeader bool) (*traffic.Producer, error) {
	return traffic.NewProducer(traffic.ProducerOptions{Name: name, Address: l.address, Topic: t.topic, Partitions: t.partitions,
		AckLeader: ackLeader, Plain: t.size > 1000, Size: t.size, Burst: t.burst, Pace: t.pace})
}

// begin sets everybody to work: always some of everything, and of one thing more.
func (l *records) begin(ctx context.Context, number int) error {
	l.book, l.passing = ledger.New(), nil
	working, done := context.WithCancel(ctx)
	aside, rest := context.WithCancel(working)
	l.done, l.rest = done, rest
	name := fmt.Sprintf("passing-%d", number)
	loads := []load{few, rolling}
	if l.random.IntN(3) == 0 {
		loads = append(loads, many)
	}
	for _, t := range loads {
		for _, ackLeader := range []bool{false, true} {
			p, err := l.producer(t, fmt.Sprintf("%s-%v", name, ackLeader), ackLeader)
			if err != nil {
				return err
			}
			l.passing = append(l.passing, p)
		}
	}
	for _, p := range append(l.passing, l.lasting...) {
		p.Run(working, l.book, l.all)
	}
	return l.side.Run(aside, number)
}

// deafen has all that is answered from now on not count.
func (l *records) deafen() {
	l.rest()
	l.side.Wait()
	for _, p := range append(l.passing, l.lasting...) {
		p.Deafen()
	}
}

// struck ends who does not outlive the cut.
func (l *records) struck(moment time.Time, lied bool) error {
	for _, p := range l.passing {
		p.Abandon()
	}
	if l.within > 0 {
		l.book.Excuse(moment, l.within)
		l.all.Excuse(moment, l.within)
	}
	if lied {
		return l.renew()
	}
	return nil
}

// end ends the round's work.
func (l *records) end() { l.done() }

// check looks at everything that was acknowledged.
func (l *records) check(ctx context.Context, number int) error {
	l.done()
	var wrong []error // all of it, for whoever looks for the reason
	for _, p := range l.lasting {
		wrong = append(wrong, p.Flush(ctx))
	}
	if l.within > 0 {
		l.side.Wait() // its records and commits are in the same mode, and nobody noted when they were acknowledged
	} else {
		wrong = append(wrong, l.side.Check(ctx))
	}
	wrong = append(wrong, traffic.ReadBack(ctx, l.address, l.verified, l.book))
	l.verdict = l.book.Judge()
	if err := errors.Join(append(wrong, l.verdict.Err(), l.refused(l.side.Doomed), l.spared(ctx))...); err != nil || number%full != 0 {
		return err
	}
	return l.readAll(ctx)
}

// round says what the last round had.
func (l *records) round() string {
	return fmt.Sprintf("%6d acked  %6d read", l.verdict.Acked, l.verdict.Read)
}

// finish judges all rounds.
func (l *records) finish(ctx context.Context) error {
	defer l.abandon()
	return l.readAll(ctx)
}

// summary says what all rounds had.
func (l *records) summary() string {
	total := l.all.Judge()
	text := fmt.Sprintf("%d records acked, %d lost, %d misplaced, %d duplicated, %d out of order; %d topics created, %d deleted, %d offset commits",
		total.Acked, total.Lost, total.Misplaced, total.Duplicated, total.OutOfOrder, l.side.Topics, l.side.Deletions, l.side.Commits)
	if l.within > 0 {
		text += fmt.Sprintf("; %d records lost that were acknowledged at most %v before a cut, %v were allowed",
			total.Excused, total.Age.Round(time.Millisecond), l.within)
	}
	return text
}

// readAll reads everything that there is and judges all rounds so far.
func (l *records) readAll(ctx context.Context) error {
	l.all.Reread()
	from := traffic.Offsets{few.topic: {}, rolling.topic: {}, many.topic: {}}
	if err := traffic.ReadBack(ctx, l.address, from, l.all); err != nil {
		return err
	}
	return l.all.Judge().Err()
}

// spared fails when more of the rolling topic is gone than retention takes.
func (l *records) spared(ctx context.Context) error {
	k, err := kgo.NewClient(kgo.SeedBrokers(l.address))
	if err != nil {
		return err
	}
	admin := kadm.NewClient(k)
	defer admin.Close()
	var set kadm.TopicsSet
	set.Add(rolling.topic)
	described, err := admin.DescribeAllLogDirs(ctx, set)
	if err != nil {
		return fmt.Errorf("describe folders: %w", err)
	}
	starts, err := admin.ListStartOffsets(ctx, rolling.topic)
	if err != nil {
		return fmt.Errorf("list start offsets: %w", err)
	}
	var wrong []error
	described.Each(func(dir kadm.DescribedLogDir) {
		dir.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			// The cut may have taken a few batches more, which were not acknowledged.
			if o, _ := starts.Lookup(p.Topic, p.Partition); o.Offset > 0 && p.Size < retained*3/4 {
				wrong = append(wrong, fmt.Errorf("%s-%d begins at %d and has only %d bytes, retention keeps %d", p.Topic, p.Partition, o.Offset, p.Size, retained))
			}
		})
	})
	return errors.Join(wrong...)
}
