package commitlog

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/diskio"
)

// Eight segments of one batch, the batch at offset n dated n seconds after today.
func segments(t *testing.T, o Options) *stage {
	o.SegmentBytes, o.SyncOnRoll = 1, true
	s := newStage(t, o)
	s.open(s.recovery())
	s.append(1, 1, 1, 1, 1, 1, 1, 1)
	return s
}

func TestRetain(t *testing.T) {
	size := int64(len(records(t, 0, 0, 1, 0, 20)))
	for name, test := range map[string]struct {
		o    Options
		high int64
		now  time.Duration
		want string // bases of what stays
	}{
		"nothing":                      {Options{RetentionBytes: -1, RetentionAge: -1}, 8, time.Hour, "[0 1 2 3 4 5 6 7]"},
		"by size":                      {Options{RetentionBytes: 3 * size, RetentionAge: -1}, 8, 0, "[5 6 7]"},
		"by size, a byte more":         {Options{RetentionBytes: 3*size + 1, RetentionAge: -1}, 8, 0, "[4 5 6 7]"},
		"no size at all":               {Options{RetentionAge: -1}, 8, 0, "[8]"},
		"not above the high watermark": {Options{RetentionAge: -1}, 3, 0, "[3 4 5 6 7]"},
		"by age":                       {Options{RetentionBytes: -1, RetentionAge: time.Second}, 8, 4 * time.Second, "[3 4 5 6 7]"},
		"by age, the active one too":   {Options{RetentionBytes: -1, RetentionAge: time.Second}, 8, time.Minute, "[8]"},
		"all expired, high watermark":  {Options{RetentionBytes: -1, RetentionAge: time.Second}, 7, time.Minute, "[7]"},
	} {
		t.Run(name, func(t *testing.T) {
			s := segments(t, test.o)
			removed, err := s.log.Retain(today.Add(test.now), test.high, 0)
			s.ok(err)
			s.want("stay", s.bases(), test.want)
			s.want("start", s.log.Start(), s.bases()[0])
			s.want("removed", removed, s.bases()[0])
			s.want("again", fmt.Sprint(s.log.Retain(today.Add(test.now), test.high, 0)), "0 <nil>")
			if strings.Contains(s.files(), deletedSuffix) {
				t.Fatalf("left over: %s", s.files())
			}
			s.memory().Crash()
			s.open(s.recovery())
			s.want("stay after a crash", s.bases(), test.want)
			s.append(1)
			s.all()
		})
	}
}

func TestExpiredSaysWhatRetainWillDo(t *testing.T) {
	size := int64(len(records(t, 0, 0, 1, 0, 20)))
	for _, o := range []Options{
		{RetentionBytes: -1, RetentionAge: -1}, {RetentionBytes: 7 * size, RetentionAge: -1}, {RetentionBytes: 7*size + 1, RetentionAge: -1},
		{RetentionBytes: 8 * size, RetentionAge: -1}, {RetentionAge: -1}, {RetentionBytes: -1, RetentionAge: time.Second}, {RetentionBytes: -1, RetentionAge: time.Minute},
	} {
		s := segments(t, o)
		s.close()
		now := today.Add(1500 * time.Millisecond)
		got := Expired(s.o, s.dir, now)
		r := s.recovery()
		r.Clean = true
		s.open(r)
		removed, err := s.log.Retain(now, 8, 0)
		s.ok(err)
		if got != (removed > 0) {
			t.Errorf("size %d, age %s: Expired says %v, Retain removes %d", o.RetentionBytes, o.RetentionAge, got, removed)
		}
	}
	if Expired(Options{FS: diskio.NewMemory()}, "/nowhere", today) {
		t.Error("a log that is not there has expired")
	}
}

func TestPeek(t *testing.T) {
	s := segments(t, keep())
	s.ok(s.log.SetStart(1))
	s.close()
	found, err := Peek(s.fs, s.dir)
	s.ok(err)
	s.want("summary", fmt.Sprint(found.Bytes, found.Segments, found.Start, found.Oldest.UnixMilli()), fmt.Sprint(8*s.log.Size()/8, 8, 1, today.UnixMilli()))
}

func TestDeleteRecords(t *testing.T) {
	s := segments(t, keep())
	s.append(5)
	s.ok(s.log.SetStart(3))
	s.ok(s.log.SetStart(2))
	if err := s.log.SetStart(14); err == nil {
		t.Fatal("the start went beyond the end")
	}
	s.memory().Crash()
	s.open(s.recovery())
	s.want("start after a crash", s.log.Start(), 3)
	s.append(5)
	s.ok(s.log.SetStart(10))
	if _, err := s.log.Retain(today, s.log.End(), 0); err != nil {
		t.Fatal(err)
	}
	s.want("segments", s.bases(), "[8]")
	s.want("batches", s.all(), "[8]")
	s.ok(s.log.SetStart(13))
	_, err := s.log.Retain(today, s.log.End(), 0)
	s.ok(err)
	s.want("segments", s.bases(), "[13]")
	s.append(1)
	s.want("batches", s.all(), "[13]")
}

