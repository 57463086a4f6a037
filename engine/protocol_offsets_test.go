package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/batch"
)

const anyEpoch = -1

func TestListOffsets(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	base := time.Now().UnixMilli() - 100_000
	at := func(after int64, values ...string) []byte {
		return recordsAt(base+after, batch.NoProducer(), values...)
	}
	p.put(s, 0, at(1000, "a", "b", "c")) // 0 to 2: 1000, 1001, 1002
	p.put(s, 0, at(5000, "d"))           // 3
	p.put(s, 0, at(3000, "e", "f"))      // 4, 5: earlier again
	p.put(s, 0, at(2000, "g"))           // 6
	p.deleteRecords(s, 0, 1, 1)
	for _, test := range []struct {
		name              string
		moment            int64
		offset, timestamp int64
	}{
		{"latest", -1, 7, -1},
		{"earliest", -2, 1, -1},
		{"largest timestamp", -3, 3, base + 5000},
		{"earliest that is local", -4, 1, -1},
		{"latest that is tiered", -5, -1, -1},
		{"before all", 1, 1, base + 1001},
		{"the record's own", base + 1002, 2, base + 1002},
		{"between two batches", base + 1003, 3, base + 5000},
		{"later than what follows", base + 3001, 3, base + 5000},
		{"behind all", base + 5001, -1, -1},
		{"at the beginning of time", 0, 1, base + 1001},
	} {
		r := p.offsetAt(9, s, 0, test.moment, anyEpoch)
		want(t, test.name, r.ErrorCode, nil)
		if r.Offset != test.offset || r.Timestamp != test.timestamp {
			t.Errorf("%s: offset %d, timestamp %d, want %d and %d", test.name, r.Offset, r.Timestamp, test.offset, test.timestamp)
		}
		epoch := int32(0)
		if r.Offset < 0 {
			epoch = -1
		}
		if r.LeaderEpoch != epoch {
			t.Errorf("%s: leader epoch %d, want %d", test.name, r.LeaderEpoch, epoch)
		}
	}
}

func TestListOffsetsOfAnEmptyPartition(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	for moment, expected := range map[int64]int64{-1: 0, -2: 0, -3: -1, -4: 0, -5: -1, 0: -1, 1 << 50: -1} {
		r := p.offsetAt(9, s, 0, moment, anyEpoch)
		want(t, "empty", r.ErrorCode, nil)
		if r.Offset != expected || r.Timestamp != -1 {
			t.Errorf("moment %d: offset %d, timestamp %d, want %d", moment, r.Offset, r.Timestamp, expected)
		}
	}
}

// TestListOffsetsMomentsHaveVersions: a moment that a version does not have yet is
// refused, so that it is not taken for a time before 1970.
func TestListOffsetsMomentsHaveVersions(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	for moment, since := range map[int64]int16{-3: 7, -4: 8, -5: 9, -6: 11} {
		for version := int16(1); version <= 11; version++ {
			r := p.offsetAt(version, s, 0, moment, anyEpoch)
			var expected *kerr.Error
			if version < since {
				expected = kerr.UnsupportedVersion
			}
			want(t, "moment before its version", r.ErrorCode, expected)
		}
	}
	want(t, "a moment that nobody knows", p.offsetAt(11, s, 0, -7, anyEpoch).ErrorCode, kerr.UnsupportedVersion)
}

func TestListOffsetsErrors(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	for what, r := range map[string]kmsg.ListOffsetsResponseTopicPartition{
		"topic": p.offsetAt(7, subject{name: unused(t)}, 0, -1, anyEpoch), "partition": p.offsetAt(7, s, 1, -1, anyEpoch),
	} {
		want(t, "unknown "+what, r.ErrorCode, kerr.UnknownTopicOrPartition)
		if r.Offset != -1 || r.Timestamp != -1 {
			t.Errorf("unknown %s: offset %d, timestamp %d", what, r.Offset, r.Timestamp)
		}
	}
}

