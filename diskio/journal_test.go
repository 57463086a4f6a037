package diskio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// room is a disk with a journal and files of which a test knows what was acknowledged.
type room struct {
	t       *testing.T
	fs      *Memory
	o       JournalOptions
	lines   *bytes.Buffer
	journal *Journal
	syncer  *Syncer
	files   []*tail
}

// tail is a file that grows.
type tail struct {
	File
	name    string
	want    []byte
	covered int64 // acknowledged
}

const testJournal = 4 * 16 * journalPage // four files of 64 KiB

func newRoom(t *testing.T) *room {
	lines := new(bytes.Buffer)
	r := &room{t: t, fs: NewMemory(), lines: lines, o: JournalOptions{
		Folder: "/disk", Bytes: testJournal, Warmup: 1, Age: time.Hour, Now: func() time.Time { return time.Time{} }, Log: slog.New(slog.NewTextHandler(lines, nil)),
	}}
	r.o.FS = r.fs
	must(t, r.fs.MkdirAll("/disk"))
	r.open()
	return r
}

func (r *room) open() {
	r.t.Helper()
	j, err := OpenJournal(r.o)
	must(r.t, err)
	r.journal = j
	r.syncer = NewSyncer(SyncerOptions{Journal: j})
}

// grow opens so many files in as many folders.
func (r *room) grow(n int) {
	for i := range n {
		folder := fmt.Sprintf("/disk/t-%d", i)
		must(r.t, r.fs.MkdirAll(folder))
		f, err := r.fs.Open(folder+"/0.log", os.O_RDWR|os.O_CREATE)
		must(r.t, err)
		must(r.t, r.fs.SyncDir(folder))
		r.files = append(r.files, &tail{File: f, name: fmt.Sprintf("t-%d/0.log", i)})
	}
}

// append writes to a file and waits until that is durable.
func (r *room) append(f *tail, p []byte) error {
	if _, err := f.WriteAt(p, int64(len(f.want))); err != nil {
		return err
	}
	f.want = append(f.want, p...)
	if err := <-r.ask(f); err != nil {
		return err
	}
	f.covered = int64(len(f.want))
	return nil
}

func (r *room) ask(f *tail) chan error {
	done := make(chan error, 1)
	r.syncer.Sync(&Request{File: f.File, Name: f.name, Tag: [16]byte{7}, From: f.covered, To: int64(len(f.want)),
		Done: func(_ *Request, err error) { done <- err }})
	return done
}

// warm appends until the journal works.
func (r *room) warm() {
	r.t.Helper()
	for range 100_000 {
		must(r.t, r.append(r.files[0], []byte("warm")))
		if r.journal.Stats().Rounds > 0 {
			return
		}
		runtime.Gosched()
	}
	r.t.Fatal("the journal is never used")
}

// crash ends the run, cuts the power by cut, and opens what is left.
func (r *room) crash(cut func()) {
	r.t.Helper()
	cut()
	r.syncer.Close()
	r.o.Clean = false
	r.open()
}

// check compares every file with what was acknowledged. More may be there, but nothing that
// was never written.
func (r *room) check(what string) {
	r.t.Helper()
	for _, f := range r.files {
		got := []byte(content(r.t, r.fs, "/disk/"+f.name))
		if int64(len(got)) < f.covered || !bytes.Equal(got[:f.covered], f.want[:f.covered]) {
			r.t.Fatalf("%s: %s has %d bytes, acknowledged were %d, and they differ\n%s", what, f.name, len(got), f.covered, r.lines)
		}
	}
}

func TestJournalBringsBackWhatWasAcknowledged(t *testing.T) {
	r := newRoom(t)
	r.grow(20)
	r.warm()
	for i := range 100 {
		must(t, r.append(r.files[i%20], bytes.Repeat([]byte{byte(i)}, 100+i)))
	}
	if s := r.journal.Stats(); s.Rounds < 50 {
		t.Fatalf("%d rounds of the journal: %+v", s.Rounds, s)
	}
	r.crash(r.fs.Crash)
	r.check("after a crash")
	if s := r.journal.Stats(); s.Replayed == 0 {
		t.Fatal("nothing was replayed")
	}
	r.crash(r.fs.Crash)
	r.check("after another")
	if s := r.journal.Stats(); s.Replayed != 0 {
		t.Fatalf("%d ranges were replayed again", s.Replayed)
	}
}

