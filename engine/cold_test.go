package engine

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/diskio"
)

// slowDisk is a disk in memory that says of segments that they are not in memory, and
// keeps who reads them waiting.
type slowDisk struct {
	diskio.FS
	warmed atomic.Int64  // readings that have begun
	gate   chan struct{} // they end when it is closed
}

func (d *slowDisk) Open(name string, flag int) (diskio.File, error) {
	f, err := d.FS.Open(name, flag)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return &slowFile{f, d}, nil
}

type slowFile struct {
	diskio.File
	disk *slowDisk
}

func (f *slowFile) Resident(int64, int) bool { return false }

func (f *slowFile) Warm(offset int64, size int) error {
	f.disk.warmed.Add(1)
	<-f.disk.gate
	return f.File.Warm(offset, size)
}

// A consumer that reads what is not in memory waits for the disk, and nobody else does,
// not even on the same event loop. Another that gives up meanwhile leaves nothing behind.
func TestColdReadsDisturbNobody(t *testing.T) {
	memory := diskio.NewMemory()
	b, err := beginOn(memory, "/data")
	if err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, 1, "old", "new")
	produce(t, client(t, b), "old", 100)
	stop(t, b)

	disk := &slowDisk{FS: memory, gate: make(chan struct{})}
	if b, err = beginOn(disk, "/data", "num.network.threads=1"); err != nil {
		t.Fatal(err)
	}
	defer stop(t, b)
	leaver := client(t, b, kgo.ConsumeTopics("old"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	stayer := client(t, b, kgo.ConsumeTopics("old"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	select {
	case <-eventually(func() bool { return disk.warmed.Load() >= 2 }):
	case <-time.After(10 * time.Second):
		t.Fatalf("%d fetches read from the disk, want two", disk.warmed.Load())
	}
	produce(t, client(t, b), "new", 100)
	if got := readAll(t, b, "new"); len(got) != 100 {
		t.Errorf("%d records of 100 beside a disk that hangs", len(got))
	}
	if n := stayer.BufferedFetchRecords(); n > 0 {
		t.Errorf("%d records came although the disk hangs", n)
	}
	leaver.Close()
	close(disk.gate)
	if got := consume(t, stayer, 100); len(got) != 100 || len(slices.Compact(got)) != 100 {
		t.Errorf("%d records of 100", len(got))
	}
	if n := b.metrics.ColdFetches.Load(); n < 2 {
		t.Errorf("%d cold fetches were counted", n)
	}
}

// What was dropped from the page cache is read again.
func TestEvictedRecordsComeBack(t *testing.T) {
	folder := t.TempDir()
	b, err := begin(folder)
	if err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, 1, "evicted")
	produce(t, client(t, b), "evicted", 20_000)
	want := readAll(t, b, "evicted")
	stop(t, b)
	evict(t, folder, "evicted-0")
	if b, err = begin(folder); err != nil {
		t.Fatal(err)
	}
	defer stop(t, b)
	if got := readAll(t, b, "evicted"); !slices.Equal(got, want) || len(got) != 20_000 {
		t.Errorf("%d records came back, not the %d that were there", len(got), len(want))
	}
	if b.metrics.ColdFetches.Load() == 0 {
		t.Error("nothing was read from the disk")
	}
}

// evict takes a partition's files out of memory.
func evict(t *testing.T, folder, partition string) {
	t.Helper()
	for _, name := range match(t, filepath.Join(folder, partition), "*.log") {
		f, err := diskio.OS.Open(filepath.Join(folder, partition, filepath.Base(name)), os.O_RDONLY)
		if err != nil {
			t.Fatal(err)
		}
		size, err := f.Size()
		if err == nil {
			err = f.Evict(0, size)
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.Resident(0, int(size)) {
			t.Skip("this file system keeps files in memory")
		}
		f.Close() //nolint:errcheck // it was only looked at
	}
}
