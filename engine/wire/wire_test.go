package wire

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/fuzz"
)

// kmsg is generated from the protocol's own definitions: what it writes we must read,
// and what we write it must read, in every version.

func produceRequest(version int16) *kmsg.ProduceRequest {
	q := kmsg.NewPtrProduceRequest()
	q.Version = version
	q.TransactionID = kmsg.StringPtr("tx")
	q.Acks, q.TimeoutMillis = -1, 1500
	for i, name := range []string{"a", "topic-b"} {
		t := kmsg.NewProduceRequestTopic()
		t.Topic, t.TopicID = name, [16]byte{byte(i + 1), 15: 9}
		for j := range i + 1 {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition, p.Records = int32(j), bytes.Repeat([]byte{7}, 300*j)
			t.Partitions = append(t.Partitions, p)
		}
		q.Topics = append(q.Topics, t)
	}
	q.UnknownTags.Set(77, []byte("unknown"))
	return q
}

func TestProduceReadsWhatKmsgWrites(t *testing.T) {
	for version := int16(0); version <= 13; version++ {
		var p Produce
		if err := p.Parse(version, produceRequest(version).AppendTo(nil)); err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		if version >= 3 && string(p.Transactional) != "tx" || p.Acks != -1 || p.TimeoutMillis != 1500 || len(p.Topics) != 2 || len(p.Partitions) != 3 {
			t.Fatalf("version %d: %+v", version, p)
		}
		if last := p.Topics[1]; last.End != 3 || version < 13 && string(last.Name) != "topic-b" || version == 13 && last.ID != [16]byte{2, 15: 9} {
			t.Fatalf("version %d: %+v", version, last)
		}
		if last := p.Partitions[2]; last.Index != 1 || len(last.Records) != 300 {
			t.Fatalf("version %d: %+v", version, last)
		}
	}
}

func TestKmsgReadsProduceResponses(t *testing.T) {
	results := []ProduceResult{
		{Base: 10, LogAppendTime: -1, LogStart: 2},
		{Error: 6, Base: -1, LogAppendTime: -1, LogStart: -1, Leader: Leader{3, 4}, Redirect: true},
		{Error: 87, Base: -1, LogAppendTime: 5, LogStart: -1, Message: "no key", Records: []RecordError{{1, "first"}, {7, "second"}}},
	}
	for version := int16(0); version <= 13; version++ {
		var p Produce
		if err := p.Parse(version, produceRequest(version).AppendTo(nil)); err != nil {
			t.Fatal(err)
		}
		var got kmsg.ProduceResponse
		got.Version = version
		if err := got.ReadFrom(p.AppendProduce(nil, results, 250, []Node{{3, "host", 9092, ""}})); err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		first, second, third := got.Topics[0].Partitions[0], got.Topics[1].Partitions[0], got.Topics[1].Partitions[1]
		if first.BaseOffset != 10 || second.ErrorCode != 6 || third.ErrorCode != 87 || third.Partition != 1 {
			t.Fatalf("version %d: %+v", version, got)
		}
		if version >= 1 && got.ThrottleMillis != 250 {
			t.Fatalf("version %d: throttled for %d ms, want 250", version, got.ThrottleMillis)
		}
		if version >= 8 && (third.ErrorMessage == nil || *third.ErrorMessage != "no key" || len(third.ErrorRecords) != 2 ||
			third.ErrorRecords[1].RelativeOffset != 7 || *third.ErrorRecords[1].ErrorMessage != "second") {
			t.Fatalf("version %d: %+v", version, third)
		}
		if version >= 10 && (second.CurrentLeader.LeaderID != 3 || second.CurrentLeader.LeaderEpoch != 4 || len(got.Brokers) != 1 || got.Brokers[0].Host != "host") {
			t.Fatalf("version %d: %+v, brokers %+v", version, second, got.Brokers)
		}
	}
}

func fetchRequest(version int16) *kmsg.FetchRequest {
	q := kmsg.NewPtrFetchRequest()
	q.Version = version
	q.ReplicaID, q.MaxWaitMillis, q.MinBytes, q.MaxBytes, q.IsolationLevel = -1, 500, 1, 1<<20, 1
	q.SessionID, q.SessionEpoch, q.Rack = 77, 3, "rack"
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = "topic", [16]byte{1}
	for i := range 2 {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.CurrentLeaderEpoch, p.FetchOffset, p.PartitionMaxBytes = int32(i), 5, 1000+int64(i), 4096
		t.Partitions = append(t.Partitions, p)
	}
	q.Topics = append(q.Topics, t)
	f := kmsg.NewFetchRequestForgottenTopic()
	f.Topic, f.TopicID, f.Partitions = "old", [16]byte{2}, []int32{4, 5}
	q.ForgottenTopics = append(q.ForgottenTopics, f)
	return q
}

