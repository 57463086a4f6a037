package commitlog

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// Problem is something in the files of a log that should not be.
type Problem struct {
	File     string
	Position int64 // −1: the file as a whole
	Text     string
}

// String is one line for a person.
func (p Problem) String() string {
	if p.Position < 0 {
		return fmt.Sprintf("%s: %s", p.File, p.Text)
	}
	return fmt.Sprintf("%s: position %d: %s", p.File, p.Position, p.Text)
}

// verifier reads the files of one log, lowest segment first, and compares them with each other.
type verifier struct {
	fs     diskio.FS
	dir    string
	report func(Problem)
	known  Recovery // what somebody else knows of the log

	// Of the log, from look.
	start   int64
	first   int64     // base of the first segment
	last    int64     // base of the last segment
	closed  bool      // the last segment has an index
	cleaned int64     // up to where the log was compacted
	epochs  []epoch   // the checkpoint, if it can be read
	swaps   []offsets // of segments that take the place of others, which a crash has interrupted

	// Of what was read so far.
	next   int64 // offset that the next segment begins at, or −1
	epoch  int32
	broken bool // a segment could not be read to its end
	track  tracker
	empty  []offsets      // of batches without records, lowest first
	filled map[int64]bool // producers whose open transaction has records
	hollow map[int64]bool // aborted transactions without records, by their markers

	// Of the segment that is read.
	segmentBase int64
	ended       []batch.Aborted // by it
}

// Verify reads everything in the folder of a log that is not open, down to the records,
// and reports all that is wrong. It changes nothing. The error is what kept it from reading.
func Verify(fs diskio.FS, dir string, report func(Problem)) error {
	return VerifyKnown(fs, dir, Recovery{From: -1}, report)
}

// VerifyKnown is Verify of a log of which something is known from elsewhere: that it was closed
// in good order, so that no index may be missing, and how far it reached.
func VerifyKnown(fs diskio.FS, dir string, known Recovery, report func(Problem)) error {
	v := verifier{fs: fs, dir: dir, report: report, known: known, filled: map[int64]bool{}, hollow: map[int64]bool{}}
	names, err := fs.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("verify log: %w", err)
	}
	v.start, err = readStart(fs, dir)
	if err != nil {
		v.problem(startFile, -1, err)
	}
	v.next = -1
	v.lookForSwaps(names)
	v.look(names)
	for _, name := range names {
		if err := v.file(name); err != nil {
			return fmt.Errorf("verify %s: %w", filepath.Join(dir, name), err)
		}
	}
	if v.next >= 0 && v.start > v.next {
		v.problem(startFile, -1, fmt.Errorf("the start is %d, the log ends at %d", v.start, v.next))
	}
	v.ending()
	return nil
}

// ending tells what is missing at the end of the log, and of the files that a log without gaps has.
func (v *verifier) ending() {
	if v.broken {
		return // that was told
	}
	if end := max(v.next, 0); end < v.known.From {
		v.report(Problem{v.dir, -1, fmt.Sprintf("the log ends at offset %d, and all below %d was on disk once: what lies between is lost, or these are older files; bring back the newest", end, v.known.From)})
	}
	if v.known.Clean && v.known.Lasts && v.next > v.known.From {
		v.report(Problem{v.dir, -1, fmt.Sprintf("the log ends at offset %d, and the last clean stop has noted %d: the notes of that stop are older than the log, or somebody wrote to it since", v.next, v.known.From)})
	}
	if v.known.Clean && v.next > v.first && len(v.epochs) == 0 {
		if _, err := v.fs.Stat(filepath.Join(v.dir, epochFile)); errors.Is(err, os.ErrNotExist) {
			v.problem(epochFile, -1, errMade)
		}
	}
}

// errMade says what becomes of a file that the batches can tell.
var errMade = errors.New("it is missing; the broker makes it again from the batches")

// look reads what the segments are compared with.
func (v *verifier) look(names []string) {
	bases := map[int64]bool{}
	for _, name := range names {
		base, ok := parseName(name, logSuffix)
		if swapped, is := parseName(name, logSuffix+swapSuffix); is {
			base, ok = swapped, true
		}
		if !ok {
			continue
		}
		if len(bases) == 0 {
			v.first = base
		}
		bases[base] = true
		v.last = base
	}
	if len(bases) > 0 && v.first > v.start {
		v.problem(segmentName(v.first)+logSuffix, -1, fmt.Errorf("it is the first segment, and the log starts at offset %d: what lies between is lost, unless retention removed it from a full disk", v.start))
	}
	for _, name := range names {
		base, ok := parseName(name, indexSuffix)
		if ok && base >= v.start && !bases[base] && !v.replaced(base) {
			v.problem(name, -1, errors.New("its segment is missing"))
		}
	}
	if data, err := diskio.ReadFile(v.fs, filepath.Join(v.dir, cleanedFile)); err == nil {
		v.cleaned, _ = parseStart(string(data))
	}
	_, err := v.fs.Stat(filepath.Join(v.dir, segmentName(v.last)+indexSuffix))
	v.closed = err == nil
	if data, err := diskio.ReadFile(v.fs, filepath.Join(v.dir, epochFile)); err == nil {
		v.epochs, _ = parseEpochs(string(data)) // what is wrong with it is told when its turn comes
	}
}

