package quorum

import (
	"fmt"
	"slices"
	"testing"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/cluster"
)

// life runs one life of a node on a disk that may die, and adds to acked what was
// acknowledged. It creates topics and deletes every third.
func life(files diskio.FS, number int, acked map[string]bool) (finished bool) {
	o := testOptions(files)
	o.SnapshotBytes = 2000
	q, err := Open(o)
	if err != nil {
		return false
	}
	defer q.Close() //nolint:errcheck // a fault is what the test is about
	if _, err := do(q, func(image *cluster.Image) ([]cluster.Record, error) {
		records, _, _ := cluster.RegisterBroker(image, cluster.Broker{ID: 1, Incarnation: q.Incarnation(), Directories: q.Directories()})
		return records, nil
	}); err != nil {
		return false
	}
	for n := range 8 {
		name := fmt.Sprintf("%d-%d", number, n)
		if _, err := do(q, create(name)); err != nil {
			return false
		}
		acked[name] = true
		if n%3 > 0 {
			continue
		}
		delete(acked, name) // from here on it may be gone
		if _, err := do(q, func(image *cluster.Image) ([]cluster.Record, error) {
			records, _ := cluster.DeleteTopics(image, []cluster.TopicRef{{Name: &name}})
			return records, nil
		}); err != nil {
			return false
		}
		acked["deleted "+name] = true
	}
	return q.Close() == nil
}

// ends are the ways in which a life is cut short at a step on the disk.
var ends = map[string]func(disk *diskio.Memory, step int64){
	"the process is killed": func(disk *diskio.Memory, _ int64) { disk.HaltAfter(-1) },
	"the power is lost":     func(disk *diskio.Memory, _ int64) { disk.Crash() },
	"the power is lost and the disk tears": func(disk *diskio.Memory, step int64) {
		disk.Tear(uint64(step))
	},
}

// TestKilledAtEveryStep runs two lives of a node. The second is cut short at its first
// step on the disk, then at its second, and so on. What was acknowledged is always there.
func TestKilledAtEveryStep(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			for step, finished := int64(1), false; !finished; step++ {
				if finished = killAt(t, step, end); finished && step < 40 {
					t.Fatalf("a life has only %d steps: too few to show anything", step)
				}
			}
		})
	}
}

func killAt(t *testing.T, step int64, end func(*diskio.Memory, int64)) (finished bool) {
	t.Helper()
	disk := diskio.NewMemory()
	acked := map[string]bool{}
	if !life(disk, 1, acked) {
		t.Fatal("the first life did not finish")
	}
	disk.HaltAfter(step)
	finished = life(disk, 2, acked)
	end(disk, step)
	q, err := Open(testOptions(disk))
	if err != nil {
		t.Fatalf("after an end at step %d: %v", step, err)
	}
	defer q.Close() //nolint:errcheck // nothing is written any more
	if err := q.Image().Check(); err != nil {
		t.Fatalf("after an end at step %d: %v", step, err)
	}
	for name := range acked {
		if want := name[0] != 'd'; want != (q.Image().Topic(name[len("deleted ")*b2i(!want):]) != nil) {
			t.Fatalf("after an end at step %d: %q was acknowledged, the topics are %v", step, name, topics(q.Image()))
		}
	}
	return finished
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestKilledAtBirth cuts the first life of a node short at every step. Whatever is left
// must open, as a cluster with one id.
func TestKilledAtBirth(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			for step, finished := int64(1), false; !finished; step++ {
				disk := diskio.NewMemory()
				disk.HaltAfter(step)
				finished = life(disk, 1, map[string]bool{})
				end(disk, step)
				q, err := Open(testOptions(disk))
				if err != nil {
					t.Fatalf("ended at step %d: %v", step, err)
				}
				if q.Image().ClusterID() != q.ClusterID() {
					t.Fatalf("ended at step %d: the image is of cluster %s, the folder of %s", step, q.Image().ClusterID(), q.ClusterID())
				}
				if err := q.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestKilledOften ends life after life on one disk, each at another step and in another way.
func TestKilledOften(t *testing.T) {
	disk := diskio.NewMemory()
	acked := map[string]bool{}
	for number := range 60 {
		disk.HaltAfter(int64(5 + number*37%61))
		life(disk, number, acked)
		switch number % 3 {
		case 0:
			disk.HaltAfter(-1)
		case 1:
			disk.Crash()
		case 2:
			disk.Tear(uint64(number))
		}
	}
	q := open(t, testOptions(disk))
	for name := range acked {
		if name[0] != 'd' && q.Image().Topic(name) == nil {
			t.Fatalf("%s was acknowledged, the topics are %v", name, topics(q.Image()))
		}
	}
}

// TestTheCheckCanFail shows that the crash test notices a lie: a disk whose syncs do nothing.
func TestTheCheckCanFail(t *testing.T) {
	disk := diskio.NewMemory()
	acked := map[string]bool{}
	q := open(t, testOptions(&lying{disk}))
	register(t, q)
	mustCreate(t, q, "lost")
	acked["lost"] = true
	disk.Crash()
	again, err := Open(testOptions(disk))
	if err != nil {
		return // noticed: what was promised is gone
	}
	defer again.Close() //nolint:errcheck // nothing was written
	if slices.Contains(topics(again.Image()), "lost") {
		t.Fatal("a disk that never syncs kept a topic over a power cut")
	}
}

type lying struct{ diskio.FS }

func (l *lying) Open(name string, flag int) (diskio.File, error) {
	f, err := l.FS.Open(name, flag)
	return lyingFile{f}, err
}

type lyingFile struct{ diskio.File }

func (lyingFile) Sync() error { return nil }
