package shard

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// numbered is a task that knows who posted it, and as which of theirs.
type numbered struct {
	Node
	poster, number int
	run            func(n *numbered)
}

func (n *numbered) Run(*Shard) { n.run(n) }

// TestQueueKeepsEveryPostersOrder: many post, one takes; nothing is lost, nothing comes
// twice, and the tasks of one poster come in its order.
func TestQueueKeepsEveryPostersOrder(t *testing.T) {
	const posters, each = 8, 2000
	s := Start(Options{})
	next := make([]int, posters) // the shard's
	var all sync.WaitGroup
	for p := range posters {
		all.Go(func() {
			tasks := make([]numbered, each)
			for i := range tasks {
				tasks[i] = numbered{poster: p, number: i, run: func(n *numbered) {
					if next[n.poster] != n.number {
						t.Errorf("poster %d: task %d comes as number %d", n.poster, n.number, next[n.poster])
					}
					next[n.poster]++
				}}
				s.Post(&tasks[i].Node, &tasks[i])
			}
		})
	}
	all.Wait()
	s.Stop()
	for p, n := range next {
		if n != each {
			t.Errorf("poster %d: %d of %d tasks ran", p, n, each)
		}
	}
}

// TestEveryPostWakes has a shard fall asleep before every task.
func TestEveryPostWakes(t *testing.T) {
	s := Start(Options{})
	defer s.Stop()
	for range 2000 {
		ran := make(chan struct{})
		s.Do(func() { close(ran) })
		<-ran
	}
}

// TestWaitOnAnEndedShard: nobody hangs who comes too late.
func TestWaitOnAnEndedShard(t *testing.T) {
	s := Start(Options{})
	if !s.Wait(func() {}) {
		t.Error("it did not run")
	}
	s.Stop()
	if s.Wait(func() { t.Error("it ran") }) {
		t.Error("it says that it ran")
	}
	s.Stop()
}

func TestQueueAllocatesNothing(t *testing.T) {
	var q Queue
	var n Node
	if got := testing.AllocsPerRun(100, func() { q.Push(&n); q.Take() }); got != 0 {
		t.Fatalf("push and take allocate %v times, want 0", got)
	}
}

func TestFifoAgreesWithASlice(t *testing.T) {
	var f fifo
	var model []*Append
	for range 10_000 {
		if rand.IntN(5) < 3 {
			a := new(Append)
			f.push(a)
			model = append(model, a)
		} else if len(model) > 0 {
			f.pop()
			model = model[1:]
		}
		var want *Append
		if len(model) > 0 {
			want = model[0]
		}
		if f.first() != want || f.len() != len(model) {
			t.Fatalf("%d appends, want %d, the first is the right one: %v", f.len(), len(model), f.first() == want)
		}
	}
	for _, a := range f.ring { // a ring must not keep what was taken out
		if a != nil && !slices.Contains(model, a) {
			t.Fatal("an append that was taken out is still held")
		}
	}
}

func TestTimersAgreeWithASortedList(t *testing.T) {
	base := time.Unix(1000, 0)
	var h timers
	all := make([]*Timer, 50)
	set := map[*Timer]time.Time{}
	for i := range all {
		all[i] = &Timer{}
	}
	for range 20_000 {
		switch one := all[rand.IntN(len(all))]; rand.IntN(3) {
		case 0, 1:
			when := base.Add(time.Duration(rand.IntN(100)))
			h.set(one, when)
			set[one] = when
		case 2:
			h.clear(one)
			delete(set, one)
		}
		if rand.IntN(10) > 0 {
			continue
		}
		now := base.Add(time.Duration(rand.IntN(60)))
		last := time.Time{}
		for due := h.due(now); due != nil; due = h.due(now) {
			if set[due].IsZero() || set[due].After(now) || due.When.Before(last) {
				t.Fatalf("at %v a timer of %v is due, set for %v, after one of %v", now, due.When, set[due], last)
			}
			last = due.When
			delete(set, due)
		}
		for _, when := range set {
			if !when.After(now) {
				t.Fatalf("a timer of %v is not due at %v", when, now)
			}
		}
		if len(h) != len(set) {
			t.Fatalf("%d timers are set, want %d", len(h), len(set))
		}
	}
}
