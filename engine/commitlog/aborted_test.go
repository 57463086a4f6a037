package commitlog

import (
	"bytes"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/sdk/batch"
)

// transactions is a log with transactions, and a slow clear idea of them.
type transactions struct {
	t       *testing.T
	fs      diskio.FS
	dir     string
	o       Options
	l       *Log
	r       *rand.Rand
	open    map[int64]int64
	done    []batch.Aborted
	saved   []batch.Aborted // as a snapshot has them
	savedTo int64
}

func (s *transactions) reopen(clean bool, from int64) {
	l, err := Open(s.dir, s.o, Recovery{Clean: clean, From: from, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.l = l
	for _, a := range s.saved {
		l.Recover(a)
	}
	for _, a := range s.done {
		if a.Last >= s.savedTo {
			l.Recover(a)
		}
	}
	if err := l.Recovered(); err != nil {
		s.t.Fatal(err)
	}
}

// step appends a batch of a transaction, or the marker that ends one.
func (s *transactions) step() {
	at, active := s.l.End(), s.l.Active()
	id := int64(s.r.IntN(4))
	first, open := s.open[id]
	var b batch.Batch
	if open && s.r.IntN(3) == 0 {
		m := batch.Marker{ProducerID: id, Commit: s.r.IntN(2) == 0}
		b = m.Batch(1)
		delete(s.open, id)
		a := batch.Aborted{ProducerID: id, First: first, Last: at, Stable: at + 1}
		for _, other := range s.open {
			a.Stable = min(a.Stable, other)
		}
		if !m.Commit {
			s.done = append(s.done, a)
			s.l.Abort(a)
		}
	} else {
		var w batch.Builder
		w.Append(1, nil, []byte("value"), nil)
		b, _ = w.Finish(batch.BatchOptions{ProducerID: id, Transactional: true})
		if !open {
			s.open[id] = at
		}
	}
	b.SetBaseOffset(at)
	b.SetLeaderEpoch(0)
	if err := s.l.Append([][]byte{b}, time.UnixMilli(1)); err != nil {
		s.t.Fatal(err)
	}
	if s.l.Active() != active {
		s.saved, s.savedTo = s.l.LooseAborted(), s.l.End()
	}
}

// compare asks for ranges as readers of committed records do.
func (s *transactions) compare(when string) {
	end := s.l.End()
	stable := end
	for _, first := range s.open {
		stable = min(stable, first)
	}
	for range 20 {
		from := s.r.Int64N(stable + 1)
		limit := from + s.r.Int64N(stable-from+1)
		got, err := s.l.Aborted(nil, from, limit, false)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, a := range s.done {
			if a.Last >= from && a.First < limit && !slices.Contains(got, a) {
				s.t.Fatalf("%s: [%d, %d) lacks %+v, has %+v", when, from, limit, a, got)
			}
		}
		for _, a := range got {
			if !slices.Contains(s.done, a) {
				s.t.Fatalf("%s: [%d, %d) has %+v, which nobody aborted", when, from, limit, a)
			}
		}
	}
}

func TestAbortedTransactionsAreFoundAfterEveryStop(t *testing.T) {
	for seed := range uint64(20) {
		s := &transactions{
			t: t, fs: diskio.OS, dir: filepath.Join(t.TempDir(), "t-0"), r: rand.New(rand.NewPCG(seed, 3)), open: map[int64]int64{},
			o: Options{SegmentBytes: 1500, SyncOnRoll: seed%2 == 0, RetentionAge: -1, RetentionBytes: -1, Later: func(_ time.Duration, f func()) { f() }},
		}
		s.reopen(false, -1)
		for range 12 {
			for range s.r.IntN(60) {
				s.step()
			}
			s.compare("while open")
			switch s.r.IntN(3) {
			case 0:
				s.saved, s.savedTo = s.l.LooseAborted(), s.l.End()
				if err := s.l.Close(); err != nil {
					t.Fatal(err)
				}
				s.reopen(true, -1)
				s.compare("after a clean stop")
			case 1: // killed: nothing is written any more
				s.l.release()
				s.reopen(false, -1)
				s.compare("after a kill")
			}
		}
		if err := s.l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := Verify(diskio.OS, s.dir, func(p Problem) { t.Errorf("verify: %s", p) }); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADamagedIndexOfAbortedTransactionsIsMadeAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "t-0")
	s := &transactions{
		t: t, fs: diskio.OS, dir: dir, r: rand.New(rand.NewPCG(1, 1)), open: map[int64]int64{},
		o: Options{SegmentBytes: 1500, SyncOnRoll: true, RetentionAge: -1, RetentionBytes: -1, Later: func(_ time.Duration, f func()) { f() }},
	}
	s.reopen(false, -1)
	for range 300 {
		s.step()
	}
	if err := s.l.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(dir + "/*" + txnSuffix)
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		data[25] ^= 1 // the offset of the marker
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	problems := 0
	if err := Verify(diskio.OS, dir, func(Problem) { problems++ }); err != nil || problems < len(names) {
		t.Errorf("verify found %d of %d: %v", problems, len(names), err)
	}
	s.reopen(true, -1)
	s.compare("with damaged indexes")
	if err := s.l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Verify(diskio.OS, dir, func(p Problem) { t.Errorf("verify: %s", p) }); err != nil {
		t.Fatal(err)
	}
}

func TestTheIndexOfAbortedTransactionsGoesWithItsSegment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "t-0")
	s := &transactions{
		t: t, fs: diskio.OS, dir: dir, r: rand.New(rand.NewPCG(1, 2)), open: map[int64]int64{},
		o: Options{SegmentBytes: 1500, RetentionAge: -1, RetentionBytes: 0, Later: func(_ time.Duration, f func()) { f() }},
	}
	s.reopen(false, -1)
	for range 300 {
		s.step()
	}
	if _, err := s.l.Retain(time.UnixMilli(2), s.l.End(), 0); err != nil {
		t.Fatal(err)
	}
	if err := s.l.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(dir + "/*" + txnSuffix + "*")
	if err != nil || len(names) > 1 {
		t.Fatal(names, err)
	}
}

