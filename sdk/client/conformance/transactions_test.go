package conformance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client"
)

// transacted runs a test with each engine against a cluster of each version of transactions
// that there is. kgo speaks version 1 to both.
func transacted(t *testing.T, f func(t *testing.T, engine, address string)) {
	address := serving(t, "transaction.abort.timed.out.transaction.cleanup.interval.ms=100")
	for _, version := range []int16{2, 1} {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			finalize(t, address, version)
			engines(t, func(t *testing.T, engine string) { f(t, engine, address) })
		})
	}
}

// finalize sets transaction.version for the time of a test.
func finalize(t *testing.T, address string, level int16) {
	t.Helper()
	set := func(level int16) error {
		c, err := kgo.NewClient(kgo.SeedBrokers(address))
		if err != nil {
			return err
		}
		defer c.Close()
		q := kmsg.NewPtrUpdateFeaturesRequest()
		u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
		u.Feature, u.MaxVersionLevel, u.UpgradeType = "transaction.version", level, 1
		if level < 2 {
			u.UpgradeType = 2 // a safe downgrade
		}
		q.FeatureUpdates = append(q.FeatureUpdates, u)
		a, err := q.RequestWith(limited(t), c)
		if err != nil || a.ErrorCode != 0 {
			return errors.Join(err, kerr.ErrorForCode(a.ErrorCode))
		}
		for is := int16(-1); is != level; { // the broker hears of it a little later
			if is, err = finalized(limited(t), c); err != nil {
				return err
			}
		}
		return nil
	}
	if level == 2 {
		return // what every cluster begins with
	}
	if err := set(level); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := set(2); err != nil {
			t.Error(err)
		}
	})
}

// finalized is transaction.version as a broker sees it.
func finalized(ctx context.Context, c *kgo.Client) (int16, error) {
	q := kmsg.NewPtrApiVersionsRequest()
	q.ClientSoftwareName, q.ClientSoftwareVersion = "conformance", "1"
	a, err := q.RequestWith(ctx, c)
	if err != nil {
		return 0, err
	}
	for _, f := range a.FinalizedFeatures {
		if f.Name == "transaction.version" {
			return f.MaxVersionLevel, nil
		}
	}
	return 0, nil
}

// transactor is a producer whose transactions can begin.
func transactor(t *testing.T, engine, address, id string, settings ...string) *client.Producer[[]byte, []byte] {
	t.Helper()
	p := producer(t, engine, address, append([]string{"transactional.id", id, "linger.ms", "0"}, settings...)...)
	if err := p.InitTransactions(limited(t)); err != nil {
		t.Fatal(err)
	}
	return p
}

// must fails the test.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// read is what is committed in a topic.
func read(t testing.TB, address, topic string) (numbers []int) {
	t.Helper()
	for _, r := range stored(t, address, topic, kgo.FetchIsolationLevel(kgo.ReadCommitted())) {
		numbers = append(numbers, numberOf(t, r))
	}
	return numbers
}

func offsetsAt(topic string, n int64) map[sdk.TopicPartition]sdk.OffsetAndMetadata {
	return map[sdk.TopicPartition]sdk.OffsetAndMetadata{{Topic: topic}: {Offset: n, LeaderEpoch: -1}}
}

func TestTransactions(t *testing.T) {
	transacted(t, func(t *testing.T, engine, address string) {
		name := topic(t, address, 1)
		p := producer(t, engine, address, "transactional.id", name)
		ctx := limited(t)
		if err := p.BeginTransaction(); err == nil {
			t.Error("a transaction began before InitTransactions")
		}
		must(t, p.InitTransactions(ctx))
		if err := p.Fire(ctx, numbered(name, 0)); err == nil {
			t.Error("a record was sent outside of a transaction")
		}
		group := "group-of-" + name
		for i, step := range []struct{ records, commit, offsets bool }{
			{true, true, false}, {true, false, true}, {true, true, true}, {false, true, true}, {false, true, false}, {true, false, false}, {false, false, false}, {true, true, false},
		} {
			must(t, p.BeginTransaction())
			if step.records {
				p.Send(ctx, numbered(name, i))
			}
			if step.offsets {
				must(t, p.SendOffsetsToTransaction(ctx, offsetsAt(name, int64(10+i)), client.GroupMetadata{Group: group}))
			}
			end := p.AbortTransaction
			if step.commit {
				end = p.CommitTransaction
			}
			if err := end(ctx); err != nil {
				t.Fatalf("transaction %d: %v", i, err)
			}
		}
		if got := read(t, address, name); !slices.Equal(got, []int{0, 2, 7}) {
			t.Errorf("committed are %v, want 0, 2 and 7", got)
		}
		if at := committed(t, address, group, name); at != 13 {
			t.Errorf("the group is at %d, want 13", at)
		}
	})
}

