// Package sim plays one node in one goroutine: the broker that is served to clients, from the parsing of
// requests to the bytes on the disk, with a clock, a network, a disk and clients that a seed decides about. The same seed
// is the same world, to the last line of its trace.
//
//	seed ──▶ plan: who lives here, what goes wrong
//	           │
//	clients ───┤ coroutines: producers, transactions, copiers, groups, readers
//	           ▼
//	 links: late, slow, lost ──▶ netpoll.Stage ──▶ api ──▶ shard (stepped) ──▶ partition, group, txn ──▶ commitlog
//	           ▲                                                                                            │
//	           └── answers                     crash at any operation, or loss of power ──▶ diskio.Memory ◀─┘
//	                                           └──▶ the next life starts from what is there
//
// At the end everything heals: clients come to their end, transactional ids are taken over or left to their time limits, the power is cut once more,
// everything is read back, and package history judges what everybody was told. What the broker is not told in this
// world: metadata is decided and durable by itself (engine/quorum has tests of its own), files are synced one by one without the
// journal, and nothing is compacted or deleted.
//
// Ownership: a run is one goroutine's; two runs share nothing.
package sim

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/millrace/millrace/engine/sim/history"
)

// Options of a run.
type Options struct {
	Seed uint64
	// Trace is where every event is written, a line each. Nil: nowhere.
	Trace io.Writer
	// broken has the broker be one that breaks a promise. Nil: it is whole.
	broken *broken
}

// Classes of what the simulator sees by itself, beside those of package history.
const (
	Panicked  = "panic"
	Stuck     = "stuck"     // somebody does not come to an end though nothing fails any more
	Hanging   = "hanging"   // a transaction that nobody ends
	Invariant = "invariant" // of a machine, or of a partition
	Damaged   = "damaged"   // what was read does not hold together
	Refused   = "refused"   // what must be served was refused
)

// Result is how a run went.
type Result struct {
	Seed      uint64
	Hash      uint64 // of the trace
	Lines     int    // of it
	Lived     time.Duration
	Lives     int
	Reads     int
	Ended     map[history.Result]int // operations
	Reached   map[string]int         // corners that were come by
	Anomalies []history.Anomaly
}

// Run plays a seed to its end.
func Run(o Options) Result {
	w := newWorld(o)
	w.trace.line("seed %d: %v", o.Seed, w.plan)
	w.foundCluster()
	w.play()
	for _, c := range w.clients {
		c.stop()
	}
	r := Result{
		Seed: o.Seed, Hash: w.trace.sum.Sum64(), Lines: w.trace.lines, Lived: w.now.Sub(begin), Lives: w.lives, Reads: len(w.history.Reads),
		Ended: map[history.Result]int{}, Reached: w.reached, Anomalies: w.wrong,
	}
	slices.SortStableFunc(w.operations, func(a, b *history.Operation) int { return cmp.Compare(a.Began, b.Began) })
	for _, op := range w.operations {
		w.history.Operations = append(w.history.Operations, *op)
		r.Ended[op.Result]++
	}
	if len(r.Anomalies) == 0 {
		r.Anomalies = history.Check(&w.history)
	}
	return r
}

// play has everybody live, and brings them to their end.
func (w *world) play() {
	w.survive(w.start)
	w.populate()
	if !w.lasts(w.plan.length) {
		return
	}
	w.trace.line("everything heals")
	w.calm, w.ending = true, true
	if w.life != nil {
		w.life.left = -1
	}
	if !w.runUntil(5*time.Minute, w.allDone) {
		for _, c := range w.clients {
			if !c.done {
				w.found(Stuck, "%s does not come to its end: %s", c.name, c.doing)
			}
		}
		return
	}
	last := w.spawn("final", final)
	if !w.runUntil(10*time.Minute, func() bool { return last.done || len(w.wrong) > 0 }) {
		w.found(Stuck, "what was written cannot be read back: %s", last.doing)
	}
}

// lasts has events happen for so long. It reports whether nothing broke.
func (w *world) lasts(length time.Duration) bool {
	end := false
	w.after(length, func() { end = true })
	for !end {
		if !w.step() || len(w.wrong) > 0 {
			return false
		}
	}
	return true
}

func (w *world) allDone() bool {
	return len(w.wrong) > 0 || !slices.ContainsFunc(w.clients, func(c *client) bool { return !c.done })
}

// populate makes the clients of the plan.
func (w *world) populate() {
	p := &w.plan
	for i := range p.idempotent {
		w.spawn(fmt.Sprintf("idempotent-%d", i), idempotent)
	}
	for i := range p.writersV1 {
		w.spawn(fmt.Sprintf("v1-%d", i), writer(fmt.Sprintf("v1-%d", i), false))
	}
	for i := range p.writersV2 {
		w.spawn(fmt.Sprintf("v2-%d", i), writer(fmt.Sprintf("v2-%d", i), true))
	}
	for i, k := range p.copiers {
		w.spawn(fmt.Sprintf("copier-%d", i), k.body(i))
	}
	for i := range p.readers {
		w.spawn(fmt.Sprintf("reader-%d", i), reader(i%2 == 0))
	}
	for i, how := range p.committers {
		w.spawn(fmt.Sprintf("committer-%d", i), committer(how))
	}
}
