package engine

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/shard"
)

// The notes that a broker leaves in a data folder for its next start, beside the logs (FORMAT.md): the marker of a
// clean stop, and the checkpoint of recovery points. Verify reads them, too.

// cleanText begins the marker of a clean stop. In folders of older builds it is all of it.
const cleanText = "The last stop was clean: logs need no check.\n"

// encodeMarker is the marker of a clean stop at which the metadata log had so many entries.
func encodeMarker(entries int64) []byte {
	text := fmt.Appendf(nil, "%smetadata %d\n", cleanText, entries)
	return append(text, pointsSum(text)...)
}

// parseMarker reads what encodeMarker or an older build has written.
func parseMarker(text string) (entries int64, err error) {
	if text == cleanText {
		return 0, nil
	}
	rest, _ := strings.CutPrefix(text, cleanText+"metadata ")
	number, _, _ := strings.Cut(rest, "\n")
	entries, err = strconv.ParseInt(number, 10, 64)
	if err != nil || string(encodeMarker(entries)) != text {
		return 0, errors.New("it is not what a clean stop has written")
	}
	return entries, nil
}

// pointsVersion begins the checkpoint. Kafka's version 0 has no topic ids: a topic made
// anew under an old name would inherit what is not true of it. It has no checksum either,
// and a digit that is damaged would have a log refused that is whole. Version 2 was as 3 without
// checksums of batches.
const (
	pointsVersion = "3"
	pointsBefore  = "2"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// parsePoints reads a checkpoint: a version, how many lines follow, in each topic,
// partition, offset, topic id and, if it is known, the checksum of the batch that ends there; and the
// CRC-32C of all this.
func parsePoints(text string) (map[string]shard.Point, error) {
	body := text[:max(0, len(text)-9)]
	lines := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
	if len(lines) < 2 || lines[0] != pointsVersion && lines[0] != pointsBefore {
		return nil, fmt.Errorf("checkpoint: line 1: want version %s", pointsVersion)
	}
	if sum := pointsSum([]byte(body)); text[len(body):] != sum {
		return nil, fmt.Errorf("checkpoint: last line: checksum is %q, want %q", text[len(body):], sum)
	}
	count, err := strconv.Atoi(lines[1])
	if err != nil || count != len(lines)-2 {
		return nil, fmt.Errorf("checkpoint: line 2: want %d, the number of lines that follow", len(lines)-2)
	}
	points := make(map[string]shard.Point, count)
	for i, line := range lines[2:] {
		folder, p, err := parsePoint(line, lines[0] == pointsBefore)
		if err != nil {
			return nil, fmt.Errorf("checkpoint: line %d: %w", i+3, err)
		}
		points[folder] = p
	}
	return points, nil
}

// parsePoint reads one line of the checkpoint: whose folder it is about, and how far that is durable. Lines of the
// version before have no checksum.
func parsePoint(line string, before bool) (folder string, p shard.Point, err error) {
	fields := strings.Fields(line)
	if len(fields) != 4 && (len(fields) != 5 || before) {
		return "", p, errors.New("want topic, partition, offset, topic id and perhaps a checksum")
	}
	partition, err := strconv.ParseInt(fields[1], 10, 32)
	if err != nil || partition < 0 {
		return "", p, fmt.Errorf("%q is no partition", fields[1])
	}
	if p.Offset, err = strconv.ParseInt(fields[2], 10, 64); err != nil || p.Offset < 0 {
		return "", p, fmt.Errorf("%q is no offset", fields[2])
	}
	id, err := base64.RawURLEncoding.DecodeString(fields[3])
	if err != nil || len(id) != 16 {
		return "", p, fmt.Errorf("%q is no topic id", fields[3])
	}
	p.Topic = [16]byte(id)
	if len(fields) == 5 {
		last, err := strconv.ParseUint(fields[4], 16, 32)
		if err != nil {
			return "", p, fmt.Errorf("%q is no checksum", fields[4])
		}
		p.Last, p.Lasts = uint32(last), true
	}
	return commitlog.FolderName(fields[0], int32(partition)), p, nil
}

// pointsSum is the last line of the checkpoint, 9 bytes.
func pointsSum(body []byte) string {
	return fmt.Sprintf("%08x\n", crc32.Checksum(body, castagnoli))
}

// pointLine is one line of the checkpoint.
func pointLine(topic string, partition int32, p shard.Point) string {
	line := fmt.Sprintf("%s %d %d %s", topic, partition, p.Offset, base64.RawURLEncoding.EncodeToString(p.Topic[:]))
	if p.Lasts {
		line += fmt.Sprintf(" %08x", p.Last)
	}
	return line + "\n"
}

// encodePoints is the checkpoint that parsePoints reads.
func encodePoints(lines []string) []byte {
	slices.Sort(lines)
	text := fmt.Appendf(nil, "%s\n%d\n", pointsVersion, len(lines))
	for _, line := range lines {
		text = append(text, line...)
	}
	return append(text, pointsSum(text)...)
}

// savePoints writes the checkpoint if it changed.
func (d *disk) savePoints(text []byte) error {
	if bytes.Equal(text, d.points) {
		return nil
	}
	if err := diskio.WriteFile(d.FS, filepath.Join(d.Path, pointsFile), text); err != nil {
		return fmt.Errorf("write recovery points: %w", err)
	}
	d.points = text
	return nil
}
