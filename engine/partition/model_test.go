package partition

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/sdk/batch"
)

// model is the slow clear version: it keeps everything that was ever admitted, and reads
// the rules off that list.
type model struct {
	log     []header      // admitted, in the order of offsets
	written int           // how many of log cannot be undone
	forgot  map[int64]int // how many of a producer's batches it is not remembered for
	active  map[int64]int64
	was     []map[int64]int64 // active before each batch that can be undone
	end     int64
}

// past returns what the producer sent since it was last forgotten.
func (m *model) past(producer int64) []header {
	var all []header
	for _, h := range m.log {
		if h.producer == producer {
			all = append(all, h)
		}
	}
	return all[m.forgot[producer]:]
}

func after(h header) int32 { return int32((int64(h.sequence) + int64(h.count)) % (1 << 31)) }

func (m *model) admit(h header) (Admission, error) {
	if h.producer >= 0 {
		past := m.past(h.producer)
		if len(past) > 0 {
			last := past[len(past)-1]
			var recent []header
			for _, old := range past {
				if old.epoch == last.epoch {
					recent = append(recent, old)
				}
			}
			for i := max(len(recent)-5, 0); i < len(recent); i++ {
				if old := recent[i]; old.epoch == h.epoch && old.sequence == h.sequence && old.count == h.count {
					return Admission{old.base, old.base + int64(old.count), true, old.timestamp}, nil
				}
			}
			switch {
			case h.epoch < last.epoch:
				return Admission{}, kerr.InvalidProducerEpoch
			case h.epoch > last.epoch && h.sequence != 0, h.epoch == last.epoch && h.sequence != after(last):
				return Admission{}, kerr.OutOfOrderSequenceNumber
			}
		}
	}
	h.base = m.end
	m.log = append(m.log, h)
	m.end += int64(h.count)
	return Admission{Base: h.base, End: m.end}, nil
}

