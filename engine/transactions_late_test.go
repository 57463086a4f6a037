package engine

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/diskio"
)

// crowded is a file system on which one folder has no room for a while.
type crowded struct {
	diskio.FS
	folder  string
	full    atomic.Bool
	refused atomic.Int32
}

func (c *crowded) Open(name string, flag int) (diskio.File, error) {
	f, err := c.FS.Open(name, flag)
	if err != nil || !strings.Contains(name, c.folder) {
		return f, err
	}
	return &crowdedFile{f, c}, nil
}

type crowdedFile struct {
	diskio.File
	disk *crowded
}

func (f *crowdedFile) Writev(bufs [][]byte, offset int64) (int, error) {
	if f.disk.full.Load() {
		f.disk.refused.Add(1)
		return 0, syscall.ENOSPC
	}
	return f.File.Writev(bufs, offset)
}

// TestALateMarkerLeavesTheNextTransactionAlone: a transaction is decided, and its marker cannot be written for a
// moment. The first batch of the next comes meanwhile, waits at the coordinator for the one before to be complete, and
// is taken then.
func TestALateMarkerLeavesTheNextTransactionAlone(t *testing.T) {
	files := &crowded{FS: diskio.OS, folder: "/t-0/"}
	b, err := beginOn(files, t.TempDir(), "add.partitions.to.txn.retry.backoff.max.ms=30000")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, b) })
	createTopic(t, b, 1, "t")
	p := dial(t, b.Addresses()[0])
	s := subject{name: "t"}
	x := p.transactor("x")
	want(t, "send", x.send(12, s, 0, "before"), nil)
	files.full.Store(true)
	want(t, "end", x.end(5, true), nil)
	<-eventually(func() bool { return files.refused.Load() > 0 })
	q := produceRequest(12, s, 0, -1, x.batch(0, "after"))
	q.TransactionID = &x.id
	p.send(12, q)
	p.another().alive()
	files.full.Store(false)
	a := expect[*kmsg.ProduceResponse](p, 12, q, p.last)
	want(t, "the batch that waited", a.Topics[0].Partitions[0].ErrorCode, nil)
}
