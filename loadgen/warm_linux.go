package loadgen

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// warmMemory is memory that was touched just now and is given back to the kernel as a
// phase writes, so that the page cache of the broker grows into it.
//
// A virtual machine with a memory balloon hands free memory back to its host after about
// two seconds, and touching it again costs ten times as much as touching memory that the
// machine still has. Without this, the figures of a run depend on what ran before it and
// on how long ago that was; with it, every system finds the same amount of warm memory at
// the same point of its run, however fast it is.
//
// The memory is a file without a name, so that it does not count as this process's own.
type warmMemory struct {
	fd    int
	size  int64
	freed int64
}

// ahead is how much is given back beyond what was written.
const ahead = 256 << 20

func newWarmMemory(size int64) (*warmMemory, error) {
	fd, err := unix.MemfdCreate("millrace-bench-warm", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("warm memory: %w", err)
	}
	if err := unix.Fallocate(fd, 0, 0, size); err != nil {
		return nil, errors.Join(fmt.Errorf("warm %d bytes of memory: %w", size, err), unix.Close(fd))
	}
	return &warmMemory{fd: fd, size: size}, nil
}

// free gives back what is needed for a phase that has written so many bytes.
func (w *warmMemory) free(written int64) error {
	upTo := min(written+ahead, w.size)
	if upTo <= w.freed {
		return nil
	}
	const punch = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	if err := unix.Fallocate(w.fd, punch, w.freed, upTo-w.freed); err != nil {
		return fmt.Errorf("give warm memory back: %w", err)
	}
	w.freed = upTo
	return nil
}

// follow gives memory back as the budget of the phase is used up, until stop is closed.
func (w *warmMemory) follow(budget *atomic.Int64, whole int64, stop <-chan struct{}) error {
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for {
		if err := w.free(whole - budget.Load()); err != nil {
			return errors.Join(err, unix.Close(w.fd))
		}
		select {
		case <-stop:
			return unix.Close(w.fd)
		case <-ticks.C:
		}
	}
}
