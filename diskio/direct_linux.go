package diskio

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// directPiece is how much is asked of the disk at once, in bytes: the more, the longer a journal
// that wants to write waits for it.
const directPiece = 256 << 10

// ReadDirect opens the file once more, past the page cache (O_DIRECT), for one read: the
// file that is open and no other, whatever has its name by now, and the limit of open files
// is not used up by readers. It costs a hundredth of reading a mebibyte.
func (f *osFile) ReadDirect(p []byte, offset int64) (int, error) {
	if !f.enter() {
		return 0, f.fail("read", os.ErrClosed)
	}
	defer f.leave()
	return f.readDirect(p, offset, directCalls{unix.Open, unix.Pread})
}

// directCalls are the calls of the system that ReadDirect makes; tests have others.
type directCalls struct {
	open  func(name string, mode int, perm uint32) (int, error)
	pread func(fd int, p []byte, offset int64) (int, error)
}

func (f *osFile) readDirect(p []byte, offset int64, system directCalls) (int, error) {
	fd, err := system.open(fmt.Sprintf("/proc/self/fd/%d", f.fd), unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	switch {
	case noDirectOpen(err):
		return 0, errors.ErrUnsupported
	case err != nil:
		return 0, f.fail("open", err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	done := 0
	for done < len(p) {
		n, err := system.pread(fd, p[done:min(len(p), done+directPiece)], offset+int64(done))
		switch {
		case err == unix.EINTR:
			continue
		case noDirect(err):
			return 0, errors.ErrUnsupported
		case err != nil:
			return done, f.fail("read", err)
		}
		done += n
		if n == 0 || n%DirectAlign != 0 { // the file ends here
			return done, io.EOF
		}
	}
	return done, nil
}

// noDirect reports whether an error says nothing about the disk, but that the file system does
// not read past the page cache, or not here: it may take the flag and refuse the read, or want
// larger multiples, which the tail of a file is not.
func noDirect(err error) bool {
	return err == unix.EINVAL || err == unix.EOPNOTSUPP || err == unix.EPERM
}

// noDirectOpen is noDirect for the file that is opened: there may be no /proc, and no room for
// one more open file, while the one that is open can be read.
func noDirectOpen(err error) bool {
	return noDirect(err) || err == unix.ENOENT || err == unix.EACCES || err == unix.EMFILE || err == unix.ENFILE
}

// chunkMemory gets the memory of a chunk from the system itself: the garbage collector, which
// lets a heap become twice what is in use, does not count it. Nil: there is none.
func chunkMemory() []byte {
	p, err := unix.Mmap(-1, 0, ChunkBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil
	}
	return p
}

func freeChunkMemory(p []byte) { _ = unix.Munmap(p) } // it is ours, and whole: there is nothing to fail
