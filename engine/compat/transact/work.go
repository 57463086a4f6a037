package transact

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/engine/sim/history"
	"github.com/twmb/franz-go/pkg/kgo"
)

func (l *Load) writer(i int) string { return fmt.Sprintf("%s-writer-%d", l.Name, i) }
func (l *Load) copier(i int) string { return fmt.Sprintf("%s-copier-%d", l.Name, i) }

// leaveTime is how long a copier may take to leave its group.
const leaveTime = 500 * time.Millisecond

// How a writer's transactions end.
const (
	abortEvery = 3
	leaveEvery = 16 // it goes away, and its next life finds the transaction open
)

// write is a writer: a transaction after the other.
func (l *Load) write(ctx context.Context, worker int) {
	process, round := l.writer(worker), l.round
	for life := 0; ctx.Err() == nil; life++ {
		k, err := kgo.NewClient(l.options(append(version(worker), kgo.WithContext(l.alive), kgo.TransactionalID(process))...)...)
		if err != nil {
			l.wrong("client", "%s: %v", process, err)
			return
		}
		l.keep(k)
		for n := 0; ctx.Err() == nil; n++ {
			if l.writeOnce(ctx, k, process, fmt.Sprintf("%s-%d-%d-%d", process, round, life, n), n) != nil {
				break
			}
		}
		l.forget(k)
	}
}

func (l *Load) writeOnce(ctx context.Context, k *kgo.Client, process, name string, n int) error {
	o := history.Operation{Process: process, Name: name, Began: l.now()}
	var records []*kgo.Record
	for i := range 4 {
		w := history.Write{Partition: history.Partition{Topic: l.source, Index: int32((n + i) % l.Partitions)}, Value: fmt.Sprintf("%s/%d", name, i)}
		o.Writes = append(o.Writes, w)
		records = append(records, &kgo.Record{Topic: l.source, Partition: w.Index, Value: []byte(w.Value)})
	}
	if err := k.BeginTransaction(); err != nil {
		return err
	}
	sent := k.ProduceSync(ctx, records...).FirstErr()
	if n%leaveEvery == leaveEvery-1 {
		l.note(o, false, false, nil)
		return errGoOn
	}
	commit := sent == nil && n%abortEvery != abortEvery-1
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	end := k.EndTransaction(ending, kgo.TransactionEndTry(commit))
	l.note(o, commit, commit && end == nil, end)
	return errors.Join(sent, end)
}

// copy is a copier: it writes what it reads, and how far it has read, in one transaction.
func (l *Load) copy(ctx context.Context, worker int) {
	process, round := l.copier(worker), l.round
	for life := 0; ctx.Err() == nil; life++ {
		alive, end := context.WithCancel(l.alive)
		s, err := kgo.NewGroupTransactSession(l.options(append(version(worker), kgo.WithContext(alive), kgo.TransactionalID(process),
			kgo.ConsumerGroup(l.group), kgo.ConsumeTopics(l.source), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.HeartbeatInterval(200*time.Millisecond), kgo.SessionTimeout(6*time.Second))...)...)
		if err != nil {
			end()
			l.wrong("client", "%s: %v", process, err)
			return
		}
		l.keep(s)
		for n := 0; ctx.Err() == nil; n++ {
			if l.copyOnce(ctx, s, process, fmt.Sprintf("%s-%d-%d-%d", process, round, life, n)) != nil {
				break
			}
		}
		l.leave(s)
		end() // Close would wait for it to join
		l.forget(s)
	}
}

// leave has a copier leave its group. One that cannot, because it waits to join, is not waited for: evict has it leave.
func (l *Load) leave(s *kgo.GroupTransactSession) {
	soon, cancel := context.WithTimeout(l.alive, leaveTime)
	defer cancel()
	_ = s.Client().LeaveGroupContext(soon) // or evict does it
}

func (l *Load) copyOnce(ctx context.Context, s *kgo.GroupTransactSession, process, name string) error {
	fetched := s.PollRecords(ctx, 50)
	if fetched.NumRecords() == 0 {
		return nil
	}
	o := history.Operation{Process: process, Name: name, Began: l.now()}
	if err := s.Begin(); err != nil {
		return err
	}
	sent := kgo.AbortingFirstErrPromise(s.Client())
	for _, r := range fetched.Records() {
		value := name + " copies " + string(r.Value)
		read := history.Commit{Group: l.group, Partition: history.Partition{Topic: l.source, Index: r.Partition}, Offset: r.Offset + 1}
		if i := slices.IndexFunc(o.Commits, func(c history.Commit) bool { return c.Partition == read.Partition }); i < 0 {
			o.Commits = append(o.Commits, read)
		} else {
			o.Commits[i].Offset = max(o.Commits[i].Offset, read.Offset)
		}
		o.Writes = append(o.Writes, history.Write{Partition: history.Partition{Topic: l.sink, Index: r.Partition}, Value: value, Of: string(r.Value)})
		s.Produce(ctx, &kgo.Record{Topic: l.sink, Partition: r.Partition, Value: []byte(value)}, sent.Promise())
	}
	commit := sent.Err() == nil // waits for all of them
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	committed, err := s.End(ending, kgo.TransactionEndTry(commit))
	l.note(o, commit, committed, err)
	return err
}

// follow is a follower: it reads both topics from where everything was read back.
func (l *Load) follow(ctx context.Context, committed bool) {
	reader, level := fmt.Sprintf("follower-%d", l.round), kgo.ReadUncommitted()
	if committed {
		reader, level = reader+" of what is committed", kgo.ReadCommitted()
	}
	from := map[string]map[int32]kgo.Offset{l.source: {}, l.sink: {}}
	for topic := range from {
		for p := range int32(l.Partitions) {
			from[topic][p] = kgo.NewOffset().At(l.verified[history.Partition{Topic: topic, Index: p}])
		}
	}
	k, err := kgo.NewClient(l.options(kgo.WithContext(l.alive), kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(level))...)
	if err != nil {
		l.wrong("client", "%s: %v", reader, err)
		return
	}
	l.keep(k)
	defer l.forget(k)
	for ctx.Err() == nil {
		fetched := k.PollFetches(ctx)
		fetched.EachError(func(topic string, partition int32, err error) {
			if _, lost := errors.AsType[*kgo.ErrDataLoss](err); lost {
				l.wrong(history.Lost, "%s of %s-%d: %v", reader, topic, partition, err)
			}
		})
		l.followedTo(reader, committed, fetched.Records())
	}
}

// followedTo notes what a follower got.
func (l *Load) followedTo(reader string, committed bool, records []*kgo.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deaf {
		return
	}
	l.counts.Followed += len(records)
	for _, r := range records {
		l.history.Reads = append(l.history.Reads, read(reader, committed, r))
	}
}

func read(reader string, committed bool, r *kgo.Record) history.Read {
	at := history.Partition{Topic: r.Topic, Index: r.Partition}
	return history.Read{Reader: reader, Committed: committed, Partition: at, Offset: r.Offset, Value: string(r.Value)}
}
