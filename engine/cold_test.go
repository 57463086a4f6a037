package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/diskio"
)

// coldDisk is a disk that says of segments that they are not in memory.
type coldDisk struct {
	diskio.FS
	folder string                  // log.dirs, if it matters
	cold   func(name string) bool  // Nil: all segments are
	past   func(name string) error // asked before each read past the page cache. Nil: it may be read
	cached func(name string) error // and before each into it
	reads  atomic.Int64            // of both, begun
	warmed atomic.Int64            // bytes that were read into the page cache
}

func (d *coldDisk) Open(name string, flag int) (diskio.File, error) {
	f, err := d.FS.Open(name, flag)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return &coldFile{f, d}, nil
}

type coldFile struct {
	diskio.File
	disk *coldDisk
}

func (f *coldFile) Resident(int64, int) bool { return f.disk.cold != nil && !f.disk.cold(f.Name()) }

func (f *coldFile) asked(what func(string) error) error {
	f.disk.reads.Add(1)
	if what == nil {
		return nil
	}
	return what(f.Name())
}

func (f *coldFile) ReadDirect(p []byte, offset int64) (int, error) {
	if err := f.asked(f.disk.past); err != nil {
		return 0, err
	}
	return f.File.ReadDirect(p, offset)
}

func (f *coldFile) Warm(offset int64, size int) error {
	if err := f.asked(f.disk.cached); err != nil {
		return err
	}
	f.disk.warmed.Add(int64(size))
	return f.File.Warm(offset, size)
}

// unsupported is a file system that has no way past the page cache.
func unsupported(string) error { return errors.ErrUnsupported }

// coldBroker is a broker of which all that was there before is cold. What fill does, it does
// on the broker before.
func coldBroker(t *testing.T, disk *coldDisk, fill func(*Broker), overrides ...string) *Broker {
	t.Helper()
	folder := disk.folder
	switch {
	case disk.FS == diskio.OS:
		folder = t.TempDir()
	case folder == "":
		folder = "/data"
	}
	b, err := beginOn(disk.FS, folder, overrides...)
	if err != nil {
		t.Fatal(err)
	}
	fill(b)
	stop(t, b)
	if b, err = beginOn(disk, folder, overrides...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, b) })
	return b
}

// A consumer that reads what is not in memory waits for the disk, and nobody else does,
// not even on the same event loop. Another that gives up meanwhile leaves nothing behind.
func TestColdReadsDisturbNobody(t *testing.T) {
	for name, refused := range map[string]func(string) error{"past the page cache": nil, "through it": unsupported} {
		t.Run(name, func(t *testing.T) { coldReadsDisturbNobody(t, refused) })
	}
}

