package diskio

import (
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ReadCached is preadv2 with RWF_NOWAIT.
func (f *osFile) ReadCached(p []byte, offset int64) (int, error) {
	if !f.enter() {
		return 0, f.fail("read", os.ErrClosed)
	}
	defer f.leave()
	done := 0
	for done < len(p) {
		iov := unix.Iovec{Base: &p[done]}
		iov.SetLen(len(p) - done)
		at := offset + int64(done)
		n, _, errno := unix.Syscall6(unix.SYS_PREADV2, uintptr(f.fd), uintptr(unsafe.Pointer(&iov)), 1,
			uintptr(at), uintptr(uint64(at)>>32), unix.RWF_NOWAIT)
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			return done, ErrCold
		case errno == unix.EOPNOTSUPP || errno == unix.ENOSYS:
			return f.ReadAt(p, offset) // a file system that cannot tell
		case errno != 0:
			return done, f.fail("read", errno)
		case n == 0:
			return done, io.EOF
		default:
			done += int(n)
		}
	}
	return done, nil
}

// Resident is mincore of a mapping.
func (f *osFile) Resident(offset int64, size int) bool {
	p := f.pages(offset, size)
	if p == nil {
		return true // nobody can tell
	}
	var in [1024]byte
	page := os.Getpagesize()
	for len(p) > 0 {
		n := min(len(p), len(in)*page)
		count := (n + page - 1) / page
		_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(n), uintptr(unsafe.Pointer(&in[0])))
		if errno != 0 {
			return true
		}
		for _, v := range in[:count] {
			if v&1 == 0 {
				return false
			}
		}
		p = p[n:]
	}
	return true
}

// pages is the mapping of a range, from the beginning of its first page.
func (f *osFile) pages(offset int64, size int) []byte {
	begin := offset &^ int64(os.Getpagesize()-1)
	return f.show(begin, size+int(offset-begin))
}

// Warm reads a range by the mapping, which copies nothing, or else into a buffer that
// nobody looks at.
func (f *osFile) Warm(offset int64, size int) error {
	if p := f.pages(offset, size); p != nil {
		resident.add(f, size)
		// The first has the disk read all of it, the second waits.
		_ = unix.Madvise(p, unix.MADV_WILLNEED)
		if unix.Madvise(p, unix.MADV_POPULATE_READ) == nil {
			return nil
		}
	}
	buffer := make([]byte, min(size, 256<<10))
	for size > 0 {
		n, err := f.ReadAt(buffer[:min(size, len(buffer))], offset)
		if err != nil {
			return err
		}
		offset += int64(n)
		size -= n
	}
	return nil
}
