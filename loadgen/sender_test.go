package loadgen

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/results"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/wire"
)

const testVersion = 9

// nullBroker answers every Produce request with success, in order, and stores nothing.
// Before each answer it calls wait.
func nullBroker(t testing.TB, wait func()) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go answerAll(c, wait)
		}
	}()
	return listener.Addr().String()
}

func answerAll(c net.Conn, wait func()) {
	defer c.Close()
	in := bufio.NewReaderSize(c, 1<<20)
	var frame []byte
	for {
		var size [4]byte
		if _, err := io.ReadFull(in, size[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint32(size[:]))
		if cap(frame) < n {
			frame = make([]byte, n)
		}
		frame = frame[:n]
		if _, err := io.ReadFull(in, frame); err != nil {
			return
		}
		if wait != nil {
			wait()
		}
		if _, err := c.Write(success(frame)); err != nil {
			return
		}
	}
}

// success is the answer to a Produce request without its length.
func success(request []byte) []byte {
	const header = 2 + 2 + 4 + 2 + len(clientID) + 1
	var q kmsg.ProduceRequest
	q.Version = testVersion
	if err := q.ReadFrom(request[header:]); err != nil {
		panic(err)
	}
	a := kmsg.NewPtrProduceResponse()
	a.Version = testVersion
	for _, topic := range q.Topics {
		answer := kmsg.NewProduceResponseTopic()
		answer.Topic = topic.Topic
		for _, p := range topic.Partitions {
			one := kmsg.NewProduceResponseTopicPartition()
			one.Partition = p.Partition
			if err := batch.Batch(p.Records).Check(); err != nil {
				one.ErrorCode = 2
			}
			answer.Partitions = append(answer.Partitions, one)
		}
		a.Topics = append(a.Topics, answer)
	}
	out := append([]byte{0, 0, 0, 0}, request[4:8]...)
	out = a.AppendTo(append(out, 0))
	wire.Seal(out, 0)
	return out
}

// bench is one sender on one loop against a null broker.
type bench struct {
	clock     *clock
	loop      *loop
	sender    *sender
	collector *collector
}

func newBench(t testing.TB, address string, s Settings, span time.Duration) *bench {
	t.Helper()
	b := &bench{clock: new(clock)}
	in := make(chan *interval, 64)
	r := newRecorder(0, 0, in, response, service, sendLag, ownLag)
	b.collector = &collector{recorders: []*recorder{r}, in: in, primary: response}
	l, err := newLoop(b.clock, r)
	if err != nil {
		t.Fatal(err)
	}
	b.loop = l
	t.Cleanup(func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	})
	shape, err := newShape(s.Value, s.Key, 1)
	if err != nil {
		t.Fatal(err)
	}
	b.sender = &sender{
		producePlan: &producePlan{Settings: s, version: testVersion, topic: testTopic, records: shape.recordsOf(s.Batch), stop: int64(span)},
		clock:       b.clock, recorder: r, producer: producerState{7, 0}, spread: newSpread(shape, 2, []int32{0, 1}, 0),
	}
	if s.Rate > 0 {
		pace := Pace{Rate: s.Rate, Span: span, Batch: b.sender.records, ByRecord: s.Arrival == ArriveRecord, Linger: s.Linger, Connections: 1}
		if b.sender.schedule, err = NewSchedule(pace); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.sender.prepare(); err != nil {
		t.Fatal(err)
	}
	if b.sender.c, err = dial(address); err != nil {
		t.Fatal(err)
	}
	if err := l.add(b.sender); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) run(t testing.TB) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); b.collector.run() }()
	b.clock.begin()
	if err := b.loop.run(context.Background()); err != nil {
		t.Fatal(err)
	}
	<-done
}

func (b *bench) at(k kind, percentile float64) time.Duration {
	return time.Duration(b.collector.latency[k].ValueAtPercentile(percentile))
}

// A broker that stands still for a third of the time keeps few requests waiting, and
// that is all a closed loop would see. The open model counts everybody who should have
// been served meanwhile, and does not blame the load generator. A machine that others use too may
// stall by itself, so it has some tries.
func TestStalledBrokerShowsCoordinatedOmission(t *testing.T) {
	var wrong []string
	for range 5 {
		if wrong = stalledRun(t); len(wrong) == 0 {
			return
		}
	}
	t.Error(strings.Join(wrong, "\n"))
}

