package group

import "slices"

// promise is a member id that was given out and not used yet. It costs its client fifty bytes and the broker up to a
// kilobyte, for a session timeout that may be half an hour.
type promise struct {
	g  *group
	id string
	d  *deadline
}

func (p promise) open() bool { return p.g.pending[p.id] == p.d }

// mostPromised is how many ids of a coordinator may be open. A client uses its id with the next request.
const mostPromised = 2000

// pended notes an id that was given out. When there are too many, the oldest is forgotten: its client is told
// UNKNOWN_MEMBER_ID, and joins again.
func (c *Coordinator) pended(now int64, p promise) {
	c.promises = append(c.promises, p)
	c.promised++
	for c.promised > mostPromised {
		oldest := c.promises[0]
		c.promises[0] = promise{}
		c.promises = c.promises[1:]
		if oldest.open() {
			oldest.d.fire(now)
		}
	}
}

// fewUsed is how many used ids may stay in order, whatever is open.
const fewUsed = 16

// unpended notes that n ids were used, or are not waited for any more. Each of them holds its group as long as it is in
// order, and most groups may be gone: when more than half of those in order were used, they go. That takes each once.
func (c *Coordinator) unpended(n int) {
	c.promised -= n
	if len(c.promises) > 2*c.promised+fewUsed {
		c.promises = slices.DeleteFunc(c.promises, func(p promise) bool { return !p.open() })
	}
}
