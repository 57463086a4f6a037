package engine

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/config"
)

// journal keeps what a broker logs.
type journal struct {
	ahead atomic.Int64 // seconds that the broker is ahead: ten lines in each are all there are
	guard sync.Mutex   // the broker's goroutines write while the test reads
	text  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.guard.Lock()
	defer j.guard.Unlock()
	return j.text.Write(p)
}

// lines are those that have a word in them.
func (j *journal) lines(word string) (found []string) {
	j.guard.Lock()
	defer j.guard.Unlock()
	for line := range strings.Lines(j.text.String()) {
		if strings.Contains(line, word) {
			found = append(found, line)
		}
	}
	return found
}

// closings waits until the broker has logged so many closed connections, and returns the
// lines; a peer may see the end of its connection before the line is written.
func (j *journal) closings(p *peer, count int) []string {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		p.alive()
		if lines := j.lines("connection closed"); len(lines) >= count {
			return lines
		}
	}
	p.t.Fatalf("the log has %q, want %d lines", j.lines("connection closed"), count)
	return nil
}

// logging is a broker whose log the test reads.
func logging(t testing.TB, overrides ...string) (*peer, *journal) {
	t.Helper()
	settings, err := config.Parse("", "", append([]string{"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=" + t.TempDir(), "admin.listener="}, overrides...))
	if err != nil {
		t.Fatal(err)
	}
	j := &journal{}
	b, err := Start(Options{Settings: settings, Log: slog.New(slog.NewTextHandler(j, nil)), Now: func() time.Time { return time.Now().Add(time.Duration(j.ahead.Load()) * time.Second) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, b) })
	return dial(t, b.Addresses()[0]), j
}

// claim is the body of a request whose first array says it has a billion elements.
func claim(key kmsg.Key, version int16) []byte {
	return binary.BigEndian.AppendUint32(header(int16(key), version, 1), 1_000_000_000)
}

// malformed are frames after which a connection cannot go on.
func malformed() map[string][]byte {
	metadata := func() []byte {
		q := kmsg.NewPtrMetadataRequest()
		q.SetVersion(4)
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr("a-topic")
		q.Topics = append(q.Topics, topic)
		return q.AppendTo(header(int16(kmsg.Metadata), 4, 1))
	}()
	produce := func() []byte {
		q := produceRequest(7, subject{name: "a-topic"}, 0, -1, records("one"))
		q.SetVersion(7)
		return q.AppendTo(header(int16(kmsg.Produce), 7, 1))
	}()
	fetch := func() []byte {
		q := from(subject{name: "a-topic"}, 0, 0)
		q.SetVersion(11)
		return q.AppendTo(header(int16(kmsg.Fetch), 11, 1))
	}()
	tagged := append(header(int16(kmsg.Metadata), 9, 1), 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f)
	return map[string][]byte{
		"an empty frame":                   {},
		"half a header":                    {0, 3, 0},
		"a client id beyond the frame":     append(header(3, 4, 1)[:8], 0x7f, 0xff, 'x'),
		"an unknown key":                   header(4711, 0, 1),
		"a negative key":                   header(-1, 0, 1),
		"a key that Kafka has and we not":  header(int16(kmsg.LeaderAndISR), 0, 1),
		"a version that is not served":     header(int16(kmsg.Metadata), 99, 1),
		"a negative version":               header(int16(kmsg.Metadata), -1, 1),
		"a version of Produce from afar":   header(int16(kmsg.Produce), 99, 1),
		"a negative version of Produce":    header(int16(kmsg.Produce), -1, 1),
		"Metadata cut short":               metadata[:len(metadata)-1],
		"Produce cut short":                produce[:len(produce)-1],
		"Produce cut in its records":       produce[:len(produce)-20],
		"Fetch cut short":                  fetch[:len(fetch)-1],
		"old Produce that is none":         append(header(int16(kmsg.Produce), 2, 1), 1),
		"a billion topics in Metadata":     claim(kmsg.Metadata, 4),
		"a billion names in DescribeGroup": claim(kmsg.DescribeGroups, 0),
		"a billion topics in CreateTopics": claim(kmsg.CreateTopics, 2),
		"four billion tags":                tagged,
	}
}

