package transact

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/millrace/millrace/engine/sim/history"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Readers of everything, whose reads stay in the history from round to round.
const (
	final    = "final"    // of what is committed
	observer = "observer" // of all
)

// full is every how many rounds everything is read again, from the start.
const full = 10

// Judge reads back what the round has left, once as a reader of committed records and once as one of all, and answers
// which promises were broken, each once in a run. The round must have ended, by Rest or Sever.
func (l *Load) Judge(ctx context.Context) ([]history.Anomaly, error) {
	return l.judge(ctx, l.round%full == 0)
}

func (l *Load) judge(ctx context.Context, again bool) ([]history.Anomaly, error) {
	admin, err := l.admin()
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	ends, err := l.quiet(ctx, admin)
	if err != nil {
		return nil, err
	}
	if again {
		l.rewind()
	}
	l.history.Final = final
	for _, reader := range []string{final, observer} {
		if err := l.read(ctx, reader, ends); err != nil {
			return nil, fmt.Errorf("read back, as %s: %w", reader, err)
		}
	}
	ends.Each(func(o kadm.ListedOffset) {
		l.verified[history.Partition{Topic: o.Topic, Index: o.Partition}] = o.Offset
	})
	if err := l.fetchOffsets(ctx, admin); err != nil {
		return nil, err
	}
	found := l.untold(append(history.Check(&l.history), l.broken...))
	l.settle()
	return found, nil
}

// Finish lets the copiers come to the end of what is committed, and judges everything once more: each record that is
// committed must have been copied.
func (l *Load) Finish(ctx context.Context) ([]history.Anomaly, error) {
	working := l.begin(ctx)
	for i := range l.Workers {
		l.workers.Go(func() { l.copy(working, i) })
	}
	if err := errors.Join(l.copied(ctx), l.Rest(ctx)); err != nil {
		return nil, err
	}
	l.history.Copied = l.source
	return l.judge(ctx, true)
}

// copied waits until the copiers have come behind the last record that is committed.
func (l *Load) copied(ctx context.Context) error {
	last := map[history.Partition]int64{}
	for i := range l.history.Reads {
		if r := &l.history.Reads[i]; r.Reader == final && r.Topic == l.source {
			last[r.Partition] = max(last[r.Partition], r.Offset)
		}
	}
	admin, err := l.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	soon, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		fetched, err := admin.FetchOffsets(soon, l.group)
		if err != nil {
			return fmt.Errorf("fetch the copiers' offsets: %w", err)
		}
		for at, offset := range last {
			if o, ok := fetched.Lookup(at.Topic, at.Index); ok && o.At > offset {
				delete(last, at)
			}
		}
		if len(last) == 0 {
			return nil
		}
		if wait(soon, 20*time.Millisecond); soon.Err() != nil {
			return fmt.Errorf("the copiers do not come to the end of %d partitions: %w", len(last), soon.Err())
		}
	}
}

// untold is those of found that were not told before.
func (l *Load) untold(found []history.Anomaly) (fresh []history.Anomaly) {
	for _, a := range found {
		if !l.told[a] {
			l.told[a] = true
			fresh = append(fresh, a)
		}
	}
	return fresh
}

// rewind has everything read from the start, beside what was read before.
func (l *Load) rewind() {
	clear(l.verified)
	for i := range l.history.Reads {
		if r := &l.history.Reads[i]; r.Reader == final || r.Reader == observer {
			r.Reader += " before"
		}
	}
}

// settle forgets what says nothing more about later rounds: what others have read, which was compared to what was read
// back; and offsets before the last.
func (l *Load) settle() {
	l.broken = nil
	l.counts.Records = 0
	l.history.Reads = slices.DeleteFunc(l.history.Reads, func(r history.Read) bool {
		if r.Reader == final {
			l.counts.Records++
		}
		return r.Reader != final && r.Reader != observer
	})
	latest := map[history.Partition]history.Fetched{}
	for _, f := range l.history.Offsets {
		if f.Offset >= latest[f.Partition].Offset {
			latest[f.Partition] = f
		}
	}
	l.history.Offsets = slices.Collect(maps.Values(latest))
}

