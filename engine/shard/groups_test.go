package shard

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/sdk/batch"
)

// offsets is a partition that keeps offsets, small as to max.message.bytes.
func offsets(h *house) *Replica {
	settings := testSettings(true)
	settings.MaxMessageBytes = 100
	settings.Compacted = true
	return h.topic("__consumer_offsets", 9, 1, settings).Replica(0)
}

// commit has a group without members commit an offset, and answers with its error.
func commit(r *Replica, name string, offset int64, metadata string) error {
	answer := make(chan error, 1)
	r.shard.Do(func() {
		err := r.Groups(group.Options{}, nil, func(g *group.Coordinator) {
			q := kmsg.NewPtrOffsetCommitRequest()
			q.Version, q.Group, q.Generation = 8, name, -1
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Offset, p.Metadata = offset, &metadata
			q.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
			g.Commit(r.shard.now, q, func(a *kmsg.OffsetCommitResponse) {
				answer <- kerr.ErrorForCode(a.Topics[0].Partitions[0].ErrorCode)
			})
		})
		if err != nil {
			answer <- err
		}
	})
	return <-answer
}

// committed asks for the offset of a group.
func committed(r *Replica, name string) (offset int64, err error) {
	r.shard.Wait(func() {
		err = r.Groups(group.Options{}, nil, func(g *group.Coordinator) {
			q := kmsg.NewOffsetFetchRequestGroup()
			q.Group = name
			q.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0}}}
			g.Fetch(r.shard.now, &q, true, func(a *kmsg.OffsetFetchResponseGroup) {
				offset, err = a.Topics[0].Partitions[0].Offset, kerr.ErrorForCode(a.ErrorCode)
			})
		})
	})
	return offset, err
}

// TestGroupsSurvive: what was committed is there in the next life, however long its records.
func TestGroupsSurvive(t *testing.T) {
	files := diskio.NewMemory()
	syncer := diskio.NewSyncer(diskio.SyncerOptions{})
	defer syncer.Close()
	h := newHouse(t, files, syncer)
	r := offsets(h)
	if err := commit(r, "g", 7, strings.Repeat("longer than max.message.bytes ", 10)); err != nil {
		t.Fatal(err)
	}
	h.shard.Stop()
	files.Crash()
	h.open(false, nil)
	if got, err := committed(offsets(h), "g"); got != 7 || err != nil {
		t.Fatalf("offset %d, %v", got, err)
	}
}

// topics is a picture of a cluster in which only these exist.
type topics []string

func (p topics) Topic(name string) (group.Topic, bool) {
	return group.Topic{Name: name, Partitions: 1}, slices.Contains(p, name)
}
func (topics) TopicByID([16]byte) (t group.Topic, ok bool) { return t, false }
func (topics) EachTopic(func(group.Topic)) bool            { return false }
func (topics) SameTopics(group.Cluster) bool               { return true }
func (topics) Settings(string) (s group.GroupSettings)     { return s }

// TestOffsetsOfATopicThatIsGone: the broker died between the deletion of a topic and that of its offsets. They are
// dropped with the next start, for good, and those of other topics are not.
func TestOffsetsOfATopicThatIsGone(t *testing.T) {
	files := diskio.NewMemory()
	syncer := diskio.NewSyncer(diskio.SyncerOptions{})
	defer syncer.Close()
	h := newHouse(t, files, syncer)
	r := offsets(h)
	if err := commit(r, "g", 7, ""); err != nil {
		t.Fatal(err)
	}
	for _, life := range []struct {
		there topics
		want  int64
	}{{topics{"t"}, 7}, {topics{"u"}, -1}, {topics{"t"}, -1}} {
		h.shard.Stop()
		files.Crash()
		h.open(false, nil)
		r = offsets(h)
		r.shard.Wait(func() {
			if err := r.Groups(group.Options{}, &life.there, func(*group.Coordinator) {}); err != nil {
				t.Error(err)
			}
		})
		if err := commit(r, "another", 1, ""); err != nil { // what was appended before is durable, too
			t.Fatal(err)
		}
		if got, err := committed(r, "g"); got != life.want || err != nil {
			t.Errorf("with topics %v: offset %d, %v, want %d", life.there, got, err, life.want)
		}
	}
}

