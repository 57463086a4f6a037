package sim

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/sim/history"
)

// copier is a client that makes one record of the sink from each of the source, exactly once: what it writes and how
// far it has read is one transaction.
type copier struct {
	how kind
	v2  bool
}

// copying is a copier at work.
type copying struct {
	*transactor
	*member
	reading *link
	next    map[int32]int64
}

func (o copier) body(number int) func(c *client) {
	return func(c *client) {
		m := &member{client: c, group: "copiers", how: o.how}
		if o.how == alone {
			// One id for each partition: it fences whoever had the partition before.
			m.mine, m.changed = []int32{int32(number) % c.w.plan.partitions[source]}, true
			number = int(m.mine[0])
		}
		k := &copying{transactor: newTransactor(c, fmt.Sprintf("copier-%d", number), o.v2), member: m}
		known := false
		for ; !c.w.ending; c.think() {
			if !m.keep() {
				known = known && !m.moved()
				continue
			}
			if !known {
				known, m.changed = k.transactor.begin(), true
			}
			if !known {
				continue
			}
			if m.moved() {
				if k.next = m.positions(); k.next == nil {
					continue
				}
			}
			known = k.copy()
			if c.w.chance(0.02) {
				m.leave()
			}
		}
		m.leave()
	}
}

// copy reads some and writes it. It reports whether the producer can go on without a new epoch.
func (k *copying) copy() bool {
	c := k.member.client
	w := c.w
	from := k.mine[w.random.IntN(len(k.mine))]
	c.doing = "read the source"
	got, next, err := c.fetch(&k.reading, history.Partition{Topic: source, Index: from}, k.next[from], true)
	if err != nil || next == k.next[from] {
		return true
	}
	w.transactions++
	o := c.operation(k.transactor.id, fmt.Sprintf("%s#%d", k.transactor.id, w.transactions))
	to := history.Partition{Topic: sink, Index: from % w.plan.partitions[sink]}
	if len(got) > 0 {
		var writes []history.Write
		for i, r := range got {
			writes = append(writes, history.Write{Partition: to, Value: fmt.Sprintf("%s/%d copies %s", o.Name, i, r.value), Of: r.value})
		}
		if err := k.write(o, to, writes...); err != nil {
			k.changed = true
			return k.giveUp(o, err)
		}
		k.hesitate()
	}
	if err := k.commitOffset(o, from, next); err != nil {
		k.changed = true
		k.heed(err)
		return k.giveUp(o, err)
	}
	switch {
	case w.ending:
	case w.chance(0.1):
		k.transactor.think()
	case w.chance(0.05):
		w.reach("copier away")
		k.transactor.pause(w.plan.session/2, 2*w.plan.session)
	}
	well := k.end(o, !w.chance(0.1))
	if !well || o.Result != history.OK {
		k.changed = true // go on where the group is
		return well
	}
	w.reach("copied")
	k.next[from] = next
	return true
}

// hesitate is that of a producer, but that nobody takes its id over who knows nothing of groups.
func (k *copying) hesitate() {
	w := k.member.w
	switch {
	case w.ending:
	case w.chance(0.02):
		k.transactor.pause(0, 2*w.plan.limit)
	case k.how != alone && w.chance(0.04): // others may have its partitions when it comes back
		w.reach("copier away")
		k.transactor.pause(w.plan.session, 2*w.plan.session)
	}
}

// commitOffset makes how far the copier has read part of the transaction.
func (k *copying) commitOffset(o *history.Operation, from int32, next int64) error {
	c, x := k.member.client, k.transactor
	c.doing = "commit offsets in a transaction"
	o.Commits = append(o.Commits, history.Commit{Group: k.group, Partition: history.Partition{Topic: source, Index: from}, Offset: next})
	if !x.v2 && !x.offsets {
		q := kmsg.NewPtrAddOffsetsToTxnRequest()
		q.Version, q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Group = 3, x.id, x.producer, x.epoch, k.group
		if _, _, err := ask(c, &x.link, false, q, func(a *kmsg.AddOffsetsToTxnResponse) int16 { return a.ErrorCode }); err != nil {
			return err
		}
		x.offsets = true
	}
	q := kmsg.NewPtrTxnOffsetCommitRequest()
	q.Version, q.TransactionalID, q.Group, q.ProducerID, q.ProducerEpoch = x.version(4, 5), x.id, k.group, x.producer, x.epoch
	q.Generation = -1
	if k.how != alone {
		q.MemberID, q.Generation = k.member.id, k.member.epoch
	}
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset = from, next
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	t.Topic, t.Partitions = source, append(t.Partitions, p)
	q.Topics = append(q.Topics, t)
	_, _, err := ask(c, &k.member.link, false, q, func(a *kmsg.TxnOffsetCommitResponse) int16 { return a.Topics[0].Partitions[0].ErrorCode })
	return err
}

// committer is a member of a group that commits how far it has read, without transactions.
func committer(how kind) func(c *client) {
	return func(c *client) {
		m := &member{client: c, group: "readers of " + how.String(), how: how}
		var reading *link
		var next map[int32]int64
		for count := 0; !c.w.ending; c.think() {
			if !m.keep() {
				continue
			}
			if m.moved() {
				if next = m.positions(); next == nil {
					continue
				}
			}
			from := m.mine[c.w.random.IntN(len(m.mine))]
			c.doing = "read the source"
			_, to, err := c.fetch(&reading, history.Partition{Topic: source, Index: from}, next[from], true)
			if err != nil || to == next[from] {
				continue
			}
			count++
			if m.commit(count, from, to) {
				next[from] = to
			}
			if c.w.chance(0.03) {
				m.leave()
			}
		}
		m.leave()
	}
}

// commit keeps how far the member has read.
func (m *member) commit(count int, from int32, to int64) bool {
	m.doing = "commit"
	q := kmsg.NewPtrOffsetCommitRequest()
	q.Version, q.Group, q.MemberID, q.Generation = 9, m.group, m.id, m.epoch
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset = from, to
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.Partitions = source, append(t.Partitions, p)
	q.Topics = append(q.Topics, t)
	o := m.operation(m.name, fmt.Sprintf("%s commit %d", m.name, count))
	o.Commits = append(o.Commits, history.Commit{Group: m.group, Partition: history.Partition{Topic: source, Index: from}, Offset: to})
	reply, err := m.call(&m.link, false, q)
	if err == nil {
		err = kerr.ErrorForCode(reply.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		m.ended(o, history.Unknown)
		m.changed = true
		m.heed(err)
		return false
	}
	m.w.reach("committed")
	m.ended(o, history.OK)
	return true
}
