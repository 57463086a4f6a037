package commitlog

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

var (
	imageRuns   = flag.Int("runs", 0, "how many runs the image test records; 0: imagesRuns, or imagesRunsShort")
	onlyImage   = flag.Int("image", -1, "check only the image of this number, of the run that -run names")
	exportImage = flag.String("export", "", "write the image of -image to this folder, to be looked at with millrace log verify and dump")
)

// How many runs are recorded. All of imagesRuns give more than 20,000 images.
const (
	imagesRuns      = 24
	imagesRunsShort = 4 // with -short or -race

	// imagesEveryShort: with -short or -race only each so-many'th point of those is looked at. An
	// image is opened by one goroutine, of which the race detector learns little.
	imagesEveryShort = 12
)

// TestImages records runs of a log on a disk, makes of each the disks that a loss of power
// at any moment may leave, and opens each of them. See diskio.Trace.Images for which these
// are, and history.check for what must be true of them.
func TestImages(t *testing.T) {
	runs := imagesRuns
	if testing.Short() || raceEnabled {
		runs = imagesRunsShort
	}
	if *imageRuns > 0 {
		runs = *imageRuns
	}
	total := make(chan int, 2*runs)
	t.Run("run", func(t *testing.T) {
		for seed := *firstSeed; seed < *firstSeed+uint64(runs); seed++ {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				total <- recordLife(t, seed)
			})
		}
	})
	close(total)
	sum := 0
	for n := range total {
		sum += n
	}
	t.Logf("%d images of %d runs", sum, runs)
	if runs >= imagesRuns && sum < 20_000 && *onlyImage < 0 {
		t.Fatal("fewer than 20,000 images")
	}
}

// recordLife lives a few lives unrecorded, records one, and checks its images.
func recordLife(t *testing.T, seed uint64) (images int) {
	h := newHistory(t, seed)
	for n := range seed % 4 {
		// Half of the runs begin with what a killed process has left in the page cache.
		h.killed = n+1 == seed%4 && seed%8 < 4
		h.life()
	}
	h.disk.HaltAfter(-1)
	h.disk.SetSpace(-1)
	h.recording = h.disk.Record()
	h.mark()
	h.recordedLife()
	trace := h.recording
	trace.Stop()
	every := 3
	if !h.o.SyncOnRoll {
		every = 8 // much is not durable for long, so that every point has many images
	}
	if testing.Short() || raceEnabled {
		every *= imagesEveryShort
	}
	for image := range trace.Images(diskio.ImageOptions{Seed: seed, Random: 2, Singles: 3, Every: every, First: int(seed) % every}) {
		if *onlyImage >= 0 && image.Number != *onlyImage {
			continue
		}
		if *exportImage != "" && *onlyImage >= 0 {
			if err := image.Disk().Export(diskio.OS, *exportImage); err != nil {
				t.Fatal(err)
			}
		}
		images += checkImage(t, image, image.Number%211 == 0)
	}
	return images
}

