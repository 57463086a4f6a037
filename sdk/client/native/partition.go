package native

import (
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/sdk/batch"
)

// recordBatch is a batch on its way. Callers fill it under the lock of its partition; once
// it is sealed it is the sender's, and a connection's while a request has it.
type recordBatch struct {
	partition *partition
	builder   batch.Builder
	capacity  int // bytes, with the header
	charged   int // bytes of Memory; zero: of a batch that was split
	begun     int64
	listeners []listening

	// Of the sender.
	serial   int64 // order in the partition, in steps of span, which splitting halves
	span     int64
	numbered bool
	id       int64
	epoch    int16
	sequence int32
	tries    int
	settled  bool  // before its request came back
	screened bool  // interceptors have seen it
	refused  error // by them
	beside   int   // bytes, of one that interceptors have made of what belongs in another topic
	flushes  []*flush

	// Of the connection, while a request has it.
	wire batch.Batch // nil: not finished yet
}

// forgotten is how many of its records nobody waits for.
func (b *recordBatch) forgotten() int {
	count := b.builder.Count()
	for i := range b.listeners {
		if l := &b.listeners[i]; !l.forgotten && l.delta >= 0 {
			count--
		}
	}
	return count
}

// listening is a record whose sender wants to know.
type listening struct {
	listener  Listener
	delta     int32 // −1: interceptors have dropped it
	forgotten bool  // nobody waits for the record
	timestamp int64
}

// serialSpan leaves room for the halves of batches that are split again and again.
const serialSpan = 1 << 20

// partition is one partition that is sent to.
type partition struct {
	topic string
	index int32

	mu      sync.Mutex //nolint:forbidigo // any number of goroutines append; an uncontended lock costs less than a queue
	open    *recordBatch
	sealed  []*recordBatch // full, and the sender has not taken them yet
	told    bool           // the sender will look, because it was told
	watched bool           // the sender will look anyway, because something is queued
	clock   recordClock
	got     int // bytes of records since one was reported to have filled a batch

	// Of the sender.
	leader   int32 // −1: none known
	active   bool
	alone    bool           // one batch of it is under way at most, also while its leader changes
	watching bool           // what the sender made of watched
	fresh    bool           // callers told of something since gather
	begun    int64          // when the open batch was, as far as gather has seen; −1: there is none
	queue    []*recordBatch // by serial; those that go again first
	inflight []*recordBatch // as they were sent
	beside   int            // how many, queued or under way, interceptors have made of what belongs here
	serial   int64
	id       int64 // of the producer that numbers count for
	epoch    int16
	next     int32 // sequence of the next batch
	proven   bool  // a batch with this id and epoch is in the log
	renumber bool  // once nothing is under way
	retryAt  int64
}

// recordClock reads the time for records that have none of their own. A reading costs as
// much as encoding a record: under load one serves several, as long as they come within a
// fraction of a millisecond.
type recordClock struct {
	millis int64
	last   int64 // monotonic nanoseconds of the reading
	stride int32
	left   int32 // records that have it still
}

const (
	mostStride  = 64
	closeEnough = int64(time.Millisecond) / 4
)

// at is the time of the next record in milliseconds. A batch begins with a reading of its own.
func (c *recordClock) at(since time.Time, fresh bool) int64 {
	if c.left == 0 || fresh {
		c.read(since)
	}
	c.left--
	return c.millis
}

// read reads the time, for the next record and those that it serves besides.
func (c *recordClock) read(since time.Time) {
	now := time.Now()
	at := int64(now.Sub(since))
	switch elapsed := at - c.last; {
	case elapsed > closeEnough:
		c.stride = 0
	case elapsed < closeEnough/2:
		c.stride = min(2*c.stride+1, mostStride)
	}
	c.last, c.left, c.millis = at, c.stride+1, now.UnixMilli()
}

// seal hands the open batch to the sender, if it has records: somebody may be waiting to
// append the first. It reports whether it had.
func (p *partition) seal() bool {
	if p.open == nil || p.open.builder.Count() == 0 {
		return false
	}
	p.sealed = append(p.sealed, p.open)
	p.open = nil
	return true
}

