package shard

import (
	"sync/atomic"
	"time"
)

// Wait is a fetch that found too little and waits for more, at most until its deadline.
// It is part of the fetch and is used again and again; it may watch partitions of
// several shards.
//
// The fetch (on its loop) calls Add for every partition and then Begin. The shards count
// what becomes readable, and the first that sees enough, or the deadline, calls Wake,
// once. The fetch calls End, looks again and answers; Idle is called when no shard knows
// of the Wait any more, and only then may it be used again.
//
// Ownership: between Begin and Idle, links belong to the shards they were added for.
type Wait struct {
	Need int64     // bytes that must become readable before Wake
	Call Waiter    // whom to tell
	When time.Time // deadline

	got    atomic.Int64
	woken  atomic.Bool
	shards atomic.Int32 // that know of it, plus one for the fetch until End
	parts  []part
	used   int
}

// Waiter is whom a Wait tells. Both run on any goroutine and must not block.
type Waiter interface {
	Wake()
	Idle()
}

// part is what of a Wait concerns one shard.
type part struct {
	enter, leave Node
	owner        *Wait
	shard        *Shard
	timer        Timer
	keeper       bool // this shard watches the deadline
	links        []link
}

// link hangs a part into the list of a replica.
type link struct {
	part       *part
	replica    *Replica
	stable     bool  // it waits for what lies below the last stable offset
	seen       int64 // what the replica had committed, in bytes, when the fetch looked
	prev, next *link
}

// Add says that the fetch waits for r, of which it had seen so many committed bytes, or
// bytes below the last stable offset.
func (w *Wait) Add(r *Replica, seen int64, stable bool) {
	p := w.part(r.shard)
	p.links = append(p.links, link{replica: r, seen: seen, stable: stable})
}

func (w *Wait) part(s *Shard) *part {
	for i := range w.parts[:w.used] {
		if w.parts[i].shard == s {
			return &w.parts[i]
		}
	}
	if w.used == len(w.parts) {
		w.parts = append(w.parts, part{})
	}
	p := &w.parts[w.used]
	w.used++
	p.shard, p.owner, p.links, p.keeper = s, w, p.links[:0], false
	return p
}

// Begin brings the Wait to its shards. There must be at least one partition in it.
func (w *Wait) Begin() {
	w.got.Store(0)
	w.woken.Store(false)
	w.shards.Store(int32(w.used) + 1)
	w.parts[0].keeper = true
	for i := range w.parts[:w.used] {
		p := &w.parts[i]
		for j := range p.links {
			p.links[j].part = p
		}
		p.shard.Visit(&p.enter, (*entering)(p))
	}
}

// End takes the Wait back from its shards; Idle follows, perhaps at once.
func (w *Wait) End() {
	w.woken.Store(true)
	parts := w.parts[:w.used]
	w.used = 0
	for i := range parts {
		p := &parts[i]
		p.shard.Visit(&p.leave, (*leaving)(p))
	}
	w.drop()
}

// Cancel is End for a fetch that is given up. It reports whether Wake was not called
// and never will be.
func (w *Wait) Cancel() (unwoken bool) {
	unwoken = w.woken.CompareAndSwap(false, true)
	w.End()
	return unwoken
}

func (w *Wait) drop() {
	if w.shards.Add(-1) == 0 {
		w.Call.Idle()
	}
}

func (w *Wait) wake() {
	if w.woken.CompareAndSwap(false, true) {
		w.Call.Wake()
	}
}

// count adds bytes that became readable.
func (w *Wait) count(bytes int64) {
	if w.got.Add(bytes) >= w.Need {
		w.wake()
	}
}

type entering part

// Run hangs the links into their replicas. What was committed since the fetch looked
// counts, so that nothing is missed in between.
func (e *entering) Run(s *Shard) {
	p := (*part)(e)
	if p.keeper {
		p.timer.Task = (*overdue)(p)
		s.SetTimer(&p.timer, p.owner.When)
		s.fetches.Add(1)
	}
	for i := range p.links {
		l := &p.links[i]
		l.replica.Settle()
		if _, err := l.replica.Log(); err != nil {
			p.owner.wake() // the answer is an error, and the fetch must look it up
		}
		l.replica.watch(l)
		// The first look may have come before the partition was opened.
		now := &l.replica.committed
		if l.stable {
			now = &l.replica.stableBytes
		}
		if bytes := now.Load() - l.seen; bytes > 0 {
			p.owner.count(bytes)
		}
	}
}

type leaving part

// Run takes the links out again.
func (e *leaving) Run(s *Shard) {
	p := (*part)(e)
	if p.keeper {
		s.ClearTimer(&p.timer)
		s.fetches.Add(-1)
	}
	for i := range p.links {
		p.links[i].replica.unwatch(&p.links[i])
	}
	clear(p.links) // a Wait that is kept for later must not keep replicas
	p.owner.drop()
}

type overdue part

func (e *overdue) Run(*Shard) { e.owner.wake() }

// watch puts l into the list of those that wait for r.
func (r *Replica) watch(l *link) {
	l.prev, l.next = nil, r.watchers
	if r.watchers != nil {
		r.watchers.prev = l
	}
	r.watchers = l
}

// unwatch takes it out.
func (r *Replica) unwatch(l *link) {
	if l.prev != nil {
		l.prev.next = l.next
	} else {
		r.watchers = l.next
	}
	if l.next != nil {
		l.next.prev = l.prev
	}
	l.prev, l.next = nil, nil
}

// notify tells those that wait that so many bytes became readable, or stable.
func (r *Replica) notify(bytes int64, stable bool) {
	for l := r.watchers; l != nil; l = l.next {
		if l.stable == stable {
			l.part.owner.count(bytes)
		}
	}
}

// wakeAll makes everybody who waits look again.
func (r *Replica) wakeAll() {
	for l := r.watchers; l != nil; l = l.next {
		l.part.owner.wake()
	}
}
