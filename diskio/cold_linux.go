package diskio

import (
	"errors"
	"fmt"
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
	size    int64                                             // of the file, when it was opened
	pread   func(fd int, p []byte, offset int64) (int, error) // the system's, but for tests
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

// OpenCold opens a file of the operating system, on a disk that keeps a reserve or not. Others,
// and file systems that cannot, answer errors.ErrUnsupported.
func OpenCold(fs FS, name string) (*ColdReader, error) {
	if r, ok := fs.(*Reserved); ok {
		fs = r.FS
	}
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
	var found unix.Stat_t
	if err := unix.Fstat(fd, &found); err != nil {
		return nil, errors.Join(&os.PathError{Op: "stat", Path: name, Err: err}, unix.Close(fd))
	}
	r := &ColdReader{fd: fd, size: found.Size, pread: unix.Pread, ask: make(chan *coldPart, 1), done: make(chan struct{}, 1)}
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
		r.fill(p)
		r.done <- struct{}{}
	}
	close(r.done)
}

// fill reads a window, or what the file has of it. The system also answers with less than that
// when what follows cannot be read, and tells why when it is asked for the rest. Where it does
// not read past the page cache after all (a file system that takes the flag and refuses the
// read, or wants larger multiples), the file is one like any other.
func (r *ColdReader) fill(p *coldPart) {
	p.filled, p.err = 0, nil
	from := p.index * coldWindow
	for p.filled < len(p.bytes) && from+int64(p.filled) < r.size && p.err == nil {
		n, err := r.pread(r.fd, p.bytes[p.filled:], from+int64(p.filled))
		switch {
		case err == unix.EINTR:
		case err == unix.EINVAL || err == unix.EOPNOTSUPP:
			p.err = r.indirect(err)
		case err != nil:
			p.err = err
		case n == 0:
			p.err = io.ErrUnexpectedEOF
		default:
			p.filled += n
		}
	}
}

// indirect has the file read through the page cache from now on; refused is the error of a
// read that was not.
func (r *ColdReader) indirect(refused error) error {
	flags, err := unix.FcntlInt(uintptr(r.fd), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_DIRECT == 0 {
		return refused
	}
	_, err = unix.FcntlInt(uintptr(r.fd), unix.F_SETFL, flags&^unix.O_DIRECT)
	return err
}

// ReadAt reads as io.ReaderAt says. It is quick where reads follow each other.
func (r *ColdReader) ReadAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		at := offset + int64(n)
		w := r.window(at / coldWindow)
		in := int(at % coldWindow)
		if in >= w.filled && w.err != nil {
			w.index = -1 // who asks again has it tried again
			return n, fmt.Errorf("read past the page cache: %w", w.err)
		}
		if in >= w.filled {
			return n, io.EOF
		}
		n += copy(p[n:], w.bytes[in:w.filled])
	}
	return n, nil
}

// window is the window of that index, and has the next one read.
func (r *ColdReader) window(index int64) *coldPart {
	w := &r.windows[index%coldWindows]
	for w == r.reading || w.index != index {
		if r.reading == nil {
			r.begin(w, index)
		}
		<-r.done
		r.reading = nil
	}
	if next := &r.windows[(index+1)%coldWindows]; r.reading == nil && next.index != index+1 && w.filled == len(w.bytes) {
		r.begin(next, index+1)
	}
	return w
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
