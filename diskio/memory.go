package diskio

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Memory is a file system in memory that can lose power. It keeps what a disk would be
// sure to have beside what the kernel shows, and everything between the two in the order
// in which it was asked for; a crash forgets that, or keeps whatever part of it a disk
// might (see change for what may happen and what may not).
//
// Faults are set with FailSync, FailWrite, SetSpace, HaltAfter and Gate. After Crash, files
// that were open before fail with os.ErrClosed, and no lock is held. Record keeps the state
// after every operation, for Trace.Images to make disks of.
type Memory struct {
	guard sync.Mutex //nolint:forbidigo // a disk has one head; only tests have this one
	state
	life      int // crashes so far
	locks     map[string]bool
	failSync  error
	failWrite error
	space     int64 // bytes that may still be written; negative: any
	left      int64 // calls until the halt; negative: none
	counts    Counts
	gate      func(Op) error
	trace     *Trace // nil: nobody records
}

// Counts are how often a Memory was asked for something that changes a disk.
type Counts struct {
	Opens, Writes, Syncs, SyncDirs, Truncates, Renames, Removes int
	Reads                                                       int
}

// ErrHalted is every answer of a Memory that has come to HaltAfter.
var ErrHalted = errors.New("the disk has halted")

// NewMemory makes an empty disk of any size.
func NewMemory() *Memory {
	return newMemory(state{root: newFolder()})
}

func newMemory(s state) *Memory {
	return &Memory{state: s, locks: map[string]bool{}, space: -1, left: -1}
}

// FailSync makes every Sync and SyncDir fail with err until it is called with nil. As on
// Linux, what a failed Sync was to make durable no later Sync does, even if it succeeds;
// what is written again is made durable by the next.
func (m *Memory) FailSync(err error) { m.set(func() { m.failSync = err }) }

// FailWrite makes all that takes space fail with err until it is called with nil: writing,
// making files and folders.
func (m *Memory) FailWrite(err error) { m.set(func() { m.failWrite = err }) }

// SetSpace leaves so many bytes on the disk; files that grow beyond are cut short with
// ENOSPC. Removing files gives their bytes back. Negative: as many as you like.
func (m *Memory) SetSpace(bytes int64) { m.set(func() { m.space = bytes }) }

// HaltAfter lets so many more calls that change the disk happen. The one after, and all
// that follow, fail with ErrHalted and do nothing. Negative: no halt.
func (m *Memory) HaltAfter(calls int64) { m.set(func() { m.left = calls }) }

// Halted reports whether the halt has come.
func (m *Memory) Halted() (halted bool) {
	m.set(func() { halted = m.left == 0 })
	return halted
}

// Counts tells how often the disk was used.
func (m *Memory) Counts() (c Counts) {
	m.set(func() { c = m.counts })
	return c
}

func (m *Memory) set(f func()) {
	m.guard.Lock()
	defer m.guard.Unlock()
	f()
}

// Gate has f called before every operation that changes the disk or reads a file, on the
// goroutine that asks for it and before anything is locked. While f does not return, the
// operation hangs, and no other does; an error of f is that of the operation, which then
// does nothing. Nil: no gate.
func (m *Memory) Gate(f func(Op) error) { m.set(func() { m.gate = f }) }

// pass asks the gate.
func (m *Memory) pass(op Op) error {
	var gate func(Op) error
	m.set(func() { gate = m.gate })
	if gate == nil {
		return nil
	}
	if err := gate(op); err != nil {
		return &os.PathError{Op: op.Kind.String(), Path: op.Name, Err: err}
	}
	return nil
}

// Spoil changes the content of a file as bad hardware does: in the page cache and on the
// disk, under the feet of whoever has it open. Nothing of it is recorded or un-synced.
func (m *Memory) Spoil(name string, f func([]byte) []byte) error {
	m.guard.Lock()
	defer m.guard.Unlock()
	_, _, found, err := m.find("spoil", name)
	if err != nil {
		return err
	}
	fresh := f(slices.Clone(found.data.bytes))
	found.data, found.synced, found.pending = extent{fresh, true}, extent{fresh, true}, nil
	return nil
}

// Clone is a disk of its own with the same files, all of them durable. It costs little:
// bytes are copied when one of the two writes to them.
func (m *Memory) Clone() (clone *Memory) {
	m.set(func() { clone = newMemory(m.after(func(*change) fate { return kept })) })
	return clone
}

// step counts one call that changes the disk and says whether it may happen.
func (m *Memory) step(writes bool) error {
	if m.left == 0 {
		return ErrHalted
	}
	if m.left > 0 {
		m.left--
	}
	m.clock++
	if writes {
		return m.failWrite
	}
	return nil
}

