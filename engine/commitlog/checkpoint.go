package commitlog

import (
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
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
// The checkpoint is believed only where the batches on both sides of the end agree.
func (l *Log) EpochEnd(e int32) (found int32, end int64) {
	found, end = l.savedEnd(e)
	if l.endAgrees(e, found, end) {
		return found, end
	}
	l.logger.Warn("the leader epochs contradict the batches; the batches are asked", "epoch", e, "end", end)
	return l.searchEnd(e)
}

// LastEpoch is the largest leader epoch of what the log holds, −1 when that is not known (any).
func (l *Log) LastEpoch() int32 {
	if all := *l.epochs.Load(); len(all) > 0 {
		return all[len(all)-1].epoch
	}
	return -1
}

// savedEnd is EpochEnd by the list of epochs.
func (l *Log) savedEnd(e int32) (found int32, end int64) {
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

// endAgrees reports whether the batch before end is of the epoch that was found, and the
// one behind it of a later one than e. What cannot be read does not contradict.
func (l *Log) endAgrees(e, found int32, end int64) bool {
	if found < 0 {
		last, ok := l.epochAt(l.end.Load() - 1)
		return e < 0 || !ok || last < e
	}
	before, ok := l.epochAt(end - 1)
	if ok && before >= 0 && before != found {
		return false
	}
	behind, ok := l.epochAt(end)
	return !ok || behind > e
}

// searchEnd is EpochEnd by the batches, whose epochs only rise.
func (l *Log) searchEnd(e int32) (found int32, end int64) {
	start, last := l.start.Load(), l.end.Load()
	end = start + int64(sort.Search(int(last-start), func(i int) bool {
		epoch, ok := l.epochAt(start + int64(i))
		return ok && epoch > e
	}))
	if end == start {
		return e, start
	}
	found, ok := l.epochAt(end - 1)
	if !ok || found < 0 || end == last && found < e {
		return -1, -1
	}
	return found, end
}

// epochAt is the leader epoch of the batch that contains offset, if it can be read (any).
func (l *Log) epochAt(offset int64) (int32, bool) {
	head, ok := l.headAt(offset)
	return head.LeaderEpoch(), ok
}

// headAt is the header of the batch that contains offset, of zeros if it cannot be read (any).
func (l *Log) headAt(offset int64) (head batch.Batch, ok bool) {
	head = make(batch.Batch, batch.HeaderSize)
	r, err := l.Locate(offset, 1, math.MaxInt64)
	if err != nil || r.Bytes == 0 {
		return head, false
	}
	defer r.Release()
	if _, err := r.File.ReadAt(head, r.Position); err != nil {
		clear(head)
		return head, false
	}
	return head, true
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
	if err := diskio.WriteNeeded(l.fs, filepath.Join(l.dir, startFile), encodeStart(offset)); err != nil {
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
func (l *Log) claimTopic(r Recovery, empty bool) error {
	want := l.o.TopicID
	if want == [16]byte{} {
		return nil
	}
	name := filepath.Join(l.dir, topicFile)
	data, err := diskio.ReadFile(l.fs, name)
	if errors.Is(err, os.ErrNotExist) {
		if !empty {
			l.logger.Warn("the topic id was missing beside the segments; it is written again", "file", name)
		}
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
	if have != want && (r.From > 0 || nearly(have, want)) {
		return &Damage{name, 0, fmt.Errorf("it has the topic id %s, and the log is known to be of %s: remove the file, and it is made again",
			base64.RawURLEncoding.EncodeToString(have[:]), base64.RawURLEncoding.EncodeToString(want[:]))}
	}
	if have != want {
		return fmt.Errorf("%w: %s has id %s, not %s: it is what is left of another topic of this name",
			ErrForeign, l.dir, base64.RawURLEncoding.EncodeToString(have[:]), base64.RawURLEncoding.EncodeToString(want[:]))
	}
	return nil
}

// nearly reports whether two ids differ by so little that one is the other with a letter of
// its text damaged: of two that were drawn at random about 60 bits differ.
func nearly(a, b [16]byte) bool {
	differ := 0
	for i := range a {
		differ += bits.OnesCount8(a[i] ^ b[i])
	}
	return differ <= 6
}
