package shard

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/commitlog"
)

// complainEvery bounds how often one disk fills the log with the same trouble.
const complainEvery = 10 * time.Second

// Endings of folders that are no partition's any more.
const (
	// DeletedSuffix is that of a deleted partition, whose files go in the background.
	DeletedSuffix = commitlog.DeletedSuffix
	// StraySuffix is that of a folder that belonged to no partition; a person decides.
	StraySuffix = "-stray"
)

// Disk is one of log.dirs. A disk whose fsync or write failed is stopped for good: the
// kernel may have dropped what it could not write, so nothing on it is acknowledged any
// more (https://www.usenix.org/conference/atc20/presentation/rebello). What was
// committed before can still be read. A full disk is not stopped.
type Disk struct {
	Path    string
	ID      [16]byte // directory id, as in KIP-858
	FS      diskio.FS
	Syncer  Syncer
	Readers *diskio.Readers // read what is not in memory. Nil: nobody does
	// Searchers look for times in logs. Nil: who asks does it himself.
	Searchers *diskio.Readers
	// Openers open logs, several at a time. Nil: who needs a log opens it himself.
	Openers Opener
	Cache   *diskio.PageCache // bounds what stays of the logs in memory. Nil: nothing does
	Chunks  *diskio.Chunks    // what is read past the page cache. Nil: nothing is
	Clean   bool              // the last stop was clean
	// Rewrite: a sync on it has failed before; see commitlog.Recovery.
	Rewrite bool
	Points  map[string]Point // recovery points by folder name, as the last run left them; never changed
	// Held is what the journal has of folders, by name, and could not bring to them: those are
	// not opened. Never changed.
	Held map[string]Held
	Log  *slog.Logger
	// Stopped is told of the failure that stops the disk, once, on any goroutine. Nil:
	// nobody is told.
	Stopped func(error)
	// Lacking is told that the process has no descriptor left, on any goroutine, as often as somebody meets that. It
	// does not block. Nil: nobody is told.
	Lacking func()
	// Later runs f after a delay, on a goroutine of its choice. Nil: time.AfterFunc.
	Later func(delay time.Duration, f func())

	failure    atomic.Pointer[error]
	complained atomic.Int64 // unix nanoseconds
	released   atomic.Bool
	begun      sync.Once
	behind     chan struct{} // has room for what later may run at the same time
}

// Syncer makes files durable: a diskio.Syncer.
type Syncer interface {
	Sync(r *diskio.Request)
}

// Held is what a log lacks.
type Held struct {
	Topic [16]byte // the topic's id
	Bytes int64
	Why   error
}

// Refusal is why a partition of the disk must not be opened, or nil.
func (d *Disk) Refusal(folder string, topic [16]byte) error {
	h, held := d.Held[folder]
	if !held || h.Topic != topic {
		return nil
	}
	return fmt.Errorf("the journal keeps %d bytes of it that were acknowledged, and cannot bring them back: %w; stop the broker, restore %s or write it anew as %q, and start again",
		h.Bytes, h.Why, filepath.Join(d.Path, folder, commitlog.TopicFile), commitlog.TopicText(topic))
}

// Point says that the log of a topic's partition is durable up to an offset.
type Point struct {
	Topic  [16]byte // the topic's id: a topic made anew under an old name has none of its points
	Offset int64
	Last   uint32 // checksum of the batch that ends there, if Lasts
	Lasts  bool
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
	if !d.failure.CompareAndSwap(nil, &err) {
		return
	}
	d.Log.Error("disk stopped: nothing on it is acknowledged any more; mend it and start again", "folder", d.Path, "error", err)
	if d.Stopped != nil {
		d.Stopped(err)
	}
}

// Release says that the broker gives the folder back: work that was put off is left to
// the next start.
func (d *Disk) Release() { d.released.Store(true) }

// Unreadable says that something on the disk could not be read. It stops nothing: what can
// be read still is (any goroutine).
func (d *Disk) Unreadable(now time.Time, err error) {
	if diskio.Lacking(err) {
		d.lacking(now, "consumers", err)
		return
	}
	d.complain(now, "the disk cannot be read", err)
}

// Damaged says that a log holds something else than what was written. The other partitions of the disk
// go on (any goroutine).
func (d *Disk) Damaged(now time.Time, err error) {
	d.complain(now, "a log is damaged; what is behind that is not read until its file is restored (millrace log verify lists all that is wrong)", err)
}

// parallelLater is how much of what was put off one disk does at the same time. Retention may make thousands
// of files due at once. What waits for the disk takes a thread, and the runtime ends a process that has 10,000.
const parallelLater = 16

