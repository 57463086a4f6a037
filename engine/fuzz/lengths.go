package fuzz

import (
	"encoding/binary"
	"slices"
)

// lengthForms are the ways in which formats say how many bytes follow.
var lengthForms = []struct {
	read  func(p []byte) (n int64, size int) // size 0: there is none
	write func(p []byte, n int64) []byte
}{
	{func(p []byte) (int64, int) { return int64(p[0]), 1 }, func(p []byte, n int64) []byte { return append(p, byte(n)) }},
	{func(p []byte) (int64, int) {
		if len(p) < 2 {
			return 0, 0
		}
		return int64(int16(binary.BigEndian.Uint16(p))), 2
	}, func(p []byte, n int64) []byte { return binary.BigEndian.AppendUint16(p, uint16(n)) }},
	{func(p []byte) (int64, int) {
		if len(p) < 4 {
			return 0, 0
		}
		return int64(int32(binary.BigEndian.Uint32(p))), 4
	}, func(p []byte, n int64) []byte { return binary.BigEndian.AppendUint32(p, uint32(n)) }},
	{func(p []byte) (int64, int) {
		if len(p) < 4 {
			return 0, 0
		}
		return int64(int32(binary.LittleEndian.Uint32(p))), 4
	}, func(p []byte, n int64) []byte { return binary.LittleEndian.AppendUint32(p, uint32(n)) }},
	{func(p []byte) (int64, int) { n, size := binary.Uvarint(p); return int64(n), max(size, 0) },
		func(p []byte, n int64) []byte { return binary.AppendUvarint(p, uint64(n)) }},
	{func(p []byte) (int64, int) { n, size := binary.Uvarint(p); return int64(n) - 1, max(size, 0) }, // compact: one more
		func(p []byte, n int64) []byte { return binary.AppendUvarint(p, uint64(n+1)) }},
	{func(p []byte) (int64, int) { n, size := binary.Varint(p); return n, max(size, 0) }, binary.AppendVarint},
}

// field is a place in a text that may say how long what follows is.
type field struct {
	form, at, size, length int
}

// length looks for a field from a random place on; form -1 when there is none near.
func (m *mutator) length(p []byte) field {
	form, from := m.below(len(lengthForms)), m.below(len(p))
	for at := from; at < len(p) && at < from+32; at++ {
		if n, size := lengthForms[form].read(p[at:]); size > 0 && n > 0 && n <= int64(len(p)-at-size) {
			return field{form, at, size, int(n)}
		}
	}
	return field{form: -1}
}

// lie has a length say something else than what follows.
func (m *mutator) lie(p []byte, _ int) []byte {
	f := m.length(p)
	if f.form < 0 {
		return p
	}
	left := len(p) - f.at - f.size
	all := [...]int64{int64(f.length) - 1, int64(f.length) + 1, 0, -1, -2, int64(left), int64(left) + 1, int64(left) - 1, 2 * int64(f.length), 1<<31 - 1, 1<<63 - 1, 1<<m.below(31) - 1}
	m.piece = lengthForms[f.form].write(m.piece[:0], all[m.below(len(all))])
	return slices.Replace(p, f.at, f.at+f.size, m.piece...)
}

// resize makes what a length is about shorter or longer, and has the length say so.
func (m *mutator) resize(p []byte, _ int) []byte {
	f := m.length(p)
	if f.form < 0 {
		return p
	}
	begin := f.at + f.size
	end := begin + f.length
	from, to := m.span(p[begin:end])
	from, to = from+begin, to+begin
	switch m.below(4) {
	case 0: // nothing is left
		p, end = slices.Delete(p, begin, end), begin
	case 1:
		m.piece = append(m.piece[:0], p[from:to]...)
		p, end = slices.Insert(p, to, m.piece...), end+to-from
	default:
		p, end = slices.Delete(p, from, to), end-(to-from)
	}
	m.piece = lengthForms[f.form].write(m.piece[:0], int64(end-begin))
	return slices.Replace(p, f.at, begin, m.piece...)
}
