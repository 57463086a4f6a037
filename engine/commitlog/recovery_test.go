package commitlog

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// spoil changes the bytes of a file: f gets all of them and returns what they become.
func (s *stage) spoil(name string, f func([]byte) []byte) {
	s.Helper()
	data, err := diskio.ReadFile(s.fs, s.dir+"/"+name)
	s.ok(err)
	file, err := s.fs.Open(s.dir+"/"+name, os.O_RDWR|os.O_TRUNC)
	s.ok(err)
	_, err = file.WriteAt(f(data), 0)
	s.ok(err)
	s.ok(file.Close())
}

func flip(at int) func([]byte) []byte {
	return func(data []byte) []byte {
		if at < 0 {
			at += len(data)
		}
		data[at] ^= 0x10
		return data
	}
}

func TestTornTailIsDropped(t *testing.T) {
	whole := 3 // batches of the last segment that stay
	for name, test := range map[string]struct {
		spoil func([]byte) []byte
		stay  int
		told  string
	}{
		"nothing happened":            {func(p []byte) []byte { return p }, whole, ""},
		"a byte is missing":           {func(p []byte) []byte { return p[:len(p)-1] }, 2, "cut short"},
		"half a header is there":      {func(p []byte) []byte { return append(p, p[:30]...) }, whole, "bytes=30"},
		"zeros follow":                {func(p []byte) []byte { return append(p, make([]byte, 5000)...) }, whole, "bytes=5000"},
		"a bit of the last flipped":   {flip(-5), 2, "CRC"},
		"a bit of the first flipped":  {flip(80), 0, "CRC"},
		"an old batch follows":        {func(p []byte) []byte { return append(p, p...) }, whole, "does not follow"},
		"the length is nonsense":      {flip(8), 0, "bytes="},
		"the magic is another":        {flip(16), 0, "magic"},
		"the offset is another":       {flip(7), 0, "does not follow"},
		"nothing is left of the file": {func([]byte) []byte { return nil }, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, commit := range []bool{true, false} {
				o := keep()
				o.SegmentBytes, o.SyncOnRoll = 1000, commit
				s := newStage(t, o)
				s.open(s.recovery())
				s.append(4, 4, 4, 4, 4)
				s.ok(s.log.Roll(today))
				s.append(2, 2, 2)
				s.ok(s.log.Sync())
				s.spoil("00000000000000000020.log", test.spoil)
				s.open(s.recovery())
				s.want("end", s.log.End(), 20+2*test.stay)
				s.want("told", test.told == "" && s.out.Len() == 0 || strings.Contains(s.out.String(), test.told), true)
				s.want("lines", strings.Count(s.out.String(), "dropped a torn tail"), min(1, len(test.told)))
				s.append(1)
				s.all()
				s.close()
			}
		})
	}
}

func TestDamageBeforeTheTailIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func([]byte) []byte
		from  int64 // recovery point
		want  string
	}{
		"the end is missing":         {func(p []byte) []byte { return p[:len(p)-1] }, -1, "00000000000000000004.log is damaged at position 0"},
		"all of it is missing":       {func(p []byte) []byte { return nil }, -1, "the batches end at offset 4, the next segment begins at 8"},
		"the end is cut at a batch":  {func(p []byte) []byte { return p[:0] }, -1, "00000000000000000004.log is damaged at position 0"},
		"a bit behind the point":     {flip(-1), 5, "does not match its CRC"},
		"a header behind the point":  {flip(16), 4, "magic"},
		"a header before the point":  {flip(16), 10, ""}, // not looked at: the last batch is enough
		"something behind its end":   {func(p []byte) []byte { return append(p, 1) }, -1, "cut short"},
		"a bit, and no point at all": {flip(-1), -1, ""}, // its reader will see it: sealed data is not read at a start
	} {
		t.Run(name, func(t *testing.T) {
			o := keep()
			o.SegmentBytes = 1
			s := newStage(t, o)
			s.open(s.recovery())
			s.append(4, 4, 4)
			s.spoil("00000000000000000004.log", test.spoil)
			r := s.recovery()
			r.From = test.from
			_, err := Open(s.dir, s.o, r)
			if test.want == "" && strings.HasPrefix(name, "a bit") {
				s.ok(err)
				return
			}
			if test.want == "" {
				test.want = "00000000000000000004.log is damaged at position 0"
			}
			damage := (*Damage)(nil)
			if !errors.As(err, &damage) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %s", err, test.want)
			}
			if names := s.files(); !strings.Contains(names, "00000000000000000008.log") {
				t.Fatalf("something was removed: %s", names)
			}
		})
	}
}

