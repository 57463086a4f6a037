package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/diskio"
)

// A reserve is made whole when there is room, but not on a disk that was stopped.
func TestTheReserveOfAStoppedDisk(t *testing.T) {
	for name, stopped := range map[string]error{"stopped": syscall.EIO, "full before": nil} {
		t.Run(name, func(t *testing.T) {
			files := diskio.NewMemory()
			d, err := openDisk(files, "/data", diskLimits{journal: 1 << 20, cached: 1 << 20, cold: 1 << 20}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			files.SetSpace(0)
			if err := diskio.WithRoom(d.FS, diskio.Full, func() error { return syscall.ENOSPC }); !diskio.Full(err) {
				t.Fatal(err)
			}
			files.SetSpace(-1)
			want := int64(256 << 10)
			if stopped != nil {
				want = 0
				d.Fail(stopped)
			}
			d.fill()
			if found, err := files.Stat("/data/reserve"); err != nil || found.Size != want {
				t.Errorf("%d bytes are kept back, want %d: %v", found.Size, want, err)
			}
			if err := d.close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAStartOnAFullDisk: a broker whose disk has not a byte left starts, serves what is there, and
// deletes by DeleteRecords, DeleteTopics and retention; with that there is room again, and it
// takes records. It must be able to start more than once before somebody deletes something.
func TestAStartOnAFullDisk(t *testing.T) {
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprintf("after a clean stop: %v", clean), func(t *testing.T) { startOnAFullDisk(t, clean) })
	}
}

func startOnAFullDisk(t *testing.T, clean bool) {
	settings := []string{"log.segment.bytes=1048576", "log.segment.delete.delay.ms=0", "profile.interval.ms=0"}
	files := diskio.NewMemory()
	b, err := beginOn(files, "/data", settings...)
	if err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, 1, "stays", "cut", "goes", "expires")
	for _, topic := range []string{"stays", "cut", "goes", "expires"} {
		c := client(t, b, kgo.ProducerBatchCompression(kgo.NoCompression()))
		for i := range 4 {
			r := &kgo.Record{Topic: topic, Value: append(make([]byte, 600_000), byte(i))}
			if topic == "expires" {
				r.Timestamp = time.Now().Add(-30 * 24 * time.Hour)
			}
			if err := c.ProduceSync(limited(t), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	files.SetSpace(0)
	for range 3 {
		killed := files.Clone()
		stop(t, b)
		if files.SetSpace(0); !clean {
			killed.Crash()
			killed.SetSpace(0)
			files = killed
		}
		if b, err = beginOn(files, "/data", settings...); err != nil {
			t.Fatal(err)
		}
		files.SetSpace(0) // whatever the start has left over others take
	}
	defer func() { stop(t, b) }()
	if got := readAll(t, b, "stays"); len(got) != 4 {
		t.Fatalf("%d of 4 records can be read", len(got))
	}
	c := client(t, b, kgo.RecordRetries(0), kgo.DisableIdempotentWrite())
	if err := c.ProduceSync(limited(t), &kgo.Record{Topic: "stays", Value: []byte("more")}).FirstErr(); !errors.Is(err, kerr.KafkaStorageError) {
		t.Fatalf("a full disk answers %v", err)
	}
	p := dial(t, b.Addresses()[0])
	p.deleteRecords(subject{name: "cut"}, 0, 2, 2)
	files.SetSpace(0)
	if answers, err := kadm.NewClient(c).DeleteTopics(limited(t), "goes"); err != nil || answers["goes"].Err != nil {
		t.Fatalf("delete a topic: %v, %v", answers, err)
	}
	retainAll(b, time.Now())
	if start := b.registry.Named("expires").Replica(0).Start(); start != 4 {
		t.Errorf("retention has moved the start to %d, want 4", start)
	}
	c = client(t, b) // which tries again until what was deleted is gone
	if err := c.ProduceSync(limited(t), &kgo.Record{Topic: "stays", Value: []byte("more")}).FirstErr(); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	if got := readAll(t, b, "stays"); len(got) != 5 || got[4] != "more" {
		t.Errorf("%d records can be read, want 5", len(got))
	}
	if got := readAll(t, b, "cut"); len(got) != 2 {
		t.Errorf("%d records are left where two were deleted", len(got))
	}
	select {
	case <-eventually(func() bool {
		found, err := files.Stat("/data/reserve")
		return err == nil && found.Size == 256<<10
	}):
	case <-time.After(patience):
		t.Error("no space is kept back again")
	}
}
