package batch

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// BatchOptions is what a builder cannot know from the records.
type BatchOptions struct {
	Codec         Codec
	Level         int // of the codec; zero and DefaultLevel: the codec's own default
	BaseOffset    int64
	LeaderEpoch   int32
	ProducerID    int64 // see NoProducer
	ProducerEpoch int16
	BaseSequence  int32
	Transactional bool
	Control       bool
	LogAppendTime bool
}

// NoProducer are the options of a batch that no idempotent producer sends.
func NoProducer() BatchOptions {
	return BatchOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, LeaderEpoch: -1}
}

// Builder encodes records into one buffer that it reuses. The zero value is ready.
type Builder struct {
	buf        []byte // header space, then the records, uncompressed
	packed     []byte // the batch when a codec is set
	base, last int64  // base and largest timestamp in milliseconds
	count      int32
	next       int32 // offset delta that the next record gets
}

// Reset forgets the records and keeps the memory.
func (b *Builder) Reset() {
	b.buf = b.buf[:0]
	b.count, b.next = 0, 0
}

// Use makes buf the memory of an empty builder.
func (b *Builder) Use(buf []byte) {
	b.buf = buf
	b.Reset()
}

// Cap is how large the batch may become, uncompressed, before the builder takes more memory.
func (b *Builder) Cap() int { return cap(b.buf) }

// Grow gives the builder memory for a batch of so many bytes, header and all.
func (b *Builder) Grow(size int) {
	if size > cap(b.buf) {
		b.buf = append(make([]byte, 0, size), b.buf...)
	}
}

// Base is the time in milliseconds that the records count from.
func (b *Builder) Base() int64 { return b.base }

// Records reads what was appended.
//
// Ownership: the reader and its records use the builder's memory.
func (b *Builder) Records() Reader {
	if b.count == 0 {
		return Reader{}
	}
	return Walk(b.buf[HeaderSize:], b.count)
}

// Count is how many records were appended since Reset.
func (b *Builder) Count() int { return int(b.count) }

// Len is the size in bytes of the batch so far, uncompressed.
func (b *Builder) Len() int { return max(len(b.buf), HeaderSize) }

// RecordSize is how many bytes Append would add for a record without headers, at most.
func RecordSize(key, value []byte) int { return len(key) + len(value) + 28 }

// Append adds a record with the next offset. Timestamps are in milliseconds; nil key
// or value means null.
func (b *Builder) Append(timestamp int64, key, value []byte, headers []Header) {
	b.AppendAt(b.next, timestamp, key, value, headers)
}

// AppendAt is Append with an offset delta of the caller's, larger than all before.
func (b *Builder) AppendAt(delta int32, timestamp int64, key, value []byte, headers []Header) {
	if b.count == 0 {
		b.begin(timestamp)
	}
	b.last = max(b.last, timestamp)
	if len(headers) == 0 && cap(b.buf)-len(b.buf) >= RecordSize(key, value) {
		b.put(timestamp-b.base, delta, key, value)
	} else {
		b.buf = appendRecord(b.buf, 0, timestamp-b.base, delta, key, value, headers)
	}
	b.count++
	b.next = delta + 1
}

// appendRecord encodes one record whose time is since milliseconds from that of the batch.
func appendRecord(p []byte, attributes int8, since int64, delta int32, key, value []byte, headers []Header) []byte {
	size := 1 + varintSize(since) + varintSize(int64(delta)) + bytesSize(key) + bytesSize(value) + varintSize(int64(len(headers)))
	for i := range headers {
		size += varintSize(int64(len(headers[i].Key))) + len(headers[i].Key) + bytesSize(headers[i].Value)
	}
	p = binary.AppendVarint(p, int64(size))
	p = append(p, byte(attributes))
	p = binary.AppendVarint(p, since)
	p = binary.AppendVarint(p, int64(delta))
	p = appendBytes(p, key)
	p = appendBytes(p, value)
	p = binary.AppendVarint(p, int64(len(headers)))
	for i := range headers {
		p = binary.AppendVarint(p, int64(len(headers[i].Key)))
		p = append(p, headers[i].Key...)
		p = appendBytes(p, headers[i].Value)
	}
	return p
}

