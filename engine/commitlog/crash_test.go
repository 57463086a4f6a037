package commitlog

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

var (
	seeds     = flag.Uint64("seeds", 400, "how many seeds the crash test runs")
	firstSeed = flag.Uint64("seed", 0, "the first of them")
)

// history is what a test knows of a log, and a log must agree with after every crash.
type history struct {
	*testing.T
	seed   uint64
	random *rand.Rand
	disk   *diskio.Memory
	dir    string
	o      Options
	log    *Log
	trace  []string

	now    time.Time
	epoch  int32
	later  []func()
	synced int64 // every batch below is durable
	start  int64 // the start is here or above …
	tried  int64 // … and not above this
	// submitted are all batches that may lie at an offset.
	submitted map[int64][][]byte
	current   map[int64][]byte // the batch that was appended last at an offset, and not cut off again
	states    map[int64]string // snapshots that were written
	promised  int64            // offset of the newest that is durable
	clean     bool
	killed    bool          // it is only the process that dies
	recording *diskio.Trace // nil: nobody records
}

// newHistory is the history of an empty log, with settings that seed chooses.
func newHistory(t *testing.T, seed uint64) *history {
	random := rand.New(rand.NewPCG(seed, 1))
	h := &history{T: t, seed: seed, random: random, disk: diskio.NewMemory(), dir: "/data/topic-0", now: today,
		submitted: map[int64][][]byte{}, current: map[int64][]byte{}, states: map[int64]string{}, promised: -1}
	h.o = Options{
		FS: h.disk, SegmentBytes: 300 + random.Int64N(3000), IndexInterval: 1 + random.IntN(600), SyncOnRoll: random.IntN(4) > 0,
		RetentionBytes: 2000 + random.Int64N(20000), RetentionAge: -1, DeleteDelay: time.Duration(random.IntN(2)) * time.Minute,
	}
	h.hooks()
	return h
}

// hooks gives the log the clock of h, and lets it put off work until h does it.
func (h *history) hooks() {
	h.o.Now = func() time.Time { return h.now }
	h.o.Later = func(_ time.Duration, f func()) { h.later = append(h.later, f) }
}

// mark tells the recording what is promised, and what may have been done, from here on.
func (h *history) mark() {
	if h.recording != nil {
		known := *h
		known.submitted, known.current, known.states = maps.Clone(h.submitted), maps.Clone(h.current), maps.Clone(h.states)
		known.trace = slices.Clone(h.trace)
		h.recording.Mark(&known)
	}
}

func (h *history) note(format string, args ...any) {
	h.trace = append(h.trace, fmt.Sprintf(format, args...))
}

func (h *history) fail(format string, args ...any) {
	h.Helper()
	for _, line := range h.trace[max(0, len(h.trace)-40):] {
		h.Log(line)
	}
	h.Fatalf("seed %d: %s", h.seed, fmt.Sprintf(format, args...))
}

func TestCrashes(t *testing.T) {
	for seed := *firstSeed; seed < *firstSeed+*seeds; seed++ {
		h := newHistory(t, seed)
		for range 6 {
			h.life()
		}
	}
}

// life opens the log, works on it, and ends: cleanly, killed, or with the power.
func (h *history) life() {
	r := Recovery{Clean: h.clean, From: -1, Log: slog.New(slog.DiscardHandler)}
	if h.random.IntN(2) == 0 && h.o.SyncOnRoll {
		r.From = h.synced
	}
	if h.random.IntN(4) == 0 {
		h.disk.HaltAfter(h.random.Int64N(20)) // dies while it opens
	}
	h.note("open %+v", r)
	log, err := Open(h.dir, h.o, r)
	if err != nil {
		if !errors.Is(err, diskio.ErrHalted) {
			h.fail("open: %v", err)
		}
		h.clean = false
		h.die()
		return
	}
	h.log, h.clean = log, false
	h.disk.HaltAfter(-1)
	h.check()
	h.disk.HaltAfter(h.random.Int64N(150))
	for range 10 + h.random.IntN(60) {
		h.act()
	}
	if h.random.IntN(3) == 0 {
		err := h.log.Close()
		h.note("close: %v", err)
		if h.clean = err == nil; h.clean {
			h.synced = max(h.synced, h.log.End())
		}
	}
	h.die()
}

// die ends the process, or the power; what was put off never happens.
func (h *history) die() {
	h.later = nil
	way := h.random.IntN(4)
	if h.killed {
		way = 0
	}
	switch way {
	case 0:
		h.note("killed")
		h.disk.HaltAfter(-1)
		h.disk.SetSpace(-1)
	case 1:
		h.note("power cut")
		h.disk.SetSpace(-1)
		h.disk.Crash()
	default:
		seed := h.random.Uint64()
		h.note("power cut, torn by %d", seed)
		h.disk.SetSpace(-1)
		h.disk.Tear(seed)
	}
}