func TestJournalIsEmptyAfterAStop(t *testing.T) {
	r := newRoom(t)
	r.grow(3)
	r.warm()
	for _, f := range r.files {
		must(t, r.append(f, []byte("last words")))
	}
	r.syncer.Close()
	r.fs.Crash()
	for _, clean := range []bool{true, false} {
		r.o.Clean = clean
		r.open()
		if s := r.journal.Stats(); s.Replayed != 0 {
			t.Fatalf("%d ranges were replayed after a stop", s.Replayed)
		}
		r.check("after a stop")
		r.syncer.Close()
	}
	if r.lines.Len() > 0 {
		t.Fatal(r.lines)
	}
}

// The journal goes on where it was, run after run.
func TestJournalGoesOnAfterStops(t *testing.T) {
	r := newRoom(t)
	r.grow(3)
	for range 10 {
		for _, f := range r.files {
			g, err := r.fs.Open("/disk/"+f.name, os.O_RDWR)
			must(t, err)
			f.File = g
		}
		r.warm()
		for i := range 30 {
			must(t, r.append(r.files[i%3], bytes.Repeat([]byte{byte(i)}, 1000)))
		}
		r.syncer.Close()
		r.o.Clean = true
		r.open()
	}
	r.crash(r.fs.Crash)
	r.check("in the end")
	if r.lines.Len() > 0 {
		t.Fatal(r.lines)
	}
}

// load appends to all files, some at the same time, until the disk halts or it has done
// enough to use every file of the journal many times.
func (r *room) load(rounds int, random *rand.Rand) error {
	for i := range rounds {
		some := r.files[random.IntN(len(r.files)):]
		var answers []chan error
		for _, f := range some {
			p := make([]byte, 1+random.IntN(3000))
			for k := range p {
				p[k] = byte(i + k)
			}
			if _, err := f.WriteAt(p, int64(len(f.want))); err != nil {
				return err
			}
			f.want = append(f.want, p...)
			answers = append(answers, r.ask(f))
		}
		var wrong error
		for k, answer := range answers {
			if err := <-answer; err != nil {
				wrong = err
			} else {
				some[k].covered = int64(len(some[k].want))
			}
		}
		if wrong != nil {
			return wrong
		}
	}
	return nil
}

// Halt the disk after every operation, lose or tear what was not synced, and look.
func TestJournalSurvivesACrashAtEveryOperation(t *testing.T) {
	const rounds = 40
	count := func() int64 {
		r := newRoom(t)
		r.grow(4)
		r.warm()
		must(t, r.load(rounds, rand.New(rand.NewPCG(1, 2))))
		r.syncer.Close()
		if s := r.journal.Stats(); s.Recycled < 2 || s.Checkpoints == 0 {
			t.Fatalf("the journal was not used enough: %+v", s)
		}
		c := r.fs.Counts()
		return int64(c.Writes + c.Syncs + c.SyncDirs)
	}()
	step := int64(1)
	if testing.Short() || raceEnabled {
		step = 7
	}
	for k := int64(0); k < count; k += step {
		for _, seed := range []uint64{0, 1, 2} {
			r := newRoom(t)
			r.grow(4)
			r.warm()
			r.fs.HaltAfter(k)
			err := r.load(rounds, rand.New(rand.NewPCG(1, 2)))
			if err != nil && !errors.Is(err, ErrHalted) {
				t.Fatal(err)
			}
			r.crash(func() {
				if seed == 0 {
					r.fs.Crash()
				} else {
					r.fs.Tear(seed + uint64(k))
				}
			})
			r.check(fmt.Sprintf("halt after %d operations, seed %d", k, seed))
			if strings.Contains(r.lines.String(), "damaged: ") {
				t.Fatalf("halt after %d, seed %d: a crash is taken for damage\n%s", k, seed, r.lines)
			}
			r.syncer.Close()
		}
	}
}

