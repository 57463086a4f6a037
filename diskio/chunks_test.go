package diskio

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// filled makes a file of random bytes, durable, and opens it.
func filled(t testing.TB, fs FS, name string, size int) (File, []byte) {
	t.Helper()
	random := rand.New(rand.NewPCG(uint64(size), 5))
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	f, err := fs.Open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	must(t, err)
	t.Cleanup(func() { f.Close() }) //nolint:errcheck // some tests close it
	_, err = f.WriteAt(content, 0)
	must(t, err)
	must(t, f.Sync())
	return f, content
}

// direct skips a test where files cannot be read past the page cache.
func direct(t testing.TB, f File) {
	t.Helper()
	p := aligned(DirectAlign)
	if _, err := f.ReadDirect(p, 0); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("the file system of temporary files cannot be read past the page cache")
	}
}

// show is what chunks have of a file from one position to another.
func show(t testing.TB, c *Chunks, f File, from, to, end int64) (all []byte) {
	t.Helper()
	for at := from; at < to; at += ChunkBytes - at%ChunkBytes {
		k, err := c.Hold(f, 0, at/ChunkBytes, end)
		must(t, err)
		part := k.From(at)
		all = append(all, part[:min(int64(len(part)), to-at)]...)
		k.Release()
	}
	return all
}

func TestChunksHoldWhatIsInTheFile(t *testing.T) {
	both(t, func(t *testing.T, fs FS, dir string) {
		for _, size := range []int{1, DirectAlign - 1, DirectAlign, ChunkBytes - 1, ChunkBytes, ChunkBytes + 1, 3*ChunkBytes + 12345} {
			f, want := filled(t, fs, filepath.Join(dir, "segment"), size)
			direct(t, f)
			c := NewChunks(ChunksOptions{Bytes: 2 * ChunkBytes})
			random := rand.New(rand.NewPCG(1, 2))
			for range 30 {
				from := random.Int64N(int64(size))
				to := from + 1 + random.Int64N(int64(size)-from)
				if got := show(t, c, f, from, to, int64(size)); !bytes.Equal(got, want[from:to]) {
					t.Fatalf("bytes %d to %d of %d are others", from, to, size)
				}
			}
			c.Close()
			if n := c.Buffered(); n != 0 {
				t.Errorf("%d bytes are left after the end", n)
			}
		}
	})
}

// What is read past the page cache is not in it.
func TestChunksLeaveThePageCacheAlone(t *testing.T) {
	const size = 3 * ChunkBytes
	f, want := filled(t, OS, filepath.Join(t.TempDir(), "segment"), size)
	direct(t, f)
	must(t, f.Evict(0, size))
	if f.Resident(0, DirectAlign) {
		t.Skip("this file system keeps files in memory")
	}
	c := NewChunks(ChunksOptions{Bytes: 4 * ChunkBytes})
	defer c.Close()
	if got := show(t, c, f, 0, size, size); !bytes.Equal(got, want) {
		t.Fatal("other bytes came")
	}
	for at := int64(0); at < size; at += DirectAlign {
		if f.Resident(at, DirectAlign) {
			t.Fatalf("the page at %d is in the page cache", at)
		}
	}
}

// Who has a file open reads that file, whatever its name stands for by now.
func TestChunksAreOfTheOpenFile(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "segment")
	f, want := filled(t, OS, name, ChunkBytes+100)
	direct(t, f)
	filled(t, OS, filepath.Join(folder, "other"), 2*ChunkBytes)
	c := NewChunks(ChunksOptions{Bytes: 2 * ChunkBytes})
	defer c.Close()
	must(t, os.Rename(filepath.Join(folder, "other"), name))
	if got := show(t, c, f, 0, int64(len(want)), int64(len(want))); !bytes.Equal(got, want) {
		t.Fatal("the bytes of another file came")
	}
	must(t, f.Close())
	if _, err := c.Hold(f, 1, 0, int64(len(want))); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("a closed file: %v", err)
	}
}

func TestAChunkIsReadOnceForAll(t *testing.T) {
	m := NewMemory()
	f, want := filled(t, m, "segment", ChunkBytes)
	hang, begun := make(chan struct{}), make(chan struct{}, 1)
	m.Gate(func(op Op) error {
		if op.Kind == OpRead {
			begun <- struct{}{}
			<-hang
		}
		return nil
	})
	var reads atomic.Int64
	c := NewChunks(ChunksOptions{Bytes: ChunkBytes, Read: func(_ time.Duration, bytes int) { reads.Add(int64(bytes)) }})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			k, err := c.Hold(f, 0, 0, ChunkBytes)
			if err != nil {
				t.Error(err)
				return
			}
			defer k.Release()
			if !bytes.Equal(k.From(0), want) {
				t.Error("other bytes came")
			}
		})
	}
	<-begun
	close(hang)
	all.Wait()
	if n := reads.Load(); n != ChunkBytes {
		t.Errorf("%d bytes were read for one chunk", n)
	}
}

