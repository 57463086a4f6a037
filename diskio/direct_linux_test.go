package diskio

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// plainOpen opens without O_DIRECT, which not every file system of temporary files has.
func plainOpen(name string, mode int, perm uint32) (int, error) {
	return unix.Open(name, mode&^unix.O_DIRECT, perm)
}

// Where a file system does not read past the page cache, or does not do it here, that is no fault
// of the disk, at whatever place it turns out: the file can be read through the cache.
func TestWhatCannotBeReadDirectlyIsNoFaultOfTheDisk(t *testing.T) {
	file, want := filled(t, OS, filepath.Join(t.TempDir(), "segment"), 3*directPiece)
	f := file.(*osFile)
	for _, refusal := range []error{unix.EINVAL, unix.EOPNOTSUPP, unix.EPERM, unix.ENOENT, unix.EACCES, unix.EMFILE, unix.ENFILE} {
		opened := func(string, int, uint32) (int, error) { return -1, refusal }
		if n, err := f.readDirect(aligned(len(want)), 0, directCalls{opened, unix.Pread}); n != 0 || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("open: %v: %d bytes, %v", refusal, n, err)
		}
	}
	for _, refusal := range []error{unix.EINVAL, unix.EOPNOTSUPP, unix.EPERM} {
		for _, at := range []int64{0, 2 * directPiece} {
			pread := func(fd int, p []byte, offset int64) (int, error) {
				if offset == at {
					return -1, refusal
				}
				return unix.Pread(fd, p, offset)
			}
			if n, err := f.readDirect(aligned(len(want)), 0, directCalls{plainOpen, pread}); n != 0 || !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("read at %d: %v: %d bytes, %v", at, refusal, n, err)
			}
		}
	}
}

// What is the disk's fault is told, with what was read before it.
func TestADiskThatFailsADirectRead(t *testing.T) {
	file, want := filled(t, OS, filepath.Join(t.TempDir(), "segment"), 3*directPiece)
	f := file.(*osFile)
	interrupted := false
	pread := func(fd int, p []byte, offset int64) (int, error) {
		if !interrupted {
			interrupted = true
			return -1, unix.EINTR
		}
		if offset == 2*directPiece {
			return -1, unix.EIO
		}
		return unix.Pread(fd, p, offset)
	}
	p := aligned(len(want))
	var path *os.PathError
	n, err := f.readDirect(p, 0, directCalls{plainOpen, pread})
	if n != 2*directPiece || !errors.Is(err, unix.EIO) || !errors.As(err, &path) || !bytes.Equal(p[:n], want[:n]) {
		t.Errorf("%d bytes, %v", n, err)
	}
	opened := func(string, int, uint32) (int, error) { return -1, unix.EIO }
	if n, err := f.readDirect(p, 0, directCalls{opened, unix.Pread}); n != 0 || !errors.Is(err, unix.EIO) {
		t.Errorf("open: %d bytes, %v", n, err)
	}
}
