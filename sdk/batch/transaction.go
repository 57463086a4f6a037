package batch

import (
	"encoding/binary"
	"fmt"
)

// Marker is what ends a transaction in one partition: the content of a control batch.
type Marker struct {
	ProducerID       int64
	ProducerEpoch    int16
	Commit           bool // false: abort
	CoordinatorEpoch int32
}

// Sizes of a marker's key and value, in bytes: version and kind; version and coordinator
// epoch.
const (
	markerKeySize   = 4
	markerValueSize = 6
)

// Batch is the control batch of m, at a time in milliseconds.
func (m Marker) Batch(now int64) Batch {
	var key [markerKeySize]byte
	var value [markerValueSize]byte
	if m.Commit {
		key[3] = 1
	}
	binary.BigEndian.PutUint32(value[2:], uint32(m.CoordinatorEpoch))
	var b Builder
	b.Append(now, key[:], value[:], nil)
	out, err := b.Finish(BatchOptions{
		ProducerID: m.ProducerID, ProducerEpoch: m.ProducerEpoch, BaseSequence: -1, LeaderEpoch: -1, Transactional: true, Control: true,
	})
	if err != nil {
		panic(fmt.Sprintf("batch: marker %+v does not become a batch: %v", m, err))
	}
	return out
}

// Marker reads the marker in a control batch; ok is false when b, or what there is of it,
// holds none.
func (b Batch) Marker() (m Marker, ok bool) {
	m = Marker{ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(), CoordinatorEpoch: -1}
	if !b.Control() || b.Codec() != None || len(b) < HeaderSize+1 {
		return m, false
	}
	body, _, whole := cut(b[HeaderSize:])
	var r Record
	if !whole || !r.parse(body, nil) || len(r.Key) < markerKeySize || len(r.Value) < markerValueSize {
		return m, false
	}
	kind := binary.BigEndian.Uint16(r.Key[2:])
	m.Commit = kind == 1
	m.CoordinatorEpoch = int32(binary.BigEndian.Uint32(r.Value[2:]))
	return m, kind <= 1
}

// Aborted is a transaction that was aborted in one partition: what readers of committed
// records leave out.
type Aborted struct {
	ProducerID  int64
	First, Last int64 // offsets of its first record and of its marker
	// Stable is the last stable offset that the marker led to: no transaction that ends
	// later has records below it.
	Stable int64
}