// Many partitions, many batches, one transaction after the other without a pause: each is
// there whole, in order.
func TestTransactionsBackToBack(t *testing.T) {
	transacted(t, func(t *testing.T, engine, address string) {
		const rounds, each, partitions = 12, 60, 4
		name := topic(t, address, partitions)
		p := transactor(t, engine, address, name, "batch.size", "512")
		ctx := limited(t)
		for round := range rounds {
			must(t, p.BeginTransaction())
			for i := range each {
				r := numbered(name, round*each+i)
				r.Partition = new(int32(i % partitions))
				must(t, p.Fire(ctx, r))
			}
			if round%3 == 2 {
				must(t, p.AbortTransaction(ctx))
			} else {
				must(t, p.CommitTransaction(ctx))
			}
		}
		count, last := 0, map[int32]int{}
		for _, r := range stored(t, address, name, kgo.FetchIsolationLevel(kgo.ReadCommitted())) {
			n := numberOf(t, r)
			if before, seen := last[r.Partition]; seen && n <= before || n/each%3 == 2 {
				t.Fatalf("record %d is behind %d in partition %d, or was aborted", n, before, r.Partition)
			}
			last[r.Partition] = n
			count++
		}
		if want := rounds * 2 / 3 * each; count != want {
			t.Errorf("%d records are committed, want %d", count, want)
		}
	})
}

// A second producer with the same id: the first can neither go on nor begin again.
func TestTransactionsAreFenced(t *testing.T) {
	transacted(t, func(t *testing.T, engine, address string) {
		name := topic(t, address, 1)
		ctx := limited(t)
		first := transactor(t, engine, address, name)
		must(t, first.BeginTransaction())
		if _, err := first.Send(ctx, numbered(name, 1)).Get(ctx); err != nil {
			t.Fatal(err)
		}
		second := transactor(t, engine, address, name)
		_ = first.Fire(ctx, numbered(name, 2)) // may be refused at once, later, or with the commit
		err := first.CommitTransaction(ctx)
		if err == nil {
			t.Fatal("a transaction of a fenced producer was committed")
		}
		if engine == client.EngineNative && !errors.Is(err, client.ErrFatal) {
			if !errors.Is(err, client.ErrAbort) {
				t.Errorf("the commit says neither to abort nor to close: %v", err)
			}
			err = first.AbortTransaction(ctx)
			if !errors.Is(err, client.ErrFatal) {
				t.Errorf("the abort does not say that the producer is fenced: %v", err)
			}
		}
		if engine == client.EngineNative && !errors.Is(err, kerr.ProducerFenced) {
			t.Errorf("the error is not PRODUCER_FENCED: %v", err)
		}
		must(t, second.BeginTransaction())
		second.Send(ctx, numbered(name, 3))
		must(t, second.CommitTransaction(ctx))
		if got := read(t, address, name); !slices.Equal(got, []int{3}) {
			t.Errorf("committed are %v, want 3", got)
		}
	})
}

// The broker aborts a transaction that takes too long.
func TestTransactionsTimeOut(t *testing.T) {
	transacted(t, func(t *testing.T, engine, address string) {
		name := topic(t, address, 1)
		ctx := limited(t)
		p := transactor(t, engine, address, name, "transaction.timeout.ms", "1000")
		must(t, p.BeginTransaction())
		if _, err := p.Send(ctx, numbered(name, 1)).Get(ctx); err != nil {
			t.Fatal(err)
		}
		if got := read(t, address, name); len(got) > 0 { // waits until the end of the topic can be read
			t.Fatalf("committed are %v before anybody has ended the transaction", got)
		}
		err := p.CommitTransaction(ctx)
		if err == nil {
			t.Fatal("a transaction that the broker has aborted was committed")
		}
		if engine == client.EngineNative && !errors.Is(err, client.ErrFatal) {
			t.Errorf("the commit does not say that the producer can only be closed: %v", err)
		}
		next := transactor(t, engine, address, name)
		must(t, next.BeginTransaction())
		next.Send(ctx, numbered(name, 2))
		must(t, next.CommitTransaction(ctx))
		if got := read(t, address, name); !slices.Equal(got, []int{2}) {
			t.Errorf("committed are %v, want 2", got)
		}
	})
}

