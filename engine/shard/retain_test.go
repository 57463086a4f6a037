package shard

import (
	"math"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// renaming is a file system that says when a file is about to be renamed.
type renaming struct {
	diskio.FS
	before func()
}

func (f *renaming) Rename(from, to string) error {
	f.before()
	return f.FS.Rename(from, to)
}

// While retention removes segments, the start that is shown is never below the one that reads are held against: a
// client that is told OFFSET_OUT_OF_RANGE asks where the log starts, and would take its records for lost.
func TestTheStartIsShownBeforeReadsAreRefused(t *testing.T) {
	files := &renaming{diskio.NewMemory(), func() {}}
	h := newHouse(t, files, nil)
	settings := testSettings(false)
	settings.Log.SegmentBytes, settings.Log.RetentionBytes = 100, 1
	r := h.topic("t", 1, 1, settings).Replica(0)
	for range 5 {
		s := send(r, records(t, batch.NoProducer(), "a record that fills most of a segment by itself, with nothing behind it"))
		h.settled()
		if s.Err != nil {
			t.Fatal(s.Err)
		}
	}
	log, err := r.Log()
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	files.before = func() {
		if _, err := log.Locate(0, 1, math.MaxInt64); err == kerr.OffsetOutOfRange {
			refused++
			if r.Start() == 0 {
				t.Errorf("a read of offset 0 is refused, and the log is shown to start there; it starts at %d", log.Start())
			}
		}
	}
	h.shard.Wait(func() { r.Retain(h.clock.now()) })
	if refused == 0 {
		t.Error("nobody was refused while segments were removed")
	}
}

// What retention saves of producers, when it begins a new segment, is what the log has: a batch that was admitted a
// moment ago and then finds no room would be taken for a repetition when it comes again, and be lost.
func TestRetentionSavesNoProducerAheadOfTheLog(t *testing.T) {
	files := diskio.NewMemory()
	h := newHouse(t, files, nil)
	settings := testSettings(false)
	settings.Log.RetentionAge = time.Hour
	r := h.topic("t", 1, 1, settings).Replica(0)
	of := func(producer int64, sequence int32) batch.Batch {
		o := batch.NoProducer()
		o.ProducerID, o.ProducerEpoch, o.BaseSequence = producer, 0, sequence
		return records(t, o, "a")
	}
	send(r, of(1, 0))
	h.settled()
	h.clock.pass(2 * time.Hour)
	lost := &sent{ended: make(chan struct{})}
	lost.Append = Append{Replica: r, Batch: of(2, 0), Owner: &lost.owner, Finish: lost}
	h.shard.Wait(func() {
		lost.Run(h.shard)
		r.Retain(h.clock.now())
		files.SetSpace(0)
	})
	if <-lost.ended; lost.Err == nil || r.Start() != 1 {
		t.Fatalf("a full disk answers %v, the log begins at %d", lost.Err, r.Start())
	}
	files.SetSpace(-1)
	send(r, of(1, 1))
	h.settled()
	h.shard.Stop() // as a kill: nothing more is saved
	h.open(false, nil)
	r = h.topic("t", 1, 1, settings).Replica(0)
	again := send(r, of(2, 0))
	h.settled()
	if <-again.ended; again.Err != nil || again.Base != 2 {
		t.Errorf("what was refused comes again and is at %d, want 2: %v", again.Base, again.Err)
	}
}
