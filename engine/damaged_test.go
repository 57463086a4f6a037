package engine

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/engine/config"
)

// said is what a broker logs.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), text)
}

// heard is a broker whose log is kept.
func heard(t *testing.T, folder string) (*Broker, *said) {
	t.Helper()
	settings, err := config.Parse("", "", []string{
		"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=" + folder, "admin.listener=", "log.segment.bytes=1048576", "profile.interval.ms=0",
	})
	if err != nil {
		t.Fatal(err)
	}
	s := new(said)
	b, err := Start(Options{Settings: settings, Log: slog.New(slog.NewTextHandler(s, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return b, s
}

const firstSegment = "00000000000000000000"

// sealed is the folder of a stopped broker with two partitions of two segments each, of which the first end
// at different offsets.
func sealed(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	b, _ := heard(t, folder)
	createTopic(t, b, 2, "t")
	c := client(t, b, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	for p := range int32(2) {
		for range 6 {
			r := &kgo.Record{Topic: "t", Partition: p, Value: bytes.Repeat([]byte{byte(p)}, 250_000+200_000*int(p))}
			if err := c.ProduceSync(limited(t), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.Close()
	stop(t, b)
	return folder
}

// fetched is what a fetch of the first records of a partition is answered.
func fetched(t *testing.T, b *Broker, partition int32) error {
	t.Helper()
	c := client(t, b, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {partition: kgo.NewOffset().AtStart()}}))
	defer c.Close()
	return c.PollFetches(limited(t)).Err()
}

// TestASegmentOfAnotherPartitionIsRefused: a sealed one is not looked at when a broker starts after a clean stop. One
// that is too long for its place was read, and the records of two partitions were mixed.
func TestASegmentOfAnotherPartitionIsRefused(t *testing.T) {
	for name, suffixes := range map[string][]string{"alone": {".log"}, "with its indexes": {".log", ".index", ".timeindex"}} {
		t.Run(name, func(t *testing.T) {
			folder := sealed(t)
			for _, suffix := range suffixes {
				from, err := os.ReadFile(filepath.Join(folder, "t-0", firstSegment+suffix))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(folder, "t-1", firstSegment+suffix), from, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			b, log := heard(t, folder)
			defer stop(t, b)
			if err := fetched(t, b, 1); !errors.Is(err, kerr.UnknownServerError) {
				t.Errorf("a fetch is answered %v", err)
			}
			if !log.has("t-1/" + firstSegment + ".log is damaged") {
				t.Error("the log does not name the file")
			}
			if err := fetched(t, b, 0); err != nil {
				t.Errorf("the other partition: %v", err)
			}
		})
	}
}

// TestDamageStopsNoDisk: retention comes to a segment that is damaged, and so is its index. It is named, and the
// other partitions go on.
func TestDamageStopsNoDisk(t *testing.T) {
	folder := sealed(t)
	name := filepath.Join(folder, "t-0", firstSegment)
	text, err := os.ReadFile(name + ".log")
	if err != nil {
		t.Fatal(err)
	}
	text[16] = 7 // the magic of the first batch
	if err := errors.Join(os.WriteFile(name+".log", text, 0o600), os.Truncate(name+".timeindex", 5)); err != nil {
		t.Fatal(err)
	}
	b, log := heard(t, folder)
	defer stop(t, b)
	c := client(t, b, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	send := func(p int32) error {
		return c.ProduceSync(limited(t), &kgo.Record{Topic: "t", Partition: p, Value: []byte("v")}).FirstErr()
	}
	if err := send(0); err != nil {
		t.Fatal(err)
	}
	retainAll(b, time.Now())
	if err := b.disks[0].Failed(); err != nil {
		t.Errorf("the disk was stopped: %v", err)
	}
	if !log.has("t-0/" + firstSegment + ".log is damaged") {
		t.Error("the log does not name the file")
	}
	if err := errors.Join(send(0), send(1)); err != nil {
		t.Error(err)
	}
}

// TestAFolderThatIsGone: who reads a partition whose folder was taken away is not told that it is empty, and nobody
// makes the folder anew, for that of a backup is to come in its place.
func TestAFolderThatIsGone(t *testing.T) {
	for _, writes := range []bool{false, true} {
		folder := sealed(t)
		if err := os.Rename(filepath.Join(folder, "t-0"), filepath.Join(folder, "kept")); err != nil {
			t.Fatal(err)
		}
		b, log := heard(t, folder)
		if writes {
			c := client(t, b, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordRetries(0), kgo.DisableIdempotentWrite())
			if err := c.ProduceSync(limited(t), &kgo.Record{Topic: "t", Value: []byte("v")}).FirstErr(); !errors.Is(err, kerr.KafkaStorageError) {
				t.Errorf("a record is answered %v", err)
			}
		} else {
			ends, err := kadm.NewClient(client(t, b)).ListEndOffsets(limited(t), "t")
			if end, _ := ends.Lookup("t", 0); err != nil || !errors.Is(end.Err, kerr.KafkaStorageError) {
				t.Errorf("who asks for the end is answered %v, %v", end, err)
			}
		}
		if !log.has("t-0 is missing") {
			t.Error("the log does not name the folder")
		}
		if err := fetched(t, b, 1); err != nil {
			t.Errorf("the other partition: %v", err)
		}
		stop(t, b)
		if err := os.Rename(filepath.Join(folder, "kept"), filepath.Join(folder, "t-0")); err != nil {
			t.Fatal(err) // somebody has made it anew
		}
		b, _ = heard(t, folder)
		if err := fetched(t, b, 0); err != nil {
			t.Errorf("with the folder brought back: %v", err)
		}
		stop(t, b)
	}
}
