package native

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/chain"
)

// beside is what interceptors have sent to other topics, such as dead letters: batches of
// their own that no interceptor sees, and whose senders hear where the records went instead.
// Of the sender.
type beside struct {
	waiting  []*recordBatch // for their topic to be known; their partition is none that is sent to
	bytes    int            // of all that are not settled
	heldBack bool           // batches are not shown to interceptors because of bytes
}

// full reports whether so much waits that no more batches are shown to interceptors: what a
// batch becomes beside is larger than it was, and nobody has taken memory for it.
func (a *beside) full(o *Options) bool { return int64(a.bytes) > o.BufferBytes }

// setAside makes batches of what interceptors have sent to other topics, and has those who
// listen for these records listen there.
func (s *sender) setAside(b *recordBatch, all []chain.Aside) {
	moved := make([]bool, len(b.listeners))
	for i := range all {
		one := &recordBatch{partition: &partition{topic: all[i].Topic, index: b.partition.index, beside: 1}, begun: b.begun, screened: true}
		copied(&one.builder, all[i].Batch)
		for delta, place := range all[i].Places {
			at, found := slices.BinarySearchFunc(b.listeners, place, func(l listening, place int32) int { return int(l.delta) - int(place) })
			if found {
				l := b.listeners[at]
				l.delta, moved[at] = int32(delta), true
				one.listeners = append(one.listeners, l)
			}
		}
		for _, f := range b.flushes {
			f.left++
			one.flushes = append(one.flushes, f)
		}
		one.beside = one.builder.Len()
		s.beside.bytes += one.beside
		s.beside.waiting = append(s.beside.waiting, one)
	}
	left := b.listeners[:0]
	for i, l := range b.listeners {
		if !moved[i] {
			left = append(left, l)
		}
	}
	clear(b.listeners[len(left):])
	b.listeners = left
}

// copied appends the records of a batch that is not compressed.
func copied(to *batch.Builder, from batch.Batch) {
	to.Use(make([]byte, 0, len(from)))
	for r := batch.Walk(from[batch.HeaderSize:], from.Count()); r.Next(); {
		one := r.Record()
		to.Append(from.BaseTimestamp()+one.TimestampDelta, one.Key, one.Value, one.Headers)
	}
}

// forward queues what waits for topics that are known by now, in the partition of the same
// number or what is left of it, and says when the rest expires.
func (s *sender) forward(now int64) (wakeAt int64) {
	wakeAt = never
	var missing []string
	s.beside.waiting = slices.DeleteFunc(s.beside.waiting, func(b *recordBatch) bool {
		name := b.partition.topic
		if t := (*s.p.topics.Load())[name]; t != nil && len(t.parts) > 0 {
			part := t.parts[int(b.partition.index)%len(t.parts)]
			part.serial += serialSpan
			part.beside++
			b.partition, b.serial, b.span = part, part.serial, serialSpan
			part.queue = append(part.queue, b)
			s.activate(part)
			return true
		}
		at := b.begun + int64(s.o.DeliveryTimeout)
		if at <= now {
			s.lose(b, fmt.Errorf("no broker knows the topic: %w", s.expired(b)))
			missing = append(missing, name)
			return true
		}
		if !s.metadata.topics[name] {
			s.metadata.topics[name], s.metadata.added, s.metadata.needed = true, true, true
		}
		wakeAt = min(wakeAt, at)
		return false
	})
	for _, name := range missing {
		s.unask(name)
	}
	return wakeAt
}

// forgo gives up what waits for a topic that cannot be had; "": for any.
func (s *sender) forgo(topic string, why error) {
	s.beside.waiting = slices.DeleteFunc(s.beside.waiting, func(b *recordBatch) bool {
		if topic != "" && topic != b.partition.topic {
			return false
		}
		s.lose(b, why)
		return true
	})
}

func (s *sender) lose(b *recordBatch, why error) {
	s.settle(b, why, -1, -1)
	s.release(b)
}
