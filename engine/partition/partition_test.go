package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/sdk/batch"
)

// header makes the header of a batch; nothing here looks behind it.
type header struct {
	producer             int64
	epoch                int16
	sequence, count      int32
	timestamp, base      int64
	control, transaction bool
	badCount             bool
}

func (h header) batch() batch.Batch {
	b := make(batch.Batch, batch.HeaderSize)
	h.put(b)
	return b
}

func (h header) put(b batch.Batch) {
	var attributes uint16
	if h.transaction {
		attributes |= 0x10
	}
	if h.control {
		attributes |= 0x20
	}
	binary.BigEndian.PutUint64(b, uint64(h.base))
	b[16] = 2
	binary.BigEndian.PutUint16(b[21:], attributes)
	binary.BigEndian.PutUint32(b[23:], uint32(h.count-1))
	binary.BigEndian.PutUint64(b[35:], uint64(h.timestamp))
	binary.BigEndian.PutUint64(b[43:], uint64(h.producer))
	binary.BigEndian.PutUint16(b[51:], uint16(h.epoch))
	binary.BigEndian.PutUint32(b[53:], uint32(h.sequence))
	count := h.count
	if h.badCount {
		count++
	}
	binary.BigEndian.PutUint32(b[57:], uint32(count))
}

// TestConversations plays testdata: what happens to one partition, and what it answers.
func TestConversations(t *testing.T) {
	datadriven.Walk(t, "testdata/conversations", func(t *testing.T, path string) {
		s := &talk{}
		datadriven.RunTest(t, path, s.run)
	})
}

type talk struct {
	p        *Partition
	o        Options
	now      int64
	written  []batch.Batch // admitted, in the order of offsets: the log
	snapshot []byte
}

func (s *talk) run(t *testing.T, d *datadriven.TestData) string {
	if s.p == nil {
		s.p, s.now = New(Options{}), 1000
	}
	arg := func(key string, otherwise int64) int64 {
		v := otherwise
		if d.HasArg(key) {
			var text string
			d.ScanArgs(t, key, &text)
			if _, err := fmt.Sscan(text, &v); err != nil {
				d.Fatalf(t, "%s: %v", key, err)
			}
		}
		return v
	}
	var out string
	switch d.Cmd {
	case "new":
		s.o = Options{Start: arg("start", 0), End: arg("end", 0), Unsynced: d.HasArg("unsynced")}
		s.o.ProducerExpiry = time.Duration(arg("expiry", 0)) * time.Millisecond
		s.p, s.written = New(s.o), nil
	case "admit":
		out = s.admit(d, arg)
	case "repeats":
		h := header{producer: arg("producer", -1), epoch: int16(arg("epoch", -1)), sequence: int32(arg("seq", -1)), count: int32(arg("count", 1))}
		out = fmt.Sprintln(s.p.Repeats(h.batch()))
	case "verify":
		out = s.verify(arg)
	case "end":
		out = s.end(d, arg)
	case "written":
		s.p.Written(arg("to", s.p.end))
	case "synced":
		s.p.Synced(arg("to", s.p.written))
	case "undo":
		s.p.Undo(arg("to", s.p.written))
		for len(s.written) > 0 && s.written[len(s.written)-1].NextOffset() > s.p.end {
			s.written = s.written[:len(s.written)-1]
		}
	case "unsynced":
		s.o.Unsynced = d.HasArg("on")
		s.p.SetOptions(s.o)
	case "start":
		s.p.SetStart(arg("at", 0))
	case "expire":
		s.now += arg("after", 0)
		s.p.Expire(s.now)
	case "offsets":
		out = fmt.Sprintf("start=%d high=%d stable=%d synced=%d written=%d end=%d\n", s.p.start, s.p.high, s.p.StableOffset(), s.p.synced, s.p.written, s.p.end)
	case "producers":
		out = describe(s.p)
	case "save":
		s.snapshot = s.p.Snapshot(nil)
	case "reopen":
		out = s.reopen(d, arg)
	default:
		d.Fatalf(t, "unknown command %q", d.Cmd)
	}
	if err := s.p.Check(); err != nil {
		d.Fatalf(t, "after %s: %v", d.Cmd, err)
	}
	return out
}

