package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/sim/history"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Topics and group of the rounds under transactions.
const (
	source = "kill-in"
	sink   = "kill-out"
	copier = "kill-copiers"
)

// transactions is a run under transactions: writers fill a topic in transactions, of which they abort every third;
// copiers read what is committed there and write it to another topic, with their offsets in the same transaction. After
// every kill all that was ever noted is judged by package history.
type transactions struct {
	*loop
	begin time.Time

	mu      sync.Mutex //nolint:forbidigo // workers note their operations side by side
	history history.History
	ended   map[history.Result]int
}

func (t *transactions) now() int64 { return time.Since(t.begin).Nanoseconds() }

func (t *transactions) note(o history.Operation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.history.Operations = append(t.history.Operations, o)
	t.ended[o.Result]++
}

// runTransactions plays every round and answers how many were not clean.
func (l *loop) runTransactions(ctx context.Context) (failed int, err error) {
	t := &transactions{loop: l, begin: time.Now(), ended: map[history.Result]int{}}
	running, err := l.start(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { running.Kill() }()
	if err := t.topics(ctx); err != nil {
		return 0, err
	}
	for round := 1; round <= l.rounds; round++ {
		next, err := t.round(ctx, round, running)
		running = next
		if err != nil {
			return failed, fmt.Errorf("round %d: %w\n%s", round, err, running.Log())
		}
		found := history.Check(&t.history)
		mark := "ok"
		if len(found) > 0 {
			failed++
			mark = "FAIL " + history.Summary(found)
		}
		fmt.Printf("%6.1f s  round %2d  %5d committed  %5d aborted  %3d unknown  %6d read  %s\n",
			time.Since(t.begin).Seconds(), round, t.ended[history.OK], t.ended[history.Failed], t.ended[history.Unknown], len(t.history.Reads), mark)
	}
	fmt.Printf("\nkill -9 under transactions: %d rounds in %.0f s, %d committed, %d aborted, %d unknown, %d rounds with anomalies; slowest start %d ms\n",
		l.rounds, time.Since(t.begin).Seconds(), t.ended[history.OK], t.ended[history.Failed], t.ended[history.Unknown], failed, l.slowest.Milliseconds())
	return failed, running.Stop()
}

func (t *transactions) topics(ctx context.Context) error {
	k, err := t.dial()
	if err != nil {
		return err
	}
	admin := kadm.NewClient(k)
	defer admin.Close()
	for _, name := range []string{source, sink} {
		if _, err := admin.CreateTopic(ctx, int32(t.partitions), 1, nil, name); err != nil {
			return fmt.Errorf("create %s: %w", name, err)
		}
	}
	return nil
}

func (t *transactions) dial(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(t.address), kgo.MetadataMinAge(50 * time.Millisecond), kgo.RetryTimeout(20 * time.Second), kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
	}, options...)...)
}

// round is one kill. It answers the broker that runs afterwards.
func (t *transactions) round(ctx context.Context, number int, running *broker.Running) (*broker.Running, error) {
	working, stop := context.WithCancel(ctx)
	defer stop()
	var workers sync.WaitGroup
	for i := range t.producers {
		workers.Go(func() { t.write(working, number, i) })
		workers.Go(func() { t.copy(working, number, i) })
	}
	t.wait(ctx, t.least+time.Duration(t.random.Int64N(int64(t.most-t.least+1))))
	running.Kill()
	begin := time.Now()
	next, err := t.start(ctx)
	if err != nil {
		return running, err
	}
	t.slowest = max(t.slowest, time.Since(begin))
	t.wait(ctx, 300*time.Millisecond) // what was under way goes on
	stop()
	workers.Wait()
	return next, t.readBack(ctx, number)
}

// ended is how a transaction that a client tried to end has ended.
func ended(commit, committed bool, err error) history.Result {
	switch {
	case err != nil && commit:
		return history.Unknown
	case committed:
		return history.OK
	}
	return history.Failed // what is aborted, or was given up before a commit was asked for, never counts
}

