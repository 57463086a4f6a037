package shard

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

const every = 50 * time.Millisecond

// intervalSettings are those of a topic that is synced within an interval.
func intervalSettings() *Settings {
	s := *testSettings(false)
	s.FlushEvery, s.Log.SyncOnRoll = every, true
	return &s
}

// passed lets an interval pass and waits until the shard has asked for a sync.
func (h *house) passed(s *handSyncer) {
	h.clock.pass(every)
	for s.waiting() == 0 {
		h.shard.Wait(func() {})
	}
}

func (h *handSyncer) waiting() int {
	h.guard.Lock()
	defer h.guard.Unlock()
	return len(h.held)
}

// TestIntervalSync acknowledges at once, syncs within the interval, and again what came
// meanwhile; a power cut then loses no more than what came after the last sync began.
func TestIntervalSync(t *testing.T) {
	files, syncer := diskio.NewMemory(), &handSyncer{}
	h := newHouse(t, files, syncer)
	r := h.topic("t", 1, 1, intervalSettings()).Replica(0)
	say := func(value string) {
		t.Helper()
		s := send(r, records(t, batch.NoProducer(), value))
		if <-s.ended; s.Err != nil {
			t.Fatal(s.Err)
		}
	}
	say("a")
	say("b")
	h.settled()
	if n := syncer.waiting(); n != 0 || r.HighWatermark() != 2 {
		t.Fatalf("%d syncs before the interval has passed, high watermark %d", n, r.HighWatermark())
	}
	h.passed(syncer)
	say("c") // while the sync is under way
	h.settled()
	if n := syncer.release(); n != 1 {
		t.Fatalf("%d syncs", n)
	}
	h.settled()
	if got := r.durable.Load(); got != 2 {
		t.Fatalf("durable up to %d", got)
	}
	if n := syncer.waiting(); n != 0 {
		t.Fatal("the next sync does not wait for its interval")
	}
	h.passed(syncer)
	say("d")
	syncer.release() // which makes more durable than it promised
	h.settled()
	if got := r.durable.Load(); got != 3 {
		t.Fatalf("durable up to %d", got)
	}
	say("e")
	h.settled()
	files.Crash()
	h.open(false, nil)
	again := h.topic("t", 1, 1, intervalSettings()).Replica(0)
	h.shard.Wait(again.Settle)
	if got, err := values(again); err != nil || fmt.Sprint(got) != "[a b c d]" {
		t.Fatal(got, err)
	}
}

// TestIntervalBegins changes the mode of a topic: what is not synced yet will be.
func TestIntervalBegins(t *testing.T) {
	syncer := &handSyncer{}
	h := newHouse(t, diskio.NewMemory(), syncer)
	r := h.topic("t", 1, 1, testSettings(false)).Replica(0)
	<-send(r, records(t, batch.NoProducer(), "a")).ended
	h.shard.Wait(func() { r.Configure(intervalSettings()) })
	h.passed(syncer)
	syncer.release()
	h.settled()
	if got := r.durable.Load(); got != 1 {
		t.Fatalf("durable up to %d", got)
	}
	<-send(r, records(t, batch.NoProducer(), "b")).ended
	h.shard.Wait(func() { r.Configure(testSettings(true)) })
	if n := syncer.waiting(); n != 1 {
		t.Fatalf("%d syncs when answers begin to wait for them", n)
	}
	syncer.release()
	h.settled()
	h.shard.Wait(func() {
		if r.later.index != 0 {
			t.Error("the interval goes on")
		}
	})
}

// TestIntervalSyncFails stops the disk, as a failed sync does in every mode.
func TestIntervalSyncFails(t *testing.T) {
	files, syncer := diskio.NewMemory(), &handSyncer{}
	h := newHouse(t, files, syncer)
	r := h.topic("t", 1, 1, intervalSettings()).Replica(0)
	<-send(r, records(t, batch.NoProducer(), "a")).ended
	h.passed(syncer)
	files.FailSync(errors.New("broken"))
	syncer.release()
	h.settled()
	if h.disk.Failed() == nil {
		t.Fatal("the disk goes on")
	}
	s := send(r, records(t, batch.NoProducer(), "b"))
	if <-s.ended; s.Err == nil {
		t.Fatal("a record is acknowledged on a disk that was stopped")
	}
}

// TestIntervalEnds deletes and retires partitions in the middle of an interval.
func TestIntervalEnds(t *testing.T) {
	syncer := &handSyncer{}
	h := newHouse(t, diskio.NewMemory(), syncer)
	topic := h.topic("t", 1, 2, intervalSettings())
	for p := range int32(2) {
		<-send(topic.Replica(p), records(t, batch.NoProducer(), "a")).ended
	}
	h.shard.Wait(topic.Replica(0).Delete)
	left := make(chan struct{})
	h.shard.Do(func() {
		h.shard.Retire(func(*Replica) {}, func() { close(left) })
	})
	h.settled()
	if n := syncer.release(); n != 1 {
		t.Fatalf("%d syncs at the end", n)
	}
	<-left
	h.clock.pass(2 * every)
	h.shard.Wait(func() {
		if len(h.shard.timers) != 0 {
			t.Errorf("%d timers are left", len(h.shard.timers))
		}
	})
}

