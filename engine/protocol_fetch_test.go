package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// long is a wait that no test reaches.
const long = int32(patience / time.Millisecond)

// waiting is a fetch that is sent and, as the answer to another request behind it on the
// broker shows, not answered at once.
func (p *peer) waiting(version int16, q *kmsg.FetchRequest) {
	p.t.Helper()
	p.send(version, q)
	p.another().alive()
	if err := p.conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.in.Peek(1); err == nil {
		p.t.Fatal("the fetch is answered at once")
	}
}

func one(t testing.TB, a *kmsg.FetchResponse) kmsg.FetchResponseTopicPartition {
	t.Helper()
	want(t, "fetch", a.ErrorCode, nil)
	if len(a.Topics) != 1 || len(a.Topics[0].Partitions) != 1 {
		t.Fatalf("fetch of one partition is answered with %+v", a.Topics)
	}
	return a.Topics[0].Partitions[0]
}

func TestFetchWaitsForTheFirstByte(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	reader := p.another()
	q := from(s, 0, 0)
	q.MaxWaitMillis = long
	reader.waiting(12, q)
	p.put(s, 0, records("late"))
	r := one(t, expect[*kmsg.FetchResponse](reader, 12, q, reader.last))
	if got := values(t, r.RecordBatches); len(got) != 1 || got[0] != "late" || r.HighWatermark != 1 {
		t.Fatalf("%q, high watermark %d", got, r.HighWatermark)
	}
}

func TestFetchWaitsForMinBytesOverAllPartitions(t *testing.T) {
	p := dialed(t)
	s := p.topic(2)
	batch := records("a record")
	reader := p.another()
	q := from(s, 0, 0)
	q.Topics[0].Partitions = append(q.Topics[0].Partitions, fetchTopic(s, 1, 0).Partitions...)
	q.MaxWaitMillis, q.MinBytes = long, int32(3*len(batch))
	p.put(s, 0, batch)
	reader.waiting(12, q)
	p.put(s, 1, records("a record"))
	p.another().alive()
	p.put(s, 1, records("a record"))
	a := expect[*kmsg.FetchResponse](reader, 12, q, reader.last)
	bytes := 0
	for _, r := range a.Topics[0].Partitions {
		bytes += len(r.RecordBatches)
	}
	if bytes != 3*len(batch) {
		t.Fatalf("%d bytes, waited for %d", bytes, 3*len(batch))
	}
}

func TestFetchGivesUpAfterMaxWait(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	p.put(s, 0, records("there"))
	q := from(s, 0, 0)
	q.MaxWaitMillis, q.MinBytes = 50, 1<<20
	begin := time.Now()
	r := p.fetch(12, q)
	if took := time.Since(begin); took < 50*time.Millisecond {
		t.Errorf("answered after %v, max wait is 50 ms", took)
	}
	if got := values(t, r.RecordBatches); len(got) != 1 {
		t.Errorf("what there is, is not sent: %q", got)
	}
}

func TestFetchDoesNotWait(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	p.put(s, 0, records("there"))
	for name, change := range map[string]func(q *kmsg.FetchRequest){
		"min bytes zero":        func(q *kmsg.FetchRequest) { q.MinBytes = 0 },
		"min bytes negative":    func(q *kmsg.FetchRequest) { q.MinBytes = -1 },
		"max wait zero":         func(q *kmsg.FetchRequest) { q.MaxWaitMillis = 0 },
		"enough":                func(q *kmsg.FetchRequest) { q.Topics[0].Partitions[0].FetchOffset = 0 },
		"out of range":          func(q *kmsg.FetchRequest) { q.Topics[0].Partitions[0].FetchOffset = 5 },
		"a negative offset":     func(q *kmsg.FetchRequest) { q.Topics[0].Partitions[0].FetchOffset = -1 },
		"an unknown topic":      func(q *kmsg.FetchRequest) { q.Topics[0].Topic = "nowhere" },
		"an unknown partition":  func(q *kmsg.FetchRequest) { q.Topics[0].Partitions[0].Partition = 3 },
		"no partition":          func(q *kmsg.FetchRequest) { q.Topics[0].Partitions = nil },
		"no topic":              func(q *kmsg.FetchRequest) { q.Topics = nil },
		"an epoch from nowhere": func(q *kmsg.FetchRequest) { q.Topics[0].Partitions[0].CurrentLeaderEpoch = 77 },
	} {
		t.Run(name, func(t *testing.T) {
			one := p.another()
			one.t = t
			q := from(s, 0, 1)
			q.MaxWaitMillis = 1 << 30
			change(q)
			ask[*kmsg.FetchResponse](one, 12, q) // within the test's patience
		})
	}
}

