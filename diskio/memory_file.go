package diskio

import (
	"bytes"
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
	if err := f.disk.pass(Op{Kind: OpRead, Name: f.name, Offset: offset, Size: int64(len(p))}); err != nil {
		return 0, err
	}
	f.disk.guard.Lock()
	defer f.disk.guard.Unlock()
	f.disk.counts.Reads++
	if err := f.use("read"); err != nil {
		return 0, err
	}
	if offset < 0 {
		return 0, f.fail("read", syscall.EINVAL)
	}
	if offset >= int64(len(f.node.data.bytes)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data.bytes[offset:])
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
	if err := f.disk.pass(Op{Kind: OpWrite, Name: f.name, Offset: offset, Size: total(bufs)}); err != nil {
		return 0, err
	}
	f.disk.guard.Lock()
	defer f.disk.guard.Unlock()
	f.disk.counts.Writes++
	if err := f.use("write"); err != nil {
		return 0, err
	}
	if err := f.disk.step(true); err != nil {
		return 0, f.fail("write", err)
	}
	all := bytes.Join(bufs, nil)
	room := f.disk.room(f.node, offset, all)
	f.disk.put(f.node, room, offset)
	if len(room) > 0 {
		f.disk.note(Op{Kind: OpWrite, Name: f.name, Offset: offset, Size: int64(len(room)), Data: room})
	}
	if len(room) < len(all) {
		return len(room), f.fail("write", syscall.ENOSPC)
	}
	return len(room), nil
}

func total(bufs [][]byte) (size int64) {
	for _, p := range bufs {
		size += int64(len(p))
	}
	return size
}

// room is how much of p fits on the disk at offset.
func (m *Memory) room(n *node, offset int64, p []byte) []byte {
	grow := offset + int64(len(p)) - int64(len(n.data.bytes))
	if m.space < 0 || grow <= m.space {
		return p
	}
	return p[:max(0, int64(len(p))-(grow-m.space))]
}

// put writes p, which nobody changes any more.
func (m *Memory) put(n *node, p []byte, offset int64) {
	if len(p) == 0 {
		return
	}
	if grow := offset + int64(len(p)) - int64(len(n.data.bytes)); grow > 0 && m.space >= 0 {
		m.space -= grow
	}
	n.mod = m.now()
	n.data.write(p, offset)
	m.change(n, &change{at: offset, data: p})
}

func (m *Memory) resize(n *node, size int64) {
	old := int64(len(n.data.bytes))
	if m.space >= 0 {
		m.space -= size - old
	}
	n.mod = m.now()
	if size != old {
		n.data.resize(size)
		m.change(n, &change{at: size})
	}
}

// Sync makes the content durable, but not the name of the file.
func (f *memoryFile) Sync() error {
	if err := f.disk.pass(Op{Kind: OpSync, Name: f.name}); err != nil {
		return err
	}
	f.disk.guard.Lock()
	defer f.disk.guard.Unlock()
	f.disk.counts.Syncs++
	if err := f.use("sync"); err != nil {
		return err
	}
	if err := f.disk.step(false); err != nil {
		return f.fail("sync", err)
	}
	if err := f.disk.failSync; err != nil {
		f.node.doom()
		f.disk.note(Op{Kind: OpSync, Name: f.name, Failed: true})
		return f.fail("sync", err)
	}
	f.node.sync()
	f.disk.note(Op{Kind: OpSync, Name: f.name})
	return nil
}

// Truncate sets the size.
func (f *memoryFile) Truncate(size int64) error {
	if err := f.disk.pass(Op{Kind: OpTruncate, Name: f.name, Size: size}); err != nil {
		return err
	}
	f.disk.guard.Lock()
	defer f.disk.guard.Unlock()
	f.disk.counts.Truncates++
	if err := f.use("truncate"); err != nil {
		return err
	}
	err := f.disk.step(size > int64(len(f.node.data.bytes)))
	if err == nil && size < 0 {
		err = syscall.EINVAL
	}
	if err != nil {
		return f.fail("truncate", err)
	}
	f.disk.resize(f.node, size)
	f.disk.note(Op{Kind: OpTruncate, Name: f.name, Size: size})
	return nil
}

// Allocate only checks that there is space.
func (f *memoryFile) Allocate(offset, size int64) error {
	if err := f.disk.pass(Op{Kind: OpAllocate, Name: f.name, Offset: offset, Size: size}); err != nil {
		return err
	}
	f.disk.guard.Lock()
	defer f.disk.guard.Unlock()
	if err := f.use("allocate"); err != nil {
		return err
	}
	if f.disk.space >= 0 && offset+size-int64(len(f.node.data.bytes)) > f.disk.space {
		return f.fail("allocate", syscall.ENOSPC)
	}
	f.disk.note(Op{Kind: OpAllocate, Name: f.name, Offset: offset, Size: size})
	return nil
}

// Size is the size in bytes.
func (f *memoryFile) Size() (int64, error) {
	f.disk.guard.Lock()
	defer f.disk.guard.Unlock()
	if err := f.use("stat"); err != nil {
		return 0, err
	}
	return int64(len(f.node.data.bytes)), nil
}

// Fd is -1: there is no descriptor.
func (f *memoryFile) Fd() int { return -1 }

// WriteBack does nothing: Sync alone decides what survives a crash.
func (f *memoryFile) WriteBack(int64, int64) error { return nil }

// Evict does nothing: memory is all there is.
func (f *memoryFile) Evict(int64, int64) error { return nil }

// ReadCached is ReadAt: all of it is in memory.
func (f *memoryFile) ReadCached(p []byte, offset int64) (int, error) { return f.ReadAt(p, offset) }

// Resident is true.
func (f *memoryFile) Resident(int64, int) bool { return true }

// Warm does nothing.
func (f *memoryFile) Warm(int64, int) error { return nil }

// ReadDirect is ReadAt.
func (f *memoryFile) ReadDirect(p []byte, offset int64) (int, error) { return f.ReadAt(p, offset) }

// Map is nil: what a file holds may change its place.
func (f *memoryFile) Map(int64, int) []byte { return nil }

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
