package commitlog

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

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

// The files that are written today are those of the last release, byte by byte.
func TestGoldenFiles(t *testing.T) {
	s := golden(t)
	names, err := s.fs.ReadDir(s.dir)
	s.ok(err)
	for _, name := range names {
		data, err := diskio.ReadFile(s.fs, s.dir+"/"+name)
		s.ok(err)
		path := filepath.Join("testdata/golden", name)
		if *rewrite {
			s.ok(os.WriteFile(path, data, 0o644))
		}
		want, err := os.ReadFile(path)
		s.ok(err)
		if !bytes.Equal(data, want) {
			t.Errorf("%s is\n%x, want\n%x", name, data, want)
		}
	}
	kept, err := diskio.OS.ReadDir("testdata/golden")
	s.ok(err)
	if !slices.Equal(kept, names) {
		t.Errorf("files are %v, want %v", names, kept)
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