// later runs f after a while, unless the folder was given back by then. It may wait for others that
// are due, so f must not wait for another.
func (d *Disk) later(delay time.Duration, f func()) {
	d.begun.Do(func() { d.behind = make(chan struct{}, parallelLater) })
	unlessReleased := func() {
		d.behind <- struct{}{}
		defer func() { <-d.behind }()
		if !d.released.Load() {
			f()
		}
	}
	if d.Later != nil {
		d.Later(delay, unlessReleased)
		return
	}
	time.AfterFunc(delay, unlessReleased)
}

// trouble decides what an error of writing means: a full disk is waited out, as is a want of
// descriptors, anything else stops the disk.
func (d *Disk) trouble(now time.Time, err error) {
	switch {
	case full(err):
		d.complain(now, "the disk is full: producers are told to try again", err)
	case diskio.Lacking(err):
		d.lacking(now, "producers", err)
	default:
		d.Fail(err)
	}
}

// lacking says that there are no descriptors, and who has to try again.
func (d *Disk) lacking(now time.Time, who string, err error) {
	if d.Lacking != nil {
		d.Lacking()
	}
	d.complain(now, "there are no file descriptors left: "+who+" are told to try again; raise the limit (ulimit -n), or lower max.connections", err)
}

// complain logs trouble with the disk, not more often than every ten seconds.
func (d *Disk) complain(now time.Time, what string, err error) {
	last := d.complained.Load()
	if now.UnixNano()-last < int64(complainEvery) || !d.complained.CompareAndSwap(last, now.UnixNano()) {
		return
	}
	d.Log.Error(what, "folder", d.Path, "error", err)
}

// full reports whether err says that there is no space, and no more than that: a sync
// that failed for want of space has lost what it should have kept.
func full(err error) bool {
	return diskio.Full(err) && !errors.Is(err, commitlog.ErrSync)
}

// passing reports whether an error of opening may be gone when it is tried again.
func passing(err error) bool {
	return full(err) || diskio.Lacking(err) || errors.Is(err, syscall.ENOMEM)
}

// forget has the journal never bring back what it has of a file. It waits for the disk, as
// cutting a log does anyhow.
func (d *Disk) forget(name string, topic [16]byte) error {
	done := make(chan error, 1)
	d.Syncer.Sync(&diskio.Request{Name: name, Tag: topic, Forget: true, Done: func(_ *diskio.Request, err error) { done <- err }})
	return <-done
}

func (d *Disk) recovery(r *Replica, log *slog.Logger) commitlog.Recovery {
	o := commitlog.Recovery{Clean: d.Clean, From: -1, Rewrite: d.Rewrite, Log: log}
	if p, ok := d.Points[commitlog.FolderName(r.Topic, r.Index)]; ok && p.Topic == r.ID {
		o.From, o.Last, o.Lasts = p.Offset, p.Last, p.Lasts
	}
	return o
}

// Discard takes a folder away whatever is in it: it has another name at once, and is
// removed after delay. That there is none is no error.
func (d *Disk) Discard(folder string, delay time.Duration) error {
	gone, err := d.moveAside(folder, DeletedSuffix)
	if err != nil || gone == "" {
		return err
	}
	d.later(delay, func() { d.Remove(gone) })
	return nil
}

// Remove removes a folder that has no use any more.
func (d *Disk) Remove(folder string) {
	if err := d.FS.RemoveAll(filepath.Join(d.Path, folder)); err != nil {
		d.Log.Warn("cannot remove a deleted partition; the next start tries again", "folder", filepath.Join(d.Path, folder), "error", err)
	}
}

// Estrange gives a folder that belongs to no partition another name, and leaves it to a
// person what becomes of it, as Kafka does.
func (d *Disk) Estrange(folder, why string) error {
	stray, err := d.moveAside(folder, StraySuffix)
	if err == nil && stray != "" {
		d.Log.Warn("moved aside a folder that is no partition's of this cluster; nothing will read it, remove it if it is not missed",
			"folder", filepath.Join(d.Path, folder), "now", stray, "because", why)
	}
	return err
}

// moveAside renames a folder to a name that is nobody's, and answers the name; empty
// when there is no such folder.
func (d *Disk) moveAside(folder, suffix string) (string, error) {
	var mark [16]byte
	rand.Read(mark[:]) // never fails, by its contract
	suffix = "." + hex.EncodeToString(mark[:]) + suffix
	aside := folder[:min(len(folder), commitlog.MaxName-len(suffix))] + suffix
	err := d.FS.Rename(filepath.Join(d.Path, folder), filepath.Join(d.Path, aside))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil {
		err = d.FS.SyncDir(d.Path)
	}
	if err != nil {
		return "", fmt.Errorf("move %s aside: %w", filepath.Join(d.Path, folder), err)
	}
	return aside, nil
}

// Space is how many bytes the disk has, and how many can still be written.
func (d *Disk) Space() (total, free int64, err error) {
	left, all, err := d.FS.Space(d.Path)
	return int64(all), int64(left), err
}