func TestFetchReadsWhatKmsgWrites(t *testing.T) {
	for version := int16(4); version <= 18; version++ {
		var f Fetch
		if err := f.Parse(version, fetchRequest(version).AppendTo(nil)); err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		want := FetchPartition{Index: 1, LeaderEpoch: -1, Offset: 1001, MaxBytes: 4096}
		if version >= 9 {
			want.LeaderEpoch = 5
		}
		if !f.ReadCommitted || f.ReplicaID != -1 || f.MaxWaitMillis != 500 || f.MinBytes != 1 || f.MaxBytes != 1<<20 || f.Partitions[1] != want {
			t.Fatalf("version %d: %+v", version, f)
		}
		if version >= 7 && (f.SessionID != 77 || f.SessionEpoch != 3 || !reflect.DeepEqual(f.Forgotten[0].Partitions, []int32{4, 5})) {
			t.Fatalf("version %d: %+v", version, f)
		}
		if version < 7 && (f.SessionID != 0 || f.SessionEpoch != -1) {
			t.Fatalf("version %d has a session: %+v", version, f)
		}
	}
}

func TestFetchReadsAFollowersState(t *testing.T) {
	q := fetchRequest(15)
	q.ReplicaState.ID, q.ReplicaState.Epoch = 4, 9
	var f Fetch
	if err := f.Parse(15, q.AppendTo(nil)); err != nil || f.ReplicaID != 4 {
		t.Fatalf("%v, replica %d", err, f.ReplicaID)
	}
}

func TestKmsgReadsFetchResponses(t *testing.T) {
	records := []byte("records")
	for version := int16(4); version <= 18; version++ {
		p := AppendFetchHead(nil, version, FetchHead{SessionID: 12, Topics: 1})
		p = AppendFetchTopic(p, version, "topic", [16]byte{1}, 2)
		for i := range int32(2) {
			r := FetchResult{Index: i, HighWatermark: 100, LastStable: 99, LogStart: 3, RecordBytes: len(records)}
			if i == 1 {
				r = FetchResult{Index: i, Error: 6, HighWatermark: -1, LastStable: -1, LogStart: -1, Leader: Leader{3, 4}, Redirect: true}
			}
			p = AppendFetchResult(p, version, &r)
			p = append(p, records[:r.RecordBytes]...)
			p = AppendFetchResultEnd(p, version, &r)
		}
		p = AppendFetchTopicEnd(p, version)
		p = AppendFetchEnd(p, version, []Node{{3, "host", 9092, "r"}})
		var got kmsg.FetchResponse
		got.Version = version
		if err := got.ReadFrom(p); err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		first, second := got.Topics[0].Partitions[0], got.Topics[0].Partitions[1]
		if first.HighWatermark != 100 || first.LastStableOffset != 99 || !bytes.Equal(first.RecordBatches, records) || first.AbortedTransactions != nil || second.ErrorCode != 6 {
			t.Fatalf("version %d: %+v", version, got)
		}
		if version >= 11 && first.PreferredReadReplica != -1 {
			t.Fatalf("version %d sends the reader to replica %d", version, first.PreferredReadReplica)
		}
		if version >= 12 && second.CurrentLeader.LeaderID != 3 {
			t.Fatalf("version %d: %+v", version, second)
		}
		if version >= 16 && (len(got.Brokers) != 1 || *got.Brokers[0].Rack != "r") {
			t.Fatalf("version %d: %+v", version, got.Brokers)
		}
	}
}

func flexibleFrom9(key int16) (int16, bool) { return 9, key == 0 }

