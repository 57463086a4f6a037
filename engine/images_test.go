package engine

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/diskio"
)

// TestACleanStopVouchesOnlyForWhatWasOpened: a log that is damaged and cannot be opened, or
// that nobody asks for, is not whole because the broker is stopped in good order after that.
func TestACleanStopVouchesOnlyForWhatWasOpened(t *testing.T) {
	files := diskio.NewMemory()
	b, err := beginOn(files, "/data")
	if err != nil {
		t.Fatal(err)
	}
	createSmall(t, b, "t")
	c := client(t, b, kgo.ProducerBatchCompression(kgo.NoCompression()))
	for n := range 20 {
		if err := c.ProduceSync(limited(t), &kgo.Record{Topic: "t", Value: fmt.Appendf(nil, "%0200000d", n)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	killed := files.Clone()
	stop(t, b)
	if err := killed.Spoil("/data/t-0/00000000000000000000.log", func(p []byte) []byte { return p[:len(p)/2] }); err != nil {
		t.Fatal(err)
	}
	for _, asked := range []bool{false, true, false, true} {
		b, err := beginOn(killed, "/data")
		if err != nil {
			t.Fatal(err)
		}
		if asked {
			r := b.registry.Named("t").Replica(0)
			r.Shard().Wait(r.Settle)
			if _, err := r.Log(); !errors.Is(err, kerr.KafkaStorageError) {
				t.Errorf("a segment that was cut is served: %v", err)
			}
		}
		stop(t, b)
	}
}

// createSmall makes a topic of one partition whose segments are small.
func createSmall(t *testing.T, b *Broker, name string) {
	t.Helper()
	size := "1048576"
	answer, err := kadm.NewClient(client(t, b)).CreateTopic(limited(t), 1, 1, map[string]*string{"segment.bytes": &size}, name)
	if err != nil || answer.Err != nil {
		t.Fatal(err, answer.Err)
	}
}

// TestStartedAgainAfterAFailedSync: the same machine, so the page cache shows what is not on
// the disk. What the broker serves and acknowledges after that survives a power cut.
func TestStartedAgainAfterAFailedSync(t *testing.T) {
	files := diskio.NewMemory()
	var b *Broker
	begin := func() {
		var err error
		if b, err = beginOn(files, "/data"); err != nil {
			t.Fatal(err)
		}
	}
	send := func(value string) error {
		c := client(t, b, kgo.RecordRetries(0), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()))
		defer c.Close()
		return c.ProduceSync(limited(t), &kgo.Record{Topic: "t", Value: []byte(value)}).FirstErr()
	}
	begin()
	createTopic(t, b, 1, "t")
	if err := send("safe"); err != nil {
		t.Fatal(err)
	}
	files.FailSync(syscall.EIO)
	if err := send("never acknowledged"); !errors.Is(err, kerr.KafkaStorageError) {
		t.Fatalf("got %v", err)
	}
	if err := b.Stop(limited(t)); !errors.Is(err, syscall.EIO) {
		t.Fatalf("stop: %v", err)
	}
	files.FailSync(nil)
	begin()
	if err := send("after"); err != nil {
		t.Fatal(err)
	}
	served := readAll(t, b, "t")
	cut := b
	files.Crash()
	_ = cut.Stop(limited(t)) // its files are gone
	begin()
	if got := readAll(t, b, "t"); !slices.Equal(got, served) || !slices.Contains(got, "after") {
		t.Fatalf("served %q, after a power cut %q", served, got)
	}
	stop(t, b)
	begin()
	if !b.disks[0].Clean || b.disks[0].Rewrite {
		t.Fatal("a clean stop does not end the doubt")
	}
	stop(t, b)
}
