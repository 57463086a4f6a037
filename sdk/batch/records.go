package batch

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Record is one record of a batch. Key, Value and the headers point into the buffer
// that they were read from; nil means null.
type Record struct {
	Attributes     int8
	TimestampDelta int64 // milliseconds from the batch's base timestamp
	OffsetDelta    int32 // from the batch's base offset
	Key, Value     []byte
	Headers        []Header
}

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte // nil: null
}

// Records decompresses the records of b, which must have passed Check, into buf (grown
// when it is too small; at most max bytes, else ErrSize) and returns a reader of them.
//
// Ownership: the reader and its records use buf or b until the caller reuses either.
func (b Batch) Records(buf []byte, max int) (Reader, error) {
	data := []byte(b[HeaderSize:])
	if c := b.Codec(); c != None {
		var err error
		if data, err = Decompress(buf[:0], c, data, max); err != nil {
			return Reader{}, err
		}
	}
	return Reader{rest: data, left: b.Count()}, nil
}

// Walk reads count records that are not compressed, without a header before them.
//
// Ownership: the reader and its records use section.
func Walk(section []byte, count int32) Reader { return Reader{rest: section, left: count} }

// Reader walks the records of one batch.
type Reader struct {
	rest   []byte
	left   int32
	record Record
	names  *Names
	gather bool
	err    error
}

// Begin has r read other records, as Walk does, with the memory that it has.
func (r *Reader) Begin(section []byte, count int32) { r.rest, r.left, r.err = section, count, nil }

// Remember has r take the names of headers from n where it knows them.
func (r *Reader) Remember(n *Names) { r.names = n }

// Collect has r put the headers of all records, one after the other, into that list, as far as
// it has room: then those of earlier records stay as they are when Next moves on.
func (r *Reader) Collect(into []Header) { r.gather, r.record.Headers = true, into[:0] }

// Buffer is the uncompressed records that are still to be read.
func (r *Reader) Buffer() []byte { return r.rest }

// Next moves to the next record and reports whether there is one. When the count of
// the batch and its bytes disagree, Err says so.
func (r *Reader) Next() bool {
	if r.err != nil {
		return false
	}
	if r.left == 0 {
		if len(r.rest) != 0 {
			r.err = fmt.Errorf("%d bytes behind the last record: %w", len(r.rest), ErrCount)
		}
		return false
	}
	if r.gather {
		r.record.Headers = r.record.Headers[len(r.record.Headers):]
	}
	body, rest, ok := cut(r.rest)
	if !ok || !r.record.parse(body, r.names) {
		r.err = ErrRecord
		return false
	}
	r.rest = rest
	r.left--
	return true
}

// Record is the record that Next moved to, valid until the next call of Next.
func (r *Reader) Record() *Record { return &r.record }

// Err is what stopped Next before the end, or nil.
func (r *Reader) Err() error { return r.err }

// cut takes a varint length and that many bytes off p.
func cut(p []byte) (body, rest []byte, ok bool) {
	size, at := varint(p, 0)
	if at == 0 || size < 0 || size > int64(len(p)-at) {
		return nil, nil, false
	}
	return p[at : at+int(size)], p[at+int(size):], true
}

// field is the bytes at a position that have their length before them, nil for a length of
// −1, and where the next byte is: 0 when there is none.
func field(p []byte, at int) (value []byte, next int) {
	size, at := varint(p, at)
	switch {
	case at == 0 || size < -1 || size > int64(len(p)-at):
		return nil, 0
	case size < 0:
		return nil, at
	}
	next = at + int(size)
	return p[at:next:next], next
}

// parse reads one record from p, all of it.
func (r *Record) parse(p []byte, names *Names) bool {
	if len(p) == 0 {
		return false
	}
	r.Attributes = int8(p[0])
	var at int
	if r.TimestampDelta, at = varint(p, 1); at == 0 {
		return false
	}
	offset, at := varint(p, at)
	if at == 0 || offset != int64(int32(offset)) {
		return false
	}
	r.OffsetDelta = int32(offset)
	if r.Key, at = field(p, at); at == 0 {
		return false
	}
	if r.Value, at = field(p, at); at == 0 {
		return false
	}
	return r.parseHeaders(p, at, names)
}

func (r *Record) parseHeaders(p []byte, at int, names *Names) bool {
	r.Headers = r.Headers[:0]
	count, at := varint(p, at)
	// A header takes two bytes at least, so a count beyond that is a lie.
	if at == 0 || count < 0 || count > int64(len(p)-at)/2 {
		return false
	}
	for range count {
		key, next := field(p, at)
		if next == 0 || key == nil {
			return false
		}
		value, next := field(p, next)
		if next == 0 {
			return false
		}
		r.Headers = append(r.Headers, Header{Key: names.of(key), Value: value})
		at = next
	}
	return at == len(p)
}

