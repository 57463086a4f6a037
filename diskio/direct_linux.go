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
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.fd), unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT), errors.Is(err, unix.EACCES):
		return 0, errors.ErrUnsupported // the file system has no O_DIRECT, or there is no /proc
	case err != nil:
		return 0, f.fail("open", err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	done := 0
	for done < len(p) {
		n, err := unix.Pread(fd, p[done:min(len(p), done+directPiece)], offset+int64(done))
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EINVAL && done == 0:
			return 0, errors.ErrUnsupported // the disk wants other sizes
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
