package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/diskio"
)

// A partition whose topic id is damaged or gone is refused alone; what the journal has of it
// waits until the file is mended, also over a clean stop.
func TestJournalWaitsForATopicID(t *testing.T) {
	const metadata = "/data/t-1/partition.metadata"
	for name, harm := range map[string]func(*diskio.Memory) error{
		"damaged": func(files *diskio.Memory) error {
			return files.Spoil(metadata, func(p []byte) []byte { return append(p[:20:20], 'x') })
		},
		"gone": func(files *diskio.Memory) error { return files.Remove(metadata) },
	} {
		t.Run(name, func(t *testing.T) {
			files := diskio.NewMemory()
			b, err := beginOn(files, "/data", smallJournal)
			if err != nil {
				t.Fatal(err)
			}
			createTopic(t, b, 3, "t")
			all := spread(t, b, "t", 3, 300, 20)
			more, release := onlyInJournal(t, b, files)
			all = append(all, more...)
			whole, err := diskio.ReadFile(files, metadata)
			if err != nil {
				t.Fatal(err)
			}
			files.HaltAfter(0)
			release()
			fall(t, b, files, files.Crash)
			if err := harm(files); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				checkRefusedAlone(t, files, all)
			}
			if err := diskio.WriteFile(files, metadata, whole); err != nil {
				t.Fatal(err)
			}
			if b, err = beginOn(files, "/data", smallJournal); err != nil {
				t.Fatal(err)
			}
			defer stop(t, b)
			compare(t, all, readAll(t, b, "t"))
		})
	}
}

// onlyInJournal writes to partition 1 of topic t until the journal alone has what was acknowledged
// last: which way a record goes is decided by the time that others took. No sync of the
// partition's file begins after that, before release is called.
func onlyInJournal(t *testing.T, b *Broker, files *diskio.Memory) (acknowledged []string, release func()) {
	t.Helper()
	asked, released := make(chan struct{}), make(chan struct{})
	files.Gate(func(op diskio.Op) error {
		if op.Kind == diskio.OpSync && strings.HasPrefix(op.Name, "/data/t-1/") && strings.HasSuffix(op.Name, ".log") {
			select {
			case asked <- struct{}{}:
			case <-released:
			}
		}
		return nil
	})
	c := client(t, b, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer c.Close()
	for ctx := limited(t); ; {
		value := fmt.Sprintf("t more%d 1", len(acknowledged))
		acknowledged = append(acknowledged, value)
		answer := make(chan error, 1)
		c.Produce(ctx, &kgo.Record{Topic: "t", Partition: 1, Value: []byte(value)}, func(_ *kgo.Record, err error) { answer <- err })
		for synced, answered := false, false; !answered; {
			select {
			case <-asked: // it goes on, and may be what the record is waiting for
				synced = true
			case err := <-answer:
				if err != nil {
					t.Fatal(err)
				}
				if answered = true; !synced {
					return acknowledged, func() { close(released) }
				}
			}
		}
	}
}

// checkRefusedAlone starts a broker of whose topic partition 1 must not be used.
func checkRefusedAlone(t *testing.T, files *diskio.Memory, all []string) {
	t.Helper()
	b, err := beginOn(files, "/data", smallJournal)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, b)
	if held := b.disks[0].Held["t-1"]; held.Bytes == 0 {
		t.Fatalf("nothing is held back: %+v", b.disks[0].Held)
	}
	c := client(t, b, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordRetries(0))
	defer c.Close()
	if err := c.ProduceSync(limited(t), &kgo.Record{Topic: "t", Partition: 1, Value: []byte("no")}).FirstErr(); err == nil {
		t.Fatal("the partition is written to")
	}
	why := b.disks[0].Refusal("t-1", b.registry.Named("t").ID)
	if why == nil || !strings.Contains(why.Error(), "/data/t-1/partition.metadata") || !strings.Contains(why.Error(), "topic_id: ") {
		t.Fatalf("%v", why)
	}
	want := slices.DeleteFunc(slices.Clone(all), func(v string) bool { return strings.Fields(v)[2] == "1" })
	got := client(t, b, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().AtStart(), 2: kgo.NewOffset().AtStart()}}))
	defer got.Close()
	var values []string
	for len(values) < len(want) {
		fetched := got.PollFetches(limited(t))
		if err := fetched.Err(); err != nil {
			t.Fatal(err)
		}
		fetched.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	compare(t, want, values)
}

// The mode of a topic is changed over the wire: answers wait for the disk or do not from that
// moment on, and what the mode promises outlives a restart.
func TestFlushModeChangesWhileTheBrokerRuns(t *testing.T) {
	files := diskio.NewMemory()
	b, err := beginOn(files, "/data", smallJournal)
	if err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, 1, "t")
	all := spread(t, b, "t", 1, 10, 20)
	held := make(chan struct{})
	hold := func(op diskio.Op) error {
		if op.Kind == diskio.OpSync && strings.HasPrefix(op.Name, "/data/t-0/") {
			<-held
		}
		return nil
	}
	alter(t, b, "t", "flush.ms", "3600000")
	alter(t, b, "t", "flush.mode", "interval")
	files.Gate(hold) // no sync of the topic ends: only answers that wait for none come
	all = append(all, spread(t, b, "t", 1, 10, 21)...)
	r := b.registry.Named("t").Replica(0)
	if r.Durable() != 10 || r.HighWatermark() != 20 {
		t.Fatalf("durable up to %d, high watermark %d", r.Durable(), r.HighWatermark())
	}
	checkpointAll(b)
	text, err := diskio.ReadFile(files, "/data/"+pointsFile)
	if err != nil {
		t.Fatal(err)
	}
	if points, err := parsePoints(string(text)); err != nil || points["t-0"].Offset != 10 {
		t.Fatalf("the recovery point is %+v, %v", points["t-0"], err)
	}
	close(held)
	files.Gate(nil)
	alter(t, b, "t", "flush.mode", "commit")
	all = append(all, spread(t, b, "t", 1, 10, 22)...)
	if r.Durable() != 30 {
		t.Fatalf("durable up to %d after an answer that waits for the disk", r.Durable())
	}
	alter(t, b, "t", "flush.mode", "interval")
	all = append(all, spread(t, b, "t", 1, 10, 23)...)
	alter(t, b, "t", "flush.ms", "1") // at once: what is not synced gets a moment anew
	awaitDurable(t, b, 40)
	fall(t, b, files, files.Crash)
	if b, err = beginOn(files, "/data", smallJournal); err != nil {
		t.Fatal(err)
	}
	compare(t, all, readAll(t, b, "t"))
	if s := b.registry.Named("t").Settings(); s.Commit || s.FlushEvery.Milliseconds() != 1 {
		t.Fatalf("after a restart: %+v", s)
	}
	alter(t, b, "t", "flush.ms", "3600000")
	all = append(all, spread(t, b, "t", 1, 10, 24)...)
	stop(t, b) // a clean stop syncs in every mode
	files.Crash()
	if b, err = beginOn(files, "/data", smallJournal); err != nil {
		t.Fatal(err)
	}
	defer stop(t, b)
	compare(t, all, readAll(t, b, "t"))
}

// awaitDurable waits for the event itself: each look is a task of the partition's shard.
func awaitDurable(t *testing.T, b *Broker, offset int64) {
	t.Helper()
	r := b.registry.Named("t").Replica(0)
	for ctx := limited(t); r.Durable() < offset; {
		if ctx.Err() != nil {
			t.Fatalf("durable up to %d, want %d", r.Durable(), offset)
		}
		r.Shard().Wait(func() {})
	}
}
