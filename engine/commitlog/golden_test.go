package commitlog

import (
	"bytes"
	"flag"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files as this version writes them")

// golden writes the log that FORMAT.md draws.
func golden(t *testing.T) *stage {
	o := keep()
	o.IndexInterval = 100
	o.TopicID = [16]byte{0x4a, 0x1b, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	s := newStage(t, o)
	s.open(s.recovery())
	plain := batch.NoProducer()
	idempotent := batch.NoProducer()
	idempotent.ProducerID, idempotent.ProducerEpoch, idempotent.BaseSequence = 7, 0, 40
	s.ok(s.log.Append([][]byte{
		dated(t, 0, 0, plain, 1_700_000_000_000, 1_700_000_000_005),
		dated(t, 2, 0, idempotent, 1_700_000_000_003),
		dated(t, 3, 1, plain, 1_700_000_000_009),
	}, today))
	s.ok(s.log.Roll(today))
	s.ok(s.log.WriteSnapshot(4, []byte("state of producers")))
	s.ok(s.log.Append([][]byte{dated(t, 4, 2, plain, 1_700_000_000_020)}, today))
	s.ok(s.log.SetStart(2))
	s.close()
	return s
}

// goldenAborted writes a log with aborted transactions.
func goldenAborted(t *testing.T) *transactions {
	fs := diskio.NewMemory()
	if err := fs.MkdirAll("/data"); err != nil {
		t.Fatal(err)
	}
	s := &transactions{t: t, fs: fs, dir: "/data/topic-0", o: keep()}
	s.o.FS, s.o.TopicID, s.o.Now = fs, [16]byte{9}, func() time.Time { return today }
	s.reopen(false, -1)
	s.open = map[int64]int64{}
	for _, at := range []struct {
		id  int64
		end bool
	}{{7, false}, {8, false}, {7, true}, {7, false}, {8, true}, {7, true}} {
		var w batch.Builder
		w.Append(today.UnixMilli(), nil, []byte("value"), nil)
		b, err := w.Finish(batch.BatchOptions{ProducerID: at.id, Transactional: true})
		if err != nil {
			t.Fatal(err)
		}
		if at.end {
			b = batch.Marker{ProducerID: at.id}.Batch(today.UnixMilli())
		}
		s.put(b, at.id, at.end)
	}
	if err := s.l.Close(); err != nil {
		t.Fatal(err)
	}
	return s
}

// put appends a batch of a transaction, or the marker that aborts one.
func (s *transactions) put(b batch.Batch, id int64, end bool) {
	at := s.l.End()
	b.SetBaseOffset(at)
	b.SetLeaderEpoch(0)
	first, open := s.open[id]
	if !open {
		s.open[id] = at
	}
	if end {
		delete(s.open, id)
		a := batch.Aborted{ProducerID: id, First: first, Last: at, Stable: at + 1}
		for _, other := range s.open {
			a.Stable = min(a.Stable, other)
		}
		s.done = append(s.done, a)
		s.l.Abort(a)
	}
	if err := s.l.Append([][]byte{b}, today); err != nil {
		s.t.Fatal(err)
	}
}

// The files that are written today are those of the last release, byte by byte.
func TestGoldenFiles(t *testing.T) {
	s := golden(t)
	compareGolden(t, s.fs, s.dir, "testdata/golden")
	aborted := goldenAborted(t)
	compareGolden(t, aborted.fs, aborted.dir, "testdata/aborted")
}

func compareGolden(t *testing.T, fs diskio.FS, dir, folder string) {
	t.Helper()
	names, err := fs.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := diskio.ReadFile(fs, dir+"/"+name)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, name)
		if *rewrite {
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, want) {
			t.Errorf("%s is\n%x, want\n%x", name, data, want)
		}
	}
	kept, err := diskio.OS.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(kept, names) {
		t.Errorf("files are %v, want %v", names, kept)
	}
}