// put is appendRecord for a record without headers that has room: half its time.
func (b *Builder) put(since int64, delta int32, key, value []byte) {
	size := 2 + varintSize(since) + varintSize(int64(delta)) + bytesSize(key) + bytesSize(value)
	at, p := len(b.buf), b.buf[:cap(b.buf)]
	at = putVarint(p, at, int64(size))
	p[at] = 0 // attributes
	at = putVarint(p, at+1, since)
	at = putVarint(p, at, int64(delta))
	at = putBytes(p, at, key)
	at = putBytes(p, at, value)
	p[at] = 0 // headers
	b.buf = b.buf[:at+1]
}

func putVarint(p []byte, at int, v int64) int {
	u := uint64(v)<<1 ^ uint64(v>>63)
	for ; u >= 0x80; u >>= 7 {
		p[at] = byte(u) | 0x80
		at++
	}
	p[at] = byte(u)
	return at + 1
}

func putBytes(p []byte, at int, value []byte) int {
	if value == nil {
		p[at] = 1 // varint of −1
		return at + 1
	}
	at = putVarint(p, at, int64(len(value)))
	return at + copy(p[at:], value)
}

func (b *Builder) begin(timestamp int64) {
	if cap(b.buf) < HeaderSize {
		b.buf = make([]byte, HeaderSize, 4<<10)
	}
	b.buf = b.buf[:HeaderSize]
	b.base, b.last = timestamp, timestamp
}

// Finish writes the header and compresses the records. It needs at least one record.
//
// Ownership: the batch lies in the builder's memory until the next Reset.
func (b *Builder) Finish(o BatchOptions) (Batch, error) {
	if b.count == 0 {
		return nil, fmt.Errorf("finish a batch without records: %w", ErrCount)
	}
	out := b.buf
	if o.Codec != None {
		level := o.Level
		if level == 0 {
			level = DefaultLevel
		}
		packed, err := Compress(append(b.packed[:0], b.buf[:HeaderSize]...), o.Codec, level, b.buf[HeaderSize:])
		if err != nil {
			return nil, err
		}
		b.packed, out = packed, packed
	}
	return b.header(Batch(out), o), nil
}

func (b *Builder) header(out Batch, o BatchOptions) Batch {
	out.SetBaseOffset(o.BaseOffset)
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-prefix))
	out.SetLeaderEpoch(o.LeaderEpoch)
	out[16] = 2
	binary.BigEndian.PutUint16(out[21:], uint16(o.attributes()))
	binary.BigEndian.PutUint32(out[23:], uint32(b.next-1))
	binary.BigEndian.PutUint64(out[27:], uint64(b.base))
	binary.BigEndian.PutUint64(out[35:], uint64(b.last))
	binary.BigEndian.PutUint32(out[57:], uint32(b.count))
	out.SetProducer(o.ProducerID, o.ProducerEpoch, o.BaseSequence)
	return out
}

func (o *BatchOptions) attributes() int16 {
	a := int16(o.Codec)
	if o.LogAppendTime {
		a |= attributeLogAppendTime
	}
	if o.Transactional {
		a |= attributeTransactional
	}
	if o.Control {
		a |= attributeControl
	}
	return a
}

func appendBytes(p, value []byte) []byte {
	if value == nil {
		return append(p, 1) // varint of −1
	}
	return append(binary.AppendVarint(p, int64(len(value))), value...)
}

func bytesSize(value []byte) int {
	if value == nil {
		return 1
	}
	return varintSize(int64(len(value))) + len(value)
}

// varintSize is how many bytes a number takes: seven bits in each.
func varintSize(v int64) int {
	u := uint64(v)<<1 ^ uint64(v>>63)
	return (bits.Len64(u|1) + 6) / 7
}
