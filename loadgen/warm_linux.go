package loadgen

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync/atomic"
	"time"
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
// The memory is the page cache of files without names, on the file system that the broker
// writes to, for the kernel gives a file the kind of pages that one like it has left: after
// anonymous memory was given back a gigabyte written to a file cost 1.3 CPU-s, after such
// files 0.7. They are gone before the system would write them to the disk.
type warmMemory struct {
	files []*os.File // those given back first
	freed int64
}

// Sizes in bytes.
const (
	warmFile = 64 << 20
	ahead    = 256 << 20 // what is given back beyond what was written
)

// newWarmMemory touches size bytes, rounded up to whole files, in a folder.
func newWarmMemory(dir string, size int64) (*warmMemory, error) {
	w := &warmMemory{}
	block := make([]byte, 1<<20)
	for begun := int64(0); begun < size; begun += warmFile {
		f, err := os.CreateTemp(dir, "millrace-bench-warm-")
		if err != nil {
			return nil, errors.Join(fmt.Errorf("warm memory: %w", err), w.close())
		}
		w.files = append(w.files, f)
		if err := os.Remove(f.Name()); err != nil {
			return nil, errors.Join(fmt.Errorf("warm memory: %w", err), w.close())
		}
		for range warmFile / len(block) {
			if _, err := f.Write(block); err != nil {
				return nil, errors.Join(fmt.Errorf("warm %d bytes of memory: %w", size, err), w.close())
			}
		}
	}
	return w, nil
}

// free gives back what is needed for a phase that has written so many bytes.
func (w *warmMemory) free(written int64) error {
	for ; len(w.files) > 0 && w.freed < written+ahead; w.freed += warmFile {
		f := w.files[0]
		w.files = w.files[1:]
		if err := f.Close(); err != nil {
			return fmt.Errorf("give warm memory back: %w", err)
		}
	}
	return nil
}

// close gives everything back.
func (w *warmMemory) close() error { return w.free(math.MaxInt64 - ahead) }

// follow gives memory back as the budget of the phase is used up, until stop is closed.
func (w *warmMemory) follow(budget *atomic.Int64, whole int64, stop <-chan struct{}) error {
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for {
		if err := w.free(whole - budget.Load()); err != nil {
			return errors.Join(err, w.close())
		}
		select {
		case <-stop:
			return w.close()
		case <-ticks.C:
		}
	}
}
