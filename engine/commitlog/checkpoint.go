package commitlog

import (
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/millrace/millrace/diskio"
)

// Names of files in a partition's folder.
const (
	epochFile = "leader-epoch-checkpoint"
	topicFile = "partition.metadata"
	startFile = "log-start-offset"
)

const createFlags = os.O_CREATE | os.O_TRUNC

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// epoch says at which offset the first batch of a leader epoch lies.
type epoch struct {
	epoch int32
	start int64
}

// assign notes that a batch of an epoch lies at offset. A lower or unknown epoch changes nothing.
func (l *Log) assign(e int32, offset int64) {
	all := *l.epochs.Load()
	if e < 0 || len(all) > 0 && all[len(all)-1].epoch >= e {
		return
	}
	fresh := append(slices.Clip(all), epoch{e, offset})
	l.epochs.Store(&fresh)
}

// EpochEnd answers where an epoch ends, as KIP-320 has it: the largest epoch that is not
// larger, and the offset where the next one begins. −1 and −1 when that is not known (any).
func (l *Log) EpochEnd(e int32) (found int32, end int64) {
	all := *l.epochs.Load()
	i := sort.Search(len(all), func(i int) bool { return all[i].epoch > e })
	switch {
	case e < 0 || len(all) == 0:
		return -1, -1
	case i == len(all) && all[i-1].epoch == e:
		return e, l.end.Load()
	case i == len(all):
		return -1, -1
	case i == 0:
		return e, all[0].start
	default:
		return all[i-1].epoch, all[i].start
	}
}

// cutEpochs forgets epochs that begin at or behind end, and those that end before start.
func (l *Log) cutEpochs(start, end int64) {
	all := *l.epochs.Load()
	last := sort.Search(len(all), func(i int) bool { return all[i].start >= end })
	first := sort.Search(last, func(i int) bool { return all[i].start > start })
	kept := slices.Clone(all[max(0, first-1):last])
	if len(kept) > 0 && kept[0].start < start {
		kept[0].start = start
	}
	if !slices.Equal(kept, all) {
		l.epochs.Store(&kept)
	}
}

// saveEpochs writes the checkpoint if it changed.
func (l *Log) saveEpochs() error {
	now := l.epochs.Load()
	if now == l.savedEpochs {
		return nil
	}
	if err := diskio.WriteFile(l.fs, filepath.Join(l.dir, epochFile), encodeEpochs(*now)); err != nil {
		return fmt.Errorf("save leader epochs: %w", err)
	}
	l.savedEpochs = now
	return nil
}

func encodeEpochs(all []epoch) []byte {
	out := fmt.Appendf(nil, "0\n%d\n", len(all))
	for _, e := range all {
		out = fmt.Appendf(out, "%d %d\n", e.epoch, e.start)
	}
	return out
}

// parseEpochs reads what Kafka and encodeEpochs write.
func parseEpochs(text string) ([]epoch, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 2 || lines[0] != "0" {
		return nil, errors.New("line 1: want version 0 and a count")
	}
	if n, err := strconv.Atoi(lines[1]); err != nil || n != len(lines)-2 {
		return nil, fmt.Errorf("line 2: want %d, for so many lines follow", len(lines)-2)
	}
	all := make([]epoch, 0, len(lines)-2)
	before := epoch{-1, -1}
	for i, line := range lines[2:] {
		number, offset, _ := strings.Cut(line, " ")
		e, err := strconv.ParseInt(number, 10, 32)
		at, err2 := strconv.ParseInt(offset, 10, 64)
		if err != nil || err2 != nil || int32(e) <= before.epoch || at < max(0, before.start) {
			return nil, fmt.Errorf("line %d: %q is not a larger epoch at a later offset", i+3, line)
		}
		before = epoch{int32(e), at}
		all = append(all, before)
	}
	return all, nil
}

// saveStart makes the log start offset durable.
func (l *Log) saveStart(offset int64) error {
	if offset == l.savedStart {
		return nil
	}
	if err := diskio.WriteFile(l.fs, filepath.Join(l.dir, startFile), encodeStart(offset)); err != nil {
		return fmt.Errorf("save log start offset: %w", err)
	}
	l.savedStart = offset
	return nil
}

func encodeStart(offset int64) []byte {
	out := fmt.Appendf(nil, "0\n%d\n", offset)
	return fmt.Appendf(out, "%08x\n", crc32.Checksum(out, castagnoli))
}

func parseStart(text string) (int64, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[0] != "0" {
		return 0, errors.New("want version 0, an offset and a checksum, each on a line")
	}
	offset, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || offset < 0 {
		return 0, fmt.Errorf("line 2: %q is no offset", lines[1])
	}
	if string(encodeStart(offset)) != text {
		return 0, fmt.Errorf("line 3: checksum %q does not fit", lines[2])
	}
	return offset, nil
}

// readStart reads the start file, which need not be there.
func readStart(fs diskio.FS, dir string) (int64, error) {
	name := filepath.Join(dir, startFile)
	data, err := diskio.ReadFile(fs, name)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read log start offset: %w", err)
	}
	offset, err := parseStart(string(data))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	return offset, nil
}

func encodeTopic(id [16]byte) []byte {
	return fmt.Appendf(nil, "version: 0\ntopic_id: %s\n", base64.RawURLEncoding.EncodeToString(id[:]))
}

// parseTopic reads partition.metadata.
func parseTopic(text string) (id [16]byte, err error) {
	version, rest, _ := strings.Cut(text, "\n")
	value, found := strings.CutPrefix(strings.TrimSuffix(rest, "\n"), "topic_id: ")
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if version != "version: 0" || !found || err != nil || len(raw) != len(id) {
		return id, fmt.Errorf("%.60q is not version 0 and a topic_id", text)
	}
	return [16]byte(raw), nil
}

// claimTopic checks that the folder belongs to the topic, or makes it so.
func (l *Log) claimTopic() error {
	want := l.o.TopicID
	if want == [16]byte{} {
		return nil
	}
	name := filepath.Join(l.dir, topicFile)
	data, err := diskio.ReadFile(l.fs, name)
	if errors.Is(err, os.ErrNotExist) {
		if err := diskio.WriteFile(l.fs, name, encodeTopic(want)); err != nil {
			return fmt.Errorf("write topic id: %w", err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read topic id: %w", err)
	}
	have, err := parseTopic(string(data))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if have != want {
		return fmt.Errorf("%w: %s has id %s, not %s: it is what is left of another topic of this name",
			ErrForeign, l.dir, base64.RawURLEncoding.EncodeToString(have[:]), base64.RawURLEncoding.EncodeToString(want[:]))
	}
	return nil
}
