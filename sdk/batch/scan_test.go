package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"

	"github.com/millrace/millrace/engine/fuzz"
)

// bomb is a batch of one record whose value is zeros, many more than its own bytes.
func bomb(t testing.TB, c Codec, zeros int) Batch {
	t.Helper()
	body := []byte{0, 0, 0, 2, 'k'} // attributes, timestamp, offset, key
	body = binary.AppendVarint(body, int64(zeros))
	begin := append(binary.AppendVarint(nil, int64(len(body)+zeros+1)), body...)
	out := bytes.NewBuffer(make([]byte, HeaderSize))
	w, err := compress(out, c, DefaultLevel)
	if err != nil {
		t.Fatal(err)
	}
	defer w.done()
	write := func(p []byte) {
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	write(begin)
	block := make([]byte, 1<<20)
	for left := zeros; left > 0; left -= len(block) {
		write(block[:min(left, len(block))])
	}
	write([]byte{0}) // no headers
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	o := NoProducer()
	o.Codec = c
	builder := Builder{base: 1000, last: 1000, count: 1, next: 1}
	return builder.header(out.Bytes(), o)
}

// taken is the memory that f takes from the heap, all in all.
func taken(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

const (
	bombSize   = 48 << 20
	bombMemory = 20 << 20 // what decoder and encoder may take for it; pools forget on purpose under the race detector
)

func TestABombIsLookedThroughInAWindow(t *testing.T) {
	for _, c := range codecs[1:] {
		t.Run(c.String(), func(t *testing.T) {
			b := bomb(t, c, bombSize)
			n := taken(func() {
				s, err := Scan(b, ScanOptions{Max: 2 * bombSize, Hold: 1 << 20})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if !s.Next() || s.Head().ValueSize != bombSize || s.Record() != nil || s.Next() || s.Err() != nil {
					t.Fatalf("head %+v, record %v, error %v", *s.Head(), s.Record(), s.Err())
				}
			})
			if n > bombMemory && !raceEnabled {
				t.Errorf("%d bytes of zeros took %d MiB", bombSize, n>>20)
			}
			s, err := Scan(b, ScanOptions{Max: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := s.Check(true); !errors.Is(err, ErrSize) {
				t.Errorf("over the bound: %v", err)
			}
		})
	}
}

func TestABombIsRepackedInAWindow(t *testing.T) {
	for _, from := range codecs[1:] {
		b := bomb(t, from, bombSize)
		for _, to := range codecs {
			t.Run(from.String()+" to "+to.String(), func(t *testing.T) {
				m := &lender{limit: 8 << 20}
				n := taken(func() {
					got, err := Repack(nil, b, RepackOptions{Codec: to, Level: DefaultLevel, MaxSize: 8 << 20, Keys: true, Memory: m})
					if to == None {
						if !errors.Is(err, ErrGrown) {
							t.Fatalf("stored plainly: %v, want %v", err, ErrGrown)
						}
						return
					}
					if err != nil || got.Check() != nil || got.Codec() != to {
						t.Fatalf("%v, %v", err, got.Check())
					}
					m.Return(cap(got))
				})
				if n > 2*bombMemory && !raceEnabled {
					t.Errorf("%d bytes of zeros took %d MiB", bombSize, n>>20)
				}
				if m.lent != 0 {
					t.Errorf("%d bytes were not given back", m.lent)
				}
			})
		}
	}
}

// lender is memory that runs out.
type lender struct{ limit, lent, most int }

var errSpent = errors.New("nothing left")

func (l *lender) Borrow(n int) error {
	if l.lent+n > l.limit {
		return errSpent
	}
	l.lent += n
	l.most = max(l.most, l.lent)
	return nil
}

func (l *lender) Return(n int) { l.lent -= n }

// raw is a batch whose records are one block of snappy, as C clients send it.
func raw(t testing.TB, block []byte) Batch {
	t.Helper()
	o := NoProducer()
	o.Codec = Snappy
	builder := Builder{base: 1000, last: 1000, count: 1, next: 1}
	return builder.header(append(make([]byte, HeaderSize), block...), o)
}

func TestARawBlockOfSnappyIsBorrowed(t *testing.T) {
	var builder Builder
	builder.Append(1000, []byte("k"), make([]byte, 4<<20), nil)
	plain, _ := builder.Finish(NoProducer())
	b := raw(t, s2.EncodeSnappy(nil, plain[HeaderSize:]))
	m := &lender{limit: 5 << 20}
	s, err := Scan(b, ScanOptions{Memory: m})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(true); err != nil || m.lent < 4<<20 {
		t.Errorf("%v, %d bytes lent, want 4 MiB", err, m.lent)
	}
	s.Close()
	if m.lent != 0 {
		t.Errorf("%d bytes were not given back", m.lent)
	}
	s, err = Scan(b, ScanOptions{Memory: &lender{limit: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Check(true); err != errSpent {
		t.Errorf("without memory: %v", err)
	}
}

// A block says in its first bytes how long it is, and memory is taken for that.
func TestABlockOfSnappyThatLies(t *testing.T) {
	lie := append(binary.AppendUvarint(nil, 1<<30), bytes.Repeat([]byte{0xfe, 1, 0}, 100)...)
	b := raw(t, lie)
	n := taken(func() {
		if _, err := Decompress(nil, Snappy, lie, 2<<30); !errors.Is(err, errBlock) {
			t.Errorf("decompress: %v", err)
		}
		s, err := Scan(b, ScanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Check(false); !errors.Is(err, errBlock) {
			t.Errorf("scan: %v", err)
		}
	})
	if n > 1<<20 {
		t.Errorf("a lie took %d bytes", n)
	}
}

func TestScanSeesWhatRecordsSee(t *testing.T) {
	for _, c := range codecs {
		b := build(t, c, 5000)
		for _, hold := range []int{0, 60, 1 << 20} {
			s, err := Scan(b, ScanOptions{Hold: hold})
			if err != nil {
				t.Fatal(err)
			}
			r, err := b.Records(nil, 10<<20)
			if err != nil {
				t.Fatal(err)
			}
			for r.Next() {
				want := r.Record()
				if !s.Next() {
					t.Fatalf("%s: the scan ended: %v", c, s.Err())
				}
				head := RecordHead{want.TimestampDelta, want.OffsetDelta, len(want.Key), len(want.Value)}
				if *s.Head() != head {
					t.Fatalf("%s: %+v, want %+v", c, *s.Head(), head)
				}
				if got := s.Record(); got != nil && (!bytes.Equal(got.Value, want.Value) || string(got.Key) != string(want.Key) || fmt.Sprint(got.Headers) != fmt.Sprint(want.Headers)) {
					t.Fatalf("%s: %+v, want %+v", c, got, want)
				} else if got == nil && hold > 1000 {
					t.Fatalf("%s: a record was not held", c)
				}
			}
			if s.Next() || s.Err() != nil {
				t.Fatalf("%s: more than there is, or %v", c, s.Err())
			}
			s.Close()
		}
	}
}

func TestScanNamesWhatIsWrong(t *testing.T) {
	var keyless, gap Builder
	keyless.Append(1, nil, []byte("v"), nil)
	gap.AppendAt(1, 1, []byte("k"), nil, nil)
	finish := func(b *Builder) Batch {
		out, err := b.Finish(NoProducer())
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	count := func(b Batch, n uint32) Batch { binary.BigEndian.PutUint32(b[57:], n); return b }
	for name, test := range map[string]struct {
		b    Batch
		want error
	}{
		"whole":        {build(t, None, 5), nil},
		"one too few":  {count(build(t, None, 5), 6), ErrRecord},
		"one too many": {count(build(t, None, 5), 4), ErrCount},
		"no key":       {finish(&keyless), ErrKey},
		"a gap":        {finish(&gap), ErrCount},
		"cut short":    {build(t, None, 5)[:HeaderSize+40], ErrRecord},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Scan(test.b, ScanOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got := s.Check(true); !errors.Is(got, test.want) {
				t.Fatalf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestRepack(t *testing.T) {
	for _, from := range codecs {
		for _, to := range codecs {
			b := build(t, from, 4000)
			got, err := Repack(make([]byte, 7, 100), b, RepackOptions{Codec: to, Level: DefaultLevel, MaxSize: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			if err := got.Check(); err != nil || got.Codec() != to || got.Count() != 4000 {
				t.Fatalf("%s to %s: %v, codec %s", from, to, err, got.Codec())
			}
			want, _ := b.Records(nil, 1<<20)
			records, err := got.Records(nil, 1<<20)
			if err != nil || !bytes.Equal(records.Buffer(), want.Buffer()) {
				t.Fatalf("%s to %s: other records, %v", from, to, err)
			}
		}
	}
}

func TestRepackGivesBackWhatItBorrowed(t *testing.T) {
	m := &lender{limit: 1 << 20}
	b := build(t, Gzip, 4000)
	for name, o := range map[string]RepackOptions{
		"grown": {MaxSize: 1000}, "a key is missing": {MaxSize: 1 << 20, Keys: true}, "spent": {MaxSize: 8 << 20},
	} {
		o.Codec, o.Level, o.Memory = None, DefaultLevel, m
		from := b
		switch name {
		case "a key is missing":
			from = keylessBatch(t)
		case "spent":
			from = bomb(t, Zstd, 2<<20)
		}
		if _, err := Repack(make([]byte, 0, 500), from, o); err == nil || m.lent != 0 {
			t.Errorf("%s: %v, %d bytes are not given back", name, err, m.lent)
		}
	}
}

func keylessBatch(t *testing.T) Batch {
	var b Builder
	b.Append(1, nil, []byte(strings.Repeat("v", 1000)), nil)
	o := NoProducer()
	o.Codec = LZ4
	out, err := b.Finish(o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// FuzzScan: the window sees what the whole shows.
func FuzzScan(f *testing.F) {
	for _, c := range codecs {
		f.Add([]byte(build(f, c, 5)), uint8(0))
		f.Add([]byte(build(f, c, 3)), uint8(40))
	}
	fuzz.Run(f, func(t *testing.T, data []byte, hold uint8) {
		if len(data) < HeaderSize {
			return
		}
		b := Batch(data)
		binary.BigEndian.PutUint32(b[8:], uint32(len(b)-prefix))
		b.seal()
		if b.Check() != nil || b.Count() > 1<<20 {
			return
		}
		const most = 1 << 20
		whole, wholeErr := Decompress(nil, b.Codec(), b[HeaderSize:], most)
		r := Reader{rest: whole, left: b.Count()}
		s, err := Scan(b, ScanOptions{Max: most, Hold: int(hold)})
		if err != nil {
			if wholeErr == nil {
				t.Fatalf("the scan fails with %v", err)
			}
			return
		}
		defer s.Close()
		n := 0
		for ; s.Next(); n++ {
			if wholeErr == nil && (!r.Next() || r.Record().OffsetDelta != s.Head().OffsetDelta) {
				t.Fatalf("record %d: %+v, the reader says %+v, %v", n, *s.Head(), r.Record(), r.Err())
			}
		}
		if wholeErr != nil {
			return // the scan may have read as far as it was asked
		}
		if r.Next() || (r.Err() == nil) != (s.Err() == nil) {
			t.Fatalf("after %d records: %v, the reader says %v", n, s.Err(), r.Err())
		}
	})
}
