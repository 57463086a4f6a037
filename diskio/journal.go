package diskio

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"
)

// journalFolder lies in the disk's folder. No partition's folder has this name: those end
// with a number.
const journalFolder = "journal"

// JournalOptions say where a journal lies and how large it may be.
type JournalOptions struct {
	FS     FS     // Nil: the operating system's
	Folder string // of the disk; names are relative to it
	// Bytes is the size of all files of the journal together. Zero: none are made, and what
	// stands in those of an earlier run is replayed all the same.
	Bytes int64
	// Files is how many there are at most. Zero: 4.
	Files int
	// Warmup is how many rounds must have wanted the journal before its files are made, so
	// that a broker with little to do does without. Zero: 16. Files that are there are used.
	Warmup int
	// Age is how long bytes stand in the journal alone. Zero: 10 seconds.
	Age time.Duration
	// Clean says that the last stop was clean: the search for damage is left out.
	Clean bool
	// Owns reports whether a file, which is there, belongs to what had this tag. Where it fails
	// nobody can tell now, and what the journal has of the folder is held back. Nil: it does.
	Owns func(name string, tag [16]byte) (bool, error)
	Log  *slog.Logger     // Nil: slog.Default
	Now  func() time.Time // Nil: time.Now. It tells durations
}

// Journal makes bytes of many files durable with one write and one sync. It is a redo log
// of ranges: "these bytes belong at this position of that file". It belongs to one disk,
// and to the dispatcher of its Syncer, which alone may touch it.
//
//	round ──▶ block in the current file ──▶ fdatasync ──▶ Done      the file owes a sync
//	                                                               │
//	rotation, age, 16 MiB of one file ──▶ checkpoint: fdatasync of the file itself
//	                                                               │
//	a journal file in whose epoch no file owes ◀────────────────────┘ is used again
//
// Invariants:
//
//   - What a file got since its own last sync, and was acknowledged, stands in blocks of
//     epochs from the tail on, in order and without holes.
//   - An epoch is below the tail only when all that stands in it is durable in the files
//     themselves. A journal file is used again only when its epoch is.
//   - Epochs and the numbers of blocks only grow; of the epochs on disk none is missing
//     between two others, for the oldest file is always the next.
//   - An error of a write or sync stops the disk, and is never retried.
type Journal struct {
	o    JournalOptions
	fs   FS
	dir  string
	id   [16]byte
	size int64 // bytes of each file
	most int   // bytes of a block at most
	log  *slog.Logger

	files    []*journalFile
	current  *journalFile // nil before the first round
	at       int64        // where the next block goes
	epoch    uint64
	number   uint64 // of the last block
	tail     uint64
	rounds   uint64
	buffer   []byte // a block, aligned
	header   []byte // a page, aligned
	count    int    // entries in the block
	payload  int64  // bytes of data in the block
	wanted   int
	making   bool
	made     chan *journalFile // nil: it could not be made
	retry    time.Time         // when to try to make a file again
	stopping atomic.Bool

	held   map[string]Held     // by folder; not changed once the journal is open
	harmed bool                // the id's file is to be written anew
	found  func(JournalDamage) // told of damage, and nothing is changed; nil: it is logged

	debts map[File]*debt
	spare []*debt
	timer *time.Timer
	armed bool

	stats journalStats
}

// journalFile is one of the files that blocks are written to.
type journalFile struct {
	File
	path   string
	epoch  uint64  // 0: it was never used
	direct durable // nil: it goes through the page cache, or is not written to yet
}

// debt says that a file owes a sync: bytes of it stand in the journal alone.
type debt struct {
	first   uint64 // epoch
	last    uint64 // round
	bytes   int64  // since its last sync began
	queued  bool   // request is with the syncer
	stuck   bool   // the file was closed, and nobody can sync it
	request Request
}

// journalParallel is how many checkpoints are under way at the same time.
const journalParallel = 12

// syncAfter is how many bytes of one file stand in the journal before the file is synced,
// so that the sync at a roll has not much to do.
const syncAfter = 16 << 20

