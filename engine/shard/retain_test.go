package shard

import (
	"math"
	"testing"

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
