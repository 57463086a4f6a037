package shard

import "time"

// Timer runs a task on its shard once a moment has come. It is part of what it serves
// and owned by the shard.
type Timer struct {
	When  time.Time
	Task  Task
	index int // in the heap plus one; zero: not set
}

// timers is a binary heap ordered by When. Not container/heap, whose interface
// allocates.
type timers []*Timer

// set puts t in its place, whether it was there before or not.
func (h *timers) set(t *Timer, when time.Time) {
	t.When = when
	if t.index == 0 {
		*h = append(*h, t)
		t.index = len(*h)
	}
	h.down(h.up(t.index - 1))
}

// clear takes t out, if it is there.
func (h *timers) clear(t *Timer) {
	if t.index == 0 {
		return
	}
	at, last := t.index-1, len(*h)-1
	h.swap(at, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	t.index = 0
	if at < last {
		h.down(h.up(at))
	}
}

// due takes the first timer out if its moment is not after now.
func (h *timers) due(now time.Time) *Timer {
	if len(*h) == 0 || (*h)[0].When.After(now) {
		return nil
	}
	t := (*h)[0]
	h.clear(t)
	return t
}

func (h *timers) swap(i, j int) {
	s := *h
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i+1, j+1
}

func (h *timers) up(i int) int {
	for s := *h; i > 0; {
		parent := (i - 1) / 2
		if !s[i].When.Before(s[parent].When) {
			break
		}
		h.swap(i, parent)
		i = parent
	}
	return i
}

func (h *timers) down(i int) {
	for s := *h; ; {
		child := 2*i + 1
		if child >= len(s) {
			return
		}
		if child+1 < len(s) && s[child+1].When.Before(s[child].When) {
			child++
		}
		if !s[child].When.Before(s[i].When) {
			return
		}
		h.swap(i, child)
		i = child
	}
}
