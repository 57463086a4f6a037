package engine

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/label"
	"github.com/millrace/millrace/engine/shard"
)

const (
	lockFile   = ".lock"
	cleanFile  = "clean-shutdown"
	doubtFile  = "sync-failed"
	pointsFile = "recovery-point-offset-checkpoint"
)

const (
	// parallelReads is how many cold reads of one disk are under way at a time.
	parallelReads = 4
	// parallelSearches is how many lookups by time are: each may keep a CPU busy with a batch
	// that somebody compressed too well.
	parallelSearches = 1
	// parallelOpens is how many logs are opened: each mostly waits for its syncs, and a disk
	// takes several at once.
	parallelOpens = 8
)

// ErrInUse says that another broker has the data folder.
var ErrInUse = errors.New("another broker uses this data folder, or log.dirs names it twice; stop that broker, or give this one a folder of its own (log.dirs)")

// disk is one of log.dirs while this broker has it.
type disk struct {
	*shard.Disk
	lock    io.Closer
	reserve *diskio.Reserved // the FS of shard.Disk
	syncer  *diskio.Syncer
	journal *diskio.Journal
	cache   *diskio.PageCache
	openers *diskio.Readers
	cleaner *cleaner
	recheck chan chan<- struct{} // asks who keeps the disk to apply retention at once
	lacking chan struct{}        // tells who keeps the disk that there are no descriptors left
	shards  []*shard.Shard       // that its partitions are on; no other disk's are, for a disk that hangs holds them up
	// unclean: a log in it could not be closed in good order, or was not looked at since a
	// crash. Set while the broker stops.
	unclean atomic.Bool
	entries int64  // the end of the metadata log at the last clean stop, and at this one; zero: it is not here, or not known
	points  []byte // what the checkpoint of recovery points holds; of who keeps the disk, and after that of the stop
}

// diskLimits are bytes that one disk may have, and who counts them.
type diskLimits struct {
	journal int64                               // log.journal.bytes
	cached  int64                               // log.page.cache.bytes
	cold    int64                               // log.cold.buffer.bytes, the disk's share
	read    func(took time.Duration, bytes int) // told of what is read past the page cache
}

