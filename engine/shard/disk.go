package shard

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/commitlog"
)

// complainEvery bounds how often one disk fills the log with the same trouble.
const complainEvery = 10 * time.Second

// Disk is one of log.dirs. A disk whose fsync or write failed is stopped for good: the
// kernel may have dropped what it could not write, so nothing on it is acknowledged any
// more (https://www.usenix.org/conference/atc20/presentation/rebello).
type Disk struct {
	Path   string
	ID     [16]byte // directory id, as in KIP-858
	FS     diskio.FS
	Syncer *diskio.Syncer
	Clean  bool             // the last stop was clean
	Points map[string]int64 // recovery points by folder name, from the last checkpoint
	Log    *slog.Logger

	failure    atomic.Pointer[error]
	complained atomic.Int64 // unix nanoseconds
}

// Failed is why the disk was stopped, or nil (any goroutine).
func (d *Disk) Failed() error {
	if err := d.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Fail stops the disk. The first reason stays.
func (d *Disk) Fail(err error) {
	if d.failure.CompareAndSwap(nil, &err) {
		d.Log.Error("disk stopped: nothing on it is acknowledged any more; mend it and start again", "folder", d.Path, "error", err)
	}
}

// complain logs trouble with the disk, not more often than every ten seconds.
func (d *Disk) complain(now time.Time, err error) {
	last := d.complained.Load()
	if now.UnixNano()-last < int64(complainEvery) || !d.complained.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	d.Log.Error("cannot write; producers are told to try again", "folder", d.Path, "error", err)
}

func (d *Disk) recovery(r *Replica, log *slog.Logger) commitlog.Recovery {
	from, ok := d.Points[commitlog.FolderName(r.Topic, r.Index)]
	if !ok {
		from = -1
	}
	return commitlog.Recovery{Clean: d.Clean, From: from, Log: log}
}

// Space is how many bytes the disk has and how many can still be written.
func (d *Disk) Space() (total, free int64, err error) {
	left, err := d.FS.Free(d.Path)
	return int64(left), int64(left), err
}
