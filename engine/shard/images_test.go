package shard

import (
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/sdk/batch"
)

var (
	imageRuns = flag.Int("runs", 0, "how many runs the image test records; 0: imagesRuns, or imagesRunsShort")
	onlyImage = flag.Int("image", -1, "check only the image of this number, of the run that -run names")
	export    = flag.String("export", "", "write the image that a check refuses to this folder")
)

const (
	imagesRuns      = 8
	imagesRunsShort = 2 // with -short or -race

	// All of imagesRunsJournal give more than 20,000 images.
	imagesRunsJournal = 12
)

// imageKind is how a run makes durable what it appends.
type imageKind struct {
	journal  bool // by a syncer with a journal that is used again and again; else when the test says so
	interval bool // acknowledged before it is synced
}

// directSyncer syncs at once when it is told to, and else when the test says so.
type directSyncer struct {
	handSyncer
	now bool
}

func (d *directSyncer) Sync(r *diskio.Request) {
	if d.now {
		r.Done(r, r.File.Sync())
		return
	}
	d.handSyncer.Sync(r)
}

// line is one batch of one record that a producer sent to a partition.
type line struct {
	partition int
	value     string
	sequence  int32
	offset    int64 // once it is acknowledged; −1 before
}

// ledger is what clients know of the partitions; it is copied for every mark.
type ledger struct {
	lines   []line
	starts  [2]int64 // acknowledged log starts
	tried   [2]int64
	sure    [2]int64 // interval mode: what was written below is an interval old
	deleted bool     // the deletion of the topic "gone" was answered
	kept    bool     // it was not asked for yet
}

const imageProducer = 7

// seals holds up who writes the indexes of a sealed segment, on a goroutine of its own, until
// the shard is at rest: then it is their turn, one after the other. Runs of one seed are then
// nearly, but not always, the same: -export keeps the image that a check refuses.
type seals struct {
	guard sync.Mutex
	held  map[string]chan struct{}
}

func (s *seals) gate(op diskio.Op) error {
	if op.Kind != diskio.OpCreate || !strings.HasSuffix(op.Name, ".timeindex") {
		return nil
	}
	turn := make(chan struct{})
	s.guard.Lock()
	s.held[op.Name] = turn
	s.guard.Unlock()
	<-turn
	return nil
}

func (s *seals) release() {
	<-time.After(time.Nanosecond) // of the bubble's time: what was to be done at once has begun
	synctest.Wait()
	for {
		s.guard.Lock()
		names := slices.Sorted(maps.Keys(s.held))
		if len(names) == 0 {
			s.guard.Unlock()
			return
		}
		close(s.held[names[0]])
		delete(s.held, names[0])
		s.guard.Unlock()
		synctest.Wait()
	}
}

// imageRun is a shard on a disk that is recorded, and clients that write down what they were told.
type imageRun struct {
	*house
	kind   imageKind
	random *rand.Rand
	syncer *directSyncer // nil: the one with a journal
	trace  *diskio.Trace
	ledger ledger
	topic  *Topic
	gone   *Topic
	under  []*sent // by line
	seals  seals
	next   [2]int32
}

func (k imageKind) settings() *Settings {
	s := testSettings(!k.interval)
	if k.interval {
		s.FlushEvery, s.Log.SyncOnRoll = every, true
	}
	s.Log.SegmentBytes, s.Log.IndexInterval = 500, 100
	return s
}

func imageSettings() *Settings { return imageKind{}.settings() }

