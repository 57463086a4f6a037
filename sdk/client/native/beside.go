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
		places := all[i].Places
		for _, one := range s.pieces(b, &all[i]) {
			for delta, place := range places[:one.builder.Count()] {
				at, found := slices.BinarySearchFunc(b.listeners, place, func(l listening, place int32) int { return int(l.delta) - int(place) })
				if found {
					l := b.listeners[at]
					l.delta, moved[at] = int32(delta), true
					one.listeners = append(one.listeners, l)
				}
			}
			places = places[one.builder.Count():]
			for _, f := range b.flushes {
				f.left++
				one.flushes = append(one.flushes, f)
			}
			one.beside = one.builder.Len()
			s.beside.bytes += one.beside
			s.beside.waiting = append(s.beside.waiting, one)
		}
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

// pieces are the batches, as large as the program's own may be or of one record, that a batch which is not
// compressed comes to: dead letters are larger than what they are of, and brokers bound what they take.
func (s *sender) pieces(of *recordBatch, all *chain.Aside) (pieces []*recordBatch) {
	from, most := all.Batch, min(s.o.BatchBytes, s.o.MaxRequestBytes)
	left := len(from)
	var one *recordBatch
	for r := batch.Walk(from[batch.HeaderSize:], from.Count()); r.Next(); {
		record := r.Record()
		need := batch.SizeOfRecord(record.Key, record.Value, record.Headers)
		if one == nil || one.builder.Len()+need > most {
			one = &recordBatch{partition: &partition{topic: all.Topic, index: of.partition.index, beside: 1}, begun: of.begun, screened: true}
			one.builder.Use(make([]byte, 0, max(min(left, most), batch.HeaderSize+need)))
			pieces = append(pieces, one)
		}
		left -= need // about
		one.builder.Append(from.BaseTimestamp()+record.TimestampDelta, record.Key, record.Value, record.Headers)
	}
	return pieces
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
