package wasm

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

const (
	maxTopic   = 249
	maxHeaders = 1 << 10 // that a guest may add to those of one record
	maxKeys    = 256     // header keys that are remembered
	maxKey     = 64      // bytes of one
	maxKept    = 1 << 10 // headers whose room is kept for the next record
)

// edits does what lists of edits say. After the first mistake in one bad says what it was, and
// everything reads as nothing.
type edits struct {
	p       []byte
	at      int
	bad     string
	keys    map[string]string // header keys seen before, so that they are not copied again
	headers []batch.Header    // of one edit
}

// forget ends a batch, into whose memory a list and its headers point.
func (e *edits) forget() {
	clear(e.headers[:cap(e.headers)]) // an earlier record may have had more than the last
	if e.p, e.headers = nil, e.headers[:0]; cap(e.headers) > maxKept {
		e.headers = nil
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
	fate    byte
	has     byte
	key     []byte
	value   []byte // or the topic, or the reason
	headers []batch.Header
}

// The flags that an edit may have, without and with a table of fields.
const (
	flags       = abi.HasKey | abi.HasValue | abi.HasHeaders | abi.AddHeaders
	fieldsFlags = flags | abi.InPlace

	overwritten = abi.Edit | abi.InPlace<<8 // fate and flags of a value that was written over, and no more
)

// next reads an edit of a record of b behind last into d.
func (e *edits) next(d *edit, last int64, b *sdk.Batch, s *part) (record uint32) {
	record = e.u32()
	what := e.u32()
	d.fate, d.has = byte(what), byte(what>>8)
	allowed := byte(flags)
	if s.now != nil {
		allowed = fieldsFlags
	}
	switch {
	case what>>16 != 0 || d.fate < abi.Edit || d.fate > abi.Fault || d.fate != abi.Edit && d.has != 0 || d.has&^allowed != 0:
		e.wrong("there is a fate that does not exist")
	case d.fate >= abi.Reject && record != abi.Null:
		e.wrong("a batch is rejected by one of its records")
	case d.fate < abi.Reject && (int64(record) <= last || int64(record) >= int64(s.count)):
		e.wrong("records are not in order, there twice or not there")
	case d.has&abi.HasHeaders != 0 && d.has&abi.AddHeaders != 0:
		e.wrong("headers are both replaced and added")
	case d.has&abi.HasValue != 0 && d.has&abi.InPlace != 0:
		e.wrong("a value is both replaced and written over")
	}
	switch d.fate {
	case abi.Edit:
		if d.has&abi.HasKey != 0 {
			d.key = e.bytes(true, abi.Null-1)
		}
		if d.has&abi.HasValue != 0 {
			d.value = e.bytes(true, abi.Null-1)
		}
		if d.has&(abi.HasHeaders|abi.AddHeaders) != 0 && e.bad == "" {
			d.headers = e.readHeaders(b.Original(s.first+int(record)).Headers, d.has&abi.HasHeaders != 0)
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

// readHeaders reads the headers that a record gets, instead of those that came with it or behind them. Whoever
// produced it decides how many came, and what their keys are: a guest may answer them again.
func (e *edits) readHeaders(came []batch.Header, instead bool) []batch.Header {
	n, most := e.u32(), maxHeaders
	if instead {
		most += len(came)
	}
	if int64(n) > int64(most) {
		e.wrong(fmt.Sprintf("a record that came with %d headers gets %d, and may get %d more,", len(came), n, maxHeaders))
		return nil
	}
	if uint64(n)*8 > uint64(len(e.p)-e.at) {
		e.wrong("there are more headers than bytes for them")
		return nil
	}
	e.headers = e.headers[:0]
	for range n {
		key := e.bytes(false, abi.Null-1)
		e.headers = append(e.headers, batch.Header{Key: e.name(key), Value: e.bytes(true, abi.Null-1)})
	}
	if foreign(came, e.headers, func(h *batch.Header) string { return h.Key }) {
		e.wrong("the key of a header is not UTF-8, and did not come with the record,")
	}
	return e.headers
}

// name is key as a string, which is remembered if it is short: guests choose how many there are, and how long.
func (e *edits) name(key []byte) string {
	if len(key) > maxKey {
		return string(key)
	}
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

// apply does to b what the list of a part says. The error is a *sdk.Rejection when it rejects the
// batch, wraps ErrGuest when the guest gave up, and else ErrOutput; then b may have been changed,
// and the caller puts it back.
//
// Ownership: b has bytes of the list from here on, and of the guest's input if the part is the last.
func (e *edits) apply(b *sdk.Batch, s *part) error {
	e.p, e.at, e.bad = s.list, 0, ""
	if e.u32() != abi.EditsMagic {
		e.wrong("there is no magic")
	}
	n := e.u32()
	if int64(n) > int64(s.count) && n != 1 {
		e.wrong("there are more edits than records")
	}
	last, left := int64(-1), s.most-int64(len(s.list))
	var answer error
	var d edit // of which counts what its has names
	for range n {
		if record, over := e.over(last, s); over {
			if left -= e.inPlace(&d, b, s, s.first+int(record), left); e.bad != "" {
				break
			}
			b.SetValue(s.first+int(record), d.value)
			last = record
			continue
		}
		record := e.next(&d, last, b, s)
		if d.fate >= abi.Reject && n != 1 {
			e.wrong("a rejection is not alone")
		}
		if d.has&abi.InPlace != 0 && e.bad == "" {
			left -= e.inPlace(&d, b, s, s.first+int(record), left)
		}
		if e.bad != "" {
			break
		}
		last = int64(record)
		switch d.fate {
		case abi.Edit:
			change(b, s.first+int(record), &d)
		case abi.Reject:
			answer = sdk.Reject(readable(d.value))
		case abi.Fault:
			answer = fmt.Errorf("%w: %s", ErrGuest, readable(d.value))
		default:
			e.do(b, s.first+int(record), &d)
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

// over reads an edit that says no more than that a value was written over, as most do in a batch
// that has any; next reads those as well, and says what is wrong.
func (e *edits) over(last int64, s *part) (record int64, is bool) {
	if s.now == nil || len(e.p)-e.at < 8 {
		return 0, false
	}
	both := binary.LittleEndian.Uint64(e.p[e.at:])
	if record = int64(uint32(both)); both>>32 != overwritten || record <= last || record >= int64(s.count) {
		return 0, false
	}
	e.at += 8
	return record, true
}

// inPlace finds what a guest has made of the value of a record where it was, and says how many
// bytes that are, of which there may be so many.
func (e *edits) inPlace(d *edit, b *sdk.Batch, s *part, record int, most int64) int64 {
	was := b.Original(record).Value
	size, at := len(was), place(s.section, was)
	switch {
	case was == nil:
		e.wrong("null is written over")
	case int64(size) > most:
		e.wrong("more is written over than it may answer")
	case size == 0:
		d.value = []byte{} // and not nil, which is null
	default:
		if d.value = s.now[at : at+size : at+size]; !s.last {
			d.value = append(b.Alloc(size)[:0], d.value...)
		}
	}
	return int64(size)
}

// do does to b what a fate other than edit says.
func (e *edits) do(b *sdk.Batch, record int, d *edit) {
	switch d.fate {
	case abi.Drop:
		b.Drop(record)
	case abi.Route:
		b.Route(record, e.name(d.value))
	case abi.Fail:
		b.Fail(record, readable(d.value))
	}
}

func change(b *sdk.Batch, record int, d *edit) {
	if d.has&(abi.HasValue|abi.InPlace) != 0 {
		b.SetValue(record, d.value)
	}
	if d.has&abi.HasKey != 0 {
		b.SetKey(record, d.key)
	}
	if d.has&abi.HasHeaders != 0 {
		b.SetHeaders(record, append([]batch.Header(nil), d.headers...))
	}
	if d.has&abi.AddHeaders != 0 {
		for _, h := range d.headers {
			b.AddHeader(record, h.Key, h.Value)
		}
	}
}

// readable is text of a guest that a person is to read.
func readable(p []byte) string {
	return strings.ToValidUTF8(string(p[:min(len(p), abi.MaxReason)]), "?")
}
