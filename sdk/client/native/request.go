package native

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/wire"
)

// request is one Produce request, with a batch for each of some partitions.
//
// Ownership: the sender's until it is handed to a connection, the connection's until it
// comes back as an event.
type request struct {
	c           *connection
	batches     []*recordBatch
	results     []result
	bytes       int
	deadline    int64
	correlation int32
	adds        bool  // brokers add its partitions to the transaction: version 2
	version     int16 // once it was encoded
}

// result is what became of one batch.
type result struct {
	err        error // there is no answer
	code       int16
	base       int64
	appendTime int64
	message    string
}

// wrap adds what the broker said to its error.
func (r *result) wrap(failure error) error {
	if r.message == "" {
		return failure
	}
	return fmt.Errorf("%w (%s)", failure, r.message)
}

// happen is that the answer came.
func (r *request) happen(s *sender) {
	c := r.c
	if i := slices.Index(c.inflight, r); i >= 0 {
		c.inflight = slices.Delete(c.inflight, i, i+1)
	}
	now := s.p.now()
	c.broker.failures, c.broker.used = 0, now
	s.settleRequest(r, now)
}

func (s *sender) settleRequest(r *request, now int64) {
	for i, b := range r.batches {
		s.landed(b, &r.results[i], now)
	}
	s.recycle(r)
}

// recycle keeps a request for the next one.
func (s *sender) recycle(r *request) {
	clear(r.batches)
	clear(r.results)
	r.adds = false
	r.c, r.batches, r.results, r.bytes = nil, r.batches[:0], r.results[:0], 0
	s.requests = append(s.requests, r)
}

func (s *sender) request() *request {
	if n := len(s.requests); n > 0 {
		r := s.requests[n-1]
		s.requests = s.requests[:n-1]
		return r
	}
	return &request{}
}

// finish makes the bytes of a batch that go over the wire. One that was sent before keeps
// them, with other numbers perhaps.
func (b *recordBatch) finish(o *Options) {
	id, epoch, sequence := int64(-1), int16(-1), int32(-1)
	if b.numbered {
		id, epoch, sequence = b.id, b.epoch, b.sequence
	}
	if b.wire != nil {
		if b.wire.ProducerID() != id || b.wire.ProducerEpoch() != epoch || b.wire.BaseSequence() != sequence {
			b.wire.SetProducer(id, epoch, sequence)
		}
		return
	}
	how := batch.BatchOptions{Transactional: o.TransactionalID != "", Codec: o.Codec, Level: o.Level, LeaderEpoch: -1, ProducerID: id, ProducerEpoch: epoch, BaseSequence: sequence}
	var err error
	if b.wire, err = b.builder.Finish(how); err != nil {
		o.Log.Warn("a batch goes uncompressed", "topic", b.partition.topic, "why", err)
		how.Codec = batch.None
		if b.wire, err = b.builder.Finish(how); err != nil {
			panic(fmt.Sprintf("a batch of %d records cannot be finished: %v", b.builder.Count(), err))
		}
	}
}

// encoder makes requests in memory that it uses again: as many as go out with one write.
// What is written is pieces of its own and the batches between them.
type encoder struct {
	own     []byte
	cuts    []int // of own, before each batch
	batches []batch.Batch
	pieces  net.Buffers
	parts   []*recordBatch // of the request that is being added
}

// begin forgets what was encoded.
func (e *encoder) begin() {
	e.own, e.cuts = e.own[:0], e.cuts[:0]
	clear(e.batches)
	e.batches = e.batches[:0]
}

// errTooOld is a broker that does not add partitions to transactions, in a cluster that does.
var errTooOld = fmt.Errorf("it speaks Produce below version %d, which version 2 of transactions needs", wire.ProduceAdds)

// speak decides the version of a request, of a broker that understands up to most.
func (r *request) speak(most int16, o *Options) error {
	r.version = most
	switch {
	case o.TransactionalID == "":
	case !r.adds:
		r.version = min(most, wire.ProduceAdds-1)
	case most < wire.ProduceAdds:
		return errTooOld
	}
	return nil
}

