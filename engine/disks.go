package engine

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/shard"
)

const (
	lockFile   = ".lock"
	cleanFile  = "clean-shutdown"
	pointsFile = "recovery-point-offset-checkpoint"
)

// ErrInUse says that another broker has the data folder.
var ErrInUse = errors.New("another broker uses this data folder; stop it, or give this one a folder of its own (log.dirs)")

// disk is one of log.dirs while this broker has it.
type disk struct {
	*shard.Disk
	lock io.Closer
}

// openDisk takes a data folder for this broker alone and reads how the last one left it.
func openDisk(fs diskio.FS, path string, log *slog.Logger) (*disk, error) {
	if err := fs.MkdirAll(path); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	lock, err := fs.Lock(filepath.Join(path, lockFile))
	if errors.Is(err, diskio.ErrLocked) {
		return nil, fmt.Errorf("%s: %w", path, ErrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	d := &disk{Disk: &shard.Disk{Path: path, FS: fs, Log: log}, lock: lock}
	if err := d.recall(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	d.Syncer = diskio.NewSyncer(diskio.SyncerOptions{})
	return d, nil
}

// recall reads the marker of a clean stop, and takes it away: from here on a stop is
// not clean unless it says so.
func (d *disk) recall() error {
	marker := filepath.Join(d.Path, cleanFile)
	if _, err := d.FS.Stat(marker); err == nil {
		d.Clean = true
		if err := errors.Join(d.FS.Remove(marker), d.FS.SyncDir(d.Path)); err != nil {
			return fmt.Errorf("take away the marker of the last clean stop: %w", err)
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look for the marker of a clean stop: %w", err)
	}
	points, err := readPoints(d.FS, filepath.Join(d.Path, pointsFile))
	if err != nil {
		// Without points more is checked, and nothing is lost.
		d.Log.Warn("recovery points cannot be read; logs are checked further back", "folder", d.Path, "error", err)
	}
	d.Points = points
	return nil
}

// close lets the folder go; clean says that every log in it was closed in good order.
func (d *disk) close(clean bool) error {
	d.Syncer.Close()
	var err error
	if clean && d.Failed() == nil {
		err = diskio.WriteFile(d.FS, filepath.Join(d.Path, cleanFile), []byte("The last stop was clean: logs need no check.\n"))
	}
	return errors.Join(err, d.lock.Close())
}

// readPoints reads a checkpoint in Kafka's form: a version, how many lines follow, and
// in each topic, partition and offset.
func readPoints(fs diskio.FS, name string) (map[string]int64, error) {
	data, err := diskio.ReadFile(fs, name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	return parsePoints(string(data))
}

func parsePoints(text string) (map[string]int64, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 2 || lines[0] != "0" {
		return nil, errors.New("checkpoint: line 1: want version 0")
	}
	count, err := strconv.Atoi(lines[1])
	if err != nil || count != len(lines)-2 {
		return nil, fmt.Errorf("checkpoint: line 2: want %d, the number of lines that follow", len(lines)-2)
	}
	points := make(map[string]int64, count)
	for i, line := range lines[2:] {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("checkpoint: line %d: want topic, partition and offset", i+3)
		}
		offset, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil || offset < 0 {
			return nil, fmt.Errorf("checkpoint: line %d: %q is no offset", i+3, fields[2])
		}
		points[fields[0]+"-"+fields[1]] = offset
	}
	return points, nil
}

// writePoints writes what readPoints reads.
func writePoints(fs diskio.FS, name string, replicas []*shard.Replica) error {
	var text strings.Builder
	fmt.Fprintf(&text, "0\n%d\n", len(replicas))
	for _, r := range replicas {
		fmt.Fprintf(&text, "%s %d %d\n", r.Topic, r.Index, r.HighWatermark())
	}
	return diskio.WriteFile(fs, name, []byte(text.String()))
}
