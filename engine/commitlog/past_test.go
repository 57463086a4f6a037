package commitlog

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/diskio"
)

// large makes a log of some segments, each of more than a chunk.
func large(t testing.TB) *stage {
	o := keep()
	o.SegmentBytes = 3 * diskio.ChunkBytes
	s := newStage(t, o)
	s.open(s.recovery())
	random := rand.New(rand.NewPCG(8, 9))
	for s.log.Segments() < 3 {
		size := random.IntN(300_000)
		if random.IntN(20) == 0 {
			size = diskio.ChunkBytes + 1000
		}
		s.ok(s.log.Append([][]byte{records(s, s.log.End(), 0, 1+random.IntN(3), today.UnixMilli(), size)}, today))
	}
	return s
}

// What is read past the page cache is what Locate finds, whatever is asked for and however
// little memory there is.
func TestReadPastFindsWhatLocateFinds(t *testing.T) {
	s := large(t)
	defer s.close()
	random := rand.New(rand.NewPCG(1, 2))
	end := s.log.End()
	spent := 0
	for _, memory := range []int64{1, 2, 3, 32} {
		chunks := diskio.NewChunks(diskio.ChunksOptions{Bytes: memory * diskio.ChunkBytes})
		for range 300 {
			offset := random.Int64N(end)
			limit := offset + 1 + random.Int64N(end-offset)
			most := random.IntN(2 * diskio.ChunkBytes)
			want := s.read(offset, most, limit)
			p, ahead, err := s.log.ReadPast(chunks, offset, most, limit)
			if errors.Is(err, diskio.ErrSpent) && memory < 32 {
				spent++
				continue
			}
			s.ok(err)
			got := make([]byte, p.Bytes)
			p.Copy(got)
			p.Release()
			ahead.Read(random.IntN(2) == 0)
			if !bytes.Equal(got, want) {
				t.Fatalf("offset %d, at most %d bytes below %d: %d bytes that are not the %d of Locate", offset, most, limit, len(got), len(want))
			}
		}
		chunks.Close()
		if n := chunks.Buffered(); n != 0 {
			t.Errorf("%d bytes of chunks are still held", n)
		}
	}
	if spent == 0 {
		t.Error("one chunk was enough for ranges of two")
	}
}

// reading has the gate answer every read of a segment.
func (s *stage) reading(answer func(diskio.Op) error) {
	s.memory().Gate(func(op diskio.Op) error {
		if op.Kind == diskio.OpRead {
			return answer(op)
		}
		return nil
	})
}

func TestReadPastTellsWhatCannotBeRead(t *testing.T) {
	s := large(t)
	defer s.log.Close() //nolint:errcheck // a file was cut
	chunks := diskio.NewChunks(diskio.ChunksOptions{Bytes: 8 * diskio.ChunkBytes})
	var damage *Damage
	s.reading(func(diskio.Op) error { return syscall.EIO })
	if _, _, err := s.log.ReadPast(chunks, 0, 1<<20, s.log.End()); !errors.Is(err, syscall.EIO) || errors.As(err, &damage) {
		t.Errorf("a disk that fails: %v", err)
	}
	s.reading(func(diskio.Op) error { return errors.ErrUnsupported })
	if _, _, err := s.log.ReadPast(chunks, 0, 1<<20, s.log.End()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a disk that has no way past the page cache: %v", err)
	}
	s.reading(func(diskio.Op) error { return nil })
	s.ok(s.memory().Spoil(s.dir+"/00000000000000000000.log", func(p []byte) []byte { return p[:1000] }))
	if _, _, err := s.log.ReadPast(chunks, 0, 1<<20, s.log.End()); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that was cut: %v", err)
	}
	if s.log.Segments() != 3 {
		t.Errorf("%d segments", s.log.Segments())
	}
	chunks.Close()
	if n := chunks.Buffered(); n != 0 {
		t.Errorf("%d bytes of chunks are still held", n)
	}
}