func TestHeader(t *testing.T) {
	classic := []byte{0, 0, 0, 8, 0, 0, 0, 42, 0, 2, 'm', 'e', 'B'}
	flexible := []byte{0, 0, 0, 9, 0, 0, 0, 42, 0, 2, 'm', 'e', 1, 5, 1, 'x', 'B'}
	nameless := []byte{0, 0, 0, 8, 0, 0, 0, 42, 0xff, 0xff, 'B'}
	for name, test := range map[string]struct {
		frame []byte
		want  string
	}{"classic": {classic, "me"}, "flexible with a tag": {flexible, "me"}, "null client id": {nameless, ""}} {
		t.Run(name, func(t *testing.T) {
			h, err := ParseHeader(test.frame, flexibleFrom9)
			if err != nil || h.Correlation != 42 || string(h.ClientID) != test.want || string(h.Body) != "B" {
				t.Fatalf("%+v, %v", h, err)
			}
		})
	}
	for n := range flexible {
		if n == 0 || n == len(flexible)-1 {
			continue
		}
		if _, err := ParseHeader(flexible[:n], flexibleFrom9); err == nil {
			t.Fatalf("the first %d bytes of a header passed", n)
		}
	}
}

func TestEveryTruncationIsRefused(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		body := produceRequest(version).AppendTo(nil)
		var p Produce
		for n := range body {
			if p.Parse(version, body[:n]) == nil {
				t.Fatalf("produce version %d: %d of %d bytes passed", version, n, len(body))
			}
		}
	}
	for version := int16(4); version <= 18; version++ {
		body := fetchRequest(version).AppendTo(nil)
		var f Fetch
		for n := range body {
			if f.Parse(version, body[:n]) == nil {
				t.Fatalf("fetch version %d: %d of %d bytes passed", version, n, len(body))
			}
		}
	}
}

func TestAnArrayThatClaimsABillionElementsCostsNothing(t *testing.T) {
	body := []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x3b, 0x9a, 0xca, 0}
	var p Produce
	if n := testing.AllocsPerRun(10, func() {
		if p.Parse(8, body) == nil {
			t.Fatal("passed")
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func TestParsingAllocatesNothing(t *testing.T) {
	produce, fetch := produceRequest(13).AppendTo(nil), fetchRequest(18).AppendTo(nil)
	var p Produce
	var f Fetch
	out := make([]byte, 0, 4096)
	results := make([]ProduceResult, 3)
	if n := testing.AllocsPerRun(100, func() {
		if p.Parse(13, produce) != nil || f.Parse(18, fetch) != nil {
			t.Fatal("refused")
		}
		out = p.AppendProduce(out[:0], results, 0, nil)
		out = AppendFetchHead(out[:0], 18, FetchHead{})
	}); n != 0 {
		t.Fatalf("%v allocations, want 0", n)
	}
}

func FuzzProduce(f *testing.F) {
	for version := int16(3); version <= 13; version++ {
		f.Add(version, produceRequest(version).AppendTo(nil))
	}
	fuzz.Run(f, func(t *testing.T, version int16, body []byte) {
		version = 3 + abs(version)%11
		var p Produce
		if p.Parse(version, body) != nil {
			return
		}
		var other kmsg.ProduceRequest
		other.Version = version
		if err := other.ReadFrom(body); err != nil {
			t.Fatalf("kmsg refuses what we read: %v", err)
		}
		var mine kmsg.ProduceResponse
		mine.Version = version
		if err := mine.ReadFrom(p.AppendProduce(nil, make([]ProduceResult, len(p.Partitions)), 0, nil)); err != nil {
			t.Fatalf("our answer is malformed: %v", err)
		}
	})
}

func FuzzFetch(f *testing.F) {
	for version := int16(4); version <= 18; version++ {
		f.Add(version, fetchRequest(version).AppendTo(nil))
	}
	fuzz.Run(f, func(t *testing.T, version int16, body []byte) {
		version = 4 + abs(version)%15
		var q Fetch
		if q.Parse(version, body) != nil {
			return
		}
		end := 0
		for _, topic := range q.Topics {
			if topic.End < end || topic.End > len(q.Partitions) {
				t.Fatalf("topic ends at %d of %d", topic.End, len(q.Partitions))
			}
			end = topic.End
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte{0, 0, 0, 9, 0, 0, 0, 42, 0, 2, 'm', 'e', 1, 5, 1, 'x', 'B'})
	fuzz.Run(f, func(t *testing.T, frame []byte) {
		h, err := ParseHeader(frame, flexibleFrom9)
		if err == nil && len(h.Body)+len(h.ClientID) > len(frame) {
			t.Fatal("more came out than went in")
		}
	})
}

func abs(v int16) int16 {
	if v < 0 {
		return -(v + 1)
	}
	return v
}
