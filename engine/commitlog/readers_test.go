package commitlog

import (
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// Readers run while the owner appends, fails, rolls, deletes, closes files and the log. What they read is
// whole and is what they asked for.
func TestReadersBesideTheOwner(t *testing.T) {
	m := diskio.NewMemory()
	var later sync.WaitGroup
	s := newStage(t, Options{FS: m, SegmentBytes: 3000, IndexInterval: 300, RetentionBytes: 20000, RetentionAge: -1, SyncOnRoll: true,
		Later: func(_ time.Duration, f func()) { later.Go(f) }})
	s.open(s.recovery())
	log := s.log
	var high atomic.Int64 // as the shard publishes it
	var readers sync.WaitGroup
	chunks := diskio.NewChunks(diskio.ChunksOptions{Bytes: 6 * diskio.ChunkBytes})
	stop := make(chan struct{})
	for id := range 4 {
		readers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(id), 3))
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := readSome(log, chunks, random, high.Load()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(0, 4))
	for i := range 700 {
		switch {
		case i%50 == 20:
			m.SetSpace(random.Int64N(300))
		case i%50 == 24:
			m.SetSpace(-1)
		case i%97 == 0:
			if _, err := log.Retain(today, high.Load(), 0); err != nil && !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
		}
		if i%5 == 0 {
			log.Rest()
		}
		var group [][]byte
		for end := log.End(); len(group) < 1+i%5; {
			group = append(group, records(t, end, 0, 1+i%3, today.UnixMilli()+end, 50))
			end = batch.Batch(group[len(group)-1]).NextOffset()
		}
		if err := log.Append(group, today); err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		if i%7 == 0 {
			high.Store(log.End())
		}
	}
	s.ok(log.Sync())
	s.close()
	later.Wait()
	close(stop)
	readers.Wait()
	chunks.Close()
	if n := chunks.Buffered(); n != 0 {
		t.Errorf("%d bytes of chunks are still held", n)
	}
}

// located is what Locate finds, or ReadPast.
func located(log *Log, chunks *diskio.Chunks, past bool, at int64, most int, high int64) ([]byte, error) {
	if past {
		p, ahead, err := log.ReadPast(chunks, at, most, high)
		if !errors.Is(err, diskio.ErrSpent) {
			data := make([]byte, p.Bytes)
			p.Copy(data)
			p.Release()
			ahead.Read(true)
			return data, err
		}
	}
	r, err := log.Locate(at, most, high)
	if err != nil {
		return nil, err
	}
	defer r.Release()
	data := make([]byte, r.Bytes)
	_, err = r.File.ReadAt(data, r.Position)
	return data, err
}

func readSome(log *Log, chunks *diskio.Chunks, random *rand.Rand, high int64) error {
	start := log.Start()
	if high <= start {
		return nil
	}
	at := start + random.Int64N(high-start)
	data, err := located(log, chunks, random.IntN(2) == 0, at, random.IntN(5000), high)
	switch {
	case errors.Is(err, ErrClosed), errors.Is(err, kerr.OffsetOutOfRange) && at < log.Start():
		return nil // it went away meanwhile
	case err != nil:
		return err
	}
	for len(data) > 0 {
		size, err := batch.Peek(data)
		if err != nil {
			return err
		}
		b := batch.Batch(data[:size])
		if err := b.Check(); err != nil {
			return err
		}
		if b.BaseOffset() > at || b.LastOffset() < at || b.NextOffset() > high {
			return errors.New("a batch that was not asked for")
		}
		at, data = b.NextOffset(), data[size:]
	}
	if random.IntN(20) == 0 {
		if offset, ts, _, err := log.MaxTimestamp(high, nil); err == nil && offset >= 0 && (offset >= high || ts > today.UnixMilli()+offset) {
			return errors.New("the largest timestamp is of another record")
		} else if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, kerr.OffsetOutOfRange) {
			return err
		}
		if _, _, _, err := log.OffsetForTime(today.UnixMilli()+at, math.MaxInt64, nil); err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, kerr.OffsetOutOfRange) {
			return err
		}
	}
	return nil
}
