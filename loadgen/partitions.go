package loadgen

import (
	"encoding/binary"
	"slices"
)

// partitionOf is where Kafka's default partitioner puts a key.
func partitionOf(key []byte, partitions int32) int32 {
	return int32(murmur2(key)&0x7fffffff) % partitions
}

// murmur2 is the hash that Kafka's clients agree on.
func murmur2(data []byte) uint32 {
	const m, r = 0x5bd1e995, 24
	h := uint32(0x9747b28c) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := binary.LittleEndian.Uint32(data)
		k *= m
		k ^= k >> r
		k *= m
		h = h*m ^ k
	}
	switch len(data) {
	case 3:
		h ^= uint32(data[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(data[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(data[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}

// spread is the order in which a connection serves its partitions, and the shape of the
// records of each.
type spread struct {
	order  []int32 // goes round
	shapes map[int32]*shape
	share  float64 // of all records of its producer
}

// newSpread deals records to the partitions in own, out of so many in all. Without keys
// they take turns. With keys every batch goes where a drawn key belongs, and holds only
// keys that belong there: the partitions get the records that a producer with a
// partitioner would give them, skew included.
func newSpread(all *shape, partitions int32, own []int32, turn int) *spread {
	s := &spread{shapes: map[int32]*shape{}}
	if all.keys == nil {
		for i := range own {
			s.order = append(s.order, own[(i+turn)%len(own)])
		}
		for _, p := range own {
			s.shapes[p] = all
		}
		s.share = float64(len(own)) / float64(partitions)
		return s
	}
	for _, key := range all.keys {
		p := partitionOf(key, partitions)
		if !slices.Contains(own, p) {
			continue
		}
		s.order = append(s.order, p)
		if s.shapes[p] == nil {
			s.shapes[p] = &shape{values: all.values, mean: all.mean}
		}
		s.shapes[p].keys = append(s.shapes[p].keys, key)
	}
	s.share = float64(len(s.order)) / float64(len(all.keys))
	return s
}
