package commitlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/sdk/batch"
)

func FuzzDecodeOffsets(f *testing.F) {
	f.Add(encodeOffsets([]offsetEntry{{3, 0}, {9, 100}, {12, 4000}}), int64(5000))
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0}, int64(100))
	fuzz.Run(f, func(t *testing.T, data []byte, size int64) {
		entries, err := decodeOffsets(data, size)
		if err != nil {
			return
		}
		if !bytes.Equal(encodeOffsets(entries), data) {
			t.Fatal("it is not written as it was read")
		}
		for i, e := range entries {
			if e.relative < 0 || int64(e.position)+batch.HeaderSize > size || i > 0 && (e.relative <= entries[i-1].relative || e.position <= entries[i-1].position) {
				t.Fatalf("entry %d is %+v", i, e)
			}
			if got, ok := byOffset(entries, int64(e.relative)); !ok || got != e {
				t.Fatalf("entry %d is not found by its offset", i)
			}
			if got, ok := byPosition(entries, int64(e.position)); !ok || got != e {
				t.Fatalf("entry %d is not found by its position", i)
			}
		}
	})
}

func FuzzDecodeTimes(f *testing.F) {
	f.Add(encodeTimes([]timeEntry{{1000, 3}, {2000, 9}}))
	fuzz.Run(f, func(t *testing.T, data []byte) {
		times, err := decodeTimes(data)
		if err == nil && !bytes.Equal(encodeTimes(times), data) {
			t.Fatal("it is not written as it was read")
		}
	})
}

func FuzzDecodeSnapshot(f *testing.F) {
	f.Add(encodeSnapshot(77, []byte("state")))
	f.Add([]byte(snapshotMagic))
	fuzz.Run(f, func(t *testing.T, data []byte) {
		offset, state, err := decodeSnapshot(data)
		if err == nil && !bytes.Equal(encodeSnapshot(offset, state), data) {
			t.Fatal("it is not written as it was read")
		}
	})
}

func FuzzParseEpochs(f *testing.F) {
	f.Add("0\n2\n1 0\n5 100\n")
	f.Add("0\n0\n")
	fuzz.Run(f, func(t *testing.T, text string) {
		all, err := parseEpochs(text)
		if err != nil {
			return
		}
		again, err := parseEpochs(string(encodeEpochs(all)))
		if err != nil || !slices.Equal(all, again) {
			t.Fatalf("%v became %v, %v", all, again, err)
		}
	})
}

func FuzzParseStart(f *testing.F) {
	f.Add(string(encodeStart(0)))
	f.Add(string(encodeStart(math.MaxInt64)))
	fuzz.Run(f, func(t *testing.T, text string) {
		if offset, err := parseStart(text); err == nil && string(encodeStart(offset)) != text {
			t.Fatal("it is not written as it was read")
		}
	})
}

func FuzzParseTopic(f *testing.F) {
	f.Add(string(encodeTopic([16]byte{1, 2, 255})))
	fuzz.Run(f, func(t *testing.T, text string) {
		id, err := parseTopic(text)
		if err != nil {
			return
		}
		if again, err := parseTopic(string(encodeTopic(id))); err != nil || again != id {
			t.Fatalf("%v became %v, %v", id, again, err)
		}
	})
}

