// Package sample makes the records that clients write and read back.
package sample

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
)

// A Record is one record, whatever the client calls its parts. A nil key or value is Kafka's null.
type Record struct {
	Key, Value []byte
}

// Mixed makes n records: text that compresses well, and noise that does not, from no bytes to 4 KiB.
func Mixed(seed uint64, n int) []Record {
	random := rand.New(rand.NewPCG(seed, 1))
	records := make([]Record, n)
	for i := range records {
		value := make([]byte, random.IntN(4096))
		if i%2 == 0 {
			for j := range value {
				value[j] = byte(random.Uint32())
			}
		} else {
			copy(value, strings.Repeat(fmt.Sprintf("line %d of a log that repeats itself\n", i), 128))
		}
		records[i] = Record{Key: fmt.Appendf(nil, "key-%d", i%17), Value: value}
	}
	return records
}

// Noise is n bytes that do not compress.
func Noise(seed uint64, n int) []byte {
	random := rand.New(rand.NewPCG(seed, 2))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(random.Uint32())
	}
	return p
}

// ForeignCount is how many records the topic holds that every client reads; a fifth with each codec.
const ForeignCount = 500

// ForeignBase is the timestamp of the first of them; each next one is a second later.
const ForeignBase = 1_700_000_000_000

// Foreign is record i of that topic. The programs in other languages make the same bytes.
func Foreign(i int) Record {
	r := Record{Value: fmt.Appendf(nil, "record-%06d-%s", i, strings.Repeat("abcdefghij", i%50))}
	if i%10 != 0 {
		r.Key = fmt.Appendf(nil, "key-%d", i%7)
	}
	return r
}

// Differ says how two records differ, or nothing when they are the same.
func Differ(got, want Record) error {
	switch {
	case (got.Key == nil) != (want.Key == nil) || !bytes.Equal(got.Key, want.Key):
		return fmt.Errorf("key %q, want %q", got.Key, want.Key)
	case (got.Value == nil) != (want.Value == nil) || !bytes.Equal(got.Value, want.Value):
		return fmt.Errorf("value of %d bytes differs from the %d bytes sent", len(got.Value), len(want.Value))
	}
	return nil
}