// openJournal replays the journal of a disk that is not in use, or begins one.
func openJournal(t testing.TB, fs diskio.FS) *diskio.Journal {
	t.Helper()
	j, err := diskio.OpenJournal(diskio.JournalOptions{
		FS: fs, Folder: "/data", Bytes: 4 * 16 << 12, Warmup: 1, Age: time.Hour, Log: slog.New(slog.DiscardHandler),
		Owns: func(name string, topic [16]byte) (bool, error) {
			found, err := commitlog.TopicOf(fs, "/data/"+path.Dir(name))
			return found == topic, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func (r *imageRun) mark() {
	known := r.ledger
	known.lines = slices.Clone(known.lines)
	r.trace.Mark(&known)
}

// send sends one batch of the idempotent producer.
func (r *imageRun) send(partition int) {
	l := line{partition, fmt.Sprintf("%d-%d", partition, r.next[partition]), r.next[partition], -1}
	r.next[partition]++
	r.ledger.lines = append(r.ledger.lines, l)
	r.mark()
	r.under = append(r.under, send(r.topic.Replica(int32(partition)), l.batch(r.t)))
}

func (l line) batch(t testing.TB) batch.Batch {
	o := batch.NoProducer()
	o.ProducerID, o.ProducerEpoch, o.BaseSequence = imageProducer+int64(l.partition), 0, l.sequence
	return records(t, o, l.value)
}

// note writes down what was acknowledged.
func (r *imageRun) note() {
	for i, s := range r.under {
		if s.done() && r.ledger.lines[i].offset < 0 {
			if s.Append.Err != nil {
				r.t.Fatalf("%s: %v", r.ledger.lines[i].value, s.Append.Err)
			}
			r.ledger.lines[i].offset = s.Append.Base
		}
	}
	r.mark()
}

// open counts what a producer waits for: never more than five batches of one partition.
func (r *imageRun) open(partition int) (n int) {
	for _, l := range r.ledger.lines {
		if l.partition == partition && l.offset < 0 {
			n++
		}
	}
	return n
}

func (r *imageRun) act() {
	switch n := r.random.IntN(10); {
	case n < 6:
		p := r.random.IntN(2)
		hold := make(chan struct{}) // all that is sent here is taken in one turn
		r.shard.Do(func() { <-hold })
		for range 1 + r.random.IntN(2) {
			if r.open(p) < 5 {
				r.send(p)
			}
		}
		close(hold)
	case n < 9 && r.kind.interval:
		before := [2]int64{r.topic.Replica(0).HighWatermark(), r.topic.Replica(1).HighWatermark()}
		r.clock.pass(every)
		r.settled()
		synctest.Wait()
		r.ledger.sure = before
	case n < 9 && r.kind.journal:
		synctest.Wait()
	case n < 9:
		r.syncer.release()
	default:
		p := r.random.IntN(2)
		replica := r.topic.Replica(int32(p))
		to := replica.Start() + r.random.Int64N(replica.HighWatermark()-replica.Start()+1)
		r.ledger.tried[p] = max(r.ledger.tried[p], to)
		r.mark()
		r.shard.Wait(func() {
			if start, err := replica.DeleteRecords(to); err == nil {
				r.ledger.starts[p] = max(r.ledger.starts[p], start)
			}
		})
	}
	r.settled()
	r.seals.release()
	r.note()
}

// newImageRun is a run on an empty disk, recorded from the beginning. Close ends its syncer.
func newImageRun(t *testing.T, seed uint64, kind imageKind) (r *imageRun, journal *diskio.Journal, end func()) {
	disk, s := diskio.NewMemory(), &directSyncer{}
	r = &imageRun{kind: kind, random: rand.New(rand.NewPCG(seed, 4)), syncer: s, ledger: ledger{kept: true}}
	r.seals.held = map[string]chan struct{}{}
	end = func() {}
	if !kind.journal {
		r.house = newHouse(t, disk, s)
	} else {
		if err := disk.MkdirAll("/data"); err != nil {
			t.Fatal(err)
		}
		journal = openJournal(t, disk)
		syncer := diskio.NewSyncer(diskio.SyncerOptions{Journal: journal})
		end = syncer.Close
		r.house = newHouse(t, disk, syncer)
	}
	if seed/2%2 == 1 {
		r.disk.Release() // nobody seals in the background: only what is asked for is synced
	}
	r.topic = r.house.topic("t", 1, 2, kind.settings())
	r.gone = r.house.topic("gone", 9, 1, imageSettings())
	if !kind.journal { // whose checkpoints wait for those who seal
		disk.Gate(r.seals.gate)
	}
	r.trace = disk.Record()
	r.mark()
	return r, journal, end
}

// recordRun records one life of a shard.
func recordRun(t *testing.T, seed uint64, kind imageKind) (trace *diskio.Trace) {
	synctest.Test(t, func(t *testing.T) {
		r, journal, end := newImageRun(t, seed, kind)
		disk, s, acts := r.files.(*diskio.Memory), r.syncer, 50
		s.now = true
		first := send(r.gone.Replica(0), records(t, batch.NoProducer(), "first"))
		<-first.ended
		r.settled()
		s.now = false
		if kind.journal {
			acts = 150
		}
		for range acts {
			r.act()
		}
		r.ledger.kept = false
		r.mark()
		r.shard.Wait(func() { r.gone.Replica(0).Delete() })
		r.ledger.deleted = true
		r.mark()
		for range 10 {
			r.act()
		}
		s.now = true
		s.release()
		r.settled()
		r.seals.release()
		disk.Gate(nil)
		if err := r.retire(); err != nil {
			t.Fatal(err)
		}
		end()
		r.note()
		r.trace.Stop()
		trace = r.trace
		if journal == nil {
			return
		}
		if s := journal.Stats(); s.Rounds < 15 || s.Recycled == 0 || s.Checkpoints == 0 {
			t.Errorf("the journal was hardly used: %+v", s)
		}
	})
	return trace
}

// TestImages records lives of a shard with two partitions, and opens what a loss of power at
// any moment may leave. What was acknowledged is there, and clients go on where they were.
func TestImages(t *testing.T) {
	checkRuns(t, imagesRuns, 0, diskio.ImageOptions{Random: 2, Singles: 3, Every: 2}, func(uint64) imageKind { return imageKind{} })
}

// TestImagesWithAJournal is TestImages with a real syncer, and a journal so small that its
// files are used again several times in a run. Every other run is in the interval mode.
func TestImagesWithAJournal(t *testing.T) {
	checkRuns(t, imagesRunsJournal, 20_000, diskio.ImageOptions{Random: 1, Singles: 1, Every: 4},
		func(seed uint64) imageKind { return imageKind{journal: true, interval: seed%2 == 1} })
}

// checkRuns records runs of the kinds that their seeds say, and checks at least so many images.
func checkRuns(t *testing.T, runs, least int, o diskio.ImageOptions, kind func(seed uint64) imageKind) {
	if testing.Short() || raceEnabled {
		runs = imagesRunsShort
	}
	if *imageRuns > 0 {
		runs = *imageRuns
	}
	var guard sync.Mutex
	sum := 0
	t.Run("run", func(t *testing.T) {
		for seed := range uint64(runs) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				trace := recordRun(t, seed, kind(seed))
				o := o
				o.Seed = seed
				for image := range trace.Images(o) {
					if *onlyImage < 0 || image.Number == *onlyImage {
						checkImage(t, kind(seed), image, trace)
						guard.Lock()
						sum++
						guard.Unlock()
					}
				}
			})
		}
	})
	t.Logf("%d images of %d runs", sum, runs)
	if short := testing.Short() || raceEnabled || *imageRuns > 0 || *onlyImage >= 0; !short && sum < least {
		t.Fatalf("%d images, want at least %d", sum, least)
	}
}

func checkImage(t *testing.T, kind imageKind, image *diskio.Image, trace *diskio.Trace) {
	t.Helper()
	copied := *image.Mark.(*ledger)
	known := &copied
	known.lines = slices.Clone(known.lines)
	fail := func(format string, args ...any) {
		t.Helper()
		for _, op := range trace.Ops()[max(0, image.Point-12):image.Point] {
			t.Log(op)
		}
		if *export != "" {
			t.Log(image.Disk().Export(diskio.OS, *export))
		}
		t.Fatalf("%s; again with -run '%s$' -image %d: %s", image, t.Name(), image.Number, fmt.Sprintf(format, args...))
	}
	s := &directSyncer{now: true}
	disk := image.Disk()
	if kind.journal {
		openJournal(t, disk)
	}
	h := &house{t: t, files: disk, clock: newClock(), log: &noticed{}, syncer: s}
	points := map[string]Point{}
	if image.Number%2 == 0 {
		for p := range 2 {
			points[commitlog.FolderName("t", int32(p))] = Point{Topic: topicID(1), Offset: known.durable(p)}
			if kind.interval {
				points[commitlog.FolderName("t", int32(p))] = Point{Topic: topicID(1), Offset: known.sure[p]}
			}
		}
	}
	h.open(false, points)
	defer h.shard.Stop()
	topic := h.topic("t", 1, 2, kind.settings())
	gone := h.topic("gone", 9, 1, imageSettings()).Replica(0)
	h.shard.Wait(gone.Settle)
	if found, err := values(gone); err != nil || known.deleted && len(found) > 0 || known.kept && image.Mark != nil && len(known.lines) > 0 && len(found) != 1 {
		fail("the topic that is deleted has %q, %v (deleted %v, kept %v)", found, err, known.deleted, known.kept)
	}
	for p := range 2 {
		r := topic.Replica(int32(p))
		h.shard.Wait(r.Settle)
		found, err := contents(r)
		if err != nil {
			fail("partition %d: %v; log: %s", p, err, h.log.take())
		}
		if kind.interval {
			if wrong := known.forgive(p, r.HighWatermark()); wrong != "" {
				fail("partition %d: %s", p, wrong)
			}
		}
		if wrong := known.check(p, r.Start(), r.HighWatermark(), found); wrong != "" {
			fail("partition %d: %s", p, wrong)
		}
		if wrong := known.goOn(t, h, r, p); wrong != "" {
			fail("partition %d: %s", p, wrong)
		}
	}
	h.disk.Release()
}

// contents are the values by offset that a consumer may read.
func contents(r *Replica) (map[int64]string, error) {
	all := map[int64]string{}
	log, err := r.Log()
	if log == nil || err != nil {
		return all, err
	}
	offset := log.Start()
	return all, eachRecord(log, r.HighWatermark(), func(_ batch.Batch, one *batch.Record) {
		all[offset] = string(one.Value)
		offset++
	})
}

func (k *ledger) durable(partition int) (end int64) {
	for _, l := range k.lines {
		if l.partition == partition {
			end = max(end, l.offset+1)
		}
	}
	return end
}

// forgive takes for unacknowledged what the interval mode may lose: what was not an interval
// old yet.
func (k *ledger) forgive(partition int, high int64) string {
	if high < k.sure[partition] {
		return fmt.Sprintf("the log ends at %d, and what was written below %d is an interval old", high, k.sure[partition])
	}
	for i := range k.lines {
		if l := &k.lines[i]; l.partition == partition && l.offset >= high {
			l.offset = -1
		}
	}
	return ""
}

// check compares what is found with what was acknowledged and sent.
func (k *ledger) check(partition int, start, high int64, found map[int64]string) string {
	if start < k.starts[partition] || start > k.tried[partition] {
		return fmt.Sprintf("the log starts at %d, want %d to %d", start, k.starts[partition], k.tried[partition])
	}
	offset := int64(0)
	for _, l := range k.lines {
		if l.partition != partition {
			continue
		}
		// One producer that sends in order: its n'th record is at offset n, or nowhere.
		value, there := found[offset]
		switch {
		case l.offset >= 0 && l.offset != offset:
			return fmt.Sprintf("%s was acknowledged at %d, want %d", l.value, l.offset, offset)
		case l.offset >= 0 && offset >= high:
			return fmt.Sprintf("%s was acknowledged at %d, the log ends at %d", l.value, l.offset, high)
		case offset >= start && offset < high && value != l.value:
			return fmt.Sprintf("at offset %d is %q (%v), want %s", offset, value, there, l.value)
		}
		offset++
	}
	if high > offset || len(found) != int(high-start) {
		return fmt.Sprintf("%d records up to offset %d, and only %d were sent", len(found), high, offset)
	}
	return ""
}

// goOn is what a producer does that was cut off: it sends again what was not acknowledged,
// and before that its last record that was. Each must be there once.
func (k *ledger) goOn(t *testing.T, h *house, r *Replica, partition int) string {
	t.Helper()
	var again []line
	var last *line
	for i, l := range k.lines {
		if l.partition == partition && l.offset < 0 {
			again = append(again, l)
		} else if l.partition == partition {
			last = &k.lines[i]
		}
	}
	if last != nil && last.offset >= r.Start() && len(again) < 5 { // the broker knows five batches
		again = append([]line{*last}, again...)
	}
	offset := k.durable(partition)
	if last != nil && len(again) > 0 && again[0] == *last {
		offset--
	}
	for _, l := range again {
		s := send(r, l.batch(t))
		<-s.ended
		if s.Append.Err != nil || s.Append.Base != offset {
			return fmt.Sprintf("%s sent again: offset %d, want %d: %v", l.value, s.Append.Base, offset, s.Append.Err)
		}
		offset++
	}
	found, err := contents(r)
	if err != nil {
		return err.Error()
	}
	seen := map[string]bool{}
	for _, at := range slices.Sorted(maps.Keys(found)) {
		if seen[found[at]] {
			return fmt.Sprintf("%s is there twice", found[at])
		}
		seen[found[at]] = true
	}
	return ""
}

// A producer goes on after its records were deleted and the broker was killed: what was
// deleted lies behind the last snapshot, and still counts.
func TestProducersOutliveTheirRecords(t *testing.T) {
	disk, s := diskio.NewMemory(), &directSyncer{now: true}
	h := newHouse(t, disk, s)
	r := h.topic("t", 1, 1, imageSettings()).Replica(0)
	one := func(n int32) *sent { return send(r, line{sequence: n, value: fmt.Sprint(n)}.batch(t)) }
	for n := range int32(10) { // one roll, and so one snapshot, on the way
		<-one(n).ended
	}
	h.settled()
	s.now = false
	one(10) // keeps the segment from being deleted, and is lost
	h.settled()
	h.shard.Wait(func() {
		if start, err := r.DeleteRecords(-1); err != nil || start != 10 {
			t.Errorf("deleted up to %d, %v", start, err)
		}
	})
	disk.Crash()
	h.shard.Stop()
	h.open(false, nil)
	s.now = true
	r = h.topic("t", 1, 1, imageSettings()).Replica(0)
	again := one(10)
	<-again.ended
	if again.Append.Err != nil || again.Append.Base != 10 {
		t.Fatalf("sent again: offset %d, %v", again.Append.Base, again.Append.Err)
	}
}