// A segment that is deleted while it is read stays what it was for its reader, and so does what
// is read afterwards of one that was made under the same name.
func TestReadPastOfADeletedSegment(t *testing.T) {
	s := large(t)
	defer s.close()
	chunks := diskio.NewChunks(diskio.ChunksOptions{Bytes: 8 * diskio.ChunkBytes})
	defer chunks.Close()
	want := s.read(0, 1<<20, s.log.End())
	deleted := false
	s.reading(func(op diskio.Op) error {
		if !deleted && op.Size > 4<<10 {
			deleted = true
			s.o.RetentionBytes = 0
			s.log.SetOptions(s.o)
			if _, err := s.log.Retain(today, s.log.End(), 0); err != nil {
				t.Error(err)
			}
			f, err := s.fs.Open(s.dir+"/00000000000000000000.log", os.O_RDWR|os.O_CREATE)
			if err == nil {
				_, err = f.WriteAt(bytes.Repeat([]byte("another"), 1<<20), 0)
			}
			if err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	p, ahead, err := s.log.ReadPast(chunks, 0, 1<<20, s.log.End())
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, p.Bytes)
	p.Copy(got)
	p.Release()
	ahead.Read(true)
	if !deleted || !bytes.Equal(got, want) {
		t.Errorf("deleted meanwhile: %v; %d bytes that are not the %d that were there", deleted, len(got), len(want))
	}
	if _, _, err := s.log.ReadPast(chunks, 0, 1<<20, s.log.End()); !errors.Is(err, kerr.OffsetOutOfRange) {
		t.Errorf("what was deleted is read again: %v", err)
	}
}

// What was cut off a log and written anew is never served from a chunk of before.
func TestReadPastOfATruncatedSegment(t *testing.T) {
	s := newStage(t, keep())
	s.open(s.recovery())
	defer s.close()
	chunks := diskio.NewChunks(diskio.ChunksOptions{Bytes: 8 * diskio.ChunkBytes})
	defer chunks.Close()
	past := func() []byte {
		p, ahead, err := s.log.ReadPast(chunks, 0, 1<<20, s.log.End())
		s.ok(err)
		got := make([]byte, p.Bytes)
		p.Copy(got)
		p.Release()
		ahead.Read(true)
		return got
	}
	for round := range 5 {
		for s.log.End() < 10 { // as many bytes as before, and others
			s.ok(s.log.Append([][]byte{records(s, s.log.End(), 0, 1, today.UnixMilli()+int64(round), 5000)}, today))
		}
		if got, want := past(), s.read(0, 1<<20, s.log.End()); !bytes.Equal(got, want) {
			t.Fatalf("round %d: %d bytes that are not the %d of the log", round, len(got), len(want))
		}
		s.ok(s.log.Truncate(5))
		if got, want := past(), s.read(0, 1<<20, s.log.End()); !bytes.Equal(got, want) {
			t.Fatalf("round %d, truncated: %d bytes that are not the %d of the log", round, len(got), len(want))
		}
	}
}

// What an append has written before it failed is undone, and was no part of the log: it is never
// served from a chunk of before in place of what was appended since.
func TestReadPastOfAnAppendThatWasUndone(t *testing.T) {
	o := keep()
	o.SegmentBytes = 20_000
	s := newStage(t, o)
	s.open(s.recovery())
	defer s.close()
	chunks := diskio.NewChunks(diskio.ChunksOptions{Bytes: 8 * diskio.ChunkBytes})
	defer chunks.Close()
	past := func() []byte {
		p, ahead, err := s.log.ReadPast(chunks, 0, 1<<20, s.log.End())
		s.ok(err)
		defer p.Release()
		got := make([]byte, p.Bytes)
		p.Copy(got)
		ahead.Read(true)
		return got
	}
	batches := func(round int64) (all [][]byte) {
		for i := range int64(4) {
			all = append(all, records(s, s.log.End()+i, 0, 1, today.UnixMilli()+round, 5000))
		}
		return all
	}
	s.ok(s.log.Append(batches(1)[:1], today))
	read := false
	s.memory().Gate(func(op diskio.Op) error {
		if op.Kind != diskio.OpCreate || !strings.HasSuffix(op.Name, logSuffix) {
			return nil
		}
		read = true
		past() // three batches are in the first segment by now, two of which will be undone
		return syscall.ENOSPC
	})
	if err := s.log.Append(batches(2), today); !errors.Is(err, syscall.ENOSPC) || !read || s.log.End() != 1 {
		t.Fatalf("append: %v; read meanwhile: %v; the log ends at %d", err, read, s.log.End())
	}
	s.memory().Gate(nil)
	s.ok(s.log.Append(batches(3)[:2], today))
	if got, want := past(), s.read(0, 1<<20, s.log.End()); !bytes.Equal(got, want) {
		t.Errorf("%d bytes that are not the %d of the log", len(got), len(want))
	}
}