func TestFetchErrors(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	p.put(s, 0, records("a", "b"))
	for _, offset := range []int64{-1, 3, 1 << 60} {
		want(t, "out of range", p.fetch(12, from(s, 0, offset)).ErrorCode, kerr.OffsetOutOfRange)
	}
	want(t, "at the end", p.fetch(12, from(s, 0, 2)).ErrorCode, nil)
	want(t, "unknown topic", p.fetch(12, from(subject{name: unused(t)}, 0, 0)).ErrorCode, kerr.UnknownTopicOrPartition)
	want(t, "unknown id", p.fetch(13, from(subject{id: [16]byte{5}}, 0, 0)).ErrorCode, kerr.UnknownTopicID)
	want(t, "unknown partition", p.fetch(12, from(s, 1, 0)).ErrorCode, kerr.UnknownTopicOrPartition)
	want(t, "unknown partition by id", p.fetch(13, from(s, 1, 0)).ErrorCode, kerr.UnknownTopicOrPartition)
	want(t, "negative partition", p.fetch(13, from(s, -1, 0)).ErrorCode, kerr.UnknownTopicOrPartition)
}

// TestFetchFromTheMiddleOfABatch: whole batches are sent, from the one that has the
// offset in it.
func TestFetchFromTheMiddleOfABatch(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	p.put(s, 0, records("a", "b", "c"))
	p.put(s, 0, records("d"))
	for offset, first := range []string{"a", "a", "a", "d"} {
		got := values(t, p.fetch(12, from(s, 0, int64(offset))).RecordBatches)
		if got[0] != first || got[len(got)-1] != "d" {
			t.Errorf("from %d: %q", offset, got)
		}
	}
}

func TestFetchBounds(t *testing.T) {
	p := dialed(t)
	s := p.topic(2)
	size := len(records(strings.Repeat("x", 1000)))
	for range 4 {
		for partition := range int32(2) {
			p.put(s, partition, records(strings.Repeat("x", 1000)))
		}
	}
	whole := int32(size)
	for _, test := range []struct {
		name              string
		ofRequest, ofPart int32
		first, second     int // batches
	}{
		{"room for all", 1 << 20, 1 << 20, 4, 4},
		{"partition bound", 1 << 20, 2*whole + 1, 2, 2},
		{"partition bound to the byte", 1 << 20, 2 * whole, 2, 2},
		{"partition bound below a batch: the first passes, the second waits", 1 << 20, whole - 1, 1, 0},
		{"request bound", 5*whole + 1, 1 << 20, 4, 1},
		{"request bound below a batch: one passes", 10, 1 << 20, 1, 0},
		{"both below a batch: one passes", 1, 1, 1, 0},
		{"nothing asked for: one passes", 0, 0, 1, 0},
	} {
		q := from(s, 0, 0)
		q.Topics[0].Partitions = append(q.Topics[0].Partitions, fetchTopic(s, 1, 0).Partitions...)
		q.MaxBytes = test.ofRequest
		for i := range q.Topics[0].Partitions {
			q.Topics[0].Partitions[i].PartitionMaxBytes = test.ofPart
		}
		a := ask[*kmsg.FetchResponse](p, 12, q)
		got := [2]int{}
		for _, r := range a.Topics[0].Partitions {
			got[r.Partition] = len(r.RecordBatches) / size // Kafka may send the beginning of one more
			want(t, test.name, r.ErrorCode, nil)
		}
		if got != [2]int{test.first, test.second} {
			t.Errorf("%s: %d batches, want %d and %d", test.name, got, test.first, test.second)
		}
	}
}

