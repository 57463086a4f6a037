package partition

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/sdk/batch"
)

// span is a transaction that holds the stable offset: an open one, or one whose marker is
// not below the high watermark yet.
type span struct {
	producer int64
	first    int64 // offset of its first record
	last     int64 // offset of its marker; −1: it is open
}

// Ticket shows that a transactional batch may open a transaction here: the coordinator was
// asked after Verify had given the ticket, and the transaction has not ended since (KIP-890). Zero is none.
type Ticket uint64

// ticket is what Verify remembers of a producer until its transaction opens or ends. All epochs
// that ask share its number: anybody can ask for one, and the coordinator confirms only the
// producer's own.
type ticket struct {
	number Ticket
	at     int64           // milliseconds
	lowest map[int16]int32 // by epoch, the lowest sequence that asked: what comes behind it must not be taken before it
}

// Origin is what a batch does not say itself. The zero value is right for all
// others.
type Origin struct {
	Ticket Ticket
	// Bumped: the producer has a new epoch in each transaction (transaction.version 2).
	Bumped bool
	// Unsequenced: offsets of a group, which its coordinator appends for a producer.
	Unsequenced bool
	// Thinned: the broker itself has taken records out of the batch, so that it may have fewer
	// than offsets, and even none.
	Thinned bool
	// Repeated: Repeats said so of the batch, whose records nobody has looked at therefore. It
	// is admitted as a duplicate or not at all.
	Repeated bool
}

// Verify says whether the coordinator must be asked before b is admitted, and gives the ticket
// to admit it with after. It is not needed within an open transaction, nor for what was
// admitted before. now is in milliseconds.
func (p *Partition) Verify(b batch.Batch, now int64) (t Ticket, needed bool) {
	id, epoch, sequence := b.ProducerID(), b.ProducerEpoch(), b.BaseSequence()
	known := p.producers[id]
	if !b.Transactional() || id < 0 || known.within(epoch) || known != nil && sequence >= 0 && known.find(b) != nil {
		return 0, false
	}
	given := p.tickets[id]
	if given == nil {
		if p.tickets == nil {
			p.tickets = map[int64]*ticket{}
		}
		p.ticketed++
		given = &ticket{p.ticketed, now, map[int16]int32{}}
		p.tickets[id] = given
	}
	if lowest, asked := given.lowest[epoch]; !asked || sequence < lowest {
		given.lowest[epoch] = sequence
	}
	return given.number, true
}

// valid reports whether b comes with the ticket that its producer has, and its epoch asked.
func (p *Partition) valid(b batch.Batch, o Origin) bool {
	t := p.tickets[b.ProducerID()]
	if t == nil || o.Ticket != t.number {
		return false
	}
	_, asked := t.lowest[b.ProducerEpoch()]
	return asked
}

// overtakes reports whether an earlier batch of the epoch of b has asked and is not admitted yet.
func (p *Partition) overtakes(b batch.Batch) bool {
	t := p.tickets[b.ProducerID()]
	if t == nil {
		return false
	}
	lowest, asked := t.lowest[b.ProducerEpoch()]
	return asked && b.BaseSequence() > lowest
}

// void ends the tickets of the transaction that e ends. A marker that is one epoch above it may come late,
// when batches of the next transaction have asked already: what their coordinator says, it says after the
// transaction before is complete, and it holds.
func (p *Partition) void(e Ending) {
	t := p.tickets[e.ProducerID]
	if t == nil {
		return
	}
	maps.DeleteFunc(t.lowest, func(epoch int16, _ int32) bool { return !e.Bumped || epoch < e.ProducerEpoch })
	if len(t.lowest) == 0 {
		delete(p.tickets, e.ProducerID)
	}
}

// within reports whether the producer has an open transaction of an epoch.
func (p *producer) within(epoch int16) bool {
	return p != nil && p.transaction >= 0 && p.epoch == epoch
}

// Ending is a request of a coordinator to end a transaction.
type Ending struct {
	batch.Marker
	// Bumped: the epoch of the marker is one above that of the transaction
	// (transaction.version 2), so that nothing which is late can be taken for part of the
	// next one.
	Bumped bool
}

// Ended is where the marker goes, and what it aborts.
type Ended struct {
	// Admission is Duplicate when the transaction has ended already by this epoch: nothing is
	// to be written, and what was is acknowledged once the high watermark has reached End.
	Admission
	Aborted batch.Aborted
	Aborts  bool // Aborted says what
}

