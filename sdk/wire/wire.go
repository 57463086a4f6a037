package wire

import (
	"encoding/binary"
	"errors"
)

// ErrMalformed is every way in which a response can fail to be one.
var ErrMalformed = errors.New("the broker's response is malformed")

// Reader takes fields off a response in place. After the first field that is not there it
// has failed, and every later field reads as zero.
type Reader struct {
	rest   []byte
	failed bool
}

// NewReader reads p.
func NewReader(p []byte) Reader { return Reader{rest: p} }

// Failed reports whether a field was not there.
func (r *Reader) Failed() bool { return r.failed }

// End is nil when all fields were there and nothing is behind them.
func (r *Reader) End() error {
	if r.failed || len(r.rest) > 0 {
		return ErrMalformed
	}
	return nil
}

// Take is the next n bytes.
func (r *Reader) Take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.rest, r.failed = nil, true
		return nil
	}
	field := r.rest[:n]
	r.rest = r.rest[n:]
	return field
}

// Int16 is a number of 16 bits.
func (r *Reader) Int16() int16 {
	if p := r.Take(2); p != nil {
		return int16(binary.BigEndian.Uint16(p))
	}
	return 0
}

// Int32 is a number of 32 bits.
func (r *Reader) Int32() int32 {
	if p := r.Take(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

// Int64 is a number of 64 bits.
func (r *Reader) Int64() int64 {
	if p := r.Take(8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

// Uvarint is a number of up to 31 bits in as few bytes as it needs.
func (r *Reader) Uvarint() int {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > 1<<31-1 {
		r.rest, r.failed = nil, true
		return 0
	}
	r.rest = r.rest[n:]
	return int(v)
}

// Length is how many elements an array has; −1 is null. No array can have more elements
// than the response has bytes.
func (r *Reader) Length(flexible bool) int {
	var n int
	if flexible {
		n = r.Uvarint() - 1
	} else {
		n = int(r.Int32())
	}
	if n > len(r.rest) || n < -1 {
		r.rest, r.failed = nil, true
		return 0
	}
	return n
}

// Text is a string or bytes with a 16-bit (or compact) length; null reads as empty.
func (r *Reader) Text(flexible bool) []byte {
	var n int
	if flexible {
		n = r.Uvarint() - 1
	} else {
		n = int(r.Int16())
	}
	if n < 0 {
		r.failed = r.failed || n < -1
		return nil
	}
	return r.Take(n)
}

// Bytes are bytes with a 32-bit (or compact) length; null reads as empty.
func (r *Reader) Bytes(flexible bool) []byte {
	n := r.Length(flexible)
	if n < 0 {
		return nil
	}
	return r.Take(n)
}

// Tags skips the tagged fields.
func (r *Reader) Tags(flexible bool) {
	if !flexible {
		return
	}
	for n := r.Uvarint(); n > 0 && !r.failed; n-- {
		r.Uvarint()
		r.Take(r.Uvarint())
	}
}

// AppendInt16 appends a number of 16 bits.
func AppendInt16(p []byte, v int16) []byte { return binary.BigEndian.AppendUint16(p, uint16(v)) }

// AppendInt32 appends a number of 32 bits.
func AppendInt32(p []byte, v int32) []byte { return binary.BigEndian.AppendUint32(p, uint32(v)) }

// AppendInt64 appends a number of 64 bits.
func AppendInt64(p []byte, v int64) []byte { return binary.BigEndian.AppendUint64(p, uint64(v)) }

// AppendLength appends how many elements an array has.
func AppendLength(p []byte, n int, flexible bool) []byte {
	if flexible {
		return binary.AppendUvarint(p, uint64(n+1))
	}
	return AppendInt32(p, int32(n))
}

// AppendText appends a string.
func AppendText(p []byte, s string, flexible bool) []byte {
	if flexible {
		p = binary.AppendUvarint(p, uint64(len(s)+1))
	} else {
		p = AppendInt16(p, int16(len(s)))
	}
	return append(p, s...)
}

// AppendTags appends that there are no tagged fields.
func AppendTags(p []byte, flexible bool) []byte {
	if flexible {
		return append(p, 0)
	}
	return p
}

// AppendHeader begins a request: room for the frame's length, then the header.
func AppendHeader(p []byte, key, version int16, correlation int32, client string, flexible bool) []byte {
	p = append(p, 0, 0, 0, 0)
	p = AppendInt16(p, key)
	p = AppendInt16(p, version)
	p = AppendInt32(p, correlation)
	p = AppendText(p, client, false)
	return AppendTags(p, flexible)
}

// Seal writes the length of the one request that begins at p, of which so many bytes are
// not in p.
func Seal(p []byte, elsewhere int) { binary.BigEndian.PutUint32(p, uint32(len(p)-4+elsewhere)) }

// Rest is what was not read yet.
func (r *Reader) Rest() []byte { return r.rest }