// A crash while the journal is replayed: it is replayed again.
func TestJournalSurvivesACrashWhileItIsReplayed(t *testing.T) {
	for k := int64(0); ; k++ {
		r := newRoom(t)
		r.grow(4)
		r.warm()
		must(t, r.load(20, rand.New(rand.NewPCG(3, 4))))
		r.fs.Crash()
		r.syncer.Close()
		r.fs.HaltAfter(k)
		j, err := OpenJournal(r.o)
		if err == nil {
			NewSyncer(SyncerOptions{Journal: j}).Close()
			r.check("replayed at once")
			if k < 5 {
				t.Fatalf("replaying changed the disk %d times", k)
			}
			return
		}
		r.crash(func() { r.fs.Tear(uint64(k)) })
		r.check(fmt.Sprintf("after %d operations of a replay", k))
		r.syncer.Close()
	}
}

// A file with much data is synced itself, and the journal goes on behind it.
func TestMuchDataGoesToTheFile(t *testing.T) {
	r := newRoom(t)
	r.o.Bytes = 64 << 20
	r.syncer.Close()
	r.open()
	r.grow(1)
	r.warm()
	before := r.journal.Stats()
	must(t, r.append(r.files[0], make([]byte, 2<<20)))
	must(t, r.append(r.files[0], []byte("small")))
	after := r.journal.Stats()
	if after.FileSyncs != before.FileSyncs+1 || after.Rounds != before.Rounds+1 {
		t.Fatalf("before %+v, after %+v", before, after)
	}
	r.crash(r.fs.Crash)
	r.check("after a crash")
}

// What was deleted, or belongs to somebody else now, stays as it is.
func TestJournalLeavesOthersAlone(t *testing.T) {
	r := newRoom(t)
	r.grow(3)
	r.warm()
	for _, f := range r.files {
		must(t, r.append(f, []byte("old topic")))
	}
	must(t, r.fs.RemoveAll("/disk/t-1"))
	must(t, r.fs.RemoveAll("/disk/t-2"))
	must(t, r.fs.SyncDir("/disk"))
	must(t, r.fs.MkdirAll("/disk/t-2"))
	must(t, WriteFile(r.fs, "/disk/t-2/0.log", nil))
	r.o.Owns = func(name string, tag [16]byte) (bool, error) {
		return !strings.HasPrefix(name, "t-2/") && tag == [16]byte{7}, nil
	}
	r.crash(r.fs.Crash)
	if _, err := r.fs.Stat("/disk/t-1/0.log"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a deleted file came back: %v", err)
	}
	if got := content(t, r.fs, "/disk/t-2/0.log"); len(got) > 0 {
		t.Fatalf("a new topic has bytes of an old one: %q", got)
	}
	r.files = r.files[:1]
	r.check("after a crash")
}

func (r *room) forget(f *tail) {
	r.t.Helper()
	done := make(chan error, 1)
	r.syncer.Sync(&Request{Name: f.name, Tag: [16]byte{7}, Forget: true, Done: func(_ *Request, err error) { done <- err }})
	must(r.t, <-done)
}

// What was cut does not come back, and what came after is replayed.
func TestJournalForgets(t *testing.T) {
	for _, more := range []bool{false, true} {
		r := newRoom(t)
		r.grow(2)
		r.warm()
		f := r.files[1]
		must(t, r.append(f, []byte("keep, and cut this")))
		must(t, f.Sync())
		r.forget(f)
		must(t, f.Truncate(4))
		must(t, f.Sync())
		f.want, f.covered = f.want[:4:4], 4
		if more {
			must(t, r.append(f, []byte(" more")))
		}
		r.crash(r.fs.Crash)
		r.check("after a crash")
		if got := content(t, r.fs, "/disk/"+f.name); got != string(f.want) {
			t.Fatalf("%q, want %q", got, f.want)
		}
	}
	s := NewSyncer(SyncerOptions{})
	defer s.Close()
	done := make(chan error, 1)
	s.Sync(&Request{Name: "t-0/0.log", Forget: true, Done: func(_ *Request, err error) { done <- err }})
	must(t, <-done) // without a journal there is nothing to forget
}

