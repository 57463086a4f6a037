package partition

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/sdk/batch"
)

// keep is how many batches of a producer are remembered. Clients have at most as many in
// flight.
const keep = 5

// sent is one batch that a producer sent.
type sent struct {
	lastOffset   int64
	timestamp    int64 // largest of its records, milliseconds
	lastSequence int32
	delta        int32 // records minus one
}

func (s *sent) firstOffset() int64 { return s.lastOffset - int64(s.delta) }

// firstSequence wraps backwards from 0 to 2³¹−1.
func (s *sent) firstSequence() int32 { return (s.lastSequence - s.delta) & (1<<31 - 1) }

// producer is what is known of one idempotent producer.
type producer struct {
	id          int64
	active      int64 // when it last sent something, milliseconds
	timestamp   int64 // of its last record
	transaction int64 // first offset of its open transaction; -1: none
	coordinator int32 // epoch of the coordinator that ended its last transaction; -1: none
	epoch       int16 // -1: none
	count       uint8
	batches     [keep]sent // the first count, oldest first
}

// meet makes a producer that was not known.
func (p *Partition) meet(id int64) *producer {
	known := &producer{id: id, epoch: -1, coordinator: -1, transaction: -1}
	p.producers[id] = known
	return known
}

// lastSequence is that of the last record, or -1.
func (p *producer) lastSequence() int32 {
	if p.count == 0 {
		return -1
	}
	return p.batches[p.count-1].lastSequence
}

// find returns the kept batch that b repeats, or nil.
func (p *producer) find(b batch.Batch) *sent {
	if b.ProducerEpoch() != p.epoch {
		return nil
	}
	first, last := b.BaseSequence(), b.LastSequence()
	for i := range p.batches[:p.count] {
		if s := &p.batches[i]; s.lastSequence == last && s.firstSequence() == first {
			return s
		}
	}
	return nil
}

// Repeats reports whether b is in the log already, or on its way there, so that Admit would
// call it a duplicate.
func (p *Partition) Repeats(b batch.Batch) bool {
	if b.ProducerID() < 0 || b.BaseSequence() < 0 {
		return false
	}
	known := p.producers[b.ProducerID()]
	return known != nil && known.find(b) != nil
}

// check says whether b may follow, or which kept batch it repeats. known is nil for a
// producer that is not known.
func (p *Partition) check(known *producer, b batch.Batch, o Origin) (repeated *sent, err error) {
	sequence, epoch := b.BaseSequence(), b.ProducerEpoch()
	if sequence < 0 && !o.Unsequenced || epoch < 0 {
		return nil, kerr.InvalidRecord
	}
	if known != nil && !o.Unsequenced {
		if s := known.find(b); s != nil {
			return s, nil
		}
	}
	if b.Transactional() && !known.within(epoch) && !p.valid(b, o) {
		return nil, kerr.InvalidTxnState
	}
	switch {
	case known == nil || known.epoch < 0:
		if o.Bumped && !o.Unsequenced && sequence != 0 {
			// Its epoch is new with each transaction, so what came before was lost on its way.
			return nil, kerr.OutOfOrderSequenceNumber
		}
	case epoch < known.epoch:
		return nil, kerr.InvalidProducerEpoch
	case o.Unsequenced:
	case epoch > known.epoch && sequence != 0:
		return nil, kerr.OutOfOrderSequenceNumber
	case epoch == known.epoch && !follows(known.lastSequence(), sequence):
		return nil, kerr.OutOfOrderSequenceNumber
	case known.transaction >= 0 && !b.Transactional():
		return nil, kerr.InvalidTxnState
	}
	if !known.within(epoch) && p.overtakes(b) {
		return nil, kerr.OutOfOrderSequenceNumber // an earlier batch was refused and comes again
	}
	return nil, nil
}

// follows reports whether next is the sequence after last, which is -1 before the first.
func follows(last, next int32) bool {
	if last < 0 {
		return next == 0
	}
	return next == batch.AddSequence(last, 1)
}

// add notes a batch at an offset.
func (p *producer) add(b batch.Batch, base int64) {
	p.setEpoch(b.ProducerEpoch())
	if b.BaseSequence() < 0 {
		p.timestamp = b.MaxTimestamp()
		return // offsets of a group: nobody counts them
	}
	if p.count == keep {
		copy(p.batches[:], p.batches[1:])
		p.count--
	}
	delta := b.LastOffsetDelta()
	p.batches[p.count] = sent{base + int64(delta), b.MaxTimestamp(), b.LastSequence(), delta}
	p.count++
	p.timestamp = b.MaxTimestamp()
}