func TestFetchMaxBytesOfTheBroker(t *testing.T) {
	p := dialed(t, "fetch.max.bytes=3000")
	s := p.topic(1)
	for range 5 {
		p.put(s, 0, records(strings.Repeat("x", 1000)))
	}
	if got := len(batches(t, p.fetch(12, from(s, 0, 0)).RecordBatches)); got != 2 {
		t.Fatalf("%d batches, the broker sends at most 3000 bytes", got)
	}
}

// TestFetchOfATopicThatGoesAway: who waits for it is told at once.
func TestFetchOfATopicThatGoesAway(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	reader := p.another()
	q := from(s, 0, 0)
	q.MaxWaitMillis = long
	reader.waiting(12, q)
	p.deleteTopic(s)
	r := one(t, expect[*kmsg.FetchResponse](reader, 12, q, reader.last))
	if r.ErrorCode != kerr.UnknownTopicOrPartition.Code && r.ErrorCode != kerr.NotLeaderForPartition.Code {
		t.Fatalf("told %s", errorName(r.ErrorCode))
	}
}

func TestFetchReadCommittedIsReadUncommittedWithoutTransactions(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	p.put(s, 0, records("a"))
	q := from(s, 0, 0)
	q.IsolationLevel = 1
	r := p.fetch(12, q)
	if len(values(t, r.RecordBatches)) != 1 || r.LastStableOffset != 1 {
		t.Fatalf("%+v", r)
	}
}

// TestManyWaitAndOneCloses: fetches that wait on other connections are not touched when
// one of those that wait goes away.
func TestManyWaitAndOneCloses(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	q := from(s, 0, 0)
	q.MaxWaitMillis = long
	var readers []*peer
	for range 4 {
		reader := p.another()
		reader.waiting(12, q)
		readers = append(readers, reader)
	}
	readers[1].conn.Close()
	p.put(s, 0, records("one"))
	for i, reader := range readers {
		if i == 1 {
			continue
		}
		r := one(t, expect[*kmsg.FetchResponse](reader, 12, q, reader.last))
		if len(values(t, r.RecordBatches)) != 1 {
			t.Fatalf("reader %d: %+v", i, r)
		}
	}
}

// TestAnswersKeepTheOrderOfRequests: what is ready waits for the fetch before it.
func TestAnswersKeepTheOrderOfRequests(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	reader := p.another()
	q := from(s, 0, 0)
	q.MaxWaitMillis = long
	first := reader.request(12, q)
	second := reader.request(0, kmsg.NewPtrApiVersionsRequest())
	reader.write(append(first, second...))
	p.put(s, 0, records("one"))
	expect[*kmsg.FetchResponse](reader, 12, q, reader.last-1)
	expect[*kmsg.ApiVersionsResponse](reader, 0, kmsg.NewPtrApiVersionsRequest(), reader.last)
}

// session is one fetch session of a client.
type session struct {
	*peer
	id, epoch int32
	version   int16
}

// ask fetches within the session; the epoch follows as a client's does.
func (s *session) ask(forget []kmsg.FetchRequestForgottenTopic, topics ...kmsg.FetchRequestTopic) *kmsg.FetchResponse {
	s.t.Helper()
	q := kmsg.NewPtrFetchRequest()
	q.MinBytes, q.MaxBytes = 0, 1<<20
	q.SessionID, q.SessionEpoch = s.id, s.epoch
	q.Topics, q.ForgottenTopics = topics, forget
	a := ask[*kmsg.FetchResponse](s.peer, s.version, q)
	if a.ErrorCode == 0 && s.epoch >= 0 {
		s.epoch++
		if s.id == 0 {
			s.id = a.SessionID
		}
	}
	return a
}

