package assign

import (
	"bytes"
	"cmp"
	"slices"
)

// Member is one member that wants partitions.
type Member struct {
	ID       string
	Instance *string // group.instance.id of a static member
	Topics   []int   // what it subscribes to: indexes into Group.Topics, ascending
	Had      Assignment
}

// Source is one topic that somebody subscribes to.
type Source struct {
	ID         ID
	Partitions int
}

// Group is what an assignor looks at: members in the order of their ids, topics in the
// order of theirs.
type Group struct {
	Members []Member
	Topics  []Source
}

// Assignor returns the assignment of each member.
type Assignor func(*Group) []Assignment

// Named returns the assignor of a name, or nil.
func Named(name string) Assignor {
	switch name {
	case "uniform":
		return Uniform
	case "range":
		return Range
	}
	return nil
}

// subscribers returns, for each topic, the members that subscribe to it.
func (g *Group) subscribers() [][]int {
	out := make([][]int, len(g.Topics))
	for m := range g.Members {
		for _, t := range g.Members[m].Topics {
			out[t] = append(out[t], m)
		}
	}
	return out
}

// topic returns the index of a topic, or -1.
func (g *Group) topic(id ID) int {
	i, ok := slices.BinarySearchFunc(g.Topics, id, func(s Source, id ID) int { return bytes.Compare(s.ID[:], id[:]) })
	if !ok {
		return -1
	}
	return i
}

// Range gives the members that subscribe to a topic its partitions in one piece each, in
// the order of their instance ids, for those that have one, and then of their ids. A
// static member that comes back under another id thus gets what it had.
func Range(g *Group) []Assignment {
	order := make([]int, len(g.Members))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return byInstance(&g.Members[i], &g.Members[j]) })
	place := make([]int, len(order)) // of each member in the order
	for at, m := range order {
		place[m] = at
	}
	out := make([]Assignment, len(g.Members))
	for t, members := range g.subscribers() {
		slices.SortFunc(members, func(i, j int) int { return cmp.Compare(place[i], place[j]) })
		least, extra, next := 0, 0, 0
		if len(members) > 0 {
			least, extra = g.Topics[t].Partitions/len(members), g.Topics[t].Partitions%len(members)
		}
		for i, m := range members {
			size := least
			if i < extra {
				size++
			}
			if size == 0 {
				break
			}
			out[m] = append(out[m], Topic{ID: g.Topics[t].ID, Partitions: stretch(next, size)})
			next += size
		}
	}
	return out
}

func byInstance(a, b *Member) int {
	switch {
	case a.Instance != nil && b.Instance != nil:
		return cmp.Compare(*a.Instance, *b.Instance)
	case a.Instance != nil:
		return -1
	case b.Instance != nil:
		return 1
	}
	return cmp.Compare(a.ID, b.ID)
}

func stretch(from, size int) []int32 {
	out := make([]int32, size)
	for i := range out {
		out[i] = int32(from + i)
	}
	return out
}