func TestDumpOfAbortedTransactions(t *testing.T) {
	fs := diskio.NewMemory()
	data := encodeAborted([]batch.Aborted{{ProducerID: 7, First: 3, Last: 9, Stable: 5}})
	if len(data) != abortedSize {
		t.Fatalf("an entry has %d bytes", len(data))
	}
	if err := fs.MkdirAll("/d"); err != nil {
		t.Fatal(err)
	}
	if err := diskio.WriteFile(fs, "/d/"+segmentName(0)+txnSuffix, data); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Dump(fs, "/d/"+segmentName(0)+txnSuffix, DumpOptions{}, &out); err != nil {
		t.Fatal(err)
	}
	if want := "version: 0 producerId: 7 firstOffset: 3 lastOffset: 9 lastStableOffset: 5\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("dump is %q, want %q", out.String(), want)
	}
}

func FuzzAborted(f *testing.F) {
	f.Add(encodeAborted([]batch.Aborted{{ProducerID: 7, First: 3, Last: 9, Stable: 5}, {ProducerID: 7, First: 10, Last: 12, Stable: 13}}))
	fuzz.Run(f, func(t *testing.T, data []byte) {
		all, err := decodeAborted(data, 0)
		if err == nil && !bytes.Equal(encodeAborted(all), data) {
			t.Fatal("what was read is not written the same")
		}
	})
}

// Index files that are all of an earlier stop agree with each other, and not with their segment.
func TestIndexesOfAnEarlierStopVouchForNothing(t *testing.T) {
	s, _ := inMemory(t)
	s.o.SegmentBytes = 1500
	s.reopen(false, -1)
	for len(s.done) == 0 {
		s.step()
	}
	if err := s.l.Close(); err != nil {
		t.Fatal(err)
	}
	first := len(s.done)
	old := map[string][]byte{}
	for _, suffix := range []string{indexSuffix, timeSuffix, txnSuffix} {
		name := s.dir + "/" + segmentName(0) + suffix
		data, err := diskio.ReadFile(s.fs, name)
		if err != nil {
			t.Fatal(err)
		}
		old[name] = data
	}
	s.reopen(true, -1)
	for s.l.Segments() < 3 {
		s.step()
	}
	if err := s.l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, data := range old {
		if err := diskio.WriteFile(s.fs, name, data); err != nil {
			t.Fatal(err)
		}
	}
	s.reopen(true, -1)
	if next := (*s.l.segments.Load())[1].base; s.done[first].Last >= next {
		t.Fatal("nothing was aborted in the segment behind the first stop")
	}
	s.compare("with the indexes of an earlier stop")
	got, err := s.l.Aborted(nil, 0, s.l.End(), false)
	if err != nil || !slices.Equal(got, s.done) {
		t.Fatalf("aborted are %v, %v; were %v", got, err, s.done)
	}
}

// inMemory is an empty log of small segments on a disk whose power can be cut.
func inMemory(t *testing.T) (*transactions, *diskio.Memory) {
	disk := diskio.NewMemory()
	if err := disk.MkdirAll("/data"); err != nil {
		t.Fatal(err)
	}
	s := &transactions{
		t: t, fs: disk, dir: "/data/t-0", r: rand.New(rand.NewPCG(1, 3)), open: map[int64]int64{},
		o: Options{FS: disk, SegmentBytes: 600, SyncOnRoll: true, RetentionAge: -1, RetentionBytes: -1, Later: func(_ time.Duration, f func()) { f() }},
	}
	s.reopen(false, -1)
	return s, disk
}

