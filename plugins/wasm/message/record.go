package message

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/sdk"
)

// Part is a key or a value.
type Part struct {
	Form  abi.Form
	Bytes []byte
}

// Record is a record of a client, as its program has it.
type Record struct {
	Topic      string
	Partition  int32
	Offset     int64
	Timestamp  int64 // abi.NoTime: none
	Key, Value Part
	Headers    []sdk.Header
	// Same says, in an answer, that the headers are as they were.
	Same bool
}

// MillisOf is a time as messages have it.
func MillisOf(at time.Time) int64 {
	if at.IsZero() {
		return abi.NoTime
	}
	return at.UnixMilli()
}

// TimeOf is the inverse.
func TimeOf(millis int64) time.Time {
	if millis == abi.NoTime {
		return time.Time{}
	}
	return time.UnixMilli(millis)
}

// AppendRecord appends r.
func AppendRecord(dst []byte, r *Record) []byte {
	headers := uint32(len(r.Headers))
	if r.Same {
		headers = abi.Null
	}
	for _, n := range []uint32{abi.RecordMagic, abi.RecordSize, uint32(r.Partition), uint32(r.Key.Form)} {
		dst = abi.AppendU32(dst, n)
	}
	dst = abi.AppendI64(abi.AppendI64(dst, r.Offset), r.Timestamp)
	for _, n := range []uint32{uint32(len(r.Key.Bytes)), uint32(r.Value.Form), uint32(len(r.Value.Bytes)), headers, uint32(len(r.Topic)), 0} {
		dst = abi.AppendU32(dst, n)
	}
	dst = append(append(dst, r.Key.Bytes...), r.Value.Bytes...)
	if !r.Same {
		dst = appendHeaders(dst, r.Headers)
	}
	return append(dst, r.Topic...)
}

// Read reads a record, which is valid as long as its bytes are, and uses the memory of r.
func (r *Record) Read(bytes []byte) error {
	head, rest := abi.Open(bytes, abi.RecordMagic, abi.RecordSize)
	r.Partition, r.Key.Form = int32(head.U32()), abi.Form(head.U32())
	r.Offset, r.Timestamp = head.I64(), head.I64()
	key := head.U32()
	r.Value.Form = abi.Form(head.U32())
	value, headers, topic := head.U32(), head.U32(), head.U32()
	r.Key.Bytes, r.Value.Bytes = rest.Raw(key), rest.Raw(value)
	r.Headers, r.Same = r.Headers[:0], headers == abi.Null
	if head.Bad || !r.Key.holds() || !r.Value.holds() || !r.Same && uint64(headers)*headerLeast > uint64(rest.Len()) {
		return ErrMalformed
	}
	if !r.Same {
		r.Headers = readHeaders(r.Headers, rest, headers)
	}
	if name := rest.Raw(topic); string(name) != r.Topic {
		r.Topic = string(name)
	}
	if rest.Bad || rest.Len() != 0 {
		return ErrMalformed
	}
	return nil
}

// holds reports whether a record may hold it.
func (p *Part) holds() bool {
	return p.Form < abi.FormFault && (p.Form != abi.FormNull || len(p.Bytes) == 0)
}

// AppendAck appends what became of a record.
func AppendAck(dst []byte, m sdk.RecordMetadata, err error) []byte {
	failed, why := uint32(0), ""
	if err != nil {
		failed, why = 1, err.Error()
		why = strings.ToValidUTF8(why[:min(len(why), abi.MaxReason)], "")
	}
	for _, n := range []uint32{abi.AckMagic, abi.AckSize, uint32(m.Partition), failed} {
		dst = abi.AppendU32(dst, n)
	}
	dst = abi.AppendI64(abi.AppendI64(dst, m.Offset), MillisOf(m.Timestamp))
	dst = abi.AppendU32(abi.AppendU32(dst, uint32(len(m.Topic))), uint32(len(why)))
	return append(append(dst, m.Topic...), why...)
}

// ReadAck reads it: why the record failed is in reason when failed is set.
func ReadAck(bytes []byte) (m sdk.RecordMetadata, failed bool, reason string, err error) {
	head, rest := abi.Open(bytes, abi.AckMagic, abi.AckSize)
	m.Partition = int32(head.U32())
	flag := head.U32()
	m.Offset = head.I64()
	m.Timestamp = TimeOf(head.I64())
	topic, why := head.U32(), head.U32()
	m.Topic, reason = string(rest.Raw(topic)), string(rest.Raw(why))
	if head.Bad || rest.Bad || rest.Len() != 0 || flag > 1 || flag == 0 && reason != "" {
		return m, false, "", ErrMalformed
	}
	return m, flag == 1, reason, nil
}

// AppendCommit appends what was committed, in order of the partitions.
func AppendCommit(dst []byte, offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata) []byte {
	for _, n := range []uint32{abi.CommitMagic, abi.CommitSize, uint32(len(offsets)), 0} {
		dst = abi.AppendU32(dst, n)
	}
	for _, at := range slices.SortedFunc(maps.Keys(offsets), func(a, b sdk.TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	}) {
		is := offsets[at]
		dst = abi.AppendU32(abi.AppendText(dst, at.Topic), uint32(at.Partition))
		dst = abi.AppendU32(abi.AppendI64(dst, is.Offset), uint32(is.LeaderEpoch))
		dst = abi.AppendText(dst, is.Metadata)
	}
	return dst
}

// ReadCommit reads it.
func ReadCommit(bytes []byte) (map[sdk.TopicPartition]sdk.OffsetAndMetadata, error) {
	head, rest := abi.Open(bytes, abi.CommitMagic, abi.CommitSize)
	count := head.U32()
	if head.Bad || uint64(count)*commitLeast > uint64(rest.Len()) {
		return nil, ErrMalformed
	}
	offsets := make(map[sdk.TopicPartition]sdk.OffsetAndMetadata, count)
	for range count {
		at := sdk.TopicPartition{Topic: rest.Text(), Partition: int32(rest.U32())}
		is := sdk.OffsetAndMetadata{Offset: rest.I64(), LeaderEpoch: int32(rest.U32()), Metadata: rest.Text()}
		if _, twice := offsets[at]; twice || rest.Bad {
			return nil, ErrMalformed
		}
		offsets[at] = is
	}
	if rest.Len() != 0 {
		return nil, ErrMalformed
	}
	return offsets, nil
}

// commitLeast is how many bytes one partition takes at least.
const commitLeast = 4 + 4 + 8 + 4 + 4