func TestATimeLimitThatIsTooLong(t *testing.T) {
	address := serving(t)
	engines(t, func(t *testing.T, engine string) {
		p := producer(t, engine, address, "transactional.id", "too-long", "transaction.timeout.ms", "2000000000")
		if err := p.InitTransactions(limited(t)); !errors.Is(err, kerr.InvalidTransactionTimeout) {
			t.Errorf("InitTransactions: %v", err)
		}
	})
}

// A record that is refused spoils the transaction; the next one goes well.
func TestATransactionThatLosesARecord(t *testing.T) {
	transacted(t, func(t *testing.T, engine, address string) {
		via := newProxy(t, address)
		name := topic(t, address, 1)
		ctx := limited(t)
		p := transactor(t, engine, via.address(), name)
		for round := range 4 {
			must(t, p.BeginTransaction())
			if round != 1 { // then nobody but the producer knows of the transaction
				must(t, p.Fire(ctx, numbered(name, 10*round)))
				must(t, p.Flush(ctx))
			}
			via.script(every(1, verdict{code: kerr.TopicAuthorizationFailed.Code}), nil)
			if _, err := p.Send(ctx, numbered(name, 10*round+1)).Get(ctx); !errors.Is(err, kerr.TopicAuthorizationFailed) {
				t.Fatalf("the record: %v", err)
			}
			via.script(nil, nil)
			err := p.CommitTransaction(ctx)
			if err == nil || engine == client.EngineNative && !errors.Is(err, client.ErrAbort) {
				t.Fatalf("the commit of a transaction that lost a record: %v", err)
			}
			must(t, p.AbortTransaction(ctx))
			must(t, p.BeginTransaction())
			must(t, p.Fire(ctx, numbered(name, 10*round+2)))
			must(t, p.CommitTransaction(ctx))
		}
		if got := read(t, address, name); !slices.Equal(got, []int{2, 12, 22, 32}) {
			t.Errorf("committed are %v, want 2, 12, 22 and 32", got)
		}
	})
}

// Connections are cut and answers lost in the middle of transactions: each is there whole or
// not at all, as its commit said.
func TestTransactionsSurviveTrouble(t *testing.T) {
	transacted(t, func(t *testing.T, engine, address string) {
		const rounds, each = 14, 20
		via := newProxy(t, address)
		via.script(every(17, verdict{code: kerr.NotLeaderForPartition.Code}), every(7, verdict{cut: true}))
		cuts := engine == client.EngineNative // franz-go gives up when a connection ends soon after it was made
		for key, nth := range map[kmsg.Key]int{kmsg.AddPartitionsToTxn: 4, kmsg.AddOffsetsToTxn: 3, kmsg.TxnOffsetCommit: 3, kmsg.EndTxn: 3, kmsg.FindCoordinator: 3} {
			if cuts {
				via.lose(key, nth)
			}
		}
		name := topic(t, address, 1)
		group := "group-of-" + name
		ctx := limited(t)
		p := transactor(t, engine, via.address(), name, "batch.size", "512", "connections.max.idle.ms", "100")
		said, at := map[int]bool{}, int64(-1)
		for round := range rounds {
			must(t, p.BeginTransaction())
			for i := range each {
				must(t, p.Fire(ctx, numbered(name, round*each+i)))
				if cuts && i == each/2 && round%4 == 1 {
					via.cut()
				}
			}
			must(t, p.SendOffsetsToTransaction(ctx, offsetsAt(name, int64(round)), client.GroupMetadata{Group: group}))
			if round%5 == 3 {
				must(t, p.AbortTransaction(ctx))
				continue
			}
			if cuts && round%4 == 2 {
				via.cut()
			}
			must(t, p.CommitTransaction(ctx))
			said[round], at = true, int64(round)
		}
		got := map[int]int{}
		for i, n := range read(t, address, name) {
			got[n/each]++
			if i > 0 && n%each != 0 && got[n/each] != n%each+1 {
				t.Fatalf("record %d of round %d is not at its place", n%each, n/each)
			}
		}
		for round := range rounds {
			want := map[bool]int{true: each}[said[round]]
			if got[round] != want {
				t.Errorf("%d records of round %d are committed, want %d", got[round], round, want)
			}
		}
		if is := committed(t, address, group, name); is != at {
			t.Errorf("the group is at %d, want %d", is, at)
		}
	})
}

