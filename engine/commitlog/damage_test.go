package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// Of so many damages one is tried.
const (
	damageEvery      = 1
	damageEveryShort = 11 // with -short or -race
)

func sampleDamages() int {
	if testing.Short() || raceEnabled {
		return damageEveryShort
	}
	return damageEvery
}

// harm is one thing that happened to a file.
type harm struct {
	what string
	do   func(disk *diskio.Memory, name string) error
}

func spoilt(what string, f func([]byte) []byte) harm {
	return harm{what, func(disk *diskio.Memory, name string) error { return disk.Spoil(name, f) }}
}

// harms flips a bit of every byte, of each byte another; cuts at every length; makes zeros of
// it; and takes the file away.
func harms(size int64) (all []harm) {
	for at := range size {
		for _, bit := range []int64{at % 8, (at + 5) % 8} {
			all = append(all, spoilt(fmt.Sprintf("bit %d of byte %d flipped", bit, at), func(p []byte) []byte { p[at] ^= 1 << bit; return p }))
		}
		all = append(all, spoilt(fmt.Sprintf("cut to %d bytes", at), func(p []byte) []byte { return p[:at] }))
	}
	return append(all,
		spoilt("only zeros", func(p []byte) []byte { return make([]byte, len(p)) }),
		spoilt("zeros in the second half", func(p []byte) []byte { clear(p[len(p)/2:]); return p }),
		spoilt("a byte more", func(p []byte) []byte { return append(p, 7) }),
		harm{"removed", func(disk *diskio.Memory, name string) error { return disk.Remove(name) }})
}

// damageStage is a log with every kind of file, and what it holds.
type damageStage struct {
	disk      *diskio.Memory
	o         Options
	dir       string
	whole     []byte // all batches
	start     int64
	end       int64
	state     []byte // of the newest snapshot
	epochEnds string
	last      int64             // base of the last segment
	older     map[string][]byte // content of files as they were a while before
	aborted   []batch.Aborted   // all that was
	saved     map[int64]derived // what the snapshots at these offsets stand for
}

// derived is what a snapshot keeps of transactions.
type derived struct {
	open  map[int64]int64
	loose []batch.Aborted
}

// transact is what happens to transactions behind the plain batch of that number: a producer's next
// records, or how its transaction ends. Of two that overlap the first that ends leaves the other's
// beginning as the last stable offset.
var transact = map[int]batch.Marker{
	1: {ProducerID: 7}, 2: {ProducerID: 8}, 4: {ProducerID: 7}, 7: {ProducerID: 9}, 9: {ProducerID: 7}, 12: {ProducerID: 8},
	3: aborts(7), 5: {ProducerID: 8, Commit: true, CoordinatorEpoch: ends}, 6: aborts(7), 10: aborts(9), 11: aborts(7), 13: aborts(8),
}

// ends is the epoch of what is a marker in transact.
const ends = 1

func aborts(id int64) batch.Marker { return batch.Marker{ProducerID: id, CoordinatorEpoch: ends} }

// transact appends what happens to transactions behind the plain batch n.
func (d *damageStage) transact(s *stage, n int, t *tracker) {
	m, ok := transact[n]
	if !ok {
		return
	}
	at := s.log.End()
	b := m.Batch(today.UnixMilli() + int64(1000*n) + 500)
	if m.CoordinatorEpoch != ends {
		var w batch.Builder
		w.Append(today.UnixMilli()+int64(1000*n)+500, nil, []byte("value"), nil)
		b, _ = w.Finish(batch.BatchOptions{ProducerID: m.ProducerID, Transactional: true})
	}
	b.SetBaseOffset(at)
	b.SetLeaderEpoch(int32(n / 4))
	if a, ok := t.add(b); ok {
		d.aborted = append(d.aborted, a)
		s.log.Abort(a)
	}
	s.ok(s.log.Append([][]byte{b}, today))
}

