package native

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/wire"
)

// filled is a batch with so many records, as it is in the queue.
func filled(p *partition, records int) *recordBatch {
	b := &recordBatch{partition: p, capacity: 16 << 10}
	b.builder.Use(make([]byte, 0, b.capacity))
	for i := range records {
		b.builder.Append(int64(1000+i), fmt.Appendf(nil, "k%d", i), fmt.Appendf(nil, "v%d", i), []batch.Header{{Key: "h", Value: []byte{byte(i)}}})
	}
	p.serial += serialSpan
	b.serial, b.span = p.serial, serialSpan
	return b
}

func newPartition(counts ...int) (*partition, []*recordBatch) {
	p := &partition{topic: "t", id: -1, epoch: -1}
	var all []*recordBatch
	for _, n := range counts {
		all = append(all, filled(p, n))
	}
	p.queue = append(p.queue, all...)
	return p, all
}

// sendHead is what the sender does with the head.
func sendHead(p *partition, now int64) *recordBatch {
	b := p.head(now)
	if b == nil {
		return nil
	}
	if !b.numbered {
		p.number(b)
	}
	p.queue = p.queue[1:]
	p.inflight = append(p.inflight, b)
	return b
}

// goAgain is what the sender does with a batch that failed.
func goAgain(p *partition, b *recordBatch) {
	b.tries++
	p.landed(b)
	p.again(b)
}

func TestWhatGoesAgainGoesFirstAndAlone(t *testing.T) {
	p, b := newPartition(2, 3, 4, 5)
	p.adopt(7, 0)
	p.proven = true
	for range 3 {
		sendHead(p, 0)
	}
	if b[2].sequence != 5 || p.next != 9 {
		t.Fatalf("the third batch begins at %d, the next at %d", b[2].sequence, p.next)
	}
	goAgain(p, b[0])
	if got := sendHead(p, 0); got != nil {
		t.Fatal("something was sent while those behind what failed are under way")
	}
	p.landed(b[1])
	if p.isOldest(b[1]) {
		t.Error("the first batch goes again, and the second counts as the oldest")
	}
	goAgain(p, b[1])
	goAgain(p, b[2])
	for i := range 3 {
		if got := sendHead(p, 0); got != b[i] {
			t.Fatalf("try %d is not batch %d", i, i)
		}
		if sendHead(p, 0) != nil {
			t.Fatal("what goes again does not go alone")
		}
		p.landed(b[i])
		if !p.isOldest(b[i]) {
			t.Errorf("batch %d is not the oldest", i)
		}
	}
	if got := sendHead(p, 0); got != b[3] || got.sequence != 9 {
		t.Errorf("the fourth batch begins at %d", got.sequence)
	}
}

// With one request in flight for each connection a new leader would get the second batch while
// the old one still has the first, and refuses that.
func TestOneBatchIsUnderWayWhereOrderIsByOne(t *testing.T) {
	p, b := newPartition(1, 1)
	p.alone, p.leader = true, 1
	if sendHead(p, 0) != b[0] {
		t.Fatal("nothing goes")
	}
	p.leader = 2
	if p.head(0) != nil {
		t.Fatal("the second goes to the new leader before the first is answered")
	}
	goAgain(p, b[0])
	if sendHead(p, 0) != b[0] || sendHead(p, 0) != nil {
		t.Error("the first does not go again before the second")
	}
}

// What was lost and not told yet is told when it is due, and in the end.
func TestAllThatWasLostIsTold(t *testing.T) {
	var log bytes.Buffer
	p := &Producer{began: time.Now()}
	s := &sender{p: p, o: &Options{Log: slog.New(slog.NewTextHandler(&log, nil))}}
	why := errors.New("gone")
	s.failed.note(s, 3, why)
	s.failed.note(s, 4, why)
	if text := log.String(); !strings.Contains(text, "records=3") || strings.Contains(text, "records=4") {
		t.Fatalf("told at once: %s", text)
	}
	if at := s.failed.tell(s, s.failed.toldAt+1); at != s.failed.toldAt+failuresEvery {
		t.Errorf("the rest is told at %d", at)
	}
	s.failed.tell(s, s.failed.toldAt+failuresEvery)
	s.failed.note(s, 5, why)
	s.failed.last(s)
	if text := log.String(); !strings.Contains(text, "records=4") || !strings.Contains(text, "records=5") || p.Lost() != 12 {
		t.Errorf("%d lost, told: %s", p.Lost(), text)
	}
}

