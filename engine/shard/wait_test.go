package shard

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// waiter is a fetch that waits.
type waiter struct {
	Wait
	woken chan struct{}
	free  chan struct{}
	wakes atomic.Int32
}

func newWaiter(r *Replica, need int64, deadline time.Time) *waiter {
	w := &waiter{woken: make(chan struct{}, 1), free: make(chan struct{}, 1)}
	w.Wait.Call, w.Need, w.When = w, need, deadline
	if r != nil {
		w.Add(r, r.Committed(), false)
	}
	return w
}

func (w *waiter) begin() { w.Begin() }

func (w *waiter) Wake() {
	if w.wakes.Add(1) > 1 {
		panic("woken twice")
	}
	w.woken <- struct{}{}
}

func (w *waiter) Idle() { w.free <- struct{}{} }

func (w *waiter) wokenNow() bool {
	select {
	case <-w.woken:
		return true
	default:
		return false
	}
}

// again ends the wait and makes it ready to be used once more.
func (w *waiter) again() {
	w.End()
	<-w.free
	w.wakes.Store(0)
}

// TestNoWakeUpIsLost has readers wait on partitions of several shards for all that
// writers append. Deadlines are far away: a lost wake-up ends in the test's own.
func TestNoWakeUpIsLost(t *testing.T) {
	const partitions, writers, each = 6, 4, 150
	files := diskio.NewMemory()
	syncer := diskio.NewSyncer(diskio.SyncerOptions{})
	defer syncer.Close()
	var replicas []*Replica
	for i := range 3 {
		h := newHouse(t, files, syncer)
		topic := h.topic(string(rune('a'+i)), byte(i+1), partitions/3, testSettings(true))
		for p := range partitions / 3 {
			replicas = append(replicas, topic.Replica(int32(p)))
		}
	}
	one := int64(len(records(t, batch.NoProducer(), "x")))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { readAll(replicas, writers*each*one) })
	}
	for range writers {
		all.Go(func() {
			for i := range each {
				<-send(replicas[i%partitions], records(t, batch.NoProducer(), "x")).ended
			}
		})
	}
	all.Wait()
	for _, r := range replicas {
		r.shard.Wait(func() {
			if r.watchers != nil {
				t.Error("somebody still watches")
			}
		})
		if _, fetches := r.shard.Waiting(); fetches != 0 {
			t.Errorf("%d fetches still wait", fetches)
		}
	}
}

// readAll waits until the replicas together have committed so many bytes, each time for
// a random part of what is missing.
func readAll(replicas []*Replica, total int64) {
	w := newWaiter(nil, 0, time.Time{})
	for {
		seen := make([]int64, len(replicas))
		sum := int64(0)
		for i, r := range replicas {
			seen[i] = r.Committed()
			sum += seen[i]
		}
		if sum >= total {
			return
		}
		for i, r := range replicas {
			w.Add(r, seen[i], false)
		}
		w.Need = 1 + rand.Int64N(total-sum)
		w.When = time.Now().Add(time.Hour)
		w.Begin()
		if rand.IntN(20) == 0 { // the connection closed
			if !w.Cancel() {
				<-w.woken
			}
			<-w.free
			w.wakes.Store(0)
			continue
		}
		<-w.woken
		w.again()
	}
}

// TestCancelAndWakeExcludeEachOther races the end of a connection with data.
func TestCancelAndWakeExcludeEachOther(t *testing.T) {
	syncer := diskio.NewSyncer(diskio.SyncerOptions{})
	defer syncer.Close()
	h := newHouse(t, diskio.NewMemory(), syncer)
	r := h.topic("t", 1, 1, testSettings(false)).Replica(0)
	cancelled := 0
	for range 500 {
		w := newWaiter(r, 1, time.Now().Add(time.Hour))
		w.Begin()
		a := send(r, records(t, batch.NoProducer(), "x"))
		if w.Cancel() {
			cancelled++
			<-w.free
			if w.wakes.Load() != 0 {
				t.Fatal("cancelled and woken")
			}
		} else {
			<-w.woken
			<-w.free
		}
		<-a.ended
	}
	t.Logf("%d of 500 were cancelled in time", cancelled)
}

func TestADeadlineWakes(t *testing.T) {
	h := newHouse(t, diskio.NewMemory(), &handSyncer{})
	r := h.topic("t", 1, 1, testSettings(true)).Replica(0)
	w := newWaiter(r, 1, h.clock.now().Add(time.Second))
	w.Begin()
	h.settled()
	if w.wokenNow() {
		t.Fatal("woken before its time")
	}
	h.clock.pass(time.Second)
	h.settled()
	<-w.woken
	w.again()
	h.shard.Wait(func() {
		if len(h.shard.timers) != 0 {
			t.Error("a timer is left behind")
		}
	})
}

// TestAWaitOnNothingOpensNothing: a fetch of a partition without records waits, and makes
// no folder.
func TestAWaitOnNothingOpensNothing(t *testing.T) {
	files := diskio.NewMemory()
	h := newHouse(t, files, &handSyncer{})
	r := h.topic("t", 1, 1, testSettings(true)).Replica(0)
	w := newWaiter(r, 1, h.clock.now().Add(time.Hour))
	w.Begin()
	h.settled()
	if names, err := files.ReadDir("/data"); err != nil || len(names) != 0 || w.wokenNow() {
		t.Fatalf("there is %v, %v", names, err)
	}
	if !w.Cancel() {
		t.Fatal("it was woken")
	}
	<-w.free
}
