package diskio

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// recorded runs do on a disk with an empty folder /d, and answers the trace.
func recorded(t *testing.T, do func(m *Memory)) *Trace {
	t.Helper()
	m := NewMemory()
	must(t, m.MkdirAll("/d"))
	trace := m.Record()
	do(m)
	trace.Stop()
	return trace
}

// outcomes are all that the images of the last point show, sorted.
func outcomes(t *testing.T, trace *Trace) (all []string) {
	t.Helper()
	for image := range trace.Images(ImageOptions{First: trace.Len(), Random: 60}) {
		all = append(all, listing(t, image.Disk(), "/d"))
	}
	slices.Sort(all)
	return all
}

// What may be on a disk after a loss of power, and nothing else, comes up.
func TestImagesAreWhatTheModelAllows(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(t *testing.T, m *Memory)
		want []string
	}{
		"a new file": {func(t *testing.T, m *Memory) {
			write(t, create(t, m, "/d/a"), []byte("ab"), 0)
		}, []string{``, `a=""`, `a="\x00"`, `a="\x00\x00"`, `a="a"`, `a="ab"`}},
		"a new file, synced without its name": {func(t *testing.T, m *Memory) {
			f := create(t, m, "/d/a")
			write(t, f, []byte("ab"), 0)
			must(t, f.Sync())
		}, []string{``, `a="ab"`}},
		"everything synced": {func(t *testing.T, m *Memory) {
			must(t, WriteFile(m, "/d/a", []byte("ab")))
		}, []string{`a="ab"`}},
		"written over": {func(t *testing.T, m *Memory) {
			must(t, WriteFile(m, "/d/a", []byte("old")))
			write(t, create(t, m, "/d/a"), []byte("new"), 0)
		}, []string{`a="new"`, `a="old"`}},
		"cut and written behind": {func(t *testing.T, m *Memory) {
			must(t, WriteFile(m, "/d/a", []byte("abc")))
			f := create(t, m, "/d/a")
			must(t, f.Truncate(1))
			write(t, f, []byte("x"), 1)
		}, []string{`a="a"`, `a="a\x00"`, `a="abc"`, `a="ax"`, `a="axc"`}},
		"replaced as WriteFile does": {func(t *testing.T, m *Memory) {
			must(t, WriteFile(m, "/d/a", []byte("old")))
			must(t, writeSynced(m, "/d/b", []byte("new")))
			must(t, m.Rename("/d/b", "/d/a"))
		}, []string{`a="new"`, `a="old"`, `a="old" b="new"`}},
		"replaced without a sync": {func(t *testing.T, m *Memory) {
			must(t, WriteFile(m, "/d/a", []byte("o")))
			write(t, create(t, m, "/d/b"), []byte("n"), 0)
			must(t, m.Rename("/d/b", "/d/a"))
		}, []string{`a=""`, `a="\x00"`, `a="n"`, `a="o"`, `a="o" b=""`, `a="o" b="\x00"`, `a="o" b="n"`}},
		"removed": {func(t *testing.T, m *Memory) {
			must(t, WriteFile(m, "/d/a", []byte("x")))
			must(t, m.Remove("/d/a"))
		}, []string{``, `a="x"`}},
		"a failed sync, and one that works": {func(t *testing.T, m *Memory) {
			must(t, WriteFile(m, "/d/a", []byte("old")))
			f := create(t, m, "/d/a")
			write(t, f, []byte("new"), 0)
			m.FailSync(syscall.EIO)
			if f.Sync() == nil {
				t.Error("the sync did not fail")
			}
			m.FailSync(nil)
			must(t, f.Sync())
		}, []string{`a="new"`, `a="old"`}},
		"written again after a failed sync": {func(t *testing.T, m *Memory) {
			must(t, WriteFile(m, "/d/a", []byte("old")))
			f := create(t, m, "/d/a")
			write(t, f, []byte("bad"), 0)
			m.FailSync(syscall.EIO)
			_ = f.Sync()
			m.FailSync(nil)
			write(t, f, []byte("new"), 0)
			must(t, f.Sync())
		}, []string{`a="new"`}},
	} {
		t.Run(name, func(t *testing.T) {
			got := outcomes(t, recorded(t, func(m *Memory) { test.do(t, m) }))
			if !slices.Equal(got, test.want) {
				t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

// A write is torn at sectors, and what was durable beside it stays.
func TestImagesTearAtSectors(t *testing.T) {
	trace := recorded(t, func(m *Memory) {
		must(t, WriteFile(m, "/d/a", []byte(strings.Repeat("o", 700))))
		write(t, create(t, m, "/d/a"), []byte(strings.Repeat("n", 9000)), 700)
	})
	seen := map[string]bool{}
	for image := range trace.Images(ImageOptions{First: trace.Len(), Random: 200}) {
		text := content(t, image.Disk(), "/d/a")
		if strings.Trim(text[:700], "o") != "" {
			t.Fatalf("%s: what was durable is gone", image)
		}
		pattern := ""
		for at := 700; at < len(text); at = at/sector*sector + sector {
			piece := text[at:min(at/sector*sector+sector, len(text))]
			if strings.Count(piece, piece[:1]) != len(piece) || piece[0] != 'n' && piece[0] != 0 {
				t.Fatalf("%s: a sector is torn, or holds what nobody wrote", image)
			}
			pattern += map[byte]string{'n': "n", 0: "."}[piece[0]]
		}
		seen[pattern] = true
	}
	if len(seen) < 100 || !seen[""] || !seen[strings.Repeat("n", 18)] {
		t.Fatalf("%d patterns", len(seen))
	}
}

func TestImagesComeAgainAndAreApart(t *testing.T) {
	trace := recorded(t, func(m *Memory) {
		for i := range 20 {
			f := create(t, m, fmt.Sprintf("/d/%d", i))
			write(t, f, []byte(strings.Repeat("x", 600*i)), 0)
			if i%3 == 0 {
				must(t, f.Sync())
			}
			if i%5 == 0 {
				must(t, m.SyncDir("/d"))
			}
		}
	})
	list := func() (all []string) {
		for image := range trace.Images(ImageOptions{Seed: 3}) {
			all = append(all, image.String())
		}
		return all
	}
	first := list()
	if again := list(); !slices.Equal(first, again) || len(first) < 1000 {
		t.Fatalf("%d images, then %d", len(first), len(again))
	}
	var before *Memory
	for image := range trace.Images(ImageOptions{First: trace.Len()}) {
		one := image.Disk()
		text := listing(t, one, "/d")
		if before != nil {
			write(t, create(t, before, "/d/0"), []byte("changed"), 0)
			must(t, before.RemoveAll("/d"))
		}
		if listing(t, one, "/d") != text || listing(t, image.Disk(), "/d") != text {
			t.Fatal("a change of one image is seen in another")
		}
		before = one
	}
}

func TestMarksHoldFromThereOn(t *testing.T) {
	m := NewMemory()
	trace := m.Record()
	f := create(t, m, "/a")
	trace.Mark("made")
	write(t, f, []byte("x"), 0)
	trace.Mark("written")
	trace.Mark("written twice")
	trace.Stop()
	write(t, f, []byte("not recorded"), 0)
	want := []any{nil, "made", "written twice"}
	for image := range trace.Images(ImageOptions{}) {
		if image.Mark != want[image.Point] {
			t.Fatalf("%s has mark %v", image, image.Mark)
		}
	}
	if len(trace.Ops()) != 2 || trace.Ops()[1].String() != "write /a 1 bytes at 0" {
		t.Fatalf("operations %v", trace.Ops())
	}
}

// A gate makes one operation hang while others go on, and fails what it is told to.
func TestGate(t *testing.T) {
	m := NewMemory()
	slow, fast := create(t, m, "/slow"), create(t, m, "/fast")
	open, reached := make(chan struct{}), make(chan struct{})
	m.Gate(func(op Op) error {
		switch {
		case op.Kind == OpSync && op.Name == "/slow":
			close(reached)
			<-open
		case op.Kind == OpRead:
			return syscall.EIO
		}
		return nil
	})
	done := make(chan error)
	go func() { done <- slow.Sync() }()
	<-reached
	write(t, fast, []byte("x"), 0)
	must(t, fast.Sync())
	if _, err := fast.ReadAt(make([]byte, 1), 0); !errors.Is(err, syscall.EIO) || !errors.As(err, new(*os.PathError)) {
		t.Fatalf("read: %v", err)
	}
	select {
	case err := <-done:
		t.Fatalf("the sync did not wait: %v", err)
	default:
	}
	close(open)
	must(t, <-done)
}

func TestSpoilIsSeenAtOnceAndStays(t *testing.T) {
	m := NewMemory()
	f := create(t, m, "/a")
	write(t, f, []byte("abc"), 0)
	must(t, m.Spoil("/a", func(p []byte) []byte { p[1] ^= 1; return p }))
	p := make([]byte, 3)
	_, err := f.ReadAt(p, 0)
	must(t, err)
	must(t, m.SyncDir("/"))
	m.Crash()
	if got := content(t, m, "/a"); string(p) != "acc" || got != "acc" {
		t.Fatalf("read %q, after a crash %q", p, got)
	}
}

func TestExport(t *testing.T) {
	m := NewMemory()
	must(t, m.MkdirAll("/d/e"))
	must(t, WriteFile(m, "/d/a", []byte("x")))
	dir := t.TempDir()
	must(t, m.Export(OS, dir))
	if got := content(t, OS, dir+"/d/a"); got != "x" {
		t.Fatal(got)
	}
	if found, err := OS.Stat(dir + "/d/e"); err != nil || !found.Dir {
		t.Fatal(err)
	}
}

func BenchmarkImages(b *testing.B) {
	m := NewMemory()
	trace := m.Record()
	for i := range 30 {
		f := create(b, m, fmt.Sprintf("/%d", i%10))
		write(b, f, make([]byte, 1000), int64(i/10)*1000)
	}
	trace.Stop()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for image := range trace.Images(ImageOptions{}) {
			image.Disk()
			n++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/image")
}
