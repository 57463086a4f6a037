package native

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/chain"
)

// keeping is an interceptor that lets nothing through.
type keeping struct {
	sdk.Nop
	refuse bool
}

func (k keeping) OnProduce(b *sdk.Batch) error {
	if k.refuse {
		return sdk.Reject("as told")
	}
	for i := range b.All() {
		b.Drop(i)
	}
	return nil
}

// testSender is a sender that nobody runs, with a partition that broker 1 leads.
func testSender(o Options) (*sender, *partition) {
	o.Log, o.BatchBytes, o.MaxRequestBytes, o.DeliveryTimeout = slog.New(slog.DiscardHandler), 16<<10, 1<<20, time.Minute
	p := &Producer{options: o, began: time.Now(), memory: NewMemory(1 << 20)}
	p.topics.Store(&map[string]*Topic{})
	p.ready.wake = make(chan struct{}, 1)
	p.sender = newSender(p)
	part := &partition{topic: "t", id: -1, epoch: -1, leader: 1, begun: -1, active: true}
	p.sender.brokers[1] = &broker{id: 1, address: "nowhere"}
	p.sender.active = append(p.sender.active, part)
	p.sender.parts["t"] = []*partition{part}
	return p.sender, part
}

// What is open goes when its time comes, also when nothing of the batch before it went.
func TestTheEndOfABurstGoesInTime(t *testing.T) {
	for name, one := range map[string]keeping{"dropped": {}, "refused": {refuse: true}} {
		t.Run(name, func(t *testing.T) {
			linger := 5 * time.Millisecond
			s, part := testSender(Options{Linger: linger, Plugins: []chain.Plugin{{Name: "keeping", Interceptor: one}}})
			now := int64(time.Second)
			full, open := filled(part, 3), filled(part, 1)
			full.begun, open.begun = now, now
			part.sealed, part.open, part.fresh = append(part.sealed, full), open, true
			if at := s.dispatch(now); at > now+int64(linger) {
				t.Fatalf("looks again after %v, the linger is %v", time.Duration(at-now), linger)
			}
			if s.dispatch(now + int64(linger)); part.open != nil || len(part.queue) > 0 {
				t.Errorf("open %v, %d queued", part.open != nil, len(part.queue))
			}
		})
	}
}

// heard is a listener that keeps what it is told.
type heard struct {
	at  Ack
	err error
	n   int
}

func (h *heard) Done(a Ack, err error) { h.at, h.err, h.n = a, err, h.n+1 }

// burying is a sender whose interceptor buries every record whose key is odd in topic "dead",
// with a batch of records that are listened to.
func burying(o Options, records int) (s *sender, part *partition, all []*heard) {
	o.Plugins = []chain.Plugin{{Name: "odd", Interceptor: odd{}, OnError: chain.DeadLetter, DeadLetter: "dead"}}
	s, part = testSender(o)
	b := filled(part, records)
	b.begun = int64(time.Second)
	for i := range records {
		all = append(all, new(heard))
		b.listeners = append(b.listeners, listening{listener: all[i], delta: int32(i)})
	}
	part.queue = append(part.queue, b)
	return s, part, all
}

// odd calls every second record bad.
type odd struct{ sdk.Nop }

func (odd) OnProduce(b *sdk.Batch) error {
	for i := range b.All() {
		if i%2 == 1 {
			b.Fail(i, "odd")
		}
	}
	return nil
}

// known has the sender hear of a topic.
func known(s *sender, name string, partitions int) {
	(&described{topics: []topicAt{{name: name, leaders: make([]int32, partitions)}}}).happen(s)
}

func TestDeadLettersWaitForTheirTopic(t *testing.T) {
	now := int64(2 * time.Second)
	s, part, all := burying(Options{BufferBytes: 1 << 20}, 5)
	part.index = 7
	f := &flush{done: make(chan struct{})}
	f.happen(s)
	if at := s.round(now); at > now {
		t.Errorf("looks for the topic after %v", time.Duration(at-now))
	}
	if len(part.inflight) != 1 || part.inflight[0].builder.Count() != 3 || f.left != 2 {
		t.Fatalf("%d batches under way, a flush waits for %d", len(part.inflight), f.left)
	}
	s.round(now)
	if !s.metadata.topics["dead"] || !s.metadata.needed {
		t.Fatal("nobody asks for the topic of dead letters")
	}
	known(s, "dead", 3)
	s.round(now)
	to := s.parts["dead"][1]
	if len(to.queue) != 1 || !to.active || to.queue[0].builder.Count() != 2 {
		t.Fatalf("partition 1 of the topic has %d batches", len(to.queue))
	}
	s.closing = true
	if s.over() {
		t.Error("the producer is over while dead letters wait")
	}
	b := to.queue[0]
	to.queue = nil
	s.settle(b, nil, 40, -1)
	s.release(b)
	for i, h := range all {
		want := Ack{Topic: "dead", Partition: 1, Offset: 40 + int64(i/2)}
		if i%2 == 0 {
			if h.n > 0 {
				t.Errorf("record %d is settled with the dead letters", i)
			}
		} else if h.n != 1 || h.err != nil || h.at != want {
			t.Errorf("record %d: %+v, %v, told %d times; want %+v", i, h.at, h.err, h.n, want)
		}
	}
	if s.beside.bytes != 0 || f.left != 1 {
		t.Errorf("%d bytes are left beside, a flush waits for %d", s.beside.bytes, f.left)
	}
}

