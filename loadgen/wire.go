package loadgen

import (
	"encoding/binary"
	"errors"
)

// errMalformed is every way in which a response can fail to be one.
var errMalformed = errors.New("the broker's response is malformed")

// reader takes fields off a response in place. After the first field that is not there,
// bad is set and every later field reads as zero.
type reader struct {
	p   []byte
	bad bool
}

// take returns the next n bytes.
func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.p) {
		r.p, r.bad = nil, true
		return nil
	}
	field := r.p[:n]
	r.p = r.p[n:]
	return field
}

func (r *reader) int16() int16 {
	if p := r.take(2); p != nil {
		return int16(binary.BigEndian.Uint16(p))
	}
	return 0
}

func (r *reader) int32() int32 {
	if p := r.take(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

func (r *reader) int64() int64 {
	if p := r.take(8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

func (r *reader) uvarint() int {
	v, n := binary.Uvarint(r.p)
	if n <= 0 || v > 1<<31-1 {
		r.p, r.bad = nil, true
		return 0
	}
	r.p = r.p[n:]
	return int(v)
}

// length reads the length of an array; −1 is null. No array can have more elements than
// the response has bytes.
func (r *reader) length(flexible bool) int {
	var n int
	if flexible {
		n = r.uvarint() - 1
	} else {
		n = int(r.int32())
	}
	if n > len(r.p) || n < -1 {
		r.p, r.bad = nil, true
		return 0
	}
	return n
}

// text reads a string or bytes with a 16-bit (or compact) length; null reads as empty.
func (r *reader) text(flexible bool) []byte {
	var n int
	if flexible {
		n = r.uvarint() - 1
	} else {
		n = int(r.int16())
	}
	if n < 0 {
		r.bad = r.bad || n < -1
		return nil
	}
	return r.take(n)
}

// bytes reads bytes with a 32-bit (or compact) length; null reads as empty.
func (r *reader) bytes(flexible bool) []byte {
	n := r.length(flexible)
	if n < 0 {
		return nil
	}
	return r.take(n)
}

// tags skips the tagged fields.
func (r *reader) tags(flexible bool) {
	if !flexible {
		return
	}
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		r.uvarint()
		r.take(r.uvarint())
	}
}

// Append functions for the fields of requests.

func appendInt16(p []byte, v int16) []byte { return binary.BigEndian.AppendUint16(p, uint16(v)) }
func appendInt32(p []byte, v int32) []byte { return binary.BigEndian.AppendUint32(p, uint32(v)) }
func appendInt64(p []byte, v int64) []byte { return binary.BigEndian.AppendUint64(p, uint64(v)) }

func appendLength(p []byte, n int, flexible bool) []byte {
	if flexible {
		return binary.AppendUvarint(p, uint64(n+1))
	}
	return appendInt32(p, int32(n))
}

func appendText(p []byte, s string, flexible bool) []byte {
	if flexible {
		p = binary.AppendUvarint(p, uint64(len(s)+1))
	} else {
		p = appendInt16(p, int16(len(s)))
	}
	return append(p, s...)
}

func appendTags(p []byte, flexible bool) []byte {
	if flexible {
		return append(p, 0)
	}
	return p
}

// clientID is what the load generator calls itself to the broker.
const clientID = "millrace-bench"

// appendHeader begins a request: room for the frame's length, then the header.
func appendHeader(p []byte, key, version int16, correlation int32, flexible bool) []byte {
	p = append(p, 0, 0, 0, 0)
	p = appendInt16(p, key)
	p = appendInt16(p, version)
	p = appendInt32(p, correlation)
	p = appendText(p, clientID, false)
	return appendTags(p, flexible)
}

// seal writes the length of the one request that p holds.
func seal(p []byte) { binary.BigEndian.PutUint32(p, uint32(len(p)-4)) }
