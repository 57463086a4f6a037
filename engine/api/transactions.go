package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/label"
	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/engine/txn"
	"github.com/millrace/millrace/sdk"
)

// transactionsOf is the partition that keeps a transactional id, nil when the topic does not
// exist. Ids are spread as groups are.
func (s *Server) transactionsOf(id string) *shard.Replica {
	topic := s.Registry.Named(cluster.TransactionsTopic)
	if topic == nil {
		return nil
	}
	return topic.Replica(javaHash(id) & 0x7fffffff % int32(topic.Partitions()))
}

// onTransaction runs f on the shard that owns a transactional id, with its coordinator, or
// refuse when there is none to be had. Exactly one of the two runs.
func (s *Server) onTransaction(id string, refuse func(*kerr.Error), f func(t *txn.Coordinator, now time.Time)) {
	r := s.transactionsOf(id)
	if r == nil {
		refuse(kerr.CoordinatorNotAvailable)
		return
	}
	r.Do(func() { s.withTransactions(r, refuse, f) })
}

// onTransaction is that of the server, for whoever may do op with the id.
func (c *call) onTransaction(op sdk.Operation, id string, refuse func(*kerr.Error), f func(t *txn.Coordinator, now time.Time)) {
	if !c.allowed(op, sdk.ResourceTransactionalID, id) {
		refuse(kerr.TransactionalIDAuthorizationFailed)
		return
	}
	c.beginWait(time.Now())
	c.server.onTransaction(id, refuse, f)
}

// withTransactions is onTransaction on the shard itself, for all ids that r keeps.
func (s *Server) withTransactions(r *shard.Replica, refuse func(*kerr.Error), f func(t *txn.Coordinator, now time.Time)) {
	if label.On() {
		label.Set(label.Transactions)
	}
	err := r.Transactions(s.transactionOptions(), func(t *txn.Coordinator) { f(t, r.Shard().Now()) })
	switch {
	case err == kerr.CoordinatorLoadInProgress: //nolint:errorlint // the shard answers it bare
		refuse(kerr.CoordinatorLoadInProgress)
	case err != nil:
		refuse(kerr.CoordinatorNotAvailable)
	}
}

// onAllTransactions has look see every coordinator, each on its shard, and runs what that returns, then
// finish; refuse is told of coordinators that cannot be had, or not in time. Where the topic does not
// exist, there are no transactions.
func (c *call) onAllTransactions(refuse func(*kerr.Error), look func(t *txn.Coordinator, now time.Time) (write func()), finish func()) {
	topic := c.server.Registry.Named(cluster.TransactionsTopic)
	if topic == nil {
		finish()
		return
	}
	all := c.gather(finish)
	for i := range int32(topic.Partitions()) {
		r := topic.Replica(i)
		all.ask(r, func() (write func()) {
			c.server.withTransactions(r, func(err *kerr.Error) {
				write = func() { refuse(err) }
			}, func(t *txn.Coordinator, now time.Time) { write = look(t, now) })
			return write
		}, func() { refuse(kerr.CoordinatorNotAvailable) })
	}
	all.done()
}

// transactionOptions are the settings of transaction coordinators, and whom they ask.
func (s *Server) transactionOptions() shard.TransactionOptions {
	v := s.Values()
	return shard.TransactionOptions{
		Options: txn.Options{
			MaxTimeout: config.TransactionMaxTimeout.Of(v), AbortInterval: config.TransactionAbortCheck.Of(v),
			Expiration: config.TransactionalIDExpiration.Of(v), RemoveInterval: config.TransactionalIDCheck.Of(v),
			Patience: config.TransactionPatience.Of(v), Version: s.transactionVersion(),
		},
		Find: func(topic string, partition int32) *shard.Replica {
			return replicaOf(s.Registry.Named(topic), partition)
		},
		ProducerID: s.nextProducerID,
	}
}

// transactionVersion is the finalized level of transaction.version.
func (s *Server) transactionVersion() int16 {
	return s.Controller.Image().FeatureLevel(cluster.TransactionVersion)
}

// Verify asks the coordinator whether a partition is part of a transaction, or has it added
// (KIP-890). It is called on shards.
func (s *Server) Verify(v *shard.Verification) {
	p := txn.Producer{TransactionalID: v.TransactionalID, ID: v.ProducerID, Epoch: v.Epoch}
	partitions := []txn.Partition{{Topic: v.Topic, Index: v.Partition}}
	answer := func(err *kerr.Error) {
		if err == nil { // a nil *kerr.Error is no nil error
			v.Done(nil)
			return
		}
		v.Done(err)
	}
	switch {
	case v.Add:
		p.Version = 2
		s.onTransaction(v.TransactionalID, answer, func(t *txn.Coordinator, now time.Time) { t.AddPatiently(now, p, partitions, answer) })
	case !config.TransactionVerification.Of(s.Values()):
		v.Done(nil)
	default:
		s.onTransaction(v.TransactionalID, answer, func(t *txn.Coordinator, _ time.Time) { answer(t.Verify(p, partitions)[0]) })
	}
}

// LoadTransactions rebuilds the transactions that r keeps, and completes what was decided. It
// returns when that is done; never call it on a shard.
func (s *Server) LoadTransactions(r *shard.Replica) {
	r.Shard().Wait(func() {
		r.Settle()
		if log, err := r.Log(); log != nil && err == nil {
			s.withTransactions(r, func(*kerr.Error) {}, func(*txn.Coordinator, time.Time) {})
		}
	})
}

// existing reports for each partition whether it exists.
func (s *Server) existing(topic string, partition int32) bool {
	return replicaOf(s.Registry.Named(topic), partition) != nil
}
