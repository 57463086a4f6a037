package engine

import (
	"bytes"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/unpack"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

// readGate is a disk that keeps whoever reads exactly so many bytes of a segment at once waiting:
// fetch interceptors' copy of a batch of that size, and nobody else.
type readGate struct {
	diskio.FS
	size       int
	held, open chan struct{}
}

func newReadGate(size int) *readGate {
	return &readGate{diskio.NewMemory(), size, make(chan struct{}, 1), make(chan struct{})}
}

func (g *readGate) Open(name string, flag int) (diskio.File, error) {
	f, err := g.FS.Open(name, flag)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return &gatedFile{f, g}, nil
}

type gatedFile struct {
	diskio.File
	gate *readGate
}

func (f *gatedFile) ReadAt(p []byte, offset int64) (int, error) {
	if len(p) == f.gate.size {
		f.gate.held <- struct{}{}
		<-f.gate.open
	}
	return f.File.ReadAt(p, offset)
}

// Interceptors are taken off a topic while a worker reads for a fetch that was to be shown to
// them: what comes out is sent as it is.
func TestInterceptorsAreTakenOffDuringAFetch(t *testing.T) {
	onlyOurs(t)
	sent := records("drop " + strings.Repeat("x", 23_000))
	files := newReadGate(len(sent))
	b, err := beginOn(files, "/data", "plugins=obedient")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, b) })
	p := dial(t, b.Addresses()[0])
	s := p.topic(1, "interceptors.fetch", "obedient")
	want(t, "produce", p.produce(9, s, 0, sent).ErrorCode, nil)
	q := from(s, 0, 0)
	p.send(12, q)
	<-files.held
	p.another().altered(aTopic, s.name, "-interceptors.fetch")
	close(files.open)
	a := expect[*kmsg.FetchResponse](p, 12, q, p.last)
	r := a.Topics[0].Partitions[0]
	if want(t, "fetch", r.ErrorCode, nil); len(values(t, r.RecordBatches)) != 1 {
		t.Errorf("%d bytes were sent, want the batch as it is", len(r.RecordBatches))
	}
}

// swelling makes every value as large as its text says.
type swelling struct{ sdk.Nop }

func (swelling) OnFetch(b *sdk.Batch) error {
	for i, v := range b.All() {
		size, err := strconv.Atoi(string(v.Value))
		if err != nil {
			return err
		}
		b.SetValue(i, bytes.Repeat([]byte("x"), size))
	}
	return nil
}

func init() {
	sdk.Interceptors.Register("swelling", func(sdk.Config) (sdk.Interceptor, error) { return swelling{}, nil })
}

// What interceptors make of an answer has the bounds of an answer: who asks for 8 MiB gets no
// more, and gets the rest when he asks for it.
func TestAnAnswerThatInterceptorsEnlargeIsBounded(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir(), "plugins=swelling", "decompression.buffer.bytes=134217728")
	p := dial(t, b.Addresses()[0])
	s := p.topic(1, "interceptors.fetch", "swelling")
	const count, size = 10, 3 << 20
	for range count {
		want(t, "produce", p.produce(9, s, 0, records(strconv.Itoa(size))).ErrorCode, nil)
	}
	got, answers := 0, 0
	for ; got < count; answers++ {
		q := from(s, 0, int64(got))
		q.MaxBytes = 8 << 20
		r := p.fetch(12, q)
		want(t, "fetch", r.ErrorCode, nil)
		if n := len(r.RecordBatches); n > 8<<20 || n == 0 {
			t.Fatalf("an answer of at most 8 MiB has %d bytes", n)
		}
		got += len(batches(t, r.RecordBatches))
	}
	if answers < 5 {
		t.Errorf("%d batches of 3 MiB came in %d answers of 8 MiB", got, answers)
	}
	want(t, "produce", p.produce(9, s, 0, records("40000000", "40000000")).ErrorCode, nil)
	want(t, "more than any batch may become", p.fetch(12, from(s, 0, count)).ErrorCode, kerr.UnknownServerError)
	givenBack(t, b)
}

// soon waits until f holds.
func soon(t *testing.T, what string, f func() bool) {
	t.Helper()
	select {
	case <-eventually(f):
	case <-time.After(patience):
		t.Fatalf("it did not come to this: %s", what)
	}
}

// givenBack waits until all memory is, once the answers that hold some were read.
func givenBack(t *testing.T, b *Broker) {
	t.Helper()
	soon(t, "all memory is given back", func() bool { return b.unpacked() == 0 })
}

