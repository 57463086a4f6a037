package engine

import (
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/config"
)

// exhausted is a file system of a process that may have no more descriptors than it has, while lacking is set.
type exhausted struct {
	diskio.FS
	lacking atomic.Int32 // 1: folders can be opened; 2: files can be
}

func (e *exhausted) Open(name string, flag int) (diskio.File, error) {
	if e.lacking.Load() == 1 {
		return nil, &errno{"open " + name}
	}
	return e.FS.Open(name, flag)
}

func (e *exhausted) SyncDir(name string) error {
	if e.lacking.Load() == 2 {
		return &errno{"open " + name}
	}
	return e.FS.SyncDir(name)
}

type errno struct{ what string }

func (e *errno) Error() string { return e.what + ": too many open files" }
func (e *errno) Unwrap() error { return syscall.EMFILE }

// TestWithoutDescriptors: connections may have taken all descriptors when a segment has to be made. The
// records are refused, and taken when there are some again; no disk is stopped for it.
func TestWithoutDescriptors(t *testing.T) {
	files := &exhausted{FS: diskio.NewMemory()}
	settings, err := config.Parse("", "", []string{"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=/data", "admin.listener=", "log.segment.bytes=1048576", "profile.interval.ms=0"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Start(Options{Settings: settings, FS: files, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { stop(t, b) }()
	createTopic(t, b, 1, "t")
	c := client(t, b, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordRetries(0), kgo.DisableIdempotentWrite())
	send := func() error {
		return c.ProduceSync(limited(t), &kgo.Record{Topic: "t", Value: make([]byte, 600_000)}).FirstErr()
	}
	for _, what := range []int32{1, 2} {
		if err := send(); err != nil {
			t.Fatal(err)
		}
		files.lacking.Store(what)
		if err := send(); !errors.Is(err, kerr.KafkaStorageError) {
			t.Fatalf("without descriptors: %v", err)
		}
		if err := b.disks[0].Failed(); err != nil {
			t.Fatalf("the disk was stopped: %v", err)
		}
		files.lacking.Store(0)
	}
	if err := send(); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, b, "t"); len(got) != 3 {
		t.Errorf("%d records can be read, want 3", len(got))
	}
}

// scarce is a file system that has so many segments open at most.
type scarce struct {
	diskio.FS
	open atomic.Int64
	most int64
}

func (d *scarce) Open(name string, flag int) (diskio.File, error) {
	if !strings.HasSuffix(name, ".log") {
		return d.FS.Open(name, flag)
	}
	if d.open.Add(1) > d.most {
		d.open.Add(-1)
		return nil, &errno{"open " + name}
	}
	f, err := d.FS.Open(name, flag)
	if err != nil {
		d.open.Add(-1)
		return nil, err
	}
	return &scarceFile{f, d}, nil
}

type scarceFile struct {
	diskio.File
	disk *scarce
}

func (f *scarceFile) Close() error {
	err := f.File.Close()
	if err == nil {
		f.disk.open.Add(-1)
	}
	return err
}

// TestMoreSegmentsThanDescriptors: each segment that was written or read has its file open. When no more can be, those
// that nobody needs are closed, and who was refused gets on with it.
func TestMoreSegmentsThanDescriptors(t *testing.T) {
	const most, count = 10, 30
	files := &scarce{FS: diskio.NewMemory(), most: most}
	b, err := beginOn(files, "/data", "log.segment.bytes=1048576")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { stop(t, b) }()
	createTopic(t, b, 1, "t")
	soon := kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond })
	often := kgo.MetadataMinAge(10 * time.Millisecond)
	c := client(t, b, kgo.ProducerBatchCompression(kgo.NoCompression()), soon, often)
	for i := range count {
		value := make([]byte, 600_000)
		value[0] = byte(i)
		if err := c.ProduceSync(limited(t), &kgo.Record{Topic: "t", Value: value}).FirstErr(); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
	got := consume(t, client(t, b, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), soon, often), count)
	if len(got) != count {
		t.Fatalf("%d records can be read, want %d", len(got), count)
	}
	for i, value := range got {
		if value[0] != byte(i) {
			t.Errorf("record %d is in the place of %d", value[0], i)
		}
	}
}

// TestScarceFiles: half of the descriptors is a crowd, and where all are needed, half of what is left.
func TestScarceFiles(t *testing.T) {
	for name, test := range map[string]struct {
		open, limit, needed int64
		want                bool
	}{
		"nobody can tell":          {1000, 0, 0, false},
		"half":                     {512, 1024, 0, false},
		"more than half":           {513, 1024, 0, true},
		"most of them are needed":  {900, 1024, 800, false},
		"and half of the rest too": {913, 1024, 800, true},
		"no limit":                 {1 << 20, math.MaxInt64, 0, false},
	} {
		if got := scarceFiles(test.open, test.limit, test.needed); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
