package franz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/compat/report"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// transaction runs send within a transaction of k and ends it.
func transaction(ctx context.Context, k *kgo.Client, commit bool, send func() error) error {
	if err := k.BeginTransaction(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := send(); err != nil {
		return err
	}
	if err := k.Flush(ctx); err != nil {
		return err
	}
	if err := k.EndTransaction(ctx, kgo.TransactionEndTry(commit)); err != nil {
		return fmt.Errorf("end: %w", err)
	}
	return nil
}

// texts are the values of records.
func texts(records []*kgo.Record) (all []string) {
	for _, r := range records {
		all = append(all, string(r.Value))
	}
	return all
}

// transactions: what was committed is read, what was aborted is not, but by readers of everything.
func (c client) transactions(ctx context.Context) error {
	topic, err := c.topic(ctx, "transactions", 2)
	if err != nil {
		return err
	}
	k, err := c.dial(kgo.TransactionalID(c.Name("transactions")))
	if err != nil {
		return err
	}
	defer k.Close()
	for i := range 10 {
		if err := transaction(ctx, k, i%2 == 0, func() error {
			return k.ProduceSync(ctx, append(numbered(topic, 0, 10*i, 10), numbered(topic, 1, 10*i, 10)...)...).FirstErr()
		}); err != nil {
			return fmt.Errorf("transaction %d: %w", i, err)
		}
	}
	all, err := c.readAll(ctx, topic, 2, 200)
	if err != nil {
		return fmt.Errorf("read uncommitted: %w", err)
	}
	reader, err := c.dial(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer reader.Close()
	committed, err := read(ctx, reader, 100)
	if err != nil {
		return fmt.Errorf("read committed: %w", err)
	}
	for _, r := range committed {
		if tens := strings.TrimSuffix(string(r.Value), string(r.Value[len(r.Value)-1:])); tens != "" && (tens[0]-'0')%2 == 1 {
			return fmt.Errorf("committed has %q of an aborted transaction; all are %v", r.Value, texts(all))
		}
	}
	return nil
}

// transform: consume, transform, produce, with the offsets in the transaction; the first try is aborted.
func (c client) transform(ctx context.Context) error {
	from, err := c.topic(ctx, "transform-in", 2)
	if err != nil {
		return err
	}
	to, err := c.topic(ctx, "transform-out", 1)
	if err != nil {
		return err
	}
	for p := range int32(2) {
		if err := c.send(ctx, numbered(from, p, 100*int(p), 100)); err != nil {
			return err
		}
	}
	for life, commit := range []bool{false, true, true} {
		if err := c.copyOnce(ctx, from, to, commit); err != nil {
			return fmt.Errorf("life %d: %w", life, err)
		}
	}
	reader, err := c.dial(kgo.ConsumeTopics(to), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer reader.Close()
	got, err := read(ctx, reader, 200)
	if err != nil {
		return err
	}
	values := texts(got)
	slices.Sort(values)
	if n := len(slices.Compact(values)); n != 200 {
		return fmt.Errorf("%d of 200 values are there", n)
	}
	return nil
}

// copyOnce is one life of a program that copies within transactions; the third has nothing to do.
func (c client) copyOnce(ctx context.Context, from, to string, commit bool) error {
	s, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(c.Bootstrap), kgo.TransactionalID(c.Name("transform")), kgo.ConsumerGroup(c.Name("transform")), kgo.ConsumeTopics(from),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(200*time.Millisecond), kgo.HeartbeatInterval(300*time.Millisecond),
	)
	if err != nil {
		return err
	}
	defer s.Close()
	for copied := 0; copied < 200; {
		soon, cancel := context.WithTimeout(ctx, 2*time.Second)
		fetched := s.PollFetches(soon)
		idle := soon.Err() != nil
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if fetched.NumRecords() == 0 {
			if idle {
				return nil
			}
			continue
		}
		if err := s.Begin(); err != nil {
			return err
		}
		for _, r := range fetched.Records() {
			s.Produce(ctx, &kgo.Record{Topic: to, Value: r.Value}, nil)
		}
		copied += fetched.NumRecords()
		if _, err := s.End(ctx, kgo.TransactionEndTry(commit)); err != nil {
			return err
		}
		if !commit {
			return nil
		}
	}
	return nil
}

// fencing: a second producer with the id takes over, and what the first had open is aborted.
func (c client) fencing(ctx context.Context) error {
	topic, err := c.topic(ctx, "fencing", 1)
	if err != nil {
		return err
	}
	var pair [2]*kgo.Client
	for i := range pair {
		if pair[i], err = c.dial(kgo.TransactionalID(c.Name("fencing"))); err != nil {
			return err
		}
		defer pair[i].Close()
	}
	zombie, next := pair[0], pair[1]
	if err := zombie.BeginTransaction(); err != nil {
		return err
	}
	if err := zombie.ProduceSync(ctx, numbered(topic, 0, 0, 1)...).FirstErr(); err != nil {
		return err
	}
	if err := transaction(ctx, next, true, func() error { return next.ProduceSync(ctx, numbered(topic, 0, 1, 1)...).FirstErr() }); err != nil {
		return err
	}
	err = zombie.EndTransaction(ctx, kgo.TryCommit)
	if !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) {
		return fmt.Errorf("the first commits: %w", err)
	}
	return c.onlyCommitted(ctx, topic, "1")
}

// timeout: a transaction that nobody ends is aborted by the broker.
func (c client) timeout(ctx context.Context) error {
	topic, err := c.topic(ctx, "timeout", 1)
	if err != nil {
		return err
	}
	k, err := c.dial(kgo.TransactionalID(c.Name("timeout")), kgo.TransactionTimeout(time.Second))
	if err != nil {
		return err
	}
	defer k.Close()
	if err := k.BeginTransaction(); err != nil {
		return err
	}
	if err := k.ProduceSync(ctx, numbered(topic, 0, 0, 1)...).FirstErr(); err != nil {
		return err
	}
	if err := c.send(ctx, numbered(topic, 0, 1, 1)); err != nil {
		return err
	}
	if err := c.onlyCommitted(ctx, topic, "1"); err != nil {
		return err
	}
	if err := k.EndTransaction(ctx, kgo.TryCommit); err == nil {
		return errors.New("what has timed out is committed")
	}
	return nil
}

// onlyCommitted reads one committed record, the first that there is.
func (c client) onlyCommitted(ctx context.Context, topic, value string) error {
	reader, err := c.dial(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer reader.Close()
	got, err := read(ctx, reader, 1)
	if err != nil {
		return fmt.Errorf("read committed: %w", err)
	}
	if string(got[0].Value) != value {
		return fmt.Errorf("the first committed record is %q, want %q", got[0].Value, value)
	}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	return report.Eventually(ctx, func() error {
		committed, err := a.ListCommittedOffsets(ctx, topic)
		if err != nil {
			return err
		}
		ends, err := a.ListEndOffsets(ctx, topic)
		if err != nil {
			return err
		}
		stable, _ := committed.Lookup(topic, 0)
		end, _ := ends.Lookup(topic, 0)
		if stable.Offset != end.Offset {
			return fmt.Errorf("last stable offset %d, end %d", stable.Offset, end.Offset)
		}
		return nil
	})
}