// Who asks for much through interceptors, again and again, and reads nothing, costs the broker
// one answer; others go on reading, and when he goes nothing of it is left.
func TestFilteredAnswersThatNobodyReadsAreBounded(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir(), "plugins=obedient")
	p := dial(t, b.Addresses()[0])
	s := p.topic(1, "interceptors.fetch", "obedient")
	for range 12 {
		want(t, "produce", p.produce(9, s, 0, records("keep "+strings.Repeat("x", 900_000))).ErrorCode, nil)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	greedy := p.another()
	for range 64 {
		greedy.send(12, from(s, 0, 0))
	}
	most := int64(0)
	for range 5 {
		if got := len(p.stored(s, 0)); got == 0 {
			t.Error("somebody who reads got nothing")
		}
		most = max(most, b.unpacked())
	}
	runtime.ReadMemStats(&after)
	if limit := int64(16 << 20); most > limit {
		t.Errorf("%d bytes were lent, want less than %d", most, limit)
	}
	if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 400 && !raceEnabled {
		t.Errorf("%d MiB were taken from the heap", n)
	}
	greedy.conn.Close()
	givenBack(t, b)
}

// Fetches that interceptors are to see take one place with the workers for each connection, and
// none when nobody waits for their answer any more.
func TestAConnectionHasOneFetchWithTheWorkers(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir(), "plugins=holding")
	p := dial(t, b.Addresses()[0])
	s := p.topic(1)
	want(t, "produce", p.produce(9, s, 0, records("1")).ErrorCode, nil)
	p.altered(aTopic, s.name, "interceptors.fetch=holding")
	many := p.another()
	const fetches = 20
	q := from(s, 0, 0)
	var all []int32
	for range fetches {
		many.send(12, q)
		all = append(all, many.last)
	}
	<-holdCalled
	p.fetch(12, from(p.topic(1), 0, 0)) // by now the loop has seen the others, or will not post them
	if n := b.pool.Waiting(); n != 0 {
		t.Errorf("%d fetches of a connection wait for a worker behind its first", n)
	}
	for i, correlation := range all {
		if i > 0 {
			<-holdCalled
		}
		holdLetGo <- struct{}{}
		r := expect[*kmsg.FetchResponse](many, 12, q, correlation).Topics[0].Partitions[0]
		if want(t, "fetch", r.ErrorCode, nil); len(values(t, r.RecordBatches)) != 1 {
			t.Errorf("fetch %d got %d bytes", i, len(r.RecordBatches))
		}
	}

	many.send(12, q)
	<-holdCalled
	var leavers []*peer
	for range 3 * unpack.Workers() {
		gone := p.another()
		gone.send(12, q)
		gone.send(12, q)
		leavers = append(leavers, gone)
	}
	busy := unpack.Workers() - 1 // others that have a leaver's fetch, and wait for the place
	soon(t, "the leavers wait for workers", func() bool { return b.pool.Waiting() == len(leavers)-busy })
	open := b.sockets[0].Stats().Connections
	for _, gone := range leavers {
		if err := gone.conn.(*net.TCPConn).SetLinger(0); err != nil { // else the broker owes them an answer
			t.Fatal(err)
		}
		gone.conn.Close()
	}
	soon(t, "the leavers are gone", func() bool { return b.sockets[0].Stats().Connections == open-len(leavers) })
	holdLetGo <- struct{}{}
	expect[*kmsg.FetchResponse](many, 12, q, many.last)
	for range busy {
		<-holdCalled
		holdLetGo <- struct{}{}
	}
	many.send(12, q)
	<-holdCalled // and not of one who is gone
	holdLetGo <- struct{}{}
	expect[*kmsg.FetchResponse](many, 12, q, many.last)
}

// A connection closes while the disk is looked at for one of its fetches, and a worker has another:
// nothing is left of either.
func TestAFetchThatComesToItsTurnTooLateLeavesNothing(t *testing.T) {
	onlyOurs(t)
	folder := t.TempDir()
	b, err := begin(folder, "plugins=holding")
	if err != nil {
		t.Fatal(err)
	}
	p := dial(t, b.Addresses()[0])
	s, unused := p.topic(1), p.topic(1)
	for _, s := range []subject{s, unused} {
		want(t, "produce", p.produce(9, s, 0, records("1")).ErrorCode, nil)
	}
	p.altered(aTopic, s.name, "interceptors.fetch=holding")
	stop(t, b)
	b = start(t, folder, "plugins=holding") // which has used nothing yet
	p = dial(t, b.Addresses()[0])
	gone, idle := p.another(), b.sockets[0].Stats()
	gone.send(12, from(s, 0, 0))
	<-holdCalled
	r := b.registry.Named(unused.name).Replica(0)
	if r.Settled() {
		t.Error("the disk was looked at before")
	}
	entered, leave := make(chan struct{}), make(chan struct{})
	r.Shard().Do(func() {
		close(entered)
		<-leave
	})
	<-entered
	q := from(s, 0, 0)
	q.Topics = append(q.Topics, fetchTopic(unused, 0, 0))
	gone.send(12, q)
	soon(t, "both are there", func() bool { return b.sockets[0].Stats().Frames == idle.Frames+2 })
	open := b.sockets[0].Stats().Connections
	if err := gone.conn.(*net.TCPConn).SetLinger(0); err != nil { // else the broker owes it an answer
		t.Fatal(err)
	}
	gone.conn.Close()
	soon(t, "the connection is closed", func() bool { return b.sockets[0].Stats().Connections == open-1 })
	close(leave)
	r.Shard().Wait(func() {})
	holdLetGo <- struct{}{}
	soon(t, "the requests are let go", func() bool { return b.sockets[0].Stats().FrameBytes <= idle.FrameBytes })
	givenBack(t, b)
}