// stalledRun is what a run beside a broker that stalls shows and should not.
func stalledRun(t *testing.T) (wrong []string) {
	say := func(format string, arguments ...any) { wrong = append(wrong, fmt.Sprintf(format, arguments...)) }
	const span, stall = 900 * time.Millisecond, 300 * time.Millisecond
	answered := 0
	address := nullBroker(t, func() {
		if answered++; answered == 300 {
			<-time.After(stall)
		}
	})
	s := DefaultSettings()
	s.Rate, s.Batch, s.InFlight = 1000, 200, 1 // one record a batch, 1000 batches a second
	b := newBench(t, address, s, span)
	b.run(t)
	if n := b.collector.total.acked; n != 900 {
		t.Fatalf("%d records were acknowledged, want all 900", n)
	}
	if got := b.at(service, 99); got > stall/3 {
		say("service p99 is %v: only one request of 900 waited for the broker", got)
	}
	if got := b.at(response, 75); got < stall/20 {
		say("response p75 is %v: a third of the records were due during a stall of %v", got, stall)
	}
	if got := b.at(response, 100); got < stall*9/10 {
		say("the largest response is %v, the stall was %v", got, stall)
	}
	if got := b.at(sendLag, 100); got < stall/2 {
		say("the largest send lag is %v, requests waited up to %v", got, stall)
	}
	if own, all := b.at(ownLag, 90), b.at(sendLag, 90); own > all/2 {
		say("the load generator blames itself for %v of %v that the broker made it wait", own, all)
	}
	return wrong
}

// hog keeps a loop busy, as too much work per record would.
type hog struct {
	c    *connection
	clk  *clock
	stop int64
	each int64
}

func (h *hog) conn() *connection { return h.c }
func (h *hog) readable() error   { return nil }
func (h *hog) done() bool        { return h.clk.now() >= h.stop }
func (h *hog) step(now int64) (int64, error) {
	for h.clk.now() < now+h.each {
	}
	return h.clk.now() + h.each/10, nil
}

// A machine that is busy with other things may starve the hog itself, so it has some tries.
func TestLateSenderIsInvalid(t *testing.T) {
	var last string
	for range 8 {
		p, seen := lateRun(t)
		if !p.Valid {
			if p.InvalidReason == "" {
				t.Error("there is no reason")
			}
			return
		}
		last = seen
	}
	t.Fatalf("a sender that was %s counts as valid", last)
}

