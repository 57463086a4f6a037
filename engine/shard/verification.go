package shard

import (
	"maps"
	"time"

	"github.com/millrace/millrace/engine/partition"
)

// verified is what a coordinator is asked about once for all batches of it that wait.
type verified struct {
	producer int64
	epoch    int16
}

// Verification asks the coordinator of a transaction whether a partition is part of it, or to
// add it. Batches of the transaction wait for the answer, in order.
//
// Ownership: the shard's, but for the fields that say what is asked, which never change.
type Verification struct {
	Node
	TransactionalID string
	Topic           string
	Partition       int32
	ProducerID      int64
	Epoch           int16
	Add             bool // the partition, if it is not part of the transaction yet

	replica *Replica
	began   time.Time
	ticket  partition.Ticket
	waiting []*Append
	err     error
}

// Done is the answer, from any goroutine.
func (v *Verification) Done(err error) {
	v.err = err
	v.replica.shard.Post(&v.Node, v)
}

// verify has a wait for the coordinator if it must be asked, and reports whether it waits.
func (r *Replica) verify(a *Append) bool {
	key := verified{a.Batch.ProducerID(), a.Batch.ProducerEpoch()}
	ticket, needed := r.machine.Verify(a.Batch, r.shard.now.UnixMilli())
	if v := r.verifying[key]; v != nil {
		v.waiting = append(v.waiting, a)
		return true
	}
	if !needed {
		return false
	}
	v := &Verification{
		TransactionalID: a.TransactionalID, Topic: r.Topic, Partition: r.Index, ProducerID: key.producer, Epoch: key.epoch, Add: a.Bumped,
		replica: r, began: r.shard.now, ticket: ticket, waiting: []*Append{a},
	}
	if r.verifying == nil {
		r.verifying = map[verified]*Verification{}
	}
	r.verifying[key] = v
	r.shard.verify(v)
	return true
}

// Run goes on with what waited.
func (v *Verification) Run(*Shard) {
	r, key := v.replica, verified{v.ProducerID, v.Epoch}
	if r.verifying[key] != v {
		return // who waited was told otherwise
	}
	delete(r.verifying, key)
	err := v.err
	r.shard.verified(r.shard.now.Sub(v.began), err != nil)
	if err == nil {
		err = r.ready(true)
	}
	for _, a := range v.waiting {
		if err != nil {
			a.end(err)
			continue
		}
		a.admit(v.ticket)
	}
}

// endVerifications gives up all batches that wait for a coordinator.
func (r *Replica) endVerifications(err error) {
	all := r.verifying
	r.verifying = nil
	for v := range maps.Values(all) {
		for _, a := range v.waiting {
			a.end(err)
		}
	}
}
