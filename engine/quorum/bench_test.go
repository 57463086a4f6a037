package quorum

import (
	"fmt"
	"sync"
	"testing"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/cluster"
)

// fill creates topics of one partition, each by a change of its own.
func fill(t testing.TB, q *Quorum, topics int) {
	t.Helper()
	register(t, q)
	var all sync.WaitGroup
	all.Add(topics)
	for n := range topics {
		q.Change(create(fmt.Sprintf("t%06d", n)), func(_ *cluster.Image, err error) {
			if err != nil {
				t.Error(err)
			}
			all.Done()
		})
	}
	all.Wait()
}

// TestTenThousandTopics restarts with 10,000 topics, from the log and from a snapshot.
// The time is shown by BenchmarkOpen.
func TestTenThousandTopics(t *testing.T) {
	disk := diskio.NewMemory()
	o := testOptions(disk)
	o.MaxWaiting = 20_000
	q := open(t, o)
	fill(t, q, 10_000)
	want := q.Image()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	o.SnapshotBytes = 1 << 20
	q = open(t, o)
	sameImage(t, q.Image(), want)
	if q.Status().Snapshot == 0 {
		t.Fatal("a log beyond its bound was not replaced by a snapshot")
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	sameImage(t, open(t, o).Image(), want)
}

// BenchmarkOpen is a restart with 10,000 topics on a real disk.
func BenchmarkOpen(b *testing.B) {
	for name, snapshotBytes := range map[string]int64{"log": 1 << 40, "snapshot": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			o := testOptions(diskio.OS)
			o.Folders = []string{b.TempDir()}
			o.MaxWaiting, o.SnapshotBytes = 20_000, snapshotBytes
			q := open(b, o)
			fill(b, q, 10_000)
			if err := q.Close(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				q, err := Open(o)
				if err != nil {
					b.Fatal(err)
				}
				if err := q.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpenNew is the birth of a node on a real disk: how long until it leads.
func BenchmarkOpenNew(b *testing.B) {
	for b.Loop() {
		o := testOptions(diskio.OS)
		o.Folders = []string{b.TempDir()}
		q, err := Open(o)
		if err != nil {
			b.Fatal(err)
		}
		if err := q.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChange is one small change at a time, on a real disk.
func BenchmarkChange(b *testing.B) {
	o := testOptions(diskio.OS)
	o.Folders = []string{b.TempDir()}
	q := open(b, o)
	register(b, q)
	epoch := q.Image().Broker(1).Epoch
	for b.Loop() {
		if _, err := do(q, func(image *cluster.Image) ([]cluster.Record, error) {
			records, _, _ := cluster.AllocateProducerIDs(image, 1, epoch)
			return records, nil
		}); err != nil {
			b.Fatal(err)
		}
	}
}
