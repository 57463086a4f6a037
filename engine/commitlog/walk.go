package commitlog

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// Damage is a place in a file that cannot be what was written there.
type Damage struct {
	File     string
	Position int64
	Err      error
}

// Error names the file and the position.
func (d *Damage) Error() string {
	return fmt.Sprintf("%s is damaged at position %d: %v", d.File, d.Position, d.Err)
}

// Unwrap is what is wrong.
func (d *Damage) Unwrap() error { return d.Err }

// What a walk may find besides the errors of package batch.
var (
	errOrder = errors.New("offset of the batch does not follow the one before")
	errEpoch = errors.New("leader epoch of the batch is lower than the one before")
)

// walker reads headers of batches one after the other, through a small buffer.
type walker struct {
	file diskio.File
	base int64 // of the segment
	at   int64 // position of the batch whose header is loaded
	end  int64 // no byte from here on is read
	hot  bool  // never wait for the disk
	head batch.Batch
	// memory lends what decompressing takes. Nil: whatever it does.
	memory batch.Memory

	low, high int64 // what buf holds of the file
	buf       [4 << 10]byte
}

var walkers = sync.Pool{New: func() any { return new(walker) }}

// walk begins a walk over the first size bytes of a segment; the caller holds a
// reference and gives the walker back with done.
func (s *Segment) walk(size int64) (*walker, error) {
	f, err := s.file()
	if err != nil {
		return nil, err
	}
	w := walkers.Get().(*walker)
	w.file, w.base, w.at, w.end = f, s.base, 0, size
	w.low, w.high, w.head, w.hot = 0, 0, nil, false
	return w, nil
}

func (w *walker) done() {
	w.file, w.head, w.memory = nil, nil, nil
	walkers.Put(w)
}

// load reads the header of the batch at a position and checks what can be checked in it.
func (w *walker) load(at int64) error {
	if at < w.low || at+batch.HeaderSize > w.high {
		if err := w.fill(at); err != nil {
			return err
		}
	}
	w.at = at
	w.head = batch.Batch(w.buf[at-w.low:][:batch.HeaderSize])
	size, err := batch.Peek(w.head)
	switch {
	case errors.Is(err, batch.ErrLength):
		return w.damage(err)
	case w.head.Magic() != 2:
		return w.damage(batch.ErrMagic)
	case int64(size) > w.end-at:
		return w.damage(batch.ErrShort)
	case w.head.BaseOffset() < w.base || w.head.LastOffsetDelta() < 0:
		return w.damage(errOrder)
	}
	return nil
}

// fill reads on from a position. After a large batch only a header: what follows it is
// far away.
func (w *walker) fill(at int64) error {
	n := int64(len(w.buf))
	if w.head != nil && w.head.Size() > len(w.buf) {
		n = batch.HeaderSize
	}
	n = min(n, w.end-at)
	if n < batch.HeaderSize {
		return &Damage{w.file.Name(), at, batch.ErrShort}
	}
	var got int
	var err error
	if w.hot {
		got, err = w.file.ReadCached(w.buf[:n], at)
	} else {
		got, err = w.file.ReadAt(w.buf[:n], at)
	}
	w.low, w.high = at, at+int64(got)
	if got >= batch.HeaderSize {
		return nil
	}
	if err == diskio.ErrCold {
		w.high = w.low
		return err
	}
	if err == nil || errors.Is(err, io.EOF) {
		return &Damage{w.file.Name(), at, batch.ErrShort}
	}
	return fmt.Errorf("read segment: %w", err)
}

func (w *walker) damage(err error) error { return &Damage{w.file.Name(), w.at, err} }

// next is the position behind the loaded batch.
func (w *walker) next() int64 { return w.at + int64(w.head.Size()) }

// jump loads the batch that an index entry names, or fails with errIndex. That the disk
// cannot be read says nothing about the index.
func (w *walker) jump(e offsetEntry) error {
	if err := w.load(int64(e.position)); err != nil {
		var damage *Damage
		if !errors.As(err, &damage) {
			return err
		}
		return errIndex
	}
	if w.head.LastOffset() != w.base+int64(e.relative) {
		return errIndex
	}
	return nil
}
