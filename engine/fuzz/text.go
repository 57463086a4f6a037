package fuzz

import (
	"encoding/binary"
	"slices"
	"strconv"
)

// texts are the mutations of a text, the argument numbered at. Each takes any text, also an empty one. What stands
// here twice is done twice as often.
var texts = []func(m *mutator, p []byte, at int) []byte{
	(*mutator).flip, (*mutator).flip, (*mutator).set, (*mutator).add, (*mutator).add,
	(*mutator).fixed, (*mutator).fixed, (*mutator).varint, (*mutator).varint,
	(*mutator).insert, (*mutator).remove, (*mutator).remove, (*mutator).double, (*mutator).copyOver, (*mutator).swap, (*mutator).cut,
	(*mutator).splice, (*mutator).graft, (*mutator).graft,
	(*mutator).lie, (*mutator).lie, (*mutator).resize, (*mutator).resize,
	(*mutator).decimal, (*mutator).word, (*mutator).word,
}

func (m *mutator) flip(p []byte, _ int) []byte {
	if len(p) > 0 {
		p[m.below(len(p))] ^= 1 << m.below(8)
	}
	return p
}

func (m *mutator) set(p []byte, _ int) []byte {
	if len(p) > 0 {
		p[m.below(len(p))] = byte(m.below(256))
	}
	return p
}

// add does arithmetic on an integer of 1, 2, 4 or 8 bytes.
func (m *mutator) add(p []byte, _ int) []byte {
	width, order := 1<<m.below(4), m.order()
	if len(p) >= width {
		at := p[m.below(len(p)-width+1):]
		put(at, width, order, take(at, width, order)+uint64(m.below(70))-35)
	}
	return p
}

// fixed writes an interesting integer of 1, 2, 4 or 8 bytes.
func (m *mutator) fixed(p []byte, _ int) []byte {
	width := 1 << m.below(4)
	if len(p) >= width {
		at := m.below(len(p) - width + 1)
		put(p[at:], width, m.order(), m.interesting(len(p)-at-width))
	}
	return p
}

// varint writes an interesting one over what reads as one, which may be shorter or longer.
func (m *mutator) varint(p []byte, _ int) []byte {
	at := m.below(len(p) + 1)
	_, size := binary.Uvarint(p[at:])
	size = max(size, 0)
	left := len(p) - at - size
	if m.below(2) == 0 {
		m.piece = binary.AppendUvarint(m.piece[:0], m.interesting(left))
	} else {
		m.piece = binary.AppendVarint(m.piece[:0], int64(m.interesting(left)))
	}
	return slices.Replace(p, at, at+size, m.piece...)
}

// insert puts random bytes in, or one of them several times.
func (m *mutator) insert(p []byte, _ int) []byte {
	one, same := byte(m.below(256)), m.below(2) == 0
	m.piece = m.piece[:0]
	for range 1 + m.below(1<<m.below(10)) {
		if !same {
			one = byte(m.below(256))
		}
		m.piece = append(m.piece, one)
	}
	return slices.Insert(p, m.below(len(p)+1), m.piece...)
}

func (m *mutator) remove(p []byte, _ int) []byte {
	if len(p) == 0 {
		return p
	}
	from, to := m.span(p)
	return slices.Delete(p, from, to)
}

// double puts a range in once more, somewhere.
func (m *mutator) double(p []byte, _ int) []byte {
	if len(p) == 0 {
		return p
	}
	from, to := m.span(p)
	m.piece = append(m.piece[:0], p[from:to]...)
	where := to
	if m.below(2) == 0 {
		where = m.below(len(p) + 1)
	}
	for range 1 + m.below(1+m.below(4)) {
		p = slices.Insert(p, where, m.piece...)
	}
	return p
}

func (m *mutator) copyOver(p []byte, _ int) []byte {
	if len(p) > 0 {
		from, to := m.span(p)
		copy(p[m.below(len(p)):], p[from:to])
	}
	return p
}

// swap exchanges two ranges that follow one another.
func (m *mutator) swap(p []byte, _ int) []byte {
	if len(p) > 1 {
		from, to := m.span(p)
		middle := from + m.below(to-from)
		m.piece = append(append(m.piece[:0], p[middle:to]...), p[from:middle]...)
		copy(p[from:to], m.piece)
	}
	return p
}

