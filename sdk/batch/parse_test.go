package batch

import (
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/millrace/millrace/engine/fuzz"
)

// parsePlainly is parse as one would write it first.
func parsePlainly(p []byte) (r Record, ok bool) {
	if len(p) == 0 {
		return r, false
	}
	r.Attributes, p = int8(p[0]), p[1:]
	var n int
	if r.TimestampDelta, n = binary.Varint(p); n <= 0 {
		return r, false
	}
	p = p[n:]
	offset, n := binary.Varint(p)
	if n <= 0 || offset != int64(int32(offset)) {
		return r, false
	}
	r.OffsetDelta, p = int32(offset), p[n:]
	if r.Key, p, ok = cutNullable(p); !ok {
		return r, false
	}
	if r.Value, p, ok = cutNullable(p); !ok {
		return r, false
	}
	count, n := binary.Varint(p)
	if n <= 0 || count < 0 || count > int64(len(p)-n)/2 {
		return r, false
	}
	p = p[n:]
	for range count {
		key, rest, ok := cut(p)
		if !ok {
			return r, false
		}
		h := Header{Key: string(key)}
		if h.Value, p, ok = cutNullable(rest); !ok {
			return r, false
		}
		r.Headers = append(r.Headers, h)
	}
	return r, len(p) == 0
}

// Whatever a record is made of, both ways to parse it agree.
func FuzzParse(f *testing.F) {
	whole := AppendRecord(nil, 1000, 300, []byte("key"), nil, []Header{{Key: "h", Value: []byte("x")}, {Key: "", Value: nil}})
	_, n := binary.Varint(whole)
	f.Add(whole[n:])
	for i := range whole[n:] {
		spoilt := append([]byte(nil), whole[n:]...)
		for _, b := range []byte{0, 1, 2, 0x7f, 0x80, 0xff} {
			spoilt[i] = b
			f.Add(append([]byte(nil), spoilt...))
		}
		f.Add(whole[n : n+i])
	}
	fuzz.Run(f, func(t *testing.T, p []byte) {
		want, fine := parsePlainly(p)
		var got Record
		var names Names
		if ok := got.parse(p, &names); ok != fine {
			t.Fatalf("parsed: %v, want %v: %x", ok, fine, p)
		}
		if fine && (!reflect.DeepEqual(got.Key, want.Key) || !reflect.DeepEqual(got.Value, want.Value) || got.OffsetDelta != want.OffsetDelta ||
			got.TimestampDelta != want.TimestampDelta || len(got.Headers) != len(want.Headers) || len(want.Headers) > 0 && !reflect.DeepEqual(got.Headers, want.Headers)) {
			t.Fatalf("parsed %+v, want %+v: %x", got, want, p)
		}
	})
}