func (p *producer) setEpoch(epoch int16) {
	if p.epoch != epoch {
		p.epoch, p.count = epoch, 0
	}
}

func (p *producer) checkOrder(end int64) error {
	for i := range p.batches[:p.count] {
		s := &p.batches[i]
		if s.delta < 0 || s.lastSequence < 0 || s.lastOffset >= end || i > 0 && s.firstOffset() <= p.batches[i-1].lastOffset {
			return fmt.Errorf("batch %d of %d at %d–%d, end %d", i, p.count, s.firstOffset(), s.lastOffset, end)
		}
	}
	return nil
}

// Replay learns from the header of a batch that is in the log, in the order of the log; of
// a control batch it needs all. What Restore already knows is passed over. It tells of an
// aborted transaction when the batch is the marker that ends one.
func (p *Partition) Replay(header batch.Batch) (aborted batch.Aborted, ok bool) {
	id := header.ProducerID()
	if id < 0 {
		return aborted, false
	}
	known := p.producers[id]
	if known == nil {
		known = p.meet(id)
	}
	if known.count > 0 && known.batches[known.count-1].lastOffset >= header.LastOffset() {
		return aborted, false
	}
	known.active = max(header.MaxTimestamp(), p.now)
	switch {
	case header.Control(): // the marker that ends a transaction
		marker, _ := header.Marker()
		aborted, ok = p.close(known, marker, header.BaseOffset())
		known.timestamp = header.MaxTimestamp()
		p.dropSpans()
		return aborted, ok
	case header.LastOffsetDelta() < 0 || header.BaseSequence() < 0 && !header.Transactional():
		return aborted, false
	case header.Transactional() && known.transaction < 0:
		known.transaction = header.BaseOffset()
		p.spans = append(p.spans, span{producer: id, first: known.transaction, last: -1})
	}
	known.add(header, header.BaseOffset())
	return aborted, false
}

// Expire forgets producers that sent nothing for long: their next batch is admitted
// whatever its sequence. now is in milliseconds. It answers how many they were.
func (p *Partition) Expire(now int64) (expired int) {
	for id, known := range p.producers {
		waits := known.count > 0 && known.batches[known.count-1].lastOffset >= p.written
		if known.transaction < 0 && !waits && now-known.active >= p.expiry {
			delete(p.producers, id)
			expired++
		}
	}
	for id, t := range p.tickets {
		if now-t.at >= p.expiry {
			delete(p.tickets, id)
		}
	}
	return expired
}

// Known is how many producers are known.
func (p *Partition) Known() int { return len(p.producers) }

// Producer is what DescribeProducers tells of one.
type Producer struct {
	ID               int64
	Epoch            int16
	LastSequence     int32 // -1: none
	LastTimestamp    int64 // milliseconds
	CoordinatorEpoch int32 // -1: none
	TransactionStart int64 // -1: no open transaction
}

// Producers returns those that are known, by id.
func (p *Partition) Producers() []Producer {
	all := make([]Producer, 0, len(p.producers))
	for _, known := range p.sorted() {
		all = append(all, Producer{
			ID: known.id, Epoch: known.epoch, LastSequence: known.lastSequence(), LastTimestamp: known.timestamp,
			CoordinatorEpoch: known.coordinator, TransactionStart: known.transaction,
		})
	}
	return all
}

func (p *Partition) sorted() []*producer {
	all := make([]*producer, 0, len(p.producers))
	for _, known := range p.producers {
		all = append(all, known)
	}
	slices.SortFunc(all, func(a, b *producer) int { return cmp.Compare(a.id, b.id) })
	return all
}

// LastSent tells of every producer what the log must keep of it: the last offset of its last
// batch, or −1 for the marker that ended a transaction under this epoch.
func (p *Partition) LastSent(f func(id, offset int64, epoch int16)) {
	for id, known := range p.producers {
		offset := int64(-1)
		if known.count > 0 {
			offset = known.batches[known.count-1].lastOffset
		}
		f(id, offset, known.epoch)
	}
}
