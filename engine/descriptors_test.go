package engine

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"

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