// What comes before a batch that interceptors fail over is sent, and the fault is told to who asks
// for that batch.
func TestAFaultDoesNotTakeWhatComesBeforeIt(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir(), "plugins=obedient")
	p := dial(t, b.Addresses()[0])
	s := p.topic(1, "interceptors.fetch", "obedient")
	for _, value := range []string{"keep", "edit", "panic", "keep"} {
		want(t, "produce", p.produce(9, s, 0, records(value)).ErrorCode, nil)
	}
	p.holds(s, "0 keep", "1 EDIT")
	want(t, "the fault", p.fetch(12, from(s, 0, 2)).ErrorCode, kerr.UnknownServerError)
	want(t, "behind it", p.fetch(12, from(s, 0, 3)).ErrorCode, nil)
	givenBack(t, b)
}

// A plugin that is not called has consumers stand still though no call of it has failed, or only
// on produce: the log says so, and not with each time that they ask.
func TestAFetchWhosePluginIsNotCalledIsLoggedSparingly(t *testing.T) {
	for name, test := range map[string]struct {
		settings []string
		first    *kerr.Error
		why      string
	}{
		"its calls took too long": {[]string{"plugin.obedient.call.budget.ms=1ns"}, nil, "raise plugin.obedient.call.budget.ms"},
		"it failed on produce":    {[]string{"plugin.obedient.fault.budget.ms=1ns"}, kerr.PolicyViolation, "raise plugin.obedient.fault.budget.ms"},
		"it is switched off":      {[]string{"plugin.obedient.breaker.faults=1", "plugin.obedient.breaker.cooldown.ms=3600000"}, kerr.PolicyViolation, "it is switched off"},
	} {
		t.Run(name, func(t *testing.T) {
			onlyOurs(t)
			p, log := logging(t, append([]string{"plugins=obedient"}, test.settings...)...)
			s, written := p.topic(1, "interceptors.fetch", "obedient"), p.topic(1, "interceptors.produce", "obedient")
			want(t, "produce", p.produce(9, s, 0, records("keep")).ErrorCode, nil)
			deed := "keep"
			if test.first != nil {
				deed = "panic"
			}
			want(t, "the call before", p.produce(9, written, 0, records(deed)).ErrorCode, test.first)
			for range 20 {
				want(t, "a fetch", p.fetch(12, from(s, 0, 0)).ErrorCode, kerr.UnknownServerError)
			}
			if said := log.lines("records are not sent"); len(said) != 1 || !strings.Contains(said[0], test.why) || !strings.Contains(said[0], s.name) {
				t.Errorf("20 fetches are logged as %q, want one line with %q", said, test.why)
			}
		})
	}
}

// Whoever finds no memory for his records waits for it as he would for records, and is answered
// without when his time is over; with it he gets them.
func TestAFetchThatFindsNoMemoryWaits(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir(), "plugins=obedient")
	p := dial(t, b.Addresses()[0])
	s := p.topic(1, "interceptors.fetch", "obedient")
	want(t, "produce", p.produce(9, s, 0, records("keep", "drop")).ErrorCode, nil)
	if err := b.memory.Borrow(64 << 20); err != nil {
		t.Fatal(err)
	}
	q := from(s, 0, 0)
	q.MaxWaitMillis = 0
	if r := p.fetch(12, q); r.ErrorCode != 0 || len(r.RecordBatches) != 0 || r.HighWatermark != 2 {
		t.Errorf("%s, %d bytes", errorName(r.ErrorCode), len(r.RecordBatches))
	}
	q.MaxWaitMillis = 300
	p.send(12, q)
	p.another().produce(9, s, 0, records("keep too")) // by now the first has looked
	b.memory.Return(64 << 20)
	r := expect[*kmsg.FetchResponse](p, 12, q, p.last).Topics[0].Partitions[0]
	if got := values(t, r.RecordBatches); len(got) < 1 {
		t.Errorf("got %q once there was memory", got)
	}
}

