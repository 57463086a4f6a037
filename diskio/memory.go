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

// sector is what a disk writes whole or not at all, in bytes.
const sector = 512

// Memory is a file system in memory that can lose power. It keeps what a disk would be
// sure to have beside what the kernel shows, and forgets the difference in a crash.
//
// Faults are set with FailSync, FailWrite, SetSpace and HaltAfter. After Crash, files that
// were open before fail with os.ErrClosed, and no lock is held.
type Memory struct {
	guard sync.Mutex //nolint:forbidigo // a disk has one head; only tests have this one
	root  *node
	// edits are the changes of folders that no SyncDir has made durable, oldest first.
	edits     []edit
	life      int // crashes so far
	locks     map[string]bool
	failSync  error
	failWrite error
	space     int64 // bytes that may still be written; negative: any
	left      int64 // calls until the halt; negative: none
	counts    Counts
	clock     int64
}

// Counts are how often a Memory was asked for something that changes a disk.
type Counts struct {
	Opens, Writes, Syncs, SyncDirs, Truncates, Renames, Removes int
	Reads                                                       int
}

// ErrHalted is every answer of a Memory that has come to HaltAfter.
var ErrHalted = errors.New("the disk has halted")

// node is a file or folder.
type node struct {
	folder  bool
	entries map[string]*node // as the kernel shows them
	durable map[string]*node // as the disk has them

	data   []byte
	synced []byte // as the disk has it, save for what is in dirty
	dirty  span   // where data and synced may differ
	lost   bool   // a sync failed: what was dirty then will never be synced
	mod    time.Time
}

// span is a range of bytes, empty when from ≥ to.
type span struct{ from, to int64 }

func (s *span) add(from, to int64) {
	if s.from >= s.to {
		*s = span{from, to}
		return
	}
	s.from, s.to = min(s.from, from), max(s.to, to)
}

// edit is one change of folders; all its parts or none survive.
type edit []struct {
	folder *node
	name   string
	to     *node // nil: the name is gone
}

// NewMemory makes an empty disk of any size.
func NewMemory() *Memory {
	return &Memory{root: newFolder(), locks: map[string]bool{}, space: -1, left: -1}
}

func newFolder() *node {
	return &node{folder: true, entries: map[string]*node{}, durable: map[string]*node{}}
}

// FailSync makes every Sync and SyncDir fail with err until it is called with nil. As on
// Linux, what a failed Sync was to make durable never will be, even if a later one succeeds.
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
func (m *Memory) Crash() { m.set(func() { m.crash(nil) }) }

// Tear cuts the power as Crash does, but keeps some of what was not synced: sectors of
// 512 bytes in any order, sizes in between, changes of folders. The same seed, after the
// same calls, keeps the same.
func (m *Memory) Tear(seed uint64) {
	m.set(func() { m.crash(rand.New(rand.NewPCG(seed, 0x7ea7))) })
}

func (m *Memory) crash(random *rand.Rand) {
	keep := m.keepEdits(random)
	for i, e := range m.edits {
		if keep(i) {
			e.apply()
		}
	}
	m.edits = nil
	m.life++
	m.failSync, m.failWrite, m.left = nil, nil, -1
	clear(m.locks)
	m.root.crash(random)
}

// keepEdits decides which changes of folders survive: none; the first few, as a journal
// would have it; or any.
func (m *Memory) keepEdits(random *rand.Rand) func(int) bool {
	if random == nil {
		return func(int) bool { return false }
	}
	if random.IntN(2) == 0 {
		n := random.IntN(len(m.edits) + 1)
		return func(i int) bool { return i < n }
	}
	return func(int) bool { return random.IntN(2) == 0 }
}

func (e edit) apply() {
	for _, part := range e {
		if part.to == nil {
			delete(part.folder.durable, part.name)
		} else {
			part.folder.durable[part.name] = part.to
		}
	}
}

func (n *node) crash(random *rand.Rand) {
	if !n.folder {
		n.lose(random)
		return
	}
	n.entries = maps.Clone(n.durable)
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		n.entries[name].crash(random)
	}
}

// lose makes the content of a file what the disk has after a crash.
func (n *node) lose(random *rand.Rand) {
	kept := slices.Clone(n.synced)
	if random != nil && n.dirty.from < n.dirty.to && !n.lost {
		kept = n.tear(kept, random)
	}
	n.data, n.synced, n.dirty, n.lost = kept, slices.Clone(kept), span{}, false
}

// tear mixes what was synced with what was not.
func (n *node) tear(kept []byte, random *rand.Rand) []byte {
	low, high := min(len(n.data), len(n.synced)), max(len(n.data), len(n.synced))
	size := low + random.IntN(high-low+1)
	switch random.IntN(4) {
	case 0:
		return kept
	case 1:
		return slices.Clone(n.data)
	case 2:
		size = len(n.data) // the size came, and some sectors did not
	}
	out := make([]byte, size)
	copy(out, kept)
	for at := n.dirty.from / sector * sector; at < n.dirty.to && at < int64(size); at += sector {
		if at < int64(len(n.data)) && random.IntN(2) == 0 {
			copy(out[at:min(at+sector, int64(size))], n.data[at:])
		}
	}
	return out
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
		m.edits = append(m.edits, edit{{above, last, found}})
	case flag&os.O_TRUNC != 0:
		if err := m.step(true); err != nil {
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
		m.resize(found, 0)
	}
	return &memoryFile{disk: m, node: found, name: name, life: m.life}, nil
}

func (m *Memory) now() time.Time { return time.Unix(0, m.clock).UTC() }

// MkdirAll makes folders, durably.
func (m *Memory) MkdirAll(name string) error {
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
	m.edits = append(m.edits, edit{{fromFolder, from, nil}, {toFolder, to, found}})
	return nil
}

// Remove removes a file or an empty folder.
func (m *Memory) Remove(name string) error {
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
	m.unlink(above, last, found)
	return nil
}

func (m *Memory) unlink(above *node, last string, found *node) {
	if m.space >= 0 {
		m.space += int64(len(found.data))
	}
	delete(above.entries, last)
	m.edits = append(m.edits, edit{{above, last, nil}})
}

// RemoveAll removes a file or folder with all in it. That nothing is there is no error.
func (m *Memory) RemoveAll(name string) error {
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
	m.empty(found)
	m.unlink(above, last, found)
	return nil
}

func (m *Memory) empty(folder *node) {
	for _, name := range slices.Sorted(maps.Keys(folder.entries)) {
		found := folder.entries[name]
		m.empty(found)
		m.unlink(folder, name, found)
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
	return Info{Size: int64(len(found.data)), ModTime: found.mod, Dir: found.folder}, nil
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
	rest := m.edits[:0]
	for _, e := range m.edits {
		if e[0].folder == found || e[len(e)-1].folder == found {
			e.apply()
		} else {
			rest = append(rest, e)
		}
	}
	m.edits = rest
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
