//go:build !linux

package diskio

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

var errNotDir = syscall.ENOTDIR

// osFile is a file where the system has no pwritev, fdatasync and fallocate that we use.
type osFile struct{ *os.File }

// Open opens a file with the flags of package os.
func (osFS) Open(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o644)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Descriptors is zero: nobody counts them.
func Descriptors() (open, limit int64) { return 0, 0 }

// Writev writes all of bufs.
func (f osFile) Writev(bufs [][]byte, offset int64) (int, error) {
	done := 0
	for _, p := range bufs {
		n, err := f.WriteAt(p, offset+int64(done))
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// Allocate does nothing: it is only there to be faster.
func (osFile) Allocate(int64, int64) error { return nil }

// WriteBack does nothing: the system writes when it likes.
func (osFile) WriteBack(int64, int64) error { return nil }

// Evict does nothing: the system knows what it needs.
func (osFile) Evict(int64, int64) error { return nil }

// Size is the size in bytes.
func (f osFile) Size() (int64, error) {
	found, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return found.Size(), nil
}

// Fd is -1: what is sent is read first.
func (osFile) Fd() int { return -1 }

// ReadCached is ReadAt: nobody can tell what is in memory.
func (f osFile) ReadCached(p []byte, offset int64) (int, error) { return f.ReadAt(p, offset) }

// Resident is true: nobody can tell.
func (osFile) Resident(int64, int) bool { return true }

// Warm does nothing.
func (osFile) Warm(int64, int) error { return nil }

// Map is nil: what is sent is read first.
func (osFile) Map(int64, int) []byte { return nil }

// Space cannot be told here.
func (osFS) Space(string) (free, total uint64, err error) { return 1 << 62, 1 << 62, nil }

// Lock holds a file that may not be there before.
func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if os.IsExist(err) {
		return nil, fmt.Errorf("lock %s (remove it if nobody runs): %w", name, ErrLocked)
	}
	if err != nil {
		return nil, err
	}
	return lockFile{f}, nil
}

type lockFile struct{ *os.File }

// Close gives the lock back.
func (f lockFile) Close() error {
	defer os.Remove(f.Name())
	return f.File.Close()
}
