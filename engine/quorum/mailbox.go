package quorum

import (
	"sync/atomic"

	"github.com/millrace/millrace/engine/cluster"
)

// request is one change on its way in and, once it is decided, on its way out.
type request struct {
	decide Decision
	done   func(*cluster.Image, error)
	next   *request // in the mailbox: the one that came before; once taken: the one that came after
	// What follows is the owner's, once the change is decided.
	before, after *cluster.Image
	records       []cluster.Record
	refusal       error
	term          uint64
}

// mailbox hands requests to the owner goroutine: a stack without locks, turned round when
// it is taken. Closing puts a last head on it, behind which nothing is pushed.
type mailbox struct {
	head atomic.Pointer[request]
	size atomic.Int64
	wake chan struct{} // holds one token; whoever pushes on an empty mailbox puts it there
}

var shut = new(request) // the head of a closed mailbox

// push hands over r, and reports false when the mailbox is closed.
//
// Ownership: r belongs to the owner goroutine once push answers true.
func (m *mailbox) push(r *request) bool {
	for {
		head := m.head.Load()
		if head == shut {
			return false
		}
		r.next = head
		if m.head.CompareAndSwap(head, r) {
			m.size.Add(1)
			if head == nil {
				m.ring()
			}
			return true
		}
	}
}

// ring wakes the owner.
func (m *mailbox) ring() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take empties the mailbox and answers the requests in the order in which they came, as a
// list along next.
func (m *mailbox) take() *request {
	for {
		head := m.head.Load()
		if head == shut {
			return nil
		}
		if m.head.CompareAndSwap(head, nil) {
			return m.turn(head)
		}
	}
}

// collect is take, or close for the last time: never both, for what one of them hands over
// the other does not.
func (m *mailbox) collect(last bool) *request {
	if last {
		return m.close()
	}
	return m.take()
}

// close closes the mailbox and answers what was still in it.
func (m *mailbox) close() *request {
	head := m.head.Swap(shut)
	if head == shut {
		return nil
	}
	return m.turn(head)
}

func (m *mailbox) turn(head *request) *request {
	var first *request
	for head != nil {
		head.next, first, head = first, head, head.next
		m.size.Add(-1)
	}
	return first
}
