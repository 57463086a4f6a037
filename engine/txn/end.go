package txn

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// End ends the producer's transaction. The answer, once the decision is in the log, is the
// producer id and epoch to go on with.
func (c *Coordinator) End(now time.Time, p Producer, commit bool, reply func(id int64, epoch int16, err *kerr.Error)) {
	c.now = max(c.now, now.UnixMilli())
	refuse := func(err *kerr.Error) { reply(-1, -1, err) }
	t, err := c.ending(p)
	if err != nil {
		refuse(err)
		return
	}
	bump := p.Version >= 2
	again := t.repeats(p)
	switch {
	case t.state == Ongoing:
	case bump && !again && !commit:
		// The transaction may have got no partition: its producer cannot know, and wants the
		// next epoch.
	case (again || !bump) && t.state == CompleteCommit && commit, (again || !bump) && t.state == CompleteAbort && !commit:
		reply(t.producer, t.epoch, nil)
		return
	default:
		refuse(kerr.InvalidTxnState)
		return
	}
	decide := func(newID int64) {
		next := t.decided(c.now, commit, bump, newID, p.Version)
		ended := &c.happened.Aborted
		switch {
		case t.state != Ongoing:
			ended = new(uint64) // there was none
		case commit:
			ended = &c.happened.Committed
		}
		c.store(t, next, refuse, func() {
			*ended++
			id, epoch := t.after()
			c.complete(t)
			reply(id, epoch, nil)
		})
	}
	if bump && t.isExhausted() {
		c.draw(t, refuse, decide)
		return
	}
	decide(-1)
}

// ending is the transaction that p may end, or has ended before.
func (c *Coordinator) ending(p Producer) (*transaction, *kerr.Error) {
	if err := c.refusal(); err != nil {
		return nil, err
	}
	if p.TransactionalID == "" {
		return nil, kerr.InvalidRequest
	}
	t := c.ids[p.TransactionalID]
	switch {
	case t == nil:
		return nil, kerr.InvalidProducerIDMapping
	case p.Version >= 2 && (t.busy || t.state.preparing()):
		return nil, kerr.ConcurrentTransactions
	case p.Version >= 2 && t.repeats(p):
		return t, nil
	case t.producer != p.ID:
		return nil, kerr.InvalidProducerIDMapping
	case !t.has(p.Epoch):
		return nil, kerr.ProducerFenced
	case t.busy || t.state.preparing():
		return nil, kerr.ConcurrentTransactions
	}
	return t, nil
}

// repeats reports whether p asks with the epoch that its last EndTxn has replaced. Nothing may
// have happened since: an EndTxn that is late must not end the next transaction.
func (t *transaction) repeats(p Producer) bool {
	if t.version < 2 || p.Version < 2 || t.state != CompleteCommit && t.state != CompleteAbort {
		return false
	}
	return t.producer == p.ID && p.Epoch < exhausted && t.epoch == p.Epoch+1 ||
		t.previous == p.ID && p.Epoch == exhausted && t.epoch == 0
}
