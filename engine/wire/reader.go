package wire

import (
	"encoding/binary"
	"errors"
	"math"
)

// ErrMalformed says that a request does not have the form that its version has. The
// connection it came from cannot be trusted to be in step any more.
var ErrMalformed = errors.New("its bytes do not have the form of this version")

// maxElements is how many array elements and tagged fields one request may have in all
// (Kafka 4.4 bounds each array so).
const maxElements = 1_000_000

// maxTags is how many tagged fields one place may have (Kafka 4.4's bound).
const maxTags = 10_000

// reader walks over a request. After the first thing that does not fit it is failed,
// empty, and gives zeros; the caller asks once at the end.
type reader struct {
	rest   []byte
	flex   bool // KIP-482: compact lengths and tagged fields
	failed bool
	spent  int // elements and tagged fields so far
}

func (r *reader) fail() {
	r.failed = true
	r.rest = nil
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.fail()
		return nil
	}
	p := r.rest[:n:n]
	r.rest = r.rest[n:]
	return p
}

func (r *reader) int8() int8 {
	if p := r.take(1); p != nil {
		return int8(p[0])
	}
	return 0
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

func (r *reader) uuid() (id [16]byte) {
	copy(id[:], r.take(16))
	return id
}

func (r *reader) uvarint() uint32 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || n > 5 || v > math.MaxUint32 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return uint32(v)
}

// length reads how long something is: −1 means null. Compact lengths are one more
// than what they count, so that 0 can be null.
func (r *reader) length(classic func() int) int {
	if r.flex {
		return int(r.uvarint()) - 1
	}
	return classic()
}

func (r *reader) short() int { return int(r.int16()) }
func (r *reader) long() int  { return int(r.int32()) }

// string reads a string (ok is false for null).
func (r *reader) string() (p []byte, ok bool) {
	n := r.length(r.short)
	if n == -1 {
		return nil, false
	}
	return r.take(n), !r.failed
}

// name reads a string that must not be null.
func (r *reader) name() []byte {
	p, ok := r.string()
	if !ok {
		r.fail()
	}
	return p
}

// blob reads bytes (ok is false for null).
func (r *reader) blob() (p []byte, ok bool) {
	n := r.length(r.long)
	if n == -1 {
		return nil, false
	}
	return r.take(n), !r.failed
}

// count reads how many elements an array has, each at least elementSize bytes on the
// wire. Null counts as none.
func (r *reader) count(elementSize int) int {
	n := r.length(r.long)
	if n == -1 {
		return 0
	}
	if n < 0 || n > len(r.rest)/elementSize || !r.spend(n) {
		r.fail()
		return 0
	}
	return n
}

// spend counts elements and reports whether there may be so many.
func (r *reader) spend(n int) bool {
	r.spent += n
	return r.spent <= maxElements
}

// tags skips tagged fields, giving each to see if that is not nil.
func (r *reader) tags(see func(tag uint32, value []byte)) {
	if !r.flex {
		return
	}
	n := r.uvarint()
	if n > maxTags || int(n) > len(r.rest)/2 || !r.spend(int(n)) {
		r.fail()
		return
	}
	for range n {
		tag := r.uvarint()
		value := r.take(int(r.uvarint()))
		if r.failed {
			return
		}
		if see != nil {
			see(tag, value)
		}
	}
}

// end reports whether the request was as its version says. What follows behind it is
// passed over, as by Kafka.
func (r *reader) end() error {
	if r.failed {
		return ErrMalformed
	}
	return nil
}
