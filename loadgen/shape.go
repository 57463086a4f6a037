package loadgen

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"

	"github.com/millrace/millrace/sdk/batch"
)

// stampSize is how many bytes at the start of a value hold the moment at which the
// record was due, in nanoseconds since 1970.
const stampSize = 8

// A shape goes round this many different values at most, and fewer when they are large:
// the values of one connection stay within a few MiB.
const (
	ring      = 1 << 12
	ringBytes = 4 << 20
	keyRing   = 1 << 14
)

// shape makes the records of one connection. Owned by that connection's loop.
type shape struct {
	values [][]byte
	keys   [][]byte // nil: no keys
	next   int
	mean   float64 // size of a value
}

func newShape(v Value, k Key, seed uint64) (*shape, error) {
	random := rand.New(rand.NewPCG(seed, 1))
	s := &shape{}
	var err error
	if s.values, err = makeValues(v, random); err != nil {
		return nil, err
	}
	total := 0
	for _, value := range s.values {
		total += len(value)
	}
	s.mean = float64(total) / float64(len(s.values))
	s.keys = makeKeys(k, seed)
	return s, nil
}

func makeValues(v Value, random *rand.Rand) ([][]byte, error) {
	if v.File != "" {
		return linesOf(v.File)
	}
	values := make([][]byte, min(ring, max(variations, ringBytes/max(v.Size, v.Max))))
	for i := range values {
		size := v.Size
		if size == 0 {
			size = v.Min + random.IntN(v.Max-v.Min+1)
		}
		values[i] = makeValue(size, v.Compressibility, random)
		middle := values[i][max(stampSize, (size-v.Digits)/2):]
		for d := range v.Digits {
			middle[d] = '0' + byte(random.IntN(10))
		}
	}
	return values, nil
}

// filler is what the compressible part of a value repeats.
const filler = "the mill race turns the wheel and the wheel turns the stone "

// makeValue returns random bytes, but for the given share that is the same text in
// every value.
func makeValue(size int, compressibility float64, random *rand.Rand) []byte {
	value := make([]byte, size)
	hard := size - int(float64(size)*compressibility)
	for i := range value {
		if i < max(hard, stampSize) {
			value[i] = byte(random.Uint32())
		} else {
			value[i] = filler[i%len(filler)]
		}
	}
	return value
}

func linesOf(path string) ([][]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read values: %w", err)
	}
	lines := bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n"))
	if len(lines) == 1 && len(lines[0]) == 0 {
		return nil, fmt.Errorf("read values: %s is empty", path)
	}
	return lines, nil
}

// makeKeys draws keys with the given distribution: which are popular is the same for
// every connection, the order is not.
func makeKeys(k Key, seed uint64) [][]byte {
	if k.Kind == KeyNone {
		return nil
	}
	draw := drawKey(k, seed)
	keys := make([][]byte, keyRing)
	for i := range keys {
		text := fmt.Appendf(nil, "%0*d", k.Size, draw())
		keys[i] = text[len(text)-k.Size:]
	}
	return keys
}

func drawKey(k Key, seed uint64) func() uint64 {
	random := rand.New(rand.NewPCG(seed, 2))
	if k.Kind == KeyZipf {
		return rand.NewZipf(random, k.Skew, 1, uint64(k.Count-1)).Uint64
	}
	return func() uint64 { return random.Uint64N(uint64(k.Count)) }
}

// record returns the next value and key.
func (s *shape) record() (key, value []byte) {
	s.next++
	if s.keys != nil {
		key = s.keys[s.next%len(s.keys)]
	}
	return key, s.values[s.next%len(s.values)]
}

// recordsOf is how many records of mean size fit a batch of so many bytes.
func (s *shape) recordsOf(size int) int {
	keySize := 0
	if s.keys != nil {
		keySize = len(s.keys[0])
	}
	one := int(s.mean) + keySize + recordOverhead(int(s.mean), keySize)
	return max(1, (size-batch.HeaderSize)/one)
}

// recordOverhead is what the framing of a record takes in a batch of typical size:
// length, attributes, timestamp and offset delta, key and value length, header count.
func recordOverhead(value, key int) int {
	return varintSize(value+key+8) + 1 + 1 + 2 + varintSize(key) + varintSize(value) + 1
}

func varintSize(n int) int { return len(binary.AppendVarint(nil, int64(n))) }

// template is a batch that was built once. Its times, producer and stamps are new in
// every copy that is sent.
type template struct {
	data   []byte
	stamps []int // where each value begins; nil when the values are compressed or short
	count  int
	bytes  int // of record values
}

func newTemplate(s *shape, count int, codec batch.Codec) (*template, error) {
	var b batch.Builder
	t := &template{count: count}
	stamped := codec == batch.None
	for range count {
		key, value := s.record()
		if len(value) < stampSize {
			stamped = false
		}
		t.bytes += len(value)
		b.Append(0, key, value, nil)
		if stamped {
			t.stamps = append(t.stamps, b.Len()-1-len(value)) // one byte follows: no headers
		}
	}
	if !stamped {
		t.stamps = nil
	}
	o := batch.NoProducer()
	o.Codec = codec
	built, err := b.Finish(o)
	if err != nil {
		return nil, fmt.Errorf("build a batch: %w", err)
	}
	t.data = bytes.Clone(built)
	return t, nil
}

// producerState is the idempotent producer behind a connection. The zero value with id −1
// is none.
type producerState struct {
	id    int64
	epoch int16
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stamp gives a copy of the batch its times, producer and sequence, and one new CRC for
// all of them. Offsets of the fields: see package batch.
func stamp(b []byte, millis int64, p producerState, sequence int32) {
	spread := int64(binary.BigEndian.Uint64(b[35:])) - int64(binary.BigEndian.Uint64(b[27:]))
	binary.BigEndian.PutUint64(b[27:], uint64(millis))
	binary.BigEndian.PutUint64(b[35:], uint64(millis+spread))
	binary.BigEndian.PutUint64(b[43:], uint64(p.id))
	binary.BigEndian.PutUint16(b[51:], uint16(p.epoch))
	binary.BigEndian.PutUint32(b[53:], uint32(sequence))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
}

// copyTo appends the batch to p, as one that is sent for records due at that moment.
func (t *template) copyTo(p []byte, c *clock, due int64, producer producerState, sequence int32) []byte {
	at := len(p)
	p = append(p, t.data...)
	copied := p[at:]
	for _, value := range t.stamps {
		binary.BigEndian.PutUint64(copied[value:], uint64(c.epoch+due))
	}
	stamp(copied, c.wall(due), producer, sequence)
	return p
}
