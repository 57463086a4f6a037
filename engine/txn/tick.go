package txn

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Tick does what is due: it aborts transactions past their time limit, forgets ids that are
// not used, and tries again what has failed.
func (c *Coordinator) Tick(at time.Time) {
	c.now = max(c.now, at.UnixMilli())
	if c.closed != nil || !c.loaded {
		return
	}
	if len(c.failed) > 0 && c.nextTry <= c.now {
		failed := c.failed
		c.failed = nil
		for _, f := range failed {
			f()
		}
	}
	for len(c.patient) > 0 && (c.patient[0].gone || c.patient[0].until <= c.now) {
		p := c.patient[0]
		c.patient[0], c.patient = nil, c.patient[1:]
		if !p.gone {
			c.goOn(p)
		}
	}
	if c.nextAbort <= c.now {
		c.nextAbort = c.now + c.abortInterval
		c.abortLate()
	}
	if c.nextRemove <= c.now {
		c.nextRemove = c.now + c.removeInterval
		c.removeUnused()
	}
}

// NextTick is the moment from which Tick has something to do; zero when there is none.
func (c *Coordinator) NextTick() time.Time {
	if c.closed != nil || !c.loaded || len(c.ids) == 0 && len(c.failed) == 0 && len(c.patient) == 0 {
		return time.Time{}
	}
	next := min(c.nextAbort, c.nextRemove)
	if len(c.failed) > 0 {
		next = min(next, c.nextTry)
	}
	if len(c.patient) > 0 {
		next = min(next, c.patient[0].until)
	}
	return time.UnixMilli(next)
}

// abortLate fences the producers of transactions past their time limit.
func (c *Coordinator) abortLate() {
	for _, t := range c.due(func(t *transaction) bool {
		return t.state == Ongoing && t.started+int64(t.timeout) < c.now
	}) {
		c.fence(t, &c.happened.TimedOut, func(*kerr.Error) {}) // one that could not be written is found again
	}
}

// removeUnused forgets ids that have had no transaction for long.
func (c *Coordinator) removeUnused() {
	for _, t := range c.due(func(t *transaction) bool {
		return !t.state.holds() && t.epoch >= 0 && t.updated+c.expiration <= c.now
	}) {
		t.busy = true
		c.env.Append(tombstone(t.id), func(err error) {
			if t.busy = false; err == nil && c.ids[t.id] == t {
				delete(c.ids, t.id)
				c.happened.Expired++
			}
			c.release(t)
		})
	}
}

// due lists the ids that are not busy and to which a rule applies, in order.
func (c *Coordinator) due(rule func(*transaction) bool) []*transaction {
	var all []*transaction
	for _, t := range c.ids {
		if !t.busy && rule(t) {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b *transaction) int { return compare(a.id, b.id) })
	return all
}

// wait has partitions added when nothing is going on with t any more, or refused when patience
// has ended.
func (c *Coordinator) wait(t *transaction, producer Producer, partitions []Partition, reply func(*kerr.Error)) {
	for len(t.patient) > 0 && t.patient[0].gone { // patience ends in the order in which it began
		t.patient[0], t.patient = nil, t.patient[1:]
	}
	p := &patient{until: c.now + c.patience, producer: producer, partitions: partitions, reply: reply}
	t.patient = append(t.patient, p)
	c.patient = append(c.patient, p)
}

// goOn has p tried once more, and for the last time.
func (c *Coordinator) goOn(p *patient) {
	partitions, reply := p.leave()
	c.add(p.producer, partitions, false, reply)
}

// leave takes what p waits with: who is gone keeps his place in line, but no memory of others.
func (p *patient) leave() (partitions []Partition, reply func(*kerr.Error)) {
	partitions, reply = p.partitions, p.reply
	p.gone, p.partitions, p.reply = true, nil, nil
	return partitions, reply
}

// goOnTogether is goOn for the first who waits for t and everybody who waits with the same
// producer: a record holds all partitions of a transaction, so that one for each who waits
// would cost the square of their number, and as many syncs, one after the other. Whose
// transaction it is not is told so at once.
func (c *Coordinator) goOnTogether(t *transaction) {
	waiting := t.patient
	t.patient = nil
	var first *patient
	var partitions []Partition
	var replies []func(*kerr.Error)
	for _, p := range waiting {
		if p.gone {
			continue
		}
		if _, err := c.find(p.producer); err != nil {
			c.goOn(p)
			continue
		}
		if first == nil {
			first = p
		}
		if p.producer != first.producer { // the same one, of another version
			t.patient = append(t.patient, p)
			continue
		}
		more, reply := p.leave()
		partitions, replies = append(partitions, more...), append(replies, reply)
	}
	if first == nil {
		return
	}
	c.add(first.producer, partitions, false, func(err *kerr.Error) {
		for _, reply := range replies {
			reply(err)
		}
	})
}