// A topic that was deleted may have its file forgotten late, when another topic has the name
// already: what the journal has of that one stays.
func TestJournalForgetsOnlyWhatBelongsToTheSame(t *testing.T) {
	r := newRoom(t)
	r.grow(2)
	r.warm()
	must(t, r.append(r.files[1], []byte("of the new topic")))
	done := make(chan error, 1)
	r.syncer.Sync(&Request{Name: r.files[1].name, Tag: [16]byte{6}, Forget: true, Done: func(_ *Request, err error) { done <- err }})
	must(t, <-done)
	report, err := InspectJournal(r.fs, "/disk")
	must(t, err)
	if len(report.Pending) != 2 || report.Pending[1].Name != r.files[1].name {
		t.Errorf("pending is %+v", report.Pending)
	}
	r.crash(r.fs.Crash)
	r.check("after a crash")
}

func TestFailureOfTheJournalStopsTheDisk(t *testing.T) {
	for name, fail := range map[string]func(*Memory){
		"sync":  func(m *Memory) { m.FailSync(syscall.EIO) },
		"write": func(m *Memory) { m.FailWrite(syscall.EIO) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			r.grow(2)
			r.warm()
			f := r.files[1]
			_, err := f.WriteAt([]byte("lost"), 0)
			must(t, err)
			f.want = []byte("lost")
			fail(r.fs)
			if err := <-r.ask(f); !errors.Is(err, syscall.EIO) {
				t.Fatal(err)
			}
			r.fs.FailSync(nil)
			r.fs.FailWrite(nil)
			syncs := r.fs.Counts().Syncs
			if err := <-r.ask(r.files[0]); !errors.Is(err, syscall.EIO) || !errors.Is(r.syncer.Err(), syscall.EIO) {
				t.Fatalf("after a failure: %v", err)
			}
			r.syncer.Close()
			if r.fs.Counts().Syncs != syncs {
				t.Fatal("a disk that was stopped is synced")
			}
		})
	}
}

// A full disk gets no journal, and works.
func TestNoJournalOnAFullDisk(t *testing.T) {
	r := newRoom(t)
	r.grow(1)
	r.fs.SetSpace(testJournal)
	for range 100 {
		must(t, r.append(r.files[0], []byte("x")))
	}
	r.syncer.Close()
	if s := r.journal.Stats(); s.Rounds > 0 {
		t.Fatalf("%+v", s)
	}
}

// A file that was closed before it was synced keeps what the journal has of it.
func TestClosedFileKeepsItsJournal(t *testing.T) {
	r := newRoom(t)
	r.grow(2)
	r.warm()
	must(t, r.append(r.files[1], []byte("closed too early")))
	must(t, r.files[1].Close())
	r.syncer.Close()
	must(t, r.syncer.Err())
	r.fs.Crash()
	r.open()
	r.check("after a stop")
}

func TestJournalOfAnotherSizeIsMadeAnew(t *testing.T) {
	for _, size := range []int64{0, testJournal * 2} {
		r := newRoom(t)
		r.grow(2)
		r.warm()
		must(t, r.append(r.files[1], []byte("from the old one")))
		r.o.Bytes = size
		r.crash(r.fs.Crash)
		r.check("after a crash")
		names, err := r.fs.ReadDir("/disk/journal")
		must(t, err)
		if !slices.Equal(names, []string{journalID}) {
			t.Fatalf("%d bytes: left is %q", size, names)
		}
		r.files = nil
		r.grow(3) // and the disk goes on, with a journal of the new size or without any
		for range 50 {
			must(t, r.append(r.files[2], []byte("for the new one")))
			runtime.Gosched()
		}
		r.syncer.Close()
		must(t, r.syncer.Err())
	}
}

