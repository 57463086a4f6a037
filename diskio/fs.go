package diskio

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ErrLocked says that another process, or this one, holds the lock already.
var ErrLocked = errors.New("locked by another process")

// ErrCold says that what was to be read is not in memory.
var ErrCold = errors.New("not in memory")

// Full reports whether an error says that a disk has no space, or its user none left.
func Full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// Lacking reports whether an error says that the process or the system has no descriptor left. No
// sync was tried then, so that nothing is lost, and it passes when somebody closes something.
func Lacking(err error) bool { return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) }

// Info describes a file or folder.
type Info struct {
	Size    int64 // bytes
	ModTime time.Time
	Dir     bool
}

// FS is a file system. Its methods are safe from every goroutine. Errors are of the
// kinds that package os has: errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOSPC).
type FS interface {
	// Open opens a file with the flags of package os; a new file has mode 0644.
	Open(name string, flag int) (File, error)
	// MkdirAll makes a folder and those above it. What it makes is durable.
	MkdirAll(name string) error
	// Rename replaces new if it is there. Durable after SyncDir.
	Rename(old, new string) error
	Remove(name string) error
	RemoveAll(name string) error
	// ReadDir lists the names in a folder, sorted.
	ReadDir(name string) ([]string, error)
	Stat(name string) (Info, error)
	// SyncDir makes durable which files are in a folder.
	SyncDir(name string) error
	// Space is how many bytes may still be written to the disk that holds name, and how
	// many it has in all.
	Space(name string) (free, total uint64, err error)
	// Lock takes the lock of this name for this process alone, or fails with ErrLocked.
	// Closing gives it back, and so does the end of the process.
	Lock(name string) (io.Closer, error)
}

// File is an open file. Its methods are safe from every goroutine; one that begins after
// Close fails with os.ErrClosed, one that is under way ends in peace. Reading and
// writing allocate nothing.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Writev writes the buffers one behind the other at offset, as few system calls as
	// there may be. It returns how many bytes are written; fewer than all is an error.
	Writev(bufs [][]byte, offset int64) (int, error)
	// Sync makes the content durable (fdatasync).
	Sync() error
	// Truncate sets the size, and frees what Allocate reserved beyond it.
	Truncate(size int64) error
	// Allocate reserves space from offset on without changing the size of the file.
	Allocate(offset, size int64) error
	Size() (int64, error)
	// WriteBack has the system begin to write to disk what a range of the file holds. It
	// makes nothing durable, and does not wait: waiting would take from the next Sync the
	// error that it has to tell.
	WriteBack(offset, size int64) error
	// Evict lets go of the memory that holds a range, where it is on disk already.
	Evict(offset, size int64) error
	// ReadCached is ReadAt for those who must not wait for the disk: where it would, the
	// error is ErrCold.
	ReadCached(p []byte, offset int64) (int, error)
	// Resident reports whether a range is in memory, so that sending it waits for no
	// disk. Where that cannot be told it is true.
	Resident(offset int64, size int) bool
	// Warm brings a range into memory.
	Warm(offset int64, size int) error
	// ReadDirect is ReadAt past the page cache, of multiples of DirectAlign at one into
	// memory that begins at one. Where that cannot be, the error is errors.ErrUnsupported.
	ReadDirect(p []byte, offset int64) (int, error)
	// Fd is the descriptor for sendfile, or -1. It is good until Close.
	Fd() int
	// Map shows a range of the file without reading it, or is nil where that cannot be.
	// It is for system calls: where nothing is behind it, as after Truncate or when the
	// disk fails, they fail with EFAULT, but code that reads it would die. It is good
	// until Close.
	Map(offset int64, size int) []byte
	Name() string
	Close() error
}

// WriteFile replaces the content of a small file. After a crash the file has its old or
// its new content; when WriteFile returned without an error, its new.
func WriteFile(fs FS, name string, data []byte) error {
	temporary := name + ".tmp"
	if err := writeSynced(fs, temporary, data); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", temporary, err), removed(fs.Remove(temporary)))
	}
	return replaceBy(fs, temporary, name)
}

// replaceBy puts a file that is durable in the place of another.
func replaceBy(fs FS, temporary, name string) error {
	if err := fs.Rename(temporary, name); err != nil {
		return fmt.Errorf("replace %s: %w", name, err)
	}
	if err := fs.SyncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("make %s durable: %w", name, err)
	}
	return nil
}

func writeSynced(fs FS, name string, data []byte) error {
	f, err := fs.Open(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, 0); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// removed makes nothing of the error that a file to be removed was not there.
func removed(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// mostRead is more than any file has that is read whole: the index of a segment of 2 GiB, in which all is aborted, has
// 0.9 GiB. One that says to be larger was harmed, and would take all memory.
const mostRead = 1 << 30

// errTooLarge is the error of reading such a file.
var errTooLarge = fmt.Errorf("it is larger than %d bytes, which no file of this kind is: it is damaged", int64(mostRead))

// ReadFile reads a whole file, which should be small.
func ReadFile(fs FS, name string) ([]byte, error) {
	f, err := fs.Open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > mostRead {
		return nil, &os.PathError{Op: "read", Path: name, Err: errTooLarge}
	}
	data := make([]byte, size)
	n, err := f.ReadAt(data, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data[:n], nil
}
