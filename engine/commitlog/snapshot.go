package commitlog

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"

	"github.com/millrace/millrace/diskio"
)

// snapshotMagic begins a snapshot file: four letters, and the version.
const snapshotMagic = "MRPS\x00\x01"

// snapshotHead is the size in bytes of what precedes the state: magic, CRC, offset, length.
const snapshotHead = len(snapshotMagic) + 4 + 8 + 4

// keptSnapshots is how many snapshots stay: should the newest be damaged, the one before
// is still there.
const keptSnapshots = 2

var errSnapshot = errors.New("snapshot is damaged")

// encodeSnapshot is the content of a .snapshot file.
func encodeSnapshot(offset int64, state []byte) []byte {
	out := make([]byte, 0, snapshotHead+len(state))
	out = append(out, snapshotMagic...)
	out = append(out, 0, 0, 0, 0)
	out = binary.BigEndian.AppendUint64(out, uint64(offset))
	out = binary.BigEndian.AppendUint32(out, uint32(len(state)))
	out = append(out, state...)
	binary.BigEndian.PutUint32(out[len(snapshotMagic):], crc32.Checksum(out[len(snapshotMagic)+4:], castagnoli))
	return out
}

// decodeSnapshot reads what encodeSnapshot made. The state lies in data.
func decodeSnapshot(data []byte) (offset int64, state []byte, err error) {
	if len(data) < snapshotHead || string(data[:len(snapshotMagic)]) != snapshotMagic {
		return 0, nil, fmt.Errorf("%w: it does not begin as a snapshot of version 1", errSnapshot)
	}
	body := data[len(snapshotMagic)+4:]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(data[len(snapshotMagic):]) {
		return 0, nil, fmt.Errorf("%w: its checksum does not fit", errSnapshot)
	}
	offset = int64(binary.BigEndian.Uint64(body))
	state = data[snapshotHead:]
	if offset < 0 || int64(binary.BigEndian.Uint32(body[8:])) != int64(len(state)) {
		return 0, nil, fmt.Errorf("%w: offset %d, %d bytes of state", errSnapshot, offset, len(state))
	}
	return offset, state, nil
}

// WriteSnapshot saves what was derived from all batches below offset, so that the next
// start need not read them. Older snapshots go.
func (l *Log) WriteSnapshot(offset int64, state []byte) error {
	all, err := l.snapshots()
	if err != nil {
		return err
	}
	l.listed = nil // if what follows fails, the folder tells how far it came
	name := filepath.Join(l.dir, segmentName(offset)+snapshotSuffix)
	if err := diskio.WriteFile(l.fs, name, encodeSnapshot(offset, state)); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if i, there := slices.BinarySearchFunc(all, offset, func(a, b int64) int { return cmp.Compare(b, a) }); !there {
		all = slices.Insert(all, i, offset)
	}
	for len(all) > keptSnapshots {
		if err := l.removeSnapshot(all[len(all)-1]); err != nil {
			return err
		}
		all = all[:len(all)-1]
	}
	l.listed = all
	return nil
}

// Snapshot is the newest snapshot that is whole and not beyond End: its offset and what
// was saved; nil when there is none.
func (l *Log) Snapshot() (offset int64, state []byte, err error) {
	all, err := l.snapshots()
	if err != nil {
		return 0, nil, err
	}
	for _, at := range all {
		if at > l.end.Load() {
			continue
		}
		name := filepath.Join(l.dir, segmentName(at)+snapshotSuffix)
		data, err := diskio.ReadFile(l.fs, name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, nil, fmt.Errorf("read snapshot: %w", err)
		}
		offset, state, err = decodeSnapshot(data)
		if err == nil && offset != at {
			err = fmt.Errorf("%w: it is of offset %d", errSnapshot, offset)
		}
		if err == nil {
			return offset, state, nil
		}
		l.logger.Warn("a snapshot cannot be used; the one before it and the batches are", "file", name, "error", err)
	}
	return 0, nil, nil
}

// snapshots lists the offsets of all snapshots, highest first. The folder is asked only once: it has
// three names for each segment, and each roll saves a snapshot.
func (l *Log) snapshots() ([]int64, error) {
	if l.listed != nil {
		return l.listed, nil
	}
	names, err := l.fs.ReadDir(l.dir)
	if err != nil {
		return nil, fmt.Errorf("look for snapshots: %w", err)
	}
	all := make([]int64, 0, keptSnapshots+1)
	for _, name := range names {
		if offset, ok := parseName(name, snapshotSuffix); ok {
			all = append(all, offset)
		}
	}
	slices.Reverse(all)
	l.listed = all
	return all, nil
}

// dropSnapshots removes those beyond the end of the log: they know of batches that are gone. It
// makes that durable, for one that came back would count once the log is as long again.
func (l *Log) dropSnapshots(end int64) error {
	all, err := l.snapshots()
	if err != nil {
		return err
	}
	beyond := 0
	for beyond < len(all) && all[beyond] > end {
		beyond++
	}
	if beyond == 0 {
		return nil
	}
	l.listed = nil
	for _, at := range all[:beyond] {
		if err := l.removeSnapshot(at); err != nil {
			return err
		}
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("remove snapshots: %w: %w", ErrSync, err)
	}
	l.listed = all[beyond:]
	return nil
}

func (l *Log) removeSnapshot(offset int64) error {
	err := l.fs.Remove(filepath.Join(l.dir, segmentName(offset)+snapshotSuffix))
	if err = ignoreMissing(err); err != nil {
		return fmt.Errorf("remove snapshot: %w", err)
	}
	return nil
}
