package group

// Counts are how many groups a coordinator has in each state, and how many offsets.
type Counts struct {
	Stable, PreparingRebalance, CompletingRebalance, Empty, Dead int64
	Assigning, Reconciling                                       int64 // of consumer groups
	Offsets                                                      int64
}

// Count counts the groups.
func (c *Coordinator) Count() (n Counts) {
	for _, g := range c.groups {
		for _, t := range g.offsets {
			n.Offsets += int64(len(t.partitions))
		}
		switch g.state {
		case stable:
			n.Stable++
		case preparing:
			n.PreparingRebalance++
		case completing:
			n.CompletingRebalance++
		case empty:
			n.Empty++
		case dead:
			n.Dead++
		case assigning:
			n.Assigning++
		case reconciling:
			n.Reconciling++
		}
	}
	return n
}
