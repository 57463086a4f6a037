package diskio

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

var errNotDir = syscall.ENOTDIR

// vectors is how many buffers go into one pwritev. Linux takes 1024; this many fit on
// the stack.
const vectors = 256

// piece is how much goes into the page cache with one system call. The file system takes
// memory in blocks as large as what it is given, and a virtual machine that returns free
// memory to its host does so in large blocks first: what larger pieces would get is memory
// that was not touched before, at ten times the price.
const piece = 64 << 10

// osFile is a file descriptor that is closed once nobody uses it any more, so that a
// late caller can never reach a file that got the same number.
type osFile struct {
	fd   int
	name string
	// users is how many calls are under way, and closing once Close was called.
	users atomic.Int64

	windows atomic.Pointer[window] // the newest, and largest; nil until Map
	shown   atomic.Bool            // by Map, since the last sweep
}

const closing = 1 << 40

// files is how many osFiles are open.
var files atomic.Int64

// Descriptors is how many files are open that OS has opened, and how many descriptors the process may have in all;
// zero where nobody can tell.
func Descriptors() (open, limit int64) {
	var most unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &most) != nil || most.Cur > math.MaxInt64 {
		return files.Load(), 0
	}
	return files.Load(), int64(most.Cur)
}

// errNotFile is the error of opening what is there under the name of a file and is none.
var errNotFile = errors.New("it is a folder, a pipe or a device, and no file: take it away")

// Open opens a file with the flags of package os. What is no file is refused before it is opened:
// that would wait for somebody at the other end of a pipe, and a device has side effects.
func (osFS) Open(name string, flag int) (File, error) {
	var found unix.Stat_t
	if unix.Stat(name, &found) == nil && found.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, &os.PathError{Op: "open", Path: name, Err: errNotFile}
	}
	for {
		fd, err := unix.Open(name, flag|unix.O_CLOEXEC, 0o644)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
		files.Add(1)
		return &osFile{fd: fd, name: name}, nil
	}
}

// enter begins a call; it reports whether the file is open. leave ends it.
func (f *osFile) enter() bool {
	if f.users.Add(1) < closing {
		return true
	}
	f.leave()
	return false
}

func (f *osFile) leave() {
	if f.users.Add(-1) == closing {
		// Only one caller can come down to closing for the first time: it takes the
		// descriptor with it.
		if f.users.CompareAndSwap(closing, closing*2) {
			f.unmap()
			files.Add(-1)
			unix.Close(f.fd) //nolint:errcheck // Sync has told what was to be told
		}
	}
}

// Close closes the file once the calls under way have ended.
func (f *osFile) Close() error {
	for {
		n := f.users.Load()
		if n >= closing {
			return f.fail("close", os.ErrClosed)
		}
		if n == 0 {
			if f.users.CompareAndSwap(0, closing*2) {
				f.unmap()
				files.Add(-1)
				if err := unix.Close(f.fd); err != nil {
					return f.fail("close", err)
				}
				return nil
			}
		} else if f.users.CompareAndSwap(n, n+closing) {
			return nil // the last of them closes
		}
	}
}

func (f *osFile) fail(what string, err error) error {
	return &os.PathError{Op: what, Path: f.name, Err: err}
}

// ReadAt reads until p is full or the file ends.
func (f *osFile) ReadAt(p []byte, offset int64) (int, error) {
	if !f.enter() {
		return 0, f.fail("read", os.ErrClosed)
	}
	defer f.leave()
	done := 0
	for done < len(p) {
		n, err := unix.Pread(f.fd, p[done:], offset+int64(done))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return done, f.fail("read", err)
		case n == 0:
			return done, io.EOF
		default:
			done += n
		}
	}
	return done, nil
}

// WriteAt writes all of p.
func (f *osFile) WriteAt(p []byte, offset int64) (int, error) {
	if !f.enter() {
		return 0, f.fail("write", os.ErrClosed)
	}
	defer f.leave()
	done := 0
	for done < len(p) {
		n, err := unix.Pwrite(f.fd, p[done:min(len(p), done+piece)], offset+int64(done))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return done, f.fail("write", err)
		default:
			done += n
		}
	}
	return done, nil
}

// Writev writes all of bufs.
func (f *osFile) Writev(bufs [][]byte, offset int64) (int, error) {
	if len(bufs) == 1 {
		return f.WriteAt(bufs[0], offset)
	}
	if !f.enter() {
		return 0, f.fail("write", os.ErrClosed)
	}
	defer f.leave()
	done, skip := 0, 0 // skip: bytes of bufs[0] that are written
	for len(bufs) > 0 {
		n, err := f.pwritev(bufs, skip, offset+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, f.fail("write", err)
		}
		done += n
		for n += skip; len(bufs) > 0 && n >= len(bufs[0]); bufs = bufs[1:] {
			n -= len(bufs[0])
		}
		skip = n
	}
	return done, nil
}

