package partition

import (
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/sdk/batch"
)

// Options say what a partition begins with and how it behaves.
type Options struct {
	// Start and End are where the log starts and ends. What is in the log when it is
	// opened counts as committed.
	Start, End int64
	// Epoch is the leader epoch.
	Epoch int32
	// Now is the time of the opening in milliseconds: producers that Replay finds count
	// as active then, since nobody knows when they really were. Zero: they count as
	// active at the time of their last record.
	Now int64
	// Unsynced lets the high watermark follow what is written instead of what is
	// fsynced (log.flush.mode=os).
	Unsynced bool
	// ProducerExpiry is how long an idle producer is remembered
	// (producer.id.expiration.ms). Zero: one day.
	ProducerExpiry time.Duration
}

const day = 24 * time.Hour

// Partition is one replica, the leader with an ISR of one.
//
// Ownership: one goroutine's.
type Partition struct {
	unsynced bool
	expiry   int64 // milliseconds
	now      int64 // of the opening
	epoch    int32

	start, end            int64
	written, synced, high int64

	producers map[int64]*producer
	undo      []undo // one for every admitted batch of a producer that is not written, oldest first
	spans     []span // transactions that hold the stable offset, by first offset
	tickets   map[int64]*ticket
	ticketed  Ticket          // the last that was given out
	aborted   []batch.Aborted // that the snapshot had
}

// Admission is where a batch goes.
type Admission struct {
	Base int64 // offset of its first record
	End  int64 // offset behind its last record
	// Duplicate: the batch is in the log already, or on its way there, at these
	// offsets; it must not be written again, and may be answered once the high
	// watermark has reached End.
	Duplicate bool
	// Timestamp is the largest of a duplicate, as it was taken; milliseconds.
	Timestamp int64
}

// New returns a partition whose producers are not known yet; Restore and Replay tell it.
func New(o Options) *Partition {
	p := &Partition{
		now: o.Now, epoch: o.Epoch, start: o.Start, end: o.End,
		written: o.End, synced: o.End, high: o.End, producers: map[int64]*producer{},
	}
	p.SetOptions(o)
	return p
}

// SetOptions changes how the partition behaves; Start, End, Epoch and Now stay.
func (p *Partition) SetOptions(o Options) {
	p.unsynced = o.Unsynced
	p.expiry = o.ProducerExpiry.Milliseconds()
	if o.ProducerExpiry == 0 {
		p.expiry = day.Milliseconds()
	}
	p.advance()
}

// Start is the offset of the oldest record that may be read.
func (p *Partition) Start() int64 { return p.start }

// End is the offset that the next record gets.
func (p *Partition) End() int64 { return p.end }

// Epoch is the leader epoch.
func (p *Partition) Epoch() int32 { return p.epoch }

// HighWatermark is the offset behind the last committed record.
func (p *Partition) HighWatermark() int64 { return p.high }

// StableOffset is the offset behind the last record that belongs to no open transaction
// (the last stable offset): the high watermark while there is none.
func (p *Partition) StableOffset() int64 {
	if len(p.spans) == 0 {
		return p.high
	}
	return min(p.high, max(p.start, p.spans[0].first)) // its records may have been deleted
}

// Restored are the aborted transactions that the snapshot had. They are told once.
func (p *Partition) Restored() []batch.Aborted {
	all := p.aborted
	p.aborted = nil
	return all
}

// SetStart moves the start of the log, up to the high watermark.
func (p *Partition) SetStart(offset int64) {
	if offset < p.start || offset > p.high {
		panic(fmt.Sprintf("partition: log start %d cannot become %d below high watermark %d", p.start, offset, p.high))
	}
	p.start = offset
}

// Admit gives b its offset, or says why it may not be appended. now is in milliseconds.
// An error, and a duplicate, change nothing.
func (p *Partition) Admit(b batch.Batch, now int64) (Admission, error) {
	return p.AdmitFrom(b, now, Origin{})
}

