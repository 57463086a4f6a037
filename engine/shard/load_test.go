package shard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// producer sends batches of one record, one after the other, and keeps what was acknowledged.
func produce(t testing.TB, r *Replica, name string, stop *atomic.Bool) (acknowledged []string, last error) {
	for i := 0; !stop.Load(); i++ {
		value := fmt.Sprintf("%s-%d", name, i)
		s := send(r, records(t, batch.NoProducer(), value))
		<-s.ended
		if s.Err != nil {
			return acknowledged, s.Err
		}
		acknowledged = append(acknowledged, value)
	}
	return acknowledged, nil
}

// underLoad has producers append to every replica until after has done its worst.
func underLoad(t testing.TB, replicas []*Replica, each int, after func()) (acknowledged []string, errs []error) {
	var all sync.WaitGroup
	var guard sync.Mutex
	var stop atomic.Bool
	for p, r := range replicas {
		for k := range each {
			all.Go(func() {
				values, err := produce(t, r, fmt.Sprintf("p%d-%d", p, k), &stop)
				guard.Lock()
				defer guard.Unlock()
				acknowledged, errs = append(acknowledged, values...), append(errs, err)
			})
		}
	}
	for _, r := range replicas { // wait until everybody is at work
		w := newWaiter(nil, 2000, time.Now().Add(time.Hour))
		w.Add(r, 0, false)
		w.Begin()
		<-w.woken
		w.again()
	}
	after()
	stop.Store(true)
	all.Wait()
	return acknowledged, errs
}

// everything reads what a new life finds on the disk.
func (h *house) everything(t *testing.T, clean bool, partitions int) (all []string) {
	h.open(clean, nil)
	topic := h.topic("t", 1, partitions, testSettings(true))
	for p := range partitions {
		r := topic.Replica(int32(p))
		h.shard.Wait(r.Settle)
		got, err := values(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, got...)
	}
	return all
}

func missing(acknowledged, found []string) (lost []string) {
	slices.Sort(found)
	for _, value := range acknowledged {
		if _, ok := slices.BinarySearch(found, value); !ok {
			lost = append(lost, value)
		}
	}
	return lost
}

// TestStopUnderLoad stops a shard while producers send, then cuts the power: what was
// acknowledged is there, and nothing is counted as a fault of the disk.
func TestStopUnderLoad(t *testing.T) {
	for i := range 4 {
		commit, guests := i&1 == 0, i&2 == 0
		t.Run(fmt.Sprint("commit ", commit, " guests ", guests), func(t *testing.T) {
			files := diskio.NewMemory()
			syncer := diskio.NewSyncer(diskio.SyncerOptions{})
			defer syncer.Close()
			h := newHouseWith(t, files, syncer, guests)
			h.disk.Openers = openersOf(t)
			settings := testSettings(commit)
			settings.Log.SegmentBytes = 5000
			topic := h.topic("t", 1, 4, settings)
			var replicas []*Replica
			for p := range 4 {
				replicas = append(replicas, topic.Replica(int32(p)))
			}
			acknowledged, errs := underLoad(t, replicas, 3, func() {
				if err := h.retire(); err != nil {
					t.Error(err)
				}
			})
			for _, err := range errs {
				if err != nil && err != kerr.NotLeaderForPartition {
					t.Error(err)
				}
			}
			h.shard.Stop()
			if h.disk.Failed() != nil || syncer.Err() != nil {
				t.Errorf("disk: %v, syncer: %v", h.disk.Failed(), syncer.Err())
			}
			files.Crash()
			if lost := missing(acknowledged, h.everything(t, true, 4)); len(lost) > 0 {
				t.Fatalf("%d of %d acknowledged records are lost: %v …", len(lost), len(acknowledged), lost[0])
			}
		})
	}
}

