package diskio

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// windowBytes is the unit that files are mapped by: address space, not memory. A
	// file that outgrows its window gets another, and keeps the first.
	windowBytes = 1 << 30
	// residentBytes is how much of the mapped files may count as this process's memory,
	// and at most as much again, for the kernel maps neighbours of what is looked at. The
	// page cache keeps what is given back, and a later look finds it there.
	residentBytes = 8 << 20
	// maxWindows is how many mappings there may be. The kernel allows a process 65,530
	// (vm.max_map_count), and the Go runtime dies when it gets none.
	maxWindows = 16 << 10
)

// window is a mapping of a file from its beginning.
type window struct {
	bytes []byte
	older *window
}

// Map shows a range of the file.
func (f *osFile) Map(offset int64, size int) []byte {
	p := f.show(offset, size)
	if p != nil {
		resident.add(f, size)
	}
	return p
}

// show is Map for those who do not look at the bytes.
func (f *osFile) show(offset int64, size int) []byte {
	if offset < 0 || size <= 0 || !f.enter() {
		return nil
	}
	defer f.leave()
	end := offset + int64(size)
	w := f.windows.Load()
	for w == nil || int64(len(w.bytes)) < end {
		if w = f.widen(w, end); w == nil {
			return nil
		}
	}
	return w.bytes[offset:end:end]
}

// widen maps the file up to end at least, unless somebody else just did; nil when the
// system refuses.
func (f *osFile) widen(old *window, end int64) *window {
	if windows.Add(1) > maxWindows {
		windows.Add(-1)
		return nil
	}
	p, err := unix.Mmap(f.fd, 0, int((end+windowBytes-1)/windowBytes*windowBytes), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		windows.Add(-1)
		return nil // no address space, or a file system that maps nothing
	}
	w := &window{p, old}
	if f.windows.CompareAndSwap(old, w) {
		return w
	}
	w.unmap()
	return f.windows.Load()
}

// windows is how many mappings there are.
var windows atomic.Int64

func (w *window) unmap() {
	_ = unix.Munmap(w.bytes) // it is ours, and whole: there is nothing to fail
	windows.Add(-1)
}

// unmap takes the windows away; nobody uses the file any more.
func (f *osFile) unmap() {
	for w := f.windows.Swap(nil); w != nil; w = w.older {
		w.unmap()
	}
}

// resident bounds the memory of all mappings together.
var resident residency

// residency counts what was shown of mapped files, as if all of it had been looked at and
// none of it twice, and gives all of it back when it is too much.
type residency struct {
	bytes atomic.Int64
	guard sync.Mutex //nolint:forbidigo // taken once for a file between two sweeps, and never waited for by a sweep
	files []*osFile  // shown since the last sweep; under guard
}

func (r *residency) add(f *osFile, size int) {
	if !f.shown.Load() && f.shown.CompareAndSwap(false, true) {
		r.guard.Lock()
		r.files = append(r.files, f)
		r.guard.Unlock()
	}
	if r.bytes.Add(int64(size)) >= residentBytes {
		r.sweep()
	}
}

// sweep gives back the pages. Who is just sending from them finds them in the page cache
// again.
func (r *residency) sweep() {
	if !r.guard.TryLock() {
		return // somebody sweeps, or adds: the next one does
	}
	defer r.guard.Unlock()
	r.bytes.Store(0)
	for i, f := range r.files {
		r.files[i] = nil
		f.shown.Store(false)
		if !f.enter() {
			continue
		}
		for w := f.windows.Load(); w != nil; w = w.older {
			_ = unix.Madvise(w.bytes, unix.MADV_DONTNEED)
		}
		f.leave()
	}
	r.files = r.files[:0]
}
