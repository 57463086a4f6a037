package commitlog

import (
	"hash/maphash"
	"math/bits"
)

// mapSlotBytes is what one key takes in an offsetMap, whatever its length.
const mapSlotBytes = 16

// spill is how many slots there are behind the last that a key belongs to.
const spill = 1 << 10

// offsetMap notes for each of a bounded number of keys the last offset that it has, counted
// from a base.
//
//	slot   hash of the key: 64 bits │ second hash: 24 bits │ offset − base + 1: 40 bits
//
// The seeds of both hashes are drawn for this map alone. Keys that share all 88 bits nobody
// can make who does not know the seeds, and by chance of ten million keys two do once in
// 10^12 cleanings.
//
// A key belongs into the slot as far into the map as its hash is into all hashes, or, where
// that is taken, soon behind: slots are in the order of their hashes, so that a search for
// what is not there is short even in a map that is nearly full.
type offsetMap struct {
	slots         []slot
	homes         uint64 // slots that keys belong to
	base          int64
	count         int64
	most          int64
	first, second maphash.Seed
	touched       uint64 // nobody wants to know, but the compiler must think so
}

type slot struct {
	hash uint64
	rest uint64 // zero is a free slot
}

const (
	offsetBits = 40
	offsetMask = 1<<offsetBits - 1
)

// newOffsetMap has room for so many keys with offsets from base on, and is never quite full.
//
// Ownership: of who calls close.
func newOffsetMap(most, base int64) *offsetMap {
	homes := most + most/8 + 1
	return &offsetMap{slots: newSlots(homes + spill), homes: uint64(homes), base: base, most: most, first: maphash.MakeSeed(), second: maphash.MakeSeed()}
}

// close gives the memory back.
func (m *offsetMap) close() {
	freeSlots(m.slots)
	m.slots = nil
}

func (m *offsetMap) bytes() int64 { return int64(len(m.slots)) * mapSlotBytes }

// use is how full the map is.
func (m *offsetMap) use() float64 { return float64(m.count) / float64(m.most) }

// probe is a key on its way to its slot. Slots are all over the memory, and a processor can
// fetch several at a time: so the keys of many records are hashed first, then touched
// together, then looked up.
type probe struct {
	hash, second uint64
	home         int
	offset       int64 // of the record
}

// probes is how many keys are looked up together.
const probes = 64

// probe hashes a key.
func (m *offsetMap) probe(key []byte, offset int64) probe {
	hash := maphash.Bytes(m.first, key)
	home, _ := bits.Mul64(hash, m.homes)
	return probe{hash, maphash.Bytes(m.second, key) &^ offsetMask, int(home), offset}
}

// touch brings the slots of some keys near.
func (m *offsetMap) touch(some []probe) {
	for i := range some {
		m.touched += m.slots[some[i].home].rest
	}
}

// find is the slot of a key, or else the one before which it belongs.
func (m *offsetMap) find(p *probe) (at int, found bool) {
	for at = p.home; at < len(m.slots); at++ {
		s := &m.slots[at]
		if s.rest == 0 || s.hash > p.hash {
			return at, false
		}
		if s.hash == p.hash && s.rest&^offsetMask == p.second {
			return at, true
		}
	}
	return at, false
}

// put notes where a key lies, behind all before. It reports whether there was room.
func (m *offsetMap) put(p *probe) bool {
	distance := uint64(p.offset-m.base) + 1
	if distance > offsetMask {
		return false
	}
	at, found := m.find(p)
	if !found {
		if m.count == m.most || !m.free(at) {
			return false
		}
		m.count++
	}
	m.slots[at] = slot{p.hash, p.second | distance}
	return true
}

// free makes room at a slot: what stands there up to the next free one moves on.
func (m *offsetMap) free(at int) bool {
	end := at
	for ; end < len(m.slots); end++ {
		if m.slots[end].rest == 0 {
			copy(m.slots[at+1:end+1], m.slots[at:end])
			return true
		}
	}
	return false
}

// get is the last offset of a key, −1 when it has none.
func (m *offsetMap) get(p *probe) int64 {
	at, found := m.find(p)
	if !found {
		return -1
	}
	return m.base + int64(m.slots[at].rest&offsetMask) - 1
}