func TestListOffsetsLooksIntoCompressedBatches(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	base := time.Now().UnixMilli()
	for codec := batch.Gzip; codec <= batch.Zstd; codec++ {
		o := batch.NoProducer()
		o.Codec = codec
		first := p.put(s, 0, recordsAt(base, o, "a", "b", "c"))
		base += 10
		if r := p.offsetAt(7, s, 0, base-8, anyEpoch); r.Offset != first+2 || r.Timestamp != base-8 {
			t.Errorf("%s: offset %d, timestamp %d, want %d", codec, r.Offset, r.Timestamp, first+2)
		}
		if r := p.offsetAt(7, s, 0, -3, anyEpoch); r.Offset != first+2 {
			t.Errorf("%s: the largest timestamp is at %d, want %d", codec, r.Offset, first+2)
		}
	}
}

func TestOffsetForLeaderEpoch(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	if r := p.epochEnd(4, s, 0, 0, anyEpoch); r.ErrorCode != 0 || r.EndOffset != 0 || r.LeaderEpoch != 0 {
		t.Errorf("empty: %+v", r)
	}
	p.put(s, 0, records("a", "b"))
	for version := int16(2); version <= 4; version++ {
		if r := p.epochEnd(version, s, 0, 0, anyEpoch); r.ErrorCode != 0 || r.EndOffset != 2 || r.LeaderEpoch != 0 {
			t.Errorf("this epoch: %+v", r)
		}
		if r := p.epochEnd(version, s, 0, 5, anyEpoch); r.ErrorCode != 0 || r.EndOffset != -1 || r.LeaderEpoch != -1 {
			t.Errorf("an epoch that is not yet: %+v", r)
		}
		if r := p.epochEnd(version, s, 0, -1, anyEpoch); r.ErrorCode != 0 || r.EndOffset != -1 || r.LeaderEpoch != -1 {
			t.Errorf("no epoch: %+v", r)
		}
	}
	want(t, "partition", p.epochEnd(4, s, 3, 0, anyEpoch).ErrorCode, kerr.UnknownTopicOrPartition)
	r := p.epochEnd(4, subject{name: unused(t)}, 0, 0, anyEpoch)
	want(t, "topic", r.ErrorCode, kerr.UnknownTopicOrPartition)
	if r.EndOffset != -1 || r.LeaderEpoch != -1 {
		t.Errorf("%+v", r)
	}
}

// deleteRecords moves the log start and tells where it is then.
func (p *peer) deleteRecords(s subject, partition int32, before int64, low int64) {
	p.t.Helper()
	r := p.triedDelete(s, partition, before)
	want(p.t, "delete records", r.ErrorCode, nil)
	if r.LowWatermark != low {
		p.t.Fatalf("low watermark %d, want %d", r.LowWatermark, low)
	}
}

func (p *peer) triedDelete(s subject, partition int32, before int64) kmsg.DeleteRecordsResponseTopicPartition {
	p.t.Helper()
	q := kmsg.NewPtrDeleteRecordsRequest()
	q.TimeoutMillis = long
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic = s.name
	part := kmsg.NewDeleteRecordsRequestTopicPartition()
	part.Partition, part.Offset = partition, before
	topic.Partitions = append(topic.Partitions, part)
	q.Topics = append(q.Topics, topic)
	return ask[*kmsg.DeleteRecordsResponse](p, 2, q).Topics[0].Partitions[0]
}

