package limits

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/loadgen/peers"
	"github.com/millrace/millrace/results"
)

// Figures of the probes of what stands above the log. All of them are driven by franz-go.
const (
	throughput  = "throughput"
	brokerCPU   = "broker CPU"             // per GB of record values
	commitP50   = "commit, p50"            // of a transaction or of offsets
	commitP99   = "commit, p99"            //
	smallest    = "one-record transaction" // begun to committed, one after the other
	cleanTime   = "time"                   // from when the log may be cleaned until it gets no smaller
	cleanCPU    = "processor time"         // of the broker, meanwhile
	cleanMemory = "memory"                 // of the broker, the most meanwhile
	cleanLeft   = "size afterwards"        // of the log
	rebalance   = "time of a rebalance"    // from when members rejoin until the last has its assignment
	rebalanceBy = "processor time of one"  // of the broker, for a rebalance
)

// serve is the broker of the trial's side: a Millrace of its own, or the Kafka that all share.
func (t *trial) serve(ctx context.Context) (b *peers.Broker, done func() error, err error) {
	b, err = t.bench.broker(ctx, t.side, t.dir)
	if err != nil {
		return nil, nil, err
	}
	if b == t.kafka {
		return b, func() error { return nil }, nil
	}
	return b, b.Stop, nil
}

// withTopic runs f with a topic of its own on the side's broker, and takes the topic away.
func (t *trial) withTopic(ctx context.Context, partitions int, config map[string]string, f func(b *peers.Broker, admin *kadm.Client, topic string) error) (err error) {
	b, done, err := t.serve(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address))
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	topic := t.nextTopic()
	settings := map[string]*string{}
	for key, value := range config {
		settings[key] = &value
	}
	if _, err := admin.CreateTopic(ctx, int32(partitions), 1, settings, topic); err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	defer func() {
		if _, gone := admin.DeleteTopics(ctx, topic); gone != nil {
			err = errors.Join(err, fmt.Errorf("delete topic %s: %w", topic, gone))
		}
	}()
	return f(b, admin, topic)
}

// spent is what a broker has used since some moment.
type spent struct {
	pid    int
	began  time.Time
	before loadgen.Usage
}

func spending(pid int) (*spent, error) {
	before, err := loadgen.ReadUsage(pid)
	return &spent{pid, time.Now(), before}, err
}

func (s *spent) now() (wall, processor time.Duration, err error) {
	used, err := loadgen.ReadUsage(s.pid)
	return time.Since(s.began), used.CPU - s.before.CPU, err
}

// moved says what a phase that moved so many bytes came to.
func (t *trial) moved(s *spent, bytes int64) error {
	wall, processor, err := s.now()
	if err != nil {
		return err
	}
	if bytes == 0 {
		return errors.New("nothing was moved")
	}
	t.figure(throughput, results.MegabytesSecond, float64(bytes)/1e6/wall.Seconds())
	t.figure(brokerCPU, results.PerGigabyte, processor.Seconds()/(float64(bytes)/1e9))
	return nil
}

// times are durations of one kind; a histogram of microseconds.
type times struct{ *hdrhistogram.Histogram }

func newTimes() times { return times{hdrhistogram.New(1, time.Minute.Microseconds(), 3)} }

func (h times) add(d time.Duration) {
	_ = h.RecordValue(min(max(1, d.Microseconds()), time.Minute.Microseconds()))
}

func (t *trial) commits(h times) {
	t.figure(commitP50, results.Seconds, float64(h.ValueAtPercentile(50))/1e6)
	t.figure(commitP99, results.Seconds, float64(h.ValueAtPercentile(99))/1e6)
}

// How long a transaction of the probe is open, and what its records hold.
const (
	transactionTime = 100 * time.Millisecond
	recordSize      = 1000
)

// transactions has one producer commit a transaction every 100 ms, as fast as it may
// produce in between; then transactions of one record, one after the other.
func transactions(ctx context.Context, t *trial) error {
	return t.withTopic(ctx, t.row.Partitions, nil, func(b *peers.Broker, _ *kadm.Client, topic string) error {
		client, err := kgo.NewClient(kgo.SeedBrokers(b.Address), kgo.DefaultProduceTopic(topic), kgo.TransactionalID(topic),
			kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(0))
		if err != nil {
			return fmt.Errorf("make a client: %w", err)
		}
		defer client.Close()
		if _, _, err := transact(ctx, client, t.row.Time/4, transactionTime); err != nil { // both warm
			return err
		}
		s, err := spending(b.PID)
		if err != nil {
			return err
		}
		bytes, commits, err := transact(ctx, client, t.row.Time, transactionTime)
		if err != nil {
			return err
		}
		if err := t.moved(s, bytes); err != nil {
			return err
		}
		t.commits(commits)
		began := time.Now()
		_, commits, err = transact(ctx, client, t.row.Time/4, 0)
		t.figure(smallest, results.Seconds, time.Since(began).Seconds()/float64(max(1, commits.TotalCount())))
		return err
	})
}

