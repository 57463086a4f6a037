package netpoll

import (
	"container/heap"
	"time"
)

// pauses are the connections that are paused for a time; who goes on first is at the front.
//
// Ownership: the loop's, as its connections are.
type pauses []*Conn

func (p pauses) Len() int           { return len(p) }
func (p pauses) Less(i, j int) bool { return p[i].until.Before(p[j].until) }

func (p pauses) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].paused, p[j].paused = i, j
}

// Push is heap's.
func (p *pauses) Push(c any) {
	c.(*Conn).paused = len(*p)
	*p = append(*p, c.(*Conn))
}

// Pop is heap's.
func (p *pauses) Pop() any {
	last := len(*p) - 1
	c := (*p)[last]
	(*p)[last] = nil
	*p = (*p)[:last]
	return c
}

// PauseFor has no further frame delivered until so much time has gone by. It is beside Pause: neither
// ends the other, and frames are delivered once both are over. Within an earlier one it makes it
// longer, but never shorter. On the loop only.
func (c *Conn) PauseFor(d time.Duration) {
	l := c.loop
	until := l.now.Add(d)
	switch {
	case c.closed || d <= 0:
		return
	case c.stop&stopTime == 0:
		c.stop |= stopTime
		c.until = until
		heap.Push(&l.pauses, c)
	case until.After(c.until):
		c.until = until
		heap.Fix(&l.pauses, c.paused)
	}
	l.arm(l.pauses[0].until)
}

// forgetPause takes a connection that is being closed out of the list.
func (c *Conn) forgetPause() {
	if c.stop&stopTime != 0 {
		heap.Remove(&c.loop.pauses, c.paused)
		c.stop &^= stopTime
	}
}

// endPauses has those go on whose time is over, and wakes the loop for the next.
func (l *Loop) endPauses() {
	for len(l.pauses) > 0 {
		c := l.pauses[0]
		if c.until.After(l.now) {
			l.arm(c.until)
			return
		}
		heap.Pop(&l.pauses)
		c.resume(stopTime)
	}
}
