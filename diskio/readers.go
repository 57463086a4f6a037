package diskio

import "sync"

// waitingReads is how many may wait until others are done.
const waitingReads = 1024

// Readers read from one disk for those who must not wait for it.
type Readers struct {
	work  chan Reading
	group sync.WaitGroup
}

// Reading is something to read. Read may block, and tells nobody but its owner how it went.
type Reading interface{ Read() }

// NewReaders starts so many goroutines; Close ends them.
func NewReaders(parallel int) *Readers {
	r := &Readers{work: make(chan Reading, waitingReads)}
	for range parallel {
		r.group.Go(func() {
			for reading := range r.work {
				reading.Read()
			}
		})
	}
	return r
}

// Post has reading.Read called soon, unless too much waits already: then it reports false.
// Never after Close.
func (r *Readers) Post(reading Reading) bool {
	select {
	case r.work <- reading:
		return true
	default:
		return false
	}
}

// Idle reports whether nothing waits to be read.
func (r *Readers) Idle() bool { return len(r.work) == 0 }

// Close has what waits read, and ends the goroutines.
func (r *Readers) Close() {
	close(r.work)
	r.group.Wait()
}
