package netpoll

import "sync/atomic"

// item is what a loop's inbox holds: a slot that is complete, a task, a connection to
// adopt or to close.
type item interface {
	// arrive runs on the loop.
	arrive(l *Loop)
}

// node links an item into one inbox at a time.
type node struct {
	next *node
	item item
}

// inbox is a list that any goroutine pushes to and one loop takes from, without locks.
// It can be shut; what is pushed then stays with the pusher.
type inbox struct {
	head atomic.Pointer[node] // the newest
}

// noLoop marks an inbox whose loop has gone.
var noLoop node

// push adds n and reports whether the loop will see it.
//
// Ownership: n is the inbox's until its item arrives.
func (b *inbox) push(n *node) bool {
	for {
		head := b.head.Load()
		if head == &noLoop {
			return false
		}
		n.next = head
		if b.head.CompareAndSwap(head, n) {
			return true
		}
	}
}

// empty reports whether there is nothing to take.
func (b *inbox) empty() bool { return b.head.Load() == nil }

// take empties the inbox; the oldest comes first.
func (b *inbox) take() *node { return oldestFirst(b.head.Swap(nil)) }

// shut empties the inbox for the last time.
func (b *inbox) shut() *node { return oldestFirst(b.head.Swap(&noLoop)) }

func oldestFirst(n *node) *node {
	var list *node
	for n != nil {
		next := n.next
		n.next = list
		list, n = n, next
	}
	return list
}

// Task is work for a loop. It is linked into the loop's inbox itself, so posting takes no
// memory; it must not be posted again before it ran (Run itself may post it).
type Task struct {
	Run  func()
	node node
}

func (t *Task) arrive(*Loop) { t.Run() }

// Post has t run on the loop. Any goroutine; tasks of one poster run in their order. It
// reports false, and t never runs, when the server is closed.
func (l *Loop) Post(t *Task) bool {
	t.node.item = t
	return l.push(&t.node)
}
