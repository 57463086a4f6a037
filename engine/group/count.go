package group

// Counts are how many groups a coordinator has in each state, and how many offsets.
type Counts struct {
	Stable, PreparingRebalance, CompletingRebalance, Empty, Dead int64
	Assigning, Reconciling                                       int64 // of consumer groups
	Offsets                                                      int64
}

// Add adds what another coordinator counts.
func (n *Counts) Add(other Counts) {
	n.Stable += other.Stable
	n.PreparingRebalance += other.PreparingRebalance
	n.CompletingRebalance += other.CompletingRebalance
	n.Empty += other.Empty
	n.Dead += other.Dead
	n.Assigning += other.Assigning
	n.Reconciling += other.Reconciling
	n.Offsets += other.Offsets
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
