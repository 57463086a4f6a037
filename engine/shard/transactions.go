package shard

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/partition"
	"github.com/millrace/millrace/engine/txn"
	"github.com/millrace/millrace/sdk/batch"
)

// TransactionOptions are what the coordinator of transactions needs from outside.
type TransactionOptions struct {
	txn.Options
	// Find is the replica of a partition, nil when there is none.
	Find func(topic string, partition int32) *Replica
	// ProducerID draws a producer id and tells it on any goroutine.
	ProducerID func(done func(id int64, err error))
}

// Transactions runs the transactional ids whose records one partition of __transaction_state
// keeps. It lives on the shard of that partition, which does what the pure machine asks for:
// appends, markers in other partitions, and ticks.
type Transactions struct {
	replica *Replica
	machine *txn.Coordinator
	options TransactionOptions
	timer   Timer
	loading bool      // the machine belongs to the goroutine that reads the log
	again   time.Time // not zero: loading failed, and is not tried before
}

// Transactions calls f with the coordinator that r keeps the log of. The first call reads the
// whole log. On the shard only.
func (r *Replica) Transactions(o TransactionOptions, f func(*txn.Coordinator)) error {
	t := r.transactions
	if t == nil || !t.again.IsZero() && !r.shard.now.Before(t.again) {
		var err error
		if t, err = r.loadTransactions(o); err != nil {
			return err
		}
	}
	switch {
	case t.loading:
		return kerr.CoordinatorLoadInProgress
	case !t.again.IsZero():
		return kerr.CoordinatorNotAvailable
	}
	t.machine.SetOptions(o.Options)
	f(t.machine)
	t.schedule()
	return nil
}

// loadTransactions rebuilds the transactional ids from what was appended to the partition.
func (r *Replica) loadTransactions(o TransactionOptions) (*Transactions, error) {
	if err := r.ready(false); err != nil {
		return nil, err
	}
	log, err := r.Log()
	if err != nil {
		return nil, err
	}
	t := &Transactions{replica: r, options: o}
	t.machine = txn.New(o.Options, t)
	t.timer.Task = (*transactionTick)(t)
	r.transactions = t
	l := &loadedTransactions{transactions: t, begin: r.shard.clock()}
	switch {
	case log == nil:
		t.opened(r.shard)
	case log.Size() <= loadHere || r.shard.stepped:
		l.read(log)
		l.Run(r.shard)
	default:
		t.loading = true
		go func() {
			l.read(log)
			r.shard.Post(&l.Node, l)
		}()
	}
	return t, nil
}

// loadedTransactions is the end of a load.
type loadedTransactions struct {
	Node
	transactions *Transactions
	begin        time.Time
	count        int
	err          error
}

// read feeds the log to the machine. On the shard, or beside it while nobody else has the
// machine; the log is not appended to before its coordinator is there.
func (l *loadedTransactions) read(log *commitlog.Log) {
	r := l.transactions.replica
	l.err = eachRecord(log, r.high.Load(), func(b batch.Batch, record *batch.Record) {
		if b.Control() {
			return
		}
		l.count++
		// The records lie in a buffer that is used again, and the machine keeps strings only.
		if err := l.transactions.machine.Replay(txn.Record{Key: record.Key, Value: record.Value}); err != nil {
			r.shard.log.Warn("a record of a transaction cannot be read and is passed over", "partition", r.Index, "error", err)
		}
	})
}

// Run opens the coordinator, unless the partition went away meanwhile.
func (l *loadedTransactions) Run(s *Shard) {
	t := l.transactions
	r := t.replica
	t.loading = false
	if r.transactions != t {
		return
	}
	if l.err != nil {
		t.again = s.now.Add(loadAgain)
		s.log.Error("cannot load transactions; the next request after a while tries again", "topic", r.Topic, "partition", r.Index, "error", l.err)
		return
	}
	took := s.clock().Sub(l.begin).Round(time.Millisecond)
	t.opened(s)
	s.loaded(r.Topic, took)
	if l.count > 0 {
		s.log.Info("loaded transactions", "topic", r.Topic, "partition", r.Index, "records", l.count, "took", took)
	}
}

// opened has the coordinator serve.
func (t *Transactions) opened(s *Shard) {
	s.transactions[t] = struct{}{}
	t.machine.Loaded(s.now)
	t.schedule()
}

// Epoch is the leader epoch, by which newer coordinators are told from older (txn.Env).
func (t *Transactions) Epoch() int32 { return t.replica.Epoch() }

// Append makes a record part of the partition (txn.Env).
func (t *Transactions) Append(r txn.Record, done func(error)) {
	var b batch.Builder
	b.Append(t.replica.shard.now.UnixMilli(), r.Key, r.Value, nil)
	built, err := b.Finish(batch.NoProducer())
	if err != nil {
		panic("transaction coordinator appended nothing: " + err.Error())
	}
	a := &transactionAppend{transactions: t, done: done}
	a.Replica, a.Append.Batch, a.Finish = t.replica, built, a
	a.Send()
}

// transactionAppend is one append of a coordinator on its way.
type transactionAppend struct {
	Append
	transactions *Transactions
	done         func(error)
}

// Appended tells the machine that its record is committed, or lost.
func (a *transactionAppend) Appended(*Append) {
	a.done(a.Err)
	a.transactions.schedule()
}

// ProducerID draws a producer id (txn.Env).
func (t *Transactions) ProducerID(done func(id int64, err error)) {
	t.options.ProducerID(func(id int64, err error) {
		t.back(func() { done(id, err) })
	})
}

// Mark has a marker written on the shard of its partition (txn.Env).
func (t *Transactions) Mark(m batch.Marker, bumped bool, to txn.Partition, done func(error)) {
	r := t.options.Find(to.Topic, to.Index)
	if r == nil {
		t.back(func() { done(kerr.UnknownTopicOrPartition) })
		return
	}
	r.EndTransaction(partition.Ending{Marker: m, Bumped: bumped}, func(err error) {
		t.back(func() { done(err) })
	})
}

// back goes on on the shard of the coordinator.
func (t *Transactions) back(f func()) {
	t.replica.shard.Do(func() {
		f()
		t.schedule()
	})
}

type transactionTick Transactions

// Run does what is due in the machine.
func (k *transactionTick) Run(s *Shard) {
	t := (*Transactions)(k)
	t.machine.Tick(s.now)
	t.schedule()
}

// schedule has the machine ticked when it wants to be.
func (t *Transactions) schedule() {
	if t.loading {
		return
	}
	next := t.machine.NextTick()
	if next.IsZero() || t.replica.transactions != t {
		t.replica.shard.ClearTimer(&t.timer)
		return
	}
	t.replica.shard.SetTimer(&t.timer, next)
}

// closeTransactions sends producers to look for their coordinator again.
func (r *Replica) closeTransactions() {
	t := r.transactions
	if t == nil {
		return
	}
	r.transactions = nil
	r.shard.ClearTimer(&t.timer)
	if t.loading {
		return // nobody waits for it
	}
	r.shard.happened.Add(t.machine.Count().Happened)
	delete(r.shard.transactions, t)
	t.machine.Close()
}
