package shard

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// opened is a partition whose log is open and was appended to, in a house whose topics
// acknowledge from the page cache.
func opened(t *testing.T, files diskio.FS) (*house, *Replica) {
	t.Helper()
	h := newHouse(t, files, &handSyncer{})
	r := h.topic("t", 1, 1, testSettings(false)).Replica(0)
	<-send(r, records(t, batch.NoProducer(), "first")).ended
	h.settled()
	return h, r
}

// park keeps the goroutine of a shard busy until the returned function is called.
func park(s *Shard) (release func()) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s.Do(func() {
		close(entered)
		<-leave
	})
	<-entered
	return func() { close(leave) }
}

// TestGuestAppendsAtOnce sends to a shard that sleeps: it is done when Send returns.
func TestGuestAppendsAtOnce(t *testing.T) {
	h, r := opened(t, diskio.NewMemory())
	asleep(h.shard)
	if s := send(r, records(t, batch.NoProducer(), "second")); !s.done() || s.Err != nil || s.Base != 1 {
		t.Fatalf("done %v, error %v, offset %d", s.done(), s.Err, s.Base)
	}
	if got, err := values(r); err != nil || fmt.Sprint(got) != "[first second]" {
		t.Fatal(got, err)
	}
}

// asleep waits until the goroutine of a shard has let it go.
func asleep(s *Shard) {
	for s.asleep.Load() == 0 || s.held.Load() {
		s.Wait(func() {})
	}
}

// TestGuestKeepsOrder sends while others are at work, and while others wait.
func TestGuestKeepsOrder(t *testing.T) {
	h, r := opened(t, diskio.NewMemory())
	release := park(h.shard)
	second := send(r, records(t, batch.NoProducer(), "second"))
	third := send(r, records(t, batch.NoProducer(), "third"))
	if second.done() || third.done() {
		t.Fatal("a guest worked on a shard that is held")
	}
	release()
	<-second.ended
	<-third.ended
	if got, err := values(r); err != nil || fmt.Sprint(got) != "[first second third]" {
		t.Fatal(got, err)
	}
}

// TestGuestLeavesWhatIsNotSmall sends what a guest must not do: the shard's goroutine does it.
func TestGuestLeavesWhatIsNotSmall(t *testing.T) {
	for name, prepare := range map[string]func(*house, *Replica) (*Replica, batch.Batch){
		"a large batch": func(_ *house, r *Replica) (*Replica, batch.Batch) {
			return r, records(t, batch.NoProducer(), string(make([]byte, guestBytes)))
		},
		"a partition that is not open": func(h *house, _ *Replica) (*Replica, batch.Batch) {
			return h.topic("u", 2, 1, testSettings(false)).Replica(0), records(t, batch.NoProducer(), "x")
		},
		"a new segment": func(h *house, r *Replica) (*Replica, batch.Batch) {
			settings := *testSettings(false)
			settings.Log.SegmentBytes = 1
			h.shard.Wait(func() { r.Configure(&settings) })
			return r, records(t, batch.NoProducer(), "x")
		},
		"after a slow visit": func(h *house, r *Replica) (*Replica, batch.Batch) {
			h.shard.Wait(func() { h.shard.calm = h.clock.now().Add(time.Second) })
			return r, records(t, batch.NoProducer(), "x")
		},
		"while a sync hangs": func(h *house, r *Replica) (*Replica, batch.Batch) {
			h.shard.Wait(func() { r.syncing, r.asked = true, h.clock.now().Add(-time.Minute) })
			return r, records(t, batch.NoProducer(), "x")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, r := opened(t, diskio.NewMemory())
			r, b := prepare(h, r)
			a := &Append{Replica: r, Batch: b}
			var light bool
			h.shard.Wait(func() { light = a.light(h.shard) && !h.shard.now.Before(h.shard.calm) })
			if light {
				t.Fatal("a guest would do it")
			}
			s := send(r, b)
			if <-s.ended; s.Err != nil {
				t.Fatal(s.Err)
			}
		})
	}
}

// slowFiles lets the clock pass with every write.
type slowFiles struct {
	diskio.FS
	house *house
}

type slowFile struct {
	diskio.File
	files *slowFiles
}

func (f *slowFiles) Open(name string, flag int) (diskio.File, error) {
	file, err := f.FS.Open(name, flag)
	return &slowFile{file, f}, err
}

func (f *slowFile) Writev(p [][]byte, offset int64) (int, error) {
	if h := f.files.house; h != nil {
		h.clock.pass(guestPatience + 1)
	}
	return f.File.Writev(p, offset)
}

