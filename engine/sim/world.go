package sim

import (
	"container/heap"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/engine/sim/history"
	"github.com/millrace/millrace/sdk/setting"
)

// world is one run: a clock, what is to happen, and everybody in it.
//
// Ownership: one goroutine's; clients are coroutines of it.
type world struct {
	o      Options
	plan   plan
	random *rand.Rand
	now    time.Time
	events events
	order  uint64
	trace  trace

	disk   *diskio.Memory
	values *setting.Values
	image  *cluster.Image         // metadata, durable by itself
	points map[string]shard.Point // the checkpoint of recovery points
	life   *life                  // nil: the broker is down
	lives  int
	calm   bool // nothing fails any more
	ending bool // clients come to their end

	clients       []*client
	links         int
	transactional map[string]bool // ids that somebody has used
	transactions  int
	zombies       int
	operations    []*history.Operation
	history       history.History
	wrong         []history.Anomaly // what is seen while it happens
	reached       map[string]int    // how often a corner was come by
}

// begin is when each world begins.
var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newWorld(o Options) *world {
	w := &world{o: o, random: rand.New(rand.NewPCG(o.Seed, 0x6d696c6c72616365)), now: begin, disk: diskio.NewMemory(), points: map[string]shard.Point{}, reached: map[string]int{}, transactional: map[string]bool{}}
	w.trace = trace{world: w, sum: fnv.New64a(), to: o.Trace}
	w.plan = w.draw()
	return w
}

// event is something that happens at a moment.
type event struct {
	at    time.Time
	order uint64
	run   func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	if !e[i].at.Equal(e[j].at) {
		return e[i].at.Before(e[j].at)
	}
	return e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = event{}
	*e = (*e)[:last]
	return x
}

// at has f run at a moment, not before now.
func (w *world) at(when time.Time, f func()) {
	if when.Before(w.now) {
		when = w.now
	}
	w.order++
	heap.Push(&w.events, event{when, w.order, f})
}

// after has f run after a while.
func (w *world) after(delay time.Duration, f func()) { w.at(w.now.Add(delay), f) }

// died is what a crash in the middle of the broker's work unwinds by.
type died struct{}

// step has the next event happen. It reports whether there was one, and nothing broke.
func (w *world) step() bool {
	if len(w.events) == 0 {
		return false
	}
	next := heap.Pop(&w.events).(event)
	w.now = next.at
	if !w.survive(next.run) {
		return false
	}
	if w.life != nil {
		w.life.rouse()
	}
	return true
}

// survive runs f, in which the broker may die. It reports whether nothing but that went wrong.
func (w *world) survive(f func()) (well bool) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case died:
			w.buried()
			well = true
		default:
			w.found(Panicked, "%v\n%s", r, debug.Stack())
		}
	}()
	f()
	return true
}

// runUntil has events happen until f says so, or the limit has come.
func (w *world) runUntil(limit time.Duration, f func() bool) (reached bool) {
	end := w.now.Add(limit)
	stopped := false
	w.at(end, func() { stopped = true })
	for !f() {
		if stopped || !w.step() {
			return false
		}
	}
	return true
}

// between draws a duration.
func (w *world) between(least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + time.Duration(w.random.Int64N(int64(most-least)))
}

// chance reports whether something of this probability happens.
func (w *world) chance(p float64) bool { return w.random.Float64() < p }

// found notes an anomaly.
func (w *world) found(class, format string, arguments ...any) {
	a := history.Anomaly{Class: class, Detail: fmt.Sprintf(format, arguments...)}
	words, _, _ := strings.Cut(a.Detail, "\n") // what follows is a stack, with addresses
	w.trace.line("FOUND %s: %s", a.Class, words)
	w.wrong = append(w.wrong, a)
}

// reach notes that a corner was come by, so that a test can see that none is forgotten.
func (w *world) reach(corner string) { w.reached[corner]++ }

// nanos is the moment in the words of the history.
func (w *world) nanos() int64 { return w.now.Sub(begin).Nanoseconds() }

// bytes16 draws an id.
func (w *world) bytes16() (id [16]byte) {
	for i := range id {
		id[i] = byte(w.random.Uint32())
	}
	return id
}

// trace is what has happened, a line for each event, and the hash of it.
type trace struct {
	world *world
	sum   hash.Hash64
	to    io.Writer // nil: only the hash is kept
	text  []byte
	lines int
}

func (t *trace) line(format string, arguments ...any) {
	at := t.world.now.Sub(begin)
	t.text = fmt.Appendf(t.text[:0], "%d.%09d ", at/time.Second, at%time.Second)
	t.text = fmt.Appendf(t.text, format, arguments...)
	t.text = append(t.text, '\n')
	t.sum.Write(t.text) // never fails, by its contract
	t.lines++
	if t.to != nil {
		t.to.Write(t.text) //nolint:errcheck // who reads the trace sees that it ends
	}
}