// TestAbortedTransactionsSurviveLossesOfPower: whatever of the names in a folder a disk keeps, once a
// snapshot leaves out what an index of aborted transactions has, the index is there.
func TestAbortedTransactionsSurviveLossesOfPower(t *testing.T) {
	s, disk := inMemory(t)
	trace := disk.Record()
	for range 60 {
		s.step()
		if err := s.l.Sync(); err != nil {
			t.Fatal(err)
		}
		trace.Mark(s.known())
	}
	trace.Stop()
	if checked := s.survive(trace, -1); checked < 500 {
		t.Fatalf("only %d images", checked)
	}
}

// known is what is to be known of a disk when its power is cut.
type known struct {
	done, saved []batch.Aborted
	savedTo     int64
}

func (s *transactions) known() *known {
	return &known{slices.Clone(s.done), slices.Clone(s.saved), s.savedTo}
}

// survive opens what cuts of the power may have left, looks for all that was aborted, and answers how
// many disks that were. The logs are known to be durable up to from.
func (s *transactions) survive(trace *diskio.Trace, from int64) (checked int) {
	for image := range trace.Images(diskio.ImageOptions{Random: 4, Singles: 4}) {
		k, ok := image.Mark.(*known)
		if !ok {
			continue
		}
		again := *s
		again.fs, again.open, again.done, again.saved, again.savedTo = image.Disk(), map[int64]int64{}, k.done, k.saved, k.savedTo
		again.o.FS = again.fs
		again.reopen(false, from)
		for _, a := range k.done {
			got, err := again.l.Aborted(nil, a.First, a.Last+1, false)
			if err != nil || !slices.Contains(got, a) {
				s.t.Fatalf("%s: %+v is not among %+v, %v", image, a, got, err)
			}
		}
		again.l.release()
		checked++
	}
	return checked
}

// The power may also be cut while a log is opened after a cut: its indexes are written then, and no
// snapshot has what they had.
func TestAbortedTransactionsSurviveASecondLossOfPower(t *testing.T) {
	s, disk := inMemory(t)
	for range 100 {
		s.step()
	}
	if err := s.l.Sync(); err != nil {
		t.Fatal(err)
	}
	s.l.release()
	trace := disk.Record()
	trace.Mark(s.known())
	s.reopen(false, 0)
	trace.Stop()
	if checked := s.survive(trace, 0); checked < 100 {
		t.Fatalf("only %d images", checked)
	}
}