func TestWithoutMemoryNobodyWaits(t *testing.T) {
	m := NewMemory()
	f, want := filled(t, m, "segment", 4*ChunkBytes)
	c := NewChunks(ChunksOptions{Bytes: 2*ChunkBytes + 1})
	end := int64(len(want))
	one, err := c.Hold(f, 0, 0, end)
	must(t, err)
	two, err := c.Hold(f, 0, 1, end)
	must(t, err)
	if _, err := c.Hold(f, 0, 2, end); err != ErrSpent {
		t.Fatalf("a third chunk of two: %v", err)
	}
	again, err := c.Hold(f, 0, 1, end) // shared
	must(t, err)
	two.Release()
	if _, err := c.Hold(f, 0, 2, end); err != ErrSpent {
		t.Fatalf("one that is still held was taken: %v", err)
	}
	again.Release()
	three, err := c.Hold(f, 0, 2, end)
	must(t, err)
	if !bytes.Equal(one.From(0), want[:ChunkBytes]) || !bytes.Equal(three.From(2*ChunkBytes), want[2*ChunkBytes:3*ChunkBytes]) {
		t.Error("other bytes came")
	}
	c.Close()
	one.Release()
	three.Release()
	if n := c.Buffered(); n != 0 {
		t.Errorf("%d bytes are left after the end", n)
	}
	if _, err := c.Hold(f, 0, 0, end); err != ErrSpent {
		t.Errorf("after the end: %v", err)
	}
}

func TestWhatCannotBeReadIsToldToAllWhoAsk(t *testing.T) {
	m := NewMemory()
	f, want := filled(t, m, "segment", ChunkBytes)
	broken := error(syscall.EIO)
	m.Gate(func(op Op) error {
		if op.Kind == OpRead {
			return broken
		}
		return nil
	})
	c := NewChunks(ChunksOptions{Bytes: ChunkBytes})
	defer c.Close()
	for range 2 {
		if _, err := c.Hold(f, 0, 0, ChunkBytes); !errors.Is(err, syscall.EIO) {
			t.Fatalf("a disk that cannot be read: %v", err)
		}
	}
	broken = nil
	if got := show(t, c, f, 0, ChunkBytes, ChunkBytes); !bytes.Equal(got, want) {
		t.Error("other bytes came once it could")
	}
	if _, err := c.Hold(f, 1, 1, ChunkBytes+1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that is too short: %v", err)
	}
	if _, err := c.Hold(f, 1, 7, ChunkBytes); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("behind the end: %v", err)
	}
}

// A chunk of a file that grows is read again; who holds the old one keeps it. Another life of
// the file has chunks of its own.
func TestChunksFollowTheirFile(t *testing.T) {
	m := NewMemory()
	f, want := filled(t, m, "segment", 5000)
	c := NewChunks(ChunksOptions{Bytes: 4 * ChunkBytes})
	defer c.Close()
	old, err := c.Hold(f, 0, 0, 3000)
	must(t, err)
	if len(old.From(0)) != 3000 {
		t.Fatalf("%d bytes are shown of 3000 that stay", len(old.From(0)))
	}
	if got := show(t, c, f, 0, 5000, 5000); !bytes.Equal(got, want) {
		t.Error("what was appended did not come")
	}
	_, err = f.WriteAt([]byte("changed"), 0)
	must(t, err)
	if got := show(t, c, f, 0, 5000, 5000); !bytes.Equal(got, want) {
		t.Error("a chunk that is there was read again")
	}
	k, err := c.Hold(f, 1, 0, 5000)
	must(t, err)
	if !bytes.HasPrefix(k.From(0), []byte("changed")) {
		t.Error("another life showed the old bytes")
	}
	k.Release()
	if !bytes.Equal(old.From(0), want[:3000]) {
		t.Error("a chunk changed under who holds it")
	}
	old.Release()
}

func TestReadingAheadLeavesMemoryToOthers(t *testing.T) {
	m := NewMemory()
	const end = 20 * ChunkBytes
	f, _ := filled(t, m, "segment", end)
	c := NewChunks(ChunksOptions{Bytes: 8 * ChunkBytes})
	defer c.Close()
	reads := m.Counts().Reads
	for i := range int64(30) {
		c.Ahead(f, 0, i, end)
	}
	if n := m.Counts().Reads - reads; n != 4 {
		t.Errorf("%d chunks were read ahead, half of 8 may be", n)
	}
	k, err := c.Hold(f, 0, 0, end)
	must(t, err)
	if n := m.Counts().Reads - reads; n != 4 {
		t.Errorf("what was read ahead was read again: %d reads", n)
	}
	k.Release()
	c.Trim()
	c.Trim()
	if n := c.Buffered(); n != 0 {
		t.Errorf("%d bytes are kept that nobody uses", n)
	}
}