func newJournal(o JournalOptions) *Journal {
	if o.FS == nil {
		o.FS = OS
	}
	if o.Files <= 0 {
		o.Files = 4
	}
	if o.Warmup <= 0 {
		o.Warmup = 16
	}
	if o.Age <= 0 {
		o.Age = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	j := &Journal{
		o: o, fs: o.FS, dir: filepath.Join(o.Folder, journalFolder), log: o.Log,
		size: o.Bytes / int64(o.Files) / journalPage * journalPage, tail: 1,
		made: make(chan *journalFile, 1), debts: map[File]*debt{}, timer: time.NewTimer(time.Hour),
	}
	j.timer.Stop()
	j.most = page(int(min(1<<20, j.size/4)))
	return j
}

// usable reports whether the journal may have files at all.
func (j *Journal) usable() bool { return j != nil && j.size >= 16*journalPage }

// suits reports whether the journal can take r in one block.
func (j *Journal) suits(r *Request) bool {
	return r.Forget || r.To > r.From && r.To-r.From < journalLargest && int(r.To-r.From)+j.overhead(r) <= j.most
}

func (j *Journal) overhead(r *Request) int { return blockHeadSize + entryHeadSize + len(r.Name) }

// begin starts a block. It reports whether there is a file to write it to; if not, one may
// be on its way.
func (j *Journal) begin() (bool, error) {
	if j.current == nil || j.full() {
		if turned, err := j.rotate(); !turned {
			return false, err
		}
	}
	if j.buffer == nil {
		j.buffer = aligned(j.most)
	}
	j.buffer = j.buffer[:blockHeadSize]
	j.count, j.payload = 0, 0
	if j.at > j.size/2 && len(j.files) < j.o.Files && j.oldest() == nil {
		j.prepare()
	}
	return true, nil
}

// full reports whether the current file has no room for another block.
func (j *Journal) full() bool { return j.at+int64(j.most) > j.size }

// rotate goes on with the next file, if there is one.
func (j *Journal) rotate() (bool, error) {
	next := j.oldest()
	if next == nil {
		if j.wanted++; j.wanted >= j.o.Warmup && len(j.files) < j.o.Files {
			j.prepare()
		}
		if j.current == nil || len(j.debts) > 0 {
			return false, nil
		}
		next = j.current // the only file, and nothing in it is needed
	}
	err := j.turnTo(next)
	return err == nil, err
}

// turnTo begins a new epoch in a file. The header is durable before the first block is
// written: of the old epoch there is all or, by the header, nothing.
func (j *Journal) turnTo(next *journalFile) error {
	if next.epoch > 0 {
		j.stats.recycled.Add(1)
	}
	j.epoch++
	next.epoch = j.epoch
	j.current, j.at = next, 0
	j.reckon()
	if d, ok := next.File.(durable); ok && next.direct == nil && d.beDurable() {
		next.direct = d
	}
	if j.header == nil {
		j.header = aligned(journalPage)
	}
	clear(j.header)
	(&fileHead{id: j.id, epoch: j.epoch, first: j.number + 1, tail: j.tail, size: j.size}).encode(j.header)
	return j.write(j.header)
}

// oldest is the file to be used next: one that was never used, or the oldest, if it is not
// needed any more.
func (j *Journal) oldest() *journalFile {
	j.reckon()
	var found *journalFile
	for _, f := range j.files {
		if f != j.current && f.epoch < j.tail && (found == nil || f.epoch < found.epoch) {
			found = f
		}
	}
	return found
}

// reckon finds the lowest epoch that is needed.
func (j *Journal) reckon() {
	tail := max(j.epoch, 1)
	for _, d := range j.debts {
		tail = min(tail, d.first)
	}
	j.tail = max(j.tail, tail)
}

// roomy reports whether at least half of the files may be used again, or are not made yet.
func (j *Journal) roomy() bool {
	free := j.o.Files - len(j.files)
	for _, f := range j.files {
		if f != j.current && f.epoch < j.tail {
			free++
		}
	}
	return free*2 >= j.o.Files
}

// fits reports whether r goes into the block that was begun.
func (j *Journal) fits(r *Request) bool {
	return len(j.buffer)+entryHeadSize+len(r.Name)+int(r.To-r.From) <= j.most
}

// add reads what r is about, from the page cache, into the block. After an error the block
// is as before.
func (j *Journal) add(r *Request) error {
	before := len(j.buffer)
	e := entry{kind: entryData, tag: r.Tag, position: r.From}
	size := int(r.To - r.From)
	if r.Forget {
		e.kind, e.position, size = entryForget, 0, 0
	}
	j.buffer = append(appendEntry(j.buffer, &e, len(r.Name), size), r.Name...)
	at := len(j.buffer)
	j.buffer = j.buffer[:at+size]
	if n, err := j.read(r, j.buffer[at:]); n < size {
		j.buffer = j.buffer[:before]
		return fmt.Errorf("read back %d of %d bytes of %s: %w", n, size, r.Name, err)
	}
	j.count++
	j.payload += int64(size)
	return nil
}

func (j *Journal) read(r *Request, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return r.File.ReadAt(p, r.From)
}

// owe notes that r.File owes a sync from the round that is being made.
func (j *Journal) owe(r *Request) (d *debt) {
	if r.Forget {
		return nil
	}
	d = j.debts[r.File]
	if d == nil {
		if n := len(j.spare); n > 0 {
			d, j.spare = j.spare[n-1], j.spare[:n-1]
		} else {
			d = new(debt)
		}
		*d = debt{first: j.epoch}
		j.debts[r.File] = d
	}
	d.last = j.rounds
	d.bytes += r.To - r.From
	d.stuck = false
	j.arm()
	return d
}

// arm has all that is owed synced after a while.
func (j *Journal) arm() {
	if !j.armed {
		j.armed = true
		j.timer.Reset(j.o.Age)
	}
}

// settle says that a sync of f succeeded, which began after so many rounds, in that epoch.
func (j *Journal) settle(f File, rounds, epoch uint64) {
	d := j.debts[f]
	switch {
	case d == nil:
	case d.last <= rounds && !d.queued:
		delete(j.debts, f)
		j.spare = append(j.spare, d)
	default:
		d.first = max(d.first, epoch)
	}
}

// commit writes the block and syncs the file.
func (j *Journal) commit() error {
	j.number++
	block := blockHead{count: j.count, id: j.id, epoch: j.epoch, number: j.number, tail: j.tail}
	block.seal(j.buffer)
	end := page(len(j.buffer))
	clear(j.buffer[len(j.buffer):end])
	if err := j.write(j.buffer[:end]); err != nil {
		return err
	}
	j.stats.rounds.Add(1)
	j.stats.entries.Add(uint64(j.count))
	j.stats.bytes.Add(uint64(j.payload))
	return nil
}

// write writes whole pages and makes them durable.
func (j *Journal) write(p []byte) error {
	err := errIndirect
	if j.current.direct != nil {
		if err = j.current.direct.writeDurable(p, j.at); errors.Is(err, errIndirect) {
			j.current.direct = nil
		} else if err != nil {
			return fmt.Errorf("write journal: %w", err)
		}
	}
	if err != nil {
		if _, err := j.current.WriteAt(p, j.at); err != nil {
			return fmt.Errorf("write journal: %w", err)
		}
		if err := j.current.Sync(); err != nil {
			return fmt.Errorf("sync journal: %w", err)
		}
	}
	j.at += int64(len(p))
	return nil
}

// reset says durably that nothing in the journal is needed: a new epoch begins.
func (j *Journal) reset() error {
	next := j.oldest()
	if next == nil {
		next = j.current
	}
	if next == nil {
		next = j.files[len(j.files)-1] // the newest of the last run, whose blocks are not needed
	}
	return j.turnTo(next)
}

// close ends the journal once nobody uses it. If no file owes a sync the next start has
// nothing to do.
func (j *Journal) close(failed bool) error {
	j.stopping.Store(true)
	if j.making {
		j.adopt(<-j.made)
	}
	j.timer.Stop()
	var err error
	if !failed && len(j.debts) == 0 && j.current != nil && j.at > journalPage {
		err = j.reset()
	}
	for _, f := range j.files {
		err = errors.Join(err, f.Close())
	}
	j.files = nil
	return err
}

// prepare has a file made in the background: it is written full of zeros, so that a sync of
// it later has no sizes or extents to save.
func (j *Journal) prepare() {
	if j.making || !j.usable() || j.o.Now().Before(j.retry) {
		return
	}
	j.making = true
	path, first := j.unused(), len(j.files) == 0
	go func() {
		f, err := j.make(path, first)
		if err != nil && !j.stopping.Load() {
			j.log.Warn("cannot make a file of the journal; files are synced one by one", "folder", j.dir, "error", err)
		}
		j.made <- f
	}()
}

// unused is the lowest name that no file has: where one is missing that is not how many there are.
func (j *Journal) unused() string {
	for number := 0; ; number++ {
		path := filepath.Join(j.dir, fmt.Sprintf("%d%s", number, journalSuffix))
		if !slices.ContainsFunc(j.files, func(f *journalFile) bool { return f.path == path }) {
			return path
		}
	}
}

// adopt takes a file that was made.
func (j *Journal) adopt(f *journalFile) {
	j.making = false
	if f == nil {
		j.retry = j.o.Now().Add(time.Minute)
		return
	}
	j.files = append(j.files, f)
}

// keepFree is which part of the free space one file of the journal may take.
const keepFree = 8

func (j *Journal) make(path string, first bool) (*journalFile, error) {
	if err := j.fs.MkdirAll(j.dir); err != nil {
		return nil, err
	}
	if free, _, err := j.fs.Space(j.dir); err != nil || free < uint64(j.size)*keepFree {
		return nil, errors.Join(err, fmt.Errorf("%d bytes are free, a file has %d and must leave room", free, j.size))
	}
	if first {
		if err := j.writeID(); err != nil {
			return nil, err
		}
	}
	f, err := j.fs.Open(path+journalNew, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	if err = j.blank(f); err == nil {
		err = j.fs.Rename(path+journalNew, path)
	}
	if err == nil {
		err = j.fs.SyncDir(j.dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), removed(j.fs.Remove(path+journalNew)))
	}
	return &journalFile{File: f, path: path}, nil
}

func (j *Journal) blank(f File) error {
	zeros := make([]byte, min(256<<10, j.size))
	for at := int64(0); at < j.size; at += int64(len(zeros)) {
		if j.stopping.Load() {
			return os.ErrClosed
		}
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), j.size-at)], at); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	_ = f.Evict(0, j.size) // blocks go past the page cache where that can be; elsewhere the system frees it when it must
	return nil
}
