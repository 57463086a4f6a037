package quorum

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// segmentSuffix ends the name of a segment, which begins with its first offset.
const segmentSuffix = ".log"

// checkTail looks at the last segment before the log is opened, for the log takes whatever
// cannot be read at its end for a write that a crash cut short. Here a batch is written only
// when the one before it is durable. So a broken batch with a whole one behind it was whole
// once, and its entries may have been answered: that is damage, and for a person to judge.
func checkTail(files diskio.FS, dir string) error {
	names, err := files.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list the metadata log: %w", err)
	}
	last := ""
	for _, name := range names {
		if strings.HasSuffix(name, segmentSuffix) {
			last = filepath.Join(dir, name)
		}
	}
	if last == "" {
		return nil
	}
	text, err := diskio.ReadFile(files, last)
	if err != nil {
		return fmt.Errorf("read the metadata log: %w", err)
	}
	first, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(last), segmentSuffix), 10, 64)
	if err != nil {
		return fmt.Errorf("%s is no segment of the metadata log: %w", last, err)
	}
	broken := wholeBatches(text, first)
	for at := broken; at <= len(text)-batch.HeaderSize; at++ {
		if _, ok := wholeBatch(text[at:]); ok {
			return fmt.Errorf("%s is damaged at position %d, and a whole batch lies at position %d: "+
				"that is no write that was cut short; restore the file", last, broken, at)
		}
	}
	return nil
}

// wholeBatches is how many bytes of text are batches without a fault, one behind the other,
// the first at offset next. Terms do not fall: no checksum covers them.
func wholeBatches(text []byte, next int64) int {
	term := int32(0)
	for at := 0; ; {
		one, ok := wholeBatch(text[at:])
		if !ok || one.BaseOffset() != next || one.LeaderEpoch() < term {
			return at
		}
		at, next, term = at+len(one), one.NextOffset(), one.LeaderEpoch()
	}
}

func wholeBatch(text []byte) (batch.Batch, bool) {
	size, err := batch.Peek(text)
	if err != nil {
		return nil, false
	}
	one := batch.Batch(text[:size])
	return one, one.Check() == nil
}