// Arbitrary bytes in the place of a segment, its indexes and the epochs: the log opens, and
// after a check everything in it can be read. It may refuse only with the damage that an
// index bears witness to: one whose last entry lies behind all that can be read. Sealed makes
// the checksums right, which a fuzzer cannot, so that what lies behind them is reached.
func FuzzOpen(f *testing.F) {
	var whole []byte
	for i := range 5 {
		whole = append(whole, records(f, int64(i*3), 0, 3, 1000, 20)...)
	}
	f.Add(whole, []byte{}, []byte{}, "0\n1\n0 0\n", true, false)
	f.Add(whole[:len(whole)-7], encodeOffsets([]offsetEntry{{2, 0}}), encodeTimes([]timeEntry{{1000, 2}}), "0\n1\n0 0\n", false, true)
	f.Add(append(slices.Clone(whole), make([]byte, 100)...), []byte{1}, []byte{2}, "", false, false)
	f.Add(whole[50:], []byte{}, []byte{}, "0\n1\n7 9\n", true, true)
	f.Add([]byte("0"), []byte("00000000"), []byte{}, "0", false, false)
	fuzz.Run(f, func(t *testing.T, data, offsets, times []byte, epochs string, clean, sealed bool) {
		if sealed {
			seal(data)
		}
		fs := diskio.NewMemory()
		dir := "/d/t-0"
		if err := fs.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string][]byte{
			"00000000000000000000.log": data, "00000000000000000000.index": offsets, "00000000000000000000.timeindex": times, epochFile: []byte(epochs),
		} {
			if err := diskio.WriteFile(fs, dir+"/"+name, content); err != nil {
				t.Fatal(err)
			}
		}
		l, err := Open(dir, Options{FS: fs, RetentionBytes: -1, RetentionAge: -1, SyncOnRoll: true}, Recovery{Clean: clean, From: -1, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			var damage *Damage
			whole := offsets[:len(offsets)/offsetEntrySize*offsetEntrySize] // what is behind the last whole entry is none
			if !errors.As(err, &damage) || len(whole) == 0 || int64(binary.BigEndian.Uint32(whole[len(whole)-4:])) < damage.Position {
				t.Fatalf("one segment can always be opened: %v", err)
			}
			return
		}
		useAll(t, l, clean)
		if err := l.Append([][]byte{records(t, l.End(), 1<<30, 2, 1, 1)}, today); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// seal makes the magic and the checksum of every batch right, and its codec none.
func seal(data []byte) {
	for {
		size, err := batch.Peek(data)
		if err != nil {
			return
		}
		b := batch.Batch(data[:size])
		b[16], b[22] = 2, b[22]&^7
		b.SetProducer(b.ProducerID(), b.ProducerEpoch(), b.BaseSequence())
		data = data[size:]
	}
}

// useAll reads a log in every way. Only where nothing was checked may something be wrong.
func useAll(t *testing.T, l *Log, clean bool) {
	for at := l.Start(); at < l.End(); {
		r, err := l.Locate(at, 1, math.MaxInt64)
		if err != nil || r.Bytes == 0 {
			if clean {
				return
			}
			t.Fatalf("locate %d of %d to %d: %d bytes, %v", at, l.Start(), l.End(), r.Bytes, err)
		}
		b := make(batch.Batch, r.Bytes)
		_, err = r.File.ReadAt(b, r.Position)
		r.Release()
		if err == nil {
			err = b.Check()
		}
		if err != nil {
			if clean {
				return
			}
			t.Fatalf("batch at %d: %v", at, err)
		}
		if b.NextOffset() <= at {
			t.Fatalf("the batch at %d ends at %d", at, b.NextOffset())
		}
		at = b.NextOffset()
	}
	for _, ts := range []int64{-1, 1000, math.MaxInt64} {
		_, _, _, _ = l.OffsetForTime(ts, math.MaxInt64, nil) // may tell of damage inside a batch
	}
	_, _, _, _ = l.MaxTimestamp(math.MaxInt64, nil)
	_, _ = l.EpochEnd(0)
	if err := l.Headers(0, func(batch.Batch) error { return nil }); err != nil && !clean {
		t.Fatal(err)
	}
}

func FuzzDump(f *testing.F) {
	f.Add([]byte(records(f, 0, 0, 3, 1000, 20)), []byte{0, 0, 0, 2, 0, 0, 0, 0}, []byte{})
	fuzz.Run(f, func(t *testing.T, data, offsets, times []byte) {
		fs := diskio.NewMemory()
		for suffix, content := range map[string][]byte{logSuffix: data, indexSuffix: offsets, timeSuffix: times, snapshotSuffix: data} {
			file, err := fs.Open("/00000000000000000000"+suffix, os.O_CREATE|os.O_RDWR)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := file.WriteAt(content, 0); err != nil {
				t.Fatal(err)
			}
		}
		for _, suffix := range []string{logSuffix, indexSuffix, timeSuffix, snapshotSuffix} {
			_ = Dump(fs, "/00000000000000000000"+suffix, DumpOptions{PrintDataLog: true}, &bytes.Buffer{})
		}
		if err := Verify(fs, "/", func(p Problem) { _ = p.String() }); err != nil {
			t.Fatal(err)
		}
	})
}
