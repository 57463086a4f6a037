package group

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Offsets that are committed within a transaction are records of a transactional batch. They
// wait, beside what is committed, until the marker of their producer is in the log:
//
//	CommitIn ─▶ on their way ─▶ pending ──commit──▶ committed
//	                               └──────abort───▶ gone
//
// As long as they wait a fetch that asks for stable offsets is told UNSTABLE_OFFSET_COMMIT.

// Transaction is the one that offsets are committed in.
type Transaction struct {
	ID         string
	ProducerID int64
	Epoch      int16
	// Add has the transaction's coordinator add the offsets (transaction.version 2); without
	// it the client did that.
	Add bool
}

// CommitIn answers a TxnOffsetCommit, in the form of an OffsetCommit, once its offsets are in
// the log.
func (c *Coordinator) CommitIn(now time.Time, t Transaction, q *kmsg.OffsetCommitRequest, reply func(*kmsg.OffsetCommitResponse)) {
	at := now.UnixMilli()
	g, err := c.transactor(at, q)
	if err != nil {
		reply(RefusedCommit(q, err))
		return
	}
	r := RefusedCommit(q, nil)
	changes := g.changes(at, q, r)
	if len(changes) == 0 {
		reply(r)
		c.dropIfBare(g)
		return
	}
	records, size := make([]Record, len(changes)), 0
	for i := range changes {
		size += g.sizeOf(&changes[i])
	}
	buf := make([]byte, 0, size)
	for i := range changes {
		g.await(changes[i].topic, changes[i].partition)
		records[i], buf = offsetRecord(buf, g.name, changes[i].topic, changes[i].partition, changes[i].value)
	}
	c.env.AppendIn(t, records, func(err error) {
		if c.closed != nil {
			reply(RefusedCommit(q, c.closed))
			return
		}
		for i := range changes {
			if err != nil {
				g.endPending(g.spot(&changes[i]), wait{count: 1}, false)
				continue
			}
			c.wait(t.ProducerID, g, changes[i])
		}
		if err != nil {
			c.dropIfBare(g)
			reply(RefusedCommit(q, asError(err)))
			return
		}
		reply(r)
	})
}

// transactor returns the group that a transaction may commit offsets of. Only a member that
// says so is checked: clients of long ago do not.
func (c *Coordinator) transactor(now int64, q *kmsg.OffsetCommitRequest) (*group, *kerr.Error) {
	if err := c.refusalOf(q.Group); err != nil {
		return nil, err
	}
	g := c.groups[q.Group]
	switch {
	case g == nil && q.Generation < 0:
		return c.create(now, q.Group), nil
	case g == nil:
		return nil, kerr.IllegalGeneration
	case q.Generation < 0 && q.MemberID == "" && q.InstanceID == nil:
		return g, nil
	case g.consumer != nil:
		err := g.consumerCommitter(q)
		if err == kerr.StaleMemberEpoch { //nolint:errorlint // consumerCommitter answers it bare
			err = kerr.IllegalGeneration // producers abort and go on; of a stale epoch they know nothing, and it ends them
		}
		return g, err
	case q.Generation < 0 && g.state == empty:
		return g, nil // whoever says so belongs to nobody who could be in the way
	}
	_, err := g.find(q.MemberID, q.InstanceID)
	switch {
	case err != nil:
		return nil, err
	case q.Generation != g.generation:
		return nil, kerr.IllegalGeneration
	}
	return g, nil
}

// await counts an offset of a transaction that is on its way or pending.
func (g *group) await(name string, partition int32) {
	g.entry(name, partition)
	t := g.offsets[name]
	e := t.partitions[partition]
	e.pending++
	t.partitions[partition] = e
}

// wait keeps an offset that is in the log until its transaction ends.
func (c *Coordinator) wait(producer int64, g *group, one change) {
	c.order++
	one.value.order = c.order
	all := c.pending[producer]
	if all == nil {
		if all = new(waits); c.pending == nil {
			c.pending = map[int64]*waits{}
		}
		c.pending[producer] = all
	}
	all.add(g.spot(&one), one.value)
}

// EndTransaction says that a marker of a producer is in the log: what it committed here counts
// from now on, or is forgotten.
func (c *Coordinator) EndTransaction(producer int64, commit bool) {
	all := c.pending[producer]
	if all == nil {
		return
	}
	delete(c.pending, producer)
	first := map[string]int64{} // when the first of them expires, by group
	for at, w := range all.each {
		g := c.groups[at.group] // it is not bare as long as an offset waits
		g.endPending(at, w, commit)
		expiry := g.expiryOf(w.value)
		if other, ok := first[g.name]; ok {
			expiry = min(expiry, other)
		}
		first[g.name] = expiry
	}
	for _, name := range slices.Sorted(maps.Keys(first)) {
		g := c.groups[name]
		if commit && first[name] < math.MaxInt64 {
			g.expireBy(first[name])
		}
		if c.loaded {
			c.dropIfBare(g)
		}
	}
}

// forget drops the offsets of a spot that are pending, at most limit, and answers how many:
// they are before a tombstone in the log, which deletes them whatever becomes of their
// transactions. It costs one look per producer, however many offsets wait.
func (c *Coordinator) forget(at spot, limit int32) (over int32) {
	for producer, all := range c.pending {
		n := all.take(at)
		if n == 0 {
			continue
		}
		if all.size() == 0 {
			delete(c.pending, producer)
		}
		if over += n; over == limit {
			break
		}
	}
	return over
}

// endPending ends the wait of the offsets of one spot. A later commit outside of the
// transaction stays.
func (g *group) endPending(at spot, w wait, commit bool) {
	e := at.topic.partitions[at.partition]
	e.pending, e.inflight = e.pending-w.count, e.inflight-w.count
	if commit && (e.value == nil || e.value.order < w.value.order) {
		e.value = w.value
	}
	g.keep(at.topic, at.partition, e)
}

// ReplayIn applies a record of a transactional batch that was read from the log at start-up:
// an offset of a transaction that may have ended since. See Replay.
func (c *Coordinator) ReplayIn(producer int64, r Record, timestamp int64) error {
	if len(r.Key) < 2 {
		return fmt.Errorf("read key of a group record of %d bytes: %w", len(r.Key), errShortKey)
	}
	if kind := int16(r.Key[0])<<8 | int16(r.Key[1]); kind != keyOffset0 && kind != keyOffset || r.Value == nil {
		return c.Replay(r, timestamp)
	}
	var key kmsg.OffsetCommitKey
	if err := key.ReadFrom(r.Key); err != nil {
		return fmt.Errorf("read key of a transaction's offset: %w", err)
	}
	v, err := decodeOffset(r.Value)
	if err != nil {
		return fmt.Errorf("read offset of group %q for %s-%d in a transaction: %w", key.Group, key.Topic, key.Partition, err)
	}
	g := c.groups[key.Group]
	if g == nil {
		g = c.create(timestamp, key.Group)
	}
	g.await(key.Topic, key.Partition)
	c.wait(producer, g, change{key.Topic, key.Partition, v})
	return nil
}

// unstable reports whether a transaction that has not ended has an offset of the partition.
func (g *group) unstable(name string, partition int32) bool {
	return g != nil && g.offsets[name] != nil && g.offsets[name].partitions[partition].pending > 0
}