// Crash cuts the power: everything that was not synced is gone, files and folders alike.
// Faults end.
func (m *Memory) Crash() { m.set(func() { m.crash(loseAll) }) }

// Tear cuts the power as Crash does, but keeps some of what was not synced: sectors of
// 512 bytes or of 4 KiB in any order, sizes in between, changes of folders. The same seed,
// after the same calls, keeps the same.
func (m *Memory) Tear(seed uint64) {
	m.set(func() { m.crash(randomly(rand.New(rand.NewPCG(seed, 0x7ea7)), &m.state)) })
}

func (m *Memory) crash(fates func(*change) fate) {
	m.state = m.after(fates)
	m.life++
	m.failSync, m.failWrite, m.left, m.gate, m.trace = nil, nil, -1, nil, nil
	clear(m.locks)
}

func (m *Memory) split(name string) []string {
	name = strings.Trim(filepath.ToSlash(filepath.Clean(name)), "/")
	if name == "" || name == "." {
		return nil
	}
	return strings.Split(name, "/")
}

// find walks to a name. It returns the folder above, too.
func (m *Memory) find(what, name string) (above *node, last string, found *node, err error) {
	parts := m.split(name)
	found = m.root
	for i, part := range parts {
		if !found.folder {
			return nil, "", nil, &os.PathError{Op: what, Path: name, Err: syscall.ENOTDIR}
		}
		above, last, found = found, part, found.entries[part]
		if found == nil && i < len(parts)-1 {
			return nil, "", nil, &os.PathError{Op: what, Path: name, Err: os.ErrNotExist}
		}
		if found == nil {
			return above, last, nil, &os.PathError{Op: what, Path: name, Err: os.ErrNotExist}
		}
	}
	return above, last, found, nil
}

