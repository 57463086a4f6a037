package commitlog

import (
	"crypto/sha256"
	"encoding/binary"
)

// mapSlotBytes is what one key takes in an offsetMap, whatever its length.
const mapSlotBytes = 24

// offsetMap notes for each of a bounded number of keys the last offset that it has. Of a key
// it knows 16 bytes of a SHA-256: that two keys have the same nobody can bring about.
type offsetMap struct {
	slots []slot
	count int64
	most  int64
}

type slot struct {
	high, low uint64
	offset    int64 // plus one: zero is a free slot
}

// newOffsetMap has room for so many keys, and is never quite full.
func newOffsetMap(most int64) *offsetMap {
	return &offsetMap{slots: make([]slot, most+most/8+1), most: most}
}

func (m *offsetMap) bytes() int64 { return int64(len(m.slots)) * mapSlotBytes }

// use is how full the map is.
func (m *offsetMap) use() float64 { return float64(m.count) / float64(m.most) }

// find is the slot of a key, or the free one where it belongs.
func (m *offsetMap) find(key []byte) (s *slot, high, low uint64) {
	sum := sha256.Sum256(key)
	high, low = binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])
	for i := high % uint64(len(m.slots)); ; i++ {
		if i == uint64(len(m.slots)) {
			i = 0
		}
		s = &m.slots[i]
		if s.offset == 0 || s.high == high && s.low == low {
			return s, high, low
		}
	}
}

// put notes that a key lies at an offset, behind all before. It reports whether there was room.
func (m *offsetMap) put(key []byte, offset int64) bool {
	s, high, low := m.find(key)
	if s.offset == 0 {
		if m.count == m.most {
			return false
		}
		m.count++
	}
	*s = slot{high, low, offset + 1}
	return true
}

// get is the last offset of a key, −1 when it has none.
func (m *offsetMap) get(key []byte) int64 {
	s, _, _ := m.find(key)
	return s.offset - 1
}
