package diskio

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// directFolder is a folder whose files can be read past the page cache: of temporary files, or
// else beside this one.
func directFolder(t *testing.T) string {
	t.Helper()
	beside, err := os.MkdirTemp("testdata", "cold-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(beside)) })
	for _, folder := range []string{t.TempDir(), beside} {
		name := filepath.Join(folder, "tried")
		must(t, os.WriteFile(name, []byte("x"), 0o600))
		if r, err := OpenCold(OS, name); err == nil {
			must(t, r.Close())
			return folder
		}
	}
	t.Skip("no file system here can be read past the page cache")
	return ""
}

// disturbed is a cold reader of a file of two windows and a half, whose reads go through f.
func disturbed(t *testing.T, f func(fd int, p []byte, offset int64) (int, error)) (r *ColdReader, want []byte) {
	t.Helper()
	want = make([]byte, 2*coldWindow+coldWindow/2)
	random := rand.New(rand.NewPCG(5, 6))
	for i := range want {
		want[i] = byte(random.Uint32())
	}
	name := filepath.Join(directFolder(t), "segment")
	must(t, os.WriteFile(name, want, 0o600))
	r, err := OpenCold(OS, name)
	must(t, err)
	r.pread = f
	t.Cleanup(func() { must(t, r.Close()) })
	return r, want
}

// A disk answers short where the next sector cannot be read, and says so only when it is asked for
// that sector: that is no end of the file, and no damage.
func TestABadSectorIsNotTheEndOfAFile(t *testing.T) {
	const bad = coldWindow + 3*journalPage
	broken := true
	r, want := disturbed(t, func(fd int, p []byte, offset int64) (int, error) {
		if broken && offset == bad {
			return -1, unix.EIO
		}
		if broken && offset < bad {
			p = p[:min(int64(len(p)), bad-offset)]
		}
		return unix.Pread(fd, p, offset)
	})
	p := make([]byte, len(want))
	if n, err := r.ReadAt(p, 0); n != bad || !errors.Is(err, unix.EIO) || errors.Is(err, io.EOF) || !bytes.Equal(p[:n], want[:n]) {
		t.Errorf("before a bad sector at %d are %d bytes, %v", bad, n, err)
	}
	broken = false
	if n, err := r.ReadAt(p, 0); n != len(p) || err != nil || !bytes.Equal(p, want) {
		t.Errorf("once it can be read: %d of %d bytes, %v", n, len(p), err)
	}
}

// Small answers are put together.
func TestAShortReadIsReadOn(t *testing.T) {
	r, want := disturbed(t, func(fd int, p []byte, offset int64) (int, error) {
		return unix.Pread(fd, p[:min(len(p), 5*journalPage)], offset)
	})
	p := make([]byte, len(want))
	if n, err := r.ReadAt(p, 0); n != len(p) || err != nil || !bytes.Equal(p, want) {
		t.Errorf("%d of %d bytes, %v", n, len(p), err)
	}
	if _, err := r.ReadAt(p[:1], int64(len(want))); err != io.EOF {
		t.Errorf("behind the end: %v", err)
	}
}

// A file system may take the flag when a file is opened, and refuse reads.
func TestAFileSystemThatRefusesDirectReads(t *testing.T) {
	for _, refusal := range []error{unix.EINVAL, unix.EOPNOTSUPP} {
		refused := 0
		r, want := disturbed(t, func(fd int, p []byte, offset int64) (int, error) {
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
			if err != nil {
				return -1, err
			}
			if flags&unix.O_DIRECT != 0 {
				refused++
				return -1, refusal
			}
			return unix.Pread(fd, p, offset)
		})
		p := make([]byte, len(want))
		if n, err := r.ReadAt(p, 0); n != len(p) || err != nil || !bytes.Equal(p, want) {
			t.Errorf("%v: %d of %d bytes, %v", refusal, n, len(p), err)
		}
		if refused != 1 {
			t.Errorf("%v: tried %d times past the page cache, want once", refusal, refused)
		}
	}
}

func TestAColdReaderReadsWhatIsThere(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, size := range []int{0, 1, journalPage, coldWindow - 1, coldWindow, 4*coldWindow + 4097} {
		name := filepath.Join(directFolder(t), "segment")
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(random.Uint32())
		}
		must(t, os.WriteFile(name, want, 0o600))
		r, err := OpenCold(OS, name)
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
	m, log := NewMemory(), slog.New(slog.DiscardHandler)
	must(t, m.MkdirAll("/data"))
	for name, fs := range map[string]FS{"a disk in memory": m, "one that keeps a reserve": NewReserved(m, "/data", log)} {
		if _, err := OpenCold(fs, "segment"); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	folder := directFolder(t)
	r, err := OpenCold(NewReserved(OS, folder, log), filepath.Join(folder, "tried"))
	if err != nil {
		t.Fatalf("a disk that keeps a reserve: %v", err)
	}
	must(t, r.Close())
	if _, err := OpenCold(OS, filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
