package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// written is a record of the model.
type written struct {
	key, value string
	null       bool
	at         int64 // milliseconds
}

// keyed is a log under test whose records have keys, and what it must hold.
type keyed struct {
	*testing.T
	seed     uint64
	random   *rand.Rand
	disk     *diskio.Memory
	o        Options
	log      *Log
	clock    time.Time
	all      map[int64]written
	latest   map[string]int64
	sequence map[int64]int32
	last     map[int64]LastSent
	cleaned  int64 // every key has one record at most below
}

func newKeyed(t *testing.T, seed uint64) *keyed {
	random := rand.New(rand.NewPCG(seed, 7))
	k := &keyed{T: t, seed: seed, random: random, disk: diskio.NewMemory(), clock: today, all: map[int64]written{}, latest: map[string]int64{},
		sequence: map[int64]int32{}, last: map[int64]LastSent{}}
	k.o = Options{FS: k.disk, SegmentBytes: 400 + random.Int64N(3000), IndexInterval: 1 + random.IntN(300), RetentionBytes: -1, RetentionAge: -1,
		SyncOnRoll: random.IntN(3) > 0, DeleteDelay: time.Minute, Later: func(_ time.Duration, f func()) { f() }, Now: func() time.Time { return k.clock }}
	return k
}

func (k *keyed) ok(err error) {
	k.Helper()
	if err != nil {
		k.Fatalf("seed %d: %v", k.seed, err)
	}
}

func (k *keyed) open(clean bool) {
	log, err := Open("/data/topic-0", k.o, Recovery{Clean: clean, From: -1, Log: slog.New(slog.DiscardHandler)})
	k.ok(err)
	k.log = log
}

// append adds one batch of random keys.
func (k *keyed) append() {
	var b batch.Builder
	base := k.log.End()
	k.clock = k.clock.Add(time.Duration(k.random.IntN(2000)) * time.Millisecond)
	for i := range 1 + k.random.IntN(6) {
		w := written{key: fmt.Sprintf("key-%d", k.random.IntN(12)), value: fmt.Sprintf("%d", base+int64(i)), at: k.clock.UnixMilli() + int64(i)}
		w.null = k.random.IntN(5) == 0
		value := bytes.Repeat([]byte(w.value+","), 1+k.random.IntN(12))
		if w.value = string(value); w.null {
			w.value, value = "", nil
		}
		b.Append(w.at, []byte(w.key), value, []batch.Header{{Key: "h", Value: []byte(w.key)}})
		k.all[base+int64(i)], k.latest[w.key] = w, base+int64(i)
	}
	o := batch.NoProducer()
	o.BaseOffset, o.LeaderEpoch, o.Codec = base, int32(base/97), batch.Codec(k.random.IntN(5))
	if k.random.IntN(2) == 0 {
		id := k.random.Int64N(4)
		o.ProducerID, o.ProducerEpoch, o.BaseSequence = id, 0, k.sequence[id]
		k.sequence[id] += int32(b.Count())
		k.last[id] = LastSent{Offset: base + int64(b.Count()) - 1}
	}
	built, err := b.Finish(o)
	k.ok(err)
	k.ok(k.log.Append([][]byte{built}, k.clock))
}

const keyedRetention = 20 * time.Second

func (k *keyed) options() CleanOptions {
	return CleanOptions{DeleteRetention: keyedRetention, MapBytes: 24 * (2 + k.random.Int64N(40)), LoadFactor: 0.9, Last: k.last}
}

func (k *keyed) clean() CleanStats {
	c := k.log.NewCleaning(k.log.End(), k.options())
	d, err := c.Dirt(k.clock)
	k.ok(err)
	stats, err := c.Run(d, k.clock)
	k.ok(err)
	if d.From < d.To {
		k.cleaned, err = k.log.cleanedTo()
		k.ok(err)
		if k.cleaned <= d.From || k.cleaned > d.To {
			k.Fatalf("seed %d: cleaned to %d of %d to %d", k.seed, k.cleaned, d.From, d.To)
		}
	}
	return stats
}

