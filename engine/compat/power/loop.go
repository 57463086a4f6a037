package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/disk"
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

// A loop is the whole run. It belongs to one goroutine; producers have their own and reach only their ledgers.
type loop struct {
	options
	logs    string // folder
	starts  int
	address string
	extra   []string // settings
	disk    *disk.Disk
	random  *rand.Rand
	begin   time.Time

	all      *ledger.Ledger // every acknowledgement of every round
	verified traffic.Offsets
	lasting  []*traffic.Producer
	renewed  int // times
	side     *traffic.Side
	within   time.Duration  // a record may be lost that was acknowledged so long before a cut; zero: none
	cuts     map[string]int // by kind
	lost     int64          // bytes of logs that the cuts took, none of them acknowledged
	slowest  time.Duration  // from the start of a broker until it answered
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
	defer func() {
		for _, p := range l.lasting {
			p.Abandon()
		}
	}()
	for number := 1; number <= l.rounds; number++ {
		r := &round{loop: l, number: number, book: ledger.New()}
		running, err = r.play(ctx, running)
		if err != nil && ctx.Err() == nil && errors.Is(err, errDamage) {
			failed++
			fmt.Printf("%6.1f s  round %3d  FAIL %v\n%s\n", time.Since(l.begin).Seconds(), number, err, running.Log())
			if l.expectLoss {
				return failed, nil
			}
			if l.keep != "" {
				return failed, l.save()
			}
			if err := l.renew(); err != nil {
				return failed, err
			}
			continue
		}
		if err != nil {
			return failed, fmt.Errorf("round %d: %w\n%s", number, err, running.Log())
		}
		fmt.Printf("%6.1f s  round %3d  %-22s %6d acked  %6d read\n", time.Since(l.begin).Seconds(), number, r.kind, r.verdict.Acked, r.verdict.Read)
	}
	if err := l.readAll(ctx); err != nil {
		failed++
		fmt.Println("FAIL over all rounds:", err)
	}
	total := l.all.Judge()
	fmt.Printf("\npower cuts: %d rounds in %.0f s, %v; %d records acked, %d lost, %d misplaced, %d duplicated, %d out of order; %d topics created, %d deleted, %d offset commits; %d bytes not acked were lost; slowest start %d ms\n",
		l.rounds, time.Since(l.begin).Seconds(), l.cuts, total.Acked, total.Lost, total.Misplaced, total.Duplicated, total.OutOfOrder,
		l.side.Topics, l.side.Deletions, l.side.Commits, l.lost, l.slowest.Milliseconds())
	if l.within > 0 {
		fmt.Printf("%d records lost that were acknowledged at most %v before a cut; %v were allowed\n", total.Excused, total.Age.Round(time.Millisecond), l.within)
	}
	return failed, running.Stop()
}

func (l *loop) data() string { return filepath.Join(l.disk.Path, "data") }

func (l *loop) settings() []string {
	return append([]string{"log.retention.check.interval.ms=150", "offsets.topic.num.partitions=4"}, l.extra...)
}

func (l *loop) start(ctx context.Context) (*broker.Running, error) {
	begin := time.Now()
	r, err := broker.ServeMillrace(ctx, l.binary, l.data(), l.nextLog(), l.address, "", l.settings()...)
	if err != nil {
		return nil, err
	}
	l.slowest = max(l.slowest, time.Since(begin))
	return r, nil
}

// log is what the last broker printed, nextLog what the next will.
func (l *loop) log() string { return filepath.Join(l.logs, fmt.Sprintf("%04d.log", l.starts)) }

func (l *loop) nextLog() string {
	l.starts++
	return l.log()
}

// save copies what damage can be looked for in.
func (l *loop) save() error {
	return errors.Join(os.CopyFS(filepath.Join(l.keep, "data"), os.DirFS(l.data())), os.CopyFS(filepath.Join(l.keep, "logs"), os.DirFS(l.logs)))
}

// prepare makes the topics and the lasting producers.
func (l *loop) prepare(ctx context.Context) error {
	k, err := kgo.NewClient(kgo.SeedBrokers(l.address))
	if err != nil {
		return err
	}
	admin := kadm.NewClient(k)
	defer admin.Close()
	l.verified, l.cuts = traffic.Offsets{}, map[string]int{}
	for _, t := range []load{few, rolling, many} {
		if _, err := admin.CreateTopic(ctx, int32(t.partitions), 1, t.configs, t.topic); err != nil {
			return fmt.Errorf("create topic %s: %w", t.topic, err)
		}
		l.verified[t.topic] = map[int32]int64{}
	}
	l.side = &traffic.Side{Address: l.address, Group: "power", Topic: few.topic, Every: 8, Keep: 6}
	return l.renew()
}

// renew replaces the lasting producers: one that notices a loss stops for good.
func (l *loop) renew() error {
	for _, p := range l.lasting {
		p.Abandon()
	}
	l.lasting = nil
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

func (l *loop) producer(t load, name string, ackLeader bool) (*traffic.Producer, error) {
	return traffic.NewProducer(traffic.ProducerOptions{Name: name, Address: l.address, Topic: t.topic, Partitions: t.partitions,
		AckLeader: ackLeader, Plain: t.size > 1000, Size: t.size, Burst: t.burst, Pace: t.pace})
}

// readAll reads everything that there is and judges all rounds so far.
func (l *loop) readAll(ctx context.Context) error {
	l.all.Reread()
	from := traffic.Offsets{few.topic: {}, rolling.topic: {}, many.topic: {}}
	if err := traffic.ReadBack(ctx, l.address, from, l.all); err != nil {
		return err
	}
	return l.all.Judge().Err()
}

// spared fails when more of the rolling topic is gone than retention takes.
func (l *loop) spared(ctx context.Context) error {
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

// bytes is how long all segments are together.
func (l *loop) bytes() (total int64, err error) {
	segments, err := filepath.Glob(filepath.Join(l.data(), "*", "*.log"))
	for _, name := range segments {
		info, err := os.Stat(name)
		if err != nil {
			return 0, err
		}
		total += info.Size()
	}
	return total, err
}

// refused tells what the broker has refused or moved aside when it started. A topic that was being deleted may leave a
// folder behind that the metadata no longer knows.
func (l *loop) refused() error {
	text, err := os.ReadFile(l.log())
	if err != nil {
		return err
	}
	var found []error
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "level=ERROR") {
			found = append(found, errors.New(strings.TrimSpace(line)))
		}
	}
	strays, err := filepath.Glob(filepath.Join(l.data(), "*-stray"))
	if err != nil {
		return err
	}
	for _, name := range strays {
		folder, _, _ := strings.Cut(filepath.Base(name), ".")
		if topic := folder[:max(0, strings.LastIndexByte(folder, '-'))]; !l.side.Doomed(topic) {
			found = append(found, fmt.Errorf("%s was moved aside", folder))
		}
	}
	return errors.Join(found...)
}
