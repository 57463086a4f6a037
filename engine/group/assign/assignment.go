package assign

import (
	"bytes"
	"slices"
)

// ID is the id of a topic.
type ID = [16]byte

// Topic is some of the partitions of one topic, in ascending order.
type Topic struct {
	ID         ID
	Partitions []int32
	// Epochs say since which epoch of the group the member has each partition. Nil where
	// that does not matter, as in a target.
	Epochs []int32
}

// Assignment is a set of partitions: topics in the order of their ids, none without
// partitions. The zero value is empty.
type Assignment []Topic

// Of sorts what a client or a record says into an Assignment; what comes twice counts once.
//
// Ownership: topics and their slices belong to the Assignment from here on.
func Of(topics []Topic) Assignment {
	if slices.ContainsFunc(topics, func(t Topic) bool { return t.Epochs != nil }) {
		for i := range topics {
			topics[i].sortWithEpochs()
		}
	} else {
		for i := range topics {
			slices.Sort(topics[i].Partitions)
			topics[i].Partitions = slices.Compact(topics[i].Partitions)
		}
	}
	slices.SortStableFunc(topics, func(a, b Topic) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	var out Assignment
	for _, t := range topics {
		switch {
		case len(t.Partitions) == 0:
		case len(out) > 0 && out[len(out)-1].ID == t.ID:
			out[len(out)-1] = union(out[len(out)-1], t)
		default:
			out = append(out, t)
		}
	}
	return out
}

// sortWithEpochs sorts partitions and their epochs together.
func (t *Topic) sortWithEpochs() {
	type pair struct{ partition, epoch int32 }
	pairs := make([]pair, len(t.Partitions))
	for i, p := range t.Partitions {
		pairs[i] = pair{p, t.epoch(i)}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return int(a.partition) - int(b.partition) })
	pairs = slices.CompactFunc(pairs, func(a, b pair) bool { return a.partition == b.partition })
	t.Partitions, t.Epochs = t.Partitions[:0], make([]int32, 0, len(pairs))
	for _, p := range pairs {
		t.Partitions, t.Epochs = append(t.Partitions, p.partition), append(t.Epochs, p.epoch)
	}
}

func (t *Topic) epoch(i int) int32 {
	if i < len(t.Epochs) {
		return t.Epochs[i]
	}
	return 0
}

// find returns the topic with an id, or nil.
func (a Assignment) find(id ID) *Topic {
	i, ok := slices.BinarySearchFunc(a, id, func(t Topic, id ID) int { return bytes.Compare(t.ID[:], id[:]) })
	if !ok {
		return nil
	}
	return &a[i]
}

// Has reports whether a partition is in the set.
func (a Assignment) Has(id ID, partition int32) bool {
	_, ok := a.Epoch(id, partition)
	return ok
}

// Epoch returns since when a partition is in the set, and whether it is.
func (a Assignment) Epoch(id ID, partition int32) (int32, bool) {
	t := a.find(id)
	if t == nil {
		return 0, false
	}
	i, ok := slices.BinarySearch(t.Partitions, partition)
	if !ok {
		return 0, false
	}
	return t.epoch(i), true
}

// Count is how many partitions are in the set.
func (a Assignment) Count() (n int) {
	for i := range a {
		n += len(a[i].Partitions)
	}
	return n
}

// Within reports whether every partition of a is in b.
func (a Assignment) Within(b Assignment) bool {
	for i := range a {
		for _, p := range a[i].Partitions {
			if !b.Has(a[i].ID, p) {
				return false
			}
		}
	}
	return true
}

// Same reports whether a and b hold the same partitions, whatever their epochs.
func (a Assignment) Same(b Assignment) bool {
	return slices.EqualFunc(a, b, func(x, y Topic) bool {
		return x.ID == y.ID && slices.Equal(x.Partitions, y.Partitions)
	})
}

// Keep returns those partitions of a for which keep is true, with their epochs. It is a
// itself when that is all of them.
func (a Assignment) Keep(keep func(id ID, partition int32) bool) Assignment {
	var out Assignment
	all := true
	for i := range a {
		t := &a[i]
		kept := Topic{ID: t.ID}
		for j, p := range t.Partitions {
			if !keep(t.ID, p) {
				all = false
				continue
			}
			kept.Partitions = append(kept.Partitions, p)
			if t.Epochs != nil {
				kept.Epochs = append(kept.Epochs, t.epoch(j))
			}
		}
		if len(kept.Partitions) > 0 {
			out = append(out, kept)
		}
	}
	if all {
		return a
	}
	return out
}

// And returns the partitions of a that are also in b.
func (a Assignment) And(b Assignment) Assignment { return a.Keep(b.Has) }

// Minus returns the partitions of a that are not in b.
func (a Assignment) Minus(b Assignment) Assignment {
	return a.Keep(func(id ID, p int32) bool { return !b.Has(id, p) })
}

// Since returns the partitions of a, each as one that the member has since an epoch.
func (a Assignment) Since(epoch int32) Assignment {
	out := make(Assignment, len(a))
	for i := range a {
		epochs := make([]int32, len(a[i].Partitions))
		for j := range epochs {
			epochs[j] = epoch
		}
		out[i] = Topic{a[i].ID, a[i].Partitions, epochs}
	}
	return out
}

// Plus returns the partitions of both.
func (a Assignment) Plus(b Assignment) Assignment {
	if len(b) == 0 {
		return a
	}
	out := make(Assignment, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := bytes.Compare(a[0].ID[:], b[0].ID[:]); {
		case c < 0:
			out, a = append(out, a[0]), a[1:]
		case c > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, union(a[0], b[0])), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// union is the partitions of two sets of one topic; where both have one, a tells its epoch.
func union(a, b Topic) Topic {
	out := Topic{ID: a.ID}
	epochs := a.Epochs != nil || b.Epochs != nil
	for i, j := 0, 0; i < len(a.Partitions) || j < len(b.Partitions); {
		from, at := &a, &i
		if i == len(a.Partitions) || j < len(b.Partitions) && b.Partitions[j] < a.Partitions[i] {
			from, at = &b, &j
		} else if j < len(b.Partitions) && a.Partitions[i] == b.Partitions[j] {
			j++
		}
		out.Partitions = append(out.Partitions, from.Partitions[*at])
		if epochs {
			out.Epochs = append(out.Epochs, from.epoch(*at))
		}
		*at++
	}
	return out
}