// pwritev is one system call. golang.org/x/sys/unix has it too, but allocates.
func (f *osFile) pwritev(bufs [][]byte, skip int, offset int64) (int, error) {
	var iov [vectors]unix.Iovec
	count, left := 0, piece
	for _, p := range bufs {
		p = p[skip:]
		skip = 0
		if len(p) == 0 {
			continue
		}
		p = p[:min(len(p), left)]
		iov[count].Base = &p[0]
		iov[count].SetLen(len(p))
		count++
		if left -= len(p); count == vectors || left == 0 {
			break
		}
	}
	if count == 0 {
		return 0, nil
	}
	// Where a word has 64 bits the kernel takes the offset from the first of the two
	// arguments and ignores the second.
	n, _, errno := unix.Syscall6(unix.SYS_PWRITEV, uintptr(f.fd), uintptr(unsafe.Pointer(&iov[0])), uintptr(count),
		uintptr(offset), uintptr(uint64(offset)>>32), 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Sync is fdatasync. After an error what was written may be lost, and no later Sync
// would tell: see Syncer.
func (f *osFile) Sync() error {
	if !f.enter() {
		return f.fail("sync", os.ErrClosed)
	}
	defer f.leave()
	for {
		switch err := unix.Fdatasync(f.fd); err {
		case nil:
			return nil
		case unix.EINTR:
		default:
			return f.fail("sync", err)
		}
	}
}

// Truncate sets the size.
func (f *osFile) Truncate(size int64) error {
	if !f.enter() {
		return f.fail("truncate", os.ErrClosed)
	}
	defer f.leave()
	for {
		switch err := unix.Ftruncate(f.fd, size); err {
		case nil:
			return nil
		case unix.EINTR:
		default:
			return f.fail("truncate", err)
		}
	}
}

// Allocate reserves space and keeps the size.
func (f *osFile) Allocate(offset, size int64) error {
	if !f.enter() {
		return f.fail("allocate", os.ErrClosed)
	}
	defer f.leave()
	for {
		switch err := unix.Fallocate(f.fd, unix.FALLOC_FL_KEEP_SIZE, offset, size); err {
		case nil:
			return nil
		case unix.EINTR:
		default:
			return f.fail("allocate", err)
		}
	}
}

// WriteBack is sync_file_range. Its flags that wait look for an error of the file's and
// move past it (file_check_and_advance_wb_err), so that fdatasync would succeed.
func (f *osFile) WriteBack(offset, size int64) error {
	if !f.enter() {
		return f.fail("write back", os.ErrClosed)
	}
	defer f.leave()
	for {
		switch err := unix.SyncFileRange(f.fd, offset, size, unix.SYNC_FILE_RANGE_WRITE); err {
		case nil:
			return nil
		case unix.EINTR:
		default:
			return f.fail("write back", err)
		}
	}
}

// Evict is posix_fadvise.
func (f *osFile) Evict(offset, size int64) error {
	if !f.enter() {
		return f.fail("evict", os.ErrClosed)
	}
	defer f.leave()
	if err := unix.Fadvise(f.fd, offset, size, unix.FADV_DONTNEED); err != nil {
		return f.fail("evict", err)
	}
	return nil
}

// Size is the size in bytes.
func (f *osFile) Size() (int64, error) {
	if !f.enter() {
		return 0, f.fail("stat", os.ErrClosed)
	}
	defer f.leave()
	var found unix.Stat_t
	if err := unix.Fstat(f.fd, &found); err != nil {
		return 0, f.fail("stat", err)
	}
	return found.Size, nil
}

func (f *osFile) Fd() int      { return f.fd }
func (f *osFile) Name() string { return f.name }

// Space is, of the free bytes, what a process without privileges may still write.
func (osFS) Space(name string) (free, total uint64, err error) {
	var found unix.Statfs_t
	if err := unix.Statfs(name, &found); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: name, Err: err}
	}
	// Bsize is how much is best written at a time. Blocks are counted in Frsize, which file
	// systems in user space make another.
	return found.Bavail * uint64(found.Frsize), found.Blocks * uint64(found.Frsize), nil
}

// Lock takes the flock of a file, which stays there when the lock is given back.
func (fs osFS) Lock(name string) (io.Closer, error) {
	f, err := fs.Open(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(f.Fd(), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
	}
	return f, nil
}
