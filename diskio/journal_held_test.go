package diskio

import (
	"bytes"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/fuzz"
)

// What belongs to a folder whose owner cannot be told stays with the journal, over crashes and
// whatever else is written, until it can. The other files are replayed.
func TestJournalHoldsBackWhatNobodyKnows(t *testing.T) {
	r := newRoom(t)
	r.grow(3)
	r.warm()
	strange := errors.New("no letter can be read")
	r.o.Owns = func(name string, _ [16]byte) (bool, error) {
		if strings.HasPrefix(name, "t-1/") {
			return false, strange
		}
		return true, nil
	}
	for i := range 30 {
		must(t, r.append(r.files[i%3], bytes.Repeat([]byte{byte(i)}, 100+i)))
	}
	want := r.files[1]
	for life := range 3 {
		r.crash(r.fs.Crash)
		held, ok := r.journal.Held()["t-1"]
		if !ok || held.Bytes == 0 || held.Tag != [16]byte{7} || !errors.Is(held.Why, strange) {
			t.Fatalf("life %d: held back is %+v", life, r.journal.Held())
		}
		if got := content(t, r.fs, "/disk/t-1/0.log"); int64(len(got)) >= want.covered || !bytes.HasPrefix(want.want, []byte(got)) {
			t.Fatalf("life %d: it has %d bytes, acknowledged were %d", life, len(got), want.covered)
		}
		r.files = append(r.files[:1:1], r.files[len(r.files)-1])
		r.check("the others")
		for range 200 { // more than the journal has room for
			f, err := r.fs.Open("/disk/"+r.files[0].name, os.O_RDWR)
			must(t, err)
			r.files[0].File = f
			must(t, r.append(r.files[0], make([]byte, 1000)))
		}
	}
	r.o.Owns = nil
	r.crash(r.fs.Crash)
	r.files = []*tail{want}
	r.check("once it can be told")
	if len(r.journal.Held()) > 0 {
		t.Fatalf("still held back: %+v", r.journal.Held())
	}
	if _, err := r.fs.Stat("/disk/journal/" + journalHeld); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("the file of what is held back stays", err)
	}
}

// Held entries survive a loss of power at any moment of the start that holds them back, and
// of the one that brings them to their file.
func TestImagesOfHoldingBack(t *testing.T) {
	r := newRoom(t)
	r.grow(2)
	r.warm()
	for i := range 6 {
		must(t, r.append(r.files[i%2], bytes.Repeat([]byte{byte(1 + i)}, 50)))
	}
	r.fs.Crash()
	want := r.files
	unknown := func(name string, _ [16]byte) (bool, error) {
		if strings.HasPrefix(name, "t-1/") {
			return false, errors.New("unknown")
		}
		return true, nil
	}
	images := 0
	for _, owns := range []func(string, [16]byte) (bool, error){unknown, nil} {
		trace := r.fs.Record()
		o := r.o
		o.Owns = owns
		_, err := OpenJournal(o)
		must(t, err)
		trace.Stop()
		for image := range trace.Images(ImageOptions{Random: 2}) {
			images++
			again := &room{t: t, fs: image.Disk(), o: r.o, lines: r.lines, files: want}
			again.o.FS, again.o.Owns = again.fs, nil
			_, err := OpenJournal(again.o)
			must(t, err)
			again.check(image.String())
		}
	}
	if images < 50 {
		t.Fatalf("%d images", images)
	}
}

// A sync that nobody waits for stops the disk at once all the same.
func TestACheckpointThatFailsIsTold(t *testing.T) {
	r := newRoom(t)
	r.grow(1)
	r.syncer.Close()
	r.o.Age = time.Millisecond
	j, err := OpenJournal(r.o)
	must(t, err)
	told := make(chan error, 2)
	r.journal, r.syncer = j, NewSyncer(SyncerOptions{Journal: j, Stopped: func(err error) { told <- err }})
	broken := errors.New("broken")
	r.warm() // from here on the file owes a sync, or has just had one
	r.fs.Gate(func(op Op) error {
		if op.Kind == OpSync && strings.HasSuffix(op.Name, "/0.log") {
			return broken
		}
		return nil
	})
	_ = r.append(r.files[0], []byte("to the journal")) // which may be told of it already
	if err := <-told; !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if err := r.syncer.Err(); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	r.syncer.Close()
	if len(told) > 0 {
		t.Fatal("it is told twice")
	}
}

