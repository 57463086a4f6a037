package batch

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
)

// HeaderSize is the size in bytes of everything before the first record.
const HeaderSize = 61

// prefix is the size in bytes of base offset and length, which length does not count.
const prefix = 12

const (
	attributeCodec         = 0x07
	attributeLogAppendTime = 0x08
	attributeTransactional = 0x10
	attributeControl       = 0x20
)

// What can be wrong with the bytes of a batch.
var (
	ErrShort  = errors.New("record batch is cut short")
	ErrLength = errors.New("record batch length is impossible")
	ErrMagic  = errors.New("record batch has a magic other than 2")
	ErrCRC    = errors.New("record batch does not match its CRC-32C")
	ErrCount  = errors.New("record batch counts its records wrongly")
	ErrCodec  = errors.New("record batch names an unknown codec")
	ErrRecord = errors.New("record is malformed")
	ErrKey    = errors.New("Compacted topic cannot accept message without key") // Kafka's words, which clients show
	ErrSize   = errors.New("record batch is larger than allowed once decompressed")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is one encoded record batch. The accessors need its 61 header bytes only,
// so a Batch may also be a header that was read alone.
type Batch []byte

// Peek returns the size in bytes of the batch that p begins with. The error is
// ErrShort when p does not hold all of it (size is 0 when not even the length is
// there) and ErrLength when no batch can have that length.
func Peek(p []byte) (size int, err error) {
	if len(p) < prefix {
		return 0, ErrShort
	}
	length := int32(binary.BigEndian.Uint32(p[8:]))
	if length < HeaderSize-prefix || length > math.MaxInt32-prefix {
		return 0, ErrLength
	}
	size = prefix + int(length)
	if len(p) < size {
		return size, ErrShort
	}
	return size, nil
}

// BaseOffset is the offset of the first record.
func (b Batch) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(b)) }

// SetBaseOffset changes the offset of the first record; the CRC does not cover it.
func (b Batch) SetBaseOffset(offset int64) { binary.BigEndian.PutUint64(b, uint64(offset)) }

// Size is the whole size in bytes, as its length field says.
func (b Batch) Size() int { return prefix + int(int32(binary.BigEndian.Uint32(b[8:]))) }

// LeaderEpoch is the epoch of the leader that appended the batch.
func (b Batch) LeaderEpoch() int32 { return int32(binary.BigEndian.Uint32(b[12:])) }

// SetLeaderEpoch changes the leader epoch; the CRC does not cover it.
func (b Batch) SetLeaderEpoch(epoch int32) { binary.BigEndian.PutUint32(b[12:], uint32(epoch)) }

// Magic is the version of the message format.
func (b Batch) Magic() int8 { return int8(b[16]) }

// CRC is the checksum that the batch claims.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[17:]) }

// Attributes are the flags described in the package comment.
func (b Batch) Attributes() int16 { return int16(binary.BigEndian.Uint16(b[21:])) }

// Codec is how the records are compressed.
func (b Batch) Codec() Codec { return Codec(b[22] & attributeCodec) }

// LogAppendTime reports whether MaxTimestamp is the time of the append and the time
// of every record.
func (b Batch) LogAppendTime() bool { return b[22]&attributeLogAppendTime != 0 }

// Transactional reports whether the batch belongs to a transaction.
func (b Batch) Transactional() bool { return b[22]&attributeTransactional != 0 }

// Control reports whether the batch holds a transaction marker and no data.
func (b Batch) Control() bool { return b[22]&attributeControl != 0 }

// LastOffsetDelta is the distance from the first to the last offset.
func (b Batch) LastOffsetDelta() int32 { return int32(binary.BigEndian.Uint32(b[23:])) }

// BaseTimestamp is the time in milliseconds that records count from.
func (b Batch) BaseTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[27:])) }

// MaxTimestamp is the largest time of a record, in milliseconds.
func (b Batch) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[35:])) }

// ProducerID is the idempotent producer that sent the batch, or −1.
func (b Batch) ProducerID() int64 { return int64(binary.BigEndian.Uint64(b[43:])) }

// ProducerEpoch is the epoch of that producer, or −1.
func (b Batch) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(b[51:])) }

// BaseSequence is the sequence number of the first record, or −1.
func (b Batch) BaseSequence() int32 { return int32(binary.BigEndian.Uint32(b[53:])) }

// Count is how many records the batch says it holds.
func (b Batch) Count() int32 { return int32(binary.BigEndian.Uint32(b[57:])) }

// SetCount changes how many records the batch says it holds. The CRC is not computed again:
// it is for headers that are only looked at.
func (b Batch) SetCount(records int32) { binary.BigEndian.PutUint32(b[57:], uint32(records)) }

// LastOffset is the offset of the last record.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// NextOffset is the offset behind the last record.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// LastSequence is the sequence number of the last record. Sequence numbers wrap from
// 2³¹−1 to 0; without a producer it is −1.
func (b Batch) LastSequence() int32 {
	first := b.BaseSequence()
	if first < 0 {
		return -1
	}
	return AddSequence(first, b.LastOffsetDelta())
}

// AddSequence returns the sequence number delta records after sequence, wrapping from
// 2³¹−1 to 0. Both must not be negative.
func AddSequence(sequence, delta int32) int32 {
	return int32((int64(sequence) + int64(delta)) & math.MaxInt32)
}

// Check reports what is wrong with b: it must hold exactly one batch of magic 2 whose
// length, CRC, codec and counts agree. Records are not decompressed or parsed.
func (b Batch) Check() error {
	size, err := Peek(b)
	switch {
	case len(b) > 16 && b.Magic() != 2:
		return ErrMagic
	case err != nil:
		return err
	case size != len(b):
		return ErrLength
	}
	if err := b.Verify(); err != nil {
		return err
	}
	switch {
	case b.Codec() > Zstd:
		return ErrCodec
	case b.Count() < 0 || b.LastOffsetDelta() < 0:
		return ErrCount
	}
	return nil
}

// Verify compares the CRC of b, which must be whole, with the one that it claims.
func (b Batch) Verify() error {
	if crc32.Checksum(b[21:], castagnoli) != b.CRC() {
		return ErrCRC
	}
	return nil
}

// SetMaxTimestamp makes the time of every record that of the append, in milliseconds,
// and computes the CRC again.
func (b Batch) SetMaxTimestamp(millis int64) {
	b[22] |= attributeLogAppendTime
	binary.BigEndian.PutUint64(b[35:], uint64(millis))
	b.seal()
}

// Restamp moves the base and largest timestamp of an otherwise unchanged batch to
// millis and computes the CRC again.
func (b Batch) Restamp(millis int64) {
	spread := b.MaxTimestamp() - b.BaseTimestamp()
	binary.BigEndian.PutUint64(b[27:], uint64(millis))
	binary.BigEndian.PutUint64(b[35:], uint64(millis+spread))
	b.seal()
}

// SetProducer changes who sent the batch and computes the CRC again.
func (b Batch) SetProducer(id int64, epoch int16, sequence int32) {
	binary.BigEndian.PutUint64(b[43:], uint64(id))
	binary.BigEndian.PutUint16(b[51:], uint16(epoch))
	binary.BigEndian.PutUint32(b[53:], uint32(sequence))
	b.seal()
}

func (b Batch) seal() {
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
}
