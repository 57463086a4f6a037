package loadgen

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/sdk/wire"
)

// frame is a request of kmsg's as it goes over the wire: the oracle for our own.
func frame(q kmsg.Request, correlation int32) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, q, correlation)
}

var testTopic = wire.Topic{Name: "bench", ID: [16]byte{1, 2, 3}}

func TestFetchIsWhatKmsgWrites(t *testing.T) {
	limits := fetchLimits{500, 1, 50 << 20, 1 << 20}
	for version := int16(minFetchVersion); version <= maxFetchVersion; version++ {
		for _, positions := range [][]position{nil, {{0, 17}, {5, 1 << 40}}} {
			q := kmsg.NewPtrFetchRequest()
			q.Version, q.ReplicaID, q.MaxWaitMillis, q.MinBytes, q.MaxBytes = version, -1, limits.wait, limits.minBytes, limits.maxBytes
			q.SessionID, q.SessionEpoch = 9, 3
			if len(positions) > 0 {
				topic := kmsg.NewFetchRequestTopic()
				topic.Topic, topic.TopicID = testTopic.Name, testTopic.ID
				for _, at := range positions {
					p := kmsg.NewFetchRequestTopicPartition()
					p.Partition, p.FetchOffset, p.PartitionMaxBytes = at.partition, at.offset, limits.partitionBytes
					topic.Partitions = append(topic.Partitions, p)
				}
				q.Topics = append(q.Topics, topic)
			}
			ours := appendFetch(nil, version, 7, limits, 9, 3, &testTopic, positions)
			wire.Seal(ours, 0)
			if want := frame(q, 7); !bytes.Equal(ours, want) {
				t.Errorf("version %d, %d positions:\n got %x\nwant %x", version, len(positions), ours, want)
			}
		}
	}
}

// headed puts the tags of a flexible response header in front.
func headed(body []byte, flexible bool) []byte {
	return append(wire.AppendTags(nil, flexible), body...)
}

func fetchResponse(version int16) *kmsg.FetchResponse {
	a := kmsg.NewPtrFetchResponse()
	a.Version, a.SessionID = version, 77
	topic := kmsg.NewFetchResponseTopic()
	topic.Topic, topic.TopicID = testTopic.Name, testTopic.ID
	for i := range int32(3) {
		p := kmsg.NewFetchResponseTopicPartition()
		p.Partition, p.HighWatermark, p.ErrorCode = i, 100, int16(i)
		p.RecordBatches = bytes.Repeat([]byte{byte(i)}, int(i)*200)
		if i == 1 {
			p.AbortedTransactions = append(p.AbortedTransactions, kmsg.NewFetchResponseTopicPartitionAbortedTransaction())
		}
		topic.Partitions = append(topic.Partitions, p)
	}
	a.Topics = append(a.Topics, topic)
	return a
}

func TestReadFetch(t *testing.T) {
	for version := int16(minFetchVersion); version <= maxFetchVersion; version++ {
		body := headed(fetchResponse(version).AppendTo(nil), version >= fetchFlexible)
		head, got, err := readFetch(body, version, nil)
		if err != nil || len(got) != 3 || version >= fetchSessions && head.session != 77 {
			t.Fatalf("version %d: %v %v %v", version, head, got, err)
		}
		for i, one := range got {
			if one.partition != int32(i) || one.code != int16(i) || one.highWatermark != 100 || len(one.records) != i*200 {
				t.Errorf("version %d: partition %d reads as %+v", version, i, one)
			}
		}
		for cut := range body {
			if _, _, err := readFetch(body[:cut], version, nil); err == nil {
				t.Errorf("version %d: the first %d bytes of %d were accepted", version, cut, len(body))
			}
		}
	}
}

// FuzzReadFetch: no bytes may panic or take memory without end, and what kmsg reads and
// writes back unchanged we must read as kmsg does.
func FuzzReadFetch(f *testing.F) {
	for version := int16(minFetchVersion); version <= maxFetchVersion; version++ {
		f.Add(uint8(version), fetchResponse(version).AppendTo(nil))
	}
	fuzz.Run(f, func(t *testing.T, v uint8, body []byte) {
		version := minFetchVersion + int16(v)%(maxFetchVersion-minFetchVersion+1)
		_, got, err := readFetch(headed(body, version >= fetchFlexible), version, nil)
		a := kmsg.NewPtrFetchResponse()
		a.Version = version
		if err != nil && version >= fetchFlexible && !calm(body) {
			return
		}
		if a.ReadFrom(body) != nil || !bytes.Equal(a.AppendTo(nil), body) {
			return
		}
		if err != nil {
			t.Fatalf("version %d: kmsg reads %x and we do not: %v", version, body, err)
		}
		i := 0
		for _, topic := range a.Topics {
			for _, p := range topic.Partitions {
				if i >= len(got) || got[i].partition != p.Partition || got[i].code != p.ErrorCode || !bytes.Equal(got[i].records, p.RecordBatches) {
					t.Fatalf("version %d: partition %d of %v differs from %+v", version, i, got, p)
				}
				i++
			}
		}
		if i != len(got) {
			t.Fatalf("version %d: %d partitions, want %d", version, len(got), i)
		}
	})
}

// calm reports whether no three bytes in a row go on. Where they do, kmsg may take them for a number of tags, and
// counts up to four billion of them though none is there.
func calm(p []byte) bool {
	run := 0
	for _, b := range p {
		if run++; b < 0x80 {
			run = 0
		}
		if run == 3 {
			return false
		}
	}
	return true
}

func TestFrameLength(t *testing.T) {
	p := appendFetch(nil, 12, 1, fetchLimits{}, 0, 0, &testTopic, nil)
	wire.Seal(p, 0)
	if got := int(binary.BigEndian.Uint32(p)); got != len(p)-4 {
		t.Errorf("the frame says %d bytes, it has %d", got, len(p)-4)
	}
}