// told are the partitions of an answer with how many records each brings, "topic-0:2".
func told(t testing.TB, a *kmsg.FetchResponse) map[int32]int {
	t.Helper()
	all := map[int32]int{}
	for _, topic := range a.Topics {
		for _, r := range topic.Partitions {
			want(t, "partition", r.ErrorCode, nil)
			all[r.Partition] = len(values(t, r.RecordBatches))
		}
	}
	return all
}

func toldExactly(t testing.TB, what string, a *kmsg.FetchResponse, expected map[int32]int) {
	t.Helper()
	got := told(t, a)
	if len(got) != len(expected) {
		t.Fatalf("%s: told of %v, want %v", what, got, expected)
	}
	for partition, count := range expected {
		if n, ok := got[partition]; !ok || n != count {
			t.Fatalf("%s: told of %v, want %v", what, got, expected)
		}
	}
}

func TestRule09FetchSession(t *testing.T) {
	for _, version := range []int16{7, 12, 13, 18} {
		p := dialed(t)
		s := p.topic(3)
		p.put(s, 1, records("a", "b"))
		f := &session{peer: p, version: version}
		a := f.ask(nil, fetchTopic(s, 0, 0), fetchTopic(s, 1, 0), fetchTopic(s, 2, 0))
		if a.SessionID == 0 {
			t.Fatal("no session")
		}
		toldExactly(t, "the first answer lists all", a, map[int32]int{0: 0, 1: 2, 2: 0})
		toldExactly(t, "what was not read yet comes again", f.ask(nil), map[int32]int{1: 2})
		toldExactly(t, "read on: nothing new", f.ask(nil, fetchTopic(s, 1, 2)), map[int32]int{})
		p.put(s, 0, records("c"))
		toldExactly(t, "news", f.ask(nil), map[int32]int{0: 1})
		toldExactly(t, "read on", f.ask(nil, fetchTopic(s, 0, 1)), map[int32]int{})
		forget := kmsg.NewFetchRequestForgottenTopic()
		forget.Topic, forget.TopicID, forget.Partitions = s.name, s.id, []int32{0}
		toldExactly(t, "forget one", f.ask([]kmsg.FetchRequestForgottenTopic{forget}), map[int32]int{})
		p.put(s, 0, records("d"))
		p.put(s, 2, records("e"))
		toldExactly(t, "the other only", f.ask(nil), map[int32]int{2: 1})
		toldExactly(t, "taken in again", f.ask(nil, fetchTopic(s, 0, 1), fetchTopic(s, 2, 1)), map[int32]int{0: 1})
	}
}

func TestRule09FetchSessionErrors(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	f := &session{peer: p, version: 12}
	f.ask(nil, fetchTopic(s, 0, 0))
	f.ask(nil)
	good := f.epoch
	for _, epoch := range []int32{good + 1, good - 1, 77} {
		f.epoch = epoch
		a := f.ask(nil)
		want(t, "wrong epoch", a.ErrorCode, kerr.InvalidFetchSessionEpoch)
		if a.SessionID != 0 || len(a.Topics) != 0 {
			t.Fatalf("%+v", a)
		}
	}
	f.epoch = good
	f.version = 13
	want(t, "ids in a session of names", f.ask(nil).ErrorCode, kerr.FetchSessionTopicIDError)
	f.version = 12
	want(t, "the errors did no harm", f.ask(nil).ErrorCode, nil)
	for _, id := range []int32{f.id + 1000, 0, -5} {
		lost := &session{peer: p, version: 12, id: id, epoch: 3}
		want(t, "unknown session", lost.ask(nil).ErrorCode, kerr.FetchSessionIDNotFound)
	}
	byID := &session{peer: p, version: 13}
	byID.ask(nil, fetchTopic(s, 0, 0))
	byID.version = 12
	want(t, "names in a session of ids", byID.ask(nil).ErrorCode, kerr.FetchSessionTopicIDError)
}

