package engine

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/spent"
)

// What a valid request costs must not grow faster than the request.

// TestWhatIsNamedTwiceIsToldOnce: what is known of a group, a partition or a transactional id may have thousands of
// times as many bytes as its name.
func TestWhatIsNamedTwiceIsToldOnce(t *testing.T) {
	p := dialed(t)
	onlyOurs(t)
	p.coordinated()
	s, other := p.topic(2), p.topic(1)
	p.put(s, 0, records("a"))
	group := unused(t)
	p.joined(5, group)
	groups := []string{group, "second", group, "second", group}

	d := kmsg.NewPtrDescribeGroupsRequest()
	d.Groups = groups
	a := ask[*kmsg.DescribeGroupsResponse](p, 5, d)
	if len(a.Groups) != 2 || a.Groups[0].Group != group || len(a.Groups[0].Members) != 1 || a.Groups[1].Group != "second" {
		t.Errorf("DescribeGroups: %+v", a.Groups)
	}
	cd := kmsg.NewPtrConsumerGroupDescribeRequest()
	cd.Groups = groups
	if a := ask[*kmsg.ConsumerGroupDescribeResponse](p, 1, cd); len(a.Groups) != 2 || a.Groups[0].Group != group {
		t.Errorf("ConsumerGroupDescribe: %+v", a.Groups)
	}
	x := kmsg.NewPtrDescribeTransactionsRequest()
	x.TransactionalIDs = groups
	if a := ask[*kmsg.DescribeTransactionsResponse](p, 0, x); len(a.TransactionStates) != 2 || a.TransactionStates[1].TransactionalID != "second" {
		t.Errorf("DescribeTransactions: %+v", a.TransactionStates)
	}
	w := kmsg.NewPtrDescribeProducersRequest()
	w.Topics = []kmsg.DescribeProducersRequestTopic{
		{Topic: s.name, Partitions: []int32{0, 0, 1}}, {Topic: other.name, Partitions: []int32{0}}, {Topic: s.name, Partitions: []int32{1, 0}},
	}
	b := ask[*kmsg.DescribeProducersResponse](p, 0, w)
	if len(b.Topics) != 2 || len(b.Topics[0].Partitions) != 2 || b.Topics[1].Topic != other.name || len(b.Topics[1].Partitions) != 1 {
		t.Errorf("DescribeProducers: %+v", b.Topics)
	}
}

// TestOffsetsAreToldOnce: the same of what groups have committed, in each form of the request.
func TestOffsetsAreToldOnce(t *testing.T) {
	p := dialed(t)
	onlyOurs(t)
	p.coordinated()
	s, other, group := p.topic(2), p.topic(1), unused(t)
	old := kmsg.NewPtrOffsetFetchRequest()
	old.Group = group
	old.Topics = []kmsg.OffsetFetchRequestTopic{
		{Topic: s.name, Partitions: []int32{1, 1}}, {Topic: other.name, Partitions: []int32{0}}, {Topic: s.name, Partitions: []int32{0, 1}},
	}
	a := ask[*kmsg.OffsetFetchResponse](p, 5, old)
	if len(a.Topics) != 2 || a.Topics[0].Topic != s.name || len(a.Topics[0].Partitions) != 2 || len(a.Topics[1].Partitions) != 1 {
		t.Errorf("version 5: %+v", a.Topics)
	}
	asks := func(s subject, partitions ...int32) kmsg.OffsetFetchRequestGroup {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = group
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: s.name, TopicID: s.id, Partitions: partitions}}
		return g
	}
	for _, version := range []int16{8, 10} {
		q := kmsg.NewPtrOffsetFetchRequest()
		q.Groups = []kmsg.OffsetFetchRequestGroup{asks(s, 0, 0), asks(other, 0), asks(s, 1, 0)}
		a := ask[*kmsg.OffsetFetchResponse](p, version, q)
		if len(a.Groups) != 1 || len(a.Groups[0].Topics) != 2 || len(a.Groups[0].Topics[0].Partitions) != 2 || len(a.Groups[0].Topics[1].Partitions) != 1 {
			t.Errorf("version %d: %+v", version, a.Groups)
		}
	}
	c := kmsg.NewPtrOffsetCommitRequest()
	c.Group, c.Generation = group, -1
	c.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: s.name, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: 1, Offset: 7}}}}
	want(t, "commit", ask[*kmsg.OffsetCommitResponse](p, 8, c).Topics[0].Partitions[0].ErrorCode, nil)
	q := kmsg.NewPtrOffsetFetchRequest()
	everything := asks(s)
	everything.Topics = nil
	q.Groups = []kmsg.OffsetFetchRequestGroup{asks(other, 0), everything, asks(s, 0)}
	all := ask[*kmsg.OffsetFetchResponse](p, 8, q)
	if len(all.Groups) != 1 || len(all.Groups[0].Topics) != 1 || all.Groups[0].Topics[0].Partitions[0].Offset != 7 {
		t.Errorf("all topics: %+v", all.Groups)
	}
}

