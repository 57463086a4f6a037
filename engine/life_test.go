package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
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
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/engine/spent"
)

// beginOn starts a broker on files of the test's.
func beginOn(files diskio.FS, folders string, overrides ...string) (*Broker, error) {
	return beginWith(Options{FS: files}, folders, overrides...)
}

// beginWith starts a broker with more options than that.
func beginWith(o Options, folders string, overrides ...string) (*Broker, error) {
	settings, err := config.Parse("", "", append([]string{
		"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=" + folders, "admin.listener=", "group.initial.rebalance.delay.ms=0",
	}, overrides...))
	if err != nil {
		return nil, err
	}
	o.Settings, o.Log = settings, slog.New(slog.DiscardHandler)
	return Start(o)
}

// checkpointAll writes the recovery points of every disk.
func checkpointAll(b *Broker) {
	for _, d := range b.disks {
		b.checkpoint(d)
	}
}

// retainAll applies retention to every disk.
func retainAll(b *Broker, now time.Time) {
	for _, d := range b.disks {
		b.retain(d.Disk, now)
	}
}

func createTopic(t testing.TB, b *Broker, partitions int32, names ...string) {
	t.Helper()
	answers, err := kadm.NewClient(client(t, b)).CreateTopics(limited(t), partitions, 1, nil, names...)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range answers {
		if a.Err != nil {
			t.Fatalf("create %s: %v", a.Topic, a.Err)
		}
	}
}

