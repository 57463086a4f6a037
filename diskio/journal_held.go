package diskio

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// journalHeld is the file of what cannot be replayed yet, because nobody can say whose the
// folder is. It has blocks like the journal's own, one for each entry, and is written anew by
// each start until its last entry found its place.
const journalHeld = "held"

// Held is what the journal keeps back for a folder.
type Held struct {
	Tag   [16]byte // of whom it is
	Bytes int64
	Why   error // the owner of the folder cannot be told
}

// Held tells, by folder, what could not be replayed. It must not be written to before it is:
// the journal brings it back at the first start that knows whose the folder is (any goroutine).
func (j *Journal) Held() map[string]Held { return maps.Clone(j.held) }

// holder writes the file of what is held.
type holder struct {
	j      *Journal
	file   File // nil: nothing is held yet
	at     int64
	buffer []byte
}

// add holds an entry back.
func (h *holder) add(e entry, why error) error {
	path := filepath.Join(h.j.dir, journalHeld+journalNew)
	if h.file == nil {
		f, err := h.j.fs.Open(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
		if err != nil {
			return fmt.Errorf("hold back %d bytes of %s: %w", len(e.data), e.name, err)
		}
		h.file = f
	}
	name := string(e.name)
	h.buffer = append(h.buffer[:0], make([]byte, blockHeadSize)...)
	h.buffer = append(appendEntry(h.buffer, &entry{kind: entryData, tag: e.tag, position: e.position}, len(name), len(e.data)), name...)
	h.buffer = append(h.buffer, e.data...)
	block := blockHead{count: 1, id: h.j.id, epoch: 1, number: 1, tail: 1}
	block.seal(h.buffer)
	h.buffer = append(h.buffer, make([]byte, page(len(h.buffer))-len(h.buffer))...)
	if _, err := h.file.WriteAt(h.buffer, h.at); err != nil {
		return fmt.Errorf("hold back %d bytes of %s: %w", len(e.data), name, err)
	}
	h.at += int64(len(h.buffer))
	h.j.noteHeld(e, why)
	return nil
}

func (j *Journal) noteHeld(e entry, why error) {
	folder, _, _ := strings.Cut(string(e.name), "/")
	if j.held == nil {
		j.held = map[string]Held{}
	}
	one := j.held[folder]
	j.held[folder] = Held{Tag: e.tag, Bytes: one.Bytes + int64(len(e.data)), Why: why}
}

// finish replaces what an earlier start has held, before the journal forgets its blocks.
func (h *holder) finish() error {
	path := filepath.Join(h.j.dir, journalHeld)
	if h.file == nil {
		err := h.j.fs.Remove(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return errors.Join(err, h.j.fs.SyncDir(h.j.dir))
	}
	err := errors.Join(h.file.Sync(), h.file.Close())
	if err == nil {
		err = h.j.fs.Rename(path+journalNew, path)
	}
	if err == nil {
		err = h.j.fs.SyncDir(h.j.dir)
	}
	if err != nil {
		return fmt.Errorf("hold back what cannot be replayed: %w", err)
	}
	return nil
}

// eachHeld calls each for every entry that is held.
func (j *Journal) eachHeld(each func(entry) error) error {
	path := filepath.Join(j.dir, journalHeld)
	f, err := j.fs.Open(path, os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	size, err := f.Size()
	if err != nil {
		return err
	}
	for at := int64(0); at < size; {
		used, err := heldBlock(f, at, size, each)
		if damage := (*heldDamage)(nil); errors.As(err, &damage) {
			j.complain("what was held back is damaged: of that partition what was acknowledged may be missing", path, at, damage.err)
			used = journalPage
		} else if err != nil {
			return err
		}
		at += int64(page(used))
	}
	return nil
}

// heldDamage is a block that cannot be read.
type heldDamage struct{ err error }

func (d *heldDamage) Error() string { return d.err.Error() }

func heldBlock(f File, at, size int64, each func(entry) error) (used int, err error) {
	p := make([]byte, journalPage)
	n, err := f.ReadAt(p, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	b, err := decodeBlockHead(p[:n])
	if err == nil && at+int64(b.length) > size {
		err = errBlockLength
	}
	if err != nil {
		return 0, &heldDamage{err}
	}
	if b.length > n {
		p = make([]byte, b.length)
		if _, err := f.ReadAt(p, at); err != nil {
			return 0, err
		}
	}
	var wrong error
	if _, err = decodeBlock(p[:b.length], func(e entry) { wrong = errors.Join(wrong, each(e)) }); err != nil {
		return 0, &heldDamage{err}
	}
	return b.length, wrong
}
