package group

import "container/heap"

// deadline is a moment at which something must be done unless it is moved or cleared
// first. It is embedded in what it belongs to and costs nothing while it is not set.
type deadline struct {
	at    int64 // milliseconds
	order uint64
	slot  int // position in the heap plus one; 0: not set
	fire  func(now int64)
}

func (d *deadline) set() bool { return d.slot > 0 }

// deadlines is a heap, earliest first; equal moments fire in the order in which they
// were set.
type deadlines struct {
	heap  []*deadline
	order uint64
}

// move sets d to fire at the given moment, wherever it was before.
func (h *deadlines) move(d *deadline, at int64) {
	h.order++
	d.at, d.order = at, h.order
	if d.set() {
		heap.Fix(h, d.slot-1)
		return
	}
	heap.Push(h, d)
}

func (h *deadlines) clear(d *deadline) {
	if d.set() {
		heap.Remove(h, d.slot-1)
	}
}

// due takes out the earliest deadline that is not after now, or returns nil.
func (h *deadlines) due(now int64) *deadline {
	if len(h.heap) == 0 || h.heap[0].at > now {
		return nil
	}
	return heap.Pop(h).(*deadline)
}

// Len, Less, Swap, Push and Pop are for container/heap only.

func (h *deadlines) Len() int { return len(h.heap) }

func (h *deadlines) Less(i, j int) bool {
	a, b := h.heap[i], h.heap[j]
	return a.at < b.at || a.at == b.at && a.order < b.order
}

func (h *deadlines) Swap(i, j int) {
	h.heap[i], h.heap[j] = h.heap[j], h.heap[i]
	h.heap[i].slot, h.heap[j].slot = i+1, j+1
}

func (h *deadlines) Push(x any) {
	d := x.(*deadline)
	h.heap = append(h.heap, d)
	d.slot = len(h.heap)
}

func (h *deadlines) Pop() any {
	last := len(h.heap) - 1
	d := h.heap[last]
	h.heap[last] = nil
	h.heap = h.heap[:last]
	d.slot = 0
	return d
}