// readAll reads what there is of one topic, from its start to its end.
func readAll(t testing.TB, b *Broker, topic string) (values []string) {
	t.Helper()
	c := client(t, b, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ends, err := kadm.NewClient(c).ListEndOffsets(limited(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	starts, err := kadm.NewClient(c).ListStartOffsets(limited(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	ends.Each(func(o kadm.ListedOffset) {
		start, _ := starts.Lookup(o.Topic, o.Partition)
		total += int(o.Offset - start.Offset)
	})
	return consume(t, c, total)
}

// descriptors is how many files this process has open.
func descriptors(t testing.TB) int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc:", err)
	}
	return len(names)
}

// TestUnusedPartitionsCostNothing: 2,000 partitions open no file, make no folder and take
// little memory, also when consumers ask for their offsets and wait on them.
func TestUnusedPartitionsCostNothing(t *testing.T) {
	folder := t.TempDir()
	b := start(t, folder)
	createTopic(t, b, 1, "first")
	produce(t, client(t, b), "first", 1)
	open, before := descriptors(t), spent.Heap()
	createTopic(t, b, 2000, "many")
	if grown := spent.Heap() - before; grown > 2<<20 {
		t.Errorf("2,000 partitions take %d bytes of heap", grown)
	}
	c := client(t, b)
	if _, err := kadm.NewClient(c).ListEndOffsets(limited(t), "many"); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if grown := descriptors(t) - open; grown > 10 { // connections
		t.Errorf("2,000 partitions hold %d files", grown)
	}
	names, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range names {
		if strings.HasPrefix(one.Name(), "many-") {
			t.Fatalf("there is a folder %s", one.Name())
		}
	}
	retainAll(b, time.Now())
	checkpointAll(b)
}

// TestRestartWithManyTopics restarts with 1,000 topics, of which some were used.
func TestRestartWithManyTopics(t *testing.T) {
	folder, b := begun(t)
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("t%04d", i))
	}
	createTopic(t, b, 3, names...)
	c := client(t, b)
	for i := range 100 {
		c.Produce(limited(t), &kgo.Record{Topic: names[10*i], Value: []byte("x")}, nil)
	}
	if err := c.Flush(limited(t)); err != nil {
		t.Fatal(err)
	}
	stop(t, b)
	begun, worked := time.Now(), spent.Processor(t)
	again := start(t, folder)
	worked = spent.Processor(t) - worked
	took := time.Since(begun)
	t.Log("started in", took, "after work of", worked)
	if took > 20*time.Second { // whatever else the machine does: a start that waits for something
		t.Errorf("a start with 1,000 topics takes %v", took)
	}
	if worked > 2*time.Second { // some 50 ms without the race detector
		t.Errorf("a start with 1,000 topics takes %v of work", worked)
	}
	if got := readAll(t, again, names[990]); !slices.Equal(got, []string{"x"}) {
		t.Fatalf("read %q", got)
	}
	opened := 0
	for _, topic := range again.registry.Topics() {
		topic.Used(func(r *shard.Replica) {
			if log, err := r.Log(); err == nil && log != nil {
				opened++
			}
		})
	}
	if opened > 3 {
		t.Errorf("%d logs were opened to read one topic", opened)
	}
}

// TestStopUnderLoadLosesNothing stops the broker again and again while producers
// send, and cuts the power after each stop.
func TestStopUnderLoadLosesNothing(t *testing.T) {
	for _, mode := range []string{"commit", "os"} {
		t.Run(mode, func(t *testing.T) {
			files := diskio.NewMemory()
			var acknowledged []string
			for life := range 4 {
				b, err := beginOn(files, "/data", "log.flush.mode="+mode, "log.segment.bytes=1048576")
				if err != nil {
					t.Fatal(err)
				}
				if life == 0 {
					createTopic(t, b, 4, "t")
				}
				acknowledged = append(acknowledged, sendUntilStopped(t, b, life)...)
				for _, d := range b.disks {
					if d.Failed() != nil || d.unclean.Load() {
						t.Errorf("disk: %v, unclean %v", d.Failed(), d.unclean.Load())
					}
				}
				files.Crash()
			}
			b, err := beginOn(files, "/data", "log.flush.mode="+mode)
			if err != nil {
				t.Fatal(err)
			}
			defer stop(t, b)
			if !b.disks[0].Clean {
				t.Error("the stop was not clean")
			}
			compare(t, acknowledged, readAll(t, b, "t"))
		})
	}
}

// compare reports what was acknowledged and is not there.
func compare(t testing.TB, acknowledged, found []string) {
	t.Helper()
	if len(acknowledged) == 0 {
		t.Fatal("nothing was acknowledged")
	}
	slices.Sort(found)
	for i := range found {
		if i > 0 && found[i] == found[i-1] {
			t.Fatalf("%s is there twice", found[i])
		}
	}
	lost := 0
	for _, value := range acknowledged {
		if _, ok := slices.BinarySearch(found, value); !ok {
			lost++
		}
	}
	if lost > 0 {
		t.Fatalf("%d of %d acknowledged records are lost", lost, len(acknowledged))
	}
	t.Logf("%d acknowledged, %d found", len(acknowledged), len(found))
}

// sendUntilStopped sends from several clients and stops the broker in the midst of it.
func sendUntilStopped(t *testing.T, b *Broker, life int) (acknowledged []string) {
	var guard sync.Mutex
	var all sync.WaitGroup
	var done atomic.Bool
	var some sync.WaitGroup
	for p := range 3 {
		c := client(t, b, kgo.RecordRetries(0), kgo.MaxBufferedRecords(50), kgo.DisableIdempotentWrite(),
			kgo.RequiredAcks(kgo.LeaderAck()), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.RecordDeliveryTimeout(time.Second))
		some.Add(1)
		all.Go(func() {
			for i := 0; !done.Load(); i++ {
				value := fmt.Sprintf("%d-%d-%d", life, p, i)
				c.Produce(context.Background(), &kgo.Record{Topic: "t", Value: []byte(value)}, func(_ *kgo.Record, err error) {
					if err == nil {
						guard.Lock()
						acknowledged = append(acknowledged, value)
						guard.Unlock()
					}
				})
				if i == 300 {
					some.Done()
				}
			}
			c.Close()
		})
	}
	some.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Stop(ctx); err != nil {
		t.Error(err)
	}
	done.Store(true)
	all.Wait()
	guard.Lock()
	defer guard.Unlock()
	return acknowledged
}

// TestFullDisk: produce gets a retriable error, reads go on, and it resumes when there is
// space, without a restart.
func TestFullDisk(t *testing.T) {
	files := diskio.NewMemory()
	b, err := beginOn(files, "/data")
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, b)
	createTopic(t, b, 1, "t")
	c := client(t, b, kgo.RecordRetries(0), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()))
	produce(t, c, "t", 10)
	files.SetSpace(0)
	err = c.ProduceSync(limited(t), &kgo.Record{Topic: "t", Value: []byte("too much")}).FirstErr()
	if !errors.Is(err, kerr.KafkaStorageError) || !kerr.IsRetriable(err) {
		t.Fatalf("got %v", err)
	}
	if got := readAll(t, b, "t"); len(got) != 10 {
		t.Fatalf("%d records can be read", len(got))
	}
	files.SetSpace(1 << 20)
	produce(t, c, "t", 1)
	if got := readAll(t, b, "t"); len(got) != 11 {
		t.Fatalf("%d records can be read", len(got))
	}
}

