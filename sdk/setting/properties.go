package setting

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Property is one key of a .properties file and the line where it begins.
type Property struct {
	Key, Value string
	Line       int
}

// ParseProperties reads a .properties file as java.util.Properties does:
//
//	# a comment                 ! another
//	key = value                 the first unescaped =, : or blank ends the key
//	key : value
//	key value
//	key = one, \                an odd number of backslashes at the end joins the
//	      two                   next line, without the blanks that it begins with
//	a\ key\=x = \t\u00e9\\      escapes: \t \n \r \f \uXXXX; else the character itself
//
// It differs in one thing: the file is UTF-8, where Java reads Latin-1.
func ParseProperties(text string) ([]Property, error) {
	var all []Property
	for lines := (lineReader{rest: text}); ; {
		logical, line, ok := lines.next()
		if !ok {
			return all, nil
		}
		key, value := splitProperty(logical)
		var err error
		p := Property{Line: line}
		if p.Key, err = unescape(key); err == nil {
			p.Value, err = unescape(value)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		all = append(all, p)
	}
}

// lineReader cuts text into logical lines: comments and empty lines left out,
// continued lines joined.
type lineReader struct {
	rest string
	line int // of the line read last, from 1
}

// next is the next logical line and where it begins. As long as nothing was read of
// it, a continued line is one more chance for a comment.
func (r *lineReader) next() (logical string, line int, ok bool) {
	for r.rest != "" {
		natural := strings.TrimLeft(r.natural(), " \t\f")
		if logical == "" {
			if natural == "" || natural[0] == '#' || natural[0] == '!' {
				continue
			}
			line = r.line
		}
		if !continued(natural) {
			return logical + natural, line, true
		}
		logical += natural[:len(natural)-1]
	}
	return logical, line, logical != ""
}

// natural takes one line, ended by \n, \r or \r\n.
func (r *lineReader) natural() string {
	r.line++
	end := strings.IndexAny(r.rest, "\r\n")
	if end < 0 {
		line := r.rest
		r.rest = ""
		return line
	}
	line, after := r.rest[:end], r.rest[end+1:]
	if r.rest[end] == '\r' {
		after = strings.TrimPrefix(after, "\n")
	}
	r.rest = after
	return line
}

// continued reports whether line ends with an odd number of backslashes.
func continued(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// splitProperty cuts a logical line where its key ends.
func splitProperty(line string) (key, value string) {
	end := len(line)
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
		} else if strings.IndexByte("=: \t\f", line[i]) >= 0 {
			end = i
			break
		}
	}
	rest := strings.TrimLeft(line[end:], " \t\f")
	if rest != "" && (rest[0] == '=' || rest[0] == ':') {
		rest = strings.TrimLeft(rest[1:], " \t\f")
	}
	return line[:end], rest
}

// unescape undoes the backslashes.
func unescape(text string) (string, error) {
	if !strings.Contains(text, `\`) {
		return text, nil
	}
	var out strings.Builder
	var units []uint16 // of \uXXXX in a row: two may make one character
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) && text[i+1] == 'u' {
			unit, err := unit16(text[i+2:])
			if err != nil {
				return "", err
			}
			units = append(units, unit)
			i += 5
			continue
		}
		units = flushUnits(&out, units)
		if text[i] != '\\' {
			out.WriteByte(text[i])
		} else if i++; i < len(text) {
			out.WriteByte(unescaped(text[i]))
		}
	}
	flushUnits(&out, units)
	return out.String(), nil
}

func unescaped(c byte) byte {
	if i := strings.IndexByte("tnrf", c); i >= 0 {
		return "\t\n\r\f"[i]
	}
	return c
}

// unit16 reads the four digits of \uXXXX.
func unit16(text string) (uint16, error) {
	if len(text) < 4 {
		return 0, fmt.Errorf(`\u needs four hexadecimal digits, not %q`, text)
	}
	unit, err := strconv.ParseUint(text[:4], 16, 16)
	if err != nil {
		return 0, fmt.Errorf(`\u needs four hexadecimal digits, not %q`, text[:4])
	}
	return uint16(unit), nil
}

// flushUnits writes UTF-16 units as UTF-8; a lone surrogate becomes U+FFFD.
func flushUnits(out *strings.Builder, units []uint16) []uint16 {
	for _, r := range utf16.Decode(units) {
		out.WriteRune(r)
	}
	return units[:0]
}
