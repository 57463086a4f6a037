package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/fuzz"
)

var codecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

func build(t testing.TB, c Codec, n int) Batch {
	t.Helper()
	var b Builder
	for i := range n {
		b.Append(int64(1000+i), fmt.Appendf(nil, "key-%d", i), bytes.Repeat([]byte{byte(i)}, i%50), []Header{{"h", []byte("v")}, {"null", nil}})
	}
	o := NoProducer()
	o.Codec = c
	out, err := b.Finish(o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEveryCodecGivesBackWhatWasAppended(t *testing.T) {
	for _, c := range codecs {
		t.Run(c.String(), func(t *testing.T) {
			b := build(t, c, 500)
			if err := b.Check(); err != nil {
				t.Fatal(err)
			}
			r, err := b.Records(nil, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			i := 0
			for ; r.Next(); i++ {
				got := r.Record()
				if want := fmt.Sprintf("key-%d", i); string(got.Key) != want || len(got.Value) != i%50 || got.OffsetDelta != int32(i) || got.TimestampDelta != int64(i) {
					t.Fatalf("record %d is %+v", i, got)
				}
				if len(got.Headers) != 2 || got.Headers[0].Key != "h" || got.Headers[1].Value != nil {
					t.Fatalf("headers of record %d are %+v", i, got.Headers)
				}
			}
			if r.Err() != nil || i != 500 {
				t.Fatalf("read %d records, then %v", i, r.Err())
			}
		})
	}
}

// kmsg is an independent implementation of the format.
func TestBuilderAgreesWithKmsg(t *testing.T) {
	b := build(t, None, 3)
	var other kmsg.RecordBatch
	if err := other.ReadFrom(b); err != nil {
		t.Fatal(err)
	}
	if other.NumRecords != 3 || other.LastOffsetDelta != 2 || other.FirstTimestamp != 1000 || other.MaxTimestamp != 1002 ||
		other.ProducerID != -1 || other.Magic != 2 || uint32(other.CRC) != b.CRC() || int(other.Length) != len(b)-12 {
		t.Fatalf("kmsg reads %+v", other)
	}
	if again := other.AppendTo(nil); !bytes.Equal(again, b) {
		t.Fatalf("kmsg writes\n%x, want\n%x", again, []byte(b))
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(Batch) Batch
		want  error
	}{
		"whole":              {func(b Batch) Batch { return b }, nil},
		"cut short":          {func(b Batch) Batch { return b[:len(b)-1] }, ErrShort},
		"shorter than a bit": {func(b Batch) Batch { return b[:5] }, ErrShort},
		"something behind":   {func(b Batch) Batch { return append(b, 0) }, ErrLength},
		"old magic":          {func(b Batch) Batch { b[16] = 1; return b }, ErrMagic},
		"flipped bit":        {func(b Batch) Batch { b[len(b)-1] ^= 1; return b }, ErrCRC},
		"negative length":    {func(b Batch) Batch { b[8] = 0xff; return b }, ErrLength},
		"unknown codec":      {func(b Batch) Batch { b[22] |= 7; b.seal(); return b }, ErrCodec},
		"negative count":     {func(b Batch) Batch { b[57] = 0xff; b.seal(); return b }, ErrCount},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.spoil(build(t, None, 3)).Check(); !errors.Is(got, test.want) {
				t.Fatalf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestDecompressStopsAtItsBound(t *testing.T) {
	zeros := make([]byte, 10<<20)
	for _, c := range codecs {
		packed, err := Compress(nil, c, DefaultLevel, zeros)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decompress(nil, c, packed, 1<<20); !errors.Is(err, ErrSize) {
			t.Errorf("%s: a bomb gave %v", c, err)
		}
		got, err := Decompress([]byte("before"), c, packed, len(zeros))
		if err != nil || !bytes.Equal(got, append([]byte("before"), zeros...)) {
			t.Errorf("%s: at the bound: %d bytes, %v", c, len(got), err)
		}
	}
}

func TestCheckRecords(t *testing.T) {
	good := []byte(build(t, None, 5)[HeaderSize:])
	var keyless Builder
	keyless.Append(1, nil, []byte("v"), nil)
	bare, _ := keyless.Finish(NoProducer())
	var gap Builder
	gap.AppendAt(1, 1, nil, nil, nil)
	gapped, _ := gap.Finish(NoProducer())
	for name, test := range map[string]struct {
		records []byte
		count   int32
		keys    bool
		want    error
	}{
		"whole":             {good, 5, true, nil},
		"one too few":       {good, 6, false, ErrRecord},
		"one too many":      {good, 4, false, ErrCount},
		"cut short":         {good[:len(good)-1], 5, false, ErrRecord},
		"no key":            {bare[HeaderSize:], 1, true, ErrKey},
		"no key is needed":  {bare[HeaderSize:], 1, false, nil},
		"a gap in offsets":  {gapped[HeaderSize:], 1, false, ErrCount},
		"nothing, as meant": {nil, 0, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := CheckRecords(test.records, test.count, test.keys); !errors.Is(got, test.want) {
				t.Fatalf("got %v, want %v", got, test.want)
			}
		})
	}
}

// checkPlainly is CheckRecords as one would write it first.
func checkPlainly(records []byte, count int32, keys bool) error {
	for delta := range count {
		body, rest, ok := cut(records)
		if !ok || len(body) == 0 {
			return ErrRecord
		}
		records, body = rest, body[1:]
		_, n := binary.Varint(body)
		if n <= 0 {
			return ErrRecord
		}
		offset, m := binary.Varint(body[n:])
		if m <= 0 || offset != int64(delta) {
			return ErrCount
		}
		key, tail, ok := cutNullable(body[n+m:])
		if !ok {
			return ErrRecord
		}
		if keys && key == nil {
			return ErrKey
		}
		if _, _, ok := cutNullable(tail); !ok {
			return ErrRecord
		}
	}
	if len(records) != 0 {
		return ErrCount
	}
	return nil
}

// Whatever is done to records, both ways to check them agree: with timestamps of each
// length, with and without headers.
func TestCheckRecordsAgreesWithThePlainWay(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	seen := map[error]int{}
	for _, latest := range []int64{1, 1 << 7, 1 << 14, 1 << 21, 1 << 40} {
		var b Builder
		for i := range 90 {
			key := make([]byte, random.IntN(3)*random.IntN(90))
			if i%3 == 0 {
				key = nil
			}
			headers := []Header{{Key: "k", Value: make([]byte, random.IntN(9))}}[:random.IntN(2)]
			b.Append(random.Int64N(latest), key, make([]byte, random.IntN(200)), headers)
		}
		built, err := b.Finish(NoProducer())
		if err != nil {
			t.Fatal(err)
		}
		agree(t, random, built[HeaderSize:], seen)
	}
	if len(seen) != 4 {
		t.Fatalf("only %v were seen", seen)
	}
}

// agree spoils 90 good records again and again, and counts what is said about them.
func agree(t *testing.T, random *rand.Rand, good []byte, seen map[error]int) {
	for range 30_000 {
		spoilt := bytes.Clone(good)
		for range random.IntN(3) {
			spoilt[random.IntN(len(spoilt))] = []byte{0, 1, 0x7f, 0x80, 0xff, byte(random.Uint32())}[random.IntN(6)]
		}
		if random.IntN(4) == 0 {
			spoilt = spoilt[:random.IntN(len(spoilt))]
		}
		count, keys := 90-int32(random.IntN(10)/9), random.IntN(2) == 0
		want := checkPlainly(spoilt, count, keys)
		seen[want]++
		if got := CheckRecords(spoilt, count, keys); got != want {
			t.Fatalf("got %v, want %v of %x", got, want, spoilt)
		}
	}
}

// Offsets and sizes of more than two bytes are checked as all others are.
func TestCheckRecordsOfLongNumbers(t *testing.T) {
	var b Builder
	for i := range 20_000 {
		b.Append(int64(i), nil, make([]byte, i/19_990*40_000), nil)
	}
	built, err := b.Finish(NoProducer())
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckRecords(built[HeaderSize:], 20_000, false); err != nil {
		t.Fatal(err)
	}
	if err := CheckRecords(built[HeaderSize:], 20_001, false); err != ErrRecord {
		t.Fatalf("%v, want %v", err, ErrRecord)
	}
}

// BenchmarkCheckRecords walks over a batch of 16 KiB with records of 100 bytes.
func BenchmarkCheckRecords(b *testing.B) {
	var built Builder
	for built.Len() < 16<<10 {
		built.Append(int64(built.Count()/8), nil, make([]byte, 100), nil)
	}
	count := int32(built.Count())
	whole, err := built.Finish(NoProducer())
	if err != nil {
		b.Fatal(err)
	}
	records := whole[HeaderSize:]
	b.SetBytes(int64(len(records)))
	for b.Loop() {
		if err := CheckRecords(records, count, false); err != nil {
			b.Fatal(err)
		}
	}
}

func TestSequenceWraps(t *testing.T) {
	if got := AddSequence(math.MaxInt32, 1); got != 0 {
		t.Fatalf("after the last sequence comes %d, want 0", got)
	}
	if got := AddSequence(math.MaxInt32-1, 5); got != 3 {
		t.Fatalf("got %d, want 3", got)
	}
}

func TestStampsKeepTheCRCRight(t *testing.T) {
	b := build(t, None, 3)
	b.Restamp(5000)
	if b.Check() != nil || b.BaseTimestamp() != 5000 || b.MaxTimestamp() != 5002 {
		t.Fatalf("%v %d %d", b.Check(), b.BaseTimestamp(), b.MaxTimestamp())
	}
	b.SetMaxTimestamp(9000)
	if b.Check() != nil || !b.LogAppendTime() || b.MaxTimestamp() != 9000 {
		t.Fatalf("%v %v %d", b.Check(), b.LogAppendTime(), b.MaxTimestamp())
	}
}

func TestBuildingAndReadingAllocateNothing(t *testing.T) {
	var builder Builder
	key, value := []byte("key"), make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		builder.Reset()
		for range 10 {
			builder.Append(1, key, value, nil)
		}
		b, _ := builder.Finish(NoProducer())
		if b.Check() != nil {
			t.Fatal("broken")
		}
		r, _ := b.Records(nil, 1<<20)
		for r.Next() {
		}
	}); n != 0 {
		t.Fatalf("%v allocations, want 0", n)
	}
}

func FuzzRecords(f *testing.F) {
	for _, c := range codecs {
		f.Add([]byte(build(f, c, 5)))
	}
	fuzz.Run(f, func(t *testing.T, data []byte) {
		b := Batch(data)
		if len(data) < HeaderSize {
			if b.Check() == nil {
				t.Fatal("a batch without a header passed")
			}
			return
		}
		// A fuzzer cannot guess a CRC: set length and CRC right so that it gets further.
		data[8], data[9], data[10], data[11] = byte((len(data)-12)>>24), byte((len(data)-12)>>16), byte((len(data)-12)>>8), byte(len(data)-12)
		b.seal()
		if b.Check() != nil {
			return
		}
		r, err := b.Records(nil, 1<<20)
		if err != nil {
			return
		}
		n := int32(0)
		for r.Next() {
			n++
		}
		if r.Err() == nil && n != b.Count() {
			t.Fatalf("%d records without an error, the batch says %d", n, b.Count())
		}
	})
}

func FuzzDecompress(f *testing.F) {
	for _, c := range codecs {
		packed, _ := Compress(nil, c, DefaultLevel, []byte("some text, some text, some text"))
		f.Add(int8(c), packed)
	}
	fuzz.Run(f, func(t *testing.T, c int8, data []byte) {
		out, err := Decompress(nil, Codec(c), data, 1<<16)
		if err == nil && len(out) > 1<<16 {
			t.Fatalf("%d bytes, at most 65536 were allowed", len(out))
		}
	})
}

// The two ways in which a record is encoded agree.
func TestPutIsAppendRecord(t *testing.T) {
	sizes := []int{0, 1, 63, 64, 8191, 8192, 1 << 20, 1<<20 + 1}
	memory := make([]byte, 1<<21)
	for _, key := range sizes[:5] {
		for _, value := range sizes {
			for _, since := range []int64{0, 1, -1, 63, 64, -65, 1 << 40, math.MinInt64, math.MaxInt64} {
				for _, delta := range []int32{0, 63, 64, 8192, math.MaxInt32} {
					k, v := memory[:key], memory[:value]
					if key == 1 {
						k = nil
					}
					if value == 1 {
						v = nil
					}
					want := appendRecord(nil, 0, since, delta, k, v, nil)
					b := Builder{buf: make([]byte, 0, RecordSize(k, v))}
					b.put(since, delta, k, v)
					got := b.buf
					if !bytes.Equal(got, want) {
						t.Fatalf("key of %d, value of %d, since %d, delta %d: got %x, want %x", key, value, since, delta, got[:min(40, len(got))], want[:min(40, len(want))])
					}
				}
			}
		}
	}
}

// cutNullable is cut where a length of −1 means null.
func cutNullable(p []byte) (body, rest []byte, ok bool) {
	size, n := binary.Varint(p)
	if n > 0 && size == -1 {
		return nil, p[n:], true
	}
	return cut(p)
}