func TestDeadLettersThatHaveNoTopic(t *testing.T) {
	now := int64(2 * time.Second)
	for name, test := range map[string]struct {
		happens func(s *sender)
		want    error
	}{
		"never known":    {func(s *sender) { s.forward(now + int64(time.Minute)) }, ErrTimeout},
		"forbidden":      {func(s *sender) { s.refuse(&topicAt{name: "dead", err: kerr.TopicAuthorizationFailed}) }, kerr.TopicAuthorizationFailed},
		"given up":       {func(s *sender) { (&abandoning{}).happen(s) }, ErrClosed},
		"another's name": {func(s *sender) { s.refuse(&topicAt{name: "t2", err: kerr.TopicAuthorizationFailed}) }, nil},
	} {
		s, _, all := burying(Options{BufferBytes: 1 << 20}, 2)
		s.round(now)
		s.forward(now)
		test.happens(s)
		if test.want == nil {
			if all[1].n > 0 || len(s.beside.waiting) != 1 {
				t.Errorf("%s: told %v", name, all[1].err)
			}
			continue
		}
		if all[1].n != 1 || !errors.Is(all[1].err, test.want) || all[1].at.Topic != "dead" || s.beside.bytes != 0 {
			t.Errorf("%s: told %d times of %v; %d bytes are left beside", name, all[1].n, all[1].err, s.beside.bytes)
		}
		if s.metadata.topics["dead"] && !s.abandoned {
			t.Errorf("%s: the topic is asked for although nobody wants it", name)
		}
	}
}

// What interceptors make beside is bounded: others wait until it is settled.
func TestDeadLettersAreBounded(t *testing.T) {
	now := int64(2 * time.Second)
	s, part, all := burying(Options{BufferBytes: 1, MaxInFlight: 5}, 2)
	next := filled(part, 2)
	next.begun = now
	part.queue = append(part.queue, next)
	s.round(now)
	s.round(now)
	if next.screened || len(s.beside.waiting) != 1 {
		t.Fatal("the next batch is shown although more than the memory waits")
	}
	s.forgo("", ErrClosed)
	s.round(now)
	if all[1].n != 1 || !next.screened {
		t.Errorf("the next batch is shown %v once that is settled", next.screened)
	}
}

// What interceptors make beside stands in the ordinary queue of its partition. A batch before it
// that they have not seen does not wait for it to be settled: neither would ever leave.
func TestDeadLettersBehindOtherRecords(t *testing.T) {
	now := int64(2 * time.Second)
	s, _, all := burying(Options{BufferBytes: 1, MaxInFlight: 1}, 2)
	known(s, "dead", 1)
	dead := s.parts["dead"][0]
	dead.leader, dead.alone = 1, true
	own, before := filled(dead, 1), new(heard)
	own.begun, own.listeners = now, []listening{{listener: before}}
	dead.serial += serialSpan
	own.serial, own.span = dead.serial, serialSpan
	s.round(now)
	dead.queue = append(dead.queue, own)
	s.activate(dead)
	for range 50 {
		s.round(now)
		if len(dead.inflight) > 0 {
			s.landed(dead.inflight[0], &result{}, now)
		}
	}
	if before.n != 1 || before.err != nil || all[1].n != 1 || all[1].err != nil {
		t.Errorf("the record before the dead letter is told %d times of %v, the dead letter's %d times of %v", before.n, before.err, all[1].n, all[1].err)
	}
	if s.beside.bytes != 0 || dead.beside != 0 {
		t.Errorf("%d bytes are left beside, %d batches in the partition", s.beside.bytes, dead.beside)
	}
}

