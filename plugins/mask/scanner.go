package mask

import (
	"bytes"
	"encoding/json"
)

// node is a step of the paths of fields.
type node struct {
	mask bool
	next map[string]*node
	any  *node // under *
}

func (n *node) add(path []string) {
	for _, name := range path {
		n = n.step(name)
	}
	n.mask = true
}

// step is the node under a name, made if it is not there.
func (n *node) step(name string) *node {
	if name == "*" {
		if n.any == nil {
			n.any = &node{}
		}
		return n.any
	}
	if n.next == nil {
		n.next = map[string]*node{}
	}
	if n.next[name] == nil {
		n.next[name] = &node{}
	}
	return n.next[name]
}

// scanner goes over JSON, which must be valid, once, and writes it again with other values in
// some places. Its memory is used again.
//
// Several paths may lead to one value, by its name and by *, and go on differently behind it:
// so it is at a set of nodes, all of which it follows. The sets of a value and of those around
// it lie one after the other in nodes.
type scanner struct {
	in, out    []byte
	at, copied int
	masker     *masker
	nodes      []*node
}

// rewrite answers what is left of in once it is masked: in itself, unless that has changed it,
// else memory of the scanner's.
func (s *scanner) rewrite(m *masker, in []byte) (out []byte, changed bool) {
	s.masker, s.in, s.out, s.at, s.copied = m, in, s.out[:0], 0, 0
	s.nodes = append(s.nodes[:0], m.fields)
	s.space()
	s.value(0)
	if s.copied == 0 {
		return in, false
	}
	s.out = append(s.out, in[s.copied:]...)
	return s.out, true
}

// keep is the most memory that a scanner keeps between batches.
const keep = 256 << 10

// rest lets go of the batch, and of what a large value took.
func (s *scanner) rest() {
	if s.in = nil; cap(s.out) > keep {
		s.out = nil
	}
}

// value goes over one value, at whose first byte it stands. Its set is nodes from that place on,
// and never empty.
func (s *scanner) value(set int) {
	for _, n := range s.nodes[set:] {
		if n.mask {
			s.hide()
			return
		}
	}
	switch s.in[s.at] {
	case '{':
		s.object(set)
	case '[':
		s.array(set)
	default:
		s.skip()
	}
}

// enter puts the set of a field behind that of the object which has it, and reports whether
// any path goes there. Whoever called it cuts nodes off again.
func (s *scanner) enter(set int, name []byte) bool {
	end := len(s.nodes)
	for _, n := range s.nodes[set:end] {
		if c := n.next[string(name)]; c != nil {
			s.nodes = append(s.nodes, c)
		}
		if n.any != nil {
			s.nodes = append(s.nodes, n.any)
		}
	}
	return len(s.nodes) > end
}

func (s *scanner) object(set int) {
	end := len(s.nodes)
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
		if s.enter(set, name) {
			s.value(end)
			s.nodes = s.nodes[:end]
		} else {
			s.skip()
		}
		s.comma()
	}
	s.at++
}

// array goes over elements: a path leads through arrays to what is in them.
func (s *scanner) array(set int) {
	s.at++ // [
	for s.space(); s.in[s.at] != ']'; s.space() {
		s.value(set)
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
