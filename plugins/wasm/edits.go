package wasm

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

const (
	maxTopic   = 249
	maxHeaders = 1 << 10 // of one record
	maxKeys    = 256     // header keys that are remembered
	maxKept    = 1 << 14 // edits and headers whose room is kept for the next batch
)

// edits reads lists of edits, of which a batch may have several, and keeps what they say until
// all of them are read. After the first mistake bad says what it was, and everything reads as
// nothing.
type edits struct {
	p    []byte
	at   int
	bad  string
	keys map[string]string // header keys seen before, so that they are not copied again

	all     []edit
	headers []batch.Header // of all
}

// forget ends a batch.
func (e *edits) forget() {
	clear(e.all) // they point into memory that others get
	clear(e.headers)
	if e.all, e.headers = e.all[:0], e.headers[:0]; cap(e.all) > maxKept || cap(e.headers) > maxKept {
		e.all, e.headers = nil, nil
	}
}

func (e *edits) wrong(what string) {
	if e.bad == "" {
		e.bad = fmt.Sprintf("%s before byte %d of its list of edits", what, e.at)
	}
	e.at = len(e.p)
}

func (e *edits) u32() uint32 {
	if len(e.p)-e.at < 4 {
		e.wrong("a number is cut short")
		return 0
	}
	e.at += 4
	return binary.LittleEndian.Uint32(e.p[e.at-4:])
}

// bytes reads a length and so many bytes; nullable ones may be nil.
func (e *edits) bytes(nullable bool, most uint32) []byte {
	n := e.u32()
	switch {
	case n == abi.Null && nullable:
		return nil
	case n > most || uint64(n) > uint64(len(e.p)-e.at):
		e.wrong("something is longer than it may be")
		return nil
	}
	e.at += int(n)
	return e.p[e.at-int(n) : e.at : e.at]
}

// edit is one of a list.
type edit struct {
	record  int // of the batch
	fate    byte
	has     byte
	key     []byte
	value   []byte // or the topic, or the reason
	headers []batch.Header
}

// next reads an edit of a record behind last, of which there are count, into d.
func (e *edits) next(d *edit, last int64, count int) (record uint32) {
	record = e.u32()
	what := e.u32()
	d.fate, d.has = byte(what), byte(what>>8)
	switch {
	case what>>16 != 0 || d.fate < abi.Edit || d.fate > abi.Fault || d.fate != abi.Edit && d.has != 0 || d.has > abi.HasKey|abi.HasValue|abi.HasHeaders|abi.AddHeaders:
		e.wrong("there is a fate that does not exist")
	case d.fate >= abi.Reject && record != abi.Null:
		e.wrong("a batch is rejected by one of its records")
	case d.fate < abi.Reject && (int64(record) <= last || int64(record) >= int64(count)):
		e.wrong("records are not in order, there twice or not there")
	case d.has&abi.HasHeaders != 0 && d.has&abi.AddHeaders != 0:
		e.wrong("headers are both replaced and added")
	}
	switch d.fate {
	case abi.Edit:
		if d.has&abi.HasKey != 0 {
			d.key = e.bytes(true, abi.Null-1)
		}
		if d.has&abi.HasValue != 0 {
			d.value = e.bytes(true, abi.Null-1)
		}
		if d.has&(abi.HasHeaders|abi.AddHeaders) != 0 {
			d.headers = e.readHeaders()
		}
	case abi.Route:
		if d.value = e.bytes(false, maxTopic); !topicName(d.value) {
			e.wrong("a record is routed to what is no name of a topic")
		}
	case abi.Fail, abi.Reject, abi.Fault:
		d.value = e.bytes(false, abi.MaxReason)
	}
	return record
}

func (e *edits) readHeaders() []batch.Header {
	n := e.u32()
	if n > maxHeaders || uint64(n)*8 > uint64(len(e.p)-e.at) {
		e.wrong("there are more headers than there may be")
		return nil
	}
	from := len(e.headers)
	for range n {
		key := e.bytes(false, abi.Null-1)
		if !utf8.Valid(key) {
			e.wrong("the key of a header is not UTF-8")
		}
		e.headers = append(e.headers, batch.Header{Key: e.name(key), Value: e.bytes(true, abi.Null-1)})
	}
	return e.headers[from:len(e.headers):len(e.headers)]
}

// name is key as a string.
func (e *edits) name(key []byte) string {
	if known, ok := e.keys[string(key)]; ok {
		return known
	}
	if e.keys == nil || len(e.keys) >= maxKeys {
		e.keys = make(map[string]string)
	}
	text := string(key)
	e.keys[text] = text
	return text
}

func topicName(p []byte) bool {
	for _, c := range p {
		if c != '.' && c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(p) > 0 && string(p) != "." && string(p) != ".."
}

// read reads a list about count records of the batch, from first on, and keeps its edits. The
// error is a *sdk.Rejection when the list rejects the batch, wraps ErrGuest when the guest gave
// up, and else ErrOutput.
//
// Ownership: the edits point into list.
func (e *edits) read(list []byte, count, first int) error {
	e.p, e.at, e.bad = list, 0, ""
	if e.u32() != abi.EditsMagic {
		e.wrong("there is no magic")
	}
	n := e.u32()
	if int64(n) > int64(count) && n != 1 {
		e.wrong("there are more edits than records")
	}
	last := int64(-1)
	var answer error
	for range n {
		e.all = append(e.all, edit{})
		d := &e.all[len(e.all)-1]
		record := e.next(d, last, count)
		if d.fate >= abi.Reject && n != 1 {
			e.wrong("a rejection is not alone")
		}
		if e.bad != "" {
			break
		}
		last, d.record = int64(record), first+int(record)
		switch d.fate {
		case abi.Reject:
			answer = sdk.Reject(readable(d.value))
		case abi.Fault:
			answer = fmt.Errorf("%w: %s", ErrGuest, readable(d.value))
		}
	}
	if e.bad == "" && e.at != len(e.p) {
		e.wrong("there are bytes behind the last edit")
	}
	if e.bad != "" {
		return fmt.Errorf("%s: %w", e.bad, ErrOutput)
	}
	return answer
}

// apply does to b what has been read.
func (e *edits) apply(b *sdk.Batch) {
	for i := range e.all {
		d := &e.all[i]
		switch d.fate {
		case abi.Edit:
			e.change(b, d)
		case abi.Drop:
			b.Drop(d.record)
		case abi.Route:
			b.Route(d.record, e.name(d.value))
		case abi.Fail:
			b.Fail(d.record, readable(d.value))
		}
	}
}

func (e *edits) change(b *sdk.Batch, d *edit) {
	if d.has&abi.HasValue != 0 {
		b.SetValue(d.record, d.value)
	}
	if d.has&abi.HasKey != 0 {
		b.SetKey(d.record, d.key)
	}
	if d.has&abi.HasHeaders != 0 {
		b.SetHeaders(d.record, append([]batch.Header(nil), d.headers...))
	}
	if d.has&abi.AddHeaders != 0 {
		for _, h := range d.headers {
			b.AddHeader(d.record, h.Key, h.Value)
		}
	}
}

// readable is text of a guest that a person is to read.
func readable(p []byte) string {
	return strings.ToValidUTF8(string(p[:min(len(p), abi.MaxReason)]), "?")
}
