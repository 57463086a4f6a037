package engine

import (
	"errors"
	"fmt"
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