// InspectJournal says what a start would find, and changes nothing.
func TestInspectJournal(t *testing.T) {
	r := newRoom(t)
	r.grow(3)
	r.warm()
	for i := range 30 {
		must(t, r.append(r.files[i%3], bytes.Repeat([]byte{byte(i)}, 100)))
	}
	r.fs.Crash()
	trace := r.fs.Record()
	report, err := InspectJournal(r.fs, "/disk")
	must(t, err)
	trace.Stop()
	if n := len(trace.Ops()); n > 0 {
		t.Errorf("%d operations changed the disk: %v", n, trace.Ops())
	}
	if len(report.Damage) > 0 || len(report.Pending) != 3 || len(report.Files) == 0 {
		t.Fatalf("%+v", report)
	}
	for i, rest := range report.Pending {
		if rest.Name != r.files[i].name || rest.End != r.files[i].covered || rest.Bytes < 100 || rest.Tag != [16]byte{7} {
			t.Errorf("%+v, acknowledged were %d bytes of %s", rest, r.files[i].covered, r.files[i].name)
		}
	}
	used := slices.MaxFunc(report.Files, func(a, b JournalFile) int { return a.Blocks - b.Blocks }).Path // another may be begun already
	for name, harm := range map[string]func([]byte) []byte{
		"a block":  func(p []byte) []byte { p[2*journalPage+60] ^= 1; return p },
		"the head": func(p []byte) []byte { p[35] ^= 1; return p },
		"cut":      func(p []byte) []byte { return p[:3*journalPage] },
	} {
		spoilt := r.fs.Record()
		spoilt.Stop()
		for image := range spoilt.Images(ImageOptions{}) {
			disk := image.Disk()
			must(t, disk.Spoil(used, harm))
			again, err := InspectJournal(disk, "/disk")
			must(t, err)
			if len(again.Damage) == 0 || again.Damage[0].File != used || again.Damage[0].String() == "" {
				t.Errorf("%s: %+v", name, again.Damage)
			}
		}
	}
	none, err := InspectJournal(NewMemory(), "/nowhere")
	if err != nil || len(none.Files)+len(none.Damage)+len(none.Pending) > 0 {
		t.Errorf("no journal: %+v, %v", none, err)
	}
}

// Whatever lies in the journal's folder, reading it ends, changes nothing, and says what is
// wrong; and a start takes nothing from it that has no checksum.
func FuzzInspectJournal(f *testing.F) {
	f.Add([]byte(fileMagic), []byte(blockMagic))
	f.Add(make([]byte, 2*journalPage), make([]byte, journalPage))
	golden, err := os.ReadFile("testdata/golden.journal")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden, golden[journalPage:])
	fuzz.Run(f, func(t *testing.T, journal, held []byte) {
		m := NewMemory()
		must(t, m.MkdirAll("/disk/journal"))
		must(t, WriteFile(m, "/disk/journal/0.journal", journal))
		must(t, WriteFile(m, "/disk/journal/"+journalHeld, held))
		trace := m.Record()
		report, err := InspectJournal(m, "/disk")
		trace.Stop()
		must(t, err)
		if n := len(trace.Ops()); n > 0 {
			t.Fatalf("%d operations changed the disk", n)
		}
		if len(held) > 0 && len(report.Held) == 0 && len(report.Damage) == 0 {
			t.Fatal("nothing is said of what is held")
		}
	})
}

// Whatever stands in two files of a journal, the start goes on: it writes nothing behind a hole, nothing where no
// entry is for, and a second start finds nothing left to do. Checksums of blocks are made right, which no fuzzer can.
func FuzzReplayJournal(f *testing.F) {
	golden := goldenJournal()
	had := bytes.Repeat([]byte("had"), 2000)
	f.Add(golden, golden, had, true)
	f.Add(golden, []byte{}, had[:100], false)
	f.Add(slices.Concat(golden, golden[journalPage:]), golden[:journalPage+30], had, true)
	fuzz.Run(f, func(t *testing.T, one, two, had []byte, known bool) {
		const name = "/disk/topic-0/00000000000000000000.log"
		m := NewMemory()
		must(t, m.MkdirAll("/disk/topic-0"))
		must(t, m.MkdirAll("/disk/journal"))
		must(t, WriteFile(m, name, had))
		must(t, WriteFile(m, "/disk/journal/0.journal", sealed(one)))
		must(t, WriteFile(m, "/disk/journal/1.journal", sealed(two)))
		if h, _, err := decodeHead(golden); known && err == nil {
			must(t, WriteFile(m, "/disk/journal/"+journalID, []byte(hex.EncodeToString(h.id[:]))))
		}
		o := JournalOptions{FS: m, Folder: "/disk", Log: slog.New(slog.DiscardHandler)}
		j, err := OpenJournal(o)
		must(t, err)
		must(t, j.close(false))
		after, err := ReadFile(m, name)
		must(t, err)
		if len(after) < len(had) || len(after) > len(had)+len(one)+len(two) {
			t.Fatalf("%d bytes became %d", len(had), len(after))
		}
		j, err = OpenJournal(o)
		must(t, err)
		again, err := ReadFile(m, name)
		must(t, err)
		if n := j.Stats().Replayed; n > 0 || !bytes.Equal(again, after) {
			t.Fatalf("%d entries are left for a second start", n)
		}
		must(t, j.close(false))
	})
}

// sealed makes the checksums of the blocks at the beginnings of pages right.
func sealed(p []byte) []byte {
	p = slices.Clone(p)
	for at := journalPage; at < len(p); at += journalPage {
		if b, err := decodeBlockHead(p[at:]); err == nil && b.length >= blockHeadSize && b.length <= len(p)-at {
			b.seal(p[at : at+b.length])
		}
	}
	return p
}
