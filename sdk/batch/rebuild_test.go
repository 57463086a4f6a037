package batch

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// ledgerMemory counts what is lent.
type ledgerMemory struct{ lent, limit int }

var errLimit = errors.New("no more")

func (m *ledgerMemory) Borrow(n int) error {
	if m.lent+n > m.limit {
		return errLimit
	}
	m.lent += n
	return nil
}

func (m *ledgerMemory) Return(n int) { m.lent -= n }

func someBatch(t *testing.T, c Codec) Batch {
	t.Helper()
	var b Builder
	for i := range 5 {
		b.Append(1000+int64(i), []byte("key"), bytes.Repeat([]byte{'a' + byte(i)}, 100), []Header{{Key: "h"}})
	}
	out, err := b.Finish(BatchOptions{Codec: c, ProducerID: 3, ProducerEpoch: 1, BaseSequence: 10, BaseOffset: 70, LeaderEpoch: 2})
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(out)
}

func TestPlainIsWhatRecordsReads(t *testing.T) {
	for c := range Zstd + 1 {
		b := someBatch(t, c)
		size := len(someBatch(t, None)) - HeaderSize
		m := &ledgerMemory{limit: 1 << 20}
		section, borrowed, err := Plain(nil, b, size, m)
		if err != nil || !bytes.Equal(section, someBatch(t, None)[HeaderSize:]) {
			t.Fatalf("%s: %d bytes, %v", c, len(section), err)
		}
		if c != Snappy && m.lent != borrowed { // a large block of snappy is lent while it is read
			t.Errorf("%s: %d bytes are lent, %d told", c, m.lent, borrowed)
		}
		m.Return(borrowed)
		if _, _, err := Plain(nil, b, size-1, m); !errors.Is(err, ErrSize) || m.lent != 0 {
			t.Errorf("%s: one byte too much: %v, %d lent", c, err, m.lent)
		}
		if _, _, err := Plain(nil, b, size, &ledgerMemory{}); !errors.Is(err, errLimit) {
			t.Errorf("%s: without memory: %v", c, err)
		}
	}
}

func TestRebuildKeepsWhatTheProducerSent(t *testing.T) {
	section := AppendRecord(nil, 2, 3, nil, []byte("x"), nil)
	for from := range Zstd + 1 {
		for to := range Zstd + 1 {
			b, m := someBatch(t, from), &ledgerMemory{limit: 1 << 20}
			o := RebuildOptions{Count: 1, Largest: 1002, Codec: to, MaxSize: 1000, Memory: m}
			out, err := Rebuild(make([]byte, 0, 10), b, section, o)
			if err != nil {
				t.Fatal(err)
			}
			if err := out.Check(); err != nil || m.lent != cap(out) {
				t.Fatalf("%s to %s: %v, %d bytes lent of %d", from, to, err, m.lent, cap(out))
			}
			if out.Codec() != to || out.Count() != 1 || out.LastOffsetDelta() != 4 || out.LastSequence() != 14 || out.MaxTimestamp() != 1002 || out.BaseOffset() != 70 {
				t.Errorf("%s to %s: header %x", from, to, out[:HeaderSize])
			}
			records, err := out.Records(nil, 1000)
			if err != nil || !records.Next() || records.Record().OffsetDelta != 3 || string(records.Record().Value) != "x" || records.Next() || records.Err() != nil {
				t.Errorf("%s to %s: the record is not there: %v", from, to, err)
			}
			o.Count = 0
			if out, err = Rebuild(nil, b, nil, o); err != nil || len(out) != HeaderSize || out.Check() != nil || out.LastSequence() != 14 {
				t.Errorf("%s to %s: without records: %x, %v", from, to, out, err)
			}
		}
	}
}

func TestRebuildIsBounded(t *testing.T) {
	var incompressible strings.Builder
	for i := range 5000 {
		incompressible.WriteByte(byte(i * i >> 3))
	}
	section := AppendRecord(nil, 0, 0, nil, []byte(incompressible.String()), nil)
	for c := range Zstd + 1 {
		m := &ledgerMemory{limit: 1 << 20}
		if _, err := Rebuild(nil, someBatch(t, c), section, RebuildOptions{Count: 1, Codec: c, MaxSize: 100, Memory: m}); !errors.Is(err, ErrGrown) || m.lent != 0 {
			t.Errorf("%s: %v, %d lent", c, err, m.lent)
		}
	}
}

func TestNamesAreRemembered(t *testing.T) {
	b := someBatch(t, None)
	var names Names
	read := func() {
		r := Walk(b[HeaderSize:], b.Count())
		r.Remember(&names)
		r.record.Headers = make([]Header, 0, 4)
		for r.Next() {
			if r.Record().Headers[0].Key != "h" {
				t.Fatal("the name is another")
			}
		}
	}
	read()
	if len(names.known) != 1 {
		t.Errorf("remembered are %v", names.known)
	}
	for i := range 3 * keptNames {
		names.of([]byte{byte(i), byte(i >> 8)})
	}
	if names.of(bytes.Repeat([]byte("n"), 1000)); len(names.known) > keptNames {
		t.Errorf("%d names are remembered", len(names.known))
	}
}
