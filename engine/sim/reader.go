package sim

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/sim/history"
	"github.com/millrace/millrace/sdk/batch"
)

// record is one that a reader got.
type record struct {
	offset int64
	value  string
}

// fetch reads one partition once, as the library of a consumer does: of what is committed only, if it wants
// that. It answers the offset to go on at.
func (c *client) fetch(k **link, at history.Partition, from int64, committed bool) (got []record, next int64, err error) {
	q := kmsg.NewPtrFetchRequest()
	q.Version, q.MaxWaitMillis, q.MinBytes, q.MaxBytes, q.SessionEpoch = 12, int32(c.w.random.IntN(300)), 1, 1<<20, -1
	if committed {
		q.IsolationLevel = 1
	}
	t := kmsg.NewFetchRequestTopic()
	t.Topic = at.Topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch, p.LogStartOffset = at.Index, from, int32(200+c.w.random.IntN(8000)), -1, -1
	t.Partitions = append(t.Partitions, p)
	q.Topics = append(q.Topics, t)
	reply, err := c.call(k, true, q)
	if err != nil {
		return nil, from, err
	}
	a := &reply.(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(a.ErrorCode); err != nil {
		return nil, from, err
	}
	got, next, wrong := unpacked(a, from, committed)
	if wrong != nil {
		c.w.found(Damaged, "%v at %d: %v", at, from, wrong)
	}
	return got, next, nil
}

// unpacked are the records of an answer from an offset on, without those that were aborted.
func unpacked(a *kmsg.FetchResponseTopicPartition, from int64, committed bool) (got []record, next int64, _ error) {
	next = from
	left := slices.Clone(a.AbortedTransactions)
	aborted := map[int64]bool{}
	for raw := a.RecordBatches; len(raw) > 0; {
		size, err := batch.Peek(raw)
		if err == batch.ErrShort {
			break // the library asks again for a batch that was cut
		}
		if err != nil {
			return got, next, fmt.Errorf("batch behind %d: %w", next, err)
		}
		b := batch.Batch(raw[:size])
		raw = raw[size:]
		if err := b.Check(); err != nil {
			return got, next, fmt.Errorf("batch behind %d: %w", next, err)
		}
		if b.BaseOffset() > next || b.LastOffset() < next {
			return got, next, fmt.Errorf("batch %d–%d where %d was asked for", b.BaseOffset(), b.LastOffset(), next)
		}
		left = slices.DeleteFunc(left, func(one kmsg.FetchResponseTopicPartitionAbortedTransaction) bool {
			if one.FirstOffset <= b.LastOffset() {
				aborted[one.ProducerID] = true
				return true
			}
			return false
		})
		switch {
		case b.Control():
			delete(aborted, b.ProducerID())
		case !committed || !b.Transactional() || !aborted[b.ProducerID()]:
			if got, err = appended(got, b, next); err != nil {
				return got, next, err
			}
		}
		next = b.NextOffset()
	}
	return got, next, nil
}

func appended(got []record, b batch.Batch, from int64) ([]record, error) {
	records, err := b.Records(nil, 1<<20)
	if err != nil {
		return got, err
	}
	for records.Next() {
		r := records.Record()
		if at := b.BaseOffset() + int64(r.OffsetDelta); at >= from {
			got = append(got, record{at, string(r.Value)})
		}
	}
	return got, records.Err()
}

// read notes what a reader got.
func (c *client) read(reader string, committed bool, at history.Partition, got []record) {
	for _, r := range got {
		c.w.history.Reads = append(c.w.history.Reads, history.Read{Reader: reader, Committed: committed, Partition: at, Offset: r.offset, Value: r.value})
	}
}

// reader reads partitions from their beginning, again and again.
func reader(committed bool) func(c *client) {
	return func(c *client) {
		var k *link
		for round := 0; !c.w.ending; round++ {
			name := fmt.Sprintf("%s-%d", c.name, round)
			topic := []string{source, sink}[c.w.random.IntN(2)]
			at := history.Partition{Topic: topic, Index: c.w.random.Int32N(c.w.plan.partitions[topic])}
			next := int64(0)
			for left := 5 + c.w.random.IntN(60); left > 0 && !c.w.ending; left-- {
				c.doing = "read " + topic
				got, to, err := c.fetch(&k, at, next, committed)
				if err != nil && !passing(err) {
					c.w.found(Refused, "%s cannot read %v at %d: %v", name, at, next, err)
				}
				c.read(name, committed, at, got)
				next = to
				c.think()
			}
		}
	}
}

// passing reports whether an error of a fetch is one that a reader lives with.
func passing(err error) bool { return err == errLost || err == errExpired || retriable(err) }
