package shard

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/partition"
	"github.com/millrace/millrace/sdk/batch"
)

// openersOf starts openers that end with the test.
func openersOf(t *testing.T) *diskio.Readers {
	o := diskio.NewReaders(2)
	t.Cleanup(o.Close)
	return o
}

// slowHouse is a house with openers and a disk on which the openings of one folder hang.
type slowHouse struct {
	*house
	files *diskio.Memory
	topic *Topic
	hangs chan struct{} // one for each operation that hangs
	goOn  chan error    // what becomes of it; closed: all go well
}

// newSlowHouse has everything hang that is made in the folder of partition 0.
func newSlowHouse(t *testing.T, guests bool) *slowHouse {
	syncer := diskio.NewSyncer(diskio.SyncerOptions{})
	t.Cleanup(syncer.Close)
	h := &slowHouse{files: diskio.NewMemory(), hangs: make(chan struct{}, 100), goOn: make(chan error)}
	h.house = newHouseWith(t, h.files, syncer, guests)
	h.disk.Openers = openersOf(t)
	h.topic = h.house.topic("t", 1, 2, testSettings(true))
	h.files.Gate(func(op diskio.Op) error {
		if op.Kind != diskio.OpCreate && op.Kind != diskio.OpSyncDir || !strings.HasPrefix(op.Name, "/data/t-0") {
			return nil
		}
		h.hangs <- struct{}{}
		return <-h.goOn
	})
	return h
}

// sendMany sends so many batches of one producer, in order.
func sendMany(t *testing.T, r *Replica, count int) (all []*sent) {
	for i := range count {
		o := batch.NoProducer()
		o.ProducerID, o.ProducerEpoch, o.BaseSequence = 7, 0, int32(i)
		all = append(all, send(r, records(t, o, fmt.Sprint(i))))
	}
	return all
}

// ended waits for all and answers why they failed, each the same.
func ended(t *testing.T, all []*sent) error {
	t.Helper()
	for i, a := range all {
		<-a.ended
		if !errors.Is(a.Err, all[0].Err) || a.Err == nil && a.Base != int64(i) {
			t.Fatalf("append %d has offset %d and %v, the first %v", i, a.Base, a.Err, all[0].Err)
		}
	}
	return all[0].Err
}

// TestALogIsOpenedBesideItsShard: while the disk hangs in the opening of one partition the other one of its shard is
// opened, appended to and acknowledged. What came for the first goes on in its order.
func TestALogIsOpenedBesideItsShard(t *testing.T) {
	for _, guests := range []bool{false, true} {
		h := newSlowHouse(t, guests)
		slow, other := h.topic.Replica(0), h.topic.Replica(1)
		waiting := sendMany(t, slow, 20)
		<-h.hangs
		asked := make(chan bool, 1)
		question := &asking{answer: asked}
		question.Append = Append{Replica: slow, Batch: slices.Clone(waiting[19].Append.Batch)}
		question.Ask(question)
		marked, looked := make(chan error, 1), make(chan int64, 1)
		slow.EndTransaction(partition.Ending{Marker: batch.Marker{ProducerID: 9, Commit: true}}, func(err error) { marked <- err })
		slow.Do(func() {
			log, err := slow.Log()
			if log == nil || err != nil {
				t.Errorf("what waited for the log finds %v, %v", log, err)
			}
			looked <- slow.HighWatermark()
		})
		for range 3 {
			if err := ended(t, sendMany(t, other, 1)); err != nil {
				t.Fatal(err)
			}
		}
		h.settled()
		if waiting[0].done() || slow.Settled() || len(asked)+len(marked)+len(looked) > 0 {
			t.Fatal("something has happened to a partition whose log is being opened")
		}
		close(h.goOn)
		if err := ended(t, waiting); err != nil {
			t.Fatal(err)
		}
		if !<-asked {
			t.Error("a batch that waited for the log before the question is not known")
		}
		if err := <-marked; err != nil {
			t.Error(err)
		}
		<-looked
		got, err := values(slow)
		if want := 20; err != nil || len(got) < want || got[0] != "0" || got[want-1] != fmt.Sprint(want-1) {
			t.Fatalf("the log has %v, %v", got, err)
		}
	}
}

// asking is an append that only asks.
type asking struct {
	Append
	answer chan bool
}

func (a *asking) Asked(*Append) { a.answer <- a.Repeated }

// TestALogThatCannotBeOpened: everybody who waits is told. A disk whose sync fails is stopped; one that is full is tried
// again by the next, not by those who have waited.
func TestALogThatCannotBeOpened(t *testing.T) {
	for name, test := range map[string]struct {
		sync, create error
		stops        bool
	}{
		"a sync fails": {syscall.EIO, nil, true},
		"full":         {nil, syscall.ENOSPC, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newSlowHouse(t, true)
			r := h.topic.Replica(0)
			waiting := sendMany(t, r, 5)
			<-h.hangs
			h.settled()
			h.files.Gate(func(op diskio.Op) error {
				if op.Kind == diskio.OpCreate {
					return test.create
				}
				return nil
			})
			h.goOn <- test.sync
			if err := ended(t, waiting); !errors.Is(err, kerr.KafkaStorageError) {
				t.Fatalf("they are told %v", err)
			}
			if stopped := h.disk.Failed() != nil; stopped != test.stops {
				t.Fatalf("the disk: %v", h.disk.Failed())
			}
			h.shard.Wait(func() {
				if r.opening != nil || len(h.shard.replicas) != 0 {
					t.Error("something is left of the opening")
				}
			})
			h.files.Gate(nil)
			if err := ended(t, sendMany(t, r, 1)); (err != nil) != test.stops {
				t.Fatalf("the next is told %v", err)
			}
		})
	}
}