// againAndAgain is a fetch that names one partition again and again, the last time from another offset.
func againAndAgain(s subject, times int, last int64) *kmsg.FetchRequest {
	q := from(s, 0, 0)
	parts := slices.Repeat(q.Topics[0].Partitions, times)
	parts[len(parts)-1].FetchOffset = last
	q.Topics[0].Partitions = parts
	return q
}

// TestAFetchReadsAPartitionOnce: each that waits takes memory.
func TestAFetchReadsAPartitionOnce(t *testing.T) {
	p := dialed(t)
	onlyOurs(t)
	s := p.topic(1)
	p.put(s, 0, records("a", "b"))
	for _, version := range []int16{4, 12, 13} {
		r := one(t, ask[*kmsg.FetchResponse](p, version, againAndAgain(s, 100_000, 1)))
		want(t, "fetch", r.ErrorCode, nil)
		if len(r.RecordBatches) == 0 {
			t.Errorf("version %d: no records", version)
		}
	}
	q := againAndAgain(s, 500_000, 2)
	q.MaxWaitMillis = long
	reader := p.another()
	before := spent.Heap()
	for range 8 {
		reader.send(12, q)
	}
	reader.another().alive()
	// One target for each mention took 2 GiB; frames and pools of both sides may keep some.
	if more := spent.Heap() - before; more > 128<<20 {
		t.Errorf("fetches that wait for one partition take %d MiB", more>>20)
	}
}

// TestFetchesThatWaitLeaveRoomForFrames: others are read although requests wait for days that were as large as all
// may be together.
func TestFetchesThatWaitLeaveRoomForFrames(t *testing.T) {
	p := dialed(t, "queued.max.request.bytes=1048576", "socket.request.max.bytes=1048576")
	s := p.topic(1)
	q := againAndAgain(s, 30_000, 0)
	q.MaxWaitMillis = long
	for range 4 {
		p.another().send(12, q)
	}
	for range 4 {
		other := p.another()
		other.alive()
	}
}

// TestForgettingIsOnePassOverASession: a request that forgets many topics is no work for hours.
func TestForgettingIsOnePassOverASession(t *testing.T) {
	p := dialed(t)
	onlyOurs(t)
	s := p.topic(1)
	f := &session{peer: p, version: 12}
	topic := fetchTopic(s, 0, 0)
	part := topic.Partitions[0]
	for i := range int32(45_000) {
		part.Partition = i
		topic.Partitions = append(topic.Partitions, part)
	}
	if a := f.ask(nil, topic); a.SessionID == 0 {
		t.Fatal("no session")
	}
	forget := make([]kmsg.FetchRequestForgottenTopic, 300_000)
	for i := range forget {
		forget[i] = kmsg.NewFetchRequestForgottenTopic()
		forget[i].Topic = strconv.Itoa(i)
	}
	forget[0].Topic, forget[0].Partitions = s.name, []int32{0, 5, 5, 77}
	began := spent.Processor(t)
	a := f.ask(forget)
	if took := spent.Processor(t) - began; took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	told := len(a.Topics[0].Partitions) // all but one are not there, which is told each time
	if want := 45_000 - 3; a.ErrorCode != 0 || told != want {
		t.Errorf("%s, %d partitions left, want %d", errorName(a.ErrorCode), told, want)
	}
}