// EndTransaction gives the marker of e its offset, or says why it may not be appended. now is in
// milliseconds. An error, and a duplicate, change nothing but that tickets are void.
func (p *Partition) EndTransaction(e Ending, now int64) (Ended, error) {
	known := p.producers[e.ProducerID]
	switch {
	case e.ProducerID < 0 || e.ProducerEpoch < 0 || p.end == math.MaxInt64:
		return Ended{}, kerr.InvalidRecord
	case known == nil:
	case e.ProducerEpoch < known.epoch:
		return Ended{}, kerr.InvalidProducerEpoch
	case e.CoordinatorEpoch < known.coordinator:
		return Ended{}, kerr.TransactionCoordinatorFenced
	case e.Bumped && e.ProducerEpoch == known.epoch && known.transaction >= 0:
		return Ended{}, kerr.InvalidProducerEpoch // it is of the next transaction
	}
	p.void(e)
	if known != nil && e.ProducerEpoch == known.epoch && known.transaction < 0 && e.CoordinatorEpoch == known.coordinator {
		return Ended{Admission: Admission{Base: p.end, End: p.end, Duplicate: true}}, nil
	}
	known = p.touch(known, e.ProducerID)
	ended := Ended{Admission: Admission{Base: p.end, End: p.end + 1}}
	p.end++
	ended.Aborted, ended.Aborts = p.close(known, e.Marker, ended.Base)
	known.active, known.timestamp = now, now
	return ended, nil
}

// close ends the transaction of a producer, if it has one, by a marker at an offset.
func (p *Partition) close(known *producer, m batch.Marker, at int64) (aborted batch.Aborted, ok bool) {
	known.setEpoch(m.ProducerEpoch)
	known.coordinator = max(known.coordinator, m.CoordinatorEpoch)
	if known.transaction < 0 {
		return aborted, false
	}
	aborted = batch.Aborted{ProducerID: known.id, First: known.transaction, Last: at, Stable: at + 1}
	for i := range p.spans {
		switch s := &p.spans[i]; {
		case s.producer == known.id && s.first == known.transaction:
			s.last = at
		case s.last < 0:
			aborted.Stable = min(aborted.Stable, s.first)
		}
	}
	known.transaction = -1
	return aborted, !m.Commit
}

// dropSpans lets go of the transactions that have ended below the high watermark.
func (p *Partition) dropSpans() {
	if len(p.spans) == 0 {
		return
	}
	p.spans = slices.DeleteFunc(p.spans, func(s span) bool { return s.last >= 0 && s.last < p.high })
}

// Open is how many transactions are open, and since when, in milliseconds, nothing was heard of the one that has been
// silent for longest.
func (p *Partition) Open() (count int, silent int64) {
	for _, s := range p.spans {
		if s.last >= 0 {
			continue
		}
		if active := p.producers[s.producer].active; count == 0 || active < silent {
			silent = active
		}
		count++
	}
	return count, silent
}

// undoSpan takes back what the batch of u did to its producer's transaction. The producer is
// not as it was before yet.
func (p *Partition) undoSpan(u *undo) {
	now, before := u.producer.transaction, u.before.transaction
	if u.unknown {
		before = -1
	}
	if now == before {
		return
	}
	if now >= 0 {
		p.spans = slices.DeleteFunc(p.spans, func(s span) bool { return s.producer == u.producer.id && s.first == now })
		return
	}
	for i := range p.spans {
		if s := &p.spans[i]; s.producer == u.producer.id && s.first == before {
			s.last = -1
		}
	}
}

// checkSpans reports where spans and producers disagree.
func (p *Partition) checkSpans() error {
	open := 0
	for i, s := range p.spans {
		known := p.producers[s.producer]
		switch {
		case i > 0 && s.first <= p.spans[i-1].first:
			return fmt.Errorf("transaction %d of %d begins at %d, the one before at %d", i, len(p.spans), s.first, p.spans[i-1].first)
		case s.last < 0 && (known == nil || known.transaction != s.first):
			return fmt.Errorf("a transaction of producer %d is open from %d on, and the producer does not know it", s.producer, s.first)
		case s.last >= 0 && (s.last < p.high || s.last >= p.end || s.last < s.first):
			return fmt.Errorf("the transaction from %d on ended at %d, high watermark %d, end %d", s.first, s.last, p.high, p.end)
		}
		if s.last < 0 {
			open++
		}
	}
	for _, known := range p.producers {
		if known.transaction >= 0 {
			open--
		}
	}
	if open != 0 {
		return fmt.Errorf("%d more transactions are open than producers know", open)
	}
	return nil
}