// recordedLife is a life whose end is not a crash, for that comes in the images.
func (h *history) recordedLife() {
	log, err := Open(h.dir, h.o, Recovery{Clean: h.clean, From: -1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		h.fail("open: %v", err)
	}
	h.clean, h.log = false, log
	h.check()
	h.mark()
	for range 40 {
		h.act()
		h.mark()
	}
	h.disk.SetSpace(-1)
	if h.random.IntN(2) == 0 {
		err := h.log.Close()
		h.note("close: %v", err)
		if h.clean = err == nil; h.clean {
			h.synced = max(h.synced, h.log.End())
		}
		h.mark()
	}
}

// at is what h knows, for an image.
func at(t *testing.T, image *diskio.Image, disk *diskio.Memory) *history {
	h := *image.Mark.(*history)
	known := &h
	known.recording = nil
	known.T, known.disk, known.later = t, disk, nil
	known.submitted, known.current, known.states = cloned(h.submitted), cloned(h.current), cloned(h.states)
	known.random = rand.New(rand.NewPCG(h.seed, uint64(image.Number)))
	known.o.FS = disk
	known.hooks()
	known.note("crash: %s; again with -run '%s$' -image %d", image, t.Name(), image.Number)
	return known
}

func cloned[V any](m map[int64]V) map[int64]V {
	out := make(map[int64]V, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// checkImage opens an image, and again, and works on it. With deeper it records what the
// opening does, and checks the images of a second crash in the middle of that.
func checkImage(t *testing.T, image *diskio.Image, deeper bool) (images int) {
	disk := image.Disk()
	h := at(t, image, disk)
	r := Recovery{Clean: h.clean && image.Number%3 == 0, From: -1, Log: slog.New(slog.DiscardHandler)}
	if h.o.SyncOnRoll && image.Number%2 == 0 {
		r.From = h.synced
	}
	if deeper {
		h.recording = disk.Record()
		h.mark()
	}
	h.reopen(r)
	h.mark()
	content := h.all()
	h.reopen(Recovery{From: r.From, Log: r.Log})
	if again := h.all(); !bytes.Equal(again, content) {
		h.fail("opened a second time it has %d bytes, before %d", len(again), len(content))
	}
	h.appendSome()
	if err := h.log.Sync(); err != nil {
		h.fail("sync: %v", err)
	}
	h.synced = h.log.End()
	h.mark()
	if err := h.log.Close(); err != nil {
		h.fail("close: %v", err)
	}
	h.reopen(Recovery{Clean: true, From: h.synced, Log: r.Log})
	if !deeper {
		return 1
	}
	trace := h.recording
	trace.Stop()
	for second := range trace.Images(diskio.ImageOptions{Seed: h.seed, Random: 1, Singles: 2}) {
		images += checkImage(t, second, false)
	}
	return images + 1
}

// reopen opens the log as a process does that finds it, and checks it.
func (h *history) reopen(r Recovery) {
	h.later = nil
	log, err := Open(h.dir, h.o, r)
	if err != nil {
		h.fail("open %+v: %v", r, err)
	}
	h.log = log
	h.check()
}

// all is every batch from the start on.
func (h *history) all() (all []byte) {
	for at := h.log.Start(); at < h.log.End(); {
		b := h.read(at)
		all, at = append(all, b...), b.NextOffset()
	}
	return all
}

// What an append that failed has left in the file, and what was cut off again, must not
// come back behind the end of a segment that has a successor.
func TestUndoneAppendDoesNotComeBackBehindARoll(t *testing.T) {
	s := newStage(t, keep())
	s.open(s.recovery())
	s.append(3)
	s.ok(s.log.Sync())
	trace := s.memory().Record()
	s.memory().SetSpace(50)
	if err := s.log.Append([][]byte{s.next(5)}, today); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	s.memory().SetSpace(-1)
	s.ok(s.log.Roll(today))
	trace.Stop()
	for image := range trace.Images(diskio.ImageOptions{}) {
		again := newStage(t, Options{FS: image.Disk(), SyncOnRoll: true, RetentionBytes: -1, RetentionAge: -1})
		log, err := Open(again.dir, again.o, again.recovery())
		if err != nil || log.End() != 3 {
			t.Fatalf("%s: %v", image, err)
		}
	}
}

// A log that was deleted stays so once Delete has returned, and until then it is whole.
func TestImagesOfADeletion(t *testing.T) {
	s := newStage(t, keep())
	var later []func()
	s.o.Later = func(_ time.Duration, f func()) { later = append(later, f) }
	s.o.SegmentBytes = 200
	s.open(s.recovery())
	s.append(2, 2, 2, 2)
	s.ok(s.log.Sync())
	trace := s.memory().Record()
	trace.Mark(false)
	s.ok(s.log.Delete())
	trace.Mark(true)
	for _, f := range later {
		f()
	}
	trace.Stop()
	for image := range trace.Images(diskio.ImageOptions{}) {
		disk := image.Disk()
		_, err := disk.Stat(s.dir)
		deleted := err != nil
		if image.Mark.(bool) && !deleted {
			t.Fatalf("%s: the log is back", image)
		}
		s.ok(RemoveDeleted(disk, filepath.Dir(s.dir)))
		if names, _ := disk.ReadDir(filepath.Dir(s.dir)); len(names) > 1 || deleted && len(names) > 0 {
			t.Fatalf("%s: left over %v", image, names)
		}
		if deleted {
			continue
		}
		o := s.o
		o.FS = disk
		log, err := Open(s.dir, o, s.recovery())
		if err != nil || log.End() != 8 || log.Start() != 0 {
			t.Fatalf("%s: %v", image, err)
		}
	}
}

// The checks of TestImages notice a log whose syncs do nothing.
func TestImagesCanFail(t *testing.T) {
	m := diskio.NewMemory()
	o := Options{FS: lying{m}, SyncOnRoll: true}
	log, err := Open("/data/topic-0", o, Recovery{From: -1})
	if err != nil {
		t.Fatal(err)
	}
	trace := m.Record()
	one := batch.Batch(records(t, 0, 0, 5, 1, 10))
	if err := errors.Join(log.Append([][]byte{one}, today), log.Active().Sync()); err != nil {
		t.Fatal(err)
	}
	trace.Mark("acknowledged")
	trace.Stop()
	lost := 0
	for image := range trace.Images(diskio.ImageOptions{}) {
		again, err := Open("/data/topic-0", Options{FS: image.Disk(), SyncOnRoll: true}, Recovery{From: -1, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if r, _ := again.Locate(0, 1, math.MaxInt64); image.Mark != nil && r.Bytes == 0 {
			lost++
		}
	}
	if lost == 0 {
		t.Fatal("a disk that never syncs lost nothing")
	}
}

// A sync failed, and the process was started again on the same machine: the page cache shows
// batches that are not on the disk, and calls the next sync a success. What is appended and
// acknowledged behind them must not go down with them in a power cut.
func TestWhatAFailedSyncLeftIsWrittenAgain(t *testing.T) {
	for _, again := range []bool{true, false} {
		s := newStage(t, keep())
		s.open(s.recovery())
		s.append(2)
		s.ok(s.log.Sync())
		s.append(3)
		s.memory().FailSync(syscall.EIO)
		if err := s.log.Sync(); !errors.Is(err, ErrSync) {
			t.Fatal(err)
		}
		s.memory().FailSync(nil)
		r := s.recovery()
		r.Rewrite = again
		s.open(r)
		s.append(4)
		s.ok(s.log.Sync())
		trace := s.memory().Record()
		trace.Stop()
		lost := 0
		for image := range trace.Images(diskio.ImageOptions{}) {
			after := newStage(t, Options{FS: image.Disk(), SyncOnRoll: true, RetentionBytes: -1, RetentionAge: -1})
			log, err := Open(after.dir, after.o, after.recovery())
			s.ok(err)
			if log.End() != 9 {
				lost++
			}
		}
		if again == (lost > 0) {
			t.Fatalf("written again %v: %d images have lost what was acknowledged", again, lost)
		}
	}
}

// Cutting a log back over several segments, after which more is appended: whatever comes to
// the disk, no segment follows a gap, and nothing that was cut off is there once Truncate has
// returned.
func TestImagesOfATruncation(t *testing.T) {
	for _, to := range []int64{0, 2, 3, 5} {
		o := keep()
		o.SegmentBytes = 150
		s := newStage(t, o)
		s.open(s.recovery())
		s.append(2, 2, 2, 2, 2)
		s.ok(s.log.Sync())
		trace := s.memory().Record()
		trace.Mark(int64(-1))
		s.ok(s.log.Truncate(to))
		cut := s.log.End()
		trace.Mark(cut)
		s.append(1)
		s.ok(s.log.Sync())
		trace.Stop()
		n := 0
		for image := range trace.Images(diskio.ImageOptions{}) {
			n++
			again := newStage(t, Options{FS: image.Disk(), SyncOnRoll: true, RetentionBytes: -1, RetentionAge: -1, SegmentBytes: 150})
			for range 2 {
				log, err := Open(again.dir, again.o, again.recovery())
				if err != nil {
					t.Fatalf("cut to %d, %s: %v", to, image, err)
				}
				if end := log.End(); end < cut || image.Mark.(int64) >= 0 && end > cut+1 {
					t.Fatalf("cut to %d, %s: the log ends at %d, want %d", to, image, end, cut)
				}
				again.log = log
				again.all()
			}
		}
		if n < 20 {
			t.Fatalf("%d images", n)
		}
	}
}

// In os mode a torn segment ends the log, and what follows it is dropped: a second crash in the
// middle of that leaves no gap.
func TestImagesOfDroppingWhatFollowsATornSegment(t *testing.T) {
	o := Options{SegmentBytes: 150, RetentionBytes: -1, RetentionAge: -1, Later: func(time.Duration, func()) {}}
	s := newStage(t, o)
	s.open(s.recovery())
	s.append(2, 2, 2, 2, 2, 2)
	s.ok(s.memory().Spoil(s.dir+"/"+segmentName(s.bases()[1])+logSuffix, func(p []byte) []byte { return p[:len(p)-1] }))
	first := s.bases()[1]
	trace := s.memory().Record()
	s.open(s.recovery())
	trace.Stop()
	for image := range trace.Images(diskio.ImageOptions{}) {
		o := s.o
		o.FS = image.Disk()
		again := newStage(t, o)
		for range 2 {
			log, err := Open(again.dir, o, again.recovery())
			if err != nil {
				t.Fatalf("%s: %v", image, err)
			}
			if log.End() > first {
				t.Fatalf("%s: the log ends at %d, and is torn before %d", image, log.End(), first+2)
			}
			again.log = log
			again.all()
		}
	}
}