// checkEpoch compares a batch with the checkpoint of leader epochs, which is true of all
// segments that were sealed, and of the last if the log was closed.
func (v *verifier) checkEpoch(name string, at int64, b batch.Batch) {
	if b.LeaderEpoch() < v.epoch {
		v.problem(name, at, fmt.Errorf("%w: %d after %d", errEpoch, b.LeaderEpoch(), v.epoch))
	}
	if len(v.epochs) == 0 || v.segmentBase == v.last && !v.closed {
		return
	}
	offset := b.BaseOffset()
	if b.LastOffset() >= v.start {
		offset = max(offset, v.start)
	}
	i := sort.Search(len(v.epochs), func(i int) bool { return v.epochs[i].start > offset })
	if i > 0 && i < len(v.epochs) && v.epochs[i].start <= b.LastOffset() {
		v.problem(epochFile, -1, fmt.Errorf("it says that epoch %d begins at offset %d, which lies within the batch at %d", v.epochs[i].epoch, v.epochs[i].start, b.BaseOffset()))
	}
	if i > 0 && v.epochs[i-1].epoch != b.LeaderEpoch() {
		v.problem(name, at, fmt.Errorf("the leader epoch of the batch at offset %d is %d, and %s says %d", offset, b.LeaderEpoch(), epochFile, v.epochs[i-1].epoch))
	}
	if i == 0 && b.LeaderEpoch() == v.epochs[0].epoch && b.BaseOffset() >= v.start {
		v.problem(epochFile, -1, fmt.Errorf("it says that epoch %d begins at offset %d, and a batch at %d has it: this file or %s is not of this log, or old",
			b.LeaderEpoch(), v.epochs[0].start, b.BaseOffset(), startFile))
	}
}

// lookForSwaps finds what a crash has left of cleanings whose outcome counts already: the next start
// puts it in its place, and takes away what is still there of the segments that it replaces.
func (v *verifier) lookForSwaps(names []string) {
	for _, name := range names {
		base, ok := parseName(name, logSuffix+swapSuffix)
		if !ok {
			continue
		}
		end, _, _, err := readSwap(v.fs, filepath.Join(v.dir, name), base, math.MaxInt32)
		if err != nil {
			end = base + 1 // the segment is told about when its turn comes
		}
		v.swaps = append(v.swaps, offsets{base, end})
	}
}

// replaced reports whether a segment is one in whose place another comes.
func (v *verifier) replaced(base int64) bool {
	return slices.ContainsFunc(v.swaps, func(o offsets) bool { return base >= o.base && base < o.end })
}

func (v *verifier) problem(name string, position int64, err error) {
	v.report(Problem{filepath.Join(v.dir, name), position, err.Error()})
}

// file verifies one file; those that are not ours are not looked at.
func (v *verifier) file(name string) error {
	if base, ok := parseName(name, logSuffix); ok {
		if v.replaced(base) {
			return nil
		}
		return v.segment(name, base)
	}
	if base, ok := parseName(name, logSuffix+swapSuffix); ok {
		return v.segment(name, base)
	}
	check := v.small(name)
	if check == nil {
		return nil
	}
	data, err := diskio.ReadFile(v.fs, filepath.Join(v.dir, name))
	if err != nil {
		return err
	}
	if err := check(data); err != nil {
		v.problem(name, -1, err)
	}
	return nil
}

// small is the check of a file that is read whole.
func (v *verifier) small(name string) func([]byte) error {
	if at, ok := parseName(name, snapshotSuffix); ok {
		return func(data []byte) error {
			offset, _, err := decodeSnapshot(data)
			if err == nil && offset != at {
				err = fmt.Errorf("it is of offset %d", offset)
			}
			return err
		}
	}
	switch name {
	case epochFile:
		return func(data []byte) error { _, err := parseEpochs(string(data)); return err }
	case cleanedFile:
		return func(data []byte) error { _, err := parseStart(string(data)); return err }
	case topicFile:
		return func(data []byte) error { _, err := parseTopic(string(data)); return err }
	}
	return nil
}