// CheckRecords walks over uncompressed records without taking memory: there must be
// count of them, their offsets consecutive from 0, nothing behind them and, if keys is
// set, a key in each (else ErrKey).
func CheckRecords(records []byte, count int32, keys bool) error {
	for delta := range count {
		end := ordinary(records, uint32(delta), keys)
		if end == 0 {
			var err error
			if end, err = checkRecord(records, int64(delta), keys); err != nil {
				return err
			}
		}
		records = records[end:]
	}
	if len(records) != 0 {
		return ErrCount
	}
	return nil
}

// checkRecord walks over the first of the records. It answers where the next begins.
func checkRecord(records []byte, delta int64, keys bool) (end int, err error) {
	size, next := varint(records, 0)
	if next == 0 || size <= 0 || size > int64(len(records)-next) {
		return 0, ErrRecord
	}
	end = next + int(size)
	body := records[:end]
	_, at := varint(body, next+1) // behind the attributes
	if at == 0 {
		return 0, ErrRecord
	}
	offset, at := varint(body, at)
	if at == 0 || offset != delta {
		return 0, ErrCount
	}
	key, at := skip(body, at)
	if at == 0 {
		return 0, ErrRecord
	}
	if keys && key < 0 {
		return 0, ErrKey
	}
	if _, at = skip(body, at); at == 0 {
		return 0, ErrRecord
	}
	return end, nil
}

// ordinary is checkRecord for nearly all records: lengths of at most two bytes, a timestamp
// of at most three, and more records or headers behind the value. It answers 0 for a record
// that is not like that, or is wrong, which checkRecord tells. To read a word where a number
// begins and look at its bits takes a third of the time; what is read of the record behind
// this one does no harm, for at the end everything must have been before end.
func ordinary(p []byte, delta uint32, keys bool) (end int) {
	const word = 4
	if len(p) < 4*word {
		return 0
	}
	size, at := short(binary.LittleEndian.Uint32(p))
	if size&1 != 0 || size > 2*uint32(len(p)) {
		return 0
	}
	end = at + int(size>>1)
	w := binary.LittleEndian.Uint32(p[at+1:]) // behind the attributes
	switch {
	case w&0x80 == 0:
		at += 2
	case w&0x8000 == 0:
		at += 3
	case w&0x800000 == 0:
		at += 4
	default:
		return 0
	}
	offset, n := short(binary.LittleEndian.Uint32(p[at:]))
	if at += n; offset != delta<<1 || at > len(p)-word {
		return 0
	}
	w = binary.LittleEndian.Uint32(p[at:])
	if key, n := short(w); key&1 == 0 {
		at += n + int(key>>1)
	} else if at++; w&0xff != null || keys {
		return 0
	}
	if at > len(p)-word {
		return 0
	}
	w = binary.LittleEndian.Uint32(p[at:])
	if value, n := short(w); value&1 == 0 {
		at += n + int(value>>1)
	} else if at++; w&0xff != null {
		return 0
	}
	if at > end || end > len(p) {
		return 0
	}
	return end
}

// null is the length −1, as it is written.
const null = 1

// short is the number, still in zigzag, of one byte or two that a word begins with, and how
// many they are. A longer one is odd: no length, and no offset, is.
func short(w uint32) (number uint32, bytes int) {
	if w&0x80 == 0 {
		return w & 0x7f, 1
	}
	if w&0x8000 == 0 {
		return w&0x7f | w>>1&0x3f80, 2
	}
	return math.MaxUint32, 0
}

// varint reads the number at a position, and where the next byte is: 0 when there is none.
// Most lengths and deltas have one byte or two.
func varint(p []byte, at int) (value int64, next int) {
	if at < len(p) {
		if b := int64(p[at]); b < 0x80 {
			return b>>1 ^ -(b & 1), at + 1
		}
	}
	return longVarint(p, at)
}

func longVarint(p []byte, at int) (value int64, next int) {
	if at+1 < len(p) && p[at+1] < 0x80 {
		two := uint64(p[at]&0x7f) | uint64(p[at+1])<<7
		return int64(two>>1) ^ -int64(two&1), at + 2
	}
	if at >= len(p) {
		return 0, 0
	}
	value, n := binary.Varint(p[at:])
	if n <= 0 {
		return 0, 0
	}
	return value, at + n
}

// skip goes over bytes that have their length, −1 for null, before them.
func skip(p []byte, at int) (size int64, next int) {
	size, next = varint(p, at)
	switch {
	case next == 0 || size < -1 || size > int64(len(p)-next):
		return 0, 0
	case size > 0:
		next += int(size)
	}
	return size, next
}