func TestAgreesWithASlowModel(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { agree(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

// run is one random life of a partition and its model.
type run struct {
	t   *testing.T
	r   *rand.Rand
	p   *Partition
	m   *model
	o   Options
	now int64
}

func agree(t *testing.T, r *rand.Rand) {
	s := &run{t: t, r: r, o: Options{ProducerExpiry: 50 * time.Millisecond, Unsynced: r.IntN(2) == 0}, now: 1000}
	s.p, s.m = New(s.o), &model{forgot: map[int64]int{}, active: map[int64]int64{}}
	for range 250 {
		switch n := r.IntN(100); {
		case n < 70:
			s.admit()
		case n < 80:
			s.p.Written(s.m.end)
			s.m.written, s.m.was = len(s.m.log), nil
		case n < 85:
			s.p.Synced(s.p.written)
		case n < 91:
			s.undo()
		case n < 95:
			s.expire()
		default:
			s.reopen()
		}
		if err := s.p.Check(); err != nil {
			t.Fatal(err)
		}
		s.compare()
	}
}

// next makes a batch that a client may send: mostly the right one.
func (s *run) next() header {
	h := header{producer: int64(s.r.IntN(4)) - 1, count: int32(1 + s.r.IntN(3)), timestamp: s.now}
	if h.producer < 0 {
		h.epoch, h.sequence = -1, -1
		return h
	}
	past := s.m.past(h.producer)
	if len(past) == 0 {
		h.epoch = int16(s.r.IntN(3))
		h.sequence = []int32{0, 5, math.MaxInt32 - 2, math.MaxInt32}[s.r.IntN(4)]
		return h
	}
	last := past[len(past)-1]
	h.epoch, h.sequence = last.epoch, after(last)
	switch s.r.IntN(10) {
	case 0: // again
		old := past[max(len(past)-1-s.r.IntN(7), 0)]
		h.epoch, h.sequence, h.count = old.epoch, old.sequence, old.count
	case 1:
		h.epoch++
		h.sequence = int32(s.r.IntN(2))
	case 2:
		h.epoch = max(h.epoch-1, 0)
	case 3:
		h.sequence = batch.AddSequence(h.sequence, int32(s.r.IntN(3)))
	}
	return h
}

func (s *run) admit() {
	h := s.next()
	before := map[int64]int64{}
	for id, at := range s.m.active {
		before[id] = at
	}
	want, wantErr := s.m.admit(h)
	got, err := s.p.Admit(h.batch(), s.now)
	if got != want || err != wantErr {
		s.t.Fatalf("%+v: got %+v %v, want %+v %v", h, got, err, want, wantErr)
	}
	if wantErr == nil && !want.Duplicate {
		s.m.was = append(s.m.was, before)
		s.m.active[h.producer] = s.now
	}
}

// undo takes back some of what is not written.
func (s *run) undo() {
	n := len(s.m.log) - s.m.written
	if n == 0 {
		return
	}
	n = s.r.IntN(n)
	first := s.m.log[s.m.written+n]
	s.p.Undo(first.base)
	s.m.log, s.m.end = s.m.log[:s.m.written+n], first.base
	s.m.active = s.m.was[n]
	s.m.was = s.m.was[:n]
}

func (s *run) expire() {
	s.now += int64(s.r.IntN(80))
	s.p.Expire(s.now)
	for id, at := range s.m.active {
		past := s.m.past(id)
		unwritten := len(past) > 0 && past[len(past)-1].base >= s.p.written
		if id >= 0 && s.now-at >= 50 && !unwritten {
			s.m.forgot[id] += len(past)
			delete(s.m.active, id)
		}
	}
}

// reopen starts again from the log, the snapshot of a moment and what was written since.
func (s *run) reopen() {
	s.p.Undo(s.p.written)
	s.m.log = s.m.log[:s.m.written]
	s.m.end = s.p.end
	if len(s.m.was) > 0 {
		s.m.active, s.m.was = s.m.was[0], nil
	}
	snapshot := s.p.Snapshot(nil)
	s.o.End = s.p.end
	p := New(s.o)
	if err := p.Restore(snapshot); err != nil {
		s.t.Fatal(err)
	}
	for _, h := range s.m.log { // all of it is in the snapshot, unless it was forgotten
		if past := s.m.past(h.producer); h.producer >= 0 && len(past) > 0 && h.base >= past[0].base {
			p.Replay(h.batch())
		}
	}
	if again := p.Snapshot(nil); !bytes.Equal(again, snapshot) {
		s.t.Fatalf("after a restart producers are\n%s, before\n%s", describe(p), describe(s.p))
	}
	s.p = p
}

func (s *run) compare() {
	if s.p.End() != s.m.end {
		s.t.Fatalf("end %d, want %d", s.p.End(), s.m.end)
	}
	known := map[int64]bool{}
	for _, h := range s.m.log {
		known[h.producer] = h.producer >= 0 && len(s.m.past(h.producer)) > 0
	}
	for _, one := range s.p.Producers() {
		past := s.m.past(one.ID)
		if !known[one.ID] || one.LastSequence != batch.AddSequence(after(past[len(past)-1]), math.MaxInt32) || one.Epoch != past[len(past)-1].epoch {
			s.t.Fatalf("producer %+v, past %+v", one, past)
		}
		delete(known, one.ID)
	}
	for id, missing := range known {
		if missing {
			s.t.Fatalf("producer %d is not known", id)
		}
	}
}

// TestCheckNoticesDamage shows that Check is no decoration.
func TestCheckNoticesDamage(t *testing.T) {
	for name, damage := range map[string]func(p *Partition){
		"high watermark beyond written": func(p *Partition) { p.high = p.written + 1 },
		"start beyond high watermark":   func(p *Partition) { p.start = p.high + 1 },
		"a batch beyond the end":        func(p *Partition) { p.producers[1].batches[0].lastOffset = p.end },
		"batches out of order":          func(p *Partition) { p.producers[1].batches[1].lastOffset = 0 },
		"a lost transaction":            func(p *Partition) { p.producers[1].transaction = 5 },
		"transactions out of order": func(p *Partition) {
			p.spans = []span{{producer: 1, first: 6, last: 6}, {producer: 1, first: 5, last: 6}}
		},
		"a producer misfiled":  func(p *Partition) { p.producers[2] = p.producers[1] },
		"an undo that is over": func(p *Partition) { p.written = p.end },
	} {
		t.Run(name, func(t *testing.T) {
			p := New(Options{End: 5})
			for i := range int32(2) {
				if _, err := p.Admit(header{producer: 1, sequence: i, count: 1}.batch(), 0); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			damage(p)
			if p.Check() == nil {
				t.Error("not noticed")
			}
		})
	}
}

// TestOpenTransactionHoldsTheStableOffset: the door through which transactions will come.
func TestOpenTransactionHoldsTheStableOffset(t *testing.T) {
	p := New(Options{End: 20})
	p.Replay(header{producer: 1, count: 5, base: 0}.batch())
	p.Replay(header{producer: 1, sequence: 5, count: 5, base: 5, transaction: true}.batch())
	p.Replay(header{producer: 2, count: 2, base: 10, transaction: true}.batch())
	if got := p.StableOffset(); got != 5 {
		t.Fatalf("stable offset %d, want 5", got)
	}
	if _, err := p.Admit(header{producer: 1, sequence: 10, count: 1}.batch(), 0); err != kerr.InvalidTxnState {
		t.Errorf("other records within a transaction: %v", err)
	}
	again := New(Options{End: 20})
	if err := again.Restore(p.Snapshot(nil)); err != nil || again.StableOffset() != 5 {
		t.Errorf("after a restart stable offset %d, %v", again.StableOffset(), err)
	}
	p.Expire(math.MaxInt64)
	p.Replay(header{producer: 1, count: 1, base: 12, control: true, transaction: true, sequence: -1}.batch())
	if got := p.StableOffset(); got != 10 {
		t.Fatalf("stable offset %d once the first has ended, want 10", got)
	}
	p.Replay(header{producer: 2, count: 1, base: 13, control: true, transaction: true, sequence: -1}.batch())
	if got := p.StableOffset(); got != 20 {
		t.Fatalf("stable offset %d once both have ended, want 20", got)
	}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
}
