package diskio

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
)

// JournalReport is what stands in the journal of a disk.
type JournalReport struct {
	Folder  string
	Files   []JournalFile
	Tail    uint64        // lowest epoch that is needed
	Pending []JournalRest // what the next start would write, by file
	Held    []JournalRest // what earlier starts could not write, by file
	Damage  []JournalDamage
}

// JournalFile is one of its files.
type JournalFile struct {
	Path   string
	Size   int64
	Epoch  uint64 // 0: it was never used, or cannot be read
	Needed bool
	Blocks int
}

// JournalRest is what the journal has of one file of a partition.
type JournalRest struct {
	Name   string
	Tag    [16]byte
	Ranges int
	Bytes  int64
	End    int64 // behind the last byte
}

// JournalDamage is a place that cannot be read, or does not fit.
type JournalDamage struct {
	File     string
	Position int64
	What     string
	Err      error
}

func (d JournalDamage) String() string {
	return fmt.Sprintf("%s: position %d: %v: %s", d.File, d.Position, d.Err, d.What)
}

// InspectJournal reads the journal in a disk's folder and changes nothing. A broker that is
// running changes it meanwhile.
func InspectJournal(fs FS, folder string) (*JournalReport, error) {
	j := newJournal(JournalOptions{FS: fs, Folder: folder, Log: slog.New(slog.DiscardHandler)})
	report := &JournalReport{Folder: j.dir}
	j.found = func(d JournalDamage) { report.Damage = append(report.Damage, d) }
	err := j.inspect(report)
	for _, f := range j.files {
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("read journal %s: %w", j.dir, err)
	}
	return report, nil
}

func (j *Journal) inspect(report *JournalReport) error {
	if err := j.find(); err != nil {
		return err
	}
	live, err := j.survey()
	if err != nil {
		return err
	}
	r := newReplayer(j)
	r.scanAll(live)
	pending, held := map[string]*JournalRest{}, map[string]*JournalRest{}
	blocks := map[string]int{}
	for _, b := range r.blocks {
		blocks[b.file.path]++
		if b.file.epoch < j.tail {
			continue
		}
		_, err := j.load(b.file, b.at, nil, func(e entry) {
			if e.kind == entryData && b.number >= r.forgotten[e.file()] {
				add(pending, e)
			}
		})
		if err != nil {
			return fmt.Errorf("read %s at %d again: %w", b.file.path, b.at, err)
		}
	}
	for _, f := range j.files {
		size, err := f.Size()
		if err != nil {
			return err
		}
		report.Files = append(report.Files, JournalFile{f.path, size, f.epoch, f.epoch >= j.tail && f.epoch > 0, blocks[f.path]})
	}
	err = j.eachHeld(func(e entry) error { add(held, e); return nil })
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	report.Tail, report.Pending, report.Held = j.tail, sorted(pending), sorted(held)
	return err
}

func add(rests map[string]*JournalRest, e entry) {
	key := string(e.name) + string(e.tag[:])
	one := rests[key]
	if one == nil {
		one = &JournalRest{Name: string(e.name), Tag: e.tag}
		rests[key] = one
	}
	one.Ranges++
	one.Bytes += int64(len(e.data))
	one.End = max(one.End, e.position+int64(len(e.data)))
}

func sorted(rests map[string]*JournalRest) (all []JournalRest) {
	for _, one := range rests {
		all = append(all, *one)
	}
	slices.SortFunc(all, func(a, b JournalRest) int {
		return strings.Compare(a.Name+string(a.Tag[:]), b.Name+string(b.Tag[:]))
	})
	return all
}