func TestLogThatEndsBeforeWhatWasDurableIsRefused(t *testing.T) {
	s := newStage(t, keep())
	s.open(s.recovery())
	s.append(2, 2, 2)
	s.ok(s.log.Sync())
	r := s.recovery()
	r.From = 6
	s.open(r)
	s.spoil("00000000000000000000.log", func(p []byte) []byte { return p[:2*len(p)/3] }) // at a batch
	if _, err := Open(s.dir, s.o, r); err == nil || !strings.Contains(err.Error(), "the log ends at offset 4, and was durable up to 6") {
		t.Fatalf("opened: %v", err)
	}
	r.From = 4
	s.open(r)
}

func TestMissingSegmentIsRefused(t *testing.T) {
	for _, commit := range []bool{true, false} {
		o := keep()
		o.SegmentBytes, o.SyncOnRoll = 1, commit
		s := newStage(t, o)
		s.open(s.recovery())
		s.append(1, 1, 1)
		s.ok(s.log.Sync())
		s.ok(s.fs.Remove(s.dir + "/00000000000000000001.log"))
		if _, err := Open(s.dir, s.o, s.recovery()); err == nil || !strings.Contains(err.Error(), "the next segment begins at 2") {
			t.Fatalf("opened: %v", err)
		}
	}
}

// In os mode nothing was promised of a segment that was not made durable yet.
func TestTornSegmentInOSModeEndsTheLog(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		o := Options{SegmentBytes: 1, RetentionBytes: -1, RetentionAge: -1}
		if !sealed {
			o.Later = func(time.Duration, func()) {}
		}
		s := newStage(t, o)
		s.open(s.recovery())
		s.append(1, 1, 1, 1)
		s.spoil("00000000000000000001.log", func(p []byte) []byte { return p[:len(p)-1] })
		log, err := Open(s.dir, s.o, s.recovery())
		if sealed {
			// Its index says how long it was, so it was durable, and is damaged.
			if err == nil || !strings.Contains(err.Error(), "00000000000000000001.log is damaged") {
				t.Fatalf("opened: %v", err)
			}
			continue
		}
		s.ok(err)
		s.log = log
		s.want("end", log.End(), 1)
		s.want("segments", s.bases(), "[0 1]")
		s.want("told", strings.Count(s.out.String(), "dropped a segment behind a torn one"), 2)
		s.append(1, 1)
		s.want("batches", s.all(), "[0 1 2]")
	}
}

func TestKilledProcessLosesNothingAndSyncsWhatItFinds(t *testing.T) {
	s := newStage(t, keep())
	s.open(s.recovery())
	s.append(1, 1, 1) // written, not synced
	s.open(s.recovery())
	s.want("end", s.log.End(), 3)
	s.memory().Crash() // readers may have seen it: it has to be there
	s.open(s.recovery())
	s.want("end", s.log.End(), 3)
}

func TestDamagedIndexesAreMadeAgain(t *testing.T) {
	build := func() *stage {
		o := keep()
		o.SegmentBytes, o.IndexInterval = 2000, 100
		s := newStage(t, o)
		s.open(s.recovery())
		s.append(5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5)
		s.close()
		return s
	}
	base := build()
	size := func(name string) int64 {
		found, err := base.fs.Stat(base.dir + "/" + name)
		base.ok(err)
		return found.Size
	}
	for _, name := range []string{"00000000000000000000.index", "00000000000000000000.timeindex", fmt.Sprintf("%020d.index", base.lastBase()), fmt.Sprintf("%020d.timeindex", base.lastBase())} {
		spoils := map[string]func([]byte) []byte{"gone": func([]byte) []byte { return nil }, "longer": func(p []byte) []byte { return append(p, 0, 0, 0, 0, 0, 0, 0, 0) }, "zeros": func(p []byte) []byte { return make([]byte, len(p)) }}
		for at := range size(name) {
			if strings.HasSuffix(name, indexSuffix) {
				spoils[fmt.Sprint("flip at ", at)] = flip(int(at))
			}
		}
		for what, f := range spoils {
			s := build()
			s.spoil(name, f)
			for _, clean := range []bool{true, false} {
				r := s.recovery()
				r.Clean = clean
				s.open(r)
				s.want(name+", "+what, len(s.all()), 20)
				s.append(1)
				s.ok(s.log.Truncate(100))
				s.close()
			}
		}
	}
}

