package commitlog

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// coldFolder is a folder of the operating system's, and whether its files can be read past the
// page cache: of temporary files, or else beside this one.
func coldFolder(t *testing.T) (folder string, can bool) {
	t.Helper()
	beside, err := os.MkdirTemp("testdata", "cold-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(beside); err != nil {
			t.Error(err)
		}
	})
	for _, folder = range []string{t.TempDir(), beside} {
		name := filepath.Join(folder, "tried")
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := diskio.OpenCold(diskio.OS, name); err == nil {
			r.Close() //nolint:errcheck // nothing was written
			return folder, true
		}
	}
	return folder, false
}

// A log that was opened again has nothing that is known to be in memory: its cleaning reads it
// past the page cache, every byte, and comes to the same as one that does not.
func TestACleaningOfWhatIsNotInMemory(t *testing.T) {
	folder, can := coldFolder(t)
	cache := diskio.NewPageCache(diskio.PageCacheOptions{Bytes: 1 << 30}) // which nothing here fills
	defer cache.Close()
	for name, test := range map[string]struct {
		cache *diskio.PageCache
		again bool // the log is opened again before it is cleaned
		cold  bool
	}{
		"opened again":           {cache, true, can},
		"still open":             {cache, false, false},
		"nobody minds the cache": {nil, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := keep()
			o.FS, o.Cache, o.SegmentBytes = diskio.OS, test.cache, 10_000
			o.Later, o.Now = func(_ time.Duration, f func()) { f() }, func() time.Time { return today }
			dir := filepath.Join(folder, name, "topic-0")
			open := func() *Log {
				log, err := Open(dir, o, Recovery{Clean: true, From: -1, Log: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				return log
			}
			log := open()
			appendKeys(t, log)
			if test.again {
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
				log = open()
			}
			defer log.Close() //nolint:errcheck // it was looked at
			c := log.NewCleaning(log.End(), CleanOptions{MapBytes: 1 << 20})
			dirt, err := c.Dirt(today)
			if err != nil {
				t.Fatal(err)
			}
			stats, err := c.Run(dirt, today)
			if err != nil {
				t.Fatal(err)
			}
			if stats.BytesRead < 2*dirt.Dirty || (stats.BytesCold == stats.BytesRead) != test.cold || (stats.BytesCold == 0) == test.cold {
				t.Errorf("of %d bytes that were read twice, %d in all, %d went past the page cache, want all of them: %v", dirt.Dirty, stats.BytesRead, stats.BytesCold, test.cold)
			}
			var left []string
			eachRecordOf(t, log, func(_ batch.Batch, offset int64, r *batch.Record) {
				if offset < dirt.To {
					left = append(left, string(r.Key))
				}
			})
			if want := []string{"key-0", "key-1", "key-2", "key-3", "key-4", "key-5", "key-6"}; len(left) != 7 || !slices.Equal(slices.Sorted(slices.Values(left)), want) {
				t.Errorf("left are %q, want each of %q once", left, want)
			}
		})
	}
	if !can {
		t.Skip("no file system here can be read past the page cache")
	}
}

// appendKeys fills some segments with records of seven keys.
func appendKeys(t *testing.T, log *Log) {
	t.Helper()
	for i := range 210 {
		var b batch.Builder
		b.Append(today.UnixMilli(), fmt.Appendf(nil, "key-%d", i%7), make([]byte, 1000), nil)
		o := batch.NoProducer()
		o.BaseOffset = log.End()
		built, err := b.Finish(o)
		if err == nil {
			err = log.Append([][]byte{built}, today)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Roll(today); err != nil {
		t.Fatal(err)
	}
	if err := log.Sync(); err != nil {
		t.Fatal(err)
	}
}
