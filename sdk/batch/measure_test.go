package batch

import (
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/fuzz"
)

func TestMeasureCountsWhatIsHeld(t *testing.T) {
	var b Builder
	b.Append(1, []byte("k"), []byte("v"), []Header{{Key: "a", Value: []byte("1")}, {Key: "", Value: nil}})
	b.Append(2, nil, nil, nil)
	b.Append(3, nil, []byte(strings.Repeat("x", 100_000)), []Header{{Key: strings.Repeat("n", 300)}})
	plain := b.Len() - HeaderSize
	for codec := range Zstd + 1 {
		o := NoProducer()
		o.Codec = codec
		whole, err := b.Finish(o)
		if err != nil {
			t.Fatal(err)
		}
		// 2 and 2 for the first, 1 and 1 for the empty one, 2, 300 and 1 for the long one.
		want := Size{Bytes: plain, Records: 3, Headers: 3, Named: 4 + 2 + 303}
		if got, err := Measure(whole, 1<<20, nil); err != nil || got != want {
			t.Errorf("%s: measured %+v, %v, want %+v", codec, got, err, want)
		}
		if codec == None {
			continue
		}
		if _, err := Measure(whole, 50_000, nil); !errors.Is(err, ErrSize) {
			t.Errorf("%s: what may be 50 kB large has more, and the error is %v", codec, err)
		}
	}
	section := b.buf[HeaderSize:]
	for name, test := range map[string]struct {
		section []byte
		count   int32
		fail    error
	}{
		"more than there are":        {section, 4, ErrRecord},
		"fewer":                      {section, 2, ErrCount},
		"cut":                        {section[:len(section)-1], 3, ErrRecord},
		"headers that are not there": {[]byte{14, 0, 0, 0, 1, 1, 100, 0}, 1, ErrRecord},
		"two billion records":        {section, 1 << 30, ErrRecord},
	} {
		if _, err := Count(test.section, test.count); !errors.Is(err, test.fail) {
			t.Errorf("%s: %v, want %v", name, err, test.fail)
		}
	}
}

// FuzzCount: what Count accepts is what a reader reads, and it never finds fewer headers.
func FuzzCount(f *testing.F) {
	var b Builder
	b.Append(1, []byte("k"), []byte("v"), []Header{{Key: "a", Value: []byte("1")}})
	b.Append(2, nil, nil, nil)
	f.Add(b.buf[HeaderSize:], int32(2))
	fuzz.Run(f, func(t *testing.T, section []byte, count int32) {
		size, err := Count(section, count)
		reader, records, headers := Walk(section, count), 0, 0
		room := make([]Header, 0, size.Headers)
		reader.Collect(room)
		var seen [][]Header
		for reader.Next() {
			records++
			headers += len(reader.Record().Headers)
			seen = append(seen, reader.Record().Headers)
		}
		if reader.Err() != nil {
			return
		}
		if err != nil || size.Records != records || size.Headers != headers {
			t.Fatalf("counted %+v, %v; a reader finds %d records with %d headers", size, err, records, headers)
		}
		at := 0
		for _, list := range seen {
			if len(list) > 0 && &list[0] != &room[:headers][at] {
				t.Fatal("a list of headers lies outside of the room for all of them")
			}
			at += len(list)
		}
	})
}