// transact produces for a while, in transactions that are open so long, or have one record.
// It returns how many bytes were committed, and how long flush and commit took.
func transact(ctx context.Context, client *kgo.Client, whole, open time.Duration) (bytes int64, commits times, err error) {
	commits = newTimes()
	value := make([]byte, recordSize)
	var failed error
	var once sync.Once
	produced := func(_ *kgo.Record, err error) {
		if err != nil {
			once.Do(func() { failed = err })
		}
	}
	for end := time.Now().Add(whole); time.Now().Before(end); {
		if err := client.BeginTransaction(); err != nil {
			return bytes, commits, fmt.Errorf("begin a transaction: %w", err)
		}
		records := 0
		for due := time.Now().Add(open); records == 0 || open > 0 && time.Now().Before(due); {
			for range 1 + 63*min(1, int(open)) { // the clock is not asked for every record
				client.Produce(ctx, kgo.SliceRecord(value), produced)
				records++
			}
		}
		began := time.Now()
		if err := client.Flush(ctx); err != nil {
			return bytes, commits, fmt.Errorf("flush a transaction: %w", err)
		}
		if failed != nil {
			return bytes, commits, fmt.Errorf("produce in a transaction: %w", failed)
		}
		if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
			return bytes, commits, fmt.Errorf("commit a transaction: %w", err)
		}
		commits.add(time.Since(began))
		bytes += int64(records * recordSize)
	}
	return bytes, commits, nil
}

// groupMembers is how many consumers share the topic of the probe.
const groupMembers = 3

// consumers has a group read a topic to its end; each commits after every poll. What is
// measured begins with the first record, when all have their partitions: the coordinator
// waits for late members of a new group.
func consumers(ctx context.Context, t *trial) (err error) {
	b, done, err := t.serve(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	w, records, err := t.fill(ctx, b, t.nextTopic())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop(ctx, b, w.Topic)) }()
	g := &group{address: b.Address, pid: b.PID, topic: w.Topic, records: records, commits: newTimes()}
	if err := g.run(ctx); err != nil {
		return err
	}
	t.figure(throughput, results.MegabytesSecond, float64(g.bytes)/1e6/g.wall.Seconds())
	t.figure(brokerCPU, results.PerGigabyte, g.processor.Seconds()/(float64(g.bytes)/1e9))
	t.commits(g.commits)
	return nil
}

// drop deletes a topic of a broker that others use after this.
func drop(ctx context.Context, b *peers.Broker, topic string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address))
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).DeleteTopics(ctx, topic); err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	return nil
}

// group is three consumers and what they have done so far.
type group struct {
	address, topic  string
	pid             int
	records         int64
	wall, processor time.Duration // from the first record to the last commit

	mu      sync.Mutex //nolint:forbidigo // three consumers add up, once in a poll of ten thousand records
	spent   *spent     // nil before the first record
	read    int64
	bytes   int64
	commits times
}

// run ends when everything is read and committed, or one of them has failed.
func (g *group) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*patience)
	defer cancel()
	polls, end := context.WithCancel(ctx)
	defer end()
	failed := make(chan error, groupMembers)
	for range groupMembers {
		go func() {
			err := g.member(ctx, polls, end)
			if err != nil {
				cancel()
			}
			failed <- err
		}()
	}
	var all []error
	for range groupMembers {
		all = append(all, <-failed)
	}
	return errors.Join(all...)
}

func (g *group) member(ctx, polls context.Context, end func()) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(g.address), kgo.ConsumeTopics(g.topic), kgo.ConsumerGroup(g.topic), kgo.Balancers(kgo.RangeBalancer()),
		kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return fmt.Errorf("make a consumer: %w", err)
	}
	defer client.Close()
	for {
		fetches := client.PollRecords(polls, 10_000)
		if polls.Err() != nil {
			return ctx.Err()
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		if err := g.begin(); err != nil {
			return err
		}
		began := time.Now()
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			return fmt.Errorf("commit offsets: %w", err)
		}
		if err := g.took(fetches, time.Since(began), end); err != nil {
			return err
		}
	}
}

func (g *group) begin() (err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.spent == nil {
		g.spent, err = spending(g.pid)
	}
	return err
}

// took counts what was read and committed, and ends the polls with the last of it.
func (g *group) took(fetches kgo.Fetches, commit time.Duration, end func()) (err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.commits.add(commit)
	fetches.EachRecord(func(r *kgo.Record) {
		g.read++
		g.bytes += int64(len(r.Value))
	})
	switch {
	case g.read > g.records:
		return fmt.Errorf("%d records were read of %d: the group was not stable", g.read, g.records)
	case g.read == g.records:
		g.wall, g.processor, err = g.spent.now()
		end()
	}
	return err
}
