package api

import (
	"sync/atomic"
	"time"
)

// gather asks the owners of many partitions at once. It answers when the last of them has, or
// without those that took too long: a disk that hangs holds up its shards, and whoever asked
// about others too is told of them, and an error for the rest.
//
//	g := c.gather(func() { c.reply(a) })
//	g.ask(replica, func() func() { … look, on the replica's shard …; return func() { … write the answer … } }, func() { … write that it came too late … })
//	g.done()
//
// Ownership: what is asked may be answered late, when the reply was sent. So the answer is
// written only by what is handed to tell, and by what is told of those that are late: one of the two,
// to memory of its own. The reply sees all of it.
type gather struct {
	left     atomic.Int32
	finish   func()
	patience time.Duration
	later    func(time.Duration, func()) (stop func())
	parts    []*part // whoever asks adds to it until done
	stop     func()  // ends the wait; nil: nobody waits
}

// gatherPatience is how long those who are asked may take: as long as Kafka gives a coordinator for
// a write (offsets.commit.timeout.ms), and far less than clients wait.
const gatherPatience = 5 * time.Second

// part is one of the answers.
type part struct {
	all  *gather
	told atomic.Bool
	late func()
}

func (c *call) gather(finish func()) *gather {
	c.beginWait(time.Now())
	g := &gather{finish: finish, patience: gatherPatience, later: c.server.Later}
	g.left.Store(1)
	return g
}

// part is one more answer, which somebody tells. late writes in its place that it did not come in time.
// Only whoever made the gather may call it, and not after done.
func (g *gather) part(late func()) *part {
	p := &part{all: g, late: late}
	g.left.Add(1)
	g.parts = append(g.parts, p)
	return p
}

// owner runs what it is given where that may be: a replica on its shard once it is settled, a shard at once.
type owner interface{ Do(f func()) }

// ask has o run look, and then what it returns, which writes the answer. What is late by then is not
// looked for.
func (g *gather) ask(o owner, look func() (write func()), late func()) {
	p := g.part(late)
	o.Do(func() {
		if p.awaited() {
			p.tell(look())
		}
	})
}

// awaited reports whether anybody still waits for the answer (any goroutine).
func (p *part) awaited() bool { return !p.told.Load() }

// tell writes the answer, unless one was told before or it is too late (any goroutine).
func (p *part) tell(write func()) {
	if p.told.CompareAndSwap(false, true) {
		write()
		p.all.count()
	}
}

// giveUp has the answer be that it comes too late, unless one was told before (any goroutine).
func (p *part) giveUp() { p.tell(p.late) }

// done says that everybody was asked.
func (g *gather) done() {
	if g.left.Load() > 1 {
		g.stop = g.later(g.patience, g.giveUp)
	}
	g.count()
}

// giveUp answers without those that are late.
func (g *gather) giveUp() {
	for _, p := range g.parts {
		p.giveUp()
	}
}

// count notes that one more was told, or that everybody was asked; the last of these finishes.
func (g *gather) count() {
	if g.left.Add(-1) > 0 {
		return
	}
	if g.stop != nil {
		g.stop()
	}
	g.finish()
}