// Open opens a file with the flags of package os.
func (m *Memory) Open(name string, flag int) (File, error) {
	if flag&(os.O_CREATE|os.O_TRUNC) != 0 {
		if err := m.pass(Op{Kind: OpCreate, Name: name}); err != nil {
			return nil, err
		}
	}
	m.guard.Lock()
	defer m.guard.Unlock()
	m.counts.Opens++
	above, last, found, err := m.find("open", name)
	switch {
	case err == nil && flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrExist}
	case err == nil && found.folder:
		return nil, &os.PathError{Op: "open", Path: name, Err: syscall.EISDIR}
	case err != nil && (above == nil || flag&os.O_CREATE == 0):
		return nil, err
	case err != nil:
		if err := m.step(true); err != nil {
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
		found = &node{mod: m.now()}
		above.entries[last] = found
		m.edit(edit{{above, last, found}})
		m.note(Op{Kind: OpCreate, Name: name})
	case flag&os.O_TRUNC != 0 && len(found.data.bytes) > 0:
		if err := m.step(true); err != nil {
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
		m.resize(found, 0)
		m.note(Op{Kind: OpTruncate, Name: name})
	}
	return &memoryFile{disk: m, node: found, name: name, life: m.life}, nil
}

func (m *Memory) now() time.Time { return time.Unix(0, m.clock).UTC() }

// MkdirAll makes folders, durably.
func (m *Memory) MkdirAll(name string) error {
	if err := m.pass(Op{Kind: OpMkdir, Name: name}); err != nil {
		return err
	}
	m.guard.Lock()
	defer m.guard.Unlock()
	at := m.root
	for _, part := range m.split(name) {
		next := at.entries[part]
		if next == nil {
			if err := m.step(true); err != nil {
				return &os.PathError{Op: "mkdir", Path: name, Err: err}
			}
			next = newFolder()
			at.entries[part], at.durable[part] = next, next
			m.note(Op{Kind: OpMkdir, Name: name})
		}
		if !next.folder {
			return &os.PathError{Op: "mkdir", Path: name, Err: syscall.ENOTDIR}
		}
		at = next
	}
	return nil
}

// Rename replaces new if it is there.
func (m *Memory) Rename(old, new string) error {
	if err := m.pass(Op{Kind: OpRename, Name: old, To: new}); err != nil {
		return err
	}
	m.guard.Lock()
	defer m.guard.Unlock()
	m.counts.Renames++
	fromFolder, from, found, err := m.find("rename", old)
	if err != nil {
		return err
	}
	toFolder, to, replaced, err := m.find("rename", new)
	if err != nil && toFolder == nil {
		return err
	}
	if replaced != nil && replaced.folder && len(replaced.entries) > 0 {
		return &os.PathError{Op: "rename", Path: new, Err: syscall.ENOTEMPTY}
	}
	if err := m.step(false); err != nil {
		return &os.PathError{Op: "rename", Path: old, Err: err}
	}
	delete(fromFolder.entries, from)
	toFolder.entries[to] = found
	m.edit(edit{{fromFolder, from, nil}, {toFolder, to, found}})
	m.note(Op{Kind: OpRename, Name: old, To: new})
	return nil
}

// Remove removes a file or an empty folder.
func (m *Memory) Remove(name string) error {
	if err := m.pass(Op{Kind: OpRemove, Name: name}); err != nil {
		return err
	}
	m.guard.Lock()
	defer m.guard.Unlock()
	m.counts.Removes++
	above, last, found, err := m.find("remove", name)
	if err != nil {
		return err
	}
	if found.folder && len(found.entries) > 0 {
		return &os.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	if err := m.step(false); err != nil {
		return &os.PathError{Op: "remove", Path: name, Err: err}
	}
	m.unlink(above, last, found, name)
	return nil
}

func (m *Memory) unlink(above *node, last string, found *node, name string) {
	if m.space >= 0 {
		m.space += int64(len(found.data.bytes))
	}
	delete(above.entries, last)
	m.edit(edit{{above, last, nil}})
	m.note(Op{Kind: OpRemove, Name: name})
}

// RemoveAll removes a file or folder with all in it. That nothing is there is no error.
func (m *Memory) RemoveAll(name string) error {
	if err := m.pass(Op{Kind: OpRemove, Name: name}); err != nil {
		return err
	}
	m.guard.Lock()
	defer m.guard.Unlock()
	m.counts.Removes++
	above, last, found, err := m.find("remove", name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := m.step(false); err != nil {
		return &os.PathError{Op: "remove", Path: name, Err: err}
	}
	m.empty(found, name)
	m.unlink(above, last, found, name)
	return nil
}

func (m *Memory) empty(folder *node, path string) {
	for _, name := range slices.Sorted(maps.Keys(folder.entries)) {
		found := folder.entries[name]
		m.empty(found, filepath.Join(path, name))
		m.unlink(folder, name, found, filepath.Join(path, name))
	}
}

// ReadDir lists the names in a folder, sorted.
func (m *Memory) ReadDir(name string) ([]string, error) {
	m.guard.Lock()
	defer m.guard.Unlock()
	m.counts.Reads++
	_, _, found, err := m.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if !found.folder {
		return nil, &os.PathError{Op: "readdir", Path: name, Err: syscall.ENOTDIR}
	}
	return slices.Sorted(maps.Keys(found.entries)), nil
}

// Stat describes a file or folder. Times count the calls before it.
func (m *Memory) Stat(name string) (Info, error) {
	m.guard.Lock()
	defer m.guard.Unlock()
	m.counts.Reads++
	_, _, found, err := m.find("stat", name)
	if err != nil {
		return Info{}, err
	}
	return Info{Size: int64(len(found.data.bytes)), ModTime: found.mod, Dir: found.folder}, nil
}

// SetModTime changes when a file was last written to, as Stat tells it.
func (m *Memory) SetModTime(name string, mod time.Time) error {
	m.guard.Lock()
	defer m.guard.Unlock()
	_, _, found, err := m.find("chtimes", name)
	if err == nil {
		found.mod = mod
	}
	return err
}

// SyncDir makes durable which files are in a folder.
func (m *Memory) SyncDir(name string) error {
	if err := m.pass(Op{Kind: OpSyncDir, Name: name}); err != nil {
		return err
	}
	m.guard.Lock()
	defer m.guard.Unlock()
	m.counts.SyncDirs++
	_, _, found, err := m.find("syncdir", name)
	if err != nil {
		return err
	}
	if err := m.step(false); err != nil {
		return &os.PathError{Op: "syncdir", Path: name, Err: err}
	}
	if m.failSync != nil {
		return &os.PathError{Op: "syncdir", Path: name, Err: m.failSync}
	}
	m.syncDir(found)
	m.note(Op{Kind: OpSyncDir, Name: name})
	return nil
}

// Space is what SetSpace leaves, of a disk of 1 TiB.
func (m *Memory) Space(string) (free, total uint64, err error) {
	m.guard.Lock()
	defer m.guard.Unlock()
	if m.space < 0 {
		return 1 << 40, 1 << 40, nil
	}
	return uint64(m.space), 1 << 40, nil
}

// Lock takes a lock that a crash takes back.
func (m *Memory) Lock(name string) (io.Closer, error) {
	m.guard.Lock()
	defer m.guard.Unlock()
	if m.locks[name] {
		return nil, fmt.Errorf("lock %s: %w", name, ErrLocked)
	}
	m.locks[name] = true
	return &memoryLock{m, name, m.life}, nil
}

type memoryLock struct {
	disk *Memory
	name string
	life int
}

// Close gives the lock back.
func (l *memoryLock) Close() error {
	l.disk.set(func() {
		if l.disk.life == l.life {
			delete(l.disk.locks, l.name)
		}
	})
	return nil
}