// TestDeleteUnderLoad deletes topics while producers send to them and makes them anew, again
// and again. A deletion is no fault of the disk, and a new topic has nothing of an old one.
func TestDeleteUnderLoad(t *testing.T) {
	syncer := diskio.NewSyncer(diskio.SyncerOptions{})
	defer syncer.Close()
	h := newHouse(t, diskio.NewMemory(), syncer)
	h.disk.Openers = openersOf(t)
	settings := testSettings(true)
	settings.Log.SegmentBytes = 1000
	settings.Log.DeleteDelay = 0
	for life := range byte(20) {
		topic := h.topic("t", life+1, 2, settings)
		replicas := []*Replica{topic.Replica(0), topic.Replica(1)}
		_, errs := underLoad(t, replicas, 2, func() {
			for _, r := range replicas {
				h.shard.Do(r.Delete)
			}
			h.settled()
		})
		for _, err := range errs {
			if err != nil && err != kerr.UnknownTopicOrPartition {
				t.Fatal(err)
			}
		}
		for _, r := range replicas {
			h.shard.Wait(func() {
				if len(r.fresh) != 0 || r.pending.len() != 0 || len(h.shard.replicas) != 0 {
					t.Errorf("%d appends and %d replicas are left", len(r.fresh)+r.pending.len(), len(h.shard.replicas))
				}
			})
		}
	}
	if h.disk.Failed() != nil || syncer.Err() != nil {
		t.Fatalf("disk: %v, syncer: %v", h.disk.Failed(), syncer.Err())
	}
	if produces, _ := h.shard.Waiting(); produces != 0 {
		t.Fatalf("%d appends are counted as waiting", produces)
	}
}

// TestRetentionUnderLoad removes segments, among them such that are being synced.
func TestRetentionUnderLoad(t *testing.T) {
	syncer := diskio.NewSyncer(diskio.SyncerOptions{})
	defer syncer.Close()
	h := newHouse(t, diskio.NewMemory(), syncer)
	settings := testSettings(true)
	settings.Log.SegmentBytes, settings.Log.RetentionBytes, settings.Log.DeleteDelay = 300, 0, 0
	r := h.topic("t", 1, 1, settings).Replica(0)
	_, errs := underLoad(t, []*Replica{r}, 3, func() {
		for i := range 300 {
			h.shard.Wait(func() {
				if i%3 > 0 {
					r.Retain(h.clock.now())
				} else if _, err := r.DeleteRecords(-1); err != nil {
					t.Error(err)
				}
			})
		}
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if h.disk.Failed() != nil || r.Start() == 0 {
		t.Fatalf("disk: %v, start %d", h.disk.Failed(), r.Start())
	}
}

// TestNothingAcknowledgedIsLost lets producers with a memory of their sequences run into full
// disks, failing syncs and power cuts, and compares with the log what they were told.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			l := &life{random: rand.New(rand.NewPCG(seed, 7)), acknowledged: map[int64]string{}}
			l.files = diskio.NewMemory()
			l.syncer = &handSyncer{}
			l.house = newHouse(t, l.files, l.syncer)
			l.begin(nil)
			for range 300 {
				l.step(t)
				l.check(t)
			}
		})
	}
}

// life is a random life of one partition and its producers.
type life struct {
	*house
	random       *rand.Rand
	files        *diskio.Memory
	syncer       *handSyncer
	replica      *Replica
	next         [3]int32 // sequence of each producer
	again        [3]*lifeSent
	waiting      []*lifeSent
	acknowledged map[int64]string // by offset
	broken       bool
}

type lifeSent struct {
	*sent
	producer int
	sequence int32
	value    string
}

func (l *life) begin(points map[string]Point) {
	settings := testSettings(true)
	settings.Log.SegmentBytes = 400
	l.replica = l.house.topic("t", 1, 1, settings).Replica(0)
	l.broken = false
}