// TestMalformedRequestsEndTheirConnection, with one line in the log that says why, and no
// other connection notices.
func TestMalformedRequestsEndTheirConnection(t *testing.T) {
	p, j := logging(t)
	s := p.topic(1)
	waiting := p.another()
	q := from(s, 0, 0)
	q.MaxWaitMillis = long
	waiting.waiting(12, q)
	for name, body := range malformed() {
		t.Run(name, func(t *testing.T) {
			before := len(j.lines("connection closed"))
			j.ahead.Add(1)
			bad := p.another()
			bad.t = t
			bad.alive()
			bad.write(frame(body))
			bad.ended()
			lines := j.closings(p.at(t), before+1)
			if len(lines) != before+1 {
				t.Fatalf("%d lines in the log, want one", len(lines)-before)
			}
			if line := lines[before]; !strings.Contains(line, "reason=") || !strings.Contains(line, "peer=127.0.0.1:") {
				t.Errorf("the line does not say why: %s", line)
			}
		})
	}
	p.put(s, 0, records("one"))
	if r := one(t, expect[*kmsg.FetchResponse](waiting, 12, q, waiting.last)); len(values(t, r.RecordBatches)) != 1 {
		t.Fatalf("who waited meanwhile got %+v", r)
	}
}

// TestAnswersBeforeAMalformedRequest: what was asked in good order before it is
// answered.
func TestAnswersBeforeAMalformedRequest(t *testing.T) {
	onlyOurs(t)
	p := dialed(t)
	good := p.request(0, kmsg.NewPtrApiVersionsRequest())
	p.write(good)
	expect[*kmsg.ApiVersionsResponse](p, 0, kmsg.NewPtrApiVersionsRequest(), p.last)
	p.write(frame(header(4711, 0, 1)))
	p.ended()
}

func TestOversizedRequestsEndTheirConnection(t *testing.T) {
	p, j := logging(t, "socket.request.max.bytes=10000")
	for name, size := range map[string]uint32{"one byte more": 10_001, "a gigabyte": 1 << 30, "negative": math.MaxUint32} {
		t.Run(name, func(t *testing.T) {
			before := len(j.lines("connection closed"))
			bad := p.another()
			bad.t = t
			bad.write(binary.BigEndian.AppendUint32(nil, size))
			bad.ended()
			if n := len(j.closings(p.at(t), before+1)) - before; n != 1 {
				t.Errorf("%d lines in the log, want one", n)
			}
		})
	}
	s := p.topic(1)
	room := 10_000 - len(p.request(9, produceRequest(9, s, 0, -1, records(strings.Repeat("x", 9000))))) + 4
	fits := records(strings.Repeat("x", 9000+room))
	if raw := p.request(9, produceRequest(9, s, 0, -1, fits)); len(raw)-4 != 10_000 {
		t.Fatalf("the test's request has %d bytes", len(raw)-4)
	}
	if r := p.produce(9, s, 0, fits); r.ErrorCode != 0 {
		t.Fatalf("the largest request that is allowed: %s", errorName(r.ErrorCode))
	}
}

// TestClaimsCostNoMemory: what a request says of its size is not believed.
func TestClaimsCostNoMemory(t *testing.T) {
	p := dialed(t)
	onlyOurs(t)
	allocated := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.TotalAlloc
	}
	keys := advertised(p)
	for key, versions := range keys {
		for version := versions.MinVersion; version <= versions.MaxVersion; version++ {
			q := kmsg.RequestForKey(key)
			q.SetVersion(version)
			begin := header(key, version, 1)
			if q.IsFlexible() {
				begin = append(begin, 0)
			}
			body := q.AppendTo(nil)
			before := allocated()
			var sent []*peer
			for at := 0; at <= len(body); at += 2 {
				for _, claim := range [][]byte{{0x3b, 0x9a, 0xca, 0}, {0xff, 0xff, 0xff, 0xff, 0x07}} {
					bad := p.another()
					padded := append(append(append(bytes.Clone(begin), body[:at]...), claim...), make([]byte, 64)...)
					bad.write(frame(padded))
					sent = append(sent, bad)
				}
			}
			p.alive() // the one loop has seen them all
			for _, bad := range sent {
				bad.conn.Close()
			}
			if took := allocated() - before; took > uint64(len(sent))*(1<<18) {
				t.Errorf("%s version %d: %d requests took %d bytes", kmsg.NameForKey(key), version, len(sent), took)
			}
		}
	}
}

