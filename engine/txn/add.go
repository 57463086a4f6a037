package txn

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Producer is who asks, and about which transaction.
type Producer struct {
	TransactionalID string
	ID              int64
	Epoch           int16
	// Version is the transaction.version that the client speaks: 2 for one that has a new
	// epoch in each transaction.
	Version int8
}

// Add makes partitions part of the producer's transaction, which begins with the first.
func (c *Coordinator) Add(now time.Time, p Producer, partitions []Partition, reply func(*kerr.Error)) {
	c.now = max(c.now, now.UnixMilli())
	c.add(p, partitions, false, reply)
}

// AddPatiently is Add for a broker that holds a batch of the producer: while the transaction
// before it is being completed, or a record of this one is on its way, it waits. All who wait
// for one producer are added with one record.
func (c *Coordinator) AddPatiently(now time.Time, p Producer, partitions []Partition, reply func(*kerr.Error)) {
	c.now = max(c.now, now.UnixMilli())
	c.add(p, partitions, true, reply)
}

func (c *Coordinator) add(p Producer, partitions []Partition, patiently bool, reply func(*kerr.Error)) {
	t, err := c.find(p)
	switch {
	case err == kerr.ConcurrentTransactions && patiently: //nolint:errorlint // find answers it bare
		c.wait(t, p, partitions, reply)
	case err != nil:
		reply(err)
	case t.state == Ongoing && subset(t.partitions, partitions):
		reply(nil)
	default:
		c.store(t, t.added(c.now, partitions, p.Version), reply, func() { reply(nil) })
	}
}

// find is the transaction of a producer that may go on with it.
func (c *Coordinator) find(p Producer) (*transaction, *kerr.Error) {
	if err := c.refusal(); err != nil {
		return nil, err
	}
	if p.TransactionalID == "" {
		return nil, kerr.InvalidRequest
	}
	switch t := c.ids[p.TransactionalID]; {
	case t == nil:
		return nil, kerr.InvalidProducerIDMapping
	case t.busy || t.state.preparing():
		// First of all: what is on its way may be the very id and epoch that p has.
		return t, kerr.ConcurrentTransactions
	case t.producer != p.ID:
		return nil, kerr.InvalidProducerIDMapping
	case !t.has(p.Epoch):
		return nil, kerr.ProducerFenced
	default:
		return t, nil
	}
}

// Verify tells for each partition whether it is part of the producer's transaction.
func (c *Coordinator) Verify(p Producer, partitions []Partition) []*kerr.Error {
	all := make([]*kerr.Error, len(partitions))
	t := c.ids[p.TransactionalID]
	err := c.refusal()
	switch {
	case err != nil:
	case p.TransactionalID == "":
		err = kerr.InvalidRequest
	case t == nil || t.producer != p.ID:
		err = kerr.InvalidProducerIDMapping
	case !t.has(p.Epoch):
		err = kerr.ProducerFenced
	case t.state.preparing():
		err = kerr.ConcurrentTransactions
	}
	for i := range partitions {
		if all[i] = err; err == nil && !subset(t.partitions, partitions[i:i+1]) {
			all[i] = kerr.TransactionAbortable
		}
	}
	return all
}
