package quorum

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/cluster"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// testOptions are a node's whose clock stands still and whose ids are 1, 2, 3, …
func testOptions(files diskio.FS) Options {
	var drawn uint64
	return Options{
		FS: files, Folders: []string{"/data"}, NodeID: 1,
		Now: func() time.Time { return time.UnixMilli(1_700_000_000_000) },
		NewID: func() cluster.ID {
			return cluster.NewID(func() (random [16]byte) {
				drawn++
				binary.BigEndian.PutUint64(random[8:], drawn)
				return random
			})
		},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

func open(t testing.TB, o Options) *Quorum {
	t.Helper()
	q, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() }) //nolint:errcheck // closed by the test where it matters
	return q
}

// do makes a change and waits for its answer.
func do(q *Quorum, decide Decision) (*cluster.Image, error) {
	type result struct {
		image *cluster.Image
		err   error
	}
	answered := make(chan result, 1)
	q.Change(decide, func(image *cluster.Image, err error) { answered <- result{image, err} })
	r := <-answered
	return r.image, r.err
}

// register makes node 1 a broker, for topics need one.
func register(t testing.TB, q *Quorum) {
	t.Helper()
	if _, err := do(q, func(image *cluster.Image) ([]cluster.Record, error) {
		records, _, refused := cluster.RegisterBroker(image, cluster.Broker{
			ID: 1, Host: "localhost", Port: 9092, Incarnation: q.Incarnation(), Directories: q.Directories(),
		})
		if refused != nil {
			return nil, refused
		}
		return records, nil
	}); err != nil {
		t.Fatal(err)
	}
}

// create decides one topic of one partition. Its id is made of its name.
func create(name string) Decision {
	return func(image *cluster.Image) ([]cluster.Record, error) {
		records, answers := cluster.CreateTopics(image, cluster.NewTopics{
			Topics: []kmsg.CreateTopicsRequestTopic{{Topic: name, NumPartitions: 1, ReplicationFactor: 1}},
			NewID: func() cluster.ID {
				return cluster.NewID(func() (random [16]byte) {
					copy(random[9:], name)
					return random
				})
			},
		})
		if answers[0].Refusal != nil {
			return nil, answers[0].Refusal
		}
		return records, nil
	}
}

func mustCreate(t testing.TB, q *Quorum, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := do(q, create(name)); err != nil {
			t.Fatalf("create %s: %v", name, err)
		}
	}
}

func topics(image *cluster.Image) []string {
	var names []string
	for _, topic := range image.Topics() {
		names = append(names, topic.Name)
	}
	return names
}

func sameImage(t testing.TB, got, want *cluster.Image) {
	t.Helper()
	if err := got.Check(); err != nil {
		t.Fatal(err)
	}
	if a, b := cluster.Append(nil, got.Records()), cluster.Append(nil, want.Records()); !bytes.Equal(a, b) {
		t.Fatalf("the image is\n%s\nwant\n%s", a, b)
	}
}

func TestLeadsAtOnce(t *testing.T) {
	q := open(t, testOptions(diskio.NewMemory()))
	want := Status{Leader: 1, Term: 1, Start: 0, End: 2, LogEnd: 2, Voters: []int32{1}}
	if got := q.Status(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("status is %+v, want %+v", got, want)
	}
	if q.Image().ClusterID() != q.ClusterID() || len(q.ClusterID()) != 22 || len(q.Image().Features()) != len(cluster.Found(""))-1 {
		t.Fatalf("cluster %q, image of %q with features %v", q.ClusterID(), q.Image().ClusterID(), q.Image().Features())
	}
}