// segment verifies a log file and its indexes.
func (v *verifier) segment(name string, base int64) error {
	w, err := openForWalk(v.fs, filepath.Join(v.dir, name), base)
	if err != nil {
		return err
	}
	defer w.file.Close() //nolint:errcheck // it was only read
	if v.next >= 0 && base != v.next && base > v.start {
		v.problem(name, -1, fmt.Errorf("the segment before ends at offset %d", v.next))
	}
	v.next, v.segmentBase, v.ended = base, base, nil
	i := newIndexer(base, -1) // an entry for every batch
	body := reader{file: w.file, end: w.end}
	for at := int64(0); at < w.end; at = w.next() {
		err := w.load(at)
		damage := (*Damage)(nil)
		if err == nil {
			err = body.check(w)
		}
		if errors.As(err, &damage) {
			v.problem(name, at, fmt.Errorf("%w; the %d bytes from here on cannot be read", damage.Err, w.end-at))
			v.broken = true
			return nil
		}
		if err != nil {
			return err
		}
		v.batch(name, at, w, &body)
		i.add(w.head, at)
	}
	i.finish()
	if v.replaced(base) {
		return nil // its indexes are made when it gets its name
	}
	if err := v.aborted(base, v.ended, i.last); err != nil {
		return err
	}
	return v.indexes(base, w, &i)
}

// batch verifies a batch whose checksum is right.
func (v *verifier) batch(name string, at int64, w *walker, body *reader) {
	b, err := body.read(at, w.head.Size())
	if err != nil {
		v.problem(name, at, err)
		return
	}
	if b.BaseOffset() != v.next {
		v.problem(name, at, fmt.Errorf("%w: it is %d, where %d was due", errOrder, b.BaseOffset(), v.next))
	}
	if v.known.Lasts && v.segmentBase == v.last && b.NextOffset() == v.known.From && b.CRC() != v.known.Last {
		v.problem(name, at, fmt.Errorf("the batch before offset %d has the checksum %08x, and had %08x at the last stop: these files are another log's, or of another time", v.known.From, b.CRC(), v.known.Last))
	}
	v.checkEpoch(name, at, b)
	v.follow(b)
	v.next, v.epoch = b.NextOffset(), b.LeaderEpoch()
	records, err := batch.Scan(b, batch.ScanOptions{Max: batch.MaxPlain})
	if err != nil {
		v.problem(name, at, err)
		return
	}
	defer records.Close()
	before := int32(-1)
	for records.Next() {
		if delta := records.Head().OffsetDelta; delta <= before || delta > b.LastOffsetDelta() {
			v.problem(name, at, fmt.Errorf("%w: record %d after %d in a batch that ends with %d", errOrder, delta, before, b.LastOffsetDelta()))
			return
		}
		before = records.Head().OffsetDelta
	}
	if err := records.Err(); err != nil {
		v.problem(name, at, err)
	}
}

// indexes compares the index files with i, which has an entry for every batch. That they
// are not there is no problem where the log was not closed: the active segment has none then.
func (v *verifier) indexes(base int64, w *walker, i *indexer) error {
	name := segmentName(base) + indexSuffix
	data, err := diskio.ReadFile(v.fs, filepath.Join(v.dir, name))
	if err == nil {
		data, _ = splitIndex(data)
		entries, err := decodeOffsets(data, w.end)
		if all := i.indexes.offsets.view(); err == nil && v.whole(base) && len(all) > 0 && (len(entries) == 0 || entries[len(entries)-1] != all[len(all)-1]) {
			err = fmt.Errorf("%w: its last entry is not the last batch", errIndex)
		}
		if err != nil {
			v.problem(name, -1, err)
		}
		for _, e := range entries {
			if err := w.jump(e); err != nil {
				v.problem(name, -1, fmt.Errorf("%w: there is no batch that ends at offset %d at position %d", err, base+int64(e.relative), e.position))
			}
		}
	}
	if err := v.missing(name, err); err != nil {
		return err
	}
	name = segmentName(base) + timeSuffix
	data, err = diskio.ReadFile(v.fs, filepath.Join(v.dir, name))
	if err == nil {
		v.times(name, base, data, i)
	}
	return v.missing(name, err)
}

// whole reports whether the indexes of a segment must reach its end.
func (v *verifier) whole(base int64) bool { return base != v.last || v.known.Clean }

// missing tells of an index that is not there although the log was closed.
func (v *verifier) missing(name string, err error) error {
	if v.known.Clean && errors.Is(err, os.ErrNotExist) {
		v.problem(name, -1, errMade)
	}
	return ignoreMissing(err)
}

func (v *verifier) times(name string, base int64, data []byte, i *indexer) {
	times, err := decodeTimes(data)
	if err != nil {
		v.problem(name, -1, err)
	}
	known := map[timeEntry]bool{}
	all := i.indexes.times.view()
	for _, e := range all {
		known[e] = true
	}
	for _, e := range times {
		if !known[e] {
			v.problem(name, -1, fmt.Errorf("%w: the largest timestamp up to offset %d is not %d", errIndex, base+int64(e.relative), e.timestamp))
		}
	}
	if err == nil && v.whole(base) && len(all) > 0 && (len(times) == 0 || times[len(times)-1].timestamp != all[len(all)-1].timestamp) {
		v.problem(name, -1, fmt.Errorf("%w: its last entry is not the largest timestamp", errIndex))
	}
}