// TestIntervalCountsFromTheWrite: what is written while a slow sync is under way does not
// wait for an interval more once that ends.
func TestIntervalCountsFromTheWrite(t *testing.T) {
	syncer := &handSyncer{}
	h := newHouse(t, diskio.NewMemory(), syncer)
	r := h.topic("t", 1, 1, intervalSettings()).Replica(0)
	<-send(r, records(t, batch.NoProducer(), "a")).ended
	h.passed(syncer)
	<-send(r, records(t, batch.NoProducer(), "b")).ended
	h.clock.pass(every)
	h.settled()
	if n := syncer.release(); n != 1 {
		t.Fatalf("%d syncs at a time", n)
	}
	h.settled()
	if n := syncer.release(); n != 1 {
		t.Fatalf("%d syncs once the slow one has ended, an interval after the write", n)
	}
	h.settled()
	if got := r.Durable(); got != 2 {
		t.Fatalf("durable up to %d", got)
	}
}

// TestPartitionsShareTheirMoment: what is written to many partitions within half an interval
// is synced at one moment, so that they can share a round of the journal.
func TestPartitionsShareTheirMoment(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	moments := map[time.Time]bool{}
	for i := range 24 {
		wrote := now.Add(time.Duration(i) * time.Millisecond)
		due := dueBy(wrote, every)
		if wait := due.Sub(wrote); wait > every || wait <= every/2-time.Nanosecond {
			t.Fatalf("written at %v, due %v later, the interval is %v", wrote, wait, every)
		}
		moments[due] = true
	}
	if len(moments) != 1 {
		t.Fatalf("%d moments", len(moments))
	}
	for _, least := range []time.Duration{1, 2, 3} {
		if wait := dueBy(now, least).Sub(now); wait > least {
			t.Fatalf("due %v later, the interval is %v", wait, least)
		}
	}
}

// TestRecordsBeginASync: flush.messages, with and without an interval.
func TestRecordsBeginASync(t *testing.T) {
	for _, between := range []time.Duration{0, every} {
		syncer := &handSyncer{}
		h := newHouse(t, diskio.NewMemory(), syncer)
		s := intervalSettings()
		s.FlushEvery, s.FlushRecords = between, 3
		r := h.topic("t", 1, 1, s).Replica(0)
		<-send(r, records(t, batch.NoProducer(), "a", "b")).ended
		h.settled()
		if n := syncer.waiting(); n != 0 {
			t.Fatalf("%d syncs after two records", n)
		}
		<-send(r, records(t, batch.NoProducer(), "c")).ended
		h.settled()
		if n := syncer.release(); n != 1 {
			t.Fatalf("%d syncs after three records", n)
		}
		h.settled()
		if got := r.Durable(); got != 3 {
			t.Fatalf("durable up to %d", got)
		}
	}
}

// TestIntervalAcrossARoll: the sync of an interval is about the segment that was rolled, too,
// and the disk is stopped when that one's fails.
func TestIntervalAcrossARoll(t *testing.T) {
	syncer := &handSyncer{}
	h := newHouse(t, diskio.NewMemory(), syncer)
	h.disk.Release() // nobody seals the segment meanwhile
	s := intervalSettings()
	s.Log.SegmentBytes = 100
	r := h.topic("t", 1, 1, s).Replica(0)
	for _, value := range []string{"a", "b"} {
		<-send(r, records(t, batch.NoProducer(), value)).ended
	}
	h.settled()
	if log, _ := r.Log(); log.Segments() != 2 {
		t.Fatalf("%d segments", log.Segments())
	}
	h.passed(syncer)
	if n := syncer.waiting(); n != 2 {
		t.Fatalf("%d files are to be synced", n)
	}
	rolled := syncer.held[0]
	syncer.held = syncer.held[1:]
	syncer.release()
	h.settled()
	if got := r.Durable(); got != 0 {
		t.Fatalf("durable up to %d, and the first segment is not synced", got)
	}
	rolled.Done(rolled, errors.New("broken"))
	h.settled()
	if h.disk.Failed() == nil {
		t.Fatal("the disk goes on")
	}
}

// The sync of a segment that was rolled has nobody who waits for it. When it fails its disk stops
// all the same.
func TestABackgroundSyncThatFailsStopsTheDisk(t *testing.T) {
	files := diskio.NewMemory()
	h := newHouse(t, files, nil)
	later := make(chan func(), 10)
	h.disk.Later = func(_ time.Duration, f func()) { later <- f }
	settings := testSettings(false)
	settings.Log.SegmentBytes = 1
	r := h.topic("t", 1, 1, settings).Replica(0)
	for range 2 {
		s := send(r, records(t, batch.NoProducer(), "a record"))
		h.settled()
		if s.Err != nil {
			t.Fatal(s.Err)
		}
	}
	files.FailSync(syscall.EIO)
	(<-later)()
	if err := h.disk.Failed(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("the disk says %v", err)
	}
}
