package batch

import (
	"encoding/binary"
	"fmt"
	"math"
)

// attributeHorizon says that the base timestamp is the delete horizon (KIP-534).
const attributeHorizon = 0x40

// DeleteHorizon is the time in milliseconds from which on deletion markers and markers of
// transactions in the batch may go, if that is set. The base timestamp is it then.
func (b Batch) DeleteHorizon() (millis int64, set bool) {
	return b.BaseTimestamp(), b[22]&attributeHorizon != 0
}

// Empty builds the header of a batch without records that is all that remains of b: offsets,
// leader epoch, producer, sequence and largest timestamp stay.
func Empty(dst []byte, b Batch) Batch {
	out := Batch(append(dst[:0], b[:HeaderSize]...))
	binary.BigEndian.PutUint32(out[8:], HeaderSize-prefix)
	out[22] &= attributeLogAppendTime | attributeTransactional | attributeControl
	binary.BigEndian.PutUint64(out[27:], math.MaxUint64) // no timestamp: −1
	binary.BigEndian.PutUint32(out[57:], 0)
	out.seal()
	return out
}

// Filler builds a batch without records, producer and timestamp that stands for the offsets
// from base to last where records of a compacted log were.
func Filler(dst []byte, base, last int64, epoch int32) Batch {
	out := Batch(append(dst[:0], make([]byte, HeaderSize)...))
	out.SetBaseOffset(base)
	binary.BigEndian.PutUint32(out[8:], HeaderSize-prefix)
	out.SetLeaderEpoch(epoch)
	out[16] = 2
	binary.BigEndian.PutUint32(out[23:], uint32(last-base))
	binary.BigEndian.PutUint64(out[27:], math.MaxUint64)
	binary.BigEndian.PutUint64(out[35:], math.MaxUint64)
	out.SetProducer(-1, -1, -1)
	return out
}

// Keep is what becomes of a batch.
type Keep struct {
	Records int   // that stay
	Dropped int   // that go
	Changed bool  // the batch has to be built again
	Largest int64 // timestamp of those that stay
	bits    []uint64
}

// FilterOptions say which records of a batch stay.
type FilterOptions struct {
	// Keep decides about one record, which is valid during the call.
	Keep func(b Batch, r *Record) bool
	// Horizon is the delete horizon that the batch gets if it has none, and something in it
	// that wants one: a record that stays without a value, or Marker. Negative: none.
	Horizon int64
	Marker  bool // the batch is a marker that may go one day
	// Hold is how large a record may be that is looked at, in bytes. A batch with a larger
	// one stays as it is.
	Hold    int
	MaxSize int // most bytes of what comes out, else ErrGrown
	Memory  Memory
}

// Filter builds b, which must have passed Check, again with those of its records that o
// keeps. Offsets, codec, producer, sequence and epoch stay. The result is b itself when
// nothing changes, empty when no record stays, and otherwise in dst or where that had to grow.
func Filter(dst []byte, b Batch, o FilterOptions) (Batch, Keep, error) {
	kept, tombstones, err := o.decide(b)
	if err != nil {
		return nil, kept, err
	}
	_, has := b.DeleteHorizon()
	horizon := !has && o.Horizon >= 0 && (tombstones || o.Marker) && kept.Records > 0
	kept.Changed = kept.Dropped > 0 || horizon
	switch {
	case !kept.Changed:
		return b, kept, nil
	case kept.Records == 0:
		return dst[:0], kept, nil
	}
	out := &growing{bytes: dst[:0], max: o.MaxSize}
	base := b.BaseTimestamp()
	if horizon {
		base = o.Horizon
	}
	if err := o.rebuild(out, b, &kept, base); err != nil {
		return nil, kept, err
	}
	built := Batch(out.bytes)
	binary.BigEndian.PutUint32(built[8:], uint32(len(built)-prefix))
	binary.BigEndian.PutUint64(built[27:], uint64(base))
	if horizon {
		built[22] |= attributeHorizon
	}
	if !b.LogAppendTime() {
		binary.BigEndian.PutUint64(built[35:], uint64(kept.Largest))
	}
	binary.BigEndian.PutUint32(built[57:], uint32(kept.Records))
	built.seal()
	return built, kept, nil
}

// decide asks for each record whether it stays.
func (o *FilterOptions) decide(b Batch) (kept Keep, tombstones bool, err error) {
	records, err := Scan(b, ScanOptions{Hold: max(o.Hold, len(b)), Memory: o.Memory})
	if err != nil {
		return kept, false, err
	}
	defer records.Close()
	kept.Largest = math.MinInt64
	for i := 0; records.Next(); i++ {
		if i%64 == 0 {
			kept.bits = append(kept.bits, 0)
		}
		r := records.Record()
		if r == nil { // nobody can tell what key it has
			return Keep{Records: int(b.Count()), Largest: b.MaxTimestamp()}, false, nil
		}
		if !o.Keep(b, r) {
			kept.Dropped++
			continue
		}
		kept.bits[i/64] |= 1 << (i % 64)
		kept.Records++
		kept.Largest = max(kept.Largest, b.BaseTimestamp()+r.TimestampDelta)
		tombstones = tombstones || r.Value == nil && !b.Control()
	}
	return kept, tombstones, records.Err()
}

// rebuild writes the header of b and the records that stay, with times that count from base.
func (o *FilterOptions) rebuild(out *growing, b Batch, kept *Keep, base int64) error {
	if _, err := out.Write(b[:HeaderSize]); err != nil {
		return err
	}
	to, err := compress(out, b.Codec(), DefaultLevel)
	if err != nil {
		return err
	}
	defer to.done()
	records, err := Scan(b, ScanOptions{Hold: max(o.Hold, len(b)), Memory: o.Memory})
	if err != nil {
		return err
	}
	defer records.Close()
	var one []byte
	shift := b.BaseTimestamp() - base
	for i := 0; err == nil && records.Next(); i++ {
		if kept.bits[i/64]&(1<<(i%64)) == 0 {
			continue
		}
		if shift == 0 { // it stays as it is
			one = binary.AppendVarint(one[:0], int64(len(records.whole)))
			if _, err = to.Write(one); err == nil {
				_, err = to.Write(records.whole)
			}
			continue
		}
		r := records.Record()
		one = appendRecord(one[:0], r.Attributes, r.TimestampDelta+shift, r.OffsetDelta, r.Key, r.Value, r.Headers)
		_, err = to.Write(one)
	}
	if err == nil {
		err = records.Err()
	}
	if err == nil {
		err = to.Close()
	}
	if err != nil && out.refused != nil {
		return out.refused
	}
	if err != nil {
		return fmt.Errorf("build the batch at offset %d again: %w", b.BaseOffset(), err)
	}
	return nil
}
