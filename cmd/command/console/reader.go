package console

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Reader makes records of lines, as Kafka's LineMessageReader does:
//
//	header1:value1,header2:value2 ⇥ key ⇥ value
//
// with the parts and separators that its properties ask for.
type Reader struct {
	topic                  string
	parseKey, parseHeaders bool
	keySeparator           string
	headersDelimiter       string
	headersSeparator       *regexp.Regexp
	headersKeySeparator    string
	ignoreError            bool
	nullMarker             *string
	line                   int // of the line read last, from 1
}

// NewReader sets a reader up. Properties are those of Kafka's reader: parse.key,
// key.separator and so on.
func NewReader(topic string, properties map[string]string) (*Reader, error) {
	get := func(name, otherwise string) string {
		if text, ok := properties[name]; ok {
			return text
		}
		return otherwise
	}
	separator := get("headers.separator", ",")
	r := &Reader{
		topic:               topic,
		parseKey:            isTrue(properties["parse.key"]),
		parseHeaders:        isTrue(properties["parse.headers"]),
		keySeparator:        get("key.separator", "\t"),
		headersDelimiter:    get("headers.delimiter", "\t"),
		headersKeySeparator: get("headers.key.separator", ":"),
		ignoreError:         isTrue(properties["ignore.error"]),
	}
	if marker, ok := properties["null.marker"]; ok {
		r.nullMarker = &marker
	}
	var err error
	if r.headersSeparator, err = regexp.Compile(separator); err != nil {
		return nil, fmt.Errorf("headers.separator: %w", err)
	}
	return r, r.distinct(separator)
}

// distinct refuses separators that could not be told apart.
func (r *Reader) distinct(headersSeparator string) error {
	for _, pair := range [][4]string{
		{"headers.delimiter", r.headersDelimiter, "headers.separator", headersSeparator},
		{"headers.delimiter", r.headersDelimiter, "headers.key.separator", r.headersKeySeparator},
		{"headers.separator", headersSeparator, "headers.key.separator", r.headersKeySeparator},
	} {
		if pair[1] == pair[3] {
			return fmt.Errorf("%s and %s may not be equal", pair[0], pair[2])
		}
	}
	for _, one := range [][2]string{
		{"key.separator", r.keySeparator}, {"headers.separator", headersSeparator},
		{"headers.delimiter", r.headersDelimiter}, {"headers.key.separator", r.headersKeySeparator},
	} {
		if r.isNull([]byte(one[1])) {
			return fmt.Errorf("null.marker and %s may not be equal", one[0])
		}
	}
	return nil
}

func (r *Reader) isNull(p []byte) bool { return r.nullMarker != nil && string(p) == *r.nullMarker }

// Record makes the record of one line. Ownership: the record keeps line's bytes.
func (r *Reader) Record(line []byte) (*kgo.Record, error) {
	r.line++
	rest := line
	record := &kgo.Record{Topic: r.topic}
	var headers []byte
	var err error
	if headers, rest, err = r.part(r.parseHeaders, line, rest, r.headersDelimiter, "headers delimiter"); err != nil {
		return nil, err
	}
	if headers != nil && !r.isNull(headers) {
		if record.Headers, err = r.headers(headers); err != nil {
			return nil, err
		}
	}
	var key []byte
	if key, rest, err = r.part(r.parseKey, line, rest, r.keySeparator, "key separator"); err != nil {
		return nil, err
	}
	if key != nil && !r.isNull(key) {
		record.Key = key
	}
	if !r.isNull(rest) {
		record.Value = rest[:len(rest):len(rest)]
		if record.Value == nil {
			record.Value = []byte{}
		}
	}
	return record, nil
}

// part takes what stands before the separator off rest. Nil: the part is not
// wanted, or not there although it may be missing.
func (r *Reader) part(wanted bool, line, rest []byte, separator, name string) (part, left []byte, err error) {
	if !wanted {
		return nil, rest, nil
	}
	before, after, found := bytes.Cut(rest, []byte(separator))
	switch {
	case found:
		return before[:len(before):len(before)], after, nil
	case r.ignoreError:
		return nil, rest, nil
	}
	return nil, nil, fmt.Errorf("No %s found on line number %d: '%s'", name, r.line, line)
}

func (r *Reader) headers(text []byte) ([]kgo.RecordHeader, error) {
	pairs := r.headersSeparator.Split(string(text), -1)
	for len(pairs) > 1 && pairs[len(pairs)-1] == "" { // as Java splits
		pairs = pairs[:len(pairs)-1]
	}
	headers := make([]kgo.RecordHeader, 0, len(pairs))
	for _, pair := range pairs {
		key, value, found := bytes.Cut([]byte(pair), []byte(r.headersKeySeparator))
		switch {
		case !found && r.ignoreError:
			headers = append(headers, kgo.RecordHeader{Key: pair})
			continue
		case !found:
			return nil, fmt.Errorf("No header key separator found in pair '%s' on line number %d", pair, r.line)
		case r.isNull(key):
			return nil, fmt.Errorf("Header keys should not be equal to the null marker '%s' as they can't be null", key)
		case r.isNull(value):
			value = nil
		}
		headers = append(headers, kgo.RecordHeader{Key: string(key), Value: value})
	}
	return headers, nil
}

// readLine reads up to \n, \r or \r\n, which it leaves out, as Java's readLine
// does. Ownership: the line is the caller's.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		c, err := in.ReadByte()
		if errors.Is(err, io.EOF) && line != nil {
			return line, nil
		}
		if err != nil {
			return nil, err
		}
		if line == nil {
			line = []byte{}
		}
		switch c {
		case '\n':
			return line, nil
		case '\r':
			if next, err := in.Peek(1); err == nil && next[0] == '\n' {
				in.Discard(1) //nolint:errcheck // it was peeked at
			}
			return line, nil
		}
		line = append(line, c)
	}
}