// A fetch that waits for memory keeps its worker for one wait, however many partitions it reads.
func TestAFetchOfManyPartitionsWaitsForMemoryOnce(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir(), "plugins=obedient")
	p := dial(t, b.Addresses()[0])
	const partitions, wait = 4, 5 * time.Second
	s := p.topic(partitions, "interceptors.fetch", "obedient")
	q := from(s, 0, 0)
	q.Topics, q.MaxWaitMillis = nil, 1
	for i := range int32(partitions) {
		want(t, "produce", p.produce(9, s, i, records("keep")).ErrorCode, nil)
		q.Topics = append(q.Topics, fetchTopic(s, i, 0))
	}
	if err := b.memory.Borrow(64 << 20); err != nil {
		t.Fatal(err)
	}
	defer b.memory.Return(64 << 20)
	begin := time.Now()
	a := ask[*kmsg.FetchResponse](p, 12, q)
	if took := time.Since(begin); took < wait || took >= partitions*wait {
		t.Errorf("it took %v, want one wait of %v", took, wait)
	}
	for _, one := range a.Topics {
		for _, r := range one.Partitions {
			if want(t, "fetch", r.ErrorCode, nil); len(r.RecordBatches) != 0 {
				t.Errorf("%d bytes came without memory", len(r.RecordBatches))
			}
		}
	}
}

// Answers that nobody reads take no memory from those who write: a batch that needs all there is
// for decompressed records is stored all the same, and others beside it.
func TestUnreadAnswersDoNotKeepALargeBatchOut(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir(), "plugins=obedient")
	p := dial(t, b.Addresses()[0])
	s := p.topic(1, "interceptors.fetch", "obedient")
	for range 5 {
		want(t, "produce", p.produce(9, s, 0, records("keep "+strings.Repeat("x", 900_000))).ErrorCode, nil)
	}
	for range 6 {
		greedy := p.another()
		for range 8 {
			greedy.send(12, from(s, 0, 0))
		}
	}
	soon(t, "answers wait to be read", func() bool { return b.unpacked() > 10<<20 })
	written := p.topic(1, "interceptors.produce", "obedient")
	o := batch.NoProducer()
	o.Codec = batch.LZ4
	sent := recordsAt(time.Now().UnixMilli(), o, "edit "+strings.Repeat("x", 30<<20))
	want(t, "a large batch", p.produce(9, written, 0, sent).ErrorCode, nil)
	if b.unpacked() < 10<<20 {
		t.Error("the answers were read meanwhile")
	}
}

// One batch that takes much of the memory for decompressed records is changed all the same; one
// that can never have enough is refused with a reason, by which nobody sends it again.
func TestABatchDoesNotStarveItself(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir(), "plugins=obedient")
	p := dial(t, b.Addresses()[0])
	written := p.topic(1, "interceptors.produce", "obedient")
	plain := p.topic(1)
	for _, test := range []struct {
		size    int
		codec   batch.Codec
		refused *kerr.Error
	}{{20 << 20, batch.Gzip, nil}, {25 << 20, batch.Zstd, nil}, {30 << 20, batch.LZ4, nil}, {40 << 20, batch.Gzip, kerr.InvalidRecord}} {
		o := batch.NoProducer()
		o.Codec = test.codec
		sent := recordsAt(time.Now().UnixMilli(), o, "edit "+strings.Repeat("x", test.size))
		r := p.produce(9, written, 0, sent)
		if want(t, fmt.Sprintf("write %d MiB of %s", test.size>>20, test.codec), r.ErrorCode, test.refused); test.refused != nil && !strings.Contains(why(r), "decompression.buffer.bytes") {
			t.Errorf("the reason is %q", why(r))
		}
		want(t, "write without interceptors", p.produce(9, plain, 0, sent).ErrorCode, nil)
	}
	p.altered(aTopic, plain.name, "interceptors.fetch=obedient")
	for offset, refused := range []*kerr.Error{nil, nil, nil, kerr.UnknownServerError} {
		q := from(plain, 0, int64(offset))
		q.MaxBytes = 1
		r := p.fetch(12, q)
		if want(t, fmt.Sprintf("read record %d", offset), r.ErrorCode, refused); refused == nil && len(r.RecordBatches) == 0 {
			t.Errorf("record %d did not come", offset)
		}
	}
	givenBack(t, b)
}