// AdmitFrom is Admit for a batch of which more is known than it says itself.
func (p *Partition) AdmitFrom(b batch.Batch, now int64, o Origin) (Admission, error) {
	count, offsets := b.Count(), int64(b.LastOffsetDelta())+1
	fits := count > 0 && int64(count) == offsets || o.Thinned && count >= 0 && int64(count) <= offsets && offsets > 0
	if !fits || b.Control() {
		return Admission{}, kerr.InvalidRecord // control batches are the broker's own
	}
	if p.end > math.MaxInt64-offsets {
		return Admission{}, kerr.InvalidRecord
	}
	if id := b.ProducerID(); id >= 0 {
		known := p.producers[id]
		repeated, err := p.check(known, b, o)
		if err != nil {
			return Admission{}, err
		}
		if repeated != nil {
			return Admission{Base: repeated.firstOffset(), End: repeated.lastOffset + 1, Duplicate: true, Timestamp: repeated.timestamp}, nil
		}
		if o.Repeated {
			return Admission{}, kerr.RequestTimedOut // its producer was forgotten meanwhile; sent again it is looked at
		}
		p.remember(known, b, now)
	} else if b.Transactional() {
		return Admission{}, kerr.InvalidRecord
	}
	a := Admission{Base: p.end, End: p.end + offsets}
	p.end = a.End
	return a, nil
}

// remember notes an admitted batch with its producer, in such a way that Undo can take it back.
func (p *Partition) remember(known *producer, b batch.Batch, now int64) {
	known = p.touch(known, b.ProducerID())
	known.add(b, p.end)
	known.active = now
	if b.Transactional() && known.transaction < 0 {
		known.transaction = p.end
		p.spans = append(p.spans, span{producer: known.id, first: p.end, last: -1})
		delete(p.tickets, known.id)
	}
}

// touch notes what a producer was before what is admitted at the end changes it, and makes one that is not known.
func (p *Partition) touch(known *producer, id int64) *producer {
	u := undo{base: p.end, producer: known}
	if known == nil {
		known = p.meet(id)
		u.producer, u.unknown = known, true
	} else {
		u.before = *known
	}
	p.undo = append(p.undo, u)
	return known
}

// undo is what a producer was before a batch was admitted.
type undo struct {
	base     int64
	producer *producer
	unknown  bool // there was none
	before   producer
}

// Undo takes back what was admitted at and behind end, since it could not be written.
// Producers are as they were before: they may send the same batches again.
func (p *Partition) Undo(end int64) {
	if end < p.written || end > p.end {
		panic(fmt.Sprintf("partition: undo to %d between written %d and end %d", end, p.written, p.end))
	}
	for i := len(p.undo) - 1; i >= 0 && p.undo[i].base >= end; i-- {
		u := &p.undo[i]
		p.undoSpan(u)
		if u.unknown {
			delete(p.producers, u.producer.id)
		} else {
			*u.producer = u.before
		}
		p.undo[i] = undo{}
		p.undo = p.undo[:i]
	}
	p.end = end
}

// Written reports that everything below end is in the file.
func (p *Partition) Written(end int64) {
	if end < p.written || end > p.end {
		panic(fmt.Sprintf("partition: written to %d between written %d and end %d", end, p.written, p.end))
	}
	p.written = end
	n := 0
	for n < len(p.undo) && p.undo[n].base < end {
		n++
	}
	p.undo = p.undo[:copy(p.undo, p.undo[n:])]
	p.advance()
}

// Synced reports that everything below end survives a power cut.
func (p *Partition) Synced(end int64) {
	if end < p.synced || end > p.written {
		panic(fmt.Sprintf("partition: synced to %d between synced %d and written %d", end, p.synced, p.written))
	}
	p.synced = end
	p.advance()
}

func (p *Partition) advance() {
	limit := p.synced
	if p.unsynced {
		limit = p.written
	}
	p.high = max(p.high, limit) // it stays when the flush mode becomes stricter
	p.dropSpans()
}

// Check reports which invariant does not hold. It is for tests and simulators.
func (p *Partition) Check() error {
	if !(p.start <= p.high && p.high <= p.written && p.written <= p.end && p.synced <= p.written) {
		return fmt.Errorf("start %d, high watermark %d, synced %d, written %d, end %d are out of order", p.start, p.high, p.synced, p.written, p.end)
	}
	if stable := p.StableOffset(); stable > p.high {
		return fmt.Errorf("stable offset %d is above high watermark %d", stable, p.high)
	}
	for id, known := range p.producers {
		if known.id != id {
			return fmt.Errorf("producer %d is filed under %d", known.id, id)
		}
		if err := known.checkOrder(p.end); err != nil {
			return fmt.Errorf("producer %d: %w", id, err)
		}
	}
	if err := p.checkSpans(); err != nil {
		return err
	}
	for i := range p.undo {
		if u := &p.undo[i]; u.base < p.written || u.base >= p.end || i > 0 && u.base <= p.undo[i-1].base {
			return fmt.Errorf("undo %d of %d is about offset %d, between %d and %d", i, len(p.undo), u.base, p.written, p.end)
		}
	}
	return nil
}
