package shard

import (
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// steady is a producer that uses its append again and again, as a pooled request does.
type steady struct {
	Append
	batch batch.Batch
	ended chan struct{}
}

func (s *steady) Appended(*Append) { s.ended <- struct{}{} }

func (s *steady) send() {
	s.Append.Batch = s.batch
	s.Send()
	<-s.ended
}

// onRealDisk is one partition on the operating system's files, warmed up.
func onRealDisk(t testing.TB, commit bool) (*house, *steady) {
	syncer := diskio.NewSyncer(diskio.SyncerOptions{})
	t.Cleanup(syncer.Close)
	h := newHouse(t, diskio.OS, syncer)
	r := h.topic("t", 1, 1, testSettings(commit)).Replica(0)
	s := &steady{batch: records(t, batch.NoProducer(), "steady"), ended: make(chan struct{}, 1)}
	s.Replica, s.Finish = r, s
	for range 100 {
		s.send()
	}
	return h, s
}

// TestSteadyAppendAllocatesNothing: from Send to the answer, through admission, write, sync
// and acknowledgement, on all goroutines together.
func TestSteadyAppendAllocatesNothing(t *testing.T) {
	for name, commit := range map[string]bool{"commit": true, "os": false} {
		t.Run(name, func(t *testing.T) {
			_, s := onRealDisk(t, commit)
			if n := testing.AllocsPerRun(200, s.send); n != 0 {
				t.Fatalf("an append allocates %v times, want 0", n)
			}
			if s.Err != nil || s.Base < 200 {
				t.Fatalf("offset %d, %v", s.Base, s.Err)
			}
		})
	}
}

// TestSteadyWaitAllocatesNothing: a fetch waits, is woken by an append, ends, and waits again.
func TestSteadyWaitAllocatesNothing(t *testing.T) {
	h, s := onRealDisk(t, false)
	w := newWaiter(nil, 1, time.Now().Add(time.Hour))
	round := func() {
		w.Need, w.When = 1, h.clock.now().Add(time.Hour)
		w.Add(s.Replica, s.Replica.Committed(), false)
		w.Begin()
		s.send()
		<-w.woken
		w.again()
	}
	round()
	if n := testing.AllocsPerRun(200, round); n != 0 {
		t.Fatalf("a wait allocates %v times, want 0", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	for name, commit := range map[string]bool{"commit": true, "os": false} {
		b.Run(name, func(b *testing.B) {
			_, s := onRealDisk(b, commit)
			b.ReportAllocs()
			b.SetBytes(int64(len(s.batch)))
			for b.Loop() {
				s.send()
			}
		})
	}
}

func BenchmarkQueue(b *testing.B) {
	var q Queue
	var one [64]Node
	b.ReportAllocs()
	for b.Loop() {
		for i := range one {
			q.Push(&one[i])
		}
		if q.Take() == nil {
			b.Fatal("queue lost its tasks")
		}
	}
}
