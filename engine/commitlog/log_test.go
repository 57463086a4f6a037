package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// epochOfTests is a time that batches are dated from.
var today = time.UnixMilli(1_700_000_000_000)

// records builds a batch of count records at an offset, dated in milliseconds.
func records(t testing.TB, offset int64, epoch int32, count int, timestamp int64, size int) []byte {
	t.Helper()
	var b batch.Builder
	for i := range count {
		b.Append(timestamp, fmt.Appendf(nil, "k%d", offset+int64(i)), bytes.Repeat([]byte{byte(offset)}, size), nil)
	}
	o := batch.NoProducer()
	o.BaseOffset, o.LeaderEpoch = offset, epoch
	built, err := b.Finish(o)
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// stage is a log under test, on a disk of its own.
type stage struct {
	testing.TB
	fs  diskio.FS
	dir string
	o   Options
	log *Log
	out *bytes.Buffer // what was logged
}

func newStage(t testing.TB, o Options) *stage {
	m := diskio.NewMemory()
	if o.FS == nil {
		o.FS = m
	}
	if o.Later == nil {
		o.Later = func(_ time.Duration, f func()) { f() }
	}
	if o.Now == nil {
		o.Now = func() time.Time { return today }
	}
	return &stage{TB: t, fs: o.FS, dir: "/data/topic-0", o: o, out: new(bytes.Buffer)}
}

// keep is options that retention does nothing with, in commit mode.
func keep() Options { return Options{RetentionBytes: -1, RetentionAge: -1, SyncOnRoll: true} }

func (s *stage) memory() *diskio.Memory { return s.fs.(*diskio.Memory) }

func (s *stage) recovery() Recovery {
	return Recovery{From: -1, Log: slog.New(slog.NewTextHandler(s.out, nil))}
}

func (s *stage) open(r Recovery) *Log {
	s.Helper()
	log, err := Open(s.dir, s.o, r)
	if err != nil {
		s.Fatal(err)
	}
	s.log = log
	return log
}

func (s *stage) close() {
	s.Helper()
	s.ok(s.log.Close())
}

func (s *stage) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// append adds one batch for each count of records, dated one second after the other.
func (s *stage) append(counts ...int) {
	s.Helper()
	for _, n := range counts {
		s.ok(s.log.Append([][]byte{s.next(n)}, today))
	}
}

func (s *stage) next(count int) []byte {
	end := s.log.End()
	return records(s, end, 0, count, today.UnixMilli()+1000*end, 20)
}

// bases are where the segments begin.
func (s *stage) bases() []int64 {
	var all []int64
	for _, segment := range *s.log.segments.Load() {
		all = append(all, segment.base)
	}
	return all
}

// read returns what Locate finds.
func (s *stage) read(offset int64, most int, limit int64) []byte {
	s.Helper()
	r, err := s.log.Locate(offset, most, limit)
	s.ok(err)
	defer r.Release()
	data := make([]byte, r.Bytes)
	if r.Bytes > 0 {
		if _, err := r.File.ReadAt(data, r.Position); err != nil {
			s.Fatal(err)
		}
		if size, err := batch.Peek(data); err != nil || size != r.First {
			s.Fatalf("first batch has %d bytes, %v; Locate says %d", size, err, r.First)
		}
	}
	return data
}

// all reads the whole log, batch by batch, checking each.
func (s *stage) all() (offsets []int64) {
	s.Helper()
	for at := s.log.Start(); at < s.log.End(); {
		data := s.read(at, 1, math.MaxInt64)
		b := batch.Batch(data)
		if err := b.Check(); err != nil || b.LastOffset() < at {
			s.Fatalf("at offset %d: batch of %d to %d, %v", at, b.BaseOffset(), b.LastOffset(), err)
		}
		offsets = append(offsets, b.BaseOffset())
		at = b.NextOffset()
	}
	return offsets
}

func (s *stage) files() string {
	s.Helper()
	names, err := s.fs.ReadDir(s.dir)
	s.ok(err)
	return strings.Join(names, " ")
}

func (s *stage) want(what string, got, want any) {
	s.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		s.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func TestAppendAndLocate(t *testing.T) {
	for _, interval := range []int{1, 200, 4096} {
		t.Run(fmt.Sprint("index interval ", interval), func(t *testing.T) {
			o := keep()
			o.SegmentBytes, o.IndexInterval = 1500, interval
			s := newStage(t, o)
			s.open(s.recovery())
			var oracle []byte // the bytes of all batches
			var begins, ends []int64
			var at []int
			for i := range 100 {
				b := s.next(1 + i%5)
				begins, ends = append(begins, s.log.End()), append(ends, batch.Batch(b).NextOffset())
				at = append(at, len(oracle))
				oracle = append(oracle, b...)
				s.ok(s.log.Append([][]byte{b}, today))
			}
			at = append(at, len(oracle))
			if len(s.bases()) < 10 {
				t.Fatalf("only %d segments", len(s.bases()))
			}
			s.want("size", s.log.Size(), len(oracle))
			for offset := range s.log.End() {
				i, _ := slices.BinarySearch(ends, offset+1)
				for _, most := range []int{0, 1, 150, 400, 1 << 20, math.MaxInt} {
					for _, limit := range []int64{0, offset, ends[i], ends[min(i+3, 99)], s.log.End(), math.MaxInt64} {
						got := s.read(offset, most, limit)
						want := expected(s, oracle[at[i]:], begins[i:], ends[i:], most, limit)
						if !bytes.Equal(got, want) {
							t.Fatalf("locate %d, %d bytes, limit %d: %d bytes, want %d", offset, most, limit, len(got), len(want))
						}
					}
				}
			}
			s.close()
		})
	}
}

// expected is the slow clear version of Locate: whole batches from the first, within one segment.
func expected(s *stage, data []byte, begins, ends []int64, most int, limit int64) []byte {
	n := 0
	for i := range begins {
		size, _ := batch.Peek(data[n:])
		rolled := i > 0 && slices.Contains(s.bases(), begins[i])
		if ends[i] > limit || rolled || i > 0 && n+size > most {
			break
		}
		n += size
	}
	return data[:n]
}

func TestLocateOutOfRange(t *testing.T) {
	s := newStage(t, keep())
	s.open(s.recovery())
	s.append(5, 5)
	s.ok(s.log.SetStart(3))
	for _, offset := range []int64{-1, 0, 2, 11} {
		if _, err := s.log.Locate(offset, 1, 10); !errors.Is(err, kerr.OffsetOutOfRange) {
			t.Errorf("locate %d: %v", offset, err)
		}
	}
	s.want("at the end", len(s.read(10, 100, math.MaxInt64)), 0)
	s.close()
	if _, err := s.log.Locate(5, 1, 10); !errors.Is(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
	if err := s.log.Append(nil, today); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
}

func TestRolls(t *testing.T) {
	hour := time.Hour.Milliseconds()
	for name, test := range map[string]struct {
		o     Options
		times []int64 // of batches with one record, in milliseconds; one append each
		want  []int64 // bases of the segments
	}{
		"by size":                      {Options{SegmentBytes: 250}, []int64{1, 1, 1, 1, 1}, []int64{0, 2, 4}},
		"by size, each larger":         {Options{SegmentBytes: 10}, []int64{1, 1, 1}, []int64{0, 1, 2}},
		"by age of the first batch":    {Options{SegmentAge: time.Hour}, []int64{1, hour, hour + 1, hour + 2, 3 * hour}, []int64{0, 3, 4}},
		"older timestamps do not roll": {Options{SegmentAge: time.Hour}, []int64{9 * hour, 1, 2}, []int64{0}},
		"by a full index":              {Options{IndexInterval: 1, IndexBytes: 36}, []int64{1, 2, 3, 4, 5}, []int64{0, 2, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, together := range []bool{false, true} {
				s := newStage(t, test.o)
				s.open(s.recovery())
				var group [][]byte
				for i, at := range test.times {
					b := records(t, int64(i), 0, 1, at, 30)
					if group = append(group, b); !together {
						s.ok(s.log.Append(group, today))
						group = nil
					}
				}
				s.ok(s.log.Append(group, today))
				s.want("segments", s.bases(), test.want)
				s.want("batches", len(s.all()), len(test.times))
				s.close()
			}
		})
	}
}

func TestRollWithoutTimestampsGoesByTheClock(t *testing.T) {
	s := newStage(t, Options{SegmentAge: time.Hour})
	s.open(s.recovery())
	for i, now := range []time.Duration{0, time.Hour, time.Hour + 1, 2 * time.Hour} {
		s.ok(s.log.Append([][]byte{records(t, int64(i), 0, 1, -1, 5)}, today.Add(now)))
	}
	s.want("segments", s.bases(), "[0 2]")
	s.ok(s.log.Roll(today))
	s.ok(s.log.Roll(today))
	s.want("after two calls of Roll", s.bases(), "[0 2 4]")
}

func TestCloseAndOpenClean(t *testing.T) {
	for _, real := range []bool{false, true} {
		o := keep()
		o.SegmentBytes, o.IndexInterval, o.TopicID = 1000, 100, [16]byte{1, 2, 3}
		if real {
			o.FS = diskio.OS
		}
		s := newStage(t, o)
		if real {
			s.dir = filepath.Join(t.TempDir(), "topic-0")
		}
		s.open(s.recovery())
		s.append(1, 2, 3, 4, 5, 6, 7, 8)
		s.ok(s.log.SetStart(2))
		bases, end, size := s.bases(), s.log.End(), s.log.Size()
		s.close()
		clean := s.recovery()
		clean.Clean = true
		for range 2 {
			reads := 0
			if !real {
				reads = s.memory().Counts().Reads
			}
			s.open(clean)
			if !real {
				if reads = s.memory().Counts().Reads - reads; reads > 20 {
					t.Fatalf("a clean open read %d times", reads)
				}
			}
			s.want("segments", s.bases(), bases)
			s.want("start, end, size", []int64{s.log.Start(), s.log.End(), s.log.Size()}, []int64{2, end, size})
			if n, at := s.log.EpochEnd(0); n != 0 || at != end {
				t.Fatalf("epoch 0 ends at %d (%d)", at, n)
			}
			offset, ts, _, err := s.log.MaxTimestamp(math.MaxInt64, nil)
			s.ok(err)
			s.want("largest timestamp", []int64{offset, ts}, []int64{28, today.UnixMilli() + 28000})
			s.close()
		}
		s.open(clean)
		s.append(3, 4)
		s.want("batches", s.all(), "[1 3 6 10 15 21 28 36 39]")
		s.close()
		if s.out.Len() > 0 {
			t.Fatalf("a clean stop is nothing to talk about: %s", s.out)
		}
		s.o.TopicID = [16]byte{0x7f, 0x6e, 0x5d}
		if _, err := Open(s.dir, s.o, clean); err == nil || !strings.Contains(err.Error(), "another topic") {
			t.Fatalf("opened the folder of another topic: %v", err)
		}
	}
}

func TestFailedAppendIsUndone(t *testing.T) {
	for name, test := range map[string]struct {
		space int64
		bytes int64 // SegmentBytes
	}{
		"in one segment":          {150, 1 << 20},
		"after a roll":            {450, 500},
		"nothing of it was there": {0, 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			for _, truncates := range []bool{true, false} {
				o := keep()
				o.SegmentBytes, o.IndexInterval = test.bytes, 1
				m := diskio.NewMemory()
				stubborn := &stubborn{FS: m}
				o.FS = stubborn
				s := newStage(t, o)
				s.open(s.recovery())
				s.append(1, 1)
				s.ok(s.log.Sync())
				before := fmt.Sprint(s.bases(), s.log.Size(), s.log.End(), s.all())
				var many [][]byte
				for i := range 10 {
					many = append(many, records(t, s.log.End()+int64(i), 1, 1, today.UnixMilli(), 40))
				}
				m.SetSpace(test.space)
				stubborn.refuse = !truncates
				for range 2 {
					if err := s.log.Append(many, today); !truncates && errors.Is(err, syscall.EIO) {
						continue // the second time it is the undo of the first that fails
					} else if !errors.Is(err, syscall.ENOSPC) {
						t.Fatalf("append to a full disk: %v", err)
					}
					s.want("after the failure", fmt.Sprint(s.bases(), s.log.Size(), s.log.End(), s.all()), before)
				}
				stubborn.refuse = false
				m.SetSpace(-1)
				s.ok(s.log.Append(many, today))
				s.want("end", s.log.End(), 12)
				m.Crash()
				s.open(s.recovery())
				if got := s.log.End(); got < 2 || got > 12 {
					t.Fatalf("after a crash the log ends at %d", got)
				}
				s.all()
			}
		})
	}
}

// stubborn is a disk on which files cannot be cut.
type stubborn struct {
	diskio.FS
	refuse bool
}

type stubbornFile struct {
	diskio.File
	disk *stubborn
}

func (d *stubborn) Open(name string, flag int) (diskio.File, error) {
	f, err := d.FS.Open(name, flag)
	return &stubbornFile{f, d}, err
}

func (f *stubbornFile) Truncate(size int64) error {
	if f.disk.refuse {
		return syscall.EIO
	}
	return f.File.Truncate(size)
}

// counting is a disk that remembers what was reserved and given back.
type counting struct {
	diskio.FS
	reserved, cut []int64
}

type countingFile struct {
	diskio.File
	disk *counting
}

func (d *counting) Open(name string, flag int) (diskio.File, error) {
	f, err := d.FS.Open(name, flag)
	return &countingFile{f, d}, err
}

func (f *countingFile) Allocate(offset, size int64) error {
	f.disk.reserved = append(f.disk.reserved, size)
	return f.File.Allocate(offset, size)
}

func (f *countingFile) Truncate(size int64) error {
	f.disk.cut = append(f.disk.cut, size)
	return f.File.Truncate(size)
}

func TestSpaceIsReservedForLargeSegmentsOnly(t *testing.T) {
	disk := &counting{FS: diskio.NewMemory()}
	o := keep()
	o.FS, o.SegmentBytes = disk, 12<<20
	s := newStage(t, o)
	s.open(s.recovery())
	add := func(n int) {
		for range n {
			s.ok(s.log.Append([][]byte{records(t, s.log.End(), 0, 1, 1, 1<<20)}, today))
		}
	}
	disk.cut = nil // what the opening did
	add(3)
	s.want("reserved for 3 MiB", disk.reserved, "[]")
	add(5)
	if n := len(disk.reserved); n < 1 || n > 3 {
		t.Fatalf("reserved %v for 8 MiB", disk.reserved)
	}
	size := s.log.Size()
	s.ok(s.log.Roll(today))
	s.want("given back at the roll", disk.cut, []int64{size})
}

func TestEpochs(t *testing.T) {
	s := newStage(t, keep())
	s.open(s.recovery())
	if e, end := s.log.EpochEnd(0); e != -1 || end != -1 {
		t.Fatalf("an empty log knows epoch %d until %d", e, end)
	}
	for _, epoch := range []int32{2, 2, 5, 9} {
		s.ok(s.log.Append([][]byte{records(t, s.log.End(), epoch, 10, 1, 1)}, today))
	}
	check := func(when string) {
		t.Helper()
		for asked, want := range map[int32][2]int64{
			-1: {-1, -1}, 0: {0, 0}, 1: {1, 0}, 2: {2, 20}, 3: {2, 20}, 5: {5, 30}, 8: {5, 30}, 9: {9, 40}, 10: {-1, -1},
		} {
			if e, end := s.log.EpochEnd(asked); int64(e) != want[0] || end != want[1] {
				t.Errorf("%s: epoch %d: %d ends at %d, want %v", when, asked, e, end, want)
			}
		}
	}
	check("appended")
	s.close()
	clean := s.recovery()
	clean.Clean = true
	s.open(clean)
	check("opened")
	s.ok(s.log.Sync())
	s.memory().Crash()
	s.open(s.recovery())
	check("recovered")
	s.close()
	s.ok(s.fs.Remove(s.dir + "/" + epochFile))
	s.open(clean)
	check("without its file")
	s.ok(s.log.Truncate(25))
	s.want("end", s.log.End(), 20)
	if e, end := s.log.EpochEnd(2); e != 2 || end != 20 {
		t.Errorf("after truncation epoch 2 is %d, ends at %d", e, end)
	}
	s.ok(s.log.SetStart(15))
	if e, end := s.log.EpochEnd(1); e != 1 || end != 15 {
		t.Errorf("epoch 1 is %d, ends at %d", e, end)
	}
}

func TestSnapshots(t *testing.T) {
	s := newStage(t, keep())
	s.open(s.recovery())
	if _, state, err := s.log.Snapshot(); state != nil || err != nil {
		t.Fatalf("an empty log has %q, %v", state, err)
	}
	s.append(10)
	for _, at := range []int64{3, 5, 7, 9} {
		s.ok(s.log.WriteSnapshot(at, fmt.Appendf(nil, "state %d", at)))
	}
	want := func(at int64, text string) {
		t.Helper()
		if offset, state, err := s.log.Snapshot(); offset != at || string(state) != text || err != nil {
			t.Fatalf("snapshot %d %q, %v, want %d %q", offset, state, err, at, text)
		}
	}
	want(9, "state 9")
	s.want("files", s.files(), "00000000000000000000.log 00000000000000000007.snapshot 00000000000000000009.snapshot")
	f, err := s.fs.Open(s.dir+"/00000000000000000009.snapshot", os.O_RDWR)
	s.ok(err)
	_, err = f.WriteAt([]byte("S"), int64(snapshotHead))
	s.ok(err)
	want(7, "state 7")
	s.ok(s.log.Truncate(0))
	want(0, "")
	s.ok(s.log.WriteSnapshot(0, nil))
	if _, state, err := s.log.Snapshot(); err != nil || len(state) != 0 {
		t.Fatal(state, err)
	}
}

// listing is a disk that counts how often a folder is listed, and may fail to remove.
type listing struct {
	diskio.FS
	lists  int
	refuse bool
}

func (d *listing) ReadDir(name string) ([]string, error) {
	d.lists++
	return d.FS.ReadDir(name)
}

func (d *listing) Remove(name string) error {
	if d.refuse {
		return syscall.EIO
	}
	return d.FS.Remove(name)
}

// TestRollsListNoFolder: a folder has three names for each segment, so that a log with thousands of them
// would spend its time listing them, on its shard.
func TestRollsListNoFolder(t *testing.T) {
	disk := &listing{FS: diskio.NewMemory()}
	o := keep()
	o.FS = disk
	s := newStage(t, o)
	s.open(s.recovery())
	opened := disk.lists
	turn := func() error {
		s.append(1)
		s.ok(s.log.Roll(today))
		return s.log.WriteSnapshot(s.log.End(), []byte("state"))
	}
	for range 5 {
		s.ok(turn())
	}
	s.want("lists", disk.lists, opened)
	disk.refuse = true
	if err := turn(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	disk.refuse = false
	s.ok(turn())
	s.want("lists after an error", disk.lists, opened+1)
	var kept []string
	for _, name := range strings.Fields(s.files()) {
		if strings.HasSuffix(name, snapshotSuffix) {
			kept = append(kept, name)
		}
	}
	s.want("snapshots", kept, "[00000000000000000006.snapshot 00000000000000000007.snapshot]")
	opened = disk.lists
	s.ok(s.log.Truncate(6))
	s.ok(s.log.WriteSnapshot(6, []byte("again")))
	s.want("lists after a truncation", disk.lists, opened)
	if at, state, err := s.log.Snapshot(); at != 6 || string(state) != "again" || err != nil {
		t.Fatal(at, state, err)
	}
}

func TestTruncate(t *testing.T) {
	build := func() *stage {
		o := keep()
		o.SegmentBytes, o.IndexInterval = 400, 1
		s := newStage(t, o)
		s.open(s.recovery())
		s.append(3, 3, 3, 3, 3, 3, 3, 3)
		s.ok(s.log.SetStart(4))
		_, err := s.log.Retain(today, 0, 0)
		s.ok(err)
		return s
	}
	for offset := int64(-0); offset <= 24; offset++ {
		s := build()
		s.ok(s.log.Truncate(offset))
		want := offset / 3 * 3
		s.want("end", s.log.End(), want)
		s.want("start", s.log.Start(), min(4, want))
		s.append(2)
		s.memory().Crash()
		s.open(s.recovery())
		s.want("end after a crash", s.log.End() >= want, true)
		s.append(1)
		s.all()
		s.close()
	}
	s := build()
	for s.log.Start() < 20 {
		s.ok(s.log.SetStart(s.log.Start() + 4))
	}
	_, err := s.log.Retain(today, s.log.End(), 0)
	s.ok(err)
	s.ok(s.log.Truncate(2))
	s.want("restarted", []int64{s.log.Start(), s.log.End(), s.log.Size()}, "[2 2 0]")
	s.append(1)
	s.close()
	s.open(s.recovery())
	s.want("batches", s.all(), "[2]")
}

func TestDelete(t *testing.T) {
	var later []func()
	o := keep()
	o.Later = func(d time.Duration, f func()) { later = append(later, f) }
	s := newStage(t, o)
	s.open(s.recovery())
	s.append(1, 2)
	r, err := s.log.Locate(0, 1000, 3)
	s.ok(err)
	s.ok(s.log.Delete())
	s.ok(s.log.Active0(t))
	names, err := s.fs.ReadDir("/data")
	s.ok(err)
	s.want("folder", names, "[topic-0.00000000000000000000000000000000-delete]")
	if _, err := r.File.ReadAt(make([]byte, r.Bytes), r.Position); err != nil {
		t.Fatalf("a reader lost its file: %v", err)
	}
	r.Release()
	// The topic is made again, and deleted again, before the first is gone.
	s.open(s.recovery())
	s.ok(s.log.Delete())
	for _, f := range later[:1] {
		f()
	}
	names, _ = s.fs.ReadDir("/data")
	s.want("folder", names, "[topic-0.00000000000000000000000000000001-delete]")
	s.ok(s.fs.MkdirAll("/data/a.00000000000000000000000000000001-delete-0"))
	s.ok(RemoveDeleted(s.fs, "/data"))
	names, _ = s.fs.ReadDir("/data")
	s.want("folder", names, "[a.00000000000000000000000000000001-delete-0]")
}

// RemoveDeleted removes what is left of deleted logs in a data folder, as a broker does when it starts.
func RemoveDeleted(fs diskio.FS, data string) error {
	names, err := fs.ReadDir(data)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !IsDeleted(name) {
			continue
		}
		if err := fs.RemoveAll(filepath.Join(data, name)); err != nil {
			return err
		}
	}
	return nil
}

// Active0 shows that a deleted log refuses what would change it.
func (l *Log) Active0(t *testing.T) error {
	if err := l.Append(nil, today); !errors.Is(err, ErrClosed) {
		return fmt.Errorf("append to a deleted log: %w", err)
	}
	return nil
}

func TestIsDeleted(t *testing.T) {
	const digits = "0123456789abcdef0123456789abcdef"
	for name, want := range map[string]bool{
		"t-0." + digits + "-delete": true, "a.b-7." + digits + "-delete": true, "t-0": false, "t-0-delete": false,
		"t-0." + digits + "-stray": false, "-delete": false, digits + "-delete": false, "t-0.0123456789abcdefg123456789abcdef-delete": false,
	} {
		if IsDeleted(name) != want {
			t.Errorf("%s: got %v", name, !want)
		}
	}
}