// An index that is damaged when a log is recovered says nothing; what it had is looked for in the batches.
func TestADamagedIndexOfAbortedTransactionsIsMadeAgainByRecovery(t *testing.T) {
	for what, damage := range map[string]func([]byte) []byte{
		"flipped": func(p []byte) []byte { p[25] ^= 1; return p },
		"cut":     func(p []byte) []byte { return p[:len(p)-1] },
		"empty":   func([]byte) []byte { return nil },
	} {
		dir := filepath.Join(t.TempDir(), "t-0")
		s := &transactions{
			t: t, fs: diskio.OS, dir: dir, r: rand.New(rand.NewPCG(1, 1)), open: map[int64]int64{},
			o: Options{SegmentBytes: 1500, SyncOnRoll: true, RetentionAge: -1, RetentionBytes: -1, Later: func(_ time.Duration, f func()) { f() }},
		}
		s.reopen(false, -1)
		for range 300 {
			s.step()
		}
		s.l.release() // killed
		names, err := filepath.Glob(dir + "/*" + txnSuffix)
		if err != nil || len(names) < 2 {
			t.Fatal(names, err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err == nil {
				err = os.WriteFile(name, damage(data), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		s.reopen(false, -1)
		s.compare(what)
		if err := s.l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// The only record of what was aborted in a segment stays until another is there: the offset index is
// damaged, nobody has asked what was aborted, and the disk is full at the stop.
func TestTheIndexOfAbortedTransactionsStaysUntilAnotherVouches(t *testing.T) {
	for _, killed := range []bool{false, true} {
		s, disk := inMemory(t)
		for len(s.done) < 5 || s.l.Segments() < 4 {
			s.step()
		}
		s.save()
		if err := s.l.Close(); err != nil {
			t.Fatal(err)
		}
		s.reopen(true, -1)
		all := *s.l.segments.Load()
		for _, one := range all[:len(all)-1] {
			if err := disk.Spoil(one.path+indexSuffix, func(p []byte) []byte { p[1] ^= 1; return p[:offsetEntrySize] }); err != nil {
				t.Fatal(err)
			}
			r, err := s.l.Locate(one.base, 1, s.l.End())
			if err != nil {
				t.Fatal(err)
			}
			r.Release()
		}
		s.save()
		disk.Gate(func(op diskio.Op) error {
			switch {
			case op.Kind == diskio.OpRead:
			case !strings.HasSuffix(op.Name, indexSuffix):
			case killed:
				disk.HaltAfter(0)
			case op.Kind == diskio.OpWrite:
				return syscall.ENOSPC
			}
			return nil
		})
		if err := s.l.Close(); err != nil {
			t.Fatal(err)
		}
		disk.Gate(nil)
		disk.Crash()
		s.reopen(false, -1)
		s.complete("after the crash")
	}
}

// The index file says that nobody knows what was aborted: what an older file beside it has counts for nothing.
func TestWhatNobodyKnowsIsLookedFor(t *testing.T) {
	s, disk := inMemory(t)
	for len(s.done) < 5 || s.l.Segments() < 4 {
		s.step()
	}
	s.save()
	if err := s.l.Close(); err != nil {
		t.Fatal(err)
	}
	var bases []int64
	s.reopen(true, -1)
	for _, one := range *s.l.segments.Load() {
		bases = append(bases, one.base)
	}
	s.l.release()
	for _, base := range bases[:len(bases)-1] {
		name := s.dir + "/" + segmentName(base)
		if _, err := disk.Stat(name + txnSuffix); err != nil {
			continue
		}
		if err := disk.Spoil(name+indexSuffix, func(p []byte) []byte {
			entries, _ := splitIndex(p)
			return append(slices.Clone(entries), nobodyKnows.encode()...)
		}); err != nil {
			t.Fatal(err)
		}
		older := encodeAborted([]batch.Aborted{{ProducerID: 77, First: base, Last: base + 1, Stable: base}})
		if err := disk.Spoil(name+txnSuffix, func([]byte) []byte { return older }); err != nil {
			t.Fatal(err)
		}
	}
	if err := Verify(disk, s.dir, func(p Problem) { t.Errorf("verify: %s", p) }); err != nil {
		t.Fatal(err)
	}
	for _, clean := range []bool{true, false} {
		s.reopen(clean, -1)
		s.complete("what nobody knows")
		s.l.release()
	}
}

// What was aborted in a segment that never got its index files stands in the snapshot only: a clean start
// has to hand it on to the next.
func TestWhatAFullDiskKeptFromTheIndexOutlivesACleanStart(t *testing.T) {
	for _, still := range []bool{false, true} { // the disk is full at the clean start, too
		s, disk := inMemory(t)
		disk.Gate(func(op diskio.Op) error {
			if op.Kind == diskio.OpWrite && strings.Contains(op.Name, txnSuffix) {
				return syscall.ENOSPC
			}
			return nil
		})
		for len(s.done) < 5 || s.l.Segments() < 4 {
			s.step()
		}
		s.save()
		if err := s.l.Close(); err != nil {
			t.Fatal(err)
		}
		if !still {
			disk.Gate(nil)
		}
		s.reopen(true, -1)
		s.save() // and nobody has asked what was aborted
		disk.Gate(nil)
		s.l.release() // killed
		s.reopen(false, s.savedTo)
		s.complete("after the crash")
		if err := s.l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := Verify(disk, s.dir, func(p Problem) { t.Errorf("verify: %s", p) }); err != nil {
			t.Fatal(err)
		}
	}
}

// A clean start that has to read a segment refuses it when it is damaged. No part of the log is torn, and
// nothing is dropped.
func TestACleanStartRefusesDamageInASegmentWithoutIndex(t *testing.T) {
	for what, spoil := range map[string]func([]byte) []byte{
		"header": func(p []byte) []byte { p[16] ^= 0xff; return p },
		"cut":    func(p []byte) []byte { return p[:len(p)-1] },
	} {
		for _, durable := range []bool{false, true} {
			o := keep()
			o.SegmentBytes, o.SyncOnRoll, o.Later = 1, durable, func(_ time.Duration, f func()) { f() }
			s := newStage(t, o)
			s.open(s.recovery())
			s.append(1, 1, 1)
			s.close()
			s.ok(s.fs.Remove(s.dir + "/" + segmentName(1) + indexSuffix))
			s.spoil(segmentName(1)+logSuffix, spoil)
			if _, err := Open(s.dir, s.o, Recovery{Clean: true, From: -1}); !errors.As(err, new(*Damage)) {
				t.Errorf("%s: error is %v", what, err)
			}
			if _, err := s.fs.Stat(s.dir + "/" + segmentName(2) + logSuffix); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// save does as the writer of a snapshot.
func (s *transactions) save() { s.saved, s.savedTo = s.l.LooseAborted(), s.l.End() }

// complete compares all that was aborted.
func (s *transactions) complete(when string) {
	s.t.Helper()
	got, err := s.l.Aborted(nil, 0, s.l.End(), false)
	if err != nil || !slices.Equal(got, s.done) {
		s.t.Fatalf("%s: aborted are %v, %v; were %v", when, got, err, s.done)
	}
}