// Files owe their sync for a while only.
func TestCheckpointComesWithAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		r.syncer.Close()
		r.o.Age = 10 * time.Second
		r.open()
		r.grow(5)
		r.warm()
		for _, f := range r.files {
			must(t, r.append(f, []byte("owing")))
		}
		if n := r.journal.Stats().Owing; n != 5 {
			t.Fatalf("%d files owe a sync, want 5", n)
		}
		time.Sleep(11 * time.Second) //nolint:forbidigo // of a bubble's clock
		synctest.Wait()
		if n := r.journal.Stats().Owing; n != 0 {
			t.Fatalf("%d files owe a sync after a while", n)
		}
		r.syncer.Close()
	})
}

// flip damages a file on the disk for good.
func (r *room) flip(name string, at int64, bits byte) {
	r.t.Helper()
	f, err := r.fs.Open(name, os.O_RDWR)
	must(r.t, err)
	var p [1]byte
	if _, err := f.ReadAt(p[:], at); err != nil && !errors.Is(err, io.EOF) {
		r.t.Fatal(err)
	}
	p[0] ^= bits
	_, err = f.WriteAt(p[:], at)
	must(r.t, err)
	must(r.t, f.Sync())
	must(r.t, f.Close())
}

// harmID changes one decimal digit of the journal's id on the disk for good.
func (r *room) harmID(harm func(digit byte) byte) {
	r.t.Helper()
	text := []byte(content(r.t, r.fs, "/disk/journal/id"))
	at := bytes.IndexAny(text, "0123456789")
	text[at] = harm(text[at])
	must(r.t, WriteFile(r.fs, "/disk/journal/id", text))
}

// Damage is told with file and position, and the rest is replayed.
func TestDamagedJournalIsReported(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(r *room)
		says   string
		lost   bool // the file with the damaged block misses bytes
	}{
		"a bit of a block": {func(r *room) { r.flip("/disk/journal/0.journal", 2*journalPage+100, 4) }, "position=8192", true},
		"a zeroed head of a block": {func(r *room) {
			f, _ := r.fs.Open("/disk/journal/0.journal", os.O_RDWR)
			f.WriteAt(make([]byte, journalPage), 2*journalPage) //nolint:errcheck // a disk in memory
			must(r.t, f.Sync())
		}, "position=8192", true},
		"a bit of the header": {func(r *room) { r.flip("/disk/journal/0.journal", 33, 1) }, "damaged header", false},
		"no id":               {func(r *room) { must(r.t, r.fs.Remove("/disk/journal/id")) }, "id cannot be read", false},
		"a bit of the id":     {func(r *room) { r.harmID(func(digit byte) byte { return digit ^ 1 }) }, "id is nearly that of its files", false},
		"a digit of the id":   {func(r *room) { r.harmID(func(byte) byte { return 'f' }) }, "id is nearly that of its files", false},
		"no digit in the id":  {func(r *room) { r.harmID(func(digit byte) byte { return digit ^ 0x80 }) }, "id cannot be read", false},
		"cut short": {func(r *room) {
			f, _ := r.fs.Open("/disk/journal/0.journal", os.O_RDWR)
			must(r.t, errors.Join(f.Truncate(5*journalPage), f.Sync()))
		}, "the file ends there", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			r.grow(8)
			r.warm()
			for _, f := range r.files[1:] { // one page each
				must(t, r.append(f, []byte("one page of the journal")))
			}
			r.fs.Crash()
			r.syncer.Close()
			test.damage(r)
			r.open()
			if !strings.Contains(r.lines.String(), test.says) {
				t.Fatalf("the log says %q, want %q", r.lines, test.says)
			}
			whole := 0
			for _, f := range r.files[1:] {
				if content(t, r.fs, "/disk/"+f.name) == string(f.want) {
					whole++
				}
			}
			if want := 7; whole < want && !test.lost || test.lost && whole >= want {
				t.Fatalf("%d of 7 files are whole", whole)
			}
			if name != "cut short" && whole < 6 {
				t.Fatalf("%d of 7 files are whole", whole)
			}
		})
	}
}