// lateRun is a phase beside something that keeps the loop busy.
func lateRun(t *testing.T) (p *results.Phase, seen string) {
	s := DefaultSettings()
	s.Rate, s.Batch = 50_000, 20 // enough batches that most of them come while the loop is busy
	s.InFlight = 1000            // and that the broker is never who they wait for, slow as it may be beside other work
	const span = 500 * time.Millisecond
	b := newBench(t, nullBroker(t, nil), s, span)
	c, err := dial(nullBroker(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.loop.add(&hog{c: c, clk: b.clock, stop: int64(span), each: int64(20 * time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	b.run(t)
	m := measurement{job: &job{Phase: &Phase{Name: "late", Do: results.Produce, Settings: s}, clock: b.clock, stop: int64(span)}, begun: true}
	p, err = m.phase(b.collector, b.loop.share)
	if err != nil {
		t.Fatal(err)
	}
	return p, fmt.Sprintf("%v late at p99 and busy %.0f %%", b.at(ownLag, 99), b.loop.share*100)
}

func TestJudge(t *testing.T) {
	lag := func(p99 float64) map[string]results.Latency {
		return map[string]results.Latency{results.OwnLag: {P99: p99}}
	}
	for name, test := range map[string]struct {
		phase results.Phase
		valid bool
		notes int
	}{
		"in time":                          {results.Phase{Mode: results.Fixed, Acked: 100, Rate: 100, IntendedRate: 100, Latency: lag(999)}, true, 0},
		"late":                             {results.Phase{Mode: results.Fixed, Acked: 100, Rate: 100, IntendedRate: 100, Latency: lag(1001)}, false, 0},
		"busy":                             {results.Phase{Mode: results.Fixed, Acked: 100, Rate: 100, IntendedRate: 100, CPU: results.CPU{LoopShare: 0.81}}, false, 0},
		"busy at full speed is a note":     {results.Phase{Mode: results.Max, Acked: 100, CPU: results.CPU{LoopShare: 0.99}}, true, 1},
		"errors":                           {results.Phase{Mode: results.Max, Acked: 100, Errors: map[string]int64{"NOT_LEADER": 1}}, false, 0},
		"nothing":                          {results.Phase{Mode: results.Max}, false, 0},
		"a broker that fell behind counts": {results.Phase{Mode: results.Fixed, Acked: 50000, Rate: 5000, IntendedRate: 10000, Seconds: 10, Latency: lag(10)}, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := test.phase
			m := measurement{job: &job{Phase: &Phase{}}, begun: true}
			p.Valid = true
			m.judge(&p)
			if p.Valid != test.valid || len(p.Notes) != test.notes {
				t.Errorf("valid is %v (%s), notes are %q", p.Valid, p.InvalidReason, p.Notes)
			}
		})
	}
}

// pairOf connects the sender to a socket that the test holds.
func pairOf(t testing.TB, b *bench) (peer int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20); err != nil {
		t.Fatal(err)
	}
	b.sender.c.fd = fds[0]
	t.Cleanup(func() {
		if err := errors.Join(unix.Close(fds[0]), unix.Close(fds[1])); err != nil {
			t.Error(err)
		}
	})
	return fds[1]
}

// roundTrip sends one request and takes the answer to it.
func roundTrip(t testing.TB, b *bench, peer int, buffer, answer []byte) {
	s := b.sender
	if _, err := s.step(s.clock.now()); err != nil {
		t.Fatal(err)
	}
	for range s.waiting {
		if _, err := unix.Read(peer, buffer); err != nil {
			t.Fatal(err)
		}
	}
	for s.waiting > 0 {
		binary.BigEndian.PutUint32(answer, uint32(s.pending[s.oldest].correlation))
		if err := s.acknowledge(answer); err != nil {
			t.Fatal(err)
		}
	}
}

func hotBench(t testing.TB, encode string, size int) (b *bench, peer int, buffer, answer []byte) {
	s := DefaultSettings()
	s.Batch, s.Encode, s.InFlight = size, encode, 1
	b = newBench(t, nullBroker(t, nil), s, time.Hour)
	b.clock.begin()
	a := kmsg.NewPtrProduceResponse()
	a.Version = testVersion
	topic := kmsg.NewProduceResponseTopic()
	topic.Topic = testTopic.Name
	topic.Partitions = append(topic.Partitions, kmsg.NewProduceResponseTopicPartition())
	a.Topics = append(a.Topics, topic)
	return b, pairOf(t, b), make([]byte, 2<<20), append([]byte{0, 0, 0, 0, 0}, a.AppendTo(nil)...)
}

func TestSenderAllocatesNothing(t *testing.T) {
	for _, encode := range []string{EncodePrepared, EncodeEach} {
		t.Run(encode, func(t *testing.T) {
			b, peer, buffer, answer := hotBench(t, encode, 16<<10)
			for range 10 {
				roundTrip(t, b, peer, buffer, answer)
			}
			if n := testing.AllocsPerRun(200, func() { roundTrip(t, b, peer, buffer, answer) }); n != 0 {
				t.Errorf("a request and its answer allocate %v times, want 0", n)
			}
		})
	}
}

func BenchmarkSender(b *testing.B) {
	for name, size := range map[string]int{"16KiB": 16 << 10, "64KiB": 64 << 10} {
		for _, encode := range []string{EncodePrepared, EncodeEach} {
			b.Run(name+"/"+encode, func(b *testing.B) {
				bench, peer, buffer, answer := hotBench(b, encode, size)
				b.ReportAllocs()
				for b.Loop() {
					roundTrip(b, bench, peer, buffer, answer)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*bench.sender.records), "ns/record")
			})
		}
	}
}
