package diskio

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Names in the journal's folder.
const (
	journalID     = "id"
	journalSuffix = ".journal"
	journalNew    = ".new"
)

// OpenJournal writes what the last run has left in the journal to the files that it
// belongs to, makes those durable, and begins anew. Nobody may have them open.
//
// What a crash has torn was never acknowledged and is left out. Damage to what was is
// logged, with file and position; what can be replayed is.
func OpenJournal(o JournalOptions) (*Journal, error) {
	j := newJournal(o)
	err := j.find()
	if err == nil {
		err = j.replay()
	}
	if err != nil {
		for _, f := range j.files {
			err = errors.Join(err, f.Close())
		}
		return nil, fmt.Errorf("open journal %s: %w", j.dir, err)
	}
	return j, nil
}

// find opens the files that are there.
func (j *Journal) find() error {
	names, err := j.fs.ReadDir(j.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, name := range names {
		path := filepath.Join(j.dir, name)
		switch {
		case strings.HasSuffix(name, journalNew):
			if j.found != nil {
				continue
			}
			if err := removed(j.fs.Remove(path)); err != nil {
				return err
			}
		case strings.HasSuffix(name, journalSuffix):
			flag := os.O_RDWR
			if j.found != nil {
				flag = os.O_RDONLY
			}
			f, err := j.fs.Open(path, flag)
			if err != nil {
				return err
			}
			j.files = append(j.files, &journalFile{File: f, path: path})
		}
	}
	return j.identify()
}

// identify reads the journal's own id, by which its blocks are told from another's. Where that is
// damaged the files' counts, and replay writes it anew.
func (j *Journal) identify() error {
	if len(j.files) == 0 {
		_, err := rand.Read(j.id[:])
		return err
	}
	ids, err := j.idsOfFiles()
	if err != nil {
		return err // it may pass: to go on without would be to pass over what is in that file
	}
	what := "the journal's id cannot be read; that in its files is taken"
	id, err := j.readID()
	if err == nil {
		j.id = id
		if !damaged(id, ids) {
			return nil
		}
		what, err = "the journal's id is nearly that of its files; theirs is taken", errors.New("it is damaged")
	}
	j.complain(what, j.idPath(), 0, err)
	j.harmed = agree(ids)
	if len(ids) > 0 {
		j.id = ids[0]
		return nil
	}
	_, err = rand.Read(j.id[:])
	return err
}

func (j *Journal) idPath() string { return filepath.Join(j.dir, journalID) }

// readID reads the file that says the id.
func (j *Journal) readID() (id [16]byte, err error) {
	text, err := ReadFile(j.fs, j.idPath())
	if err != nil {
		return id, err
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return id, err
	}
	if len(raw) != len(id) {
		return id, errors.New("it has no 32 digits")
	}
	return [16]byte(raw), nil
}

// writeID is durable when it returns.
func (j *Journal) writeID() error {
	return WriteFile(j.fs, j.idPath(), []byte(hex.EncodeToString(j.id[:])+"\n"))
}

// mendID writes a damaged id anew. Every header was read before, and all agree: what is written is
// not what a passing error of reading has left. A full disk keeps nobody from starting.
func (j *Journal) mendID() error {
	if !j.harmed {
		return nil
	}
	err := j.writeID()
	switch {
	case Full(err):
		j.log.Warn("cannot write the journal's id anew; the next start tries again", "file", j.idPath(), "error", err)
		return nil
	case err != nil:
		return fmt.Errorf("write the journal's id anew: %w", err)
	}
	j.harmed = false
	j.log.Info("wrote the journal's id anew", "file", j.idPath())
	return nil
}

// damagedBits is in how many bits a damaged id differs at most from what it was: a digit that was
// harmed has four. Ids are drawn at random: of another journal's, about 64 are others.
const damagedBits = 8

// damaged reports whether an id is not quite the one that all files have. One that is quite
// another, or files that disagree, are no damage to the id: then a file that has another is a
// stranger's, of which nothing may be replayed.
func damaged(id [16]byte, ids [][16]byte) bool {
	if len(ids) == 0 || ids[0] == id || !agree(ids) {
		return false
	}
	different := 0
	for i := range id {
		different += bits.OnesCount8(id[i] ^ ids[0][i])
	}
	return different <= damagedBits
}

// agree reports whether no file has another id than another.
func agree(ids [][16]byte) bool {
	return !slices.ContainsFunc(ids, func(id [16]byte) bool { return id != ids[0] })
}

// idsOfFiles are the ids in those headers that are whole.
func (j *Journal) idsOfFiles() (ids [][16]byte, _ error) {
	for _, f := range j.files {
		var p [journalPage]byte
		if n, err := f.ReadAt(p[:], 0); err != nil && n < len(p) {
			if !errors.Is(err, io.EOF) {
				return nil, fmt.Errorf("read the header of %s: %w", f.path, err)
			}
			continue
		}
		if h, blank, err := decodeHead(p[:]); err == nil && !blank {
			ids = append(ids, h.id)
		}
	}
	return ids, nil
}

// leftover is a file of the journal as the last run left it.
type leftover struct {
	*journalFile
	head  fileHead
	size  int64
	known bool // the header can be read
}

// replay does what OpenJournal says.
func (j *Journal) replay() error {
	live, err := j.survey()
	if err != nil {
		return err
	}
	r := newReplayer(j)
	// First who is to be forgotten, and which epochs are needed, for both are said later.
	r.scanAll(live)
	if err := j.eachHeld(func(e entry) error { r.apply(0, e); return r.failure }); err != nil {
		return err
	}
	for _, b := range r.blocks {
		if b.file.epoch < j.tail {
			continue
		}
		if _, err := j.load(b.file, b.at, r.buffer, func(e entry) { r.apply(b.number, e) }); err != nil {
			return fmt.Errorf("read %s at %d again: %w", b.file.path, b.at, err)
		}
		if r.failure != nil {
			return r.failure
		}
	}
	if err := r.finish(); err != nil {
		return err
	}
	if err := r.holder.finish(); err != nil {
		return err
	}
	if err := j.mendID(); err != nil {
		return err
	}
	for folder, held := range j.held {
		j.log.Error("whose a folder is cannot be told: what the journal has of it is kept until a later start can", "folder", filepath.Join(j.o.Folder, folder), "bytes", held.Bytes, "error", held.Why)
	}
	if n := j.stats.replayed.Load(); n > 0 {
		j.log.Info("replayed the journal", "folder", j.dir, "ranges", n, "bytes", j.stats.replayedBytes.Load(), "files", r.files)
	}
	return j.beginAnew(live, len(r.blocks) > 0)
}

// survey reads the headers, and answers the files that are needed, oldest first.
func (j *Journal) survey() (live []*leftover, err error) {
	p := make([]byte, journalPage)
	for _, f := range j.files {
		l := &leftover{journalFile: f}
		if l.size, err = f.Size(); err != nil {
			return nil, err
		}
		clear(p)
		if _, err := f.ReadAt(p, 0); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		var blank bool
		l.head, blank, err = decodeHead(p)
		l.known = err == nil && !blank && l.head.id == j.id
		if blank && j.o.Clean || !l.known && !j.believe(l, blank, err) {
			continue
		}
		f.epoch = l.head.epoch
		j.epoch = max(j.epoch, f.epoch)
		live = append(live, l)
	}
	slices.SortFunc(live, func(a, b *leftover) int { return int(a.epoch) - int(b.epoch) })
	if len(live) > 0 {
		j.tail = live[len(live)-1].head.tail
	}
	return slices.DeleteFunc(live, func(l *leftover) bool { return l.epoch < j.tail }), nil
}

// believe takes what a header should say from the first block that can be read. A file
// that was never used has none.
func (j *Journal) believe(l *leftover, blank bool, why error) bool {
	if blank {
		why = errors.New("it is blank")
	}
	l.head = fileHead{}
	at, b := j.search(l, journalPage, func(*blockHead) bool { return true })
	switch {
	case at < 0 && blank:
		return false
	case why == nil && !blank:
		j.complain("it is not read", l.path, 0, errors.New("the file is another journal's"))
	default:
		j.complain("a file of the journal has a damaged header; its blocks are read without", l.path, 0, why)
	}
	l.head = fileHead{id: j.id, epoch: b.epoch, first: b.number, tail: b.tail, size: l.size}
	return at >= 0
}

// search finds the first whole block of this journal from a position on that is meant; −1
// when there is none.
func (j *Journal) search(l *leftover, from int64, meant func(*blockHead) bool) (int64, blockHead) {
	p := make([]byte, min(64*journalPage, max(0, l.size-from)))
	for at := from; at+blockHeadSize <= l.size; at += int64(len(p)) {
		n, err := l.ReadAt(p, at)
		if err != nil && !errors.Is(err, io.EOF) {
			j.complain("cannot read the journal", l.path, at, err)
		}
		for i := 0; i+blockHeadSize <= n; i += journalPage {
			b, err := decodeBlockHead(p[i:n])
			if err != nil || b.id != j.id || !meant(&b) {
				continue
			}
			if _, err := j.load(l, at+int64(i), nil, func(entry) {}); err == nil {
				return at + int64(i), b
			}
		}
	}
	return -1, blockHead{}
}

// load reads the block at a position and calls each for its entries.
func (j *Journal) load(l *leftover, at int64, buffer []byte, each func(entry)) (blockHead, error) {
	if cap(buffer) < journalPage {
		buffer = make([]byte, journalPage)
	}
	p := buffer[:journalPage]
	n, err := l.ReadAt(p, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return blockHead{}, err
	}
	b, err := decodeBlockHead(p[:n])
	switch {
	case err != nil:
		return b, err
	case b.id != j.id || b.epoch < l.head.epoch:
		return b, errNoBlock
	case b.length > n:
		if at+int64(b.length) > l.size {
			return b, errBlockLength
		}
		if cap(buffer) < b.length {
			buffer = make([]byte, b.length)
		}
		p = buffer[:b.length]
		if _, err := l.ReadAt(p, at); err != nil {
			return b, err
		}
	}
	return decodeBlock(p[:b.length], each)
}

// replayer brings blocks to their files.
type replayer struct {
	j         *Journal
	forgotten map[string]uint64 // file → number of the last block that says so
	targets   map[string]*target
	refused   map[string]bool
	folders   map[string]owner // "folder tag" → is it theirs?
	holder    holder
	expected  uint64 // number of the next block; 0: any
	blocks    []place
	files     int
	buffer    []byte
	failure   error
}

// file is what an entry is about: a name, and of whom it is. A namesake is another file.
func (e *entry) file() string { return string(e.name) + "\x00" + string(e.tag[:]) }

// owner says whether a folder belongs to a tag, or why nobody can tell.
type owner struct {
	owns    bool
	unknown error
}

// place is where a block stands.
type place struct {
	file   *leftover
	at     int64
	number uint64
}

// target is a file that is written to.
type target struct {
	File
	size int64
}

// scan finds the blocks of a file, and who is to be forgotten.
func (r *replayer) scan(l *leftover) {
	j := r.j
	if l.known && l.size < l.head.size {
		r.report(l, l.size, fmt.Errorf("the file ends there, it had %d bytes", l.head.size))
	}
	if r.expected > 0 && l.head.first > r.expected {
		r.report(l, journalPage, fmt.Errorf("blocks %d to %d are missing before it", r.expected, l.head.first-1))
	}
	next := l.head.first
	for at := int64(journalPage); at < l.size; {
		var forget []string
		b, err := j.load(l, at, r.buffer, func(e entry) {
			if e.kind == entryForget {
				forget = append(forget, e.file())
			}
		})
		if err == nil && (b.epoch != l.head.epoch || b.number != next) {
			err = fmt.Errorf("it is block %d of epoch %d, not %d of %d", b.number, b.epoch, next, l.head.epoch)
		}
		if err != nil {
			if j.o.Clean && l.known {
				break
			}
			// Rounds are one after the other: behind the one that a crash has torn stands none.
			found, later := j.search(l, at+journalPage, func(b *blockHead) bool { return b.epoch == l.head.epoch && b.number >= next })
			if found < 0 {
				break
			}
			r.report(l, at, err)
			at, next = found, later.number
			continue
		}
		for _, file := range forget {
			r.forgotten[file] = b.number
		}
		j.tail = max(j.tail, b.tail)
		r.blocks = append(r.blocks, place{l, at, b.number})
		at += int64(page(b.length))
		next++
	}
	j.number = max(j.number, next-1)
	r.expected = next
}

func (r *replayer) report(l *leftover, at int64, err error) {
	r.j.complain("the journal is damaged: what was acknowledged may be missing; the rest is replayed", l.path, at, err)
}

// complain tells of damage.
func (j *Journal) complain(what, file string, position int64, err error) {
	if j.found != nil {
		j.found(JournalDamage{file, position, what, err})
		return
	}
	j.log.Error(what, "file", file, "position", position, "error", err)
}

func newReplayer(j *Journal) *replayer {
	return &replayer{
		j: j, buffer: make([]byte, 0, max(j.most, journalPage)), forgotten: map[string]uint64{}, refused: map[string]bool{},
		targets: map[string]*target{}, folders: map[string]owner{}, holder: holder{j: j},
	}
}

// scanAll finds the blocks of all files that are needed, oldest first.
func (r *replayer) scanAll(live []*leftover) {
	if len(live) > 0 && live[0].epoch > r.j.tail {
		r.report(live[0], 0, fmt.Errorf("files before it, from epoch %d on, are missing", r.j.tail))
	}
	for _, f := range live {
		r.scan(f)
	}
}

// apply writes one range to its file.
func (r *replayer) apply(number uint64, e entry) {
	name, file := string(e.name), e.file()
	if e.kind != entryData || number < r.forgotten[file] || r.refused[file] || r.failure != nil {
		return
	}
	t, err := r.target(file, name, e.tag)
	if unknown := (*unknownOwner)(nil); errors.As(err, &unknown) {
		r.failure = r.holder.add(e, unknown.err)
		return
	}
	if err != nil {
		r.failure = err
		return
	}
	if t == nil {
		return
	}
	if e.position > t.size {
		r.refused[file] = true
		r.j.log.Error("the journal does not fit a file: bytes before what it has are missing; the file is left as it is",
			"file", name, "size", t.size, "position", e.position, "bytes", len(e.data))
		return
	}
	if _, err := t.WriteAt(e.data, e.position); err != nil {
		r.failure = fmt.Errorf("replay %d bytes at %d of %s: %w", len(e.data), e.position, name, err)
		return
	}
	t.size = max(t.size, e.position+int64(len(e.data)))
	r.j.stats.replayed.Add(1)
	r.j.stats.replayedBytes.Add(uint64(len(e.data)))
}

// unknownOwner says that nobody can tell whose a file is.
type unknownOwner struct{ err error }

func (u *unknownOwner) Error() string { return u.err.Error() }

// manyTargets is how many files are open at the same time.
const manyTargets = 512

// target opens a file; nil when there is none, or it is not whose it was.
func (r *replayer) target(key, name string, tag [16]byte) (*target, error) {
	if t, ok := r.targets[key]; ok {
		return t, nil
	}
	if len(r.targets) >= manyTargets {
		if err := r.finish(); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(r.j.o.Folder, filepath.FromSlash(name))
	f, err := r.j.fs.Open(path, os.O_RDWR)
	if errors.Is(err, os.ErrNotExist) {
		r.targets[key] = nil // it was deleted
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	owned, err := r.owns(name, tag)
	t := &target{File: f}
	if err == nil && owned {
		t.size, err = f.Size()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if !owned {
		r.targets[key] = nil
		return nil, f.Close()
	}
	r.targets[key] = t
	r.files++
	return t, nil
}

func (r *replayer) owns(name string, tag [16]byte) (bool, error) {
	if r.j.o.Owns == nil {
		return true, nil
	}
	folder, _, _ := strings.Cut(name, "/")
	key := folder + "\x00" + string(tag[:])
	o, known := r.folders[key]
	if !known {
		if o.owns, o.unknown = r.j.o.Owns(name, tag); o.unknown != nil {
			o.unknown = &unknownOwner{fmt.Errorf("look whose %s is: %w", name, o.unknown)}
		}
		r.folders[key] = o
	}
	return o.owns, o.unknown
}

// finish makes durable what was written, a few files at a time.
func (r *replayer) finish() error {
	queue := make(chan *target, len(r.targets))
	for _, t := range r.targets {
		if t != nil {
			queue <- t
		}
	}
	close(queue)
	wrong := make(chan error, len(r.targets))
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for t := range queue {
				if err := errors.Join(t.Sync(), t.Close()); err != nil {
					wrong <- fmt.Errorf("sync what was replayed: %w", err)
				}
			}
		})
	}
	workers.Wait()
	close(wrong)
	var all []error
	for err := range wrong {
		all = append(all, err)
	}
	clear(r.targets)
	return errors.Join(all...)
}

// beginAnew makes an end of what was replayed. Files of another size than is wanted now go,
// oldest first, so that none is ever missing between two others.
func (j *Journal) beginAnew(live []*leftover, used bool) error {
	slices.SortFunc(j.files, func(a, b *journalFile) int { return int(a.epoch) - int(b.epoch) })
	fit := j.usable() && len(j.files) <= j.o.Files
	for _, f := range j.files {
		size, err := f.Size()
		if err != nil {
			return err
		}
		fit = fit && size == j.size
	}
	if !fit {
		if used {
			if err := j.reset(); err != nil {
				return err
			}
			slices.SortFunc(j.files, func(a, b *journalFile) int { return int(a.epoch) - int(b.epoch) })
		}
		for _, f := range j.files {
			if err := errors.Join(f.Close(), j.fs.Remove(f.path), j.fs.SyncDir(j.dir)); err != nil {
				return err
			}
		}
		j.files, j.current, j.at = nil, nil, 0 // the file that reset turned to is gone, too
		j.epoch, j.number, j.tail = 0, 0, 1
		_, err := rand.Read(j.id[:])
		return err
	}
	switch {
	case used:
		return j.reset()
	case len(live) > 0: // nothing stands in the newest file: it goes on
		j.current, j.at = live[len(live)-1].journalFile, journalPage
	}
	return nil
}