func TestReaderKeepsADeletedSegment(t *testing.T) {
	var later []func()
	o := Options{RetentionAge: -1, DeleteDelay: time.Minute, Later: func(d time.Duration, f func()) {
		if d == time.Minute {
			later = append(later, f)
			return
		}
		f()
	}}
	s := segments(t, o)
	r, err := s.log.Locate(2, 1000, 8)
	s.ok(err)
	_, err = s.log.Retain(today, 8, 0)
	s.ok(err)
	if !strings.Contains(s.files(), "00000000000000000002.log.deleted") {
		t.Fatalf("files: %s", s.files())
	}
	for _, f := range later {
		f()
	}
	if strings.Contains(s.files(), ".deleted") {
		t.Fatalf("files: %s", s.files())
	}
	if _, err := r.File.ReadAt(make([]byte, r.Bytes), r.Position); err != nil {
		t.Fatalf("a reader lost its segment: %v", err)
	}
	r.Release()
	r.Release()
	if _, err := r.File.ReadAt(make([]byte, 1), 0); !errors.Is(err, os.ErrClosed) {
		t.Fatalf("the file stays open behind the last reader: %v", err)
	}
}

func TestLeftoversGoWhenTheLogIsOpened(t *testing.T) {
	s := segments(t, keep())
	s.close()
	before := s.files()
	for _, name := range []string{
		"00000000000000000099.log.deleted", "00000000000000000099.index", "00000000000000000099.timeindex", "leader-epoch-checkpoint.tmp", "00000000000000000099.snapshot.tmp",
	} {
		s.ok(diskio.WriteFile(s.fs, s.dir+"/"+name, []byte("x")))
	}
	s.ok(diskio.WriteFile(s.fs, s.dir+"/quorum-state", []byte("not ours")))
	s.open(s.recovery())
	s.close()
	s.want("files", s.files(), before+" quorum-state")
}

func TestRetentionFreesAFullDisk(t *testing.T) {
	s := segments(t, Options{RetentionBytes: 300, RetentionAge: -1})
	s.memory().SetSpace(0)
	if err := s.log.Append([][]byte{s.next(1)}, today); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	removed, err := s.log.Retain(today, 8, 0)
	s.ok(err)
	s.want("removed", removed, 4)
	s.append(1)
	s.ok(s.log.Sync())
	s.memory().Crash()
	s.open(s.recovery())
	s.want("batches", s.all(), "[4 5 6 7 8]")
}

func TestFailedSyncAtARollIsToldToTheAppend(t *testing.T) {
	s := newStage(t, Options{SegmentBytes: 1, SyncOnRoll: true})
	s.open(s.recovery())
	s.append(1)
	s.memory().FailSync(syscall.EIO)
	if err := s.log.Append([][]byte{s.next(1)}, today); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	s.want("end", s.log.End(), 1)
}

func TestSwitchToCommitModeMakesTheOldDurable(t *testing.T) {
	var later []func()
	s := newStage(t, Options{SegmentBytes: 1, Later: func(_ time.Duration, f func()) { later = append(later, f) }})
	s.open(s.recovery())
	s.append(1, 1, 1)
	o := s.o
	o.SyncOnRoll = true
	s.log.SetOptions(o)
	s.append(1)
	s.ok(s.log.Active().Sync())
	s.memory().Crash()
	s.o = o
	s.open(s.recovery())
	s.want("batches", s.all(), "[0 1 2 3]")
	if len(later) == 0 {
		t.Fatal("nothing was to be sealed")
	}
}

func TestUnusedIndexesAreForgotten(t *testing.T) {
	s := segments(t, keep())
	s.all()
	count := func() (n int) {
		for _, segment := range *s.log.segments.Load() {
			if segment.index.Load() != nil || segment.indexer.indexes != nil {
				n++
			}
		}
		return n
	}
	s.want("indexes in memory", count(), 8)
	for range 2 {
		_, err := s.log.Retain(today, 8, 0)
		s.ok(err)
	}
	s.want("indexes in memory", count(), 1)
	s.want("batches", len(s.all()), 8)
	s.want("indexes in memory", count(), 8)
	for range 2 {
		_, err := s.log.Retain(today, 8, 0)
		s.ok(err)
	}
	s.ok(s.log.Truncate(4)) // a segment without is active again
	s.append(1, 1)
	s.want("batches", len(s.all()), 6)
}

// A reader that holds a segment whose file was not open is told, when retention takes the segment away, that its offset
// is out of range: that is what it would hear a moment later, and what clients know how to take.
func TestReaderThatRetentionOvertakes(t *testing.T) {
	s := segments(t, Options{RetentionBytes: 0, RetentionAge: -1})
	s.close()
	s.open(s.recovery())
	held, next := s.log.acquire(2)
	removed, err := s.log.Retain(today, 8, 0)
	s.ok(err)
	s.want("removed", removed, 8)
	if _, err := held.locate(2, 1000, 8, next, sight{}); !errors.Is(err, kerr.OffsetOutOfRange) {
		t.Errorf("locate in a segment that is gone: %v, want %v", err, kerr.OffsetOutOfRange)
	}
	held.Release()
}
