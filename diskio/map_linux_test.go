package diskio

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// through reads p as a system call does: by a pipe.
func through(t *testing.T, p []byte) ([]byte, error) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	got := make([]byte, len(p))
	for at := 0; at < len(p); {
		n, err := unix.Write(int(w.Fd()), p[at:min(at+4096, len(p))])
		if err != nil {
			return got[:at], err
		}
		if _, err := r.Read(got[at : at+n]); err != nil {
			return got[:at], err
		}
		at += n
	}
	return got, nil
}

func TestMapShowsWhatTheFileHolds(t *testing.T) {
	f := create(t, OS, filepath.Join(t.TempDir(), "a"))
	want := bytes.Repeat([]byte("0123456789abcdef"), 1024)
	_, err := f.WriteAt(want, 0)
	must(t, err)
	p := f.Map(5, 10_000)
	if got, err := through(t, p); err != nil || !bytes.Equal(got, want[5:10_005]) {
		t.Fatalf("the mapped bytes differ, %v", err)
	}
	// What is appended later is seen by the same window.
	_, err = f.WriteAt([]byte("more"), int64(len(want)))
	must(t, err)
	if got, err := through(t, f.Map(int64(len(want)), 4)); string(got) != "more" || err != nil {
		t.Fatalf("appended bytes: %q, %v", got, err)
	}
	if cap(p) != len(p) {
		t.Errorf("a range of %d bytes can be grown to %d", len(p), cap(p))
	}
	for _, bad := range [][2]int64{{-1, 5}, {0, 0}, {0, -1}} {
		if f.Map(bad[0], int(bad[1])) != nil {
			t.Errorf("a range at %d of %d bytes was mapped", bad[0], bad[1])
		}
	}
}

// A window that is too small is followed by a larger one; what the first showed stays.
func TestMapGrowsWithTheFile(t *testing.T) {
	f := create(t, OS, filepath.Join(t.TempDir(), "a"))
	_, err := f.WriteAt([]byte("begin"), 0)
	must(t, err)
	_, err = f.WriteAt([]byte("end"), windowBytes+7) // a hole: no space is taken
	must(t, err)
	before := windows.Load()
	first := f.Map(0, 5)
	last := f.Map(windowBytes+7, 3)
	for want, p := range map[string][]byte{"begin": first, "end": last} {
		if got, err := through(t, p); string(got) != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if n := windows.Load() - before; n != 2 {
		t.Errorf("%d windows, want 2", n)
	}
	must(t, f.Close())
	if n := windows.Load() - before; n != 0 {
		t.Errorf("%d windows are left after Close", n)
	}
	if f.Map(0, 5) != nil {
		t.Error("a closed file was mapped")
	}
}

func TestMapOfWhatIsNotThereFailsInTheSystemCall(t *testing.T) {
	f := create(t, OS, filepath.Join(t.TempDir(), "a"))
	_, err := f.WriteAt(make([]byte, 1<<16), 0)
	must(t, err)
	p := f.Map(0, 1<<16)
	must(t, f.Truncate(1<<12))
	if got, err := through(t, p); err != unix.EFAULT {
		t.Fatalf("%d bytes and %v, want EFAULT", len(got), err)
	}
}

// Reading much by mappings must not look like, or be, much memory of the process.
func TestMappedFilesTakeLittleMemory(t *testing.T) {
	dir := t.TempDir()
	const size, files = 4 << 20, 16
	for i := range files {
		f := create(t, OS, filepath.Join(dir, fmt.Sprint("f", i)))
		t.Cleanup(func() { must(t, f.Close()) })
		_, err := f.WriteAt(make([]byte, size), 0)
		must(t, err)
		for at := int64(0); at < size; at += 1 << 20 {
			if _, err := through(t, f.Map(at, 1<<20)); err != nil {
				t.Fatal(err)
			}
		}
	}
	const most = 2*residentBytes + 1<<20 // the kernel maps neighbours of what is looked at
	if rss := mappedBytes(t, dir); rss > most || rss == 0 {
		t.Errorf("%d bytes of %d that were shown are resident, want at most %d and some", rss, size*files, most)
	}
}

// mappedBytes is how much of the files below dir counts as memory of this process.
func mappedBytes(t *testing.T, dir string) (bytes int) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/smaps")
	must(t, err)
	inside := false
	for line := range strings.Lines(string(maps)) {
		var kib int
		if strings.Contains(line, "-") && strings.Contains(line, " r") {
			inside = strings.Contains(line, dir)
		} else if n, _ := fmt.Sscanf(line, "Rss: %d kB", &kib); n == 1 && inside {
			bytes += kib << 10
		}
	}
	return bytes
}

func TestMapAndCloseTogether(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		f := create(t, OS, filepath.Join(dir, fmt.Sprint(i)))
		_, err := f.WriteAt(make([]byte, 1<<20), 0)
		must(t, err)
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for range 50 {
					f.Map(0, 1<<20)
				}
			})
		}
		group.Go(func() { must(t, f.Close()) })
		group.Wait()
	}
	if resident.sweep(); len(resident.files) != 0 {
		t.Errorf("%d files wait for a sweep after one", len(resident.files))
	}
}
