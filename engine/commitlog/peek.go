package commitlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/diskio"
)

// Summary is what can be told about a log without opening it.
type Summary struct {
	Bytes    int64
	Segments int
	Start    int64     // the base of the oldest segment, or the log start offset if that is higher
	Oldest   time.Time // largest timestamp of the oldest segment; zero when it is empty

	oldestBytes int64
}

// Peek looks at the folder of a log that is not open.
func Peek(fs diskio.FS, dir string) (Summary, error) {
	var found Summary
	names, err := fs.ReadDir(dir)
	if err != nil {
		return found, fmt.Errorf("look at log: %w", err)
	}
	for _, name := range names {
		base, ok := parseName(name, logSuffix)
		if !ok {
			continue
		}
		info, err := fs.Stat(filepath.Join(dir, name))
		if err != nil {
			return found, fmt.Errorf("look at log: %w", err)
		}
		if found.Segments == 0 {
			found.Start, found.oldestBytes = base, info.Size
			if info.Size > 0 {
				found.Oldest = info.ModTime
			}
		}
		found.Segments++
		found.Bytes += info.Size
	}
	start, err := readStart(fs, dir)
	if err != nil {
		return found, err
	}
	if found.oldestBytes > 0 {
		if t, ok := lastTime(fs, filepath.Join(dir, segmentName(found.Start)+timeSuffix)); ok {
			found.Oldest = t
		}
	}
	found.Start = max(found.Start, start)
	return found, nil
}

// lastTime reads the last entry of a time index.
func lastTime(fs diskio.FS, name string) (time.Time, bool) {
	data, err := diskio.ReadFile(fs, name)
	if err != nil {
		return time.Time{}, false
	}
	times, err := decodeTimes(data)
	if err != nil || len(times) == 0 {
		return time.Time{}, false
	}
	return time.UnixMilli(times[len(times)-1].timestamp), true
}

// Expired reports whether Retain might remove something from a log that is not open. A
// folder that is not there has nothing to remove.
func Expired(o Options, dir string, now time.Time) bool {
	o = o.complete()
	if o.RetentionAge < 0 && o.RetentionBytes < 0 {
		return false
	}
	found, err := Peek(o.FS, dir)
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	if found.oldestBytes == 0 {
		return found.Segments > 1
	}
	return o.RetentionAge >= 0 && now.Sub(found.Oldest) > o.RetentionAge ||
		o.RetentionBytes >= 0 && found.Bytes-found.oldestBytes >= o.RetentionBytes
}
