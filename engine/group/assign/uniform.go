package assign

import (
	"cmp"
	"slices"
)

// nobody owns a partition.
const nobody = -1

// Uniform gives the members equal loads and moves as few partitions as it can.
//
// When all subscribe to the same topics, no two loads differ by more than one, and no
// assignment with such loads keeps more partitions where they were. Otherwise no
// partition can go to another subscriber of its topic without making loads less equal.
func Uniform(g *Group) []Assignment {
	u := &uniform{group: g, subscribers: g.subscribers(), load: make([]int, len(g.Members))}
	u.keep()
	if u.alike() {
		u.trim()
	}
	u.spread()
	if !u.alike() {
		for u.level() {
		}
	}
	return u.assignments()
}

// uniform is one run of the assignor.
type uniform struct {
	group       *Group
	subscribers [][]int
	owner       [][]int // of each partition of each topic
	load        []int   // partitions of each member
}

// alike reports whether all members subscribe to the same topics.
func (u *uniform) alike() bool {
	for _, s := range u.subscribers {
		if len(s) != len(u.group.Members) {
			return false
		}
	}
	return true
}

// keep leaves every partition with the member that had it, if it is still wanted.
func (u *uniform) keep() {
	u.owner = make([][]int, len(u.group.Topics))
	for t := range u.owner {
		u.owner[t] = slices.Repeat([]int{nobody}, u.group.Topics[t].Partitions)
	}
	for m := range u.group.Members {
		member := &u.group.Members[m]
		for i := range member.Had {
			t := u.group.topic(member.Had[i].ID)
			if t < 0 {
				continue
			}
			if _, subscribed := slices.BinarySearch(member.Topics, t); !subscribed {
				continue
			}
			for _, p := range member.Had[i].Partitions {
				if p >= 0 && int(p) < len(u.owner[t]) && u.owner[t][p] == nobody {
					u.give(t, int(p), m)
				}
			}
		}
	}
}

// give makes a partition a member's.
func (u *uniform) give(t, p, m int) {
	if before := u.owner[t][p]; before != nobody {
		u.load[before]--
	}
	if u.owner[t][p] = m; m != nobody {
		u.load[m]++
	}
}

// trim takes from members of one mind what is above their share. As many as there are
// partitions left over may keep one more than the others: those who have it already.
func (u *uniform) trim() {
	if len(u.group.Members) == 0 {
		return
	}
	total := 0
	for t := range u.owner {
		total += len(u.owner[t])
	}
	least, extra := total/len(u.group.Members), total%len(u.group.Members)
	share := make([]int, len(u.load))
	for m := range share {
		if share[m] = least; u.load[m] > least && extra > 0 {
			share[m]++
			extra--
		}
	}
	for t := len(u.owner) - 1; t >= 0; t-- {
		for p := len(u.owner[t]) - 1; p >= 0; p-- {
			if m := u.owner[t][p]; m != nobody && u.load[m] > share[m] {
				u.give(t, p, nobody)
			}
		}
	}
}

// spread gives what nobody has to the subscriber with the least load. Topics with few
// subscribers come first: the others have more to choose from.
func (u *uniform) spread() {
	order := make([]int, len(u.owner))
	for t := range order {
		order[t] = t
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(u.subscribers[a]), len(u.subscribers[b])) })
	for _, t := range order {
		if len(u.subscribers[t]) == 0 {
			continue
		}
		free := lightest{u: u, members: slices.Clone(u.subscribers[t])}
		free.init()
		for p, m := range u.owner[t] {
			if m == nobody {
				u.give(t, p, free.members[0])
				free.sink(0)
			}
		}
	}
}

// lightest is a heap of members, the one with the least load first.
type lightest struct {
	u       *uniform
	members []int
}

func (h *lightest) before(i, j int) bool {
	a, b := h.members[i], h.members[j]
	return h.u.load[a] < h.u.load[b] || h.u.load[a] == h.u.load[b] && a < b
}

func (h *lightest) init() {
	for i := len(h.members)/2 - 1; i >= 0; i-- {
		h.sink(i)
	}
}

// sink lets the member at i, whose load grew, find its place.
func (h *lightest) sink(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h.members); child++ {
			if h.before(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		h.members[i], h.members[least] = h.members[least], h.members[i]
		i = least
	}
}

// level moves partitions from members with more to those with less, topic by topic, and
// reports whether it moved any. Each move brings two loads nearer, so it ends.
func (u *uniform) level() (moved bool) {
	for t := range u.owner {
		for u.levelTopic(t) {
			moved = true
		}
	}
	return moved
}

// levelTopic moves one partition of a topic from the owner with the greatest load to the
// subscriber with the least, if that makes them more equal.
func (u *uniform) levelTopic(t int) bool {
	from, to := nobody, nobody
	for p := len(u.owner[t]) - 1; p >= 0; p-- {
		if m := u.owner[t][p]; m != nobody && (from == nobody || u.load[m] > u.load[u.owner[t][from]]) {
			from = p
		}
	}
	for _, m := range u.subscribers[t] {
		if to == nobody || u.load[m] < u.load[to] {
			to = m
		}
	}
	if from == nobody || u.load[u.owner[t][from]]-u.load[to] < 2 {
		return false
	}
	u.give(t, from, to)
	return true
}

func (u *uniform) assignments() []Assignment {
	out := make([]Assignment, len(u.group.Members))
	for t := range u.owner {
		for p, m := range u.owner[t] {
			if m == nobody {
				continue
			}
			if n := len(out[m]); n == 0 || out[m][n-1].ID != u.group.Topics[t].ID {
				out[m] = append(out[m], Topic{ID: u.group.Topics[t].ID})
			}
			last := &out[m][len(out[m])-1]
			last.Partitions = append(last.Partitions, int32(p))
		}
	}
	return out
}
