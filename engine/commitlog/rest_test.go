package commitlog

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/diskio"
)

// tallying counts the segments that are open.
type tallying struct {
	diskio.FS
	open atomic.Int64
}

func (d *tallying) Open(name string, flag int) (diskio.File, error) {
	f, err := d.FS.Open(name, flag)
	if err != nil || !strings.HasSuffix(name, logSuffix) {
		return f, err
	}
	d.open.Add(1)
	return &talliedFile{f, d}, nil
}

type talliedFile struct {
	diskio.File
	disk *tallying
}

func (f *talliedFile) Close() error {
	err := f.File.Close()
	if err == nil {
		f.disk.open.Add(-1)
	}
	return err
}

// A log has one file open for each segment that was written or read, and Rest closes those that nobody needs: there may
// be more segments than descriptors. What is being read stays, and all can be read, cut and written afterwards.
func TestRest(t *testing.T) {
	disk := &tallying{FS: diskio.NewMemory()}
	o := keep()
	o.FS, o.SegmentBytes = disk, 200
	var later []func()
	o.Later = func(_ time.Duration, f func()) { later = append(later, f) }
	s := newStage(t, o)
	log := s.open(s.recovery())
	for range 20 {
		s.append(1, 1)
	}
	many := log.Segments()
	if many < 10 {
		t.Fatalf("%d segments are too few", many)
	}
	log.Rest()
	s.want("files before they are sealed", disk.open.Load(), int64(many))
	s.ok(log.Sync())
	seal := func() {
		for _, f := range later {
			f()
		}
		later = nil
	}
	seal()
	held, err := log.Locate(0, 1, log.End())
	s.ok(err)
	log.Rest()
	s.want("files: one that is read, and the active one", disk.open.Load(), int64(2))
	if _, err := held.File.ReadAt(make([]byte, held.Bytes), held.Position); err != nil {
		t.Errorf("what is held cannot be read: %v", err)
	}
	held.Release()
	before := s.all()
	s.want("offsets", len(before), 40)
	s.want("files after all was read", disk.open.Load(), int64(many))
	log.Rest()
	s.want("files after another rest", disk.open.Load(), int64(1))

	s.ok(log.Truncate(15))
	s.append(1, 1)
	s.want("offsets behind the cut", len(s.all()), 17)
	seal()
	s.close()
	s.want("files at the end", disk.open.Load(), int64(0))
	s.open(s.recovery())
	s.want("offsets after another start", len(s.all()), 17)
	s.close()
}