func (m *mutator) cut(p []byte, _ int) []byte { return p[:m.below(len(p)+1)] }

// other is the same argument of some input of the corpus.
func (m *mutator) other(at int) []byte { return m.corpus[m.below(len(m.corpus))][at].text }

// splice goes on as another input does: at the same place, or anywhere.
func (m *mutator) splice(p []byte, at int) []byte {
	other := m.other(at)
	where := m.below(len(p) + 1)
	from := min(where, len(other))
	if m.below(2) == 0 {
		from = m.below(len(other) + 1)
	}
	return append(p[:where], other[from:]...)
}

// graft puts a range of another input in, or over what is there.
func (m *mutator) graft(p []byte, at int) []byte {
	other := m.other(at)
	if len(other) == 0 {
		return p
	}
	from, to := m.span(other)
	where := m.below(len(p) + 1)
	over := where
	if m.below(2) == 0 {
		over = min(where+to-from, len(p))
	}
	return slices.Replace(p, where, over, other[from:to]...)
}

// decimal writes a number in digits over one that is there, or anywhere.
func (m *mutator) decimal(p []byte, _ int) []byte {
	from := m.below(len(p) + 1)
	for i := from; i < len(p) && i < from+64; i++ {
		if p[i] >= '0' && p[i] <= '9' {
			from = i
			break
		}
	}
	to := from
	for to < len(p) && p[to] >= '0' && p[to] <= '9' {
		to++
	}
	switch n := m.interesting(len(p)); m.below(8) {
	case 0:
		m.piece = append(m.piece[:0], "1e9"...)
	case 1:
		m.piece = append(m.piece[:0], "0x"...)
		m.piece = strconv.AppendUint(m.piece, n, 16)
	case 2:
		m.piece = strconv.AppendUint(m.piece[:0], n, 10)
	case 3:
		m.piece = append(strconv.AppendUint(m.piece[:0], n, 10), '0')
	default:
		m.piece = strconv.AppendInt(m.piece[:0], int64(n), 10)
	}
	return slices.Replace(p, from, to, m.piece...)
}

// words mean something to parsers of text.
var words = []string{
	"\n", "\r\n", "\r", "\t", " ", "\x00", "\"", "'", "\\", "\\\n", "=", ":", ",", ";", ".", "-", "+", "#", "!", "/*", "*/", "//", "%", "&", "*", "?", "@",
	"{", "}", "[", "]", "{}", "[]", "(", ")", "<", ">", "null", "true", "false", "NaN", "-0", "1.5", "1e999", "e999", "\\u0000", "\\ud800", "\\u00", "${", "|", "~", "-1",
	"\xff", "\xc0\x80", "\u2028", "é", "\ufeff", "\U0001f600", "\x7f", "\x1b", "P", "T", "--- ", "<<: ", "&a ", "*a", "==", ",,", ";;",
}

// word puts one in, or over what is there.
func (m *mutator) word(p []byte, _ int) []byte {
	word := words[m.below(len(words))]
	where := m.below(len(p) + 1)
	over := where
	if m.below(2) == 0 {
		over = min(where+len(word), len(p))
	}
	m.piece = append(m.piece[:0], word...)
	return slices.Replace(p, where, over, m.piece...)
}

// order is a byte order.
func (m *mutator) order() binary.ByteOrder {
	if m.below(3) == 0 {
		return binary.LittleEndian
	}
	return binary.BigEndian
}

func take(p []byte, width int, order binary.ByteOrder) uint64 {
	switch width {
	case 1:
		return uint64(p[0])
	case 2:
		return uint64(order.Uint16(p))
	case 4:
		return uint64(order.Uint32(p))
	}
	return order.Uint64(p)
}

func put(p []byte, width int, order binary.ByteOrder, n uint64) {
	switch width {
	case 1:
		p[0] = byte(n)
	case 2:
		order.PutUint16(p, uint16(n))
	case 4:
		order.PutUint32(p, uint32(n))
	default:
		order.PutUint64(p, n)
	}
}
