package batch_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/millrace/millrace/sdk/batch"
)

// keyedBatch has records k0 … with the offset deltas 0 …, every third without a value.
func keyedBatch(t *testing.T, c batch.Codec, n int) batch.Batch {
	t.Helper()
	var b batch.Builder
	for i := range n {
		value := bytes.Repeat([]byte{byte(i)}, 10+i)
		if i%3 == 2 {
			value = nil
		}
		b.Append(1000+int64(i), fmt.Appendf(nil, "k%d", i), value, []batch.Header{{Key: "h", Value: nil}})
	}
	built, err := b.Finish(batch.BatchOptions{Codec: c, BaseOffset: 50, LeaderEpoch: 3, ProducerID: 7, ProducerEpoch: 1, BaseSequence: 9})
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(built)
}

// filtered is what records are in a batch, for a person.
func filtered(t *testing.T, b batch.Batch) (all string) {
	t.Helper()
	if err := b.Check(); err != nil {
		t.Fatal(err)
	}
	records, err := b.Records(nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for records.Next() {
		r := records.Record()
		all += fmt.Sprintf("%d:%s@%d=%d,%d ", b.BaseOffset()+int64(r.OffsetDelta), r.Key, b.BaseTimestamp()+r.TimestampDelta, len(r.Value), len(r.Headers))
	}
	if err := records.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFilterKeepsOffsetsTimesAndProducer(t *testing.T) {
	for c := batch.None; c <= batch.Zstd; c++ {
		b := keyedBatch(t, c, 7)
		original := bytes.Clone(b)
		even := func(_ batch.Batch, r *batch.Record) bool { return r.OffsetDelta%2 == 0 }
		got, kept, err := batch.Filter(nil, b, batch.FilterOptions{Keep: even, Horizon: 5000, Hold: 1 << 10, MaxSize: 1 << 20})
		if err != nil || kept.Records != 4 || kept.Dropped != 3 || !kept.Changed {
			t.Fatalf("%s: %+v, %v", c, kept, err)
		}
		if all := filtered(t, got); all != "50:k0@1000=10,1 52:k2@1002=0,1 54:k4@1004=14,1 56:k6@1006=16,1 " {
			t.Errorf("%s: %s", c, all)
		}
		horizon, set := got.DeleteHorizon()
		if !set || horizon != 5000 || got.BaseOffset() != 50 || got.LastOffset() != 56 || got.Codec() != c || got.LeaderEpoch() != 3 || got.ProducerID() != 7 ||
			got.ProducerEpoch() != 1 || got.BaseSequence() != 9 || got.MaxTimestamp() != 1006 || got.Count() != 4 {
			t.Errorf("%s: header %x", c, got[:batch.HeaderSize])
		}
		if !bytes.Equal(b, original) {
			t.Errorf("%s: the source was changed", c)
		}
		// The horizon is set once.
		all := func(batch.Batch, *batch.Record) bool { return true }
		again, kept, err := batch.Filter(nil, got, batch.FilterOptions{Keep: all, Horizon: 9000, Hold: 1 << 10, MaxSize: 1 << 20})
		if err != nil || kept.Changed || &again[0] != &got[0] {
			t.Errorf("%s: a second time: %+v, %v", c, kept, err)
		}
		none := func(batch.Batch, *batch.Record) bool { return false }
		if got, kept, err := batch.Filter(nil, b, batch.FilterOptions{Keep: none, Horizon: -1, MaxSize: 1 << 20}); err != nil || len(got) != 0 || kept.Records != 0 {
			t.Errorf("%s: nothing stays: %+v, %v", c, kept, err)
		}
		if _, _, err := batch.Filter(nil, b, batch.FilterOptions{Keep: even, Horizon: -1, MaxSize: 70}); !errors.Is(err, batch.ErrGrown) {
			t.Errorf("%s: too large: %v", c, err)
		}
	}
}

// A record too large to be looked at keeps its batch as it is.
func TestFilterLeavesWhatItCannotHold(t *testing.T) {
	var b batch.Builder
	b.Append(1, []byte("k"), make([]byte, 1<<20), nil)
	built, err := b.Finish(batch.BatchOptions{Codec: batch.Zstd, ProducerID: -1, BaseSequence: -1})
	if err != nil {
		t.Fatal(err)
	}
	none := func(batch.Batch, *batch.Record) bool { return false }
	got, kept, err := batch.Filter(nil, built, batch.FilterOptions{Keep: none, Horizon: -1, Hold: 1 << 10, MaxSize: 1 << 20})
	if err != nil || kept.Changed || kept.Records != 1 || !bytes.Equal(got, built) {
		t.Fatalf("%+v, %v", kept, err)
	}
}

func TestBatchesWithoutRecords(t *testing.T) {
	b := keyedBatch(t, batch.LZ4, 4)
	empty := batch.Empty(nil, b)
	if all := filtered(t, empty); all != "" || empty.BaseOffset() != 50 || empty.LastOffset() != 53 || empty.LastSequence() != 12 || empty.ProducerID() != 7 ||
		empty.MaxTimestamp() != 1003 || empty.BaseTimestamp() != -1 || empty.Codec() != batch.None || empty.LeaderEpoch() != 3 {
		t.Errorf("%s, %x", all, empty)
	}
	filler := batch.Filler(nil, 7, 900, 2)
	if all := filtered(t, filler); all != "" || filler.BaseOffset() != 7 || filler.NextOffset() != 901 || filler.ProducerID() != -1 || filler.MaxTimestamp() != -1 || filler.LeaderEpoch() != 2 {
		t.Errorf("%s, %x", all, filler)
	}
}