// TestDeletedWhileItIsOpened: who waits is told that the partition is gone, and so it is: one of the same name has
// nothing of it.
func TestDeletedWhileItIsOpened(t *testing.T) {
	h := newSlowHouse(t, true)
	r := h.topic.Replica(0)
	waiting := sendMany(t, r, 5)
	<-h.hangs
	h.shard.Do(r.Delete)
	next := h.house.topic("t", 2, 1, testSettings(true)).Replica(0)
	fresh := sendMany(t, next, 3)
	close(h.goOn)
	if err := ended(t, waiting); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Fatalf("they are told %v", err)
	}
	if err := ended(t, fresh); err != nil {
		t.Fatal(err)
	}
	if got, err := values(next); err != nil || !slices.Equal(got, []string{"0", "1", "2"}) {
		t.Fatalf("the partition that was made anew has %v, %v", got, err)
	}
}

// TestStoppedWhileALogIsOpened: what waits for the log is acknowledged before the broker stops, and the log is closed.
func TestStoppedWhileALogIsOpened(t *testing.T) {
	h := newSlowHouse(t, true)
	waiting := sendMany(t, h.topic.Replica(0), 5)
	<-h.hangs
	stopped := make(chan error)
	go func() { stopped <- h.retire() }()
	close(h.goOn)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if err := ended(t, waiting); err != nil {
		t.Fatal(err)
	}
	h.shard.Stop()
	h.files.Gate(nil)
	h.files.Crash()
	if got := h.everything(t, true, 1); !slices.Equal(got, []string{"0", "1", "2", "3", "4"}) {
		t.Fatalf("the next start finds %v", got)
	}
}

// TestSettingsChangeWhileALogIsOpened: the log has those that are true when it is open.
func TestSettingsChangeWhileALogIsOpened(t *testing.T) {
	h := newSlowHouse(t, true)
	r := h.topic.Replica(0)
	waiting := sendMany(t, r, 1)
	<-h.hangs
	s := testSettings(true)
	s.Log.SegmentBytes = 100
	h.topic.Configure(s)
	h.settled()
	close(h.goOn)
	if err := ended(t, waiting); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		o := batch.NoProducer()
		o.ProducerID, o.ProducerEpoch, o.BaseSequence = 8, 0, int32(i)
		<-send(r, records(t, o, strings.Repeat("x", 80))).ended
	}
	log, err := r.Log()
	if err != nil || log.Segments() < 3 || r.settings != s {
		t.Fatalf("%d segments, %v", log.Segments(), err)
	}
}

// handOpener opens when the test says so.
type handOpener struct {
	held []diskio.Reading
	full bool
}

func (h *handOpener) Post(o diskio.Reading) bool {
	if !h.full {
		h.held = append(h.held, o)
	}
	return !h.full
}

// TestWhoCannotWaitOpensTheLog: a shard that needs a log at once does not wait for an opener that has not begun, who then
// finds nothing to do; and one whose openers have too much to do opens it itself.
func TestWhoCannotWaitOpensTheLog(t *testing.T) {
	files, c, held, opener := diskio.NewMemory(), newClock(), &handSyncer{}, &handOpener{}
	if err := files.MkdirAll("/data"); err != nil {
		t.Fatal(err)
	}
	s := Start(Options{Now: c.now, Log: slog.New(&noticed{}), Stepped: true})
	h := &house{t: t, files: files, clock: c, shard: s}
	h.disk = &Disk{Path: "/data", FS: files, Syncer: held, Log: slog.New(&noticed{}), Openers: opener}
	topic := h.topic("t", 1, 3, testSettings(true))
	a := sendMany(t, topic.Replica(0), 3)
	s.Step()
	if topic.Replica(0).Settled() || len(opener.held) != 1 {
		t.Fatal("the shard has opened the log")
	}
	s.Wait(topic.Replica(0).Settle)
	if log, err := topic.Replica(0).Log(); log == nil || err != nil || log.End() != 3 {
		t.Fatal("the shard has not opened the log for one who cannot wait")
	}
	held.release()
	s.Step()
	if err := ended(t, a); err != nil {
		t.Fatal(err)
	}
	b := sendMany(t, topic.Replica(1), 3)
	s.Step()
	s.Wait(topic.Replica(1).Delete)
	if err := ended(t, b); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Fatal(err)
	}
	before := files.Counts()
	for _, o := range opener.held {
		o.Read()
	}
	s.Step()
	if after := files.Counts(); after != before {
		t.Fatalf("an opener that comes late uses the disk: %+v, then %+v", before, after)
	}
	opener.full = true
	sendMany(t, topic.Replica(2), 1)
	if s.Step(); !topic.Replica(2).Settled() {
		t.Fatal("nobody opens the log")
	}
}