// TestAGroupIsNotStoredWithoutLimit: what is too large is told to the machine after it has ended what it is at, and nothing of it is in the log.
func TestAGroupIsNotStoredWithoutLimit(t *testing.T) {
	syncer := diskio.NewSyncer(diskio.SyncerOptions{})
	defer syncer.Close()
	h := newHouse(t, diskio.NewMemory(), syncer)
	r := offsets(h)
	if err := commit(r, "g", 7, ""); err != nil {
		t.Fatal(err)
	}
	large := []group.Record{{Key: []byte("key"), Value: make([]byte, mostGroupRecord)}}
	for name, send := range map[string]func(done func(error)){
		"alone":            func(done func(error)) { r.groups.Append(large, done) },
		"in a transaction": func(done func(error)) { r.groups.AppendIn(group.Transaction{ProducerID: 1}, large, done) },
		"all together": func(done func(error)) {
			r.groups.Append(slices.Repeat([]group.Record{{Value: make([]byte, 1<<20)}}, mostGroupBatch>>20+1), done)
		},
	} {
		answer := make(chan error, 1)
		r.shard.Wait(func() {
			send(func(err error) { answer <- err })
			if len(answer) > 0 {
				t.Errorf("%s: told before the machine had ended", name)
			}
		})
		if err := <-answer; !errors.Is(err, kerr.MessageTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := commit(r, "g", 8, ""); err != nil {
		t.Error(err)
	}
	r.shard.Wait(func() {
		if log, err := r.Log(); err != nil || log.End() != 2 {
			t.Errorf("the log ends at %d, %v", log.End(), err)
		}
	})
}

// TestALargeLogIsLoadedBesideTheShard: meanwhile the shard works, and says that it loads.
func TestALargeLogIsLoadedBesideTheShard(t *testing.T) {
	files := diskio.NewMemory()
	syncer := diskio.NewSyncer(diskio.SyncerOptions{})
	defer syncer.Close()
	h := newHouse(t, files, syncer)
	r := offsets(h)
	for i := range 20 {
		if err := commit(r, "g", int64(i), strings.Repeat("x", 4000)); err != nil {
			t.Fatal(err)
		}
	}
	// What no coordinator would write makes the log long.
	filler := send(r, records(t, batch.NoProducer(), strings.Repeat("x", loadHere)))
	if <-filler.ended; filler.Err != nil {
		t.Fatal(filler.Err)
	}
	h.shard.Stop()
	h.open(false, nil)
	r = offsets(h)
	var first error
	h.shard.Wait(func() {
		first = r.Groups(group.Options{}, nil, func(*group.Coordinator) { t.Error("it is there at once") })
	})
	if first != kerr.CoordinatorLoadInProgress {
		t.Fatalf("got %v", first)
	}
	for {
		got, err := committed(r, "g")
		if err == nil {
			if got != 19 {
				t.Fatalf("offset %d", got)
			}
			return
		}
		if err != kerr.CoordinatorLoadInProgress {
			t.Fatal(err)
		}
	}
}

// TestDeletedWhileLoading: nobody gets a coordinator of what is gone.
func TestDeletedWhileLoading(t *testing.T) {
	syncer := diskio.NewSyncer(diskio.SyncerOptions{})
	defer syncer.Close()
	h := newHouse(t, diskio.NewMemory(), syncer)
	r := offsets(h)
	filler := send(r, records(t, batch.NoProducer(), strings.Repeat("x", loadHere)))
	<-filler.ended
	h.shard.Do(func() {
		if err := r.Groups(group.Options{}, nil, func(*group.Coordinator) {}); err != kerr.CoordinatorLoadInProgress {
			t.Errorf("got %v", err)
		}
		r.Delete()
	})
	if _, err := committed(r, "g"); err != kerr.UnknownTopicOrPartition {
		t.Fatalf("got %v", err)
	}
	h.shard.Wait(func() {
		if len(h.shard.groups) != 0 {
			t.Error("a coordinator is left")
		}
	})
}

// unreadable is a disk that cannot be read for a while.
type unreadable struct {
	*diskio.Memory
	fails func(name string) error
}

func (u *unreadable) Stat(name string) (diskio.Info, error) {
	if u.fails != nil {
		if err := u.fails(name); err != nil {
			return diskio.Info{}, err
		}
	}
	return u.Memory.Stat(name)
}

func (u *unreadable) Open(name string, flag int) (diskio.File, error) {
	if u.fails != nil && flag&os.O_CREATE == 0 {
		if err := u.fails(name); err != nil {
			return nil, err
		}
	}
	return u.Memory.Open(name, flag)
}

// TestWhatCannotBeReadIsNotEmpty: a folder that cannot be looked at, and a disk that is not
// there, are errors and never a partition without records.
func TestWhatCannotBeReadIsNotEmpty(t *testing.T) {
	files := &unreadable{Memory: diskio.NewMemory()}
	syncer := diskio.NewSyncer(diskio.SyncerOptions{})
	defer syncer.Close()
	h := newHouse(t, files, syncer)
	a := send(h.topic("t", 1, 1, testSettings(true)).Replica(0), records(t, batch.NoProducer(), "x"))
	<-a.ended
	h.shard.Stop()
	h.open(false, nil)
	files.fails = func(name string) error {
		if strings.HasPrefix(name, "/data/t-0") {
			return fmt.Errorf("%s: %w", name, syscall.EMFILE)
		}
		return nil
	}
	r := h.topic("t", 1, 1, testSettings(true)).Replica(0)
	h.shard.Wait(r.Settle)
	if log, err := r.Log(); err != kerr.KafkaStorageError {
		t.Fatalf("got %v, %v", log, err)
	}
	h.shard.Wait(func() { files.fails = nil })
	h.shard.Wait(r.Settle)
	if got, err := values(r); err != nil || len(got) != 1 {
		t.Fatalf("once it can be read: %q, %v", got, err)
	}
	lost := &Disk{Path: "/elsewhere", FS: files, Log: h.disk.Log}
	lost.Fail(errors.New("it is not there"))
	r = NewTopic("t", [16]byte{1}, false, nil, testSettings(true), []Place{{Shard: h.shard, Disk: lost}}).Replica(0)
	h.shard.Wait(r.Settle)
	if log, err := r.Log(); err != kerr.KafkaStorageError {
		t.Fatalf("on a disk that is not there: %v, %v", log, err)
	}
}

// TestGroupsThatCannotBeRead are not tried again with every request.
func TestGroupsThatCannotBeRead(t *testing.T) {
	syncer := diskio.NewSyncer(diskio.SyncerOptions{})
	defer syncer.Close()
	h := newHouse(t, diskio.NewMemory(), syncer)
	r := offsets(h)
	b := records(t, batch.NoProducer(), "damaged")
	b[len(b)-1] ^= 1 // its CRC does not hold; the API would have noticed
	<-send(r, b).ended
	for range 3 {
		if _, err := committed(r, "g"); err != kerr.CoordinatorNotAvailable {
			t.Fatalf("got %v", err)
		}
	}
	if got := strings.Count(h.log.take(), "cannot load groups"); got != 1 {
		t.Fatalf("tried %d times", got)
	}
	h.clock.pass(loadAgain)
	if _, err := committed(r, "g"); err != kerr.CoordinatorNotAvailable {
		t.Fatalf("got %v", err)
	}
	if got := strings.Count(h.log.take(), "cannot load groups"); got != 1 {
		t.Fatalf("after a while tried %d times more", got)
	}
}

// TestClosedGroupsAnswer: who waits for a coordinator is answered when it goes, and its
// timers with it.
func TestClosedGroupsAnswer(t *testing.T) {
	syncer := diskio.NewSyncer(diskio.SyncerOptions{})
	defer syncer.Close()
	h := newHouse(t, diskio.NewMemory(), syncer)
	r := offsets(h)
	answered := make(chan int16, 1)
	h.shard.Wait(func() {
		err := r.Groups(group.Options{InitialDelay: time.Hour}, nil, func(g *group.Coordinator) {
			q := kmsg.NewPtrJoinGroupRequest()
			q.Version, q.Group, q.ProtocolType, q.SessionTimeoutMillis, q.RebalanceTimeoutMillis = 3, "g", "consumer", 10_000, 10_000
			q.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
			g.Join(r.shard.now, group.Client{ID: "c", Host: "/h"}, 3, q, func() string { return "id" },
				func(a *kmsg.JoinGroupResponse) { answered <- a.ErrorCode })
		})
		if err != nil {
			t.Error(err)
		}
		if len(h.shard.timers) != 1 {
			t.Errorf("%d timers", len(h.shard.timers))
		}
	})
	if err := h.retire(); err != nil {
		t.Fatal(err)
	}
	if code := <-answered; code != kerr.NotCoordinator.Code {
		t.Fatalf("answered with %v", kerr.ErrorForCode(code))
	}
	h.shard.Wait(func() {
		if len(h.shard.timers) != 0 || len(h.shard.groups) != 0 {
			t.Errorf("%d timers and %d coordinators are left", len(h.shard.timers), len(h.shard.groups))
		}
	})
}
