package diskio

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func TestAColdReaderReadsWhatIsThere(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, size := range []int{0, 1, journalPage, coldWindow - 1, coldWindow, 4*coldWindow + 4097} {
		name := filepath.Join(t.TempDir(), "segment")
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(random.Uint32())
		}
		must(t, os.WriteFile(name, want, 0o600))
		r, err := OpenCold(OS, name)
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip("the file system of temporary files cannot be read past the page cache")
		}
		must(t, err)
		// Forward, a little back, and past the end, as a walk over batches does.
		for at := 0; at <= size; at += 1 + random.IntN(coldWindow/3) {
			for _, from := range []int{at, max(0, at-random.IntN(coldWindow))} {
				p := make([]byte, random.IntN(coldWindow))
				n, err := r.ReadAt(p, int64(from))
				if whole := min(len(p), size-from); n != whole || !bytes.Equal(p[:n], want[from:from+n]) || (err != nil) != (whole < len(p)) {
					t.Fatalf("%d bytes at %d of %d: %d, %v", len(p), from, size, n, err)
				}
			}
		}
		if _, err := r.ReadAt(make([]byte, 1), int64(size)); err != io.EOF {
			t.Errorf("behind the end of %d bytes: %v", size, err)
		}
		must(t, r.Close())
	}
}

func TestAColdReaderIsOfTheOperatingSystemsFiles(t *testing.T) {
	if _, err := OpenCold(NewMemory(), "segment"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a disk in memory: %v", err)
	}
	if _, err := OpenCold(OS, filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