// TestFullDiskForReal is the same on a small file system of its own.
func TestFullDiskForReal(t *testing.T) {
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=16m"); err != nil {
		t.Skip("cannot mount a small file system:", err)
	}
	t.Cleanup(func() { syscall.Unmount(folder, 0) }) //nolint:errcheck // the folder goes with the test
	b, err := begin(folder)
	if err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, 1, "t")
	ballast := filepath.Join(folder, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	c := client(t, b, kgo.RecordRetries(0), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	sent := 0
	for {
		err := c.ProduceSync(limited(t), &kgo.Record{Topic: "t", Value: make([]byte, 900_000)}).FirstErr()
		if err != nil {
			if !errors.Is(err, kerr.KafkaStorageError) {
				t.Fatal(err)
			}
			break
		}
		if sent++; sent > 20 {
			t.Fatal("the disk does not fill")
		}
	}
	if got := readAll(t, b, "t"); len(got) != sent {
		t.Fatalf("%d of %d records can be read", len(got), sent)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := c.ProduceSync(limited(t), &kgo.Record{Topic: "t", Value: make([]byte, 900_000)}).FirstErr(); err != nil {
		t.Fatalf("with space again: %v", err)
	}
	stop(t, b)
	again, err := begin(folder)
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, again, "t"); len(got) != sent+1 {
		t.Fatalf("after a restart %d of %d records", len(got), sent+1)
	}
	stop(t, again)
}

// TestFailedFsync: nothing is acknowledged any more, and no marker says that all is well.
func TestFailedFsync(t *testing.T) {
	files := diskio.NewMemory()
	b, err := beginOn(files, "/meta,/data")
	if err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, 2, "t") // one on each disk
	c := client(t, b, kgo.RecordRetries(0), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for p := range int32(2) {
		if err := c.ProduceSync(limited(t), &kgo.Record{Topic: "t", Partition: p, Value: []byte("safe")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	bad := b.registry.Named("t").Replica(0)
	if bad.Disk().Path == "/meta" {
		bad = b.registry.Named("t").Replica(1)
	}
	files.FailSync(syscall.EIO)
	for range 2 {
		err := c.ProduceSync(limited(t), &kgo.Record{Topic: "t", Partition: bad.Index, Value: []byte("lost")}).FirstErr()
		if !errors.Is(err, kerr.KafkaStorageError) {
			t.Fatalf("got %v", err)
		}
		files.FailSync(nil) // the second time the sync would succeed, and prove nothing
	}
	if err := c.ProduceSync(limited(t), &kgo.Record{Topic: "t", Partition: 1 - bad.Index, Value: []byte("the other disk")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, b, "t"); !slices.Equal(got, []string{"safe", "safe", "the other disk"}) {
		t.Fatalf("read %q", got)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Stop(ctx); !errors.Is(err, syscall.EIO) {
		t.Fatalf("stop: %v", err)
	}
	files.Crash()
	again, err := beginOn(files, "/meta,/data")
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, again)
	for _, d := range again.disks {
		if want := d.Path == "/meta"; d.Clean != want {
			t.Errorf("%s: the marker of a clean stop is there: %v", d.Path, d.Clean)
		}
	}
	if got := readAll(t, again, "t"); !slices.Equal(got, []string{"safe", "safe", "the other disk"}) {
		t.Fatalf("after a power cut: %q", got)
	}
}

// TestAMissingFolder: what lies in a folder that is not in log.dirs is not served, nothing
// begins anew in its place, and it is there again with its folder.
func TestAMissingFolder(t *testing.T) {
	root := t.TempDir()
	both := root + "/a," + root + "/b"
	b, err := begin(both)
	if err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, 2, "t")
	produce(t, client(t, b, kgo.RecordPartitioner(kgo.RoundRobinPartitioner())), "t", 100)
	stop(t, b)
	b, err = begin(root + "/a")
	if err != nil {
		t.Fatal(err)
	}
	served, refused := 0, 0
	for p := range int32(2) {
		r := b.registry.Named("t").Replica(p)
		r.Shard().Wait(r.Settle)
		if log, err := r.Log(); err == nil && log != nil {
			served++
		} else if errors.Is(err, kerr.KafkaStorageError) {
			refused++
		}
	}
	if served != 1 || refused != 1 {
		t.Fatalf("%d partitions are served and %d refused", served, refused)
	}
	if got := b.offline(); got != 1 {
		t.Errorf("%d partitions are counted as offline", got)
	}
	stop(t, b)
	for _, folders := range []string{root + "/b," + root + "/a", both} { // in any order
		b, err = begin(folders)
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, b, "t"); len(got) != 100 {
			t.Fatalf("with log.dirs=%s: %d records", folders, len(got))
		}
		stop(t, b)
	}
	// Without the metadata log nobody knows whose the partitions are.
	if b, err := begin(root + "/b"); err == nil || !strings.Contains(err.Error(), "the metadata log that says whose they are") {
		t.Fatalf("got %v, %v", b, err)
	}
	// A partition that was moved by hand is not served, and not begun anew.
	for p := range 2 {
		name := fmt.Sprintf("t-%d", p)
		if os.Rename(filepath.Join(root, "b", name), filepath.Join(root, "a", name)) == nil {
			defer func() {
				if _, err := os.Stat(filepath.Join(root, "b", name)); err == nil {
					t.Errorf("%s was begun anew", name)
				}
			}()
		}
	}
	b = start(t, both)
	if got := b.offline(); got != 1 {
		t.Fatalf("%d partitions are offline", got)
	}
}

// TestFoldersThatAreRefused: each with its own words.
func TestFoldersThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(folder string) error
		fail  string
	}{
		"damaged meta.properties": {
			func(folder string) error {
				return os.WriteFile(filepath.Join(folder, "meta.properties"), []byte("version=1\ncluster.id\n"), 0o600)
			},
			"meta.properties",
		},
		"another node's": {
			func(folder string) error {
				return os.WriteFile(filepath.Join(folder, "meta.properties"), []byte("version=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\nnode.id=77\n"), 0o600)
			},
			"belongs to node 77",
		},
		"a file": {
			func(folder string) error { return errors.Join(os.RemoveAll(folder), os.WriteFile(folder, nil, 0o600)) },
			"make data folder",
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "data")
			b, err := begin(folder)
			if err != nil {
				t.Fatal(err)
			}
			stop(t, b)
			if err := test.spoil(folder); err != nil {
				t.Fatal(err)
			}
			open := descriptors(t)
			if _, err = begin(folder); err == nil || !strings.Contains(err.Error(), test.fail) || !strings.Contains(err.Error(), folder) {
				t.Fatalf("got %v, want %s", err, test.fail)
			}
			if left := descriptors(t); left != open {
				t.Errorf("%d files are open after a start that failed, %d before", left, open)
			}
		})
	}
}