// gather moves what callers sealed to the queue, and the open batch too if all is set.
// Callers wait meanwhile, so it is not done for nothing: see changed.
func (p *partition) gather(all bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told, p.fresh = false, false
	if all {
		p.seal()
	}
	for i, b := range p.sealed {
		p.serial += serialSpan
		b.serial, b.span = p.serial, serialSpan
		p.queue = append(p.queue, b)
		p.sealed[i] = nil
	}
	p.sealed = p.sealed[:0]
	p.begun = -1
	if p.open != nil && p.open.builder.Count() > 0 {
		p.begun = p.open.begun
	}
}

// changed reports whether callers may have done something that the sender must know of.
func (p *partition) changed() bool { return p.fresh || p.watching && len(p.queue) == 0 }

// watch says whether the sender looks again without being told. It reports whether there is
// something that nobody told of because the sender was watching until now.
func (p *partition) watch(on bool) (missed bool) {
	if p.watching == on {
		return false
	}
	p.watching = on
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watched = on
	missed = !on && !p.told && (len(p.sealed) > 0 || p.open != nil && p.open.builder.Count() > 0)
	p.fresh = p.fresh || missed
	return missed
}

// again puts a batch back where it belongs in the queue.
func (p *partition) again(b *recordBatch) {
	at, _ := slices.BinarySearchFunc(p.queue, b, func(a, b *recordBatch) int { return int(a.serial - b.serial) })
	p.queue = slices.Insert(p.queue, at, b)
}

// landed takes a batch off those under way.
func (p *partition) landed(b *recordBatch) {
	if i := slices.Index(p.inflight, b); i >= 0 {
		p.inflight = slices.Delete(p.inflight, i, i+1)
	}
}

// head is the batch that may be sent now, nil when none may: what goes again goes alone, also
// to a new leader while the old one has a batch (max.in.flight.requests.per.connection=1), and
// so does the first batch under an epoch. A broker that does not know the producer would
// take any number as its first, and so the second batch before the first.
func (p *partition) head(now int64) *recordBatch {
	if len(p.queue) == 0 || p.renumber || now < p.retryAt {
		return nil
	}
	b := p.queue[0]
	if len(p.inflight) > 0 && (p.alone || b.tries > 0 || p.inflight[0].tries > 0 || p.id >= 0 && !p.proven) {
		return nil
	}
	return b
}

// owes reports whether something is queued that interceptors have made of what belongs here.
func (p *partition) owes() bool {
	left := p.beside
	if left == 0 {
		return false
	}
	for _, b := range p.inflight {
		if b.beside > 0 {
			left--
		}
	}
	return left > 0
}

// adopt numbers the partition's batches for a producer from 0 on.
func (p *partition) adopt(id int64, epoch int16) {
	p.id, p.epoch, p.next, p.proven, p.renumber = id, epoch, 0, false, false
	for _, b := range p.queue {
		if b.numbered {
			p.number(b)
		}
	}
}

// number gives b the next sequence numbers.
func (p *partition) number(b *recordBatch) {
	b.numbered, b.id, b.epoch, b.sequence = true, p.id, p.epoch, p.next
	p.next = batch.AddSequence(p.next, int32(b.builder.Count()))
}

// quiet reports whether no batch has a number that counts.
func (p *partition) quiet() bool {
	return len(p.inflight) == 0 && (len(p.queue) == 0 || !p.queue[0].numbered)
}

// acknowledged notes that b is in the log.
func (p *partition) acknowledged(b *recordBatch) {
	p.proven = p.proven || b.numbered && b.id == p.id && b.epoch == p.epoch
}

// isOldest reports whether nothing before b, which has landed, waits for its answer.
func (p *partition) isOldest(b *recordBatch) bool {
	if len(p.queue) > 0 && p.queue[0].serial < b.serial {
		return false
	}
	return !slices.ContainsFunc(p.inflight, func(other *recordBatch) bool { return other.serial < b.serial })
}

// idle reports whether the sender has nothing to do for the partition.
func (p *partition) idle() bool { return len(p.queue) == 0 && len(p.inflight) == 0 }
