package commitlog

import (
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// scanned is what a scan of a segment found.
type scanned struct {
	size    int64 // bytes of batches that are whole
	next    int64 // offset behind them
	indexer indexer
	control bool    // there are control batches
	damage  *Damage // what ended the scan before the file did, or nil
}

// scan reads a segment from its beginning to its end, or to the first batch that is not
// whole. Batches below from are known to be durable: of them it reads the headers only,
// and damage in them is an error. It notes the leader epochs.
func (l *Log) scan(s *Segment, from int64) (scanned, error) {
	w, err := s.walk(s.size.Load())
	if err != nil {
		return scanned{}, err
	}
	defer w.done()
	found := scanned{next: s.base, indexer: newIndexer(s.base, l.o.IndexInterval)}
	body := reader{file: w.file, end: w.end}
	epoch := int32(-1)
	for found.size < w.end {
		err := w.load(found.size)
		if err == nil && w.head.BaseOffset() != found.next {
			err = w.damage(fmt.Errorf("%w: it is %d, where %d was due", errOrder, w.head.BaseOffset(), found.next))
		}
		if err == nil && w.head.LeaderEpoch() >= 0 {
			if w.head.LeaderEpoch() < epoch {
				err = w.damage(errEpoch)
			}
			epoch = w.head.LeaderEpoch()
		}
		if err == nil && w.head.LastOffset() >= from {
			err = body.check(w)
		}
		if damage := (*Damage)(nil); errors.As(err, &damage) {
			if found.next < from {
				return found, damage
			}
			found.damage = damage
			break
		}
		if err != nil {
			return found, err
		}
		found.indexer.add(w.head, found.size)
		found.control = found.control || w.head.Control()
		l.assign(w.head.LeaderEpoch(), w.head.BaseOffset())
		found.next, found.size = w.head.NextOffset(), w.next()
	}
	return found, nil
}

// readAhead is how much of a file is read at once when all of it is, in bytes.
const readAhead = 1 << 20

// reader reads whole batches, many at a time.
type reader struct {
	file diskio.File
	end  int64
	low  int64 // what buf holds of the file
	buf  []byte
}

// check reads the batch that w has loaded, and checks it.
func (r *reader) check(w *walker) error {
	b, err := r.read(w.at, w.head.Size())
	if err != nil {
		return err
	}
	if err := b.Check(); err != nil {
		return w.damage(err)
	}
	return nil
}

// read returns size bytes at a position; they are good until the next call.
func (r *reader) read(at int64, size int) (batch.Batch, error) {
	if at < r.low || at+int64(size) > r.low+int64(len(r.buf)) {
		n := int(min(int64(max(size, readAhead)), r.end-at))
		if cap(r.buf) < n {
			r.buf = make([]byte, n)
		}
		r.buf = r.buf[:n]
		r.low = at
		got, err := r.file.ReadAt(r.buf, at)
		r.buf = r.buf[:got]
		if got < size {
			if err == nil || errors.Is(err, io.EOF) {
				return nil, &Damage{r.file.Name(), at, batch.ErrShort}
			}
			return nil, fmt.Errorf("read segment: %w", err)
		}
	}
	return batch.Batch(r.buf[at-r.low:][:size]), nil
}
