package kit

import (
	"os"
	"sync/atomic"

	"github.com/millrace/millrace/diskio"
)

// failing says why no sync goes well any more.
type failing struct{ cause atomic.Pointer[error] }

func (f *failing) set(why error) { f.cause.Store(&why) }

func (f *failing) why() error {
	if why := f.cause.Load(); why != nil {
		return *why
	}
	return nil
}

// disks is a file system whose syncs a test can have fail.
type disks struct {
	diskio.FS
	failing *failing
}

// Open opens a file.
func (d *disks) Open(name string, flag int) (diskio.File, error) {
	f, err := d.FS.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return &file{f, d.failing}, nil
}

// SyncDir makes durable which files are in a folder.
func (d *disks) SyncDir(name string) error {
	if why := d.failing.why(); why != nil {
		return &os.PathError{Op: "sync", Path: name, Err: why}
	}
	return d.FS.SyncDir(name)
}

type file struct {
	diskio.File
	failing *failing
}

// Sync makes the content durable.
func (f *file) Sync() error {
	if why := f.failing.why(); why != nil {
		return &os.PathError{Op: "sync", Path: f.Name(), Err: why}
	}
	return f.File.Sync()
}