// What interceptors make beside is as old as what they made it of, also behind younger batches.
func TestDeadLettersExpireInTime(t *testing.T) {
	begun, timeout := int64(time.Second), int64(time.Minute)
	younger := begun + int64(10*time.Second)
	for name, underWay := range map[string]int{"queued": 0, "the first is under way": 1, "both are under way": 2} {
		s, _, all := burying(Options{BufferBytes: 1 << 20, MaxInFlight: 5}, 2)
		known(s, "dead", 1)
		dead := s.parts["dead"][0]
		own := filled(dead, 1)
		own.begun = younger
		dead.queue, dead.leader = append(dead.queue, own), -1
		s.activate(dead)
		s.round(begun)
		s.round(begun)
		if len(dead.queue) != 2 {
			t.Fatalf("%s: %d batches are queued", name, len(dead.queue))
		}
		letter := dead.queue[1]
		dead.inflight, dead.queue = append(dead.inflight, dead.queue[:underWay]...), append([]*recordBatch{}, dead.queue[underWay:]...)
		if at := s.expire(dead, begun+1); at != begun+timeout {
			t.Errorf("%s: looks again after %v", name, time.Duration(at-begun))
		}
		if at := s.expire(dead, begun+timeout); at != younger+timeout {
			t.Errorf("%s: looks again after %v", name, time.Duration(at-begun))
		}
		if all[1].n != 1 || !errors.Is(all[1].err, ErrTimeout) || own.settled {
			t.Errorf("%s: told %d times of %v; the younger batch is settled %v", name, all[1].n, all[1].err, own.settled)
		}
		for _, b := range slices.Clone(dead.inflight) {
			s.landed(b, &result{}, begun+timeout)
		}
		if s.beside.bytes != 0 || dead.beside != 0 || !letter.settled {
			t.Errorf("%s: %d bytes are left beside, %d batches in the partition", name, s.beside.bytes, dead.beside)
		}
	}
}

// What is open expires in time, also while a younger batch that interceptors have made is queued before it.
func TestWhatIsOpenExpiresBehindYoungerDeadLetters(t *testing.T) {
	begun, timeout := int64(time.Second), int64(time.Minute)
	older := begun - int64(10*time.Millisecond)
	s, _, all := burying(Options{BufferBytes: 1 << 20, MaxInFlight: 5}, 2)
	known(s, "dead", 1)
	dead := s.parts["dead"][0]
	dead.leader = -1
	s.round(begun)
	s.round(begun)
	dead.open, dead.fresh = filled(dead, 1), true
	dead.open.begun = older
	dead.gather(false)
	if at := s.expire(dead, older+timeout); at != begun+timeout || len(dead.queue) != 1 || dead.open != nil {
		t.Errorf("looks again after %v, %d queued, open %v", time.Duration(at-begun), len(dead.queue), dead.open != nil)
	}
	if all[1].n > 0 {
		t.Errorf("the dead letter is told of %v", all[1].err)
	}
}

// What goes to another topic goes in batches as large as others are, each with those who listen for its records.
func TestDeadLettersAreCutAsOtherBatches(t *testing.T) {
	now := int64(2 * time.Second)
	for name, test := range map[string]struct{ batch, request, least, most int }{
		"all in one": {16 << 10, 1 << 20, 1, 1}, "batch.size": {600, 1 << 20, 4, 5}, "max.request.size": {16 << 10, 600, 4, 5}, "a record is larger": {100, 1 << 20, 10, 10},
	} {
		s, _, all := burying(Options{BufferBytes: 1 << 20, MaxInFlight: 1}, 20)
		s.o.BatchBytes, s.o.MaxRequestBytes = test.batch, test.request
		known(s, "dead", 1)
		s.round(now)
		f := &flush{done: make(chan struct{})}
		f.happen(s)
		s.forward(now)
		dead, bytes, offset := s.parts["dead"][0], 0, int64(40)
		if n := len(dead.queue); n < test.least || n > test.most || f.left != n+1 {
			t.Errorf("%s: %d batches, a flush waits for %d", name, n, f.left)
		}
		for _, b := range dead.queue {
			if bytes += b.beside; b.builder.Len() > min(test.batch, test.request) && b.builder.Count() > 1 {
				t.Errorf("%s: a batch of %d records has %d bytes", name, b.builder.Count(), b.builder.Len())
			}
		}
		if bytes != s.beside.bytes || dead.beside != len(dead.queue) {
			t.Errorf("%s: %d bytes in %d batches are counted as %d in %d", name, bytes, len(dead.queue), s.beside.bytes, dead.beside)
		}
		for _, b := range dead.queue {
			records := int64(b.builder.Count())
			s.settle(b, nil, offset, -1)
			s.release(b)
			offset += records
		}
		for i := 1; i < len(all); i += 2 {
			if want := (Ack{Topic: "dead", Offset: 40 + int64(i/2)}); all[i].n != 1 || all[i].err != nil || all[i].at != want {
				t.Errorf("%s: record %d: %+v, %v, told %d times; want %+v", name, i, all[i].at, all[i].err, all[i].n, want)
			}
		}
		if s.beside.bytes != 0 || dead.beside != 0 {
			t.Errorf("%s: %d bytes are left beside, %d batches in the partition", name, s.beside.bytes, dead.beside)
		}
	}
}
