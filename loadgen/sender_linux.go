package loadgen

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/wire"
)

// codeUnanswered counts records whose request the broker never answered.
const codeUnanswered = int16(-1000)

// patience is how long a phase waits for what is still owed after its last request.
const patience = 10 * time.Second

// producePlan is what all senders of a phase share. Read only, but for left.
type producePlan struct {
	Settings
	version int16
	topic   wire.Topic
	records int // of one batch
	stop    int64
	budget  *atomic.Int64 // bytes of record values that may still be sent; nil: no bound
}

// sender is one producing connection. Owned by its loop.
type sender struct {
	*producePlan
	c        *connection
	clock    *clock
	recorder *recorder
	schedule *Schedule // nil: as fast as it goes
	spread   *spread
	producer producerState

	templates map[int32][]*template // nil: every record is encoded anew
	builder   batch.Builder
	sequences map[int32]int32

	next    int   // batch of the schedule
	turn    int   // in spread.order
	sent    int32 // correlation id of the next request
	free    int64 // when the broker last let this connection send again
	ended   bool  // nothing more will be sent
	pending []pending
	oldest  int // index in pending
	waiting int // how many are in use
	answer  []wire.Produced
}

// pending is a request that the broker owes an answer. arrivals is nil when all its
// records were due at once.
type pending struct {
	correlation int32
	due, sent   int64
	arrivals    []int64
	batches     int
	records     int
	bytes       int
	wire        int
}

// variations is how many different batches a sender prepares.
const variations = 8

// prepare builds the templates: some for each partition when records have keys, else
// some for all together.
func (s *sender) prepare() error {
	s.pending = make([]pending, max(s.InFlight, 1))
	s.sequences = make(map[int32]int32, len(s.spread.shapes))
	if s.Encode == EncodeEach {
		return nil
	}
	s.templates = make(map[int32][]*template, len(s.spread.shapes))
	var shared []*template
	for p, shape := range s.spread.shapes {
		if shared != nil {
			s.templates[p] = shared
			continue
		}
		for range variations {
			t, err := newTemplate(shape, s.records, s.Codec)
			if err != nil {
				return err
			}
			s.templates[p] = append(s.templates[p], t)
		}
		if shape.keys == nil {
			shared = s.templates[p]
		}
	}
	return nil
}

func (s *sender) conn() *connection { return s.c }

func (s *sender) done() bool { return s.ended && s.waiting == 0 && len(s.c.out) == 0 }

// burst bounds how many requests one step sends, so that answers are read in between.
const burst = 16

func (s *sender) step(now int64) (int64, error) {
	if len(s.c.out) > 0 {
		if all, err := s.flush(); err != nil || !all {
			return s.deadline(now), err
		}
		s.free = s.clock.now()
	}
	for range burst {
		if s.ended = s.ended || s.exhausted(now); s.ended || s.waiting == len(s.pending) {
			return s.deadline(now), nil
		}
		due := now
		if s.schedule != nil {
			if due = s.schedule.Due[s.next]; due > now {
				return min(due, s.deadline(now)), nil
			}
		}
		if err := s.send(due); err != nil {
			return never, err
		}
		if all, err := s.flush(); err != nil || !all {
			return s.deadline(now), err
		}
		now = s.clock.now()
	}
	return now, nil
}

// exhausted reports whether schedule, time or budget are at their end.
func (s *sender) exhausted(now int64) bool {
	switch {
	case s.schedule != nil && s.next >= s.schedule.Len():
		return true
	case s.schedule == nil && now >= s.stop:
		return true
	default:
		return s.budget != nil && s.budget.Load() <= 0
	}
}

// deadline gives up on a broker that owes answers for too long, and says when that is.
func (s *sender) deadline(now int64) int64 {
	if s.waiting == 0 && len(s.c.out) == 0 {
		return never
	}
	end := s.stop + int64(patience)
	if now < end {
		return end
	}
	for ; s.waiting > 0; s.waiting-- {
		s.recorder.fail(codeUnanswered, s.pending[s.oldest].records)
		s.oldest = (s.oldest + 1) % len(s.pending)
	}
	s.ended, s.c.out, s.c.gone = true, s.c.out[:0], 0
	return never
}

// send builds the request that is due and remembers it as pending.
func (s *sender) send(due int64) error {
	p := &s.pending[(s.oldest+s.waiting)%len(s.pending)]
	*p = pending{correlation: s.sent, due: due, batches: s.RequestBatches}
	if s.schedule != nil {
		p.arrivals = s.schedule.Arrivals(s.next)
	}
	c := s.c
	c.out = wire.AppendProduce(c.out[:0], s.version, s.sent, clientID, "", s.Acks, produceTimeoutMS, 1)
	c.out = wire.AppendProduceTopic(c.out, s.version, &s.topic, p.batches)
	for range p.batches {
		partition := s.spread.order[s.turn%len(s.spread.order)]
		s.turn++
		if err := s.append(p, partition); err != nil {
			return err
		}
	}
	flexible := s.version >= wire.ProduceFlexible
	c.out = wire.AppendTags(wire.AppendTags(c.out, flexible), flexible)
	wire.Seal(c.out, 0)
	s.next++
	s.sent++
	p.sent = s.clock.now()
	if s.budget != nil && p.sent >= s.recorder.measured {
		s.budget.Add(-int64(p.bytes))
	}
	if s.schedule != nil {
		s.recorder.note(sendLag, due, p.sent-due, p.records)
		s.recorder.note(ownLag, due, p.sent-max(due, s.free), p.records)
	} else {
		p.due = p.sent
	}
	s.waiting++
	return nil
}

