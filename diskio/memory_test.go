package diskio

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestCrashForgetsWhatWasNotSynced(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(t *testing.T, m *Memory)
		want string // the files after the crash
	}{
		"written and synced": {func(t *testing.T, m *Memory) {
			f := create(t, m, "/d/a")
			write(t, f, []byte("kept"), 0)
			must(t, f.Sync())
			write(t, f, []byte("lost"), 2)
			must(t, m.SyncDir("/d"))
		}, `a="kept"`},
		"its name was not synced": {func(t *testing.T, m *Memory) {
			f := create(t, m, "/d/a")
			write(t, f, []byte("x"), 0)
			must(t, f.Sync())
		}, ``},
		"only its name was synced": {func(t *testing.T, m *Memory) {
			write(t, create(t, m, "/d/a"), []byte("x"), 0)
			must(t, m.SyncDir("/d"))
		}, `a=""`},
		"renamed, not synced": {func(t *testing.T, m *Memory) {
			must(t, WriteFile(m, "/d/a", []byte("x")))
			must(t, m.Rename("/d/a", "/d/b"))
		}, `a="x"`},
		"renamed and synced": {func(t *testing.T, m *Memory) {
			must(t, WriteFile(m, "/d/a", []byte("x")))
			must(t, m.Rename("/d/a", "/d/b"))
			must(t, m.SyncDir("/d"))
		}, `b="x"`},
		"removed, not synced": {func(t *testing.T, m *Memory) {
			must(t, WriteFile(m, "/d/a", []byte("x")))
			must(t, m.Remove("/d/a"))
		}, `a="x"`},
		"removed and synced": {func(t *testing.T, m *Memory) {
			must(t, WriteFile(m, "/d/a", []byte("x")))
			must(t, m.RemoveAll("/d/a"))
			must(t, m.SyncDir("/d"))
		}, ``},
		"cut, not synced": {func(t *testing.T, m *Memory) {
			must(t, WriteFile(m, "/d/a", []byte("long")))
			must(t, create(t, m, "/d/a").Truncate(1))
		}, `a="long"`},
		"cut, grown and synced": {func(t *testing.T, m *Memory) {
			must(t, WriteFile(m, "/d/a", []byte("long")))
			f := create(t, m, "/d/a")
			must(t, f.Truncate(1))
			write(t, f, []byte("x"), 2)
			must(t, f.Sync())
		}, `a="l\x00x"`},
		"what a failed sync lost stays lost": {func(t *testing.T, m *Memory) {
			must(t, WriteFile(m, "/d/a", []byte("old")))
			f := create(t, m, "/d/a")
			write(t, f, []byte("new"), 0)
			m.FailSync(syscall.EIO)
			if err := f.Sync(); !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
			m.FailSync(nil)
			must(t, f.Sync())
		}, `a="old"`},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewMemory()
			must(t, m.MkdirAll("/d"))
			test.do(t, m)
			m.Crash()
			if got := listing(t, m, "/d"); got != test.want {
				t.Fatalf("after the crash: %s, want %s", got, test.want)
			}
		})
	}
}

func listing(t *testing.T, m *Memory, dir string) string {
	t.Helper()
	names, err := m.ReadDir(dir)
	must(t, err)
	var parts []string
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%s=%q", name, content(t, m, dir+"/"+name)))
	}
	return strings.Join(parts, " ")
}

// Torn sectors are either as synced or as written, and every way to tear comes up.
func TestTearMixesSectors(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(300) {
		m := NewMemory()
		must(t, m.MkdirAll("/d"))
		must(t, WriteFile(m, "/d/a", bytes.Repeat([]byte("o"), 1000)))
		f := create(t, m, "/d/a")
		write(t, f, bytes.Repeat([]byte("n"), 1500), 300)
		m.Tear(seed)
		if _, err := f.Size(); !errors.Is(err, os.ErrClosed) {
			t.Fatalf("a file that was open before the crash says %v", err)
		}
		got := content(t, m, "/d/a")
		if len(got) < 1000 || len(got) > 1800 {
			t.Fatalf("seed %d: size %d", seed, len(got))
		}
		if strings.Trim(got[:300], "o") != "" || strings.Trim(got[300:1000], "on") != "" || strings.Trim(got[1000:], "n\x00") != "" {
			t.Fatalf("seed %d: bytes that nobody wrote: %q", seed, got)
		}
		seen[got] = true
		if again := tornAgain(t, seed); again != got {
			t.Fatalf("seed %d tore %q, then %q", seed, got, again)
		}
	}
	if len(seen) < 50 {
		t.Fatalf("300 seeds tore in %d ways only", len(seen))
	}
}

func tornAgain(t *testing.T, seed uint64) string {
	m := NewMemory()
	must(t, m.MkdirAll("/d"))
	must(t, WriteFile(m, "/d/a", bytes.Repeat([]byte("o"), 1000)))
	write(t, create(t, m, "/d/a"), bytes.Repeat([]byte("n"), 1500), 300)
	m.Tear(seed)
	return content(t, m, "/d/a")
}

func TestSpaceRunsOutAndComesBack(t *testing.T) {
	m := NewMemory()
	f := create(t, m, "/a")
	m.SetSpace(10)
	if n, err := f.Writev([][]byte{make([]byte, 7), make([]byte, 7)}, 0); n != 10 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("wrote %d, %v", n, err)
	}
	if err := f.Allocate(0, 100); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("allocated: %v", err)
	}
	must(t, f.Truncate(4))
	if free, _, _ := m.Space("/"); free != 6 {
		t.Fatalf("%d bytes free, want 6", free)
	}
	must(t, m.Remove("/a"))
	if free, _, _ := m.Space("/"); free != 10 {
		t.Fatalf("%d bytes free, want 10", free)
	}
}

func TestFaults(t *testing.T) {
	m := NewMemory()
	f := create(t, m, "/a")
	m.FailWrite(syscall.EIO)
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, syscall.EIO) {
		t.Fatalf("write: %v", err)
	}
	if _, err := m.Open("/b", os.O_CREATE); !errors.Is(err, syscall.EIO) {
		t.Fatalf("open: %v", err)
	}
	m.FailWrite(nil)
	m.HaltAfter(2)
	write(t, f, []byte("x"), 0)
	must(t, f.Sync())
	if err := m.Rename("/a", "/b"); !errors.Is(err, ErrHalted) || !m.Halted() {
		t.Fatalf("after the halt: %v", err)
	}
	if c := m.Counts(); c.Writes != 2 || c.Syncs != 1 || c.Renames != 1 {
		t.Fatalf("counts %+v", c)
	}
}
