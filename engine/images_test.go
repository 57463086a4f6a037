package engine

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
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

var (
	onlyImage  = flag.Int("image", -1, "check only the image of this number")
	everyImage = flag.Int("every", 0, "check the images after each so-many'th operation; 0: imagesEvery, or imagesEveryShort")
)

const (
	imagesEvery      = 1
	imagesEveryShort = 10 // with -short or -race
)

// deeds are what a client of a broker was told.
type deeds struct {
	sent, acked []string // the values of topic "a", in order
	created     []string // topics
	deleted     []string // topics
	deleting    bool
}

// TestImagesOfABroker records a broker that does a bit of everything, its metadata and its
// checkpoints too, and starts one on what a loss of power at any moment may leave.
func TestImagesOfABroker(t *testing.T) {
	files := diskio.NewMemory()
	trace := files.Record()
	now := deeds{}
	mark := func() {
		known := now
		trace.Mark(&known)
	}
	mark()
	var b *Broker
	begin := func() {
		var err error
		if b, err = beginOn(files, "/data", "log.segment.bytes=1048576"); err != nil {
			t.Fatal(err)
		}
	}
	create := func(name string) {
		createTopic(t, b, 1, name)
		now.created = append(slices.Clip(now.created), name)
		mark()
	}
	send := func(count int) {
		c := client(t, b)
		defer c.Close()
		for range count {
			value := fmt.Sprint(len(now.sent))
			now.sent = append(slices.Clip(now.sent), value)
			mark()
			if err := c.ProduceSync(limited(t), &kgo.Record{Topic: "a", Value: []byte(value)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			now.acked = append(slices.Clip(now.acked), value)
			mark()
		}
	}
	begin()
	create("a")
	send(4)
	checkpointAll(b)
	create("b")
	produceOne(t, b, "b")
	send(3)
	now.deleting = true
	mark()
	if _, err := kadm.NewClient(client(t, b)).DeleteTopic(limited(t), "b"); err != nil {
		t.Fatal(err)
	}
	now.deleted = []string{"b"}
	mark()
	send(2)
	checkpointAll(b)
	stop(t, b)
	begin()
	send(3)
	trace.Stop()
	stop(t, b)
	every := imagesEvery
	if testing.Short() || raceEnabled {
		every = imagesEveryShort
	}
	if *everyImage > 0 {
		every = *everyImage
	}
	count := 0
	for image := range trace.Images(diskio.ImageOptions{Random: 3, Singles: 4, Every: every}) {
		if *onlyImage < 0 || image.Number == *onlyImage {
			checkBroker(t, image, trace)
			count++
		}
	}
	t.Logf("%d images of %d operations", count, trace.Len())
}

func produceOne(t *testing.T, b *Broker, topic string) {
	t.Helper()
	c := client(t, b)
	defer c.Close()
	if err := c.ProduceSync(limited(t), &kgo.Record{Topic: topic, Value: []byte("one")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// checkBroker starts a broker on an image. The operations of the recorded one differ a little
// from run to run, for its goroutines race, so a failure is shown with them.
func checkBroker(t *testing.T, image *diskio.Image, trace *diskio.Trace) {
	t.Helper()
	known := image.Mark.(*deeds)
	fail := func(format string, args ...any) {
		t.Helper()
		for _, op := range trace.Ops()[max(0, image.Point-20):image.Point] {
			t.Log(op)
		}
		t.Fatalf("%s: %s", image, fmt.Sprintf(format, args...))
	}
	disk := image.Disk()
	b, err := beginOn(disk, "/data")
	if err != nil {
		fail("%v", err)
	}
	defer stop(t, b)
	for _, name := range known.created {
		maybe := known.deleting && name == "b"
		if b.registry.Named(name) == nil && !maybe {
			fail("topic %s is gone", name)
		}
	}
	for _, name := range known.deleted {
		if b.registry.Named(name) != nil {
			fail("topic %s is back", name)
		}
		if _, err := disk.Stat("/data/" + name + "-0"); err == nil {
			fail("the folder of topic %s is back", name)
		}
	}
	found := contents(b, "a", fail)
	if len(found) < len(known.acked) || len(found) > len(known.sent) || !slices.Equal(found, known.sent[:len(found)]) {
		fail("found %q, acknowledged %q of %q", found, known.acked, known.sent)
	}
}

// contents are the values of a topic, read from its log.
func contents(b *Broker, topic string, fail func(string, ...any)) (values []string) {
	found := b.registry.Named(topic)
	if found == nil {
		return nil
	}
	r := found.Replica(0)
	r.Shard().Wait(r.Settle)
	log, err := r.Log()
	if err != nil {
		fail("%s cannot be read: %v", topic, err)
	}
	for at := r.Start(); log != nil && at < r.HighWatermark(); {
		where, err := log.Locate(at, 1, r.HighWatermark())
		if err != nil {
			fail("%s at %d: %v", topic, at, err)
		}
		one := make(batch.Batch, where.Bytes)
		_, err = where.File.ReadAt(one, where.Position)
		where.Release()
		if err = errors.Join(err, one.Check()); err != nil {
			fail("%s at %d: %v", topic, at, err)
		}
		records, err := one.Records(nil, 1<<20)
		if err != nil {
			fail("%s at %d: %v", topic, at, err)
		}
		for records.Next() {
			values = append(values, string(records.Record().Value))
		}
		at = one.NextOffset()
	}
	return values
}