// TestSessionsAreBounded: who reads more than there is room for has no session, and one that grows beyond it ends.
func TestSessionsAreBounded(t *testing.T) {
	p := dialed(t, "max.incremental.fetch.session.cache.slots=2")
	s := p.topic(1)
	several := func(from, to int) kmsg.FetchRequestTopic {
		topic := fetchTopic(s, 0, 0)
		topic.Partitions = slices.Repeat(topic.Partitions, to-from)
		for i := range topic.Partitions {
			topic.Partitions[i].Partition = int32(from + i)
		}
		return topic
	}
	large := &session{peer: p, version: 12}
	if a := large.ask(nil, several(0, 3000)); a.ErrorCode != 0 || a.SessionID != 0 || len(a.Topics[0].Partitions) != 3000 {
		t.Fatalf("%s, session %d", errorName(a.ErrorCode), a.SessionID)
	}
	for range 3 { // what the last had is there again
		f := &session{peer: p, version: 12}
		if a := f.ask(nil, several(0, 1200)); a.SessionID == 0 {
			t.Fatal("no session")
		}
		want(t, "more than fit", f.ask(nil, several(1200, 2500)).ErrorCode, kerr.FetchSessionIDNotFound)
	}
	f := &session{peer: p, version: 12}
	f.ask(nil, several(0, 1200))
	forget := kmsg.NewFetchRequestForgottenTopic()
	forget.Topic = s.name
	for i := range int32(1200) {
		forget.Partitions = append(forget.Partitions, i)
	}
	want(t, "others in their place", f.ask([]kmsg.FetchRequestForgottenTopic{forget}, several(1200, 1900)).ErrorCode, nil)
	want(t, "and more", f.ask(nil, several(1900, 2500)).ErrorCode, nil)
}

// TestAnswersOfManyRequestsAreBounded: a request of thirty bytes may have megabytes of answer, and sixty of them come
// with one read. Some are answered on the loop, some by others.
func TestAnswersOfManyRequestsAreBounded(t *testing.T) {
	p := dialed(t)
	onlyOurs(t)
	p.coordinated()
	s, group := p.topic(2000), unused(t)
	c := kmsg.NewPtrOffsetCommitRequest()
	c.Group, c.Generation = group, -1
	topic := kmsg.OffsetCommitRequestTopic{Topic: s.name}
	metadata := strings.Repeat("m", 2000)
	for i := range int32(2000) {
		topic.Partitions = append(topic.Partitions, kmsg.OffsetCommitRequestTopicPartition{Partition: i, Offset: 7, Metadata: &metadata})
	}
	c.Topics = append(c.Topics, topic)
	want(t, "commit", ask[*kmsg.OffsetCommitResponse](p, 8, c).Topics[0].Partitions[0].ErrorCode, nil)
	offsets := kmsg.NewPtrOffsetFetchRequest()
	offsets.Group, offsets.Topics = group, nil
	named := kmsg.NewPtrMetadataRequest()
	named.Topics = []kmsg.MetadataRequestTopic{{Topic: &s.name}}
	for name, raw := range map[string][]byte{
		"offsets":  bytes.Repeat(p.request(7, offsets), 64),
		"metadata": bytes.Repeat(p.request(9, named), 1000),
	} {
		before := spent.Heap()
		for range 8 {
			p.another().write(raw)
		}
		p.another().alive()
		// All of the offsets were 2 GB.
		if more := spent.Heap() - before; more > 256<<20 {
			t.Errorf("%s: answers that nobody reads take %d MiB", name, more>>20)
		}
	}
}

// TestBrokenClientsDoNotFloodTheLog: whoever can connect can send what is no request, thousands of times a second, with
// a name of 32 KiB.
func TestBrokenClientsDoNotFloodTheLog(t *testing.T) {
	b, log := logged(t)
	begin := time.Now()
	p := dial(t, b.Addresses()[0])
	for range 200 {
		q := p.another()
		name := strings.Repeat("n", 30_000)
		body := append([]byte{0, 12, 0, 0, 0, 0, 0, 1, byte(len(name) >> 8), byte(len(name) & 0xff)}, name...) // a Heartbeat without the rest
		q.write(frame(body))
		q.ended()
	}
	seconds := int(time.Since(begin)/time.Second) + 2 // that lines are counted in
	text := log.String()
	if n := strings.Count(text, "connection closed"); n < 1 || n > 10*seconds {
		t.Errorf("%d lines in %d seconds", n, seconds)
	}
	if len(text) > 1000*10*seconds {
		t.Errorf("%d bytes in %d seconds", len(text), seconds)
	}
}