// append adds one batch for the partition to the request.
func (s *sender) append(p *pending, partition int32) error {
	sequence := int32(-1)
	if s.producer.id >= 0 {
		sequence = s.sequences[partition]
	}
	out := s.c.out
	var records int
	if s.templates != nil {
		choices := s.templates[partition]
		t := choices[s.turn%len(choices)]
		out = wire.AppendProducePartition(out, s.version, partition, len(t.data))
		out = t.copyTo(out, s.clock, p.due, s.producer, sequence)
		records = t.count
		p.bytes += t.bytes
		p.wire += len(t.data)
	} else {
		built, bytes, err := s.encode(p, partition, sequence)
		if err != nil {
			return err
		}
		out = wire.AppendProducePartition(out, s.version, partition, len(built))
		out = append(out, built...)
		records = s.builder.Count()
		p.bytes += bytes
		p.wire += len(built)
	}
	s.c.out = wire.AppendTags(out, s.version >= wire.ProduceFlexible)
	p.records += records
	if sequence >= 0 {
		s.sequences[partition] = batch.AddSequence(sequence, int32(records))
	}
	return nil
}

// encode builds one batch record by record.
func (s *sender) encode(p *pending, partition, sequence int32) (built batch.Batch, bytes int, err error) {
	s.builder.Reset()
	count := s.records
	if s.schedule != nil {
		count = s.schedule.Count(s.next) / s.RequestBatches
	}
	shape := s.spread.shapes[partition]
	for i := range count {
		due := p.due
		if p.arrivals != nil {
			due = p.arrivals[i]
		}
		key, value := shape.record()
		if len(value) >= stampSize {
			binary.BigEndian.PutUint64(value, uint64(s.clock.epoch+due))
		}
		s.builder.Append(s.clock.wall(due), key, value, nil)
		bytes += len(value)
	}
	built, err = s.builder.Finish(batch.BatchOptions{
		Codec: s.Codec, LeaderEpoch: -1, ProducerID: s.producer.id, ProducerEpoch: s.producer.epoch, BaseSequence: sequence,
	})
	if err != nil {
		return nil, 0, fmt.Errorf("encode a batch: %w", err)
	}
	return built, bytes, nil
}

// flush writes the request. Without acks it is over when it is in the socket.
func (s *sender) flush() (all bool, err error) {
	all, err = s.c.flush()
	if all && s.Acks == 0 && s.waiting > 0 {
		p := s.take()
		s.succeed(p, p.records, s.clock.now())
		s.count(p, p.records)
	}
	return all, err
}

// take removes the oldest pending request.
func (s *sender) take() *pending {
	p := &s.pending[s.oldest]
	s.oldest = (s.oldest + 1) % len(s.pending)
	s.waiting--
	return p
}

func (s *sender) readable() error { return s.c.receive(s.acknowledge) }

// acknowledge takes one answer. The broker answers a connection's requests in order.
func (s *sender) acknowledge(frame []byte) error {
	now := s.clock.now()
	if len(frame) < 4 || s.waiting == 0 {
		return wire.ErrMalformed
	}
	if s.waiting == len(s.pending) {
		s.free = now
	}
	p := s.take()
	if got := int32(binary.BigEndian.Uint32(frame)); got != p.correlation {
		return fmt.Errorf("answer %d came where %d was due: %w", got, p.correlation, wire.ErrMalformed)
	}
	var err error
	if s.answer, err = wire.ReadProduce(frame[4:], s.version, s.answer[:0]); err != nil {
		return err
	}
	if len(s.answer) != p.batches {
		return fmt.Errorf("%d batches were answered of %d: %w", len(s.answer), p.batches, wire.ErrMalformed)
	}
	good := p.records
	for i := range s.answer {
		if s.answer[i].Code != 0 {
			s.recorder.fail(s.answer[i].Code, p.records/p.batches)
			good -= p.records / p.batches
		}
	}
	if good > 0 {
		s.succeed(p, good, now)
		s.count(p, good)
	}
	return nil
}

// succeed records the latencies of records that were acknowledged now.
func (s *sender) succeed(p *pending, records int, now int64) {
	s.recorder.note(service, p.due, now-p.sent, records)
	s.recorder.lastAck = now
	if s.schedule == nil {
		return
	}
	if p.arrivals == nil {
		s.recorder.note(response, p.due, now-p.due, records)
		return
	}
	for _, due := range p.arrivals {
		s.recorder.note(response, due, now-due, 1)
	}
}

func (s *sender) count(p *pending, records int) {
	t := &s.recorder.current.tally
	t.acked += int64(records)
	s.recorder.allAcked += int64(records)
	t.bytes += int64(p.bytes) * int64(records) / int64(p.records)
	t.wireBytes += int64(p.wire) * int64(records) / int64(p.records)
	t.requests++
}
