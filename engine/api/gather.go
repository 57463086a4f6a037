package api

import (
	"sync/atomic"

	"github.com/millrace/millrace/engine/shard"
)

// gather asks the owners of many partitions at once and answers when the last has.
//
//	g := newGather(func() { c.reply(a) })
//	g.ask(replica, func() { … runs on the replica's shard … })
//	g.done()
//
// Every ask must write to memory of its own; the reply sees all of it.
type gather struct {
	left   atomic.Int32
	finish func()
}

func newGather(finish func()) *gather {
	g := &gather{finish: finish}
	g.left.Store(1)
	return g
}

// ask runs f on the shard that owns r, once r is settled.
func (g *gather) ask(r *shard.Replica, f func()) {
	g.left.Add(1)
	r.Do(func() {
		f()
		g.done()
	})
}

// later counts one more answer, that of whoever calls done.
func (g *gather) later() { g.left.Add(1) }

// done says that everybody was asked, or that a later answer is there.
func (g *gather) done() {
	if g.left.Add(-1) == 0 {
		g.finish()
	}
}