// TestLeftovers: a broker that dies between the deletion of a topic and the end of its
// folders finds them at the next start.
func TestLeftovers(t *testing.T) {
	folder, b := begun(t)
	createTopic(t, b, 2, "kept", "deleted", "again", "with.dots-7")
	for _, name := range []string{"kept", "deleted", "again", "with.dots-7"} {
		produce(t, client(t, b, kgo.RecordPartitioner(kgo.RoundRobinPartitioner())), name, 4)
	}
	saved := map[string]string{}
	for _, name := range []string{"deleted-0", "deleted-1", "again-0", "again-1"} {
		saved[name] = filepath.Join(t.TempDir(), name)
		if err := os.CopyFS(saved[name], os.DirFS(filepath.Join(folder, name))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := kadm.NewClient(client(t, b)).DeleteTopics(limited(t), "deleted", "again"); err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, 1, "again")
	if got := readAll(t, b, "again"); len(got) != 0 {
		t.Fatalf("a topic made anew has %d records", len(got))
	}
	stop(t, b)
	for name, from := range saved { // as if they had never been taken away
		if err := os.CopyFS(filepath.Join(folder, name), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	b = start(t, folder)
	<-eventually(func() bool { return len(match(t, folder, "*-delete")) == 0 })
	if got := match(t, folder, "deleted-?.*-stray"); len(got) != 2 {
		t.Errorf("moved aside: %v", got)
	}
	if got := readAll(t, b, "again"); len(got) != 0 {
		t.Errorf("a topic made anew has %d records of the old one", len(got))
	}
	produce(t, client(t, b), "again", 3)
	if got := readAll(t, b, "again"); len(got) != 3 {
		t.Errorf("a topic made anew has %d records", len(got))
	}
	for _, name := range []string{"kept", "with.dots-7"} {
		if got := readAll(t, b, name); len(got) != 4 {
			t.Errorf("%s has %d records", name, len(got))
		}
	}
}

func match(t testing.TB, folder, pattern string) []string {
	found, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// eventually closes its answer once f holds.
func eventually(f func() bool) <-chan struct{} {
	held := make(chan struct{})
	go func() {
		defer close(held)
		for tick := time.NewTicker(time.Millisecond); !f(); <-tick.C {
		}
	}()
	return held
}

// TestRecoveryPointsOfUnusedPartitions: a run that does not open a partition keeps its point.
func TestRecoveryPointsOfUnusedPartitions(t *testing.T) {
	folder, b := begun(t)
	createTopic(t, b, 1, "used", "unused", "deleted")
	for i, name := range []string{"used", "unused", "deleted"} {
		produce(t, client(t, b), name, 10*(i+1))
	}
	id := b.registry.Named("deleted").ID
	stop(t, b)
	b, err := begin(folder)
	if err != nil {
		t.Fatal(err)
	}
	produce(t, client(t, b), "used", 5)
	if _, err := kadm.NewClient(client(t, b)).DeleteTopics(limited(t), "deleted"); err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, 1, "deleted")
	if id == b.registry.Named("deleted").ID {
		t.Fatal("the new topic has the old one's id")
	}
	checkpointAll(b)
	text, err := os.ReadFile(filepath.Join(folder, pointsFile))
	if err != nil {
		t.Fatal(err)
	}
	points, err := parsePoints(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if points["used-0"].Offset != 15 || points["unused-0"].Offset != 20 || len(points) != 2 {
		t.Errorf("points are %v", points)
	}
	stop(t, b)
}

func TestParsePoints(t *testing.T) {
	const id = "AQAAAAAAAAAAAAAAAAAAAA"
	for name, test := range map[string]struct{ text, fail string }{
		"whole":              {"3\n1\nt 0 5 " + id + " 0123abcd\n", ""},
		"without a checksum": {"3\n1\nt 0 5 " + id + "\n", ""},
		"of version 2":       {"2\n1\nt 0 5 " + id + "\n", ""},
		"2 with a checksum":  {"2\n1\nt 0 5 " + id + " 0123abcd\n", "line 3"},
		"a bad checksum":     {"3\n1\nt 0 5 " + id + " xyz\n", `line 3: "xyz" is no checksum`},
		"none":               {"2\n0\n", ""},
		"empty":              {"", "line 1"},
		"Kafka's":            {"0\n1\nt 0 5\n", "line 1: want version 3"},
		"too few lines":      {"2\n2\nt 0 5 " + id + "\n", "line 2: want 1"},
		"no topic id":        {"2\n1\nt 0 5\n", "line 3"},
		"a bad topic id":     {"2\n1\nt 0 5 xyz\n", `line 3: "xyz" is no topic id`},
		"a bad offset":       {"2\n1\nt 0 -5 " + id + "\n", `line 3: "-5" is no offset`},
		"a bad partition":    {"2\n1\nt x 5 " + id + "\n", `line 3: "x" is no partition`},
		"a count that lies":  {"2\n-1\n", "line 2"},
		"a line that is cut": {"2\n2\nt 0 5 " + id + "\nt 1", "line 4"},
	} {
		t.Run(name, func(t *testing.T) {
			points, err := parsePoints(test.text + pointsSum([]byte(test.text)))
			if (err == nil) != (test.fail == "") || err != nil && !strings.Contains(err.Error(), test.fail) {
				t.Fatalf("got %v, %v, want %q", points, err, test.fail)
			}
		})
	}
	f := encodePoints([]string{pointLine("t", 1, shard.Point{Topic: [16]byte{1}, Offset: 7}), pointLine("a", 0, shard.Point{Offset: 3})})
	points, err := parsePoints(string(f))
	if err != nil || points["t-1"] != (shard.Point{Topic: [16]byte{1}, Offset: 7}) || points["a-0"].Offset != 3 {
		t.Fatalf("%q is read as %v, %v", f, points, err)
	}
	for at := range f {
		harmed := slices.Clone(f)
		harmed[at] ^= 1 << (at % 8)
		if points, err := parsePoints(string(harmed)); err == nil {
			t.Fatalf("a bit of byte %d flipped: read as %v", at, points)
		}
		if points, err := parsePoints(string(f[:at])); err == nil {
			t.Fatalf("cut to %d bytes: read as %v", at, points)
		}
	}
}

// TestPointsGolden: the file as FORMAT.md draws it.
func TestPointsGolden(t *testing.T) {
	golden, err := os.ReadFile("testdata/recovery-points.golden")
	if err != nil {
		t.Fatal(err)
	}
	points, err := parsePoints(string(golden))
	if err != nil || points["orders-0"] != (shard.Point{Topic: [16]byte{1}, Offset: 1042, Last: 0x965a1f17, Lasts: true}) {
		t.Fatalf("read as %v, %v", points, err)
	}
	lines := []string{pointLine("orders", 1, points["orders-1"]), pointLine("orders", 0, points["orders-0"])}
	if got := string(encodePoints(lines)); got != string(golden) {
		t.Fatalf("wrote %q, want %q", got, golden)
	}
}

func FuzzParsePoints(f *testing.F) {
	f.Add(string(encodePoints([]string{"t 0 5 AQAAAAAAAAAAAAAAAAAAAA\n"})))
	f.Add("0\n0\n")
	fuzz.Run(f, func(t *testing.T, text string) {
		points, err := parsePoints(text)
		if err == nil && len(points) > strings.Count(text, "\n") {
			t.Fatalf("%d points in %q", len(points), text)
		}
	})
}

// TestNothingIsLeftOfABroker counts goroutines and files over starts and stops, and over
// starts that fail late.
func TestNothingIsLeftOfABroker(t *testing.T) {
	folder := t.TempDir()
	round := func(fails bool) {
		b, err := begin(folder)
		if err != nil {
			t.Fatal(err)
		}
		c := client(t, b, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
		produce(t, c, "t", 10)
		c.Close()
		if fails { // the port of its second listener is taken
			other := t.TempDir()
			_, err := begin(other, "listeners=PLAINTEXT://127.0.0.1:0,OTHER://"+b.Addresses()[0],
				"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,OTHER:PLAINTEXT")
			if err == nil || !strings.Contains(err.Error(), "listen on") {
				t.Fatalf("got %v", err)
			}
			for _, name := range []string{cleanFile, lockFile} {
				if _, err := os.Stat(filepath.Join(other, name)); err != nil {
					t.Errorf("a start that failed before anything was opened leaves no %s: %v", name, err)
				}
			}
		}
		stop(t, b)
		if err := b.Stop(context.Background()); err == nil {
			t.Error("it was stopped twice")
		}
	}
	round(true)
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	for range 3 {
		round(true)
	}
	done := eventually(func() bool { return runtime.NumGoroutine() <= goroutines+4 && descriptors(t) <= files+2 })
	select {
	case <-done:
	case <-limited(t).Done():
		t.Fatalf("%d goroutines and %d files, %d and %d before", runtime.NumGoroutine(), descriptors(t), goroutines, files)
	}
}

// TestRetentionOfUnusedPartitions removes old segments of a partition that nobody opened
// in this run, and opens none that has nothing to remove.
func TestRetentionOfUnusedPartitions(t *testing.T) {
	folder := t.TempDir()
	b, err := begin(folder, "log.segment.bytes=1048576")
	if err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, 1, "old", "young")
	c := client(t, b, kgo.ProducerBatchCompression(kgo.NoCompression()))
	for _, name := range []string{"old", "young"} {
		at := time.Now()
		if name == "old" {
			at = at.Add(-30 * 24 * time.Hour)
		}
		for range 3 {
			if err := c.ProduceSync(limited(t), &kgo.Record{Topic: name, Timestamp: at, Value: make([]byte, 600_000)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop(t, b)
	b = start(t, folder, "log.segment.bytes=1048576")
	retainAll(b, time.Now())
	old, young := b.registry.Named("old").Replica(0), b.registry.Named("young").Replica(0)
	if old.Start() != 3 {
		t.Errorf("the old topic starts at %d, want 3", old.Start())
	}
	if young.Settled() {
		t.Error("the young topic was opened")
	}
	if got := readAll(t, b, "young"); len(got) != 3 {
		t.Errorf("the young topic has %d records", len(got))
	}
}

// A second broker on a machine needs other listeners and folders, as Kafka's does, and no
// word about the admin address; but who asks for an address has it or an error.
func TestAdminAddressOfASecondBroker(t *testing.T) {
	start := func(overrides ...string) (*Broker, error) {
		settings, err := config.Parse("", "", append([]string{"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=/data"}, overrides...))
		if err != nil {
			t.Fatal(err)
		}
		b, err := Start(Options{Settings: settings, FS: diskio.NewMemory(), Log: slog.New(slog.DiscardHandler)})
		if err == nil {
			t.Cleanup(func() { b.Stop(context.Background()) }) //nolint:errcheck // the test is over
		}
		return b, err
	}
	first, err := start()
	if err != nil {
		t.Fatal(err)
	}
	second, err := start()
	if err != nil {
		t.Fatal(err)
	}
	if first.AdminAddress() == second.AdminAddress() || second.AdminAddress() == "" {
		t.Errorf("admin addresses %q and %q", first.AdminAddress(), second.AdminAddress())
	}
	if _, err := start("admin.listener=" + second.AdminAddress()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a taken address that was asked for: %v", err)
	}
}

// A topic that was deleted on one disk and made anew on another, and a broker that died
// before the old folder was gone: the new partition must not be taken for one that
// somebody has moved.
func TestANamesakeOnAnotherDisk(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	b, err := begin(one + "," + two)
	if err != nil {
		t.Fatal(err)
	}
	where := func() string {
		for _, folder := range []string{one, two} {
			if _, err := os.Stat(filepath.Join(folder, "again-0")); err == nil {
				return folder
			}
		}
		t.Fatal("the partition has no folder")
		return ""
	}
	createTopic(t, b, 1, "again")
	produce(t, client(t, b), "again", 4)
	old, saved := where(), filepath.Join(t.TempDir(), "again-0")
	if err := os.CopyFS(saved, os.DirFS(filepath.Join(old, "again-0"))); err != nil {
		t.Fatal(err)
	}
	if _, err := kadm.NewClient(client(t, b)).DeleteTopics(limited(t), "again"); err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, 1, "other") // partitions are spread over the disks: it takes the place
	createTopic(t, b, 1, "again")
	produce(t, client(t, b), "again", 2)
	if where() == old {
		t.Fatal("the new partition is on the old disk: this test says nothing")
	}
	stop(t, b)
	if err := os.CopyFS(filepath.Join(old, "again-0"), os.DirFS(saved)); err != nil {
		t.Fatal(err)
	}
	b = start(t, one+","+two)
	if got := readAll(t, b, "again"); len(got) != 2 {
		t.Errorf("the new topic has %d records, want its own 2", len(got))
	}
	if got := match(t, old, "again-0.*-stray"); len(got) != 1 {
		t.Errorf("moved aside: %v", got)
	}
}

// Where an epoch has ended is known also when nothing of it is left, and nothing of a later one is
// there: a client that has read all of it must not be told that the log was cut.
func TestWhereAnEpochEndedIsKnownWhenNothingOfItIsLeft(t *testing.T) {
	folder := t.TempDir()
	b, err := begin(folder)
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, b)
	admin := kadm.NewClient(c)
	if _, err := admin.CreateTopic(limited(t), 1, 1, nil, "gone"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := c.ProduceSync(limited(t), &kgo.Record{Topic: "gone", Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	first := epochEnded(t, c, 0) // of this life, or the one that the topic was made in
	if first.EndOffset != 3 {
		t.Fatalf("%+v", first)
	}
	all := kadm.Offsets{}
	all.Add(kadm.Offset{Topic: "gone", At: 3})
	if _, err := admin.DeleteRecords(limited(t), all); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		stop(t, b)
		if b, err = begin(folder); err != nil {
			t.Fatal(err)
		}
		if a := epochEnded(t, client(t, b), first.LeaderEpoch); a.LeaderEpoch != first.LeaderEpoch || a.EndOffset != 3 {
			t.Errorf("%+v", a)
		}
	}
	stop(t, b)
}

func epochEnded(t *testing.T, c *kgo.Client, epoch int32) kmsg.OffsetForLeaderEpochResponseTopicPartition {
	t.Helper()
	q := kmsg.NewPtrOffsetForLeaderEpochRequest()
	topic, p := kmsg.NewOffsetForLeaderEpochRequestTopic(), kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	p.LeaderEpoch = epoch
	topic.Topic, topic.Partitions = "gone", append(topic.Partitions, p)
	q.Topics = append(q.Topics, topic)
	a, err := q.RequestWith(limited(t), c)
	if err != nil || len(a.Topics) != 1 || len(a.Topics[0].Partitions) != 1 || a.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	return a.Topics[0].Partitions[0]
}
