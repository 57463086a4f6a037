package txn

import (
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func compare(a, b string) int { return strings.Compare(a, b) }

// InitProducerID gives the producer of a transactional id its producer id and epoch, and so
// fences the one that had it before. A transaction that is open is aborted first: the answer is
// CONCURRENT_TRANSACTIONS, and the client asks again.
func (c *Coordinator) InitProducerID(now time.Time, q *kmsg.InitProducerIDRequest, reply func(id int64, epoch int16, err *kerr.Error)) {
	c.now = max(c.now, now.UnixMilli())
	refuse := func(err *kerr.Error) { reply(-1, -1, err) }
	if err := c.refusal(); err != nil {
		refuse(err)
		return
	}
	if q.TransactionTimeoutMillis <= 0 || int64(q.TransactionTimeoutMillis) > c.maxTimeout {
		refuse(kerr.InvalidTransactionTimeout)
		return
	}
	t := c.ids[*q.TransactionalID]
	if t == nil {
		t = &transaction{id: *q.TransactionalID, metadata: metadata{producer: -1, previous: -1, next: -1, epoch: -1, last: -1, started: -1}}
		c.ids[t.id] = t
		c.draw(t, refuse, func(id int64) {
			t.producer = id
			c.admit(t, q, reply)
		})
		return
	}
	if t.busy || t.state.preparing() {
		refuse(kerr.ConcurrentTransactions)
		return
	}
	c.admit(t, q, reply)
}

// admit goes on with an id that nothing is going on with.
func (c *Coordinator) admit(t *transaction, q *kmsg.InitProducerIDRequest, reply func(int64, int16, *kerr.Error)) {
	refuse := func(err *kerr.Error) { reply(-1, -1, err) }
	expects := q.ProducerID >= 0
	if expects && !t.knows(q.ProducerID, q.ProducerEpoch) {
		refuse(kerr.ProducerFenced)
		return
	}
	if t.state == Ongoing {
		c.fence(t, &c.happened.Fenced, refuse)
		return
	}
	next := t.metadata
	next.state, next.partitions, next.started, next.updated, next.timeout = Empty, nil, -1, c.now, q.TransactionTimeoutMillis
	give := func(next metadata) {
		c.store(t, next, refuse, func() { reply(t.producer, t.epoch, nil) })
	}
	switch {
	case t.isExhausted() && (!expects || q.ProducerEpoch == t.epoch || t.epoch == lastEpoch && q.ProducerEpoch == t.last):
		c.draw(t, refuse, func(id int64) {
			if next.last = -1; expects {
				next.last = q.ProducerEpoch
			}
			next.previous, next.producer, next.epoch = t.producer, id, 0
			give(next)
		})
		return
	case !expects || t.epoch < 0:
		next.last, next.epoch = -1, t.epoch+1
	case q.ProducerEpoch == t.epoch:
		next.last, next.epoch = t.epoch, t.epoch+1
	case q.ProducerEpoch == t.last && t.last >= 0: // a repetition
	default:
		refuse(kerr.ProducerFenced)
		return
	}
	give(next)
}

// knows reports whether a producer that says which id and epoch it has may go on with them;
// the epoch is looked at later.
func (t *transaction) knows(id int64, epoch int16) bool {
	return t.epoch < 0 || id == t.producer || id == t.previous && epoch >= exhausted
}

// draw asks for a producer id. Until it is there nobody else is served.
func (c *Coordinator) draw(t *transaction, refuse func(*kerr.Error), then func(id int64)) {
	t.busy = true
	a := &ask{t.id, refuse}
	c.replies[a] = struct{}{}
	c.env.ProducerID(func(id int64, err error) {
		if c.closed != nil {
			return
		}
		delete(c.replies, a)
		t.busy = false
		if err != nil {
			if t.epoch < 0 {
				delete(c.ids, t.id)
			}
			refuse(kerr.CoordinatorLoadInProgress) // the client tries again
			c.release(t)
			return
		}
		then(id)
	})
}

// fence raises the epoch of an open transaction and aborts it. The producer that had the epoch
// before may ask for the next with it, unless another one has done so: that is how it goes on
// when its transaction took too long. done is told CONCURRENT_TRANSACTIONS once that is decided;
// why is raised then, too.
func (c *Coordinator) fence(t *transaction, why *uint64, done func(*kerr.Error)) {
	next := t.decided(c.now, false, true, -1, t.version)
	c.store(t, next, done, func() {
		*why++
		c.happened.Aborted++
		c.complete(t)
		done(kerr.ConcurrentTransactions)
	})
}