func TestDeleteRecords(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	p.deleteRecords(s, 0, 0, 0)
	p.put(s, 0, records("a", "b", "c"))
	p.put(s, 0, records("d"))
	p.deleteRecords(s, 0, 2, 2)
	p.deleteRecords(s, 0, 1, 2) // never back
	if r := p.fetch(12, from(s, 0, 1)); r.ErrorCode != kerr.OffsetOutOfRange.Code || r.LogStartOffset != -1 {
		t.Fatalf("below the start: %+v", r)
	}
	r := p.fetch(12, from(s, 0, 2))
	if got := values(t, r.RecordBatches); r.ErrorCode != 0 || r.LogStartOffset != 2 || got[len(got)-1] != "d" {
		t.Fatalf("from the start: %q of %+v", got, r)
	}
	for _, before := range []int64{5, -2, 1 << 50} {
		refused := p.triedDelete(s, 0, before)
		want(t, "delete records", refused.ErrorCode, kerr.OffsetOutOfRange)
		if refused.LowWatermark != -1 {
			t.Errorf("low watermark %d", refused.LowWatermark)
		}
	}
	p.deleteRecords(s, 0, -1, 4) // up to the high watermark
	if r := p.produce(9, s, 0, records("e")); r.BaseOffset != 4 || r.LogStartOffset != 4 {
		t.Fatalf("%+v", r)
	}
	want(t, "partition", p.triedDelete(s, 1, 0).ErrorCode, kerr.UnknownTopicOrPartition)
	want(t, "topic", p.triedDelete(subject{name: unused(t)}, 0, 0).ErrorCode, kerr.UnknownTopicOrPartition)
	p.coordinated()
	want(t, "internal topic", p.triedDelete(subject{name: "__consumer_offsets"}, 0, 0).ErrorCode, kerr.InvalidTopicException)
	want(t, "compacted topic", p.triedDelete(p.topic(1, "cleanup.policy", "compact"), 0, 0).ErrorCode, kerr.PolicyViolation)
	p.deleteRecords(p.topic(1, "cleanup.policy", "compact,delete"), 0, 0, 0)
	kept := p.topic(1, "cleanup.policy", "") // nothing is removed of itself (KIP-1161), but by who asks for it
	p.put(kept, 0, records("a", "b", "c"))
	p.deleteRecords(kept, 0, 2, 2)
}

// TestDeleteRecordsLeavesTheRestToRetention: what is asked for goes, although all would be old enough.
func TestDeleteRecordsLeavesTheRestToRetention(t *testing.T) {
	p := dialed(t)
	s := p.topic(1, "retention.ms", "1000", "segment.bytes", "1048576")
	large := strings.Repeat("x", 600<<10)
	for _, value := range []string{"a", large, large, "d", "e"} {
		p.put(s, 0, recordsAt(1337, batch.NoProducer(), value))
	}
	p.deleteRecords(s, 0, 4, 4)
	r := p.fetch(12, from(s, 0, 4))
	if got := values(t, r.RecordBatches); r.ErrorCode != 0 || got[len(got)-1] != "e" {
		t.Errorf("behind what was deleted: %d values, error %d", len(got), r.ErrorCode)
	}
}

func TestDeletedRecordsStayDeletedOverARestart(t *testing.T) {
	onlyOurs(t)
	folder, b := begun(t)
	p := dial(t, b.Addresses()[0])
	s := p.topic(1)
	id := p.producer(4)
	first := sequenced(id, 0, 0, 3)
	p.put(s, 0, first)
	p.deleteRecords(s, 0, 2, 2)
	stop(t, b)
	p = dial(t, start(t, folder).Addresses()[0])
	if r := p.offsetAt(7, s, 0, -2, anyEpoch); r.ErrorCode != 0 || r.Offset != 2 {
		t.Fatalf("earliest: %+v", r)
	}
	if r := p.produce(9, s, 0, first); r.ErrorCode != 0 || r.BaseOffset != 0 {
		t.Fatalf("what was sent before the restart is a duplicate still: %+v", r)
	}
	if r := p.produce(13, s, 0, sequenced(id, 0, 3, 1)); r.ErrorCode != 0 || r.BaseOffset != 3 {
		t.Fatalf("the producer goes on: %+v", r)
	}
}