// TestGuestsStayAwayFromSlowDisk has a write take long: for a while nobody visits.
func TestGuestsStayAwayFromSlowDisk(t *testing.T) {
	files := &slowFiles{FS: diskio.NewMemory()}
	h, r := opened(t, files)
	asleep(h.shard)
	files.house = h
	if s := send(r, records(t, batch.NoProducer(), "slow")); !s.done() {
		t.Fatal("no guest did it")
	}
	if until := h.shard.calm.Sub(h.clock.now()); until < (guestPause-2)*guestPatience {
		t.Fatalf("guests stay away for %v", until)
	}
	<-send(r, records(t, batch.NoProducer(), "posted")).ended
	asleep(h.shard)
	h.clock.pass(time.Second)
	files.house = nil
	if s := send(r, records(t, batch.NoProducer(), "again")); !s.done() {
		t.Fatal("no guest came back")
	}
}

// TestGuestSetsTimer has a guest wait for a moment before the one that the shard's goroutine
// sleeps until: it comes.
func TestGuestSetsTimer(t *testing.T) {
	h := newHouse(t, diskio.NewMemory(), &handSyncer{})
	r := h.topic("t", 1, 1, testSettings(false)).Replica(0)
	<-send(r, records(t, batch.NoProducer(), "first")).ended
	for _, delay := range []time.Duration{time.Hour, time.Millisecond, time.Hour, 2 * time.Millisecond} {
		asleep(h.shard)
		w := newWaiter(nil, 1<<40, h.clock.now().Add(delay))
		w.Add(r, r.committed.Load(), false)
		w.Begin()
		if delay < time.Hour {
			h.clock.pass(delay)
			<-w.woken
			w.again()
		}
	}
}

// TestGuestsAndGoroutine has many send to one shard at once, some small, some not: all of it
// ends, each sender's in order.
func TestGuestsAndGoroutine(t *testing.T) {
	h := newHouse(t, diskio.NewMemory(), &handSyncer{})
	topic := h.topic("t", 1, 2, testSettings(false))
	const senders, each = 6, 300
	var all sync.WaitGroup
	for k := range senders {
		all.Go(func() {
			var last [2]*sent
			for i := range each {
				p := i % 2
				s := send(topic.Replica(int32(p)), records(t, batch.NoProducer(), fmt.Sprintf("%d-%06d", k, i)))
				if i%7 == 0 {
					h.shard.Do(func() {})
				}
				if last[p] != nil && i%5 == 0 {
					<-last[p].ended
				}
				last[p] = s
			}
			<-last[0].ended
			<-last[1].ended
		})
	}
	all.Wait()
	for p := range int32(2) {
		got, err := values(topic.Replica(p))
		if err != nil || len(got) != senders*each/2 {
			t.Fatalf("%d records, %v", len(got), err)
		}
		var before [senders]string
		for _, value := range got {
			k := value[0] - '0'
			if value <= before[k] {
				t.Fatalf("%s comes after %s", value, before[k])
			}
			before[k] = value
		}
	}
}

// TestSyncerAnswersAtOnce has the syncer find the shard asleep: whoever waited for the sync is
// answered when the syncer goes on, and what came meanwhile is asked for.
func TestSyncerAnswersAtOnce(t *testing.T) {
	for name, guests := range map[string]bool{"one disk": true, "several disks": false} {
		t.Run(name, func(t *testing.T) {
			syncer := &handSyncer{}
			h := newHouseWith(t, diskio.NewMemory(), syncer, guests)
			r := h.topic("t", 1, 1, testSettings(true)).Replica(0)
			first := send(r, records(t, batch.NoProducer(), "first"))
			h.settled()
			second := send(r, records(t, batch.NoProducer(), "second"))
			h.settled()
			for i, s := range []*sent{first, second} {
				asleep(h.shard)
				if n := syncer.release(); n != 1 {
					t.Fatalf("%d syncs were asked for", n)
				}
				if !s.done() || s.Err != nil || s.Base != int64(i) {
					t.Fatalf("record %d: done %v, error %v, offset %d", i, s.done(), s.Err, s.Base)
				}
			}
		})
	}
}

// TestManyAreAnsweredByTheShard has the syncer end one of many that were synced together, and
// one while the shard is busy: it leaves both to the shard. A few it answers itself.
func TestManyAreAnsweredByTheShard(t *testing.T) {
	syncer := &handSyncer{}
	h := newHouse(t, diskio.NewMemory(), syncer)
	r := h.topic("t", 1, 1, testSettings(true)).Replica(0)
	for _, test := range []struct {
		together    int
		busy, guest bool
	}{{fewTogether, false, true}, {fewTogether + 1, false, false}, {1, true, false}} {
		s := send(r, records(t, batch.NoProducer(), "value"))
		h.settled()
		release := func() {}
		if test.busy {
			release = park(h.shard)
		} else {
			asleep(h.shard)
		}
		r.request.Together = test.together
		syncer.release()
		if test.busy && s.done() {
			t.Fatalf("answered while the shard is busy, %d together", test.together)
		}
		release()
		if <-s.ended; s.Err != nil || s.guest != test.guest {
			t.Fatalf("%d together: the syncer answered: %v, error %v", test.together, s.guest, s.Err)
		}
	}
}
