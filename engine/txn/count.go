package txn

// Counts is how the transactional ids of a coordinator are, and what has happened since it was loaded.
type Counts struct {
	IDs    int64
	Open   int64 // transactions that are Ongoing
	Ending int64 // that are decided, and owe markers
	// Oldest is when the oldest open one began, in milliseconds; 0: there is none.
	Oldest int64
	Happened
}

// Happened counts decisions that are in the log. What another coordinator had decided before is not counted again.
type Happened struct {
	Committed, Aborted uint64
	TimedOut, Fenced   uint64 // of the aborted: by the time limit, and by another producer that took the id over
	Expired            uint64 // ids that were forgotten
}

// Add adds what happened elsewhere.
func (h *Happened) Add(other Happened) {
	h.Committed += other.Committed
	h.Aborted += other.Aborted
	h.TimedOut += other.TimedOut
	h.Fenced += other.Fenced
	h.Expired += other.Expired
}

// Add adds what another coordinator counts.
func (c *Counts) Add(other Counts) {
	c.IDs += other.IDs
	c.Open += other.Open
	c.Ending += other.Ending
	if c.Oldest == 0 || other.Oldest > 0 && other.Oldest < c.Oldest {
		c.Oldest = other.Oldest
	}
	c.Happened.Add(other.Happened)
}

// Count counts.
func (c *Coordinator) Count() Counts {
	n := Counts{IDs: int64(len(c.ids)), Happened: c.happened}
	for _, t := range c.ids {
		switch {
		case t.state.preparing():
			n.Ending++
		case t.state == Ongoing:
			n.Add(Counts{Open: 1, Oldest: t.started})
		}
	}
	return n
}