// A log that an older build has sealed says nothing of the index of aborted transactions: that is looked for
// in the batches once, and vouched for from the next clean stop on.
func TestIndexesOfOlderBuildsAreMadeAnewOnce(t *testing.T) {
	s := goldenAborted(t)
	name := s.dir + "/" + segmentName(0) + indexSuffix
	whole, err := diskio.ReadFile(s.fs, name)
	if err != nil {
		t.Fatal(err)
	}
	entries, txn := splitIndex(whole)
	if !txn.there {
		t.Fatalf("the index is %x", whole)
	}
	if err := diskio.WriteFile(s.fs, name, entries); err != nil {
		t.Fatal(err)
	}
	verified := func() {
		if err := Verify(s.fs, s.dir, func(p Problem) { t.Errorf("verify: %s", p) }); err != nil {
			t.Fatal(err)
		}
	}
	verified()
	s.reopen(true, -1)
	if got, err := s.l.Aborted(nil, 0, s.l.End(), false); err != nil || !slices.Equal(got, s.done) {
		t.Fatalf("aborted are %v, %v; were %v", got, err, s.done)
	}
	if err := s.l.Close(); err != nil {
		t.Fatal(err)
	}
	if again, err := diskio.ReadFile(s.fs, name); err != nil || !bytes.Equal(again, whole) {
		t.Fatalf("the index is %x, %v; was %x", again, err, whole)
	}
	verified()
}

// A cleaning that was interrupted leaves files that agree with each other, and markers that are gone.
func TestRecoveryTakesNoAbortedTransactionWithoutItsMarker(t *testing.T) {
	s := goldenAborted(t)
	path := s.dir + "/" + segmentName(0)
	noted := encodeAborted([]batch.Aborted{s.done[0], {ProducerID: 8, First: 1, Last: 3, Stable: 3}}) // at 3 is no marker
	txn := txnSeal{true, crc32.Checksum(noted, castagnoli)}
	for suffix, data := range map[string][]byte{txnSuffix: noted, indexSuffix: append(encodeOffsets([]offsetEntry{{0, 0}}), txn.encode()...)} {
		if err := diskio.WriteFile(s.fs, path+suffix, data); err != nil {
			t.Fatal(err)
		}
	}
	s.reopen(false, -1)
	if got, err := s.l.Aborted(nil, 0, s.l.End(), false); err != nil || !slices.Equal(got, s.done) {
		t.Fatalf("aborted are %v, %v; were %v", got, err, s.done)
	}
}

// A log of the last release opens, cleanly or not, and goes on.
func TestGoldenFilesOpen(t *testing.T) {
	for _, clean := range []bool{true, false} {
		s := newStage(t, keep())
		s.ok(s.fs.MkdirAll(s.dir))
		names, err := diskio.OS.ReadDir("testdata/golden")
		s.ok(err)
		for _, name := range names {
			data, err := os.ReadFile(filepath.Join("testdata/golden", name))
			s.ok(err)
			s.ok(diskio.WriteFile(s.fs, s.dir+"/"+name, data))
		}
		s.ok(Verify(s.fs, s.dir, func(p Problem) { t.Error(p) }))
		r := s.recovery()
		r.Clean = clean
		log := s.open(r)
		s.want("start and end", []int64{log.Start(), log.End()}, "[2 5]")
		s.want("batches", s.all(), "[2 3 4]")
		offset, state, err := log.Snapshot()
		s.ok(err)
		s.want("snapshot", []any{offset, string(state)}, "[4 state of producers]")
		e, end := log.EpochEnd(1)
		s.want("epoch 1", []int64{int64(e), end}, "[1 4]")
		offset, ts, _, err := log.MaxTimestamp(math.MaxInt64, nil)
		s.ok(err)
		s.want("largest timestamp", []int64{offset, ts}, "[4 1700000000020]")
		s.append(1)
		s.close()
	}
}