// records calls f with every record of the log.
func eachRecordOf(t testing.TB, log *Log, f func(b batch.Batch, offset int64, r *batch.Record)) {
	t.Helper()
	for at := log.Start(); at < log.End(); {
		r, err := log.Locate(at, 1, math.MaxInt64)
		if err != nil || r.Bytes == 0 {
			t.Fatalf("locate %d of %d: %v", at, log.End(), err)
		}
		b := make(batch.Batch, r.Bytes)
		_, err = r.File.ReadAt(b, r.Position)
		r.Release()
		if err = errors.Join(err, b.Check()); err != nil || b.BaseOffset() > at || b.NextOffset() <= at {
			t.Fatalf("read %d: %d to %d, %v", at, b.BaseOffset(), b.LastOffset(), err)
		}
		records, err := batch.Scan(b, batch.ScanOptions{Hold: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		for records.Next() {
			f(b, b.BaseOffset()+int64(records.Head().OffsetDelta), records.Record())
		}
		if err := records.Err(); err != nil {
			t.Fatal(err)
		}
		records.Close()
		at = b.NextOffset()
	}
}

// check compares the log with the model.
func (k *keyed) check() {
	k.Helper()
	seen, found := map[string]int64{}, map[string]int64{}
	sequences := map[int64]int32{}
	eachRecordOf(k, k.log, func(b batch.Batch, offset int64, r *batch.Record) {
		want, known := k.all[offset]
		key := string(r.Key)
		if !known || key != want.key || string(r.Value) != want.value || (r.Value == nil) != want.null || b.BaseTimestamp()+r.TimestampDelta != want.at ||
			len(r.Headers) != 1 || string(r.Headers[0].Value) != key {
			k.Fatalf("seed %d: at offset %d lies %q = %q at %d, want %+v", k.seed, offset, key, r.Value, b.BaseTimestamp()+r.TimestampDelta, want)
		}
		if before, twice := seen[key]; twice && offset < k.cleaned {
			k.Fatalf("seed %d: %s lies at %d and at %d, and the log was cleaned up to %d", k.seed, key, before, offset, k.cleaned)
		}
		seen[key], found[key] = offset, offset
	})
	for key, offset := range k.latest {
		if at, there := found[key]; (!there || at != offset) && !(k.all[offset].null && !there) {
			k.Fatalf("seed %d: the last of %s lies at %d, want %d", k.seed, key, at, offset)
		}
	}
	k.ok(k.log.Headers(0, func(b batch.Batch) error {
		if b.LeaderEpoch() != int32(b.BaseOffset()/97) && b.Count() > 0 {
			return fmt.Errorf("epoch %d at %d", b.LeaderEpoch(), b.BaseOffset())
		}
		if b.ProducerID() >= 0 {
			sequences[b.ProducerID()] = b.LastSequence() + 1
		}
		return nil
	}))
	for id, next := range k.sequence {
		if sequences[id] != next {
			k.Fatalf("seed %d: the headers say that producer %d is at %d, want %d", k.seed, id, sequences[id], next)
		}
	}
}

// verify reads all that is on the disk.
func (k *keyed) verify() {
	k.Helper()
	k.ok(Verify(k.disk, "/data/topic-0", func(p Problem) {
		// An index that the crash has torn is made again when it is used.
		if !strings.HasSuffix(p.File, indexSuffix) && !strings.HasSuffix(p.File, timeSuffix) {
			k.Errorf("seed %d: verify: %s", k.seed, p)
		}
	}))
}

// Whatever is appended, rolled, cleaned and opened again, each key has its last value, no
// record moves, and below the offset that was cleaned no key has two.
func TestCleaningAgainstAModel(t *testing.T) {
	for seed := range uint64(150) {
		k := newKeyed(t, seed)
		k.open(false)
		kept, looked, segments := int64(0), int64(0), 0
		for range 120 {
			switch n := k.random.IntN(20); {
			case n < 14:
				k.append()
			case n == 14:
				k.ok(k.log.Roll(k.clock))
			case n == 15:
				k.clock = k.clock.Add(keyedRetention / 2)
			case n < 19:
				stats := k.clean()
				kept, looked, segments = kept+stats.Kept, looked+stats.Records, segments+stats.Segments
				k.check()
			default:
				clean := k.random.IntN(2) == 0
				if clean {
					k.ok(k.log.Close())
				} else {
					k.ok(k.log.Sync())
				}
				k.open(clean)
				k.check()
			}
		}
		k.ok(k.log.Close())
		k.verify()
		k.open(true)
		k.check()
		if segments == 0 || kept >= looked {
			t.Fatalf("seed %d: %d segments replaced, %d of %d records kept", seed, segments, kept, looked)
		}
	}
}

// A deletion marker stays until the delete horizon of its batch, and then goes.
func TestDeletionMarkersGoAfterTheHorizon(t *testing.T) {
	s := newStage(t, keep())
	s.open(s.recovery())
	now := today
	put := func(key string, value []byte) {
		var b batch.Builder
		b.Append(now.UnixMilli(), []byte(key), value, nil)
		o := batch.NoProducer()
		o.BaseOffset = s.log.End()
		built, err := b.Finish(o)
		s.ok(err)
		s.ok(s.log.Append([][]byte{built}, now))
		s.ok(s.log.Roll(now))
	}
	clean := func() (all []string) {
		c := s.log.NewCleaning(s.log.End(), CleanOptions{DeleteRetention: time.Minute, MapBytes: 1 << 20})
		d, err := c.Dirt(now)
		s.ok(err)
		_, err = c.Run(d, now)
		s.ok(err)
		eachRecordOf(t, s.log, func(b batch.Batch, offset int64, r *batch.Record) {
			horizon, set := b.DeleteHorizon()
			if b.BaseTimestamp()+r.TimestampDelta != today.UnixMilli()+offset*1000 {
				t.Fatalf("the record at %d is of %d", offset, b.BaseTimestamp()+r.TimestampDelta)
			}
			all = append(all, fmt.Sprintf("%d %s=%s %v", offset, r.Key, r.Value, set && horizon == today.Add(time.Minute+4*time.Second).UnixMilli()))
		})
		return all
	}
	for _, one := range []struct{ key, value string }{{"a", "1"}, {"b", "1"}, {"a", ""}, {"c", "1"}} {
		put(one.key, map[bool][]byte{true: []byte(one.value)}[one.value != ""])
		now = now.Add(time.Second)
	}
	want := []string{"1 b=1 false", "2 a= true", "3 c=1 false"}
	if got := clean(); !slices.Equal(got, want) {
		t.Fatalf("first %q, want %q", got, want)
	}
	put("b", []byte("2"))
	now = now.Add(59*time.Second + 999*time.Millisecond)
	want = []string{"2 a= true", "3 c=1 false", "4 b=2 false"}
	if got := clean(); !slices.Equal(got, want) {
		t.Fatalf("just before the horizon %q, want %q", got, want)
	}
	now = today.Add(5 * time.Second)
	put("d", []byte("1"))
	now = today.Add(time.Minute + 4*time.Second)
	want = []string{"3 c=1 false", "4 b=2 false", "5 d=1 false"}
	if got := clean(); !slices.Equal(got, want) {
		t.Fatalf("at the horizon %q, want %q", got, want)
	}
}

// Of an aborted transaction nothing stays; its marker, and that of one that was committed and
// all of whose records are gone, stay for the time of deletion markers.
func TestCleaningOfTransactions(t *testing.T) {
	s := newStage(t, keep())
	s.open(s.recovery())
	now := today
	add := func(producer int64, control bool, key, value string) {
		var b batch.Builder
		b.Append(now.UnixMilli(), []byte(key), []byte(value), nil)
		built, err := b.Finish(batch.BatchOptions{BaseOffset: s.log.End(), ProducerID: producer, BaseSequence: map[bool]int32{true: -1}[control], Transactional: true, Control: control})
		s.ok(err)
		if value == "abort" {
			s.log.Abort(batch.Aborted{ProducerID: producer, First: 1, Last: s.log.End(), Stable: s.log.End() + 1})
		}
		s.ok(s.log.Append([][]byte{built}, now))
		s.ok(s.log.Roll(now))
	}
	clean := func() (all []string) {
		c := s.log.NewCleaning(s.log.End(), CleanOptions{DeleteRetention: time.Minute, MapBytes: 1 << 20, Last: map[int64]LastSent{9: {Offset: -1}}})
		d, err := c.Dirt(now)
		s.ok(err)
		_, err = c.Run(d, now)
		s.ok(err)
		eachRecordOf(t, s.log, func(b batch.Batch, offset int64, r *batch.Record) {
			_, set := b.DeleteHorizon()
			all = append(all, fmt.Sprintf("%d %s=%s %v", offset, r.Key, r.Value, set))
		})
		return all
	}
	same := func(want ...string) {
		t.Helper()
		if got := clean(); !slices.Equal(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	add(2, false, "a", "committed") // 0
	add(1, false, "a", "aborted")   // 1
	add(2, true, "m", "commit")     // 2
	add(1, true, "m", "abort")      // 3
	add(9, true, "m", "last")       // 4
	same("0 a=committed false", "2 m=commit false", "3 m=abort false", "4 m=last true")
	add(3, false, "a", "newer") // 5
	same("2 m=commit false", "3 m=abort true", "4 m=last true", "5 a=newer false")
	add(3, false, "b", "other") // 6
	same("2 m=commit true", "3 m=abort true", "4 m=last true", "5 a=newer false", "6 b=other false")
	now = now.Add(time.Minute)
	add(3, false, "b", "more") // 7
	if all, err := s.log.Aborted(nil, 0, s.log.End(), false); err != nil || len(all) != 1 || all[0].Last != 3 {
		t.Fatalf("the marker is there, and %v is aborted: %v", all, err)
	}
	same("4 m=last true", "5 a=newer false", "7 b=more false")
	if all, err := s.log.Aborted(nil, 0, s.log.End(), false); err != nil || len(all) != 0 {
		t.Fatalf("the marker is gone, and %v is aborted: %v", all, err)
	}
}

// Segments that are too young, and what lies at the limit or behind it, stay as they are.
func TestWhatIsNotCleaned(t *testing.T) {
	s := newStage(t, keep())
	s.open(s.recovery())
	for range 5 {
		s.append(2)
		s.ok(s.log.Roll(today))
	}
	for _, one := range []struct {
		limit  int64
		o      CleanOptions
		now    time.Time
		to     int64
		due    bool
		cleans bool
	}{
		{10, CleanOptions{}, today, 10, false, true},
		{7, CleanOptions{}, today, 6, false, true},
		{1, CleanOptions{}, today, 0, false, false},
		{10, CleanOptions{MinLag: 5 * time.Second}, today.Add(8 * time.Second), 4, false, true},
		{10, CleanOptions{MaxLag: 5 * time.Second}, today.Add(4 * time.Second), 10, false, true},
		{10, CleanOptions{MaxLag: 5 * time.Second}, today.Add(6 * time.Second), 10, true, true},
	} {
		d, err := s.log.NewCleaning(one.limit, one.o).Dirt(one.now)
		s.ok(err)
		if d.To != one.to || d.Due != one.due || (d.Ratio() == 1) != one.cleans {
			t.Errorf("%+v: %+v", one, d)
		}
	}
}

// A segment that nobody has made durable yet is not cleaned, for the journal may still be
// asked to: what it would bring back after a crash must not go into a cleaned one.
func TestWhatIsNotDurableIsNotCleaned(t *testing.T) {
	o := keep()
	o.Later = func(time.Duration, func()) {}
	s := newStage(t, o)
	s.open(s.recovery())
	for range 3 {
		s.append(2)
		s.ok(s.log.Roll(today))
	}
	dirt := func(want int64) {
		t.Helper()
		d, err := s.log.NewCleaning(s.log.End(), CleanOptions{}).Dirt(today)
		s.ok(err)
		s.want("to", d.To, want)
	}
	dirt(4) // the roll before has synced all but the last
	var active, rolled diskio.Request
	s.log.Commit(&active, &rolled)
	dirt(4)
	s.ok(rolled.File.Sync())
	s.log.Committed()
	dirt(6)
	s.append(2)
	c := s.log.NewCleaning(s.log.End(), CleanOptions{})
	s.ok(s.log.Roll(today)) // the segment is sealed now, but was not durable when the cleaning began
	d, err := c.Dirt(today)
	s.ok(err)
	s.want("to", d.To, int64(6))
	s.close()
}

// The journal forgets all segments that are replaced before one that has the name of the first
// is there.
func TestTheJournalForgetsWhatIsReplaced(t *testing.T) {
	o := keep()
	forgotten := map[string]bool{}
	o.Forget = func(name string) error { forgotten[name] = true; return nil }
	s := newStage(t, o)
	s.open(s.recovery())
	for range 4 {
		s.append(2)
		s.ok(s.log.Roll(today))
	}
	c := s.log.NewCleaning(s.log.End(), CleanOptions{MapBytes: 1 << 20})
	swaps := 0
	c.o.Swap = func(f func() error) error {
		if swaps++; len(forgotten) != 4 {
			t.Fatalf("the journal has forgotten %v", forgotten)
		}
		return f()
	}
	d, err := c.Dirt(today)
	s.ok(err)
	stats, err := c.Run(d, today)
	s.ok(err)
	if stats.Segments != 4 || swaps != 2 || !forgotten["topic-0/00000000000000000006.log"] || !slices.Equal(s.bases(), []int64{0, 8}) {
		t.Fatalf("%+v, %d swaps, %v, %v", stats, swaps, forgotten, s.bases())
	}
}

// Who changes the log while it is cleaned wins, and nothing is left of the cleaning.
func TestACleaningThatIsOvertaken(t *testing.T) {
	for what, f := range map[string]func(s *stage){
		"segments removed": func(s *stage) {
			s.ok(s.log.SetStart(4))
			_, err := s.log.Retain(today, s.log.End(), 0)
			s.ok(err)
		},
		"truncated": func(s *stage) { s.ok(s.log.Truncate(3)) },
		"closed":    func(s *stage) { s.ok(s.log.Close()) },
		"deleted":   func(s *stage) { s.ok(s.log.Delete()) },
	} {
		s := newStage(t, keep())
		s.open(s.recovery())
		for range 4 {
			s.append(2)
			s.ok(s.log.Roll(today))
		}
		c := s.log.NewCleaning(s.log.End(), CleanOptions{MapBytes: 1 << 20})
		c.o.Swap = func(swap func() error) error {
			f(s)
			return swap()
		}
		d, err := c.Dirt(today)
		s.ok(err)
		if _, err := c.Run(d, today); !Overtaken(err) {
			t.Errorf("%s: %v", what, err)
		}
		names, _ := s.fs.ReadDir(s.dir)
		for _, name := range names {
			if strings.HasSuffix(name, cleanedSuffix) || strings.HasSuffix(name, swapSuffix) {
				t.Errorf("%s: %s is left", what, name)
			}
		}
	}
}

// A million records of which every key has two on average, as producers send them.
func BenchmarkClean(b *testing.B) {
	const count, keys, perBatch = 1_000_000, 500_000, 64
	random := rand.New(rand.NewPCG(1, 2))
	value := bytes.Repeat([]byte("v"), 226)
	for b.Loop() {
		b.StopTimer()
		o := Options{FS: diskio.OS, SegmentBytes: 32 << 20, RetentionBytes: -1, RetentionAge: -1, Now: func() time.Time { return today }}
		log, err := Open(b.TempDir(), o, Recovery{Clean: true, From: -1, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		var builder batch.Builder
		for base := int64(0); base < count; base += perBatch {
			builder.Reset()
			for range perBatch {
				builder.Append(today.UnixMilli(), fmt.Appendf(nil, "%016d", random.IntN(keys)), value, nil)
			}
			o := batch.NoProducer()
			o.BaseOffset = base
			one, err := builder.Finish(o)
			if err == nil {
				err = log.Append([][]byte{one}, today)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		b.SetBytes(log.Size())
		b.StartTimer()
		work := log.NewCleaning(log.End(), CleanOptions{MapBytes: 128 << 20})
		dirt, err := work.Dirt(today)
		if err == nil {
			_, err = work.Run(dirt, today)
		}
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := log.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
