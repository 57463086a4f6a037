package sdktest

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"github.com/millrace/millrace/sdk/batch"
)

// Golden is a batch as a producer sends it.
type Golden struct {
	Name  string
	Batch batch.Batch
}

// Record is a record of a batch of a test.
type Record struct {
	Key, Value []byte // nil: null
	Headers    []batch.Header
}

// largest is the bytes of the largest record: what brokers take unless they are told otherwise.
const largest = 1 << 20

// shapes are the records that batches are made of, to be read alone.
var shapes = sync.OnceValue(func() map[string][]Record {
	var many []Record
	for i := range 149 {
		many = append(many, Record{Key: fmt.Appendf(nil, "key-%03d", i), Value: fmt.Appendf(nil, `{"id":%d,"card":"4111111111111111","text":"%s"}`, i, strings.Repeat("x", 50))})
	}
	var huge []Record
	for i := range 2000 {
		huge = append(huge, Record{Key: fmt.Appendf(nil, "%d", i%7), Value: bytes.Repeat([]byte{byte(i)}, 100)})
	}
	return map[string][]Record{
		"one":     {{Key: []byte("k"), Value: []byte("v")}},
		"nulls":   {{}, {Key: []byte("k")}, {Value: []byte("v")}, {Key: []byte{}, Value: []byte{}}},
		"headers": {{Value: []byte("v"), Headers: []batch.Header{{Key: "a", Value: []byte("1")}, {Key: "a"}, {Key: "", Value: []byte{}}, {Key: "traceparent", Value: []byte("00-x-y-01")}}}, {Value: []byte("w")}},
		"many":    many,
		"parts":   huge,
		"large":   {{Value: []byte("before")}, {Key: []byte("k"), Value: bytes.Repeat([]byte("0123456789abcdef"), largest/16)}, {Value: []byte("behind")}},
		"hostile": hostile(),
	}
})

// hostile are values that a plugin may stumble over.
func hostile() []Record {
	var all []Record
	for _, v := range []string{
		"", "{", "[", `{"a":`, `{"a":{"a":{"a":{}}}}`, "null", "\x00", "\xff\xfe\xfd", "\x00\x00\x00\x00\x01", "\x00\xff\xff\xff\xff rest",
		strings.Repeat("[", 10_000), strings.Repeat("9", 1000), "1e999999", `"\ud800"`, `{"card":"41111111111111`, "4111111111111111", "��",
		`{"a":1,"a":2}`, strings.Repeat("é", 500), "-", "+Inf", "2026-02-30T25:61:61Z",
	} {
		all = append(all, Record{Key: []byte(v), Value: []byte(v), Headers: []batch.Header{{Key: "h", Value: []byte(v)}}})
	}
	return all
}

// Goldens are batches of all shapes: with each codec, from an idempotent producer and in a
// transaction; the largest with each codec, too; and one that has no records left.
func Goldens() []Golden {
	var all []Golden
	for name, records := range shapes() {
		for codec := batch.None; codec <= batch.Zstd; codec++ {
			if codec != batch.None && name != "one" && name != "many" && name != "headers" && name != "large" {
				continue
			}
			o := batch.NoProducer()
			o.Codec = codec
			all = append(all, Golden{name + " " + codec.String(), build(records, o)})
		}
		o := batch.BatchOptions{ProducerID: 4000, ProducerEpoch: 2, BaseSequence: 1<<31 - 2, LeaderEpoch: -1}
		all = append(all, Golden{name + " idempotent", build(records, o)})
		all = append(all, emptied(name, o)...)
		o.Transactional = true
		all = append(all, Golden{name + " transactional", build(records, o)})
	}
	return all
}

// emptied is, of one shape, the batch that is left when a plugin before has dropped every record: a header, which
// keeps what brokers know of the producer.
func emptied(name string, o batch.BatchOptions) []Golden {
	if name != "many" {
		return nil
	}
	return []Golden{{"empty", batch.Empty(nil, build(shapes()[name], o))}}
}

func build(records []Record, o batch.BatchOptions) batch.Batch {
	var builder batch.Builder
	for i, r := range records {
		builder.Append(1_700_000_000_000+int64(i/3), r.Key, r.Value, r.Headers)
	}
	built, err := builder.Finish(o)
	if err != nil {
		panic(err) // the shapes are ours
	}
	return built
}
