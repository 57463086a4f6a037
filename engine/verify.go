package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/quorum"
	"github.com/millrace/millrace/engine/shard"
)

// Verify reads all that lies in a data folder which no broker uses, and reports what is wrong: the
// partitions, the metadata log, the notes that the broker has left for its next start, and whether the
// notes fit what they are about. It answers how many logs there are. Rest tells of what the journal has
// yet to bring to its place; a log that it names ends later than its files. The error is what kept it from reading.
func Verify(fs diskio.FS, dir string, rest []diskio.JournalRest, report func(commitlog.Problem)) (logs int, err error) {
	names, err := fs.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("verify data folder: %w", err)
	}
	v := verification{fs: fs, dir: dir, report: report, waits: map[string]bool{}}
	for _, r := range rest {
		v.waits[filepath.Dir(filepath.FromSlash(r.Name))] = true
	}
	v.notes()
	if err := quorum.Verify(fs, dir, v.entries, report); err != nil {
		v.problem(metadataFolder, err.Error())
	}
	for _, name := range names {
		if _, _, ok := parseFolder(name); !ok {
			continue
		}
		if found, err := fs.Stat(filepath.Join(dir, name)); err != nil || !found.Dir {
			continue
		}
		logs++
		if err := v.log(name); err != nil { // the other partitions are of interest all the same
			v.problem(name, err.Error())
		}
	}
	return logs, nil
}

// verification is of one data folder.
type verification struct {
	fs      diskio.FS
	dir     string
	report  func(commitlog.Problem)
	clean   bool
	entries int64
	points  map[string]shard.Point
	waits   map[string]bool // folders of which the journal has something
}

// notes reads what the last broker has left here. That they are not there is no problem: a crash leaves no
// marker, and points come with the first minute.
func (v *verification) notes() {
	v.note(cleanFile, "logs are checked at the start", func(text string) (err error) {
		v.entries, err = parseMarker(text)
		v.clean = err == nil
		return err
	})
	v.note(pointsFile, "more is checked at the start, and nobody can tell whether logs end where they did", func(text string) (err error) {
		v.points, err = parsePoints(text)
		return err
	})
	if _, missing := v.fs.Stat(filepath.Join(v.dir, pointsFile)); v.clean && errors.Is(missing, os.ErrNotExist) {
		v.problem(pointsFile, "it is missing, and a clean stop leaves one: nobody can tell whether logs end where they did")
	}
}

func (v *verification) note(name, price string, read func(string) error) {
	text, err := diskio.ReadFile(v.fs, filepath.Join(v.dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err == nil {
		err = read(string(text))
	}
	if err != nil {
		v.problem(name, err.Error()+"; "+price)
	}
}

func (v *verification) problem(name, text string) {
	v.report(commitlog.Problem{File: filepath.Join(v.dir, name), Position: -1, Text: text})
}

// log verifies one log, with what the notes say of it.
func (v *verification) log(name string) error {
	folder := filepath.Join(v.dir, name)
	known := commitlog.Recovery{From: -1, Clean: v.clean}
	if name != metadataFolder {
		owner, err := commitlog.TopicOf(v.fs, folder)
		if p, ok := v.points[name]; ok && err == nil && owner == p.Topic && !v.waits[name] {
			known.From, known.Last, known.Lasts = p.Offset, p.Last, p.Lasts
		}
		if err := v.owner(folder, owner, err); err != nil {
			return err
		}
	}
	if err := commitlog.VerifyKnown(v.fs, folder, known, v.report); err != nil {
		return fmt.Errorf("verify %s: %w", folder, err)
	}
	return nil
}

// owner tells of segments that are nobody's.
func (v *verification) owner(folder string, owner [16]byte, err error) error {
	if err != nil || owner != [16]byte{} {
		return nil // a file that cannot be read is told of with the others
	}
	names, err := v.fs.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("verify data folder: %w", err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".log") {
			v.report(commitlog.Problem{File: filepath.Join(folder, commitlog.TopicFile), Position: -1, Text: "it is missing beside segments, which say nothing of their topic; bring it back"})
			break
		}
	}
	return nil
}