// openDisk takes a data folder for this broker alone and reads how the last one left it.
// Its journal is replayed before anybody opens a log.
func openDisk(fs diskio.FS, path string, limits diskLimits, log *slog.Logger) (*disk, error) {
	if err := fs.MkdirAll(path); err != nil {
		return nil, fmt.Errorf("make data folder %s: %w", path, err)
	}
	lock, err := fs.Lock(filepath.Join(path, lockFile))
	if errors.Is(err, diskio.ErrLocked) {
		return nil, fmt.Errorf("%s: %w", path, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("lock data folder %s: %w", path, err)
	}
	reserve := diskio.NewReserved(fs, path, log)
	d := &disk{Disk: &shard.Disk{Path: path, FS: reserve, Log: log}, reserve: reserve, lock: lock, recheck: make(chan chan<- struct{}), lacking: make(chan struct{}, 1)}
	d.Lacking = d.lacks
	if err := d.recall(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	d.journal, err = diskio.OpenJournal(diskio.JournalOptions{
		FS: reserve, Folder: path, Bytes: limits.journal, Clean: d.Clean, Owns: d.owns, Log: log,
	})
	if err != nil {
		return nil, errors.Join(err, d.remember(), lock.Close())
	}
	d.Held = heldBack(d.journal.Held())
	d.syncer = diskio.NewSyncer(diskio.SyncerOptions{Journal: d.journal, Stopped: d.Fail, Labels: label.Syncer})
	d.Syncer = d.syncer
	d.cache = diskio.NewPageCache(diskio.PageCacheOptions{Bytes: limits.cached})
	d.Cache = d.cache
	d.Chunks = diskio.NewChunks(diskio.ChunksOptions{Bytes: limits.cold, Read: limits.read})
	d.Readers, d.Searchers = diskio.NewReaders(parallelReads), diskio.NewReaders(parallelSearches)
	d.openers = diskio.NewReaders(parallelOpens)
	d.Openers = d.openers
	return d, nil
}

// owns reports whether a partition's file belongs to the topic that the journal names. The
// topic id is older than any segment: where it is gone, or cannot be read, nobody can tell.
func (d *disk) owns(name string, topic [16]byte) (bool, error) {
	found, err := commitlog.TopicOf(d.FS, filepath.Join(d.Path, filepath.Dir(name)))
	if err == nil && found == [16]byte{} {
		err = errors.New("the topic id (partition.metadata) is missing beside the segments")
	}
	return err == nil && found == topic, err
}

// heldBack is what the journal could not replay, for the partitions concerned.
func heldBack(all map[string]diskio.Held) map[string]shard.Held {
	out := make(map[string]shard.Held, len(all))
	for folder, h := range all {
		out[folder] = shard.Held{Topic: h.Tag, Bytes: h.Bytes, Why: h.Why}
	}
	return out
}

// recall reads the marker of a clean stop, and takes it away: from here on a stop is
// not clean unless it says so.
func (d *disk) recall() error {
	marker := filepath.Join(d.Path, cleanFile)
	if text, err := diskio.ReadFile(d.FS, marker); err == nil {
		if d.entries, err = parseMarker(string(text)); err != nil {
			d.Log.Warn("the marker of a clean stop cannot be read; logs are checked", "file", marker, "error", err)
		}
		d.Clean = err == nil
		if err := errors.Join(d.FS.Remove(marker), d.FS.SyncDir(d.Path)); err != nil {
			return fmt.Errorf("take away the marker of the last clean stop: %w", err)
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look for the marker of a clean stop: %w", err)
	}
	if _, err := d.FS.Stat(filepath.Join(d.Path, doubtFile)); err == nil {
		d.Clean, d.Rewrite = false, true
		d.Log.Warn("a sync has failed here before: what is recovered is written again", "folder", d.Path)
	}
	text, err := diskio.ReadFile(d.FS, filepath.Join(d.Path, pointsFile))
	if err == nil {
		d.points = text
		d.Points, err = parsePoints(string(text))
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		// Without points more is checked, and nothing is lost.
		d.Log.Warn("recovery points cannot be read; logs are checked further back", "folder", d.Path, "error", err)
	}
	return nil
}

// remember puts back the marker that recall took away, for a start that is refused before any log was
// opened: what was true before it is true after it.
func (d *disk) remember() error {
	if !d.Clean {
		return nil
	}
	if err := diskio.WriteNeeded(d.FS, filepath.Join(d.Path, cleanFile), encodeMarker(d.entries)); err != nil {
		return fmt.Errorf("put back the marker of the last clean stop: %w", err)
	}
	return nil
}

// fill makes the reserve whole if the disk has room. Nothing is written to one that was stopped.
func (d *disk) fill() {
	if d.Failed() == nil {
		d.reserve.Fill()
	}
}

// distrust notes for the next start that a sync has failed. That needs no sync itself: the
// note lies in the page cache, beside what it warns of, and is lost only together with it.
func (d *disk) distrust() {
	d.unclean.Store(true)
	f, err := d.FS.Open(filepath.Join(d.Path, doubtFile), os.O_CREATE|os.O_WRONLY)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		d.Log.Error("cannot note that a sync has failed; restart the machine before the broker is started again", "folder", d.Path, "error", err)
	}
}

// doubt keeps disks from being called clean on which a log could not be opened, or that were
// not clean at the start and have a log that nobody has asked for since: it is as the crash
// has left it.
func (b *Broker) doubt() {
	for _, d := range b.disks {
		if len(d.Held) > 0 { // what comes to these logs later must be looked at then
			d.unclean.Store(true)
		}
	}
	for _, t := range b.registry.Topics() {
		t.Each(func(_ int32, on *shard.Disk, r *shard.Replica) {
			opened := r != nil && r.Settled()
			if opened && r.Whole() || !opened && on.Clean {
				return
			}
			for _, d := range b.disks {
				if d.Disk == on {
					d.unclean.Store(true)
				}
			}
		})
	}
}

// close lets the folder go. If every log in it was closed in good order, the next start
// is told so.
func (d *disk) close() error {
	d.openers.Close() // first: a log that is cut asks the syncer
	d.syncer.Close()
	d.cache.Close()
	d.Readers.Close()
	d.Searchers.Close()
	d.Chunks.Close()
	d.Release()
	err := d.syncer.Err()
	if err == nil && d.Failed() == nil && !d.unclean.Load() {
		if d.Rewrite { // every log was written again
			err = d.FS.Remove(filepath.Join(d.Path, doubtFile))
		}
		err = errors.Join(err, diskio.WriteNeeded(d.FS, filepath.Join(d.Path, cleanFile), encodeMarker(d.entries)))
	}
	return errors.Join(err, d.lock.Close())
}
