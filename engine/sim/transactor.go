package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/sim/history"
	"github.com/millrace/millrace/sdk/batch"
)

// transactor is a producer with a transactional id. Version 2 has a new epoch in each
// transaction, and its links may deliver late; with version 1 the protocol itself does not survive that.
type transactor struct {
	*client
	id       string
	v2       bool
	link     *link
	producer int64
	epoch    int16
	sequence map[history.Partition]int32
	added    map[history.Partition]bool // version 1: part of the transaction
	offsets  bool                       // likewise, those of the group
}

func newTransactor(c *client, id string, v2 bool) *transactor {
	c.w.transactional[id] = true
	return &transactor{client: c, id: id, v2: v2, producer: -1, epoch: -1}
}

func (x *transactor) version(v1, v2 int16) int16 {
	if x.v2 {
		return v2
	}
	return v1
}

// begin takes the transactional id over, or goes on with it after an error.
func (x *transactor) begin() bool {
	x.doing = "init producer id of " + x.id
	q := kmsg.NewPtrInitProducerIDRequest()
	q.Version, q.TransactionalID, q.TransactionTimeoutMillis = x.version(4, 5), &x.id, int32(x.w.plan.limit.Milliseconds())
	q.ProducerID, q.ProducerEpoch = -1, -1
	if x.producer >= 0 && x.w.chance(0.5) {
		q.ProducerID, q.ProducerEpoch = x.producer, x.epoch
	}
	a, _, err := ask(x.client, &x.link, x.v2, q, func(a *kmsg.InitProducerIDResponse) int16 { return a.ErrorCode })
	if err != nil {
		x.producer, x.epoch = -1, -1
		return false
	}
	x.next(a.ProducerID, a.ProducerEpoch)
	x.sequence = map[history.Partition]int32{}
	return true
}

// next is the beginning of a transaction.
func (x *transactor) next(id int64, epoch int16) {
	if id != x.producer || epoch != x.epoch {
		x.sequence = map[history.Partition]int32{}
	}
	x.producer, x.epoch = id, epoch
	x.added, x.offsets = map[history.Partition]bool{}, false
}

// add has a partition be part of a transaction of version 1.
func (x *transactor) add(at history.Partition) error {
	if x.v2 || x.added[at] {
		return nil
	}
	q := kmsg.NewPtrAddPartitionsToTxnRequest()
	q.Version, q.TransactionalID, q.ProducerID, q.ProducerEpoch = 3, x.id, x.producer, x.epoch
	q.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: at.Topic, Partitions: []int32{at.Index}}}
	_, _, err := ask(x.client, &x.link, false, q, func(a *kmsg.AddPartitionsToTxnResponse) int16 { return a.Topics[0].Partitions[0].ErrorCode })
	x.added[at] = err == nil
	return err
}

// write sends some records of o to one partition.
func (x *transactor) write(o *history.Operation, at history.Partition, writes ...history.Write) error {
	x.doing = "write to " + at.Topic
	o.Writes = append(o.Writes, writes...)
	if err := x.add(at); err != nil {
		return err
	}
	with := batch.NoProducer()
	with.ProducerID, with.ProducerEpoch, with.BaseSequence, with.Transactional = x.producer, x.epoch, x.sequence[at], true
	var values []string
	for _, w := range writes {
		values = append(values, w.Value)
	}
	_, _, err := ask(x.client, &x.link, x.v2, produce(x.version(9, 12), &x.id, at, x.w.built(with, values...)), produced)
	if errors.Is(err, kerr.DuplicateSequenceNumber) {
		err = nil
	}
	if err == nil {
		x.sequence[at] += int32(len(values))
	}
	return err
}

// end ends the transaction, and tells how it ended.
func (x *transactor) end(o *history.Operation, commit bool) (well bool) {
	x.doing = fmt.Sprintf("end of %s, commit %v", o.Name, commit)
	q := kmsg.NewPtrEndTxnRequest()
	q.Version, q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Commit = x.version(4, 5), x.id, x.producer, x.epoch, commit
	a, unknown, err := ask(x.client, &x.link, x.v2, q, func(a *kmsg.EndTxnResponse) int16 { return a.ErrorCode })
	switch {
	case !commit:
		x.ended(o, history.Failed) // nobody has ever asked for more
	case err == nil:
		x.ended(o, history.OK)
	case unknown:
		x.w.reach("unknown commit")
		x.ended(o, history.Unknown)
	default:
		x.w.reach("commit refused")
		x.ended(o, history.Failed)
	}
	if err != nil {
		return false
	}
	if x.v2 {
		x.next(a.ProducerID, a.ProducerEpoch)
	} else {
		x.next(x.producer, x.epoch)
	}
	return true
}

// writer writes transactions to the source.
func writer(id string, v2 bool) func(c *client) {
	return func(c *client) {
		x := newTransactor(c, id, v2)
		for known := false; !c.w.ending; c.think() {
			if known = known || x.begin(); !known {
				continue
			}
			known = x.transaction()
		}
	}
}

// transaction is one of a writer. It reports whether the producer can go on without a new epoch.
func (x *transactor) transaction() bool {
	w := x.w
	w.transactions++
	o := x.operation(x.id, fmt.Sprintf("%s#%d", x.id, w.transactions))
	for i := range 1 + w.random.IntN(4) {
		at := history.Partition{Topic: source, Index: w.random.Int32N(w.plan.partitions[source])}
		var writes []history.Write
		for j := range 1 + w.random.IntN(2) {
			writes = append(writes, history.Write{Partition: at, Value: fmt.Sprintf("%s/%d.%d", o.Name, i, j)})
		}
		if err := x.write(o, at, writes...); err != nil {
			return x.giveUp(o, err)
		}
		x.hesitate()
	}
	return x.end(o, !w.chance(0.3))
}

// hesitate is what happens between two steps of a transaction: a pause, sometimes beyond the
// time limit, or somebody who takes the transactional id over while this one goes on.
func (x *transactor) hesitate() {
	w := x.w
	switch {
	case w.ending || w.calm:
	case w.chance(0.02):
		w.reach("transaction left open")
		x.pause(w.plan.limit/2, 2*w.plan.limit)
	case w.chance(0.02) && w.zombies < 6:
		w.zombies++
		w.reach("zombie")
		w.spawn(fmt.Sprintf("%s+%d", x.name, w.zombies), writer(x.id, x.v2))
		x.pause(0, time.Second)
	case w.chance(0.3):
		x.think()
	}
}

// giveUp ends a transaction in which something went wrong. Nobody has asked for its commit.
func (x *transactor) giveUp(o *history.Operation, err error) bool {
	x.w.trace.line("%s: %s gives up: %v", x.name, o.Name, err)
	x.w.reach("transaction given up")
	if x.fenced(err) || x.w.chance(0.3) {
		x.ended(o, history.Failed)
		return false
	}
	// With version 1 what was sent may lie in the log under sequence numbers that the next transaction would use.
	return x.end(o, false) && x.v2
}

// fenced reports whether an error says that the producer's epoch is over.
func (x *transactor) fenced(err error) bool {
	for _, known := range []error{kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.InvalidProducerIDMapping, kerr.UnknownProducerID} {
		if errors.Is(err, known) {
			x.w.reach("fenced")
			return true
		}
	}
	return false
}