// A broker that does not know the producer takes any number for its first.
func TestTheFirstBatchGoesAlone(t *testing.T) {
	p, b := newPartition(1, 1, 1)
	p.adopt(7, 0)
	if sendHead(p, 0) != b[0] || sendHead(p, 0) != nil {
		t.Fatal("the first batch does not go alone")
	}
	p.landed(b[0])
	p.acknowledged(b[0])
	if sendHead(p, 0) != b[1] || sendHead(p, 0) != b[2] {
		t.Error("the others do not go together")
	}
	p, b = newPartition(1, 1) // of a producer that is not idempotent
	if p.head(0) != b[0] {
		t.Fatal("nothing goes")
	}
	p.queue, p.inflight = p.queue[1:], p.queue[:1]
	if p.head(0) != b[1] {
		t.Error("the second waits for the first, for no number")
	}
}

func TestAGapIsLeftBehindUnderAnotherEpoch(t *testing.T) {
	p, b := newPartition(2, 3, 4)
	p.adopt(7, 3)
	p.proven = true
	sendHead(p, 0)
	sendHead(p, 0)
	p.landed(b[0]) // failed for good
	p.renumber = true
	goAgain(p, b[1])
	if p.head(0) != nil {
		t.Fatal("sent with numbers that leave a gap")
	}
	p.adopt(7, 4)
	if got := sendHead(p, 0); got != b[1] || got.sequence != 0 || got.epoch != 4 {
		t.Errorf("goes on at %d of epoch %d", got.sequence, got.epoch)
	}
	if p.next != 3 || b[2].numbered {
		t.Errorf("the next number is %d", p.next)
	}
}

func TestHalves(t *testing.T) {
	p, b := newPartition(5)
	p.adopt(7, 0)
	sendHead(p, 0)
	b[0].listeners = []listening{{delta: 1}, {delta: 2}, {delta: 4}}
	first, second := halves(b[0])
	if first.builder.Count() != 2 || second.builder.Count() != 3 || first.sequence != 0 || second.sequence != 2 {
		t.Fatalf("%d records at %d, %d at %d", first.builder.Count(), first.sequence, second.builder.Count(), second.sequence)
	}
	if len(first.listeners) != 1 || len(second.listeners) != 2 || second.listeners[0].delta != 0 || second.listeners[1].delta != 2 {
		t.Errorf("listeners of %v and %v", first.listeners, second.listeners)
	}
	// Each may go again, and be halved again, and they keep their order.
	third, fourth := halves(second)
	for _, half := range []*recordBatch{fourth, first, third} {
		p.again(half)
	}
	for i, want := range []*recordBatch{first, third, fourth} {
		if p.queue[i] != want {
			t.Errorf("place %d has the wrong part", i)
		}
	}
	var got []string
	for _, half := range p.queue {
		for r := half.builder.Records(); r.Next(); {
			one := r.Record()
			got = append(got, fmt.Sprintf("%s=%s@%d%v", one.Key, one.Value, half.builder.Base()+one.TimestampDelta, one.Headers[0].Value))
		}
	}
	if want := "[k0=v0@1000[0] k1=v1@1001[1] k2=v2@1002[2] k3=v3@1003[3] k4=v4@1004[4]]"; fmt.Sprint(got) != want {
		t.Errorf("%v", got)
	}
}

