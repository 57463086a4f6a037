package diskio

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// reserveFile lies in the disk's folder.
const reserveFile = "reserve"

// A reserve is given up piece by piece: what one piece leaves over others may take.
const (
	reserveBytes = 256 << 10
	reservePiece = 16 << 10
)

// reservePlenty is so much free space that what is wanted is none, or more than a reserve has: a
// file system without inodes says ENOSPC, too.
const reservePlenty = 4 * reserveBytes

// reserveQuiet bounds how often a disk's log is told that the reserve is short.
const reserveQuiet = 10 * time.Second

// Reserved is the file system of a disk that keeps a little space back, in a file, for what has to
// be written although the disk is full: without it a broker could not even start, and delete
// what fills the disk. Whoever needs it asks WithRoom. It is made whole again when something was
// removed, and by Fill.
//
// The file is never synced, and what is in it means nothing. A power cut may take it; the next
// start makes it again.
type Reserved struct {
	FS
	path  string
	log   *slog.Logger
	now   func() time.Time
	short atomic.Bool // the file has less than it should
	guard sync.Mutex  //nolint:forbidigo // who needs space and who has removed something meet here, on a full disk only
	bytes int64       // that the file has; under guard
	told  time.Time   // when the log was last told that the reserve is short; under guard
	owes  bool        // the log is to be told when it is whole; under guard
}

// NewReserved keeps space back in a folder of fs, which must be there. That there is none to keep
// is no error.
func NewReserved(fs FS, folder string, log *slog.Logger) *Reserved {
	r := &Reserved{FS: fs, path: filepath.Join(folder, reserveFile), log: log, now: time.Now, owes: true}
	if found, err := fs.Stat(r.path); err == nil && !found.Dir {
		r.bytes = min(found.Size, reserveBytes)
	}
	r.short.Store(r.bytes < reserveBytes)
	r.Fill()
	return r
}

// Remove removes a file.
func (r *Reserved) Remove(name string) error {
	err := r.FS.Remove(name)
	if err == nil {
		r.Fill()
	}
	return err
}

// RemoveAll removes a folder and all in it.
func (r *Reserved) RemoveAll(name string) error {
	err := r.FS.RemoveAll(name)
	if err == nil {
		r.Fill()
	}
	return err
}

// Fill makes the reserve whole again if the disk has room (any goroutine).
func (r *Reserved) Fill() {
	if !r.short.Load() {
		return
	}
	r.guard.Lock()
	defer r.guard.Unlock()
	missing := reserveBytes - r.bytes
	free, _, err := r.Space(filepath.Dir(r.path))
	if missing <= 0 || err == nil && free < uint64(2*missing) {
		return
	}
	if err == nil {
		err = r.fill()
	}
	if err != nil {
		if r.tell() {
			r.log.Warn("cannot keep space back for when the disk is full", "file", r.path, "error", err)
		}
		return
	}
	r.bytes = reserveBytes
	r.short.Store(false)
	if r.owes {
		r.owes = false
		r.log.Info("space is kept back for when the disk is full", "file", r.path, "bytes", reserveBytes)
	}
}

// tell reports whether the log is to be told that the reserve is short: whoever finds no room tries
// again and again. Under guard.
func (r *Reserved) tell() bool {
	now := r.now()
	if !r.told.IsZero() && now.Sub(r.told) < reserveQuiet {
		return false
	}
	r.told, r.owes = now, true
	return true
}

// fill writes the whole file, with what no file system makes smaller.
func (r *Reserved) fill() error {
	f, err := r.Open(r.path, os.O_WRONLY|os.O_CREATE)
	if err != nil {
		return err
	}
	noise := make([]byte, reserveBytes)
	source := rand.NewChaCha8([32]byte{})
	if _, err := source.Read(noise); err != nil {
		return errors.Join(err, f.Close())
	}
	if _, err = f.WriteAt(noise, 0); err != nil {
		err = errors.Join(err, f.Truncate(r.bytes))
	}
	return errors.Join(err, f.Close())
}

// giveUp frees a piece of the reserve for a write that found no room. It reports false when nothing
// is left, or could be freed, or when that would not help.
func (r *Reserved) giveUp(want error) bool {
	r.guard.Lock()
	defer r.guard.Unlock()
	if r.bytes == 0 || Lacking(want) || r.other(want) {
		return false
	}
	left := max(0, r.bytes-reservePiece)
	f, err := r.Open(r.path, os.O_WRONLY)
	if err == nil {
		err = errors.Join(f.Truncate(left), f.Close())
	}
	if Lacking(err) {
		return false // it is there yet
	}
	if err != nil {
		r.log.Warn("cannot give up space that was kept back", "file", r.path, "error", err)
		r.bytes = 0
		r.short.Store(true)
		return false
	}
	r.bytes = left
	r.short.Store(true)
	if r.tell() {
		r.log.Warn("the disk is full: space that was kept back is given up, so that topics and records can be deleted; free some space", "file", r.path, "left", left)
	}
	return true
}

// other reports whether a write that found no room wants something else than the reserve has. A
// quota is none of it: there is space on the disk, and what this user gives up it may use.
func (r *Reserved) other(want error) bool {
	if errors.Is(want, syscall.EDQUOT) {
		return false
	}
	free, _, err := r.Space(filepath.Dir(r.path))
	return err == nil && free >= reservePlenty
}

// WithRoom calls write, which leaves nothing behind when it fails for want of space. Then, if fs is
// a disk with a reserve, some of that is given up and it is called again.
func WithRoom(fs FS, full func(error) bool, write func() error) error {
	err := write()
	r, ok := fs.(*Reserved)
	for range reserveBytes / reservePiece {
		if !ok || !full(err) || !r.giveUp(err) {
			break
		}
		err = write()
	}
	return err
}

// WriteNeeded is WriteFile for what has to be written although the disk is full.
func WriteNeeded(fs FS, name string, data []byte) error {
	temporary := name + ".tmp"
	err := WithRoom(fs, Full, func() error {
		err := writeSynced(fs, temporary, data) // a file of its own each time: a sync that failed is none of the next's
		if err != nil {
			err = errors.Join(err, removed(fs.Remove(temporary)))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", temporary, err)
	}
	return replaceBy(fs, temporary, name)
}