// write is a writer: a transaction after the other, of which every third is aborted.
func (t *transactions) write(ctx context.Context, round, worker int) {
	process := fmt.Sprintf("writer-%d", worker)
	for life := 0; ctx.Err() == nil; life++ {
		k, err := t.dial(kgo.TransactionalID(process))
		if err != nil {
			return
		}
		for n := 0; ctx.Err() == nil; n++ {
			o := history.Operation{Process: process, Name: fmt.Sprintf("%s-%d-%d-%d", process, round, life, n), Began: t.now()}
			commit := n%3 != 2
			var records []*kgo.Record
			for i := range 4 {
				w := history.Write{Partition: history.Partition{Topic: source, Index: int32((n + i) % t.partitions)}, Value: fmt.Sprintf("%s/%d", o.Name, i)}
				o.Writes = append(o.Writes, w)
				records = append(records, &kgo.Record{Topic: source, Partition: w.Index, Value: []byte(w.Value)})
			}
			if k.BeginTransaction() != nil {
				break
			}
			err := k.ProduceSync(ctx, records...).FirstErr()
			commit = commit && err == nil
			// The end is asked for even when the round ends: else the next life would have to wait for it.
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			end := k.EndTransaction(ending, kgo.TransactionEndTry(commit))
			cancel()
			o.Result, o.Ended = ended(commit, commit && end == nil, end), t.now()
			t.note(o)
			if err != nil || end != nil {
				break
			}
		}
		k.Close()
	}
}

// copy is a copier: it writes what it reads, and how far it has read, in one transaction.
func (t *transactions) copy(ctx context.Context, round, worker int) {
	process := fmt.Sprintf("copier-%d", worker)
	for life := 0; ctx.Err() == nil; life++ {
		s, err := kgo.NewGroupTransactSession(
			kgo.SeedBrokers(t.address), kgo.TransactionalID(process), kgo.ConsumerGroup(copier), kgo.ConsumeTopics(source),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.FetchMaxWait(100*time.Millisecond), kgo.MetadataMinAge(50*time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.HeartbeatInterval(200*time.Millisecond), kgo.SessionTimeout(6*time.Second),
		)
		if err != nil {
			return
		}
		for n := 0; ctx.Err() == nil; n++ {
			if t.copyOnce(ctx, s, process, fmt.Sprintf("%s-%d-%d-%d", process, round, life, n)) != nil {
				break
			}
		}
		s.Close()
	}
}

var errGoOn = errors.New("another session has to go on")

func (t *transactions) copyOnce(ctx context.Context, s *kgo.GroupTransactSession, process, name string) error {
	fetched := s.PollRecords(ctx, 50)
	if fetched.NumRecords() == 0 {
		return nil
	}
	o := history.Operation{Process: process, Name: name, Began: t.now()}
	if err := s.Begin(); err != nil {
		return err
	}
	sent := kgo.AbortingFirstErrPromise(s.Client())
	for _, r := range fetched.Records() {
		value := name + " copies " + string(r.Value)
		at := history.Partition{Topic: source, Index: r.Partition}
		i := slices.IndexFunc(o.Commits, func(c history.Commit) bool { return c.Partition == at })
		if i < 0 {
			o.Commits = append(o.Commits, history.Commit{Group: copier, Partition: at})
			i = len(o.Commits) - 1
		}
		o.Commits[i].Offset = max(o.Commits[i].Offset, r.Offset+1)
		o.Writes = append(o.Writes, history.Write{Partition: history.Partition{Topic: sink, Index: r.Partition}, Value: value, Of: string(r.Value)})
		s.Produce(ctx, &kgo.Record{Topic: sink, Partition: r.Partition, Value: []byte(value)}, sent.Promise())
	}
	commit := kgo.TransactionEndTry(sent.Err() == nil) // waits for all of them
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	committed, err := s.End(ending, commit)
	o.Result, o.Ended = ended(bool(commit), committed, err), t.now()
	t.note(o)
	if err != nil {
		return errGoOn
	}
	return nil
}

// readBack reads everything from the start, once as a reader of committed records and once as one of all.
func (t *transactions) readBack(ctx context.Context, round int) error {
	k, err := t.dial()
	if err != nil {
		return err
	}
	admin := kadm.NewClient(k)
	defer admin.Close()
	ends, err := t.quiet(ctx, admin)
	if err != nil {
		return err
	}
	t.history.Reads, t.history.Final = nil, fmt.Sprintf("final-%d", round)
	if err := t.read(ctx, t.history.Final, true, ends); err != nil {
		return fmt.Errorf("read committed: %w", err)
	}
	if err := t.read(ctx, fmt.Sprintf("all-%d", round), false, ends); err != nil {
		return fmt.Errorf("read uncommitted: %w", err)
	}
	at := t.now()
	offsets, err := admin.FetchOffsets(ctx, copier)
	if err != nil {
		return fmt.Errorf("fetch offsets: %w", err)
	}
	offsets.Each(func(o kadm.OffsetResponse) {
		t.history.Offsets = append(t.history.Offsets, history.Fetched{
			Group: copier, Partition: history.Partition{Topic: o.Topic, Index: o.Partition}, Offset: o.At, At: at,
		})
	})
	return nil
}

// quiet waits until no transaction is open, and tells where the partitions end. What clients that went away have left
// is fenced by taking their ids over.
func (t *transactions) quiet(ctx context.Context, admin *kadm.Client) (ends kadm.ListedOffsets, err error) {
	for i := range t.producers {
		for _, id := range []string{fmt.Sprintf("writer-%d", i), fmt.Sprintf("copier-%d", i)} {
			k, err := t.dial(kgo.TransactionalID(id))
			if err != nil {
				return nil, err
			}
			_, _, err = k.ProducerID(ctx)
			k.Close()
			if err != nil {
				return nil, fmt.Errorf("take over %s: %w", id, err)
			}
		}
	}
	soon, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		if ends, err = admin.ListEndOffsets(soon, source, sink); err != nil {
			return nil, err
		}
		stable, err := admin.ListCommittedOffsets(soon, source, sink)
		if err != nil {
			return nil, err
		}
		open := 0
		ends.Each(func(o kadm.ListedOffset) {
			if s, _ := stable.Lookup(o.Topic, o.Partition); s.Offset != o.Offset {
				open++
			}
		})
		if open == 0 {
			return ends, nil
		}
		t.loop.wait(soon, 20*time.Millisecond)
		if soon.Err() != nil {
			return nil, fmt.Errorf("%d partitions have a transaction that nobody ends", open)
		}
	}
}