func TestRequestIsWhatKmsgWrites(t *testing.T) {
	o := &Options{ClientID: "me", Acks: -1, RequestTimeout: 30 * time.Second}
	for version := int16(wire.MinProduceVersion); version < wire.ProduceTopicIDs; version++ {
		r := &request{correlation: 42, version: version}
		q := kmsg.NewPtrProduceRequest()
		q.Version, q.Acks, q.TimeoutMillis = version, -1, 30000
		for _, of := range []struct {
			topic string
			parts []int32
		}{{"a", []int32{0, 3}}, {"b", []int32{1}}} {
			topic := kmsg.NewProduceRequestTopic()
			topic.Topic = of.topic
			for _, index := range of.parts {
				b := filled(&partition{topic: of.topic, index: index}, 3)
				r.batches = append([]*recordBatch{b}, r.batches...) // in the wrong order
				b.finish(o)
				p := kmsg.NewProduceRequestTopicPartition()
				p.Partition, p.Records = index, b.wire
				topic.Partitions = append(topic.Partitions, p)
			}
			q.Topics = append(q.Topics, topic)
		}
		var e encoder
		one := kmsg.NewRequestFormatter(kmsg.FormatterClientID("me")).AppendRequest(nil, q, 42)
		for _, requests := range []int{1, 3, 2} {
			e.begin()
			for range requests {
				e.add(r, o)
			}
			var got bytes.Buffer
			pieces := net.Buffers(append(net.Buffers{}, e.all()...))
			if _, err := pieces.WriteTo(&got); err != nil {
				t.Fatal(err)
			}
			if want := bytes.Repeat(one, requests); !bytes.Equal(got.Bytes(), want) {
				t.Errorf("version %d, %d requests:\n got %x\nwant %x", version, requests, got.Bytes(), want)
			}
		}
		for _, b := range r.batches {
			if err := b.wire.Check(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestAnswersFindTheirBatches(t *testing.T) {
	r := &request{}
	for _, at := range []sdkAt{{"a", 0}, {"a", 1}, {"b", 0}} {
		r.batches = append(r.batches, &recordBatch{partition: &partition{topic: at.topic, index: at.index}})
	}
	r.take([]wire.Produced{{Topic: []byte("b"), Base: 30}, {Topic: []byte("a"), Partition: 0, Base: 10, Code: 7, Message: []byte("no")}, {Topic: []byte("c")}})
	if r.results[0].base != 10 || r.results[0].code != 7 || r.results[0].message != "no" || r.results[1].err == nil || r.results[2].base != 30 || r.results[2].err != nil {
		t.Errorf("%+v", r.results)
	}
}

type sdkAt struct {
	topic string
	index int32
}

func TestStickyGoesOnWhenItIsTold(t *testing.T) {
	topic := NewTopic("t", []int32{1, 2}, make([]string, 4), nil)
	seen := map[int32]bool{}
	for range 100 {
		at := topic.Sticky.Partition(topic)
		if got := topic.Sticky.Partition(topic); got != at {
			t.Fatalf("went from %d to %d", at, got)
		}
		topic.Sticky.Next(topic, 3-at) // by somebody who was there before
		if got := topic.Sticky.Partition(topic); got != at {
			t.Fatalf("was sent from %d to %d", at, got)
		}
		seen[at] = true
		topic.Sticky.Next(topic, at)
	}
	if len(seen) != 2 || !seen[1] || !seen[2] {
		t.Errorf("went to %v, partitions with leaders are 1 and 2", seen)
	}
}

func TestRecordClockReadsSeldomUnderLoad(t *testing.T) {
	var c recordClock
	began := time.Now()
	reads := 0
	for range 2000 {
		if c.left == 0 {
			reads++
		}
		c.at(began, false)
	}
	if reads > 500 {
		t.Errorf("%d readings for 2000 records in a row", reads)
	}
	c.at(began, true)
	if now := time.Now().UnixMilli(); c.millis < now-5 || c.millis > now {
		t.Errorf("a fresh reading is %d ms old", now-c.millis)
	}
}

// What came while the sender was watching is not overlooked when it stops.
func TestNothingIsMissedWhenTheSenderStopsWatching(t *testing.T) {
	p, _ := newPartition(1)
	if p.watch(true) {
		t.Error("something was missed before anything came")
	}
	p.open = filled(p, 1)
	if !p.watch(false) {
		t.Error("a batch was begun while the sender was watching, and nobody looks at it")
	}
	for range 2 {
		if p.watch(true) {
			t.Error("something was missed while the sender watches")
		}
	}
	p.told = true
	if p.watch(false) {
		t.Error("missed what the sender was told of")
	}
}