// lastBase is where the last segment of a closed log begins.
func (s *stage) lastBase() (base int64) {
	names, err := s.fs.ReadDir(s.dir)
	s.ok(err)
	for _, name := range names {
		if at, ok := parseName(name, logSuffix); ok {
			base = at
		}
	}
	return base
}

func TestDamagedSmallFiles(t *testing.T) {
	s := segments(t, keep())
	s.ok(s.log.SetStart(3))
	s.close()
	r := s.recovery()
	r.Clean = true
	s.spoil(epochFile, flip(0))
	s.open(r)
	if e, end := s.log.EpochEnd(0); e != 0 || end != 8 {
		t.Fatalf("epoch 0 is %d, ends at %d", e, end)
	}
	s.close()
	s.spoil(startFile, flip(2))
	if _, err := Open(s.dir, s.o, r); err == nil || !strings.Contains(err.Error(), startFile) {
		t.Fatalf("opened with a damaged start: %v", err)
	}
}

func TestVerifyReports(t *testing.T) {
	for name, test := range map[string]struct {
		file  string
		spoil func([]byte) []byte
		want  string
	}{
		"nothing":               {"00000000000000000000.log", func(p []byte) []byte { return p }, ""},
		"a flipped bit":         {"00000000000000000000.log", flip(-3), "00000000000000000000.log: position 0: record batch does not match its CRC-32C; the 90 bytes from here on cannot be read"},
		"a lower epoch":         {"00000000000000000002.log", func(p []byte) []byte { batch.Batch(p).SetLeaderEpoch(-3); return p }, "leader epoch of the batch is lower"},
		"a truncated segment":   {"00000000000000000001.log", func([]byte) []byte { return nil }, "the segment before ends at offset 1"},
		"an index that lies":    {"00000000000000000000.index", flip(3), "there is no batch that ends at offset 16"},
		"an index cut short":    {"00000000000000000000.index", func(p []byte) []byte { return p[:3] }, "no whole entries"},
		"a time index lies":     {"00000000000000000000.timeindex", flip(7), "the largest timestamp up to offset 0 is not"},
		"a damaged snapshot":    {"00000000000000000007.snapshot", flip(-1), "checksum does not fit"},
		"a damaged epoch file":  {epochFile, flip(0), "want version 0"},
		"a damaged start":       {startFile, flip(3), "want version 0"},
		"a damaged topic id":    {topicFile, flip(0), "is not version 0"},
		"records cut by chance": {"00000000000000000003.log", recount, "record batch counts its records wrongly"},
	} {
		t.Run(name, func(t *testing.T) {
			o := keep()
			o.TopicID = [16]byte{9}
			s := segments(t, o)
			s.ok(s.log.WriteSnapshot(7, []byte("state")))
			s.ok(s.log.SetStart(0))
			s.close()
			s.ok(diskio.WriteFile(s.fs, s.dir+"/"+startFile, encodeStart(0)))
			s.spoil(test.file, test.spoil)
			var all []string
			s.ok(Verify(s.fs, s.dir, func(p Problem) { all = append(all, p.String()) }))
			if got := strings.Join(all, "\n"); test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Fatalf("got %q, want %q", got, test.want)
			}
		})
	}
}

// recount makes a batch claim fewer records than it has, with a checksum that fits.
func recount(p []byte) []byte {
	p[60]--
	b := batch.Batch(p)
	b.SetProducer(b.ProducerID(), b.ProducerEpoch(), b.BaseSequence())
	return p
}

func TestOpenAfterTheLogWasLost(t *testing.T) {
	s := segments(t, keep())
	s.ok(s.log.SetStart(8))
	s.ok(s.log.Sync())
	for i := range 9 {
		_ = s.fs.Remove(fmt.Sprintf("%s/%020d.log", s.dir, i))
	}
	s.open(s.recovery())
	s.want("start and end", []int64{s.log.Start(), s.log.End()}, "[8 8]")
	s.append(1)
	s.want("batches", s.all(), "[8]")
	if _, err := s.log.Locate(7, 1, math.MaxInt64); err == nil {
		t.Fatal("what was lost is found")
	}
}
