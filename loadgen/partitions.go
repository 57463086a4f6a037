package loadgen

import (
	"slices"

	"github.com/millrace/millrace/sdk/keyhash"
)

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
		p := keyhash.Partition(key, partitions)
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
