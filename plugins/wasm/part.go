package wasm

import (
	"encoding/binary"
	"unsafe"

	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/sdk"
)

// part is some records of a batch that a guest is shown, and what it says about them.
type part struct {
	section      []byte // the records, encoded
	first, count int    // which of the batch
	fields       bool   // the guest is told where fields are, and may write over values
	last         bool   // of the batch: the guest is not called again before the host has done with it

	list []byte // of edits
	now  []byte // section, as it stands in the guest's input once it has been called; nil without fields
	most int64  // bytes that it may answer
}

// names is where the names begin in the input.
func (s *part) names() int {
	if s.fields {
		return abi.FieldsAt + abi.RowSize*s.count
	}
	return abi.HeaderSize
}

// clientName is what a guest is told of the client's name.
func clientName(b *sdk.Batch) string { return b.ClientID[:min(len(b.ClientID), maxClient)] }

// size is how many bytes the input has.
func (s *part) size(b *sdk.Batch) int {
	return s.names() + len(b.Topic) + len(clientName(b)) + len(s.section)
}

// encode writes the input to to, which has room for it.
func (s *part) encode(to []byte, b *sdk.Batch) {
	little, client, at := binary.LittleEndian, clientName(b), s.names()
	little.PutUint32(to, abi.BatchMagic)
	little.PutUint32(to[4:], uint32(at))
	little.PutUint32(to[8:], uint32(s.count))
	little.PutUint32(to[12:], uint32(len(s.section)))
	little.PutUint32(to[16:], uint32(s.first))
	little.PutUint32(to[20:], uint32(b.Partition))
	little.PutUint64(to[24:], uint64(b.Header.BaseOffset()))
	little.PutUint64(to[32:], uint64(b.Header.BaseTimestamp()))
	little.PutUint64(to[40:], uint64(b.Header.MaxTimestamp()))
	little.PutUint64(to[48:], uint64(b.Header.ProducerID()))
	little.PutUint16(to[56:], uint16(b.Header.ProducerEpoch()))
	little.PutUint16(to[58:], uint16(b.Header.Attributes()))
	little.PutUint16(to[60:], uint16(len(b.Topic)))
	little.PutUint16(to[62:], uint16(len(client)))
	if s.fields {
		little.PutUint32(to[64:], abi.FieldsAt)
		little.PutUint32(to[68:], abi.RowSize)
		s.table(to[abi.FieldsAt:at], b)
	}
	at += copy(to[at:], b.Topic)
	at += copy(to[at:], client)
	copy(to[at:], s.section)
}

// table writes where keys and values are.
func (s *part) table(to []byte, b *sdk.Batch) {
	for i := range s.count {
		row, v := to[abi.RowSize*i:][:abi.RowSize], b.Original(s.first+i)
		binary.LittleEndian.PutUint64(row, field(s.section, v.Key))
		binary.LittleEndian.PutUint64(row[8:], field(s.section, v.Value))
	}
}

// field is where p begins in section, and in the upper half how long it is.
func field(section, p []byte) uint64 {
	if p == nil {
		return abi.Null << 32
	}
	return uint64(place(section, p)) | uint64(len(p))<<32
}

// place is where p, which was cut out of section, begins in it; of what is empty, anywhere.
func place(section, p []byte) int {
	if len(p) == 0 {
		return 0
	}
	return int(uintptr(unsafe.Pointer(unsafe.SliceData(p))) - uintptr(unsafe.Pointer(unsafe.SliceData(section))))
}