func coldReadsDisturbNobody(t *testing.T, refused func(string) error) {
	gate := make(chan struct{})
	hang := func(string) error {
		<-gate
		return nil
	}
	disk := &coldDisk{FS: diskio.NewMemory(), past: refused, cached: hang}
	if refused == nil {
		disk.past = hang
	}
	b := coldBroker(t, disk, func(b *Broker) {
		createTopic(t, b, 1, "old", "new")
		produce(t, client(t, b), "old", 100)
	}, "num.network.threads=1")
	leaver := client(t, b, kgo.ConsumeTopics("old"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	stayer := client(t, b, kgo.ConsumeTopics("old"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	select {
	case <-eventually(func() bool { return b.metrics.ColdFetches.Load() >= 2 && disk.reads.Load() > 0 }):
	case <-time.After(patience):
		t.Fatalf("%d fetches read from the disk, want two", b.metrics.ColdFetches.Load())
	}
	produce(t, client(t, b), "new", 100)
	if got := readAll(t, b, "new"); len(got) != 100 {
		t.Errorf("%d records of 100 beside a disk that hangs", len(got))
	}
	if n := stayer.BufferedFetchRecords(); n > 0 {
		t.Errorf("%d records came although the disk hangs", n)
	}
	leaver.Close()
	close(gate)
	if got := consume(t, stayer, 100); len(got) != 100 || len(slices.Compact(got)) != 100 {
		t.Errorf("%d records of 100", len(got))
	}
	if n := b.metrics.ColdFetches.Load(); n < 2 {
		t.Errorf("%d cold fetches were counted", n)
	}
}

// What was dropped from the page cache is read again.
func TestEvictedRecordsComeBack(t *testing.T) {
	folder, b := begun(t)
	createTopic(t, b, 1, "evicted")
	produce(t, client(t, b), "evicted", 20_000)
	want := readAll(t, b, "evicted")
	stop(t, b)
	b, err := begin(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, b)
	ends, err := kadm.NewClient(client(t, b)).ListEndOffsets(t.Context(), "evicted") // opens the log, which looks at it by itself
	if o, _ := ends.Lookup("evicted", 0); err != nil || o.Offset != 20_000 {
		t.Fatal(o, err) // nothing is read of it: what is mapped cannot be evicted
	}
	evict(t, folder, "evicted-0")
	if got := readAll(t, b, "evicted"); !slices.Equal(got, want) || len(got) != 20_000 {
		t.Errorf("%d records came back, not the %d that were there", len(got), len(want))
	}
	if b.metrics.ColdFetches.Load() == 0 {
		t.Error("nothing was read from the disk")
	}
	if b.metrics.ColdCached.Load() > 0 {
		t.Skip("the file system of temporary files cannot be read past the page cache")
	}
	// The look whether it is in memory has the kernel read the first pages ahead.
	if in, of := resident(t, folder, "evicted-0"); in > 8 || of < 40 {
		t.Errorf("%d of %d pages are in the page cache", in, of)
	}
}

var coldBytes = flag.Int64("cold", 48<<20, "bytes that TestAllThatIsColdComesBack writes and reads")

// coldValue is the value of the record at an offset of a partition.
func coldValue(partition int32, offset int64, dst []byte) {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], uint64(offset))
	binary.BigEndian.PutUint32(seed[8:], uint32(partition))
	_, _ = rand.NewChaCha8(seed).Read(dst) // never fails, by its contract
}

// Two consumers read all that was written, from segments of which nothing is in memory: every
// byte is the one that was sent, in order.
func TestAllThatIsColdComesBack(t *testing.T) {
	const partitions, size = 3, 10_000
	each := *coldBytes / size / partitions
	folder := t.TempDir()
	settings := []string{"log.segment.bytes=20000000", "log.page.cache.bytes=1048576"}
	b, err := begin(folder, settings...)
	if err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, partitions, "all")
	producer := client(t, b, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic("all"), kgo.ProducerBatchCompression(kgo.NoCompression()))
	for i := range each {
		for p := range int32(partitions) {
			value := make([]byte, size)
			coldValue(p, i, value)
			producer.Produce(t.Context(), &kgo.Record{Partition: p, Value: value}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	if err := producer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop(t, b)
	for p := range partitions {
		evict(t, folder, fmt.Sprintf("all-%d", p))
	}
	if b, err = begin(folder, settings...); err != nil {
		t.Fatal(err)
	}
	defer stop(t, b)
	var readers sync.WaitGroup
	for range 2 {
		consumer := client(t, b, kgo.ConsumeTopics("all"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		readers.Go(func() { readCold(t, consumer, partitions, each, size) })
	}
	readers.Wait()
	if b.metrics.ColdFetches.Load() == 0 {
		t.Error("nothing was read from the disk")
	}
	t.Logf("%d cold fetches, %d of them through the page cache, %d bytes of buffers", b.metrics.ColdFetches.Load(), b.metrics.ColdCached.Load(), b.disks[0].Chunks.Buffered())
}

// readCold reads so many records of each partition, and checks every byte.
func readCold(t *testing.T, c *kgo.Client, partitions int, each int64, size int) {
	next := make([]int64, partitions)
	want := make([]byte, size)
	for left := int64(partitions) * each; left > 0; {
		fetches := c.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Errorf("%d records are left: %v", left, err)
			return
		}
		for _, r := range fetches.Records() {
			if coldValue(r.Partition, r.Offset, want); r.Offset != next[r.Partition] || !bytes.Equal(r.Value, want) {
				t.Errorf("partition %d: offset %d after %d, or other bytes than were sent", r.Partition, r.Offset, next[r.Partition])
				return
			}
			next[r.Partition]++
			left--
		}
	}
}

// resident is how many pages of a partition's files are in the page cache, of how many.
func resident(t *testing.T, folder, partition string) (in, of int) {
	t.Helper()
	for _, name := range match(t, filepath.Join(folder, partition), "*.log") {
		f, err := diskio.OS.Open(filepath.Join(folder, partition, filepath.Base(name)), os.O_RDONLY)
		if err != nil {
			t.Fatal(err)
		}
		size, err := f.Size()
		if err != nil {
			t.Fatal(err)
		}
		for at := int64(0); at < size; at += diskio.DirectAlign {
			if of++; f.Resident(at, 1) {
				in++
			}
		}
		f.Close() //nolint:errcheck // it was only looked at
	}
	return in, of
}

// A disk that cannot be read is KAFKA_STORAGE_ERROR to who reads there, and to nobody else. It
// is not stopped: once it can be read, all is there.
func TestWhatCannotBeReadIsAStorageError(t *testing.T) {
	for name, refused := range map[string]error{"past the page cache": nil, "through it": errors.ErrUnsupported} {
		t.Run(name, func(t *testing.T) {
			var broken atomic.Bool
			fail := func(name string) error {
				if broken.Load() && strings.Contains(name, "bad-0") {
					return syscall.EIO
				}
				return nil
			}
			disk := &coldDisk{FS: diskio.NewMemory(), cached: fail, past: func(name string) error {
				if refused != nil {
					return refused
				}
				return fail(name)
			}}
			b := coldBroker(t, disk, func(b *Broker) {
				createTopic(t, b, 1, "bad", "good")
				produce(t, client(t, b), "bad", 100)
				produce(t, client(t, b), "good", 100)
			})
			broken.Store(true)
			p := dial(t, b.Addresses()[0])
			bad, good := subject{"bad", b.registry.Named("bad").ID}, subject{"good", b.registry.Named("good").ID}
			q := from(bad, 0, 0)
			q.Topics = append(q.Topics, fetchTopic(good, 0, 0))
			a := ask[*kmsg.FetchResponse](p, 12, q)
			want(t, "the disk that fails", a.Topics[0].Partitions[0].ErrorCode, kerr.KafkaStorageError)
			want(t, "the other", a.Topics[1].Partitions[0].ErrorCode, nil)
			if got := values(t, a.Topics[1].Partitions[0].RecordBatches); len(got) != 100 {
				t.Errorf("%d records of 100 beside what cannot be read", len(got))
			}
			if err := b.disks[0].Failed(); err != nil {
				t.Errorf("the disk was stopped: %v", err)
			}
			broken.Store(false)
			if got := readAll(t, b, "bad"); len(got) != 100 {
				t.Errorf("%d records of 100 once it can be read", len(got))
			}
		})
	}
}

// While one disk hangs, what is cold on another is read, by clients of the same loop.
func TestAHungDiskHoldsUpItsOwnColdReadsOnly(t *testing.T) {
	const partitions, good, bad = 16, "/good", "/bad"
	gate := make(chan struct{})
	disk := &coldDisk{FS: diskio.NewMemory(), folder: good + "," + bad, past: func(name string) error {
		if strings.HasPrefix(name, bad) {
			<-gate
		}
		return nil
	}}
	b := coldBroker(t, disk, func(b *Broker) {
		createTopic(t, b, partitions, "both")
		producer := client(t, b, kgo.RecordPartitioner(kgo.ManualPartitioner()))
		for p := range int32(partitions) {
			send(t, producer, p, "before")
		}
	}, "num.network.threads=1")
	reader := func(folder string) (c *kgo.Client, count int) {
		from := map[int32]kgo.Offset{}
		for _, p := range onDisk(b, "both", folder) {
			from[p] = kgo.NewOffset().AtStart()
		}
		return client(t, b, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"both": from})), len(from)
	}
	var stuck *kgo.Client
	waiting := 0
	for range 8 { // more than the disk has readers
		stuck, waiting = reader(bad)
	}
	select {
	case <-eventually(func() bool { return b.metrics.ColdFetches.Load() >= 8 }):
	case <-time.After(patience):
		t.Fatal("nobody waits for the disk that hangs")
	}
	working, count := reader(good)
	if got := consume(t, working, count); len(got) != count || count == 0 || waiting == 0 {
		t.Errorf("%d records of %d beside a disk that hangs, which has %d", len(got), count, waiting)
	}
	if n := stuck.BufferedFetchRecords(); n > 0 {
		t.Errorf("%d records came although their disk hangs", n)
	}
	close(gate)
	if got := consume(t, stuck, waiting); len(got) != waiting {
		t.Errorf("%d records of %d once the disk works", len(got), waiting)
	}
}

// Partitions in memory and partitions on the disk, in one fetch: in the order that was asked
// for, within the bounds, and all of it in the end.
func TestColdAndHotPartitionsTogether(t *testing.T) {
	const partitions, batches, size = 6, 40, 60_000
	disk := &coldDisk{FS: diskio.NewMemory(), cold: func(name string) bool { return strings.Contains(name, "mixed-1") || strings.Contains(name, "mixed-4") }}
	b := coldBroker(t, disk, func(b *Broker) {
		createTopic(t, b, partitions, "mixed")
		p := dial(t, b.Addresses()[0])
		s := subject{"mixed", b.registry.Named("mixed").ID}
		for i := range batches {
			for at := range int32(partitions) {
				p.put(s, at, records(fmt.Sprintf("%d %d %s", at, i, strings.Repeat("x", size))))
			}
		}
	})
	p := dial(t, b.Addresses()[0])
	s := subject{"mixed", b.registry.Named("mixed").ID}
	for _, most := range []int32{1, 100_000, 1 << 20, 64 << 20} {
		var at [partitions]int64
		for left := partitions * batches; left > 0; {
			q := from(s, 0, at[0])
			q.MaxBytes = most
			for i := int32(1); i < partitions; i++ {
				q.Topics[0].Partitions = append(q.Topics[0].Partitions, fetchTopic(s, i, at[i]).Partitions...)
			}
			a := ask[*kmsg.FetchResponse](p, 12, q)
			total, some := 0, 0
			for i, r := range a.Topics[0].Partitions {
				want(t, "fetch", r.ErrorCode, nil)
				if r.Partition != int32(i) {
					t.Fatalf("partition %d is the answer's number %d", r.Partition, i)
				}
				total += len(r.RecordBatches)
				for _, v := range values(t, r.RecordBatches) {
					if !strings.HasPrefix(v, fmt.Sprintf("%d %d ", i, at[i])) {
						t.Fatalf("partition %d, offset %d: %q", i, at[i], v[:10])
					}
					at[i]++
					some++
				}
			}
			if total > int(most) && some > 1 {
				t.Fatalf("%d records of %d bytes, at most %d were asked for", some, total, most)
			}
			if some == 0 {
				t.Fatalf("an answer without records, %d are left", left)
			}
			left -= some
		}
	}
	if b.metrics.ColdFetches.Load() == 0 {
		t.Error("nothing was cold")
	}
}

// Consumers that ask for what is cold and never read what they get hold a bounded memory, and
// keep nobody from reading.
func TestColdConsumersThatNeverRead(t *testing.T) {
	const memory = 4 << 20
	disk := &coldDisk{FS: diskio.OS}
	b := coldBroker(t, disk, func(b *Broker) {
		createTopic(t, b, 1, "cold")
		p := dial(t, b.Addresses()[0])
		s := subject{"cold", b.registry.Named("cold").ID}
		for range 40 {
			p.put(s, 0, records(strings.Repeat("x", 500_000)))
		}
	}, fmt.Sprintf("log.cold.buffer.bytes=%d", memory))
	s := subject{"cold", b.registry.Named("cold").ID}
	for i := range int64(50) {
		p := dial(t, b.Addresses()[0])
		p.conn.(*net.TCPConn).SetReadBuffer(4 << 10) //nolint:errcheck // the test is only harder with it
		q := from(s, 0, i%40)
		q.Topics[0].Partitions[0].PartitionMaxBytes = 1 << 20
		for range 4 {
			p.send(12, q)
		}
	}
	select {
	case <-eventually(func() bool { return b.metrics.ColdFetches.Load() >= 50 }):
	case <-time.After(patience):
		t.Fatalf("%d cold fetches of 50", b.metrics.ColdFetches.Load())
	}
	if got := readAll(t, b, "cold"); len(got) != 40 {
		t.Errorf("%d records of 40", len(got))
	}
	if n := b.disks[0].Chunks.Buffered(); n > memory {
		t.Errorf("%d bytes are held of %d that may be", n, memory)
	}
	if b.metrics.ColdCached.Load() == 0 {
		t.Error("memory was enough for all: the test shows nothing")
	}
}

// What is sent of a partition that is cold was read by readers, all of it: the loop sends nothing
// that it would have to wait for, however much the client takes.
func TestNothingIsSentThatNobodyWarmed(t *testing.T) {
	const batches, most = 16, 8 << 20
	disk := &coldDisk{FS: diskio.NewMemory(), past: unsupported}
	b := coldBroker(t, disk, func(b *Broker) {
		createTopic(t, b, 1, "cold")
		p := dial(t, b.Addresses()[0])
		for range batches {
			p.put(subject{"cold", b.registry.Named("cold").ID}, 0, records(strings.Repeat("x", 500_000)))
		}
	})
	p := dial(t, b.Addresses()[0])
	for at := int64(0); at < batches; {
		q := from(subject{"cold", b.registry.Named("cold").ID}, 0, at)
		q.MaxBytes, q.Topics[0].Partitions[0].PartitionMaxBytes = most, most
		before := disk.warmed.Load()
		r := p.fetch(12, q)
		want(t, "fetch", r.ErrorCode, nil)
		count := len(values(t, r.RecordBatches))
		if warmed := int(disk.warmed.Load() - before); count == 0 || len(r.RecordBatches) > warmed {
			t.Fatalf("offset %d: %d records, %d bytes are sent of which %d were warmed", at, count, len(r.RecordBatches), warmed)
		}
		at += int64(count)
	}
}

// Readers of committed records are told of the same aborted transactions, whether they read
// from memory or from the disk, and interceptors see the same records.
func TestColdReadersSeeWhatOthersSee(t *testing.T) {
	var s subject
	var warm, edited []string
	disk := &coldDisk{FS: diskio.NewMemory()}
	b := coldBroker(t, disk, func(b *Broker) {
		p := dial(t, b.Addresses()[0])
		s = p.topicNamed("both", 1)
		x := p.transactor("writer")
		for i := range 6 {
			want(t, "send", x.send(12, s, 0, fmt.Sprintf("edit %d", i)), nil)
			want(t, "end", x.end(5, i%2 == 0), nil)
			p.stable(s, 0)
		}
		warm, _ = p.committedOnly(12, s, 0)
		p.put(s, 0, records("edit", "drop", "keep"))
	}, "plugins=obedient")
	p := dial(t, b.Addresses()[0])
	cold, r := p.committedOnly(12, s, 0)
	if !slices.Equal(cold[:len(cold)-3], warm) || len(warm) != 3 || len(r.AbortedTransactions) != 3 {
		t.Errorf("%q from the disk, %q before, aborted: %+v", cold, warm, r.AbortedTransactions)
	}
	p.altered(aTopic, s.name, "interceptors.fetch=obedient")
	for _, v := range values(t, p.fetch(12, from(s, 0, 0)).RecordBatches) {
		if strings.HasPrefix(v, "EDIT") || v == "keep" {
			edited = append(edited, v)
		}
	}
	if len(edited) != 8 {
		t.Errorf("interceptors made %q", edited)
	}
	if b.metrics.ColdFetches.Load() < 2 {
		t.Errorf("%d cold fetches", b.metrics.ColdFetches.Load())
	}
}

// evict takes a partition's files out of memory. It skips the test where the file system of
// temporary files keeps all of them there.
func evict(t *testing.T, folder, partition string) {
	t.Helper()
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, make([]byte, diskio.DirectAlign), 0o600); err != nil {
		t.Fatal(err)
	}
	if !dropped(t, other) {
		t.Skip("this file system keeps files in memory")
	}
	for _, name := range match(t, filepath.Join(folder, partition), "*.log") {
		if name = filepath.Join(folder, partition, filepath.Base(name)); !dropped(t, name) {
			t.Fatalf("%s stays in the page cache", name)
		}
	}
}

// dropped takes a file out of memory, and reports whether it is.
func dropped(t *testing.T, name string) bool {
	t.Helper()
	f, err := diskio.OS.Open(name, os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only looked at
	size, err := f.Size()
	if err == nil {
		err = errors.Join(f.Sync(), f.Evict(0, size))
	}
	if err != nil {
		t.Fatal(err)
	}
	return !f.Resident(0, int(size))
}
