package diskio

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// coldWindow is how much a ColdReader reads at once, in bytes.
const coldWindow = 2 << 20

// coldWindows is how many of them there are.
const coldWindows = 3

var coldMemory = sync.Pool{New: func() any { p := aligned(coldWindows * coldWindow); return &p }}

// ColdReader reads a file from its beginning to its end past the page cache (O_DIRECT): what
// nobody will read again soon takes the place of nothing there, and memory that the system
// has yet to get is not asked for. DECISIONS.md has what both ways cost.
//
//	window i − 1 │ window i, where the caller is │ window i + 1, being read
//
// Ownership: of one goroutine, which closes it and so ends the one that reads.
type ColdReader struct {
	fd      int
	memory  *[]byte
	windows [coldWindows]coldPart
	reading *coldPart // nil: none
	ask     chan *coldPart
	done    chan struct{}
}

// coldPart is a window: the reading goroutine's while it is read.
type coldPart struct {
	index  int64 // from the beginning of the file; −1: nothing was read
	bytes  []byte
	filled int
	err    error
}

// OpenCold opens a file of the operating system. Others, and file systems that cannot, answer
// errors.ErrUnsupported.
func OpenCold(fs FS, name string) (*ColdReader, error) {
	if fs != OS {
		return nil, errors.ErrUnsupported
	}
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EINVAL) {
		return nil, errors.ErrUnsupported
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	r := &ColdReader{fd: fd, ask: make(chan *coldPart, 1), done: make(chan struct{}, 1)}
	r.memory = coldMemory.Get().(*[]byte)
	for i := range r.windows {
		r.windows[i] = coldPart{index: -1, bytes: (*r.memory)[i*coldWindow : (i+1)*coldWindow]}
	}
	go r.read()
	return r, nil
}

// read is the goroutine that reads.
func (r *ColdReader) read() {
	for p := range r.ask {
		for {
			p.filled, p.err = unix.Pread(r.fd, p.bytes, p.index*coldWindow)
			if p.err != unix.EINTR {
				break
			}
		}
		p.filled = max(p.filled, 0)
		r.done <- struct{}{}
	}
	close(r.done)
}

// ReadAt reads as io.ReaderAt says. It is quick where reads follow each other.
func (r *ColdReader) ReadAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		at := offset + int64(n)
		w, err := r.window(at / coldWindow)
		if err != nil {
			return n, err
		}
		in := int(at % coldWindow)
		if in >= w.filled {
			return n, io.EOF
		}
		n += copy(p[n:], w.bytes[in:w.filled])
	}
	return n, nil
}

// window is the window of that index, and has the next one read.
func (r *ColdReader) window(index int64) (*coldPart, error) {
	w := &r.windows[index%coldWindows]
	for w == r.reading || w.index != index {
		if r.reading == nil {
			r.begin(w, index)
		}
		<-r.done
		r.reading = nil
	}
	if w.err != nil {
		w.index = -1
		return nil, os.NewSyscallError("pread", w.err)
	}
	if next := &r.windows[(index+1)%coldWindows]; r.reading == nil && next.index != index+1 && w.filled == len(w.bytes) {
		r.begin(next, index+1)
	}
	return w, nil
}

func (r *ColdReader) begin(w *coldPart, index int64) {
	w.index, r.reading = index, w
	r.ask <- w
}

// Close ends it.
func (r *ColdReader) Close() error {
	close(r.ask)
	for range r.done { // until nobody reads
	}
	coldMemory.Put(r.memory)
	return os.NewSyscallError("close", unix.Close(r.fd))
}
