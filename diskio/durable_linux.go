package diskio

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// beDurable has WriteDurable go past the page cache from now on (O_DIRECT): what it writes
// is not copied, takes no memory and waits for nothing but the disk. It reports whether
// the file system can do that.
func (f *osFile) beDurable() bool {
	if !f.enter() {
		return false
	}
	defer f.leave()
	return f.setDirect(true) == nil
}

func (f *osFile) setDirect(on bool) error {
	flags, err := unix.FcntlInt(uintptr(f.fd), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	if on {
		flags |= unix.O_DIRECT
	} else {
		flags &^= unix.O_DIRECT
	}
	_, err = unix.FcntlInt(uintptr(f.fd), unix.F_SETFL, flags)
	return err
}

// writeDurable writes p and makes it durable with one system call (RWF_DSYNC). Memory,
// position and size of p are multiples of journalPage, and so much of the file was
// written before: there are no sizes or extents to save. Where the disk wants larger
// multiples, or the file system has changed its mind, it is errIndirect, nothing is
// written, and from then on the file is one like any other.
func (f *osFile) writeDurable(p []byte, offset int64) error {
	if !f.enter() {
		return f.fail("write", os.ErrClosed)
	}
	defer f.leave()
	for done := 0; done < len(p); {
		part := p[done:]
		iov := unix.Iovec{Base: &part[0]}
		iov.SetLen(len(part))
		at := uint64(offset) + uint64(done)
		n, _, errno := unix.Syscall6(unix.SYS_PWRITEV2, uintptr(f.fd), uintptr(unsafe.Pointer(&iov)), 1, uintptr(at), uintptr(at>>32), unix.RWF_DSYNC)
		switch {
		case errno == unix.EINTR:
		case done == 0 && (errno == unix.EINVAL || errno == unix.EOPNOTSUPP || errno == unix.ENOSYS):
			if err := f.setDirect(false); err != nil {
				return f.fail("write", errors.Join(errno, err))
			}
			return errIndirect
		case errno != 0:
			return f.fail("write", errno)
		default:
			done += int(n)
		}
	}
	return nil
}