func TestRestart(t *testing.T) {
	disk := diskio.NewMemory()
	q := open(t, testOptions(disk))
	register(t, q)
	mustCreate(t, q, "a", "b")
	before := q.Image()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, testOptions(disk))
	sameImage(t, again.Image(), before)
	if s := again.Status(); s.Term != 2 || s.Leader != 1 {
		t.Fatalf("status after a restart is %+v", s)
	}
	register(t, again)
	if p := again.Image().Topic("a").Partitions[0]; p.LeaderEpoch != 1 || again.Image().Broker(1).Epoch != 2 {
		t.Fatalf("a new life leads in epoch %d, as broker of epoch %d", p.LeaderEpoch, again.Image().Broker(1).Epoch)
	}
}

// TestAnswersOnlyWhatIsDurable lets changes wait while the disk is slow, and looks at what
// is told when.
func TestAnswersOnlyWhatIsDurable(t *testing.T) {
	disk := &gate{FS: diskio.NewMemory()}
	q := open(t, testOptions(disk))
	register(t, q)
	disk.close()
	answers := make(chan string, 3)
	tell := func(name string) func(*cluster.Image, error) {
		return func(_ *cluster.Image, err error) { answers <- fmt.Sprintf("%s: %v", name, err) }
	}
	decided := make(chan struct{})
	q.Change(func(image *cluster.Image) ([]cluster.Record, error) {
		<-decided // until all three wait
		return create("a")(image)
	}, tell("first"))
	q.Change(create("a"), tell("second"))
	q.Change(func(image *cluster.Image) ([]cluster.Record, error) {
		if image.Topic("a") == nil {
			return nil, errors.New("does not see the topic that is decided")
		}
		return nil, nil
	}, tell("third"))
	close(decided)
	<-disk.waits
	if q.Image().Topic("a") != nil || len(answers) > 0 {
		t.Fatal("published or answered before the sync")
	}
	disk.open()
	for _, want := range []string{
		"first: <nil>", "second: TOPIC_ALREADY_EXISTS: Topic 'a' already exists.", "third: <nil>",
	} {
		if got := <-answers; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// gate is a disk whose syncs wait while it is closed.
type gate struct {
	diskio.FS
	mu     sync.Mutex
	closed chan struct{}
	waits  chan struct{}
	syncs  int
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed, g.waits = make(chan struct{}), make(chan struct{}, 100)
}

func (g *gate) open() { close(g.closed) }

func (g *gate) Open(name string, flag int) (diskio.File, error) {
	f, err := g.FS.Open(name, flag)
	return &gateFile{f, g}, err
}

func (g *gate) Syncs() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.syncs
}

type gateFile struct {
	diskio.File
	g *gate
}

func (f *gateFile) Sync() error {
	f.g.mu.Lock()
	f.g.syncs++
	closed, waits := f.g.closed, f.g.waits
	f.g.mu.Unlock()
	if closed != nil {
		waits <- struct{}{}
		<-closed
	}
	return f.File.Sync()
}

// TestGroupCommit shows that whatever waits goes to disk with one sync.
func TestGroupCommit(t *testing.T) {
	disk := &gate{FS: diskio.NewMemory()}
	q := open(t, testOptions(disk))
	register(t, q)
	before := disk.Syncs()
	const many = 500
	var all sync.WaitGroup
	all.Add(many)
	started := make(chan struct{})
	q.Change(func(*cluster.Image) ([]cluster.Record, error) { <-started; return nil, nil }, func(*cluster.Image, error) {})
	for n := range many {
		q.Change(create(fmt.Sprintf("t%d", n)), func(_ *cluster.Image, err error) {
			if err != nil {
				t.Error(err)
			}
			all.Done()
		})
	}
	close(started)
	all.Wait()
	// The first change may have been taken alone; then the others are one group.
	if syncs := disk.Syncs() - before; syncs > 2 {
		t.Fatalf("%d changes took %d syncs, want one, or two", many, syncs)
	}
	if got := q.Image().TopicCount(); got != many {
		t.Fatalf("%d topics, want %d", got, many)
	}
}

// TestConcurrentChanges hands out blocks of producer ids from many goroutines: all differ.
func TestConcurrentChanges(t *testing.T) {
	var last *cluster.Image
	o := testOptions(diskio.NewMemory())
	o.Applied = func(before, after *cluster.Image) {
		if last != nil && last != before {
			t.Error("Applied was told of a change on another image than the last")
		}
		last = after
	}
	q := open(t, o)
	register(t, q)
	epoch := q.Image().Broker(1).Epoch
	var mu sync.Mutex
	given := map[int64]bool{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				var first int64
				image, err := do(q, func(image *cluster.Image) ([]cluster.Record, error) {
					records, got, refused := cluster.AllocateProducerIDs(image, 1, epoch)
					first = got
					if refused != nil {
						return nil, refused
					}
					return records, nil
				})
				mu.Lock()
				if err != nil || given[first] || image.NextProducerID() != first+cluster.ProducerIDBlock {
					t.Errorf("block from %d, image's next %d, err %v", first, image.NextProducerID(), err)
				}
				given[first] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if next := q.Image().NextProducerID(); next != 400*cluster.ProducerIDBlock {
		t.Fatalf("the next producer id is %d", next)
	}
}

// What is in the mailbox when it is closed is handed over, whatever else wakes the owner.
func TestLastCollectKeepsTheMail(t *testing.T) {
	m := mailbox{wake: make(chan struct{}, 1)}
	first, second := &request{}, &request{}
	m.push(first)
	m.push(second)
	if list := m.collect(true); list != first || list.next != second || second.next != nil {
		t.Fatal("a change is lost")
	}
	if m.push(&request{}) {
		t.Fatal("the mailbox is not closed")
	}
}

func TestCloseAnswersEverything(t *testing.T) {
	q := open(t, testOptions(diskio.NewMemory()))
	register(t, q)
	started := make(chan struct{})
	answers := make(chan error, 10)
	q.Change(func(*cluster.Image) ([]cluster.Record, error) { <-started; return nil, nil }, func(*cluster.Image, error) {})
	for n := range 5 {
		q.Change(create(fmt.Sprint(n)), func(_ *cluster.Image, err error) {
			answers <- err
			// A change made while another is answered comes too late here, and is told so.
			q.Change(create("late"), func(*cluster.Image, error) {})
		})
	}
	close(started)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	}
	if _, err := do(q, create("x")); !errors.Is(err, ErrClosed) || !errors.Is(err, kerr.NotController) {
		t.Fatalf("after Close: %v", err)
	}
	if err := q.Close(); err != nil {
		t.Fatalf("closing again: %v", err)
	}
}

func TestBusyAndTooLarge(t *testing.T) {
	o := testOptions(diskio.NewMemory())
	o.MaxWaiting = 1
	q := open(t, o)
	_, err := do(q, func(*cluster.Image) ([]cluster.Record, error) {
		huge := string(make([]byte, maxChange))
		return []cluster.Record{&cluster.ConfigRecord{Resource: cluster.BrokerConfig, Values: map[string]*string{"x": &huge}}}, nil
	})
	if !errors.Is(err, ErrTooLarge) || !errors.Is(err, kerr.PolicyViolation) {
		t.Fatalf("got %v", err)
	}
	if _, err := do(q, func(*cluster.Image) ([]cluster.Record, error) {
		return []cluster.Record{&cluster.RemoveTopicRecord{}}, nil
	}); err == nil {
		t.Fatal("records that do not fit the image were taken")
	}
	started := make(chan struct{})
	first := make(chan struct{})
	q.Change(func(*cluster.Image) ([]cluster.Record, error) { close(first); <-started; return nil, nil }, func(*cluster.Image, error) {})
	<-first
	nothing := func(*cluster.Image) ([]cluster.Record, error) { return nil, nil }
	q.Change(nothing, func(*cluster.Image, error) {})
	if _, err := do(q, nothing); !errors.Is(err, ErrBusy) {
		t.Fatalf("got %v", err)
	}
	close(started)
}

// TestFailedSyncStops: what was being written is answered with an error, nothing is ever
// answered with success again, the owner is told, and what was acknowledged is there later.
func TestFailedSyncStops(t *testing.T) {
	disk := diskio.NewMemory()
	o := testOptions(disk)
	faults := make(chan error, 2)
	o.Failed = func(err error) { faults <- err }
	q := open(t, o)
	register(t, q)
	mustCreate(t, q, "kept")
	disk.FailSync(syscall.EIO)
	if _, err := do(q, create("lost")); !errors.Is(err, ErrStopped) || !errors.Is(err, syscall.EIO) || !errors.Is(err, kerr.KafkaStorageError) {
		t.Fatalf("got %v", err)
	}
	disk.FailSync(nil)
	<-q.Done()
	if _, err := do(q, create("later")); !errors.Is(err, ErrStopped) {
		t.Fatalf("got %v", err)
	}
	if err := <-faults; !errors.Is(err, syscall.EIO) || len(faults) > 0 || !errors.Is(q.Err(), syscall.EIO) {
		t.Fatalf("told %v, Err is %v", err, q.Err())
	}
	if q.Image().Topic("lost") != nil {
		t.Fatal("a change that was not durable was published")
	}
	disk.Crash()
	again := open(t, testOptions(disk))
	if got := topics(again.Image()); !slices.Equal(got, []string{"kept"}) {
		t.Fatalf("topics are %v", got)
	}
}

// TestFullDisk: whoever waits is told, and the change is made when there is space.
func TestFullDisk(t *testing.T) {
	disk := diskio.NewMemory()
	q := open(t, testOptions(disk))
	register(t, q)
	disk.FailWrite(syscall.ENOSPC)
	for _, name := range []string{"held", "refused"} {
		if _, err := do(q, create(name)); !errors.Is(err, ErrFull) {
			t.Fatalf("%s: got %v", name, err)
		}
	}
	if q.Image().Topic("held") != nil {
		t.Fatal("a change that is not written was published")
	}
	disk.FailWrite(nil)
	mustCreate(t, q, "next")
	if got := topics(q.Image()); !slices.Equal(got, []string{"held", "next"}) {
		t.Fatalf("topics are %v", got)
	}
	want := q.Image()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	disk.Crash()
	sameImage(t, open(t, testOptions(disk)).Image(), want)
}

// TestWithoutDescriptors is no fault either: what waits is written when there is one again.
func TestWithoutDescriptors(t *testing.T) {
	disk := diskio.NewMemory()
	q := open(t, testOptions(disk))
	register(t, q)
	disk.FailWrite(syscall.EMFILE)
	if _, err := do(q, create("held")); !errors.Is(err, kerr.KafkaStorageError) || errors.Is(err, ErrFull) {
		t.Fatalf("got %v", err)
	}
	disk.FailWrite(nil)
	mustCreate(t, q, "next")
	if got := topics(q.Image()); !slices.Equal(got, []string{"held", "next"}) {
		t.Fatalf("topics are %v", got)
	}
}

func TestFullDiskToTheEnd(t *testing.T) {
	disk := diskio.NewMemory()
	q := open(t, testOptions(disk))
	register(t, q)
	disk.FailWrite(syscall.ENOSPC)
	if _, err := do(q, create("held")); !errors.Is(err, ErrFull) {
		t.Fatalf("got %v", err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestTicksAreRaftsClock drives raft far past its election timeout: the leader stays.
func TestTicksAreRaftsClock(t *testing.T) {
	o := testOptions(diskio.NewMemory())
	ticks := make(chan time.Time)
	o.Ticks = ticks
	q := open(t, o)
	for range 5 * electionTicks {
		ticks <- time.Time{}
	}
	register(t, q)
	if s := q.Status(); s.Leader != 1 || s.Term != 1 {
		t.Fatalf("status is %+v", s)
	}
}