// recover does what the owner of a log does behind Open: it tells of what the snapshot and the batches
// know of transactions.
func (d *damageStage) recover(log *Log) error {
	from, state, err := log.Snapshot()
	if err != nil {
		return err
	}
	t := tracker{open: map[int64]int64{}}
	if state == nil {
		from = -1
	} else {
		maps.Copy(t.open, d.saved[from].open)
		for _, a := range d.saved[from].loose {
			log.Recover(a)
		}
	}
	err = log.Headers(from, func(b batch.Batch) error {
		if b.BaseOffset() < from {
			return nil
		}
		if a, ok := t.add(b); ok {
			log.Recover(a)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return log.Recovered()
}

func newDamageStage(t *testing.T, commit, clean bool) *damageStage {
	t.Helper()
	m := diskio.NewMemory()
	o := Options{FS: m, SegmentBytes: 700, IndexInterval: 150, RetentionBytes: -1, RetentionAge: -1, SyncOnRoll: commit, TopicID: [16]byte{9},
		Later: func(_ time.Duration, f func()) { f() }, Now: func() time.Time { return today }}
	s := newStage(t, o)
	s.fs = m
	s.open(s.recovery())
	d := &damageStage{disk: m, o: s.o, dir: s.dir, older: map[string][]byte{}, saved: map[int64]derived{}}
	track := tracker{open: map[int64]int64{}}
	save := func(state string) {
		d.saved[s.log.End()] = derived{maps.Clone(track.open), s.log.LooseAborted()}
		s.ok(s.log.WriteSnapshot(s.log.End(), []byte(state)))
	}
	for n := range 14 {
		b := batch.Batch(records(t, s.log.End(), int32(n/4), 1+n%3, today.UnixMilli()+int64(1000*n), 20))
		s.ok(s.log.Append([][]byte{b}, today))
		d.transact(s, n, &track)
		switch n {
		case 4:
			save("the state before")
		case 6:
			s.ok(s.log.SetStart(2))
		case 10:
			s.ok(s.log.SetStart(5))
			save("the state of producers")
		case 8:
			names, err := m.ReadDir(s.dir)
			s.ok(err)
			for _, name := range names {
				d.older[name], err = diskio.ReadFile(m, s.dir+"/"+name)
				s.ok(err)
			}
		}
	}
	s.ok(s.log.Sync())
	d.read(t, s.log)
	d.last = s.bases()[len(s.bases())-1]
	if clean {
		s.close()
	}
	d.disk = m.Clone()
	return d
}

func (d *damageStage) read(t *testing.T, log *Log) {
	d.start, d.end = log.Start(), log.End()
	_, state, err := log.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	d.state, d.epochEnds = state, epochEnds(log)
	if d.whole, err = readAll(log, d.start); err != nil {
		t.Fatal(err)
	}
}

func epochEnds(log *Log) (text string) {
	for e := range int32(6) {
		found, end := log.EpochEnd(e)
		text += fmt.Sprint(found, " ", end, "; ")
	}
	return text
}

// visible are the aborted transactions that a reader of all records has to know.
func (d *damageStage) visible() []batch.Aborted {
	return slices.DeleteFunc(slices.Clone(d.aborted), func(a batch.Aborted) bool { return a.Last < d.start })
}

var errReader = errors.New("the reader sees it")

// readAll reads as a consumer does, who checks every batch.
func readAll(log *Log, from int64) (all []byte, _ error) {
	for at := from; at < log.End(); {
		r, err := log.Locate(at, 1, math.MaxInt64)
		if err != nil {
			return nil, fmt.Errorf("%w: locate %d: %w", errReader, at, err)
		}
		if r.Bytes == 0 {
			return nil, fmt.Errorf("%w: nothing at %d of %d", errReader, at, log.End())
		}
		p := make(batch.Batch, r.Bytes)
		_, err = r.File.ReadAt(p, r.Position)
		r.Release()
		if err == nil {
			err = p.Check()
		}
		if err == nil && (p.BaseOffset() > at || p.LastOffset() < at) {
			err = fmt.Errorf("asked for offset %d, got a batch from %d to %d", at, p.BaseOffset(), p.LastOffset())
		}
		if err != nil {
			return nil, fmt.Errorf("%w: at %d: %w", errReader, at, err)
		}
		all, at = append(all, p...), p.NextOffset()
	}
	return all, nil
}

// verdict is what became of a harm, in the words of judge.
type verdict struct {
	refused bool
	sees    error  // a reader's
	differs string // from what was there, though nobody was told
	// epochOnly: what differs is the leader epoch of a batch, which no checksum covers.
	epochOnly bool
	told      bool // the log has a warning
	verified  bool // Verify reports something
	err       error
}

// withoutEpochs is batches with leader epoch 0.
func withoutEpochs(all []byte) []byte {
	all = slices.Clone(all)
	for at := 0; at < len(all); {
		b := batch.Batch(all[at:])
		b.SetLeaderEpoch(0)
		at += b.Size()
	}
	return all
}

// judge opens the log on a harmed disk.
func (d *damageStage) judge(t *testing.T, disk *diskio.Memory, r Recovery) (v verdict) {
	t.Helper()
	err := Verify(disk, d.dir, func(Problem) { v.verified = true })
	if err != nil {
		v.verified = true
	}
	out := new(bytes.Buffer)
	r.Log = slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o := d.o
	o.FS = disk
	log, err := Open(d.dir, o, r)
	if err != nil {
		v.refused, v.err = true, err
		return v
	}
	whole, err := readAll(log, log.Start())
	if err == nil {
		err = d.recover(log)
	}
	var aborted []batch.Aborted
	if err == nil {
		aborted, err = log.Aborted(nil, log.Start(), log.End(), false)
	}
	_, state, snapshotErr := log.Snapshot()
	v.told = out.Len() > 0
	switch {
	case err != nil:
		v.sees = err
	case log.Start() != d.start || log.End() != d.end:
		v.differs = fmt.Sprintf("from %d to %d, was from %d to %d", log.Start(), log.End(), d.start, d.end)
	case !bytes.Equal(whole, d.whole):
		v.differs, v.epochOnly = "other batches are read", bytes.Equal(withoutEpochs(whole), withoutEpochs(d.whole))
	case epochEnds(log) != d.epochEnds:
		v.differs = fmt.Sprintf("epochs are %s, were %s", epochEnds(log), d.epochEnds)
	case !slices.Equal(aborted, d.visible()):
		v.differs = fmt.Sprintf("aborted are %v, were %v", aborted, d.visible())
	case snapshotErr != nil:
		v.sees = snapshotErr
	case !bytes.Equal(state, d.state) && !v.told:
		v.differs = fmt.Sprintf("the snapshot is %q", state)
	}
	return v
}

// TestEveryDamageIsFound harms every file of a log that is closed, in every way, and opens
// it: it is refused, or what it holds is the same, or the reader of what is broken sees it.
// And Verify finds it, unless the file is one that is made again.
func TestEveryDamageIsFound(t *testing.T) {
	count := 0
	for _, commit := range []bool{true, false} {
		for _, clean := range []bool{true, false} {
			t.Run(fmt.Sprintf("commit %v clean %v", commit, clean), func(t *testing.T) {
				d := newDamageStage(t, commit, clean)
				names, err := d.disk.ReadDir(d.dir)
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range names {
					found, _ := d.disk.Stat(d.dir + "/" + name)
					all := harms(found.Size)
					if old, ok := d.older[name]; ok {
						all = append(all, spoilt("an older version", func([]byte) []byte { return slices.Clone(old) }))
					}
					for _, other := range names {
						if content, _ := diskio.ReadFile(d.disk, d.dir+"/"+other); other != name && strings.HasSuffix(name, txnSuffix) && strings.HasSuffix(other, txnSuffix) {
							all = append(all, spoilt("that of another segment", func([]byte) []byte { return slices.Clone(content) }))
						}
					}
					for n, h := range all {
						if n%sampleDamages() > 0 {
							continue
						}
						count++
						d.harm(t, name, h, Recovery{Clean: clean, From: d.end})
						if clean && strings.HasSuffix(name, logSuffix) {
							count++
							d.harm(t, name, h, Recovery{Clean: true, From: -1}) // the index knows enough
						}
					}
				}
			})
		}
	}
	t.Logf("%d damages", count)
}

// same reports whether a text file still says the same.
func (d *damageStage) same(name string, disk *diskio.Memory) bool {
	before, _ := diskio.ReadFile(d.disk, d.dir+"/"+name)
	after, _ := diskio.ReadFile(disk, d.dir+"/"+name)
	switch name {
	case topicFile:
		a, err := parseTopic(string(before))
		b, err2 := parseTopic(string(after))
		return a == b && err == nil && err2 == nil
	case epochFile:
		a, err := parseEpochs(string(before))
		b, err2 := parseEpochs(string(after))
		return err == nil && err2 == nil && slices.Equal(a, b)
	}
	return false
}

func (d *damageStage) harm(t *testing.T, name string, h harm, r Recovery) {
	t.Helper()
	disk := d.disk.Clone()
	before, _ := diskio.ReadFile(disk, d.dir+"/"+name)
	if err := h.do(disk, d.dir+"/"+name); err != nil {
		t.Fatal(err)
	}
	if after, err := diskio.ReadFile(disk, d.dir+"/"+name); err == nil && bytes.Equal(before, after) {
		return
	}
	v := d.judge(t, disk, r)
	removed := h.what == "removed"
	clean := r.Clean
	last := strings.HasPrefix(name, segmentName(d.last))
	switch {
	case v.epochOnly && (v.verified || last && !clean):
		// Kafka's format has the epoch outside of the CRC. The checkpoint knows it for all but
		// the segment that is appended to.
	case v.differs != "" && v.told && (name == startFile && v.verified || name == segmentName(0)+logSuffix):
		// Not proved to be damage, but nobody is left in the dark.
	case v.refused && !v.verified && last && !clean:
		// Only the recovery point knows that the log had more batches.
	case name == topicFile && v.refused:
		// Only who opens the log knows which id is right.
	case name == startFile && h.what == "an older version" && !clean:
		// What was deleted since shows again; the epochs would tell after the next roll.
	case removed && strings.HasSuffix(name, snapshotSuffix) && v.differs != "":
		// The one before it and the batches say the same.
	case v.differs != "":
		t.Errorf("%s: %s: nobody notices: %s (verify %v, told %v)", name, h.what, v.differs, v.verified, v.told)
	case v.refused && !removed && !strings.Contains(v.err.Error(), name):
		t.Errorf("%s: %s: the error does not name the file: %v", name, h.what, v.err)
	case !v.verified && (v.refused || v.sees != nil):
		t.Errorf("%s: %s: verify finds nothing: %v %v", name, h.what, v.err, v.sees)
	case !v.verified && !removed && !d.same(name, disk) && !strings.HasSuffix(name, indexSuffix) && !strings.HasSuffix(name, timeSuffix):
		t.Errorf("%s: %s: verify finds nothing, and nothing differs", name, h.what)
	}
}

// TestDamageUnderARunningLog harms the segments of a log that is open, whose indexes are in
// memory or have to be read or made again. Whoever reads gets what was written, an error, or
// bytes whose checksum says that they are broken; never a whole batch from a wrong place.
func TestDamageUnderARunningLog(t *testing.T) {
	d := newDamageStage(t, true, true)
	originals := map[int64][]byte{}
	for at := 0; at < len(d.whole); {
		b := batch.Batch(d.whole[at:])
		b = b[:b.Size()]
		for o := b.BaseOffset(); o < b.NextOffset(); o++ {
			originals[o] = b
		}
		at += len(b)
	}
	names, err := d.disk.ReadDir(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	served, refused, broken := 0, 0, 0
	for _, name := range names {
		if !strings.HasSuffix(name, logSuffix) && !strings.HasSuffix(name, indexSuffix) && !strings.HasSuffix(name, txnSuffix) {
			continue
		}
		found, _ := d.disk.Stat(d.dir + "/" + name)
		for n, h := range harms(found.Size) {
			if n%sampleDamages() > 0 {
				continue
			}
			disk := d.disk.Clone()
			o := d.o
			o.FS = disk
			log, err := Open(d.dir, o, Recovery{Clean: true, From: d.end, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			if n%2 == 0 { // the indexes are in memory
				if _, err := readAll(log, log.Start()); err != nil {
					t.Fatal(err)
				}
			}
			if n%6 < 3 {
				if _, err := log.Aborted(nil, log.Start(), log.End(), false); err != nil {
					t.Fatal(err)
				}
			}
			if err := h.do(disk, d.dir+"/"+name); err != nil {
				t.Fatal(err)
			}
			if aborted, err := log.Aborted(nil, log.Start(), log.End(), false); err == nil && !slices.Equal(aborted, d.visible()) {
				t.Fatalf("%s: %s: aborted are %v, were %v", name, h.what, aborted, d.visible())
			}
			for o := log.Start(); o < log.End(); o++ {
				r, err := log.Locate(o, 1, math.MaxInt64)
				if err == nil && r.Bytes == 0 {
					t.Fatalf("%s: %s: nothing at offset %d, as if it were to come", name, h.what, o)
				}
				p := make(batch.Batch, r.Bytes)
				if err == nil {
					_, err = r.File.ReadAt(p, r.Position)
				}
				r.Release()
				switch {
				case err != nil:
					refused++
				case p.Check() != nil:
					broken++
				case !bytes.Equal(withoutEpochs(p), withoutEpochs(originals[o])):
					t.Fatalf("%s: %s: at offset %d a whole batch from %d to %d is served, which is another", name, h.what, o, p.BaseOffset(), p.LastOffset())
				default:
					served++
				}
			}
		}
	}
	t.Logf("%d reads got what was written, %d were refused, %d got bytes that their checksum refuses", served, refused, broken)
	if served == 0 || refused == 0 || broken == 0 {
		t.Fatal("some of these never happens")
	}
}