// A file that is missing is told, when one behind it is there.
func TestMissingFileOfTheJournalIsReported(t *testing.T) {
	r := newRoom(t)
	r.grow(4)
	r.warm()
	g := &gate{r.files[1].File, make(chan struct{}), make(chan struct{})}
	r.files[1].File = g
	must(t, r.append(r.files[1], []byte("owed all the time")))
	for r.journal.Stats().Rounds < 16 { // a file has room for eleven or twelve
		must(t, r.append(r.files[0], make([]byte, 1000)))
		runtime.Gosched()
	}
	go func() {
		for range g.begun {
			g.proceed <- struct{}{}
		}
	}()
	r.fs.Crash()
	r.syncer.Close()
	j := newJournal(r.o)
	must(t, j.find())
	live, err := j.survey()
	must(t, err)
	if len(live) != 2 {
		t.Fatalf("%d files are needed, want 2", len(live))
	}
	must(t, errors.Join(r.fs.Remove(live[0].path), r.fs.SyncDir("/disk/journal")))
	r.open()
	if !strings.Contains(r.lines.String(), "are missing") {
		t.Fatalf("the log says %q", r.lines)
	}
}

// Where one of several files is gone, the next that is made takes the place of none of those
// that are there.
func TestMissingFileOfTheJournalIsMadeAgain(t *testing.T) {
	r := newRoom(t)
	r.grow(4)
	r.warm()
	for n := 0; n < 4; { // until all files are made
		must(t, r.load(40, rand.New(rand.NewPCG(1, 2))))
		names, err := r.fs.ReadDir("/disk/journal")
		must(t, err)
		n = len(names) - 1
	}
	r.syncer.Close()
	must(t, errors.Join(r.fs.Remove("/disk/journal/1.journal"), r.fs.SyncDir("/disk/journal")))
	for i, f := range r.files {
		g, err := r.fs.Open("/disk/"+f.name, os.O_RDWR)
		must(t, err)
		r.files[i].File = g
	}
	r.open()
	for i := 0; ; i++ {
		if _, err := r.fs.Stat("/disk/journal/1.journal"); err == nil {
			break
		}
		if i == 1000 {
			t.Fatal("it is not made again")
		}
		must(t, r.load(10, rand.New(rand.NewPCG(uint64(i), 3))))
	}
	for i := range 100 {
		must(t, r.append(r.files[i%4], bytes.Repeat([]byte{byte(i)}, 900)))
	}
	r.crash(r.fs.Crash)
	r.check("after a crash")
}

// An id that was damaged is written anew: the next start has nothing to say of it.
func TestDamagedIDOfTheJournalIsWrittenAnew(t *testing.T) {
	for name, damage := range map[string]func(r *room){
		"no id":              func(r *room) { must(r.t, r.fs.Remove("/disk/journal/id")) },
		"no digit in the id": func(r *room) { r.harmID(func(digit byte) byte { return digit ^ 0x80 }) },
		"a bit of the id":    func(r *room) { r.harmID(func(digit byte) byte { return digit ^ 1 }) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			r.grow(2)
			r.warm()
			must(t, r.append(r.files[1], []byte("acknowledged")))
			r.fs.Crash()
			r.syncer.Close()
			was := content(t, r.fs, "/disk/journal/id")
			damage(r)
			report, err := InspectJournal(r.fs, "/disk")
			must(t, err)
			if len(report.Damage) != 1 || len(report.Files) == 0 || report.Files[0].Epoch == 0 {
				t.Errorf("the report is %+v", report)
			}
			if _, err := r.fs.Stat("/disk/journal/id"); err == nil && content(t, r.fs, "/disk/journal/id") == was {
				t.Fatal("who only looks has written the id")
			}
			disk := r.fs.Clone()

			r.open()
			if n := strings.Count(r.lines.String(), "wrote the journal's id anew"); n != 1 {
				t.Errorf("the log says it %d times: %q", n, r.lines)
			}
			r.syncer.Close()
			r.fs.Crash()
			if got := content(t, r.fs, "/disk/journal/id"); got != was {
				t.Fatalf("the id is %q, it was %q", got, was)
			}
			r.lines.Reset()
			r.open()
			if r.lines.Len() > 0 {
				t.Errorf("the second start says %q", r.lines)
			}
			r.check("after a second start")
			r.syncer.Close()

			// A full disk keeps nobody from starting: the id is the next start's.
			disk.Gate(func(op Op) error {
				if op.Kind == OpCreate {
					return syscall.ENOSPC
				}
				return nil
			})
			r.fs, r.o.FS = disk, disk
			r.open()
			if !strings.Contains(r.lines.String(), "the next start tries again") {
				t.Errorf("on a full disk the log says %q", r.lines)
			}
			r.check("on a full disk")
			r.syncer.Close()
		})
	}
}

