package limits

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/results"
)

// Figures of the disk: the median time of a write and an fdatasync, one at a time. A file
// that grows must have its size and extents saved with each; one that was written before
// need not.
const (
	diskGrowing    = "disk, growing file"
	diskPrewritten = "disk, prewritten file"
)

var diskFigures = []string{diskGrowing, diskPrewritten}

// diskTimes measures the disk of a folder.
type diskTimes struct {
	dir                 string
	size                int
	growing, prewritten []float64 // seconds
}

// syncs is how many writes one measurement makes of each kind.
const syncs = 400

func newDiskTimes(dir, size string) (*diskTimes, error) {
	n, err := loadgen.Bytes(size)
	return &diskTimes{dir: dir, size: int(n)}, err
}

// measure writes both kinds of file, and removes them.
func (d *diskTimes) measure(ctx context.Context) (err error) {
	path := filepath.Join(d.dir, "fdatasync")
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("measure the disk: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(path)) }()
	// The first round appends; the second writes over it.
	for _, into := range []*[]float64{&d.growing, &d.prewritten} {
		if err := d.round(ctx, file, into); err != nil {
			return fmt.Errorf("measure the disk: %w", err)
		}
	}
	return nil
}

func (d *diskTimes) round(ctx context.Context, file *os.File, into *[]float64) error {
	block := make([]byte, d.size)
	for i := range block {
		block[i] = byte(i * 7)
	}
	for i := range syncs {
		if err := ctx.Err(); err != nil {
			return err
		}
		begin := time.Now()
		if _, err := file.WriteAt(block, int64(i)*int64(d.size)); err != nil {
			return err
		}
		if err := unix.Fdatasync(int(file.Fd())); err != nil {
			return err
		}
		*into = append(*into, time.Since(begin).Seconds())
	}
	return nil
}

func (d *diskTimes) figures(t *trial) {
	for _, times := range [][]float64{d.growing, d.prewritten} {
		slices.Sort(times)
	}
	t.figure(diskGrowing, results.Seconds, results.Median(d.growing))
	t.figure(diskPrewritten, results.Seconds, results.Median(d.prewritten))
}
