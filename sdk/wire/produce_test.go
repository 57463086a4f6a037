package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/fuzz"
)

var testTopic = Topic{Name: "bench", ID: [16]byte{1, 2, 3}}

func TestProduceIsWhatKmsgWrites(t *testing.T) {
	for _, transactional := range []string{"", "transfers"} {
		for version := int16(MinProduceVersion); version <= MaxProduceVersion; version++ {
			produceIsWhatKmsgWrites(t, version, transactional)
		}
	}
}

func produceIsWhatKmsgWrites(t *testing.T, version int16, transactional string) {
	{
		q := kmsg.NewPtrProduceRequest()
		q.Version, q.Acks, q.TimeoutMillis = version, -1, 30000
		if transactional != "" {
			q.TransactionID = &transactional
		}
		topic := kmsg.NewProduceRequestTopic()
		topic.Topic, topic.TopicID = testTopic.Name, testTopic.ID
		batches := [][]byte{bytes.Repeat([]byte{7}, 300), {8, 9}}
		ours := AppendProduce(nil, version, 42, "me", transactional, -1, 30000, 1)
		ours = AppendProduceTopic(ours, version, &testTopic, len(batches))
		for i, b := range batches {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition, p.Records = int32(i), b
			topic.Partitions = append(topic.Partitions, p)
			ours = AppendProducePartition(ours, version, int32(i), len(b))
			ours = AppendTags(append(ours, b...), version >= ProduceFlexible)
		}
		q.Topics = append(q.Topics, topic)
		flexible := version >= ProduceFlexible
		ours = AppendTags(AppendTags(ours, flexible), flexible)
		Seal(ours, 0)
		if want := kmsg.NewRequestFormatter(kmsg.FormatterClientID("me")).AppendRequest(nil, q, 42); !bytes.Equal(ours, want) {
			t.Errorf("version %d:\n got %x\nwant %x", version, ours, want)
		}
	}
}

// headed puts the tags of a flexible response header in front.
func headed(body []byte, flexible bool) []byte { return append(AppendTags(nil, flexible), body...) }

func produceResponse(version int16) *kmsg.ProduceResponse {
	a := kmsg.NewPtrProduceResponse()
	a.Version = version
	topic := kmsg.NewProduceResponseTopic()
	topic.Topic, topic.TopicID = testTopic.Name, testTopic.ID
	for i := range int32(3) {
		p := kmsg.NewProduceResponseTopicPartition()
		p.Partition, p.BaseOffset, p.ErrorCode = i, int64(i)*1000, int16(i)
		if i == 2 {
			p.ErrorMessage = kmsg.StringPtr("no")
			e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
			e.RelativeOffset, e.ErrorMessage = 5, kmsg.StringPtr("bad")
			p.ErrorRecords = append(p.ErrorRecords, e)
		}
		topic.Partitions = append(topic.Partitions, p)
	}
	a.Topics = append(a.Topics, topic)
	return a
}

// said is what kmsg makes of an answer; fields that a version does not have are left out.
func said(a *kmsg.ProduceResponse) string {
	var out strings.Builder
	for _, topic := range a.Topics {
		for _, p := range topic.Partitions {
			message := ""
			if p.ErrorMessage != nil && a.Version >= produceErrorDetail {
				message = *p.ErrorMessage
			}
			start := int64(-1)
			if a.Version >= produceLogStart {
				start = p.LogStartOffset
			}
			name := topic.Topic
			if a.Version >= ProduceTopicIDs {
				name = ""
			}
			fmt.Fprintf(&out, "%q %d %d %d %d %d %q\n", name, p.Partition, p.ErrorCode, p.BaseOffset, p.LogAppendTime, start, message)
		}
	}
	return out.String()
}

// heard is what we make of it.
func heard(all []Produced) string {
	var out strings.Builder
	for _, p := range all {
		fmt.Fprintf(&out, "%q %d %d %d %d %d %q\n", p.Topic, p.Partition, p.Code, p.Base, p.AppendTime, p.LogStart, p.Message)
	}
	return out.String()
}

func TestReadProduce(t *testing.T) {
	for version := int16(MinProduceVersion); version <= MaxProduceVersion; version++ {
		body := headed(produceResponse(version).AppendTo(nil), version >= ProduceFlexible)
		got, err := ReadProduce(body, version, nil)
		want := said(produceResponse(version))
		if err != nil || len(got) != 3 || heard(got) != want {
			t.Errorf("version %d: got %+v, %v, want %v", version, got, err, want)
		}
		for cut := range body {
			if _, err := ReadProduce(body[:cut], version, nil); err == nil {
				t.Errorf("version %d: the first %d bytes of %d were accepted", version, cut, len(body))
			}
		}
	}
}

// FuzzReadProduce: no bytes may panic or take memory without end, and what kmsg reads and
// writes back unchanged we must read as kmsg does.
func FuzzReadProduce(f *testing.F) {
	for version := int16(MinProduceVersion); version <= MaxProduceVersion; version++ {
		f.Add(uint8(version), produceResponse(version).AppendTo(nil))
	}
	fuzz.Run(f, func(t *testing.T, v uint8, body []byte) {
		version := MinProduceVersion + int16(v)%(MaxProduceVersion-MinProduceVersion+1)
		got, err := ReadProduce(headed(body, version >= ProduceFlexible), version, nil)
		a := kmsg.NewPtrProduceResponse()
		a.Version = version
		if err != nil && version >= ProduceFlexible && !calm(body) {
			return
		}
		if a.ReadFrom(body) != nil || !bytes.Equal(a.AppendTo(nil), body) {
			return
		}
		if err != nil {
			t.Fatalf("version %d: kmsg reads %x and we do not: %v", version, body, err)
		}
		if want := said(a); heard(got) != want {
			t.Fatalf("version %d: got %v, want %v", version, heard(got), want)
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
