package shard

import "sync/atomic"

// Task is work for a shard's goroutine.
type Task interface {
	Run(s *Shard)
}

// Node is the link by which a task waits in a shard's queue. It is part of the task, so
// that posting allocates nothing; it must not be posted again before it ran.
type Node struct {
	next *Node
	task Task
}

// Queue is a stack that many push and one empties, without locks.
type Queue struct {
	head atomic.Pointer[Node]
}

// Push adds n. It reports whether the queue was empty, in which case the caller must
// wake the owner.
//
// Ownership: n, and what its task holds, belong to the owner of the queue from here on.
func (q *Queue) Push(n *Node) (wake bool) {
	for {
		head := q.head.Load()
		n.next = head
		if q.head.CompareAndSwap(head, n) {
			return head == nil
		}
	}
}

// Take empties the queue and returns what was in it, oldest first.
func (q *Queue) Take() *Node {
	var oldest *Node
	for n := q.head.Swap(nil); n != nil; {
		n.next, oldest, n = oldest, n, n.next
	}
	return oldest
}