// What a program reads, it writes changed to another topic, with its offsets, in one
// transaction; now and then it aborts, dies, or loses its connections. All of it is there
// once.
func TestExactlyOnce(t *testing.T) {
	transacted(t, func(t *testing.T, engine, address string) {
		const count = 200
		via := newProxy(t, address)
		from, to := topic(t, address, 1), topic(t, address, 1)
		send(t, producer(t, engine, address, "linger.ms", "0"), from, count)
		group, ctx := "group-of-"+from, limited(t)
		c, err := client.NewConsumer(client.Config{"bootstrap.servers": address, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": "false",
			"isolation.level": "read_committed", "max.poll.records": "20", "fetch.max.wait.ms": "50"}, client.ConsumerOptions[[]byte, []byte]{Log: slog.New(slog.DiscardHandler)})
		must(t, err)
		t.Cleanup(func() { must(t, c.Close(context.Background())) })
		must(t, c.Subscribe([]string{from}, nil))
		p := transactor(t, engine, via.address(), to)
		for turn, done := 0, int64(0); done < count; turn++ {
			records, err := c.Poll(ctx, 5*time.Second)
			must(t, err)
			if len(records) == 0 {
				continue
			}
			must(t, p.BeginTransaction())
			for _, r := range records {
				must(t, p.Fire(ctx, &record{Topic: to, Value: r.Value}))
			}
			next := records[len(records)-1].Offset + 1
			m, err := c.GroupMetadata()
			must(t, err)
			must(t, p.SendOffsetsToTransaction(ctx, offsetsAt(from, next), m))
			if turn%3 == 0 && engine == client.EngineNative {
				via.cut()
			}
			switch turn % 4 {
			case 1: // another takes over, as after a crash
				must(t, p.Flush(ctx))
				p = transactor(t, engine, via.address(), to)
			case 2:
				must(t, p.AbortTransaction(ctx))
			default:
				must(t, p.CommitTransaction(ctx))
				done = next
				continue
			}
			must(t, c.Seek(sdk.TopicPartition{Topic: from}, done))
		}
		wantSequence(t, stored(t, address, to, kgo.FetchIsolationLevel(kgo.ReadCommitted())), count)
	})
}

// Close ends what was begun, so that nobody waits for the time limit.
func TestCloseAborts(t *testing.T) {
	transacted(t, func(t *testing.T, engine, address string) {
		if engine == client.EngineKgo {
			t.Skip("with kgo a transaction is left to its time limit")
		}
		name := topic(t, address, 1)
		ctx := limited(t)
		p := transactor(t, engine, address, name)
		must(t, p.BeginTransaction())
		must(t, p.Fire(ctx, numbered(name, 1)))
		must(t, p.Flush(ctx))
		must(t, p.Close(ctx))
		if got := read(t, address, name); len(got) > 0 {
			t.Errorf("committed are %v", got)
		}
	})
}

// A commit that runs out of time is called again, for its outcome.
func TestACommitThatRunsOutOfTime(t *testing.T) {
	transacted(t, func(t *testing.T, engine, address string) {
		if engine == client.EngineKgo {
			t.Skip("franz-go has one try")
		}
		via := newProxy(t, address)
		name := topic(t, address, 1)
		ctx := limited(t)
		p := transactor(t, engine, via.address(), name)
		held := make(chan struct{})
		via.script(nil, func(int) verdict { <-held; return verdict{} })
		must(t, p.BeginTransaction())
		must(t, p.Fire(ctx, numbered(name, 1)))
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		if err := p.CommitTransaction(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("the commit: %v", err)
		}
		if err := p.Fire(ctx, numbered(name, 2)); err == nil {
			t.Error("a record was sent while the transaction is being committed")
		}
		close(held)
		must(t, p.CommitTransaction(ctx))
		if got := read(t, address, name); !slices.Equal(got, []int{1}) {
			t.Errorf("committed are %v, want 1", got)
		}
	})
}
