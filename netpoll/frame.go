package netpoll

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// poison has released frames overwritten, so that a use after release shows. The race
// detector's builds and this package's tests set it.
var poison = raceEnabled

// Frame is the bytes of one request, without their length prefix.
//
// Ownership: counted. Who got it releases it; each Retain asks for one more Release.
type Frame struct {
	memory    []byte // as long as its size class
	filled    int
	holders   atomic.Int32
	class     int
	budget    *budget
	overdrawn bool // holds the budget's overdraft
}

// Bytes is the frame's content; it is valid until the last Release.
func (f *Frame) Bytes() []byte { return f.memory[:f.filled:f.filled] }

// Retain keeps the frame for one holder more.
func (f *Frame) Retain() {
	if f.holders.Add(1) < 2 {
		panic("netpoll: frame retained after its last release")
	}
}

// Release gives the frame up, on any goroutine.
func (f *Frame) Release() {
	left := f.holders.Add(-1)
	if left > 0 {
		return
	}
	if left < 0 {
		panic("netpoll: frame released more often than retained")
	}
	b, size, overdrawn := f.budget, len(f.memory), f.overdrawn
	f.free()
	b.credit(size, overdrawn)
}

// free returns the memory to its pool; the budget is the caller's to settle.
func (f *Frame) free() {
	if poison {
		spoil(f.memory)
	}
	f.budget, f.filled, f.overdrawn = nil, 0, false
	framePools[f.class].Put(f)
}

// spoil overwrites all that p has room for.
func spoil(p []byte) {
	p = p[:cap(p)]
	for i := range p {
		p[i] = 0xDB
	}
}

// Memory comes in classes of four steps per doubling, so that at most a fifth of a frame's
// memory is spare.
const (
	smallest = 1 << 10
	classes  = 88
)

// framePools hold what is free, one pool per class.
var framePools [classes]sync.Pool

// classOf returns the smallest class that holds n bytes, and its size.
func classOf(n int) (class, size int) {
	if n <= smallest {
		return 0, smallest
	}
	shift := bits.Len(uint(n-1)) - 1 // 1<<shift < n <= 1<<(shift+1)
	quarters := (n-1)>>(shift-2) + 1 // 5 to 8 quarters of 1<<shift
	return (shift-10)*4 + quarters - 4, quarters << (shift - 2)
}

// takeFrame returns an empty frame for n bytes, of which its only holder is the caller.
// The budget has been charged with its size.
func takeFrame(n int, b *budget, overdrawn bool) *Frame {
	class, size := classOf(n)
	f, ok := framePools[class].Get().(*Frame)
	if !ok {
		f = &Frame{memory: make([]byte, size), class: class}
	}
	f.budget, f.overdrawn = b, overdrawn
	f.holders.Store(1)
	return f
}
