package mask

import (
	"bytes"
	"encoding/json"
)

// node is a step of the paths of fields.
type node struct {
	mask bool
	next map[string]*node
}

func (n *node) add(path []string) {
	for _, name := range path {
		if n.next == nil {
			n.next = map[string]*node{}
		}
		if n.next[name] == nil {
			n.next[name] = &node{}
		}
		n = n.next[name]
	}
	n.mask = true
}

// child is where a field leads: under its own name, else under *. Nil: no path goes there.
func (n *node) child(name []byte) *node {
	if c := n.next[string(name)]; c != nil {
		return c
	}
	return n.next["*"]
}

// scanner goes over JSON, which must be valid, once, and writes it again with other values in
// some places. Its memory is used again.
type scanner struct {
	in, out    []byte
	at, copied int
	masker     *masker
}

// rewrite answers what is left of in once it is masked: in itself, unless that has changed it,
// else memory of the scanner's.
func (s *scanner) rewrite(m *masker, in []byte) (out []byte, changed bool) {
	s.masker, s.in, s.out, s.at, s.copied = m, in, s.out[:0], 0, 0
	s.space()
	s.value(m.fields)
	if s.copied == 0 {
		return in, false
	}
	s.out = append(s.out, in[s.copied:]...)
	return s.out, true
}

// value goes over one value, at whose first byte it stands. n is never nil.
func (s *scanner) value(n *node) {
	switch {
	case n.mask:
		s.hide()
	case s.in[s.at] == '{':
		s.object(n)
	case s.in[s.at] == '[':
		s.array(n)
	default:
		s.skip()
	}
}

func (s *scanner) object(n *node) {
	s.at++ // {
	for s.space(); s.in[s.at] != '}'; s.space() {
		begin := s.at
		s.text()
		name := s.in[begin+1 : s.at-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			var plain string
			if json.Unmarshal(s.in[begin:s.at], &plain) == nil {
				name = []byte(plain)
			}
		}
		s.space()
		s.at++ // :
		s.space()
		if child := n.child(name); child != nil {
			s.value(child)
		} else {
			s.skip()
		}
		s.comma()
	}
	s.at++
}

// array goes over elements: a path leads through arrays to what is in them.
func (s *scanner) array(n *node) {
	s.at++ // [
	for s.space(); s.in[s.at] != ']'; s.space() {
		s.value(n)
		s.comma()
	}
	s.at++
}

// hide writes something else in the place of a value. Null hides nothing and stays.
func (s *scanner) hide() {
	begin := s.at
	s.skip()
	secret := s.in[begin:s.at]
	if secret[0] == 'n' {
		return
	}
	if secret[0] == '"' {
		secret = secret[1 : len(secret)-1]
	}
	s.out = append(s.out, s.in[s.copied:begin]...)
	s.out = append(s.out, '"')
	s.out = s.masker.appendQuoted(s.out, secret)
	s.out = append(s.out, '"')
	s.copied = s.at
}

// appendQuoted is appendMask for the inside of a JSON string.
func (m *masker) appendQuoted(p, secret []byte) []byte {
	if m.hash != nil {
		return m.appendMask(p, secret) // hexadecimal
	}
	return append(p, m.quoted...)
}

// skip goes over any value.
func (s *scanner) skip() {
	depth := 0
	for {
		switch s.in[s.at] {
		case '"':
			s.text()
		case '{', '[':
			depth++
			s.at++
		case '}', ']':
			depth--
			s.at++
		case ' ', '\t', '\n', '\r', ',', ':':
			s.at++
			continue
		default:
			s.word()
		}
		if depth == 0 {
			return
		}
	}
}

// text goes over a string.
func (s *scanner) text() {
	for s.at++; s.in[s.at] != '"'; s.at++ {
		if s.in[s.at] == '\\' {
			s.at++
		}
	}
	s.at++
}

// word goes over a number, true, false or null.
func (s *scanner) word() {
	for s.at < len(s.in) {
		switch s.in[s.at] {
		case ',', '}', ']', ' ', '\t', '\n', '\r':
			return
		}
		s.at++
	}
}

func (s *scanner) space() {
	for s.at < len(s.in) && (s.in[s.at] == ' ' || s.in[s.at] == '\n' || s.in[s.at] == '\t' || s.in[s.at] == '\r') {
		s.at++
	}
}

func (s *scanner) comma() {
	if s.space(); s.in[s.at] == ',' {
		s.at++
	}
}