// stranger is a file of another disk's journal, with a block for t-1/0.log.
func stranger(t *testing.T) []byte {
	a := newRoom(t)
	a.grow(2)
	a.warm()
	must(t, a.append(a.files[1], []byte("of another disk")))
	disk := a.fs.Clone() // before the stop syncs the files, and ends what stands in the journal
	a.syncer.Close()
	disk.Crash()
	return []byte(content(t, disk, "/disk/journal/0.journal"))
}

// What another disk's journal has is never replayed, whatever the id file says: an id that is quite
// another is no damage, and headers that disagree do not say what the id was.
func TestStrangersAreNotReplayed(t *testing.T) {
	for name, test := range map[string]struct {
		file   string // that the stranger takes
		damage func(r *room)
	}{
		"alone":                     {"0.journal", func(*room) {}},
		"alone, and a bit of ours":  {"0.journal", func(r *room) { r.harmID(func(digit byte) byte { return digit ^ 1 }) }},
		"beside":                    {"3.journal", func(*room) {}},
		"beside, and a bit of ours": {"3.journal", func(r *room) { r.harmID(func(digit byte) byte { return digit ^ 1 }) }},
		"before, and a bit of ours": {"-1.journal", func(r *room) { r.harmID(func(digit byte) byte { return digit ^ 1 }) }},
	} {
		t.Run(name, func(t *testing.T) {
			foreign := stranger(t)
			r := newRoom(t)
			r.grow(2)
			r.warm()
			r.syncer.Close()
			r.fs.Crash()
			must(t, WriteFile(r.fs, "/disk/journal/"+test.file, foreign))
			test.damage(r)
			id := content(t, r.fs, "/disk/journal/id")
			r.open()
			if got := content(t, r.fs, "/disk/t-1/0.log"); len(got) > 0 {
				t.Fatalf("replayed %q of another disk", got)
			}
			if !strings.Contains(r.lines.String(), "another journal's") {
				t.Fatalf("the log says %q", r.lines)
			}
			if got := content(t, r.fs, "/disk/journal/id"); got != id {
				t.Fatalf("the id is %q now, it was %q", got, id)
			}
			r.syncer.Close()
		})
	}
}

// A file of another journal, or of an earlier use, is never replayed.
func TestForeignAndStaleBlocksAreNotReplayed(t *testing.T) {
	a := newRoom(t)
	a.grow(2)
	a.warm()
	must(t, a.append(a.files[1], []byte("of another disk")))
	a.syncer.Close()
	a.fs.Crash()
	foreign := content(t, a.fs, "/disk/journal/0.journal")

	b := newRoom(t)
	b.grow(2)
	b.warm()
	b.syncer.Close()
	b.fs.Crash()
	stale := content(t, b.fs, "/disk/journal/0.journal")
	must(t, WriteFile(b.fs, "/disk/journal/3.journal", []byte(foreign)))
	b.open()
	if got := content(t, b.fs, "/disk/t-1/0.log"); len(got) > 0 {
		t.Fatalf("replayed %q of another disk", got)
	}
	if !strings.Contains(b.lines.String(), "another journal's") {
		t.Fatalf("the log says %q", b.lines)
	}
	if head, _, err := decodeHead([]byte(stale)); err != nil || head.epoch == 0 {
		t.Fatal(err)
	}
}

func TestJournalRoundAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	// On files of the system: the disk in memory keeps a record of what a crash may undo.
	folder := t.TempDir()
	// With a clock that stands nobody learns that the journal is slow today, and leaves it.
	began := time.Now()
	r := &room{t: t, o: JournalOptions{FS: OS, Folder: folder, Bytes: 64 << 20, Warmup: 1, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return began }}}
	r.open()
	must(t, os.Mkdir(filepath.Join(folder, "t-0"), 0o755))
	f := &tail{File: create(t, OS, filepath.Join(folder, "t-0", "0.log")), name: "t-0/0.log"}
	r.files = append(r.files, f)
	r.warm()
	done := make(chan struct{})
	q := &Request{File: f.File, Name: f.name, From: 0, To: 4, Done: func(*Request, error) { done <- struct{}{} }}
	if n := testing.AllocsPerRun(300, func() { r.syncer.Sync(q); <-done }); n != 0 {
		t.Fatalf("%v allocations, want 0", n)
	}
	if s := r.journal.Stats(); s.Rounds < 100 {
		t.Fatalf("%+v", s)
	}
	r.syncer.Close()
}

// gate is a file whose sync waits to be let through.
type gate struct {
	File
	begun   chan struct{}
	proceed chan struct{}
}

func (g *gate) Sync() error {
	g.begun <- struct{}{}
	<-g.proceed
	return g.File.Sync()
}

// What comes into the journal while the file is synced is owed still: the sync may have
// begun before.
func TestSyncSettlesOnlyWhatWasThereWhenItBegan(t *testing.T) {
	r := newRoom(t)
	r.grow(2)
	r.warm()
	f := r.files[1]
	g := &gate{f.File, make(chan struct{}), make(chan struct{})}
	f.File = g
	must(t, r.append(f, []byte("before")))
	r.journal.timer.Reset(0)
	<-g.begun
	must(t, r.append(f, []byte(" and meanwhile")))
	g.proceed <- struct{}{}
	for r.journal.Stats().Checkpoints < 2 { // this file's, and the other's
		runtime.Gosched()
	}
	must(t, r.append(r.files[0], []byte("the dispatcher has gone on")))
	if n := r.journal.Stats().Owing; n != 2 {
		t.Fatalf("%d files owe a sync, want both", n)
	}
	go func() { <-g.begun; g.proceed <- struct{}{} }()
	r.syncer.Close()
	r.fs.Crash()
	r.open()
	r.check("after a stop")
}

// A journal that is full goes on as soon as no file owes a sync: what a file got while its sync was
// under way is asked for again at once. Who must have the journal, to have it forget, waits for it.
func TestAFullJournalWaitsForSyncsAndNotForTheirAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		r.syncer.Close()
		r.o.Bytes, r.o.Files = testJournal/4, 1
		r.open()
		defer func() { r.syncer.Close() }()
		r.grow(2)
		r.warm()
		f := r.files[1]
		g := &gate{f.File, make(chan struct{}), make(chan struct{})}
		f.File = g
		must(t, r.append(f, []byte("before")))
		r.journal.timer.Reset(0)
		<-g.begun
		must(t, r.append(f, []byte(" and meanwhile")))
		for before := uint64(0); r.journal.Stats().Rounds != before; { // until it is full
			before = r.journal.Stats().Rounds
			must(t, r.append(r.files[0], []byte("more")))
		}
		began := time.Now()
		done := make(chan error, 1)
		r.syncer.Sync(&Request{Name: "t-9/0.log", Forget: true, Done: func(_ *Request, err error) { done <- err }})
		synctest.Wait()
		if len(done) > 0 {
			t.Fatal("the journal is not full: the test shows nothing")
		}
		g.proceed <- struct{}{}
		go func() { <-g.begun; g.proceed <- struct{}{} }()
		must(t, <-done)
		if waited := time.Since(began); waited > 0 {
			t.Errorf("waited for %v when the syncs were done", waited)
		}
	})
}
