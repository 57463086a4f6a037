package shard

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// TestSteppedShard: nothing happens but in steps, and what was posted before a Wait has
// happened after it.
func TestSteppedShard(t *testing.T) {
	files, c, held := diskio.NewMemory(), newClock(), &handSyncer{}
	if err := files.MkdirAll("/data"); err != nil {
		t.Fatal(err)
	}
	s := Start(Options{Now: c.now, Log: slog.New(&noticed{}), Stepped: true})
	h := &house{t: t, files: files, clock: c, shard: s}
	h.disk = &Disk{Path: "/data", FS: files, Syncer: held, Log: slog.New(&noticed{})}
	r := h.topic("t", 1, 1, testSettings(true)).Replica(0)
	a := send(r, records(t, batch.NoProducer(), "a"))
	if !s.Pending() || r.Settled() {
		t.Fatal("the shard has worked without a step")
	}
	s.Step()
	if s.Pending() || a.done() || held.release() != 1 || !s.Pending() {
		t.Fatal("one step does not append and ask for a sync")
	}
	s.Step()
	if !a.done() || r.HighWatermark() != 1 {
		t.Fatalf("answered %v, high watermark %d", a.done(), r.HighWatermark())
	}
	fired := false
	timer := &Timer{Task: &call{f: func() { fired = true }}}
	if !s.Wait(func() { s.SetTimer(timer, c.now().Add(time.Second)) }) || s.Due() != c.now().Add(time.Second) {
		t.Fatalf("a timer is due at %v", s.Due())
	}
	c.pass(time.Second)
	if s.Step(); !fired || !s.Due().IsZero() {
		t.Fatal("a step does not do what is due")
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	r.stable.Store(7)
	if err := s.Check(); err == nil || !strings.Contains(err.Error(), "t-0: last stable offset 7, high watermark 1") {
		t.Fatalf("a last stable offset above the high watermark: %v", err)
	}
}
