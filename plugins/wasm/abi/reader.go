package abi

import "encoding/binary"

// Reader reads what the other side wrote. After the first thing that is not there Bad is set,
// and everything reads as nothing.
type Reader struct {
	Bad  bool
	rest []byte
}

// NewReader reads p.
func NewReader(p []byte) *Reader { return &Reader{rest: p} }

// Len is how many bytes are left.
func (r *Reader) Len() int { return len(r.rest) }

func (r *Reader) take(n int) []byte {
	if r.Bad || n < 0 || n > len(r.rest) {
		r.Bad, r.rest = true, nil
		return nil
	}
	p := r.rest[:n:n]
	r.rest = r.rest[n:]
	return p
}

// U32 is a number.
func (r *Reader) U32() uint32 {
	if p := r.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

// I64 is a number.
func (r *Reader) I64() int64 {
	if p := r.take(8); p != nil {
		return int64(binary.LittleEndian.Uint64(p))
	}
	return 0
}

// Raw is so many bytes.
func (r *Reader) Raw(n uint32) []byte {
	if uint64(n) > uint64(len(r.rest)) {
		r.Bad, r.rest = true, nil
		return nil
	}
	return r.take(int(n))
}

// Bytes is a length and so many bytes; nil for null.
func (r *Reader) Bytes() []byte {
	n := r.U32()
	if n == Null || r.Bad {
		return nil
	}
	if n == 0 {
		return []byte{}
	}
	return r.Raw(n)
}

// Text is a length and so many bytes, of which none is not allowed to be null.
func (r *Reader) Text() string {
	n := r.U32()
	if n == Null {
		r.Bad = true
	}
	return string(r.Raw(n))
}

// Pair is the key and the value of a header, of which the value may be null. Records have them by the
// thousand, and calls are dear in a module of Go: it reads both at once.
func (r *Reader) Pair() (key, value []byte) {
	p := r.rest
	if len(p) < 8 || uint64(binary.LittleEndian.Uint32(p)) > uint64(len(p)-8) {
		r.Bad, r.rest = true, nil
		return nil, nil
	}
	at := 4 + int(binary.LittleEndian.Uint32(p))
	key, p = p[4:at:at], p[at:]
	n := binary.LittleEndian.Uint32(p)
	if n == Null {
		r.rest = p[4:]
		return key, nil
	}
	if uint64(n) > uint64(len(p)-4) {
		r.Bad, r.rest = true, nil
		return nil, nil
	}
	at = 4 + int(n)
	r.rest = p[at:]
	return key, p[4:at:at]
}

// Count is how many things follow that have at least size bytes each: never more than there
// can be.
func (r *Reader) Count(size int) int {
	n := r.U32()
	if uint64(n)*uint64(size) > uint64(len(r.rest)) {
		r.Bad, r.rest = true, nil
		return 0
	}
	return int(n)
}

// Open begins to read p, whose first number must be magic and whose second says where the
// rest begins: not before size.
func Open(p []byte, magic, size uint32) (head, rest *Reader) {
	head, rest = NewReader(p), NewReader(nil)
	known, at := head.U32(), head.U32()
	if known != magic || at < size || uint64(at) > uint64(len(p)) {
		head.Bad, rest.Bad = true, true
		return head, rest
	}
	rest.rest = p[at:]
	return head, rest
}

// AppendU32 appends a number.
func AppendU32(dst []byte, n uint32) []byte { return binary.LittleEndian.AppendUint32(dst, n) }

// AppendI64 appends a number.
func AppendI64(dst []byte, n int64) []byte { return binary.LittleEndian.AppendUint64(dst, uint64(n)) }

// AppendBytes appends a length and bytes; nil is null.
func AppendBytes(dst, p []byte) []byte {
	if p == nil {
		return AppendU32(dst, Null)
	}
	return append(AppendU32(dst, uint32(len(p))), p...)
}

// AppendText appends a length and the bytes of s.
func AppendText(dst []byte, s string) []byte {
	return append(AppendU32(dst, uint32(len(s))), s...)
}