// TestALargeClaimWithLargeBody is the worst that a body of its size can do.
func TestALargeClaimWithLargeBody(t *testing.T) {
	onlyOurs(t)
	p := dialed(t)
	const size = 8 << 20
	body := binary.BigEndian.AppendUint32(header(int16(kmsg.CreateTopics), 2, 1), size) // as many topics as bytes follow
	body = append(body, make([]byte, size)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	bad := p.another()
	bad.write(frame(body))
	bad.ended()
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 6*size { // the test's own copies count too
		t.Errorf("a request of %d bytes took %d", size, took)
	}
}

// TestAManyTopicRequestIsBounded: no request has more than a million elements.
func TestAManyTopicRequestIsBounded(t *testing.T) {
	onlyOurs(t)
	p := dialed(t)
	q := kmsg.NewPtrDescribeGroupsRequest()
	q.Groups = make([]string, 1_000_001)
	p.send(0, q)
	p.ended()
	p.another().alive()
}

// TestBytesBehindARequestArePassedOver: the frame ends where its length says, so nothing
// is out of step.
func TestBytesBehindARequestArePassedOver(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	for version, q := range map[int16]kmsg.Request{
		4: kmsg.NewPtrMetadataRequest(), 9: produceRequest(9, s, 0, -1, records("one")), 12: from(s, 0, 0), 7: produceRequest(7, s, 0, -1, records("one")),
	} {
		p.write(frame(append(bare(p.request(version, q)), 1, 2, 3)))
		expect[kmsg.Response](p, version, q, p.last)
	}
	p.alive()
}

// TestASlowRequestArrivesWhole: frames come in pieces, also of one byte.
func TestASlowRequestArrivesWhole(t *testing.T) {
	p := dialed(t)
	q := versionsRequest("test", "1")
	for _, b := range p.request(3, q) {
		p.write([]byte{b})
	}
	expect[*kmsg.ApiVersionsResponse](p, 3, q, p.last)
}

// TestHalfAFrameThenClose: a peer that goes away in the middle of a request leaves
// nothing behind.
func TestHalfAFrameThenClose(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	raw := p.request(9, produceRequest(9, s, 0, -1, records("one")))
	for cut := range len(raw) {
		half := p.another()
		half.write(raw[:cut])
		half.conn.Close()
	}
	p.alive()
	if r := p.fetch(12, from(s, 0, 0)); r.HighWatermark != 0 {
		t.Fatalf("half a request was taken: %+v", r)
	}
}

// TestManyPipelinedRequests are answered in order, however many there are.
func TestManyPipelinedRequests(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	const count = 500
	first := p.last + 1
	var raw []byte
	for i := range count {
		if i%3 == 0 {
			raw = append(raw, p.request(9, produceRequest(9, s, 0, -1, records("one")))...)
		} else if i%3 == 1 {
			q := from(s, 0, 0)
			q.MaxWaitMillis = long
			raw = append(raw, p.request(12, q)...)
		} else {
			raw = append(raw, p.request(3, versionsRequest("test", "1"))...)
		}
	}
	written := make(chan error, 1)
	go func() {
		_, err := p.conn.Write(raw)
		written <- err
	}()
	for i := range int32(count) {
		switch i % 3 {
		case 0:
			expect[*kmsg.ProduceResponse](p, 9, kmsg.NewPtrProduceRequest(), first+i)
		case 1:
			r := one(t, expect[*kmsg.FetchResponse](p, 12, kmsg.NewPtrFetchRequest(), first+i))
			if len(r.RecordBatches) == 0 {
				t.Fatalf("fetch %d finds nothing", i)
			}
		default:
			expect[*kmsg.ApiVersionsResponse](p, 3, versionsRequest("test", "1"), first+i)
		}
	}
	select {
	case err := <-written:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("the broker reads no more")
	}
}