// add encodes one more request, whose version was decided.
func (e *encoder) add(r *request, o *Options) {
	version := r.version
	e.parts = append(e.parts[:0], r.batches...)
	slices.SortStableFunc(e.parts, func(a, b *recordBatch) int {
		if a.partition.topic == b.partition.topic {
			return cmp.Compare(a.partition.index, b.partition.index)
		}
		return strings.Compare(a.partition.topic, b.partition.topic)
	})
	flexible := version >= wire.ProduceFlexible
	begin, elsewhere := len(e.own), 0
	p := wire.AppendProduce(e.own, version, r.correlation, o.ClientID, o.TransactionalID, o.Acks, int32(o.RequestTimeout.Milliseconds()), e.topics())
	for i, b := range e.parts {
		b.finish(o)
		if i == 0 || e.parts[i-1].partition.topic != b.partition.topic {
			if i > 0 {
				p = wire.AppendTags(p, flexible)
			}
			p = wire.AppendProduceTopic(p, version, &wire.Topic{Name: b.partition.topic}, e.partitions(i))
		}
		p = wire.AppendProducePartition(p, version, b.partition.index, len(b.wire))
		e.cuts, e.batches = append(e.cuts, len(p)), append(e.batches, b.wire)
		elsewhere += len(b.wire)
		p = wire.AppendTags(p, flexible)
	}
	p = wire.AppendTags(wire.AppendTags(p, flexible), flexible)
	wire.Seal(p[begin:], elsewhere)
	e.own = p
	clear(e.parts)
}

// all is the bytes of what was added.
//
// Ownership: until begin; and of the batches, their requests'.
func (e *encoder) all() net.Buffers {
	e.pieces = e.pieces[:0]
	from := 0
	for i, b := range e.batches {
		e.pieces = append(e.pieces, e.own[from:e.cuts[i]], b)
		from = e.cuts[i]
	}
	if from < len(e.own) {
		e.pieces = append(e.pieces, e.own[from:])
	}
	return e.pieces
}

// topics is how many there are in parts, which are sorted.
func (e *encoder) topics() (n int) {
	for i, b := range e.parts {
		if i == 0 || e.parts[i-1].partition.topic != b.partition.topic {
			n++
		}
	}
	return n
}

// partitions is how many parts from there on are of one topic.
func (e *encoder) partitions(from int) (n int) {
	for _, b := range e.parts[from:] {
		if b.partition.topic != e.parts[from].partition.topic {
			break
		}
		n++
	}
	return n
}

// take notes what the broker says of each batch of r.
func (r *request) take(answers []wire.Produced) {
	r.expect(errUnanswered)
	for i := range answers {
		a := &answers[i]
		at := i
		if at >= len(r.batches) || !r.batches[at].is(a) {
			at = slices.IndexFunc(r.batches, func(b *recordBatch) bool { return b.is(a) })
		}
		if at >= 0 {
			r.results[at] = result{code: a.Code, base: a.Base, appendTime: a.AppendTime, message: string(a.Message)}
		}
	}
}

// expect makes err the result of every batch.
func (r *request) expect(err error) {
	r.results = r.results[:0]
	for range r.batches {
		r.results = append(r.results, result{err: err, base: -1, appendTime: -1})
	}
}

func (b *recordBatch) is(a *wire.Produced) bool {
	return b.partition.index == a.Partition && b.partition.topic == string(a.Topic)
}

// halves are two batches with the records of b, in memory of their own.
func halves(b *recordBatch) (first, second *recordBatch) {
	count := b.builder.Count()
	half := func(from int32) *recordBatch {
		part := &recordBatch{partition: b.partition, begun: b.begun, span: max(b.span/2, 1),
			serial: b.serial, numbered: b.numbered, id: b.id, epoch: b.epoch, sequence: b.sequence, tries: max(b.tries, 1), screened: b.screened}
		if from > 0 {
			part.serial += part.span
			part.sequence = batch.AddSequence(b.sequence, from)
		}
		part.builder.Use(make([]byte, 0, b.builder.Len()/2+1<<10))
		return part
	}
	first, second = half(0), half(int32(count/2))
	at := int32(0)
	for r := b.builder.Records(); r.Next(); at++ {
		record, to := r.Record(), first
		if at >= int32(count/2) {
			to = second
		}
		to.builder.Append(b.builder.Base()+record.TimestampDelta, record.Key, record.Value, record.Headers)
	}
	for _, l := range b.listeners {
		if to := first; l.delta < int32(count/2) {
			to.listeners = append(to.listeners, l)
		} else {
			l.delta -= int32(count / 2)
			second.listeners = append(second.listeners, l)
		}
	}
	return first, second
}
