package shard

// fifo is a queue of appends in a ring that grows and never shrinks.
type fifo struct {
	ring  []*Append
	begin int
	count int
}

func (f *fifo) len() int { return f.count }

func (f *fifo) push(a *Append) {
	if f.count == len(f.ring) {
		f.grow()
	}
	f.ring[(f.begin+f.count)%len(f.ring)] = a
	f.count++
}

func (f *fifo) grow() {
	bigger := make([]*Append, max(8, 2*len(f.ring)))
	for i := range f.count {
		bigger[i] = f.ring[(f.begin+i)%len(f.ring)]
	}
	f.ring, f.begin = bigger, 0
}

// first is the oldest append, nil when there is none.
func (f *fifo) first() *Append {
	if f.count == 0 {
		return nil
	}
	return f.ring[f.begin]
}

func (f *fifo) pop() {
	f.ring[f.begin] = nil
	f.begin = (f.begin + 1) % len(f.ring)
	f.count--
}
