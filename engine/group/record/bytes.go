package record

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/millrace/millrace/engine/group/assign"
)

// writer appends fields as Kafka's flexible messages have them: lengths are varints, one
// more than they say, so that 0 can mean null.
type writer struct{ b []byte }

func (w *writer) int16(v int16)  { w.b = binary.BigEndian.AppendUint16(w.b, uint16(v)) }
func (w *writer) int32(v int32)  { w.b = binary.BigEndian.AppendUint32(w.b, uint32(v)) }
func (w *writer) int64(v int64)  { w.b = binary.BigEndian.AppendUint64(w.b, uint64(v)) }
func (w *writer) length(n int)   { w.b = binary.AppendUvarint(w.b, uint64(n)+1) }
func (w *writer) noTags()        { w.b = append(w.b, 0) }
func (w *writer) bytes(p []byte) { w.length(len(p)); w.b = append(w.b, p...) }

// shortString is the string of keys, which are not flexible.
func (w *writer) shortString(s string) {
	w.int16(int16(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) string(s string) {
	w.length(len(s))
	w.b = append(w.b, s...)
}

func (w *writer) nullable(s *string) {
	if s == nil {
		w.b = append(w.b, 0)
		return
	}
	w.string(*s)
}

// tag begins the only tagged field of a message, number 0, of a size.
func (w *writer) tag(size int) {
	w.b = append(w.b, 1, 0)
	w.b = binary.AppendUvarint(w.b, uint64(size))
}

func (w *writer) assignment(a assign.Assignment) {
	w.length(len(a))
	for i := range a {
		t := &a[i]
		w.b = append(w.b, t.ID[:]...)
		w.ints(t.Partitions)
		if t.Epochs == nil {
			w.noTags()
			continue
		}
		inner := writer{}
		inner.ints(t.Epochs)
		w.tag(len(inner.b))
		w.b = append(w.b, inner.b...)
	}
}

func (w *writer) ints(v []int32) {
	w.length(len(v))
	for _, n := range v {
		w.int32(n)
	}
}

var (
	errShort = errors.New("it ends too early")
	errLong  = errors.New("something follows its end")
	errCount = errors.New("a length is more than what follows")
	errNull  = errors.New("a field is null that must not be")
	errEpoch = errors.New("epochs and partitions are not as many")
)

// reader takes fields off the front; after the first error it gives zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.fail(errShort)
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) byte() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) int16() int16 {
	if p := r.take(2); p != nil {
		return int16(binary.BigEndian.Uint16(p))
	}
	return 0
}

func (r *reader) int32() int32 {
	if p := r.take(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

func (r *reader) int64() int64 {
	if p := r.take(8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > math.MaxInt32 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) shortString() string {
	n := r.int16()
	if n < 0 {
		r.fail(errNull)
		return ""
	}
	return string(r.take(int(n)))
}

// sized reads a length and what it counts; ok is false for null.
func (r *reader) sized() (p []byte, ok bool) {
	n := r.uvarint()
	if n == 0 {
		return nil, false
	}
	return r.take(int(n - 1)), true
}

func (r *reader) string() string {
	p, ok := r.sized()
	if !ok {
		r.fail(errNull)
	}
	return string(p)
}

func (r *reader) nullable() *string {
	p, ok := r.sized()
	if !ok || r.err != nil {
		return nil
	}
	s := string(p)
	return &s
}

func (r *reader) bytes() []byte {
	p, ok := r.sized()
	if !ok {
		r.fail(errNull)
	}
	return append([]byte{}, p...)
}

// count reads how many elements follow, each of at least size bytes; null counts none.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n == 0 {
		return 0
	}
	if int(n-1) > len(r.b)/size {
		r.fail(errCount)
		return 0
	}
	return int(n - 1)
}

func (r *reader) ints() []int32 {
	out := make([]int32, r.count(4))
	for i := range out {
		out[i] = r.int32()
	}
	return out
}

func (r *reader) assignment() assign.Assignment {
	topics := make([]assign.Topic, 0, r.count(18))
	for range cap(topics) {
		var t assign.Topic
		copy(t.ID[:], r.take(16))
		t.Partitions = r.ints()
		r.tags(func(r *reader) { t.Epochs = r.ints() })
		if t.Epochs != nil && len(t.Epochs) != len(t.Partitions) {
			r.fail(errEpoch)
		}
		topics = append(topics, t)
	}
	if r.err != nil {
		return nil
	}
	return assign.Of(topics)
}

// tags reads tagged fields: known reads number 0, if there is one that is known.
func (r *reader) tags(known func(r *reader)) {
	for range r.uvarint() {
		if r.err != nil {
			return
		}
		number := r.uvarint()
		inner := reader{b: r.take(int(r.uvarint()))}
		if r.err != nil || number != 0 || known == nil {
			continue
		}
		if known(&inner); inner.end() != nil {
			r.fail(inner.end())
		}
	}
}

// end returns what was wrong, also when something is left.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		return errLong
	}
	return r.err
}
