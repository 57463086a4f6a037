package partition

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/sdk/batch"
)

// The snapshot of the producers, as FORMAT.md draws it.
const (
	snapshotVersion = 2
	snapshotHead    = 2 + 4
	abortedSize     = 4 * 8
	producerSize    = 8 + 2 + 4 + 8 + 8 + 8 + 1
	sentSize        = 4 + 8 + 4 + 8
)

var (
	errSnapshotShort = errors.New("producer snapshot is cut short")
	errSnapshotLong  = errors.New("producer snapshot has bytes behind its end")
	errSnapshotOrder = errors.New("producer snapshot is out of order")
	errSnapshotValue = errors.New("producer snapshot has an impossible value")
)

// Snapshot appends the state of all producers to dst: everything that was admitted; and the
// aborted transactions that no index of the log has yet.
func (p *Partition) Snapshot(dst []byte, aborted ...batch.Aborted) []byte {
	version := uint16(1) // that is enough where nothing is aborted
	if len(aborted) > 0 {
		version = snapshotVersion
	}
	dst = binary.BigEndian.AppendUint16(dst, version)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(p.producers)))
	for _, known := range p.sorted() {
		dst = binary.BigEndian.AppendUint64(dst, uint64(known.id))
		dst = binary.BigEndian.AppendUint16(dst, uint16(known.epoch))
		dst = binary.BigEndian.AppendUint32(dst, uint32(known.coordinator))
		dst = binary.BigEndian.AppendUint64(dst, uint64(known.timestamp))
		dst = binary.BigEndian.AppendUint64(dst, uint64(known.active))
		dst = binary.BigEndian.AppendUint64(dst, uint64(known.transaction))
		dst = append(dst, known.count)
		for i := range known.batches[:known.count] {
			s := &known.batches[i]
			dst = binary.BigEndian.AppendUint32(dst, uint32(s.lastSequence))
			dst = binary.BigEndian.AppendUint64(dst, uint64(s.lastOffset))
			dst = binary.BigEndian.AppendUint32(dst, uint32(s.delta))
			dst = binary.BigEndian.AppendUint64(dst, uint64(s.timestamp))
		}
	}
	if version == 1 {
		return dst
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(aborted)))
	for _, a := range aborted {
		for _, n := range []int64{a.ProducerID, a.First, a.Last, a.Stable} {
			dst = binary.BigEndian.AppendUint64(dst, uint64(n))
		}
	}
	return dst
}

// readAborted reads what follows the producers in version 2.
func readAborted(p []byte) (aborted []batch.Aborted, rest []byte, err error) {
	if len(p) < 4 {
		return nil, nil, errSnapshotShort
	}
	count := int(binary.BigEndian.Uint32(p))
	p = p[4:]
	if count > len(p)/abortedSize {
		return nil, nil, errSnapshotShort
	}
	aborted = make([]batch.Aborted, count)
	last := int64(-1)
	for i := range aborted {
		n := func(at int) int64 { return int64(binary.BigEndian.Uint64(p[8*at:])) }
		a := batch.Aborted{ProducerID: n(0), First: n(1), Last: n(2), Stable: n(3)}
		switch {
		case a.Last <= last:
			return nil, nil, errSnapshotOrder
		case a.ProducerID < 0 || a.First < 0 || a.First >= a.Last || a.Stable < 0 || a.Stable > a.Last+1:
			return nil, nil, errSnapshotValue
		}
		aborted[i], last, p = a, a.Last, p[abortedSize:]
	}
	return aborted, p, nil
}

// Restore replaces what is known of producers by a snapshot. Batches at or behind the
// end of the log did not survive and are left out. An error changes nothing.
func (p *Partition) Restore(snapshot []byte) error {
	if len(snapshot) < snapshotHead {
		return errSnapshotShort
	}
	version := binary.BigEndian.Uint16(snapshot)
	if version < 1 || version > snapshotVersion {
		return fmt.Errorf("producer snapshot has version %d, known are 1 to %d", version, snapshotVersion)
	}
	count := int(binary.BigEndian.Uint32(snapshot[2:]))
	rest := snapshot[snapshotHead:]
	if count > len(rest)/producerSize {
		return errSnapshotShort
	}
	producers := make(map[int64]*producer, count)
	last := int64(-1)
	var spans []span
	for range count {
		known, after, err := readProducer(rest)
		if err != nil {
			return err
		}
		if rest = after; known.id <= last {
			return errSnapshotOrder
		}
		last = known.id
		if !known.cut(p.end) {
			continue
		}
		producers[known.id] = known
		if known.transaction >= 0 {
			spans = append(spans, span{producer: known.id, first: known.transaction, last: -1})
		}
	}
	var aborted []batch.Aborted
	if version >= 2 {
		var err error
		if aborted, rest, err = readAborted(rest); err != nil {
			return err
		}
	}
	if len(rest) > 0 {
		return errSnapshotLong
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	for i := range spans[min(1, len(spans)):] {
		if spans[i].first == spans[i+1].first {
			return errSnapshotOrder // no two transactions begin with the same batch
		}
	}
	p.aborted = aborted
	p.producers, p.spans, p.undo, p.tickets = producers, spans, nil, nil
	return nil
}

func readProducer(p []byte) (known *producer, rest []byte, err error) {
	if len(p) < producerSize {
		return nil, nil, errSnapshotShort
	}
	known = &producer{
		id:          int64(binary.BigEndian.Uint64(p)),
		epoch:       int16(binary.BigEndian.Uint16(p[8:])),
		coordinator: int32(binary.BigEndian.Uint32(p[10:])),
		timestamp:   int64(binary.BigEndian.Uint64(p[14:])),
		active:      int64(binary.BigEndian.Uint64(p[22:])),
		transaction: int64(binary.BigEndian.Uint64(p[30:])),
		count:       p[38],
	}
	p = p[producerSize:]
	switch {
	case known.count > keep || known.epoch < -1 || known.coordinator < -1 || known.transaction < -1:
		return nil, nil, errSnapshotValue
	case len(p) < int(known.count)*sentSize:
		return nil, nil, errSnapshotShort
	}
	for i := range known.batches[:known.count] {
		known.batches[i] = sent{
			lastSequence: int32(binary.BigEndian.Uint32(p)),
			lastOffset:   int64(binary.BigEndian.Uint64(p[4:])),
			delta:        int32(binary.BigEndian.Uint32(p[12:])),
			timestamp:    int64(binary.BigEndian.Uint64(p[16:])),
		}
		p = p[sentSize:]
		if b := &known.batches[i]; b.lastOffset < 0 || b.firstOffset() < 0 {
			return nil, nil, errSnapshotValue
		}
	}
	if known.checkOrder(1<<63-1) != nil {
		return nil, nil, errSnapshotOrder
	}
	return known, p, nil
}

// cut forgets what lies at or behind end; it reports whether anything is left to know.
// A producer of which no batch is left may go on with any sequence, since what it will
// send is what was lost.
func (p *producer) cut(end int64) bool {
	had := p.count
	for p.count > 0 && p.batches[p.count-1].lastOffset >= end {
		p.count--
		p.batches[p.count] = sent{}
	}
	if p.transaction >= end {
		p.transaction = -1
	}
	if p.count == 0 && had > 0 {
		p.epoch = -1
		return p.transaction >= 0
	}
	return true
}
