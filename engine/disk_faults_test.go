package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/shard"
)

// hanging is a file system of which one folder lies on a disk that may hang.
type hanging struct {
	diskio.FS
	folder string
	gate   atomic.Pointer[chan struct{}] // closed when the disk works again; nil: it works
	held   chan struct{}                 // told of every call that hangs
}

func newHanging(folder string) *hanging {
	return &hanging{FS: diskio.OS, folder: folder, held: make(chan struct{}, 1000)}
}

func (h *hanging) hang() (mend func()) {
	gate := make(chan struct{})
	h.gate.Store(&gate)
	return func() {
		if h.gate.Swap(nil) != nil {
			close(gate)
		}
	}
}

func (h *hanging) wait(name string) {
	if gate := h.gate.Load(); gate != nil && strings.HasPrefix(name, h.folder) {
		select {
		case h.held <- struct{}{}:
		default:
		}
		<-*gate
	}
}

func (h *hanging) Open(name string, flag int) (diskio.File, error) {
	h.wait(name)
	f, err := h.FS.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return &hangingFile{f, h}, nil
}

func (h *hanging) SyncDir(name string) error {
	h.wait(name)
	return h.FS.SyncDir(name)
}

func (h *hanging) Rename(old, new string) error {
	h.wait(old)
	return h.FS.Rename(old, new)
}

type hangingFile struct {
	diskio.File
	disk *hanging
}

func (f *hangingFile) Writev(bufs [][]byte, offset int64) (int, error) {
	f.disk.wait(f.Name())
	return f.File.Writev(bufs, offset)
}

func (f *hangingFile) WriteAt(p []byte, offset int64) (int, error) {
	f.disk.wait(f.Name())
	return f.File.WriteAt(p, offset)
}

func (f *hangingFile) Sync() error {
	f.disk.wait(f.Name())
	return f.File.Sync()
}

// onDisk lists the partitions of a topic that lie in a folder.
func onDisk(b *Broker, topic, folder string) (partitions []int32) {
	b.registry.Named(topic).Each(func(partition int32, d *shard.Disk, _ *shard.Replica) {
		if d.Path == folder {
			partitions = append(partitions, partition)
		}
	})
	return partitions
}

// TestHungDiskStopsNoOther: while one disk answers nothing at all, clients write to and
// read from every partition of the other, new producers get their ids, and what waited
// is answered when the disk comes back.
func TestHungDiskStopsNoOther(t *testing.T) {
	good, bad := filepath.Join(t.TempDir(), "good"), filepath.Join(t.TempDir(), "bad")
	files := newHanging(bad)
	b, err := beginOn(files, good+","+bad, "num.io.threads=3", "log.retention.check.interval.ms=20")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, b) })
	const partitions = 16
	createTopic(t, b, partitions, "both")
	manual := kgo.RecordPartitioner(kgo.ManualPartitioner())
	before := client(t, b, manual)
	for p := range int32(partitions) {
		send(t, before, p, "before")
	}
	mend := files.hang()
	t.Cleanup(mend)
	waiting := make(chan error, partitions)
	stuck := onDisk(b, "both", bad)
	for _, p := range stuck {
		before.Produce(context.Background(), &kgo.Record{Topic: "both", Partition: p, Value: []byte("meanwhile")},
			func(_ *kgo.Record, err error) { waiting <- err })
	}
	<-files.held
	during := client(t, b, manual)
	working := onDisk(b, "both", good)
	if len(working) == 0 || len(stuck) == 0 {
		t.Fatalf("partitions %v lie on one disk, %v on the other", working, stuck)
	}
	from := map[int32]kgo.Offset{}
	for range 3 {
		for _, p := range working {
			send(t, during, p, "meanwhile")
			from[p] = kgo.NewOffset().AtStart()
		}
	}
	reader := client(t, b, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"both": from}))
	if got := len(consume(t, reader, 4*len(working))); got != 4*len(working) {
		t.Errorf("read %d records from the disk that works", got)
	}
	b.groups() // which metrics ask for: it returns, though a shard does not answer
	select {
	case err := <-waiting:
		t.Fatalf("a record on the disk that hangs was answered: %v", err)
	default:
	}
	mend()
	for range stuck {
		if err := <-waiting; err != nil {
			t.Errorf("a record that waited for the disk: %v", err)
		}
	}
}

func send(t *testing.T, c *kgo.Client, partition int32, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := make(chan error, 1)
	c.Produce(ctx, &kgo.Record{Topic: "both", Partition: partition, Value: fmt.Append(nil, value)}, func(_ *kgo.Record, err error) { done <- err })
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("produce to partition %d: %v", partition, err)
		}
	case <-ctx.Done():
		t.Fatalf("produce to partition %d: no answer", partition)
	}
}
