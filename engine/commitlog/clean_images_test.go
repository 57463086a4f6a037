package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// TestImagesOfACleaning records a log being cleaned, and opens every disk that a loss of power
// may leave. Each has all keys with their last values, every segment follows the one before,
// and nothing is left of what was half done.
func TestImagesOfACleaning(t *testing.T) {
	total := 0
	for seed := range uint64(12) {
		k := newKeyed(t, seed)
		k.o.SyncOnRoll = seed%4 > 0
		k.open(false)
		for range 40 {
			k.append()
		}
		k.clean()
		for range 40 {
			k.append()
		}
		k.ok(k.log.Roll(k.clock))
		k.append()
		k.ok(k.log.Sync())
		trace := k.disk.Record()
		k.clean()
		k.append()
		k.ok(k.log.Sync())
		trace.Stop()
		end := k.log.End()
		for image := range trace.Images(diskio.ImageOptions{Seed: seed, Random: 2, Singles: 3, Every: 2, First: int(seed) % 2}) {
			total++
			k.checkImage(image, end)
		}
	}
	t.Logf("%d images", total)
	if total < 1000 {
		t.Fatal("fewer than 1,000 images")
	}
}

// checkImage opens an image twice, and cleans it.
func (k *keyed) checkImage(image *diskio.Image, end int64) {
	k.Helper()
	again := *k
	again.disk = image.Disk()
	again.o.FS = again.disk
	again.cleaned = 0
	for range 2 {
		log, err := Open("/data/topic-0", again.o, Recovery{From: -1, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			k.Fatalf("seed %d, %s: %v", k.seed, image, err)
		}
		again.log = log
		if log.End() < end-6 || log.End() > end {
			k.Fatalf("seed %d, %s: the log ends at %d, want about %d", k.seed, image, log.End(), end)
		}
		k.forgotten(&again)
		again.check()
		names, err := again.disk.ReadDir("/data/topic-0")
		k.ok(err)
		for _, name := range names {
			if strings.HasSuffix(name, cleanedSuffix) || strings.HasSuffix(name, swapSuffix) || strings.HasSuffix(name, deletedSuffix) {
				k.Fatalf("seed %d, %s: %s is left", k.seed, image, name)
			}
		}
		again.verify()
		again.clean()
		again.check()
	}
}

// forgotten takes from the model what was appended last, if it is not in the image.
func (k *keyed) forgotten(again *keyed) {
	again.latest, again.sequence = map[string]int64{}, map[int64]int32{}
	for at := range again.log.End() {
		if w, ok := k.all[at]; ok {
			again.latest[w.key] = at
		}
	}
}

// Damage in a segment that waits to be swapped in is told, and never becomes part of the log.
func TestDamageInASwap(t *testing.T) {
	k := newKeyed(t, 3)
	k.o.SyncOnRoll = true
	k.open(false)
	for range 40 {
		k.append()
	}
	k.ok(k.log.Roll(k.clock))
	var name string
	stop := fmt.Errorf("enough")
	c := k.log.NewCleaning(k.log.End(), k.options())
	c.o.Swap = func(func() error) error { return stop }
	list := *k.log.segments.Load()
	group := list[:2]
	n, err := c.fresh(group, newOffsetMap(10, 0), list[2].base, k.clock)
	k.ok(err)
	name = n.path + logSuffix
	k.ok(k.log.Close())
	k.ok(k.disk.Rename(name+cleanedSuffix, name+swapSuffix))
	whole, err := diskio.ReadFile(k.disk, name+swapSuffix)
	k.ok(err)
	refused := 0
	for _, h := range harms(int64(len(whole))) {
		if h.what == "removed" {
			continue
		}
		disk := k.disk.Clone()
		k.ok(h.do(disk, name+swapSuffix))
		o := k.o
		o.FS = disk
		log, err := Open("/data/topic-0", o, Recovery{From: -1, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			if !strings.Contains(err.Error(), swapSuffix) {
				t.Fatalf("%s: %v", h.what, err)
			}
			refused++
			continue
		}
		if after, err := readAll(log, log.Start()); err != nil {
			refused++
			continue
		} else if bytes.HasPrefix(withoutEpochs(after), withoutEpochs(whole)) {
			continue // the epoch lies outside of the CRC; the checkpoint of epochs knows it, for Verify
		}
		again := *k // what was cut where a segment begins that is there still
		again.log = log
		again.check()
	}
	if refused < len(whole) {
		t.Fatalf("%d of %d were refused", refused, len(whole))
	}
}

// A reader that holds a segment goes on in it after it was replaced, and the cleaned one
// answers for every offset from then on.
func TestReadersAndACleaningDoNotMeet(t *testing.T) {
	k := newKeyed(t, 5)
	k.open(false)
	for range 60 {
		k.append()
	}
	k.ok(k.log.Roll(k.clock))
	k.ok(k.log.Sync())
	var held []Range
	var want []string
	for at := int64(0); at < k.log.End(); {
		r, err := k.log.Locate(at, 1, math.MaxInt64)
		k.ok(err)
		p := make(batch.Batch, r.Bytes)
		_, err = r.File.ReadAt(p, r.Position)
		k.ok(err)
		held, want, at = append(held, r), append(want, string(p)), p.NextOffset()
	}
	if stats := k.clean(); stats.Segments == 0 {
		t.Fatal("nothing was replaced")
	}
	for i, r := range held {
		p := make([]byte, r.Bytes)
		if _, err := r.File.ReadAt(p, r.Position); err != nil || string(p) != want[i] {
			t.Fatalf("range %d: %v", i, err)
		}
		r.Release()
	}
	k.check()
}

// Readers on other goroutines find every offset while the log is cleaned over and over.
func TestReadingWhileALogIsCleaned(t *testing.T) {
	k := newKeyed(t, 8)
	k.open(false)
	stop, done := make(chan struct{}), make(chan error, 3)
	for range 3 {
		go func() {
			for {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				end := k.log.End()
				for at := int64(0); at < end; {
					r, err := k.log.Locate(at, 1, math.MaxInt64)
					if err != nil || r.Bytes == 0 {
						done <- fmt.Errorf("locate %d of %d: %w", at, end, err)
						return
					}
					p := make(batch.Batch, r.Bytes)
					_, err = r.File.ReadAt(p, r.Position)
					r.Release()
					if err == nil {
						err = p.Check()
					}
					if err != nil || p.BaseOffset() > at || p.NextOffset() <= at {
						done <- fmt.Errorf("read %d: %w", at, err)
						return
					}
					at = p.NextOffset()
				}
				if _, _, _, err := k.log.OffsetForTime(today.UnixMilli()+1000, end, nil); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range 60 {
		for range 5 {
			k.append()
		}
		k.clean()
	}
	close(stop)
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	k.check()
}

// A reader may have seen an end of the log that, since more was appended and cleaned, lies
// within a batch without records. That is no damage: it looks again.
func TestReadingUpToAnEndThatWasCleanedAway(t *testing.T) {
	k := newKeyed(t, 8)
	k.open(false)
	within, ends := 0, []int64{0}
	for range 20 {
		for range 5 {
			k.append()
			ends = append(ends, k.log.End())
		}
		k.clean()
		for i, offset := range ends[:len(ends)-1] {
			r, err := k.log.findUpTo(ends[i+1], offset, 1, math.MaxInt64, sight{})
			if _, damaged := errors.AsType[*Damage](err); damaged {
				within++
			}
			r.Release()
			again, err := k.log.Locate(offset, 1, math.MaxInt64)
			k.ok(err)
			if again.Bytes == 0 {
				t.Fatalf("nothing is at %d of %d", offset, k.log.End())
			}
			again.Release()
		}
	}
	if within == 0 {
		t.Error("no end came to lie within a batch")
	}
}

// TestEveryDamageOfACleanedLogIsFound harms the files of a log that was cleaned as
// TestEveryDamageIsFound does those of one that was not: no gap is allowed in it either.
func TestEveryDamageOfACleanedLogIsFound(t *testing.T) {
	for _, clean := range []bool{true, false} {
		k := newKeyed(t, 2)
		k.o.SyncOnRoll, k.o.SegmentBytes, k.o.IndexInterval = true, 700, 150
		k.open(false)
		for range 30 {
			k.append()
		}
		k.clean()
		k.append()
		k.ok(k.log.Sync())
		fillers := 0
		k.ok(k.log.Headers(0, func(b batch.Batch) error {
			if b.Count() == 0 {
				fillers++
			}
			return nil
		}))
		if fillers < 3 {
			t.Fatalf("%d batches without records", fillers)
		}
		d := &damageStage{disk: k.disk, o: k.o, dir: "/data/topic-0"}
		d.read(t, k.log)
		list := *k.log.segments.Load()
		d.last = list[len(list)-1].base
		if clean {
			k.ok(k.log.Close())
		}
		d.disk = k.disk.Clone()
		names, err := d.disk.ReadDir(d.dir)
		k.ok(err)
		count := 0
		for _, name := range names {
			found, _ := d.disk.Stat(d.dir + "/" + name)
			for n, h := range harms(found.Size) {
				if n%sampleDamages() == 0 {
					count++
					d.harm(t, name, h, Recovery{Clean: clean, From: d.end})
				}
			}
		}
		t.Logf("%d damages, clean %v, %d batches without records", count, clean, fillers)
	}
}
