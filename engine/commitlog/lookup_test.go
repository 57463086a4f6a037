package commitlog

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// dated builds a batch whose records have these timestamps.
func dated(t testing.TB, offset int64, epoch int32, o batch.BatchOptions, timestamps ...int64) []byte {
	var b batch.Builder
	for _, at := range timestamps {
		b.Append(at, nil, []byte("value"), nil)
	}
	o.BaseOffset, o.LeaderEpoch = offset, epoch
	built, err := b.Finish(o)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte(nil), built...)
}

// Lookups by time against a list of all records, with timestamps in any order, every
// codec, several segments, a start inside a batch, clean and unclean openings.
func TestLookupsByTime(t *testing.T) {
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 2))
		o := keep()
		o.SegmentBytes, o.IndexInterval = 400+random.Int64N(2000), 1+random.IntN(500)
		s := newStage(t, o)
		s.open(s.recovery())
		var all []place
		for i := range 60 {
			var timestamps []int64
			options := batch.NoProducer()
			options.Codec, options.LogAppendTime = batch.Codec(random.IntN(5)), random.IntN(4) == 0
			for range 1 + random.IntN(4) {
				timestamps = append(timestamps, random.Int64N(1000)+int64(random.IntN(2)*i*20))
			}
			b := dated(t, s.log.End(), int32(i/20), options, timestamps...)
			for k, at := range timestamps {
				if options.LogAppendTime {
					at = batch.Batch(b).MaxTimestamp()
				}
				all = append(all, place{s.log.End() + int64(k), at, int32(i / 20)})
			}
			s.ok(s.log.Append([][]byte{b}, today))
		}
		s.ok(s.log.SetStart(random.Int64N(60)))
		for round := range 3 {
			if round > 0 {
				r := s.recovery()
				if r.Clean = round == 1; r.Clean {
					s.close()
				}
				s.open(r)
			}
			for range 100 {
				checkLookups(s, all, random, seed)
			}
		}
	}
}

func checkLookups(s *stage, all []place, random *rand.Rand, seed uint64) {
	s.Helper()
	limit := random.Int64N(s.log.End() + 10)
	if random.IntN(2) == 0 {
		limit = math.MaxInt64
	}
	// A limit is where a batch ends; the slow way has to find one, too.
	if r, err := s.log.Locate(limit, 1, math.MaxInt64); err == nil && r.Bytes > 0 {
		data := s.read(limit, 1, math.MaxInt64)
		limit = batch.Batch(data).BaseOffset()
		r.Release()
	}
	ts := random.Int64N(2400) - 10
	first, largest := noRecord, noRecord
	for _, p := range all {
		if p.offset < s.log.Start() || p.offset >= limit {
			continue
		}
		if p.timestamp >= ts && first == noRecord {
			first = p
		}
		if p.timestamp > largest.timestamp {
			largest = p
		}
	}
	offset, timestamp, epoch, err := s.log.OffsetForTime(ts, limit, nil)
	s.ok(err)
	if got := (place{offset, timestamp, epoch}); got != first {
		s.Fatalf("seed %d: first at or after %d below %d: %+v, want %+v", seed, ts, limit, got, first)
	}
	offset, timestamp, epoch, err = s.log.MaxTimestamp(limit, nil)
	s.ok(err)
	if got := (place{offset, timestamp, epoch}); got != largest {
		s.Fatalf("seed %d: largest below %d from %d: %+v, want %+v", seed, limit, s.log.Start(), got, largest)
	}
}

func TestHeaders(t *testing.T) {
	o := keep()
	o.SegmentBytes, o.IndexInterval = 700, 50
	s := newStage(t, o)
	s.open(s.recovery())
	s.append(3, 3, 3, 3, 3, 3, 3, 3, 3, 3)
	for from := range int64(31) {
		var got []int64
		s.ok(s.log.Headers(from, func(b batch.Batch) error {
			if len(b) < batch.HeaderSize {
				return fmt.Errorf("a header of %d bytes", len(b))
			}
			got = append(got, b.BaseOffset())
			return nil
		}))
		var want []int64
		for at := from / 3 * 3; at < 30; at += 3 {
			want = append(want, at)
		}
		s.want(fmt.Sprint("from ", from), got, want)
	}
	stop := errors.New("stop")
	if err := s.log.Headers(0, func(batch.Batch) error { return stop }); !errors.Is(err, stop) {
		t.Fatal(err)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	s := newStage(t, Options{FS: diskio.OS, RetentionBytes: -1, RetentionAge: -1, SyncOnRoll: true})
	s.dir = t.TempDir()
	s.open(s.recovery())
	group := make([][]byte, 3)
	for i := range group {
		group[i] = records(t, 0, 0, 10, today.UnixMilli(), 100)
	}
	if n := testing.AllocsPerRun(2000, func() {
		next := s.log.End()
		for _, p := range group {
			batch.Batch(p).SetBaseOffset(next)
			next = batch.Batch(p).NextOffset()
		}
		if err := s.log.Append(group, today); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("append allocates %v times, want 0", n)
	}
	s.ok(s.log.Roll(today))
	at := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		at = (at + 977) % s.log.End()
		r, err := s.log.Locate(at, 64<<10, s.log.End()-15)
		if err != nil {
			t.Fatal(err)
		}
		r.Release()
	}); n != 0 {
		t.Errorf("locate allocates %v times, want 0", n)
	}
	s.close()
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 16 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := newStage(b, Options{FS: diskio.OS, RetentionBytes: 256 << 20, RetentionAge: -1, SegmentBytes: 64 << 20})
			s.dir = b.TempDir()
			s.open(s.recovery())
			group := [][]byte{records(b, 0, 0, 1, today.UnixMilli(), size)}
			b.SetBytes(int64(len(group[0])))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				batch.Batch(group[0]).SetBaseOffset(s.log.End())
				if err := s.log.Append(group, today); err != nil {
					b.Fatal(err)
				}
				if n += len(group[0]); n > 64<<20 {
					n = 0
					if _, err := s.log.Retain(today, s.log.End(), 0); err != nil {
						b.Fatal(err)
					}
				}
			}
			s.close()
		})
	}
}

func BenchmarkLocate(b *testing.B) {
	s := newStage(b, Options{FS: diskio.OS, RetentionBytes: -1, RetentionAge: -1, SegmentBytes: 16 << 20})
	s.dir = b.TempDir()
	s.open(s.recovery())
	for range 4000 {
		s.ok(s.log.Append([][]byte{records(b, s.log.End(), 0, 10, today.UnixMilli(), 1000)}, today))
	}
	b.ReportAllocs()
	at := int64(0)
	for b.Loop() {
		at = (at + 9973) % s.log.End()
		r, err := s.log.Locate(at, 1<<20, s.log.End())
		if err != nil {
			b.Fatal(err)
		}
		r.Release()
	}
	s.close()
}

func BenchmarkRecover(b *testing.B) {
	s := newStage(b, Options{FS: diskio.OS, RetentionBytes: -1, RetentionAge: -1})
	s.dir = b.TempDir()
	s.open(s.recovery())
	for range 4000 {
		s.ok(s.log.Append([][]byte{records(b, s.log.End(), 0, 16, today.UnixMilli(), 1000)}, today))
	}
	b.SetBytes(s.log.Size())
	for b.Loop() {
		s.open(s.recovery())
	}
}