func (h *history) act() {
	switch n := h.random.IntN(20); {
	case n < 9:
		h.appendSome()
	case n < 13:
		target := h.log.End()
		err := committed(h.log, h.random.IntN(2) == 0)
		if !h.o.SyncOnRoll {
			err = h.log.Sync()
		}
		h.note("sync to %d: %v", target, err)
		if err == nil {
			h.synced = max(h.synced, target)
		}
	case n == 13:
		h.note("roll: %v", h.log.Roll(h.now))
	case n == 14:
		to := h.log.Start() + h.random.Int64N(max(1, h.synced-h.log.Start()+1))
		if to > h.synced {
			return
		}
		h.tried = max(h.tried, to)
		h.mark()
		err := h.log.SetStart(to)
		h.note("start to %d: %v", to, err)
		if err == nil {
			h.start = max(h.start, to)
		}
	case n == 15:
		h.tried = max(h.tried, h.synced)
		h.mark()
		removed, err := h.log.Retain(h.now, h.synced, 0)
		h.note("retain: %d, %v", removed, err)
		if err == nil {
			h.start = max(h.start, h.log.Start())
		}
	case n == 16:
		h.snapshot()
	case n == 17 && h.random.IntN(3) == 0:
		to := h.synced + h.random.Int64N(h.log.End()-h.synced+1)
		cuts := to < h.log.End()
		err := h.log.Truncate(to)
		h.note("truncate to %d: %v", to, err)
		h.synced = min(h.synced, h.log.End())
		if cuts && err == nil {
			h.cutOff(h.log.End())
		}
		if h.promised > h.log.End() {
			h.promised = -1
		}
	case n == 18:
		space := int64(-1)
		if h.random.IntN(2) == 0 {
			space = h.random.Int64N(1500)
		}
		h.note("space %d", space)
		h.disk.SetSpace(space)
	case len(h.later) > 0:
		i := h.random.IntN(len(h.later))
		f := h.later[i]
		h.later = slices.Delete(h.later, i, i+1)
		h.note("do what was put off")
		f()
	}
}

// cutOff forgets the batches from end on, which are gone for good.
func (h *history) cutOff(end int64) {
	for at := range h.submitted {
		if at >= end {
			delete(h.submitted, at)
			delete(h.current, at)
		}
	}
}

func (h *history) appendSome() {
	h.now = h.now.Add(time.Duration(h.random.IntN(1000)) * time.Millisecond)
	if h.random.IntN(20) == 0 {
		h.epoch++
	}
	var group [][]byte
	end := h.log.End()
	for range 1 + h.random.IntN(6) {
		b := records(h, end, h.epoch, 1+h.random.IntN(5), h.now.UnixMilli(), h.random.IntN(200))
		h.submitted[end] = append(h.submitted[end], b)
		group, end = append(group, b), batch.Batch(b).NextOffset()
	}
	h.mark()
	before := h.log.End()
	err := h.log.Append(group, h.now)
	h.note("append %d batches from %d to %d: %v", len(group), before, end, err)
	if want := end; err == nil && h.log.End() != want || err != nil && h.log.End() != before {
		h.fail("the log ends at %d", h.log.End())
	}
	if err == nil {
		for _, b := range group {
			h.current[batch.Batch(b).BaseOffset()] = b
		}
		h.readBack(group)
	}
}

// readBack reads what was just appended.
func (h *history) readBack(group [][]byte) {
	for _, want := range group {
		b := batch.Batch(want)
		got := h.read(b.BaseOffset() + h.random.Int64N(int64(b.Count())))
		if !bytes.Equal(got, want) {
			h.fail("at offset %d something else was read", b.BaseOffset())
		}
	}
}

func (h *history) read(offset int64) batch.Batch {
	r, err := h.log.Locate(offset, 1, math.MaxInt64)
	if err != nil || r.Bytes == 0 {
		h.fail("locate %d in %d to %d: %v", offset, h.log.Start(), h.log.End(), err)
	}
	defer r.Release()
	data := make(batch.Batch, r.Bytes)
	if _, err := r.File.ReadAt(data, r.Position); err != nil {
		h.fail("read %d: %v", offset, err)
	}
	return data
}

