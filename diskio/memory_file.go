package diskio

import (
	"io"
	"os"
	"syscall"
)

// memoryFile is an open file of a Memory.
type memoryFile struct {
	disk   *Memory
	node   *node
	name   string
	life   int
	closed bool
}

// use begins a call on f; the caller holds the guard.
func (f *memoryFile) use(what string) error {
	if f.closed || f.life != f.disk.life {
		return f.fail(what, os.ErrClosed)
	}
	return nil
}

func (f *memoryFile) fail(what string, err error) error {
	return &os.PathError{Op: what, Path: f.name, Err: err}
}

// ReadAt reads until p is full or the file ends.
func (f *memoryFile) ReadAt(p []byte, offset int64) (int, error) {
	f.disk.guard.Lock()
	defer f.disk.guard.Unlock()
	f.disk.counts.Reads++
	if err := f.use("read"); err != nil {
		return 0, err
	}
	if offset < 0 {
		return 0, f.fail("read", syscall.EINVAL)
	}
	if offset >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes all of p.
func (f *memoryFile) WriteAt(p []byte, offset int64) (int, error) {
	return f.Writev([][]byte{p}, offset)
}

// Writev writes all of bufs.
func (f *memoryFile) Writev(bufs [][]byte, offset int64) (int, error) {
	f.disk.guard.Lock()
	defer f.disk.guard.Unlock()
	f.disk.counts.Writes++
	if err := f.use("write"); err != nil {
		return 0, err
	}
	if err := f.disk.step(true); err != nil {
		return 0, f.fail("write", err)
	}
	done := 0
	for _, p := range bufs {
		room := f.disk.room(f.node, offset+int64(done), p)
		f.disk.put(f.node, room, offset+int64(done))
		done += len(room)
		if len(room) < len(p) {
			return done, f.fail("write", syscall.ENOSPC)
		}
	}
	return done, nil
}

// room is how much of p fits on the disk at offset.
func (m *Memory) room(n *node, offset int64, p []byte) []byte {
	grow := offset + int64(len(p)) - int64(len(n.data))
	if m.space < 0 || grow <= m.space {
		return p
	}
	return p[:max(0, int64(len(p))-(grow-m.space))]
}

func (m *Memory) put(n *node, p []byte, offset int64) {
	if len(p) == 0 {
		return
	}
	end := offset + int64(len(p))
	from := min(offset, int64(len(n.data)))
	if end > int64(len(n.data)) {
		if m.space >= 0 {
			m.space -= end - int64(len(n.data))
		}
		n.data = append(n.data, make([]byte, end-int64(len(n.data)))...)
	}
	copy(n.data[offset:], p)
	n.mod = m.now()
	n.dirty.add(from, end)
}

func (m *Memory) resize(n *node, size int64) {
	old := int64(len(n.data))
	if m.space >= 0 {
		m.space -= size - old
	}
	if size <= old {
		n.data = n.data[:size:size]
	} else {
		n.data = append(n.data, make([]byte, size-old)...)
	}
	n.mod = m.now()
	if size != old {
		n.dirty.add(min(size, old), max(size, old))
	}
}

// Sync makes the content durable, but not the name of the file.
func (f *memoryFile) Sync() error {
	f.disk.guard.Lock()
	defer f.disk.guard.Unlock()
	f.disk.counts.Syncs++
	if err := f.use("sync"); err != nil {
		return err
	}
	if err := f.disk.step(false); err != nil {
		return f.fail("sync", err)
	}
	n := f.node
	if err := f.disk.failSync; err != nil {
		n.lost = n.lost || n.dirty.from < n.dirty.to
		return f.fail("sync", err)
	}
	if n.lost {
		return nil // a lie, as the kernel's
	}
	low := min(n.dirty.from, int64(len(n.data)), int64(len(n.synced)))
	switch {
	case n.dirty.from >= n.dirty.to:
	case len(n.synced) == len(n.data): // no more than what changed: files that are written over may be large
		copy(n.synced[low:], n.data[low:min(n.dirty.to, int64(len(n.data)))])
	default:
		n.synced = append(n.synced[:low], n.data[low:]...)
	}
	n.dirty = span{}
	return nil
}

// Truncate sets the size.
func (f *memoryFile) Truncate(size int64) error {
	f.disk.guard.Lock()
	defer f.disk.guard.Unlock()
	f.disk.counts.Truncates++
	if err := f.use("truncate"); err != nil {
		return err
	}
	err := f.disk.step(size > int64(len(f.node.data)))
	if err == nil && size < 0 {
		err = syscall.EINVAL
	}
	if err != nil {
		return f.fail("truncate", err)
	}
	f.disk.resize(f.node, size)
	return nil
}

// Allocate only checks that there is space.
func (f *memoryFile) Allocate(offset, size int64) error {
	f.disk.guard.Lock()
	defer f.disk.guard.Unlock()
	if err := f.use("allocate"); err != nil {
		return err
	}
	if f.disk.space >= 0 && offset+size-int64(len(f.node.data)) > f.disk.space {
		return f.fail("allocate", syscall.ENOSPC)
	}
	return nil
}

// Size is the size in bytes.
func (f *memoryFile) Size() (int64, error) {
	f.disk.guard.Lock()
	defer f.disk.guard.Unlock()
	if err := f.use("stat"); err != nil {
		return 0, err
	}
	return int64(len(f.node.data)), nil
}

// Fd is -1: there is no descriptor.
func (f *memoryFile) Fd() int { return -1 }

// Name is the name that the file was opened with.
func (f *memoryFile) Name() string { return f.name }

// Close closes the file.
func (f *memoryFile) Close() error {
	f.disk.guard.Lock()
	defer f.disk.guard.Unlock()
	if err := f.use("close"); err != nil {
		return err
	}
	f.closed = true
	return nil
}
