// Package jaas reads the login settings of Kafka's clients and brokers, sasl.jaas.config:
//
//	org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="secret";
//	module                                                  flag     name=value …                      ;
//
// It is the syntax of Java's login configuration as Kafka reads it: values are words or are quoted, with
// Java's escapes; // and /* begin comments.
//
// What must stay true: nearly every part of such a text may be a secret, or a piece of one whose quotes
// are wrong. So errors tell places and what was expected there, and never a part of the text.
package jaas

import (
	"fmt"
	"strings"
)

// Login is one login module and its options.
type Login struct {
	Module  string // the name of a Java class
	Options map[string]string
}

// Kafka's login modules. They stand for mechanisms: PLAIN, and the two of SCRAM.
const (
	PlainModule = "org.apache.kafka.common.security.plain.PlainLoginModule"
	ScramModule = "org.apache.kafka.common.security.scram.ScramLoginModule"
)

// String shows that there is a login, and nothing of it.
func (l *Login) String() string { return "[hidden]" }

// GoString is String.
func (l *Login) GoString() string { return l.String() }

// Parse reads logins; there is at least one.
func Parse(text string) ([]*Login, error) {
	s := scanner{text: text}
	var all []*Login
	for {
		t, err := s.next()
		if err != nil {
			return nil, err
		}
		if t.kind == end {
			break
		}
		one, err := s.login(t)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there is no login module, such as %s", PlainModule)
	}
	return all, nil
}

// One reads the only login of a text.
func One(text string) (*Login, error) {
	all, err := Parse(text)
	if err != nil {
		return nil, err
	}
	if len(all) > 1 {
		return nil, fmt.Errorf("there are %d login modules, and there must be one", len(all))
	}
	return all[0], nil
}

// login reads one, of which the first token is known.
func (s *scanner) login(first token) (*Login, error) {
	if first.kind != word {
		return nil, s.wrong(first, "the name of a login module is expected")
	}
	l := &Login{Module: first.text, Options: map[string]string{}}
	flag, err := s.next()
	if err != nil {
		return nil, err
	}
	switch strings.ToLower(flag.text) {
	case "required", "requisite", "sufficient", "optional":
	default:
		return nil, s.wrong(flag, "behind the login module one of required, requisite, sufficient and optional is expected")
	}
	for {
		name, err := s.next()
		switch {
		case err != nil:
			return nil, err
		case name.kind == semicolon:
			return l, nil
		case name.kind == end:
			return nil, s.wrong(name, "the login does not end with a semicolon")
		case name.kind != word && name.kind != quoted:
			return nil, s.wrong(name, "the name of an option, or a semicolon, is expected")
		}
		if err := s.value(l, name.text); err != nil {
			return nil, err
		}
	}
}

// value reads what an option is set to.
func (s *scanner) value(l *Login, name string) error {
	t, err := s.next()
	if err != nil {
		return err
	}
	if t.kind != equals {
		return s.wrong(t, "behind the name of an option an equals sign is expected")
	}
	if t, err = s.next(); err != nil {
		return err
	}
	if t.kind != word && t.kind != quoted {
		return s.wrong(t, "behind the equals sign a value is expected; quote it if it has blanks or signs in it")
	}
	if _, twice := l.Options[name]; twice {
		return s.wrong(t, "an option is given twice")
	}
	l.Options[name] = t.text
	return nil
}

// kind is what a token is.
type kind uint8

const (
	end kind = iota
	word
	quoted
	equals
	semicolon
)

type token struct {
	kind kind
	text string // of words and quoted
	at   int
}

// scanner cuts a text into tokens.
type scanner struct {
	text string
	at   int
}

// wrong is an error at a token. It tells nothing of the text.
func (s *scanner) wrong(t token, why string) error {
	return fmt.Errorf("character %d: %s", t.at+1, why)
}

// next is the next token.
func (s *scanner) next() (token, error) {
	if err := s.skip(); err != nil {
		return token{}, err
	}
	t := token{at: s.at}
	if s.at == len(s.text) {
		return t, nil
	}
	switch c := s.text[s.at]; c {
	case '=':
		t.kind = equals
		s.at++
	case ';':
		t.kind = semicolon
		s.at++
	case '"', '\'':
		return s.quote(c)
	default:
		length := strings.IndexAny(s.text[s.at:], " \t\r\n\f=;\"'")
		if length < 0 {
			length = len(s.text) - s.at
		}
		t.kind, t.text = word, s.text[s.at:s.at+length]
		s.at += length
	}
	return t, nil
}

// skip passes over blanks and comments.
func (s *scanner) skip() error {
	for s.at < len(s.text) {
		rest := s.text[s.at:]
		switch {
		case strings.IndexByte(" \t\r\n\f", rest[0]) >= 0:
			s.at++
		case strings.HasPrefix(rest, "//"):
			line := strings.IndexByte(rest, '\n')
			if line < 0 {
				line = len(rest)
			}
			s.at += line
		case strings.HasPrefix(rest, "/*"):
			length := strings.Index(rest[2:], "*/")
			if length < 0 {
				return s.wrong(token{at: s.at}, "a comment does not end")
			}
			s.at += length + 4
		default:
			return nil
		}
	}
	return nil
}

// quote reads a quoted text. As in Java, it does not go over the end of a line.
func (s *scanner) quote(mark byte) (token, error) {
	t := token{kind: quoted, at: s.at}
	var out strings.Builder
	for s.at++; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == mark:
			s.at++
			t.text = out.String()
			return t, nil
		case c == '\n' || c == '\r':
			return t, s.wrong(t, "a quoted value does not end on its line")
		case c == '\\' && s.at+1 < len(s.text):
			s.at++
			s.escape(&out)
		default:
			out.WriteByte(c)
		}
	}
	return t, s.wrong(t, "a quoted value does not end")
}

// escape reads what stands behind a backslash: a letter of C's, up to three octal digits, or the
// character itself.
func (s *scanner) escape(out *strings.Builder) {
	c := s.text[s.at]
	if i := strings.IndexByte("abfnrtv", c); i >= 0 {
		out.WriteByte("\a\b\f\n\r\t\v"[i])
		return
	}
	if c < '0' || c > '7' {
		out.WriteByte(c)
		return
	}
	most := 3
	if c > '3' {
		most = 2
	}
	n := 0
	for i := 0; i < most && s.at+i < len(s.text) && s.text[s.at+i] >= '0' && s.text[s.at+i] <= '7'; i++ {
		n = 8*n + int(s.text[s.at+i]-'0')
	}
	for width := 1; width < most && s.at+1 < len(s.text) && s.text[s.at+1] >= '0' && s.text[s.at+1] <= '7'; width++ {
		s.at++
	}
	out.WriteRune(rune(n))
}