func (h *history) snapshot() {
	at := h.log.End()
	state := fmt.Sprintf("state %d of seed %d", at, h.random.Uint64())
	before := h.states[at]
	h.states[at] = before + "|" + state // either
	h.mark()
	err := h.log.WriteSnapshot(at, []byte(state))
	h.note("snapshot at %d: %v", at, err)
	if err == nil {
		h.states[at] = state
		h.promised = max(h.promised, at)
	}
}

// check compares the log that was opened with everything that was promised.
func (h *history) check() {
	start, end := h.log.Start(), h.log.End()
	h.note("opened: %d to %d; synced %d, start %d to %d", start, end, h.synced, h.start, h.tried)
	switch {
	case end < h.synced:
		h.fail("the log ends at %d, %d was synced", end, h.synced)
	case start < h.start || start > max(h.tried, h.start):
		h.fail("the log starts at %d, want %d to %d", start, h.start, h.tried)
	}
	size := int64(0)
	for _, s := range *h.log.segments.Load() {
		size += s.size.Load()
	}
	if size != h.log.Size() {
		h.fail("the size is %d, the segments have %d", h.log.Size(), size)
	}
	epoch := int32(-1)
	for at := start; at < end; {
		b := h.read(at)
		if !slices.ContainsFunc(h.submitted[b.BaseOffset()], func(known []byte) bool { return bytes.Equal(known, b) }) {
			h.fail("at offset %d lies what nobody appended", at)
		}
		if sure := h.current[b.BaseOffset()]; b.BaseOffset() < h.synced && sure != nil && !bytes.Equal(sure, b) {
			h.fail("at offset %d lies another batch than the one that was made durable", at)
		}
		h.current[b.BaseOffset()] = b
		if b.LeaderEpoch() < epoch {
			h.fail("epoch %d after %d", b.LeaderEpoch(), epoch)
		}
		if e, to := h.log.EpochEnd(b.LeaderEpoch()); e != b.LeaderEpoch() || to < b.NextOffset() {
			h.fail("epoch %d ends at %d (%d), and has a batch up to %d", b.LeaderEpoch(), to, e, b.NextOffset())
		}
		epoch, at = b.LeaderEpoch(), b.NextOffset()
	}
	h.checkSnapshot(end)
	err := Verify(h.disk, h.dir, func(p Problem) {
		// An index that the crash has torn is made again when it is used.
		// Retention on a full disk cannot save the start before it removes segments.
		derived := strings.HasSuffix(p.File, indexSuffix) || strings.HasSuffix(p.File, timeSuffix)
		if !derived && !strings.Contains(p.Text, "it is the first segment") {
			h.fail("verify: %s", p)
		}
	})
	if err != nil {
		h.fail("verify: %v", err)
	}
	// What was recovered is shown to readers, so it has to stay.
	if h.o.SyncOnRoll {
		h.synced = end
	}
	// Other batches at these offsets are gone for good.
	h.cutOff(end)
	h.start, h.tried = start, max(h.tried, start)
	h.epoch = max(h.epoch, epoch)
}

func (h *history) checkSnapshot(end int64) {
	at, state, err := h.log.Snapshot()
	if err != nil {
		h.fail("snapshot: %v", err)
	}
	if h.promised > end {
		h.promised = -1 // it knew of batches that are gone, and went with them
	}
	if state == nil {
		if h.promised >= 0 {
			h.fail("the snapshot at %d is gone", h.promised)
		}
		return
	}
	if at > end || at < h.promised || !bytes.Contains([]byte(h.states[at]), state) {
		h.fail("snapshot at %d is %q, want %q; %d was promised", at, state, h.states[at], h.promised)
	}
	h.promised = at
}

// The test above notices a disk that does not do what it says.
func TestCrashTestCanFail(t *testing.T) {
	m := diskio.NewMemory()
	o := Options{FS: lying{m}, SyncOnRoll: true}
	log, err := Open("/data/topic-0", o, Recovery{From: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(log.Append([][]byte{records(t, 0, 0, 5, 1, 10)}, today), log.Active().Sync()); err != nil {
		t.Fatal(err)
	}
	m.Crash()
	if log, err = Open("/data/topic-0", o, Recovery{From: -1, Log: slog.New(slog.DiscardHandler)}); err != nil || log.End() != 0 {
		t.Fatalf("a disk that never syncs kept the log up to %d, %v", log.End(), err)
	}
}

// lying is a disk whose syncs do nothing.
type lying struct{ diskio.FS }

type lyingFile struct{ diskio.File }

func (d lying) Open(name string, flag int) (diskio.File, error) {
	f, err := d.FS.Open(name, flag)
	return lyingFile{f}, err
}

func (lyingFile) Sync() error { return nil }