func (s *talk) admit(d *datadriven.TestData, arg func(string, int64) int64) string {
	h := header{
		producer: arg("producer", -1), epoch: int16(arg("epoch", -1)), sequence: int32(arg("seq", -1)), count: int32(arg("count", 1)),
		timestamp: s.now, control: d.HasArg("control"), transaction: d.HasArg("transactional"), badCount: d.HasArg("bad-count"),
	}
	a, err := s.p.AdmitFrom(h.batch(), s.now, Origin{
		Ticket: Ticket(arg("ticket", 0)), Bumped: d.HasArg("bumped"), Unsequenced: d.HasArg("offsets"), Repeated: d.HasArg("repeated"),
	})
	switch {
	case err != nil:
		return name(err) + "\n"
	case a.Duplicate:
		return fmt.Sprintf("duplicate of %d, acknowledged at %d\n", a.Base, a.End)
	}
	h.base = a.Base
	s.written = append(s.written, h.batch())
	return fmt.Sprintf("at %d, acknowledged at %d\n", a.Base, a.End)
}

func (s *talk) verify(arg func(string, int64) int64) string {
	h := header{producer: arg("producer", -1), epoch: int16(arg("epoch", -1)), sequence: int32(arg("seq", -1)), count: 1, transaction: true}
	if t, needed := s.p.Verify(h.batch(), s.now); needed {
		return fmt.Sprintf("ask the coordinator, ticket %d\n", t)
	}
	return "not needed\n"
}

func (s *talk) end(d *datadriven.TestData, arg func(string, int64) int64) string {
	m := batch.Marker{ProducerID: arg("producer", -1), ProducerEpoch: int16(arg("epoch", -1)), Commit: d.HasArg("commit"), CoordinatorEpoch: int32(arg("coordinator", 0))}
	e, err := s.p.EndTransaction(Ending{Marker: m, Bumped: d.HasArg("bumped")}, s.now)
	switch {
	case err != nil:
		return name(err) + "\n"
	case e.Duplicate:
		return fmt.Sprintf("ended before, acknowledged at %d\n", e.End)
	}
	b := m.Batch(s.now)
	b.SetBaseOffset(e.Base)
	s.written = append(s.written, b)
	out := fmt.Sprintf("at %d, acknowledged at %d\n", e.Base, e.End)
	if e.Aborts {
		out += told(e.Aborted)
	}
	return out
}

func told(a batch.Aborted) string {
	return fmt.Sprintf("aborts producer %d from %d to %d, stable %d\n", a.ProducerID, a.First, a.Last, a.Stable)
}

// reopen makes a new machine from the last snapshot and the log, up to an offset.
func (s *talk) reopen(d *datadriven.TestData, arg func(string, int64) int64) string {
	s.o.End = arg("end", s.p.end)
	s.o.Start = s.p.start
	s.p = New(s.o)
	var out string
	if d.HasArg("saved") {
		if err := s.p.Restore(s.snapshot); err != nil {
			out = err.Error() + "\n"
		}
	}
	for _, b := range s.written {
		if b.NextOffset() <= s.o.End && b.BaseOffset() >= arg("from", 0) {
			if a, ok := s.p.Replay(b); ok {
				out += told(a)
			}
		}
	}
	return out
}

func name(err error) string {
	var known *kerr.Error
	if errors.As(err, &known) {
		return known.Message
	}
	return err.Error()
}