func TestRule09FetchSessionEnds(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	f := &session{peer: p, version: 12}
	f.ask(nil, fetchTopic(s, 0, 0))
	last := &session{peer: p, version: 12, id: f.id, epoch: -1}
	a := last.ask(nil, fetchTopic(s, 0, 0))
	want(t, "the last request", a.ErrorCode, nil)
	if a.SessionID != 0 || len(a.Topics) != 1 {
		t.Fatalf("the last answer: %+v", a)
	}
	want(t, "closed", f.ask(nil).ErrorCode, kerr.FetchSessionIDNotFound)
	again := &session{peer: p, version: 12}
	again.ask(nil, fetchTopic(s, 0, 0))
	old := again.id
	again.epoch = 0 // a client that lost count begins anew, and closes the old one with it
	again.ask(nil, fetchTopic(s, 0, 0))
	gone := &session{peer: p, version: 12, id: old, epoch: 1}
	want(t, "replaced", gone.ask(nil).ErrorCode, kerr.FetchSessionIDNotFound)
}

func TestRule09FetchWithoutSession(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	f := &session{peer: p, version: 12, epoch: -1}
	for range 2 {
		if a := f.ask(nil, fetchTopic(s, 0, 0)); a.ErrorCode != 0 || a.SessionID != 0 || len(a.Topics) != 1 {
			t.Fatalf("%+v", a)
		}
	}
}

func TestRule09FetchSessionSlotsRunOut(t *testing.T) {
	p := dialed(t, "max.incremental.fetch.session.cache.slots=2")
	s := p.topic(1)
	var clients []*session
	for range 3 {
		f := &session{peer: p.another(), version: 12}
		a := f.ask(nil, fetchTopic(s, 0, 0))
		want(t, "fetch", a.ErrorCode, nil)
		if len(a.Topics) != 1 {
			t.Fatalf("%+v", a)
		}
		clients = append(clients, f)
	}
	if clients[0].id == 0 || clients[1].id == 0 || clients[2].id != 0 {
		t.Fatalf("sessions %d, %d and %d, there are two slots", clients[0].id, clients[1].id, clients[2].id)
	}
	clients[0].epoch = -1
	clients[0].ask(nil) // closes
	again := &session{peer: p.another(), version: 12}
	if again.ask(nil, fetchTopic(s, 0, 0)); again.id == 0 {
		t.Fatal("the slot of a closed session is not used again")
	}
}

// TestRule09FetchSessionOfATopicThatIsDeleted: the session lives on and tells the error.
func TestRule09FetchSessionOfATopicThatIsDeleted(t *testing.T) {
	for version, expected := range map[int16]*kerr.Error{12: kerr.UnknownTopicOrPartition, 13: kerr.UnknownTopicID} {
		p := dialed(t)
		s, kept := p.topic(1), p.topic(2)
		f := &session{peer: p, version: version}
		f.ask(nil, fetchTopic(s, 0, 0), fetchTopic(kept, 1, 0))
		p.deleteTopic(s)
		p.put(kept, 1, records("news"))
		a := f.ask(nil)
		want(t, "session", a.ErrorCode, nil)
		seen := 0
		for _, topic := range a.Topics {
			for _, r := range topic.Partitions {
				seen++
				if topic.Topic == s.name && version == 12 || topic.TopicID == s.id && version == 13 {
					if !foreign() || r.ErrorCode != kerr.UnknownTopicOrPartition.Code { // Kafka knows the id's name from before
						want(t, "deleted", r.ErrorCode, expected)
					}
				} else {
					want(t, "kept", r.ErrorCode, nil)
				}
			}
		}
		if seen != 2 {
			t.Fatalf("version %d: told of %+v", version, a.Topics)
		}
	}
}
