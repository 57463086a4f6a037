package quorum

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/millrace/millrace/sdk/batch"
	"go.etcd.io/raft/v3/raftpb"
)

// Why a batch of the metadata log is not taken.
var (
	// ErrForeign means that the records are whole, but not of this program.
	ErrForeign = errors.New("the metadata log was written by another program")
	// ErrChain means that an entry does not follow the one before it: it was written
	// elsewhere, moved, or one between the two is gone.
	ErrChain = errors.New("the metadata log's chain is broken")
)

// maxBatchBytes bounds what a batch of the metadata log may say that it is. A change is
// far smaller (maxChange).
const maxBatchBytes = 64 << 20

// The keys of the records tell what raft made an entry for.
var entryKeys = map[raftpb.EntryType]string{
	raftpb.EntryNormal:       "entry",
	raftpb.EntryConfChange:   "conf-change",
	raftpb.EntryConfChangeV2: "conf-change-v2",
}

// chainHeader is the record header that holds the chain.
const chainHeader = "chain"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// chain is a running checksum of the log: each entry's covers the one before it and the
// entry with its index and term. The batch's own CRC covers neither offset nor epoch, and
// cannot know what came before.
type chain uint32

func (c chain) next(e *raftpb.Entry) chain {
	var head [21]byte
	binary.BigEndian.PutUint32(head[:], uint32(c))
	binary.BigEndian.PutUint64(head[4:], e.GetIndex())
	binary.BigEndian.PutUint64(head[12:], e.GetTerm())
	head[20] = byte(e.GetType())
	return chain(crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, e.GetData()))
}

// encoder writes raft entries as record batches. It reuses its memory.
type encoder struct {
	builders []batch.Builder
}

// encode makes one batch of every run of entries of one term: base offset is raft's index
// minus one, leader epoch is the term. It answers the chain after the last entry.
//
// Ownership: the batches are the encoder's until its next use.
func (c *encoder) encode(entries []*raftpb.Entry, link chain, now int64) ([][]byte, chain, error) {
	var batches [][]byte
	for len(entries) > 0 {
		if len(batches) == len(c.builders) {
			c.builders = append(c.builders, batch.Builder{})
		}
		builder := &c.builders[len(batches)]
		builder.Reset()
		first := entries[0]
		if first.GetTerm() > math.MaxInt32 {
			return nil, 0, fmt.Errorf("encode entry %d: term %d does not fit a leader epoch", first.GetIndex(), first.GetTerm())
		}
		for len(entries) > 0 && entries[0].GetTerm() == first.GetTerm() {
			link = link.next(entries[0])
			mark := binary.BigEndian.AppendUint32(nil, uint32(link))
			builder.Append(now, []byte(entryKeys[entries[0].GetType()]), entries[0].GetData(),
				[]batch.Header{{Key: chainHeader, Value: mark}})
			entries = entries[1:]
		}
		options := batch.NoProducer()
		options.BaseOffset, options.LeaderEpoch = int64(first.GetIndex())-1, int32(first.GetTerm())
		encoded, err := builder.Finish(options)
		if err != nil {
			return nil, 0, fmt.Errorf("encode entry %d: %w", first.GetIndex(), err)
		}
		batches = append(batches, encoded)
	}
	return batches, link, nil
}

// decode reads the entries of one batch, and answers the chain after the last. The entries
// have memory of their own.
//
// known is false when the chain before the first entry is not known; then the first entry
// is believed.
func decode(b batch.Batch, link chain, known bool) ([]*raftpb.Entry, chain, error) {
	if err := b.Check(); err != nil {
		return nil, 0, err
	}
	if b.LeaderEpoch() < 0 || b.BaseOffset() < 0 {
		return nil, 0, fmt.Errorf("%w: batch at offset %d has leader epoch %d", ErrForeign, b.BaseOffset(), b.LeaderEpoch())
	}
	reader, err := b.Records(nil, maxBatchBytes)
	if err != nil {
		return nil, 0, err
	}
	var entries []*raftpb.Entry
	for reader.Next() {
		record := reader.Record()
		if int(record.OffsetDelta) != len(entries) {
			return nil, 0, fmt.Errorf("%w: record %d of the batch at offset %d has offset delta %d",
				ErrChain, len(entries), b.BaseOffset(), record.OffsetDelta)
		}
		kind, ok := kindOfKey(record.Key)
		if !ok || len(record.Headers) != 1 || record.Headers[0].Key != chainHeader || len(record.Headers[0].Value) != 4 {
			return nil, 0, fmt.Errorf("%w: record at offset %d has key %.40q", ErrForeign, b.BaseOffset()+int64(record.OffsetDelta), record.Key)
		}
		entry := &raftpb.Entry{
			Index: new(uint64(b.BaseOffset()) + uint64(record.OffsetDelta) + 1),
			Term:  new(uint64(b.LeaderEpoch())),
			Type:  kind.Enum(),
		}
		if len(record.Value) > 0 {
			entry.Data = append([]byte(nil), record.Value...)
		}
		mark := chain(binary.BigEndian.Uint32(record.Headers[0].Value))
		if want := link.next(entry); known && mark != want {
			return nil, 0, fmt.Errorf("%w: entry %d has the mark %08x, its predecessors give %08x", ErrChain, entry.GetIndex(), uint32(mark), uint32(want))
		}
		link, known = mark, true
		entries = append(entries, entry)
	}
	if err := reader.Err(); err != nil {
		return nil, 0, err
	}
	if int(b.LastOffsetDelta()) != len(entries)-1 {
		return nil, 0, fmt.Errorf("%w: the batch at offset %d has %d entries and ends at offset %d",
			ErrChain, b.BaseOffset(), len(entries), b.LastOffset())
	}
	return entries, link, nil
}

func kindOfKey(key []byte) (raftpb.EntryType, bool) {
	for kind, name := range entryKeys {
		if name == string(key) {
			return kind, true
		}
	}
	return 0, false
}
