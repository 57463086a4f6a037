package quorum

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/sdk/batch"
)

// Verify reads what the metadata quorum has in a folder of log.dirs that no broker uses, and
// reports what a start would refuse, or do without. It changes nothing. That each batch is whole is
// for commitlog.Verify to say; here is what the files say of each other. Least is as in Options. The
// error is what kept it from reading.
func Verify(files diskio.FS, folder string, least int64, report func(commitlog.Problem)) error {
	v := verifier{files: files, dir: filepath.Join(folder, logFolder), report: report}
	names, err := files.ReadDir(v.dir)
	elsewhere := errors.Is(err, fs.ErrNotExist) // another of log.dirs has the metadata
	properties, missing := readProperties(files, filepath.Join(folder, propertiesFile))
	switch {
	case missing == nil, elsewhere && errors.Is(missing, fs.ErrNotExist):
	case elsewhere:
		v.problem(filepath.Join(folder, propertiesFile), fmt.Errorf("%w: it says whose folder this is; bring it back", missing))
	default:
		v.problem(filepath.Join(folder, propertiesFile), fmt.Errorf("%w: it says whose folder this is, and the broker refuses to start beside a metadata log without it; bring it back", missing))
	}
	if elsewhere {
		return nil
	}
	if err != nil {
		return fmt.Errorf("verify the metadata log: %w", err)
	}
	if err := v.snapshots(); err != nil {
		return err
	}
	if err := v.entries(names); err != nil {
		return err
	}
	v.state(properties, least)
	return nil
}

// verifier compares the files of the metadata log.
type verifier struct {
	files  diskio.FS
	dir    string
	report func(commitlog.Problem)
	taken  []point // snapshots that can be read
	last   uint64  // entry
	term   uint64  // of the last entry
	broken bool    // entries could not be read to their end
}

func (v *verifier) problem(file string, err error) {
	v.report(commitlog.Problem{File: file, Position: -1, Text: err.Error()})
}

func (v *verifier) snapshots() error {
	points, err := listSnapshots(v.files, v.dir)
	if err != nil {
		return err
	}
	for _, at := range points {
		_, found, _, err := readSnapshot(v.files, v.dir, at)
		if err != nil {
			v.problem(filepath.Join(v.dir, snapshotName(at)), fmt.Errorf("%w; the one before it and the log do as well, if both are whole", err))
			continue
		}
		v.taken = append(v.taken, found)
	}
	return nil
}

// entries follows the chain through all segments, and compares it with the snapshots.
func (v *verifier) entries(names []string) error {
	link, known := chain(0), true
	first := true
	for _, name := range names {
		if !strings.HasSuffix(name, segmentSuffix) {
			continue
		}
		path := filepath.Join(v.dir, name)
		text, err := diskio.ReadFile(v.files, path)
		if err != nil {
			return fmt.Errorf("verify the metadata log: %w", err)
		}
		for at := 0; at < len(text); {
			one, ok := wholeBatch(text[at:])
			if !ok {
				v.broken = true
				return nil // commitlog.Verify tells
			}
			if first {
				v.begins(path, one)
				known, first = one.BaseOffset() == 0, false
			}
			if link, err = v.follow(one, link, known); err != nil {
				v.report(commitlog.Problem{File: path, Position: int64(at), Text: err.Error()})
				v.broken = true
				return nil
			}
			known, at = true, at+len(one)
		}
	}
	return nil
}

// begins looks whether a snapshot has what is before the first entry.
func (v *verifier) begins(path string, one batch.Batch) {
	base := uint64(one.BaseOffset())
	if base > 0 && !slices.ContainsFunc(v.taken, func(at point) bool { return at.Index >= base }) {
		v.problem(path, fmt.Errorf("it begins with entry %d, and no snapshot that can be read has what came before", base+1))
	}
}

// follow checks the entries of a batch, and the snapshots that end among them.
func (v *verifier) follow(one batch.Batch, link chain, known bool) (chain, error) {
	entries, after, err := decode(one, link, known)
	if err != nil {
		return after, err
	}
	v.last, v.term = entries[len(entries)-1].GetIndex(), entries[len(entries)-1].GetTerm()
	for _, at := range v.taken {
		if at.Index < entries[0].GetIndex() || at.Index > v.last {
			continue
		}
		until := link
		for i, e := range entries {
			if !known && i == 0 || e.GetIndex() > at.Index {
				continue
			}
			until = until.next(e)
		}
		if known && until != at.Link {
			v.problem(filepath.Join(v.dir, snapshotName(at)), fmt.Errorf("%w: its mark is %08x, and the log's at entry %d is %08x: it is of another log", ErrChain, uint32(at.Link), at.Index, uint32(until)))
		}
	}
	return after, nil
}

// state compares the hard state and what the last clean stop noted with the end of the log.
func (v *verifier) state(properties Properties, least int64) {
	path := filepath.Join(v.dir, stateFile)
	text, err := diskio.ReadFile(v.files, path)
	var state hardState
	if err == nil {
		state, err = parseState(text)
	}
	if err != nil {
		v.problem(path, fmt.Errorf("%w: it holds what this node has promised; bring it back", err))
	}
	if err == nil && properties.ClusterID != "" && state.ClusterID != properties.ClusterID {
		v.problem(path, fmt.Errorf("it is of cluster %s, and the folder is of cluster %s", state.ClusterID, properties.ClusterID))
	}
	if v.broken {
		return
	}
	for _, at := range v.taken {
		if at.Index > v.last {
			v.problem(filepath.Join(v.dir, snapshotName(at)), fmt.Errorf("it has entries up to %d, and the log ends at entry %d: what lies between is lost, or these are older files", at.Index, v.last))
		}
	}
	if err == nil && v.term > state.Term {
		v.problem(path, fmt.Errorf("it knows of term %d, and the log has entries of term %d: it is an older one; bring back the newest", state.Term, v.term))
	}
	if v.last < state.Commit {
		v.problem(v.dir, fmt.Errorf("the log ends at entry %d, and entry %d is known to be committed: bring back the newest files", v.last, state.Commit))
	}
	if int64(v.last) < least {
		v.problem(v.dir, fmt.Errorf("the log ends at entry %d, and at the last clean stop it ended at %d: it is an older one; bring back the newest", v.last, least))
	}
}