func (l *life) send(t *testing.T, producer int, sequence int32, value string) {
	o := batch.NoProducer()
	o.ProducerID, o.ProducerEpoch, o.BaseSequence = int64(producer), 0, sequence
	l.waiting = append(l.waiting, &lifeSent{send(l.replica, records(t, o, value)), producer, sequence, value})
}

func (l *life) step(t *testing.T) {
	switch n := l.random.IntN(100); {
	case n < 50:
		p := l.random.IntN(3)
		if a := l.again[p]; a != nil { // as a client does: what failed comes again, and first
			l.again[p] = nil
			l.send(t, p, a.sequence, a.value)
			return
		}
		l.send(t, p, l.next[p], fmt.Sprintf("%d:%d", p, l.next[p]))
		l.next[p]++
	case n < 75:
		l.syncer.release()
	case n < 80:
		l.files.SetSpace(int64(l.random.IntN(200)))
	case n < 90:
		l.files.SetSpace(-1)
	case n < 92:
		l.files.FailSync(syscall.EIO)
	case n < 94:
		l.reopen(t, true)
	case n < 97:
		l.reopen(t, false)
	default:
		for i := range l.waiting { // the reply was lost: the client repeats
			a := l.waiting[l.random.IntN(i+1)]
			l.send(t, a.producer, a.sequence, a.value)
			break
		}
	}
}

func (l *life) reopen(t *testing.T, power bool) {
	l.shard.Stop()
	l.disk.Release()
	l.collect()
	l.syncer.held = nil
	// What was on its way may have been written or not: the client repeats, oldest first.
	for p := range l.again {
		l.again[p] = nil
	}
	unknown := l.waiting
	l.waiting = nil
	// After a failed sync a kill is not enough: the kernel would show, as if it were on the
	// disk, what it failed to bring there. "Mend it and start again" means the machine.
	if power || l.disk.Failed() != nil {
		l.files.Tear(l.random.Uint64())
	}
	l.files.FailSync(nil)
	l.files.SetSpace(-1)
	var points map[string]Point
	if durable := l.replica.Durable(); durable >= 0 {
		points = map[string]Point{"t-0": {Topic: topicID(1), Offset: durable}}
	}
	l.open(false, points)
	l.begin(points)
	slices.SortFunc(unknown, func(a, b *lifeSent) int { return int(a.sequence - b.sequence) })
	for _, a := range unknown {
		l.send(t, a.producer, a.sequence, a.value)
	}
}

// collect notes what has ended.
func (l *life) collect() {
	l.settled()
	l.waiting = slices.DeleteFunc(l.waiting, func(a *lifeSent) bool {
		if !a.done() {
			return false
		}
		if a.Err == nil {
			l.acknowledged[a.Base] = a.value
		} else if old := l.again[a.producer]; errors.Is(a.Err, kerr.KafkaStorageError) && (old == nil || old.sequence > a.sequence) {
			l.again[a.producer] = a
			l.next[a.producer] = min(l.next[a.producer], a.sequence+1)
		}
		return true
	})
}

func (l *life) check(t *testing.T) {
	l.collect()
	l.shard.Wait(func() {
		l.replica.Settle()
		if l.replica.machine != nil {
			if err := l.replica.machine.Check(); err != nil {
				t.Fatal(err)
			}
		}
	})
	log, err := l.replica.Log()
	if err != nil || log == nil {
		return
	}
	found := map[int64]string{}
	once := map[string]bool{}
	at := log.Start()
	err = eachRecord(log, l.replica.HighWatermark(), func(_ batch.Batch, r *batch.Record) {
		value := string(r.Value)
		if once[value] {
			t.Fatalf("%s is in the log twice", value)
		}
		found[at], once[value] = value, true
		at++
	})
	if err != nil {
		t.Fatal(err)
	}
	for offset, value := range l.acknowledged {
		if found[offset] != value {
			t.Fatalf("%s was acknowledged at offset %d, where %q is", value, offset, found[offset])
		}
	}
}
