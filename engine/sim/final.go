package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/sim/history"
)

// final is the last client: it takes over every transactional id, or leaves all to their time limits, waits until no
// transaction is open, cuts the power, and reads everything back.
func final(c *client) {
	w := c.w
	if w.chance(0.5) {
		for _, id := range slices.Sorted(maps.Keys(w.transactional)) {
			if !newTransactor(c, id, true).begin() {
				w.found(Stuck, "nobody can take over %s", id)
				return
			}
		}
	}
	ends := c.quiet()
	if ends == nil {
		return
	}
	c.readAll("before", ends)
	c.groups()
	w.life.power = true
	w.life.disk.Release() // what it would do later belongs to nobody
	was := w.life
	w.after(0, was.die)
	c.wait(time.Minute, func() bool { return w.life != nil && w.life != was })
	again := c.quiet()
	for at, end := range ends {
		if again != nil && again[at] != end {
			w.found(history.Lost, "%v ended at %d, and after a loss of power at %d", at, end, again[at])
		}
	}
	w.history.Final = "final"
	c.readAll("final", ends)
	c.groups()
}

// partitions are all that clients use, in order.
func (w *world) partitions() (all []history.Partition) {
	for _, topic := range []string{source, sink} {
		for i := range w.plan.partitions[topic] {
			all = append(all, history.Partition{Topic: topic, Index: i})
		}
	}
	return all
}

// quiet waits until no transaction is open, and tells where the partitions end.
func (c *client) quiet() map[history.Partition]int64 {
	c.doing = "wait until no transaction is open"
	var k *link
	ends := map[history.Partition]int64{}
	for _, at := range c.w.partitions() {
		for end := c.w.now.Add(2 * time.Minute); ; c.pause(10*time.Millisecond, 50*time.Millisecond) {
			high, stable := c.end(&k, at, 0), c.end(&k, at, 1)
			if high >= 0 && stable == high {
				ends[at] = high
				break
			}
			if c.w.now.After(end) {
				c.w.found(Hanging, "%v: high watermark %d, last stable offset %d, and nobody ends the transaction", at, high, stable)
				return nil
			}
		}
	}
	return ends
}

// end is where a partition ends for an isolation level, −1 when that cannot be told now.
func (c *client) end(k **link, at history.Partition, isolation int8) int64 {
	q := kmsg.NewPtrListOffsetsRequest()
	q.Version, q.ReplicaID, q.IsolationLevel = 7, -1, isolation
	t := kmsg.NewListOffsetsRequestTopic()
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch, p.Timestamp = at.Index, -1, -1
	t.Topic, t.Partitions = at.Topic, append(t.Partitions, p)
	q.Topics = append(q.Topics, t)
	reply, err := c.call(k, false, q)
	if err != nil {
		return -1
	}
	one := reply.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
	if one.ErrorCode != 0 {
		return -1
	}
	return one.Offset
}

// readAll reads every partition to its end, as a reader of what is committed, and as one of everything.
func (c *client) readAll(name string, ends map[history.Partition]int64) {
	var k *link
	for _, committed := range []bool{true, false} {
		reader := name
		if !committed {
			reader = name + ", all"
		}
		for _, at := range c.w.partitions() {
			c.doing = fmt.Sprintf("read %v back", at)
			for next := int64(0); next < ends[at]; {
				got, to, err := c.fetch(&k, at, next, committed)
				if err != nil && !passing(err) {
					c.w.found(Refused, "%s cannot read %v at %d: %v", reader, at, next, err)
					return
				}
				c.read(reader, committed, at, got)
				next = to
			}
		}
	}
}

// groups asks how far every group has read.
func (c *client) groups() {
	for _, group := range []string{"copiers", "readers of " + classic.String(), "readers of " + consumer.String()} {
		m := &member{client: c, group: group}
		var all []int32
		for i := range c.w.plan.partitions[source] {
			all = append(all, i)
		}
		for end := c.w.now.Add(time.Minute); ; c.pause(0, c.w.plan.backoff) {
			_, err := m.committed(all)
			if err == nil || err == error(kerr.GroupIDNotFound) {
				break
			}
			if c.w.now.After(end) {
				c.w.found(Stuck, "the offsets of %q cannot be fetched: %v", group, err)
				return
			}
		}
	}
}
