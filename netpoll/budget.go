package netpoll

import "sync/atomic"

// budget bounds the memory of frames that were read, wholly or in part, and not yet
// released. A connection that is refused stops reading and waits on its loop's list.
//
// Were the whole budget taken by frames that are only partly read, none could become
// whole. So one frame at a time may overdraw: it is completed, served and released, and
// makes room. The limit is thus passed by one frame at most.
type budget struct {
	limit     int64
	used      atomic.Int64
	overdraft atomic.Bool // taken by one frame
	loops     []*Loop     // whose connections may wait; set before the first frame
}

// Hunger of a loop: whether connections of its wait for the budget.
const (
	fed     = iota
	hungry  // set by the loop; who releases memory posts the feeding
	feeding // posted, not yet run
)

// charge asks for n bytes more. A frame that already overdraws may always grow.
func (b *budget) charge(n int, overdrawn bool) (granted, overdraws bool) {
	if b.used.Add(int64(n)) <= b.limit || overdrawn {
		return true, overdrawn
	}
	if b.overdraft.CompareAndSwap(false, true) {
		return true, true
	}
	b.used.Add(int64(-n))
	return false, false
}

// force charges for what must be kept whatever the limit: bytes already read.
func (b *budget) force(n int) { b.used.Add(int64(n)) }

// credit gives n bytes back and has hungry loops look again.
func (b *budget) credit(n int, overdrawn bool) {
	left := b.used.Add(int64(-n))
	if overdrawn {
		b.overdraft.Store(false)
	}
	if left < b.limit || overdrawn {
		b.feed()
	}
}

func (b *budget) feed() {
	for _, l := range b.loops {
		if l.hunger.Load() == hungry && l.hunger.CompareAndSwap(hungry, feeding) {
			l.Post(&l.feedTask)
		}
	}
}

// spare reports whether charging n would be granted now.
func (b *budget) spare(n int) bool {
	return b.used.Load()+int64(n) <= b.limit || !b.overdraft.Load()
}
