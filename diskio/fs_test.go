package diskio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// both runs a test on the real file system and on the one in memory: they must agree.
func both(t *testing.T, f func(t *testing.T, fs FS, dir string)) {
	t.Run("os", func(t *testing.T) { f(t, OS, t.TempDir()) })
	t.Run("memory", func(t *testing.T) {
		fs := NewMemory()
		if err := fs.MkdirAll("/disk"); err != nil {
			t.Fatal(err)
		}
		f(t, fs, "/disk")
	})
}

func create(t testing.TB, fs FS, name string) File {
	t.Helper()
	f, err := fs.Open(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func write(t testing.TB, f File, p []byte, offset int64) {
	t.Helper()
	if _, err := f.WriteAt(p, offset); err != nil {
		t.Error(err)
	}
}

func content(t testing.TB, fs FS, name string) string {
	t.Helper()
	data, err := ReadFile(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadAndWrite(t *testing.T) {
	both(t, func(t *testing.T, fs FS, dir string) {
		f := create(t, fs, filepath.Join(dir, "a"))
		n, err := f.Writev([][]byte{[]byte("one"), nil, []byte("two"), []byte("three")}, 2)
		if n != 11 || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
		if n, err := f.WriteAt([]byte("ab"), 0); n != 2 || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
		p := make([]byte, 20)
		n, err = f.ReadAt(p, 0)
		if got := string(p[:n]); got != "abonetwothree" || err != io.EOF {
			t.Fatalf("read %q, %v", got, err)
		}
		if n, err := f.ReadAt(p[:5], 3); string(p[:n]) != "netwo" || err != nil {
			t.Fatalf("read %q, %v", p[:n], err)
		}
		must(t, f.Truncate(4))
		must(t, f.Allocate(4, 1<<16))
		if size, err := f.Size(); size != 4 || err != nil {
			t.Fatalf("size %d, %v", size, err)
		}
		must(t, f.Sync())
		must(t, f.Truncate(6))
		if got := content(t, fs, f.Name()); got != "abon\x00\x00" {
			t.Fatalf("content %q", got)
		}
	})
}

func TestWritevOfMoreThanTheKernelTakesAtOnce(t *testing.T) {
	both(t, func(t *testing.T, fs FS, dir string) {
		f := create(t, fs, filepath.Join(dir, "a"))
		var bufs [][]byte
		var want []byte
		for i := range 3000 {
			p := bytes.Repeat([]byte{byte(i)}, i%17)
			bufs, want = append(bufs, p), append(want, p...)
		}
		if n, err := f.Writev(bufs, 0); n != len(want) || err != nil {
			t.Fatalf("wrote %d of %d, %v", n, len(want), err)
		}
		if content(t, fs, f.Name()) != string(want) {
			t.Fatal("something else was written")
		}
	})
}

func TestNames(t *testing.T) {
	both(t, func(t *testing.T, fs FS, dir string) {
		deep := filepath.Join(dir, "x", "y")
		must(t, fs.MkdirAll(deep))
		must(t, fs.MkdirAll(deep))
		for _, name := range []string{"b", "a"} {
			must(t, create(t, fs, filepath.Join(deep, name)).Close())
		}
		if names, err := fs.ReadDir(deep); err != nil || !slices.Equal(names, []string{"a", "b"}) {
			t.Fatalf("names %v, %v", names, err)
		}
		must(t, fs.Rename(filepath.Join(deep, "a"), filepath.Join(deep, "b")))
		must(t, fs.SyncDir(deep))
		if _, err := fs.Stat(filepath.Join(deep, "a")); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("stat of what was renamed: %v", err)
		}
		if _, err := fs.Open(filepath.Join(deep, "a"), os.O_RDWR); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("open of what was renamed: %v", err)
		}
		if _, err := fs.Open(filepath.Join(deep, "b"), os.O_RDWR|os.O_CREATE|os.O_EXCL); !errors.Is(err, os.ErrExist) {
			t.Fatalf("exclusive open of what is there: %v", err)
		}
		if err := fs.Remove(deep); err == nil {
			t.Fatal("removed a folder that has a file")
		}
		must(t, fs.Remove(filepath.Join(deep, "b")))
		if err := fs.Remove(filepath.Join(deep, "b")); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("second remove: %v", err)
		}
		if found, err := fs.Stat(deep); err != nil || !found.Dir {
			t.Fatalf("stat %+v, %v", found, err)
		}
		must(t, fs.Rename(filepath.Join(dir, "x"), filepath.Join(dir, "z")))
		must(t, fs.RemoveAll(filepath.Join(dir, "z")))
		must(t, fs.RemoveAll(filepath.Join(dir, "z")))
		if names, _ := fs.ReadDir(dir); len(names) != 0 {
			t.Fatalf("left over: %v", names)
		}
		must(t, create(t, fs, filepath.Join(dir, "file")).Close())
		if err := fs.MkdirAll(filepath.Join(dir, "file")); err == nil {
			t.Fatal("made a folder where a file is")
		}
		if free, total, err := fs.Space(dir); err != nil || free == 0 || total < free {
			t.Fatalf("free %d, %v", free, err)
		}
	})
}

func TestLockIsForOne(t *testing.T) {
	both(t, func(t *testing.T, fs FS, dir string) {
		name := filepath.Join(dir, ".lock")
		first, err := fs.Lock(name)
		must(t, err)
		if _, err := fs.Lock(name); !errors.Is(err, ErrLocked) {
			t.Fatalf("second lock: %v", err)
		}
		must(t, first.Close())
		again, err := fs.Lock(name)
		must(t, err)
		must(t, again.Close())
	})
}

func TestClosedFileFails(t *testing.T) {
	both(t, func(t *testing.T, fs FS, dir string) {
		f := create(t, fs, filepath.Join(dir, "a"))
		must(t, f.Close())
		_, read := f.ReadAt(make([]byte, 1), 0)
		_, write := f.WriteAt([]byte("x"), 0)
		_, writev := f.Writev([][]byte{[]byte("x"), []byte("y")}, 0)
		_, size := f.Size()
		for what, err := range map[string]error{
			"read": read, "write": write, "writev": writev, "size": size, "sync": f.Sync(),
			"truncate": f.Truncate(0), "allocate": f.Allocate(0, 1), "close": f.Close(),
		} {
			if !errors.Is(err, os.ErrClosed) {
				t.Errorf("%s after close: %v", what, err)
			}
		}
	})
}

// Many goroutines use a file while it is closed: each call works or says that the file is closed.
func TestCloseWaitsForCallsUnderWay(t *testing.T) {
	dir := t.TempDir()
	for round := range 200 {
		f := create(t, OS, filepath.Join(dir, "a"))
		done := make(chan error)
		for range 4 {
			go func() {
				for {
					if _, err := f.WriteAt([]byte("x"), int64(round)); err != nil {
						done <- err
						return
					}
				}
			}()
		}
		must(t, f.Close())
		for range 4 {
			if err := <-done; !errors.Is(err, os.ErrClosed) {
				t.Fatal(err)
			}
		}
	}
}

func TestWriteFileHasOldOrNewContent(t *testing.T) {
	both(t, func(t *testing.T, fs FS, dir string) {
		name := filepath.Join(dir, "state")
		must(t, WriteFile(fs, name, []byte("old")))
		must(t, WriteFile(fs, name, []byte("new!")))
		if got := content(t, fs, name); got != "new!" {
			t.Fatalf("content %q", got)
		}
		if names, _ := fs.ReadDir(dir); len(names) != 1 {
			t.Fatalf("left over: %v", names)
		}
	})
	finished := false
	for step := int64(0); !finished; step++ {
		for seed := range uint64(20) {
			fs := NewMemory()
			must(t, fs.MkdirAll("/d"))
			must(t, WriteFile(fs, "/d/state", []byte("old")))
			fs.HaltAfter(step)
			err := WriteFile(fs, "/d/state", bytes.Repeat([]byte("new"), 1000))
			fs.Tear(seed)
			got := content(t, fs, "/d/state")
			if got != "old" && len(got) != 3000 {
				t.Fatalf("step %d seed %d: %d bytes", step, seed, len(got))
			}
			if finished = err == nil; finished && got == "old" {
				t.Fatalf("seed %d: the new content was promised", seed)
			}
		}
	}
}

func TestHotCallsAllocateNothing(t *testing.T) {
	f := create(t, OS, filepath.Join(t.TempDir(), "a"))
	bufs := make([][]byte, 100)
	for i := range bufs {
		bufs[i] = make([]byte, 64)
	}
	p := make([]byte, 1000)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := f.Writev(bufs, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := f.ReadAt(p, 5); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(p, 7); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations, want 0", n)
	}
}

func BenchmarkWritev(b *testing.B) {
	for _, count := range []int{1, 4, 64} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			f := create(b, OS, filepath.Join(b.TempDir(), "a"))
			bufs := make([][]byte, count)
			for i := range bufs {
				bufs[i] = make([]byte, 16<<10)
			}
			b.SetBytes(int64(count) * 16 << 10)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Writev(bufs, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
