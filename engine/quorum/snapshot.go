package quorum

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/sdk/batch"
)

// snapshotSuffix ends the name of a snapshot, `<20 digits>-<10 digits>.checkpoint`: the
// offset behind the last entry in it, which is that entry's index, and its term.
const snapshotSuffix = ".checkpoint"

// snapshotBatchBytes is about how large a batch of a snapshot becomes.
const snapshotBatchBytes = 256 << 10

// The keys of a snapshot's records.
const (
	snapshotHead = "snapshot"
	snapshotLine = "record"
	snapshotEnd  = "end"
)

// point is where in the log a snapshot was taken.
type point struct {
	Index uint64
	Term  uint64
	Link  chain
}

// head is the first record of a snapshot.
type head struct {
	Version int     `json:"version"`
	Index   uint64  `json:"index"`
	Term    uint64  `json:"term"`
	Chain   uint32  `json:"chain"`
	Voters  []int32 `json:"voters"`
	Records int     `json:"records"`
}

func snapshotName(at point) string {
	return fmt.Sprintf("%020d-%010d%s", at.Index, at.Term, snapshotSuffix)
}

// parseSnapshotName reads the index and the term in a snapshot's name.
func parseSnapshotName(name string) (point, bool) {
	index, term, ok := strings.Cut(strings.TrimSuffix(name, snapshotSuffix), "-")
	if !ok || len(index) != 20 || len(term) != 10 || !strings.HasSuffix(name, snapshotSuffix) {
		return point{}, false
	}
	i, err := strconv.ParseUint(index, 10, 64)
	if err != nil {
		return point{}, false
	}
	t, err := strconv.ParseUint(term, 10, 64)
	return point{Index: i, Term: t}, err == nil
}

// encodeSnapshot writes an image as record batches, in the format of a segment.
func encodeSnapshot(image *cluster.Image, at point, voters []int32, now int64) ([]byte, error) {
	if at.Term > math.MaxInt32 {
		return nil, fmt.Errorf("encode snapshot: term %d does not fit a leader epoch", at.Term)
	}
	w := snapshotWriter{now: now, epoch: int32(at.Term)}
	records := image.Records()
	first, err := json.Marshal(head{Index: at.Index, Term: at.Term, Chain: uint32(at.Link), Voters: voters, Records: len(records)})
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	w.add(snapshotHead, first)
	var line []byte
	for n := range records {
		line = cluster.Append(line[:0], records[n:n+1])
		w.add(snapshotLine, line)
	}
	w.add(snapshotEnd, strconv.AppendInt(nil, int64(len(records)), 10))
	w.flush()
	return w.out, w.err
}

// snapshotWriter gathers records into batches behind each other.
type snapshotWriter struct {
	builder batch.Builder
	out     []byte
	offset  int64
	now     int64
	epoch   int32
	err     error
}

func (w *snapshotWriter) add(key string, value []byte) {
	w.builder.Append(w.now, []byte(key), value, nil)
	if w.builder.Len() >= snapshotBatchBytes {
		w.flush()
	}
}

func (w *snapshotWriter) flush() {
	if w.builder.Count() == 0 || w.err != nil {
		return
	}
	options := batch.NoProducer()
	options.BaseOffset, options.LeaderEpoch = w.offset, w.epoch
	encoded, err := w.builder.Finish(options)
	if err != nil {
		w.err = fmt.Errorf("encode snapshot: %w", err)
		return
	}
	w.out = append(w.out, encoded...)
	w.offset += int64(w.builder.Count())
	w.builder.Reset()
}

var errSnapshot = errors.New("snapshot is damaged")

// decodeSnapshot reads what encodeSnapshot wrote, all of it or nothing.
func decodeSnapshot(text []byte) (*cluster.Image, point, []int32, error) {
	r := snapshotReader{}
	for offset := int64(0); len(text) > 0; {
		size, err := batch.Peek(text)
		if err != nil {
			return nil, point{}, nil, fmt.Errorf("%w: %w", errSnapshot, err)
		}
		one := batch.Batch(text[:size])
		if err := one.Check(); err != nil {
			return nil, point{}, nil, fmt.Errorf("%w: %w", errSnapshot, err)
		}
		if one.BaseOffset() != offset {
			return nil, point{}, nil, fmt.Errorf("%w: batch at offset %d where %d was due", errSnapshot, one.BaseOffset(), offset)
		}
		if err := r.read(one); err != nil {
			return nil, point{}, nil, fmt.Errorf("%w: %w", errSnapshot, err)
		}
		if uint64(one.LeaderEpoch()) != r.head.Term {
			return nil, point{}, nil, fmt.Errorf("%w: batch of epoch %d in a snapshot of term %d", errSnapshot, one.LeaderEpoch(), r.head.Term)
		}
		offset, text = one.NextOffset(), text[size:]
	}
	if !r.ended {
		return nil, point{}, nil, fmt.Errorf("%w: its end is missing", errSnapshot)
	}
	image, err := cluster.Empty().Apply(r.records)
	if err != nil {
		return nil, point{}, nil, fmt.Errorf("%w: %w", errSnapshot, err)
	}
	return image, point{Index: r.head.Index, Term: r.head.Term, Link: chain(r.head.Chain)}, r.head.Voters, nil
}

// snapshotReader gathers the records of a snapshot.
type snapshotReader struct {
	head    head
	begun   bool
	ended   bool
	records []cluster.Record
}

func (r *snapshotReader) read(one batch.Batch) error {
	reader, err := one.Records(nil, maxBatchBytes)
	if err != nil {
		return err
	}
	for reader.Next() {
		record := reader.Record()
		switch key := string(record.Key); {
		case r.ended:
			return errors.New("something follows its end")
		case key == snapshotHead && !r.begun:
			r.begun = true
			if err := r.readHead(record.Value); err != nil {
				return err
			}
		case key == snapshotLine && r.begun:
			line, err := cluster.Parse(record.Value)
			if err != nil {
				return err
			}
			r.records = append(r.records, line...)
		case key == snapshotEnd && r.begun:
			r.ended = true
			if count := strconv.Itoa(len(r.records)); string(record.Value) != count || len(r.records) != r.head.Records {
				return fmt.Errorf("it has %s records, its end says %.20q and its head %d", count, record.Value, r.head.Records)
			}
		default:
			return fmt.Errorf("record with key %.40q is out of place", key)
		}
	}
	return reader.Err()
}

func (r *snapshotReader) readHead(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r.head); err != nil {
		return err
	}
	if r.head.Version != 0 {
		return fmt.Errorf("version is %d; this program knows version 0", r.head.Version)
	}
	return nil
}

// listSnapshots answers the snapshots in a folder, newest first.
func listSnapshots(files diskio.FS, dir string) ([]point, error) {
	names, err := files.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	var points []point
	for _, name := range names {
		if at, ok := parseSnapshotName(name); ok {
			points = append(points, at)
		}
	}
	slices.SortFunc(points, func(a, b point) int {
		return cmp.Or(cmp.Compare(b.Index, a.Index), cmp.Compare(b.Term, a.Term))
	})
	return points, nil
}

func readSnapshot(files diskio.FS, dir string, at point) (*cluster.Image, point, []int32, error) {
	text, err := diskio.ReadFile(files, filepath.Join(dir, snapshotName(at)))
	if err != nil {
		return nil, point{}, nil, err
	}
	image, found, voters, err := decodeSnapshot(text)
	if err == nil && (found.Index != at.Index || found.Term != at.Term) {
		err = fmt.Errorf("%w: it is of index %d, term %d", errSnapshot, found.Index, found.Term)
	}
	return image, found, voters, err
}