func describe(p *Partition) string {
	var b strings.Builder
	for _, one := range p.Producers() {
		fmt.Fprintf(&b, "%d epoch=%d sequence=%d timestamp=%d transaction=%d:", one.ID, one.Epoch, one.LastSequence, one.LastTimestamp, one.TransactionStart)
		known := p.producers[one.ID]
		for _, s := range known.batches[:known.count] {
			fmt.Fprintf(&b, " %d–%d@%d", s.firstSequence(), s.lastSequence, s.firstOffset())
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestImpossibleReportsPanic(t *testing.T) {
	for name, f := range map[string]func(p *Partition){
		"written beyond the end":    func(p *Partition) { p.Written(11) },
		"written backwards":         func(p *Partition) { p.Written(3) },
		"synced beyond the written": func(p *Partition) { p.Synced(11) },
		"undone below the written":  func(p *Partition) { p.Undo(4) },
		"start above the watermark": func(p *Partition) { p.SetStart(11) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f(New(Options{End: 10}))
		})
	}
}

func TestAdmittingAKnownProducerAllocatesNothing(t *testing.T) {
	p := New(Options{})
	h := header{producer: 7, count: 10, timestamp: 1}
	b := h.batch()
	next := func() {
		if _, err := p.Admit(b, 1); err != nil {
			t.Fatal(err)
		}
		h.sequence = batch.AddSequence(h.sequence, h.count)
		h.put(b)
	}
	next()
	if n := testing.AllocsPerRun(1000, func() {
		next()
		next()
		p.Written(p.End())
		p.Synced(p.End())
	}); n != 0 {
		t.Errorf("admitting allocates %v times, want 0", n)
	}
	h.sequence = batch.AddSequence(h.sequence, -h.count&(1<<31-1))
	h.put(b)
	if n := testing.AllocsPerRun(1000, func() {
		if a, err := p.Admit(b, 1); err != nil || !a.Duplicate {
			t.Fatal(a, err)
		}
	}); n != 0 {
		t.Errorf("recognizing a duplicate allocates %v times, want 0", n)
	}
}

func BenchmarkAdmit(b *testing.B) {
	p := New(Options{})
	h := header{producer: 7, count: 10, timestamp: 1}
	one := h.batch()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Admit(one, 1); err != nil {
			b.Fatal(err)
		}
		h.sequence = batch.AddSequence(h.sequence, h.count)
		binary.BigEndian.PutUint32(one[53:], uint32(h.sequence))
		p.Written(p.End())
		p.Synced(p.End())
	}
}

// Interceptors of the broker take records out of batches. What is left keeps the offsets and
// sequences of what was sent, and only the broker may do so.
func TestThinnedBatchesKeepOffsetsAndSequences(t *testing.T) {
	var builder batch.Builder
	for range 4 {
		builder.Append(1, nil, []byte("v"), nil)
	}
	whole, err := builder.Finish(batch.BatchOptions{ProducerID: 7, BaseSequence: 0})
	if err != nil {
		t.Fatal(err)
	}
	thin := batch.Empty(nil, whole)
	p := New(Options{})
	if _, err := p.AdmitFrom(thin, 1, Origin{}); !errors.Is(err, kerr.InvalidRecord) {
		t.Errorf("a client's batch without records: %v", err)
	}
	got, err := p.AdmitFrom(thin, 1, Origin{Thinned: true})
	if err != nil || got.Base != 0 || got.End != 4 || p.End() != 4 {
		t.Errorf("admitted as %+v, %v, end %d", got, err, p.End())
	}
	if got, err = p.AdmitFrom(whole, 1, Origin{}); err != nil || !got.Duplicate || got.End != 4 {
		t.Errorf("sent again: %+v, %v", got, err)
	}
	next := batch.Empty(nil, whole)
	next.SetProducer(7, 0, 4)
	if got, err = p.AdmitFrom(next, 1, Origin{Thinned: true}); err != nil || got.Base != 4 || got.End != 8 {
		t.Errorf("the next: %+v, %v", got, err)
	}
	if err := p.Check(); err != nil {
		t.Error(err)
	}
}