// read reads every partition up to its end.
func (t *transactions) read(ctx context.Context, reader string, committed bool, ends kadm.ListedOffsets) error {
	from := map[string]map[int32]kgo.Offset{}
	left := map[history.Partition]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset == 0 {
			return
		}
		if from[o.Topic] == nil {
			from[o.Topic] = map[int32]kgo.Offset{}
		}
		from[o.Topic][o.Partition] = kgo.NewOffset().AtStart()
		left[history.Partition{Topic: o.Topic, Index: o.Partition}] = o.Offset
	})
	level := kgo.ReadUncommitted()
	if committed {
		level = kgo.ReadCommitted()
	}
	// Control records tell how far a reader has come: every partition ends with one.
	k, err := t.dial(kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(level), kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	defer k.Close()
	soon, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for len(left) > 0 {
		fetched := k.PollFetches(soon)
		if soon.Err() != nil {
			return fmt.Errorf("%d partitions are not read to their end: %w", len(left), soon.Err())
		}
		fetched.EachRecord(func(r *kgo.Record) {
			at := history.Partition{Topic: r.Topic, Index: r.Partition}
			if r.Offset+1 >= left[at] {
				delete(left, at)
			}
			if !r.Attrs.IsControl() {
				t.history.Reads = append(t.history.Reads, history.Read{
					Reader: reader, Committed: committed, Partition: at, Offset: r.Offset, Value: string(r.Value),
				})
			}
		})
	}
	return nil
}