func (l *Load) fetchOffsets(ctx context.Context, admin *kadm.Client) error {
	at := l.now()
	offsets, err := admin.FetchOffsets(ctx, l.group)
	if err != nil {
		return fmt.Errorf("fetch the copiers' offsets: %w", err)
	}
	offsets.Each(func(o kadm.OffsetResponse) {
		l.history.Offsets = append(l.history.Offsets, history.Fetched{
			Group: l.group, Partition: history.Partition{Topic: o.Topic, Index: o.Partition}, Offset: o.At, At: at, Answered: l.now(),
		})
	})
	return nil
}

// quiet waits until no transaction is open, and tells where the partitions end. What clients that went away have left
// is fenced by taking their ids over.
func (l *Load) quiet(ctx context.Context, admin *kadm.Client) (ends kadm.ListedOffsets, err error) {
	if err := l.evict(ctx, admin); err != nil {
		return nil, err
	}
	for i := range l.Workers {
		for _, id := range []string{l.writer(i), l.copier(i)} {
			if err := l.takeOver(ctx, id); err != nil {
				return nil, fmt.Errorf("take over %s: %w", id, err)
			}
		}
	}
	soon, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		if ends, err = admin.ListEndOffsets(soon, l.source, l.sink); err != nil {
			return nil, fmt.Errorf("list the ends: %w", err)
		}
		stable, err := admin.ListCommittedOffsets(soon, l.source, l.sink)
		if err != nil {
			return nil, fmt.Errorf("list the stable offsets: %w", err)
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
		if wait(soon, 20*time.Millisecond); soon.Err() != nil {
			return nil, fmt.Errorf("%d partitions have a transaction that nobody ends", open)
		}
	}
}

func (l *Load) takeOver(ctx context.Context, id string) error {
	k, err := kgo.NewClient(l.options(kgo.TransactionalID(id))...)
	if err != nil {
		return err
	}
	defer k.Close()
	_, _, err = k.ProducerID(ctx)
	return err
}

// evict has the members leave that could not do so themselves, for the broker was dead: the next would wait for them.
func (l *Load) evict(ctx context.Context, admin *kadm.Client) error {
	described, err := admin.DescribeGroups(ctx, l.group)
	if err != nil {
		return fmt.Errorf("describe the copiers: %w", err)
	}
	q := kmsg.NewPtrLeaveGroupRequest()
	q.Group = l.group
	for _, m := range described[l.group].Members {
		gone := kmsg.NewLeaveGroupRequestMember()
		gone.MemberID = m.MemberID
		q.Members = append(q.Members, gone)
	}
	if len(q.Members) == 0 {
		return nil
	}
	k, err := kgo.NewClient(l.options()...)
	if err != nil {
		return err
	}
	defer k.Close()
	if _, err := q.RequestWith(ctx, k); err != nil {
		return fmt.Errorf("have the copiers leave: %w", err)
	}
	return nil
}

// read reads every partition from where it was read back before to its end.
func (l *Load) read(ctx context.Context, reader string, ends kadm.ListedOffsets) error {
	from := map[string]map[int32]kgo.Offset{l.source: {}, l.sink: {}}
	left := map[history.Partition]int64{}
	var short error
	ends.Each(func(o kadm.ListedOffset) {
		at := history.Partition{Topic: o.Topic, Index: o.Partition}
		switch begin := l.verified[at]; {
		case o.Offset < begin:
			short = fmt.Errorf("%s-%d ends at %d, and had %d records before", o.Topic, o.Partition, o.Offset, begin)
		case o.Offset > begin:
			from[o.Topic][o.Partition] = kgo.NewOffset().At(begin)
			left[at] = o.Offset
		}
	})
	if short != nil || len(left) == 0 {
		return short
	}
	level := kgo.ReadUncommitted()
	if reader == final {
		level = kgo.ReadCommitted()
	}
	// Control records tell how far a reader has come: every partition ends with one.
	k, err := kgo.NewClient(l.options(kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(level), kgo.KeepControlRecords())...)
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
			got := read(reader, reader == final, r)
			if r.Offset+1 >= left[got.Partition] {
				delete(left, got.Partition)
			}
			if !r.Attrs.IsControl() {
				l.history.Reads = append(l.history.Reads, got)
			}
		})
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	soon, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-soon.Done()
}
