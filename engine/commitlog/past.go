package commitlog

import (
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace/diskio"
)

// Past is a range that was read past the page cache, into chunks.
//
// Ownership: it holds its chunks until Release, or until who takes them over from Each
// releases every one.
type Past struct {
	Bytes int   // whole batches
	End   int64 // as Range.End

	position int64 // in the segment
	chunks   []*diskio.Chunk
}

// Each calls f with the parts of the range, in order, and the chunk that each lies in.
func (p *Past) Each(f func(part []byte, chunk *diskio.Chunk)) {
	at, left := p.position, p.Bytes
	for _, k := range p.chunks {
		part := k.From(at)
		part = part[:min(len(part), left)]
		f(part, k)
		at += int64(len(part))
		left -= len(part)
	}
}

// Copy copies the range into dst, which has room for it.
func (p *Past) Copy(dst []byte) {
	p.Each(func(part []byte, _ *diskio.Chunk) { dst = dst[copy(dst, part):] })
}

// Release lets the chunks go. A second call does nothing.
func (p *Past) Release() {
	for _, k := range p.chunks {
		k.Release()
	}
	*p = Past{}
}

// Ahead is the chunk that who reads on will need next.
//
// Ownership: it holds a reference of the segment until Read, which is called once.
type Ahead struct {
	segment *Segment
	chunks  *diskio.Chunks
	file    diskio.File
	life    int64
	index   int64
	end     int64
}

// Read reads it, if wanted says so and there is memory to spare. Of an Ahead that is empty
// there is nothing to read.
func (a *Ahead) Read(wanted bool) {
	if a.segment == nil {
		return
	}
	if wanted {
		a.chunks.Ahead(a.file, a.life, a.index, a.end)
	}
	a.segment.Release()
}

// ReadPast is Locate, and reads what it finds past the page cache, which holds nothing of
// it afterwards. The error is diskio.ErrSpent when there is no memory for that now, and
// errors.ErrUnsupported when it cannot be: then Locate and Range.Warm do (any).
func (l *Log) ReadPast(chunks *diskio.Chunks, offset int64, maxBytes int, limit int64) (Past, Ahead, error) {
	v := &pastView{chunks: chunks}
	defer v.close()
	r, err := l.find(offset, maxBytes, limit, sight{past: v})
	if err != nil || r.Segment == nil {
		return Past{}, Ahead{}, err
	}
	p := Past{Bytes: r.Bytes, End: r.End, position: r.Position}
	last := (r.Position + int64(r.Bytes) - 1) / diskio.ChunkBytes
	if r.Bytes > 4*chunks.Most() { // one batch, which nobody else would leave room
		r.Release()
		return Past{}, Ahead{}, diskio.ErrSpent
	}
	for i := r.Position / diskio.ChunkBytes; i <= last; i++ {
		k, err := chunks.Hold(v.File, v.life, i, v.end)
		if err != nil {
			p.Release()
			r.Release()
			return Past{}, Ahead{}, fmt.Errorf("read segment: %w", err)
		}
		p.chunks = append(p.chunks, k)
	}
	if end := r.Position + int64(r.Bytes); end-last*diskio.ChunkBytes < diskio.ChunkBytes/2 && r.Bytes < diskio.ChunkBytes/2 || end == v.end {
		r.Release() // what was read goes on for a while, or the segment ends
		return p, Ahead{}, nil
	}
	return p, Ahead{r.Segment, chunks, v.File, v.life, last + 1, v.end}, nil
}

// pastChunks is how many chunks a walk may hold while it looks for a range.
const pastChunks = 4

// pastView is a segment that is read by chunks.
//
// Ownership: of one walk.
type pastView struct {
	diskio.File
	chunks *diskio.Chunks
	life   int64
	end    int64
	held   []*diskio.Chunk
}

// show has a walk read by the view.
func (v *pastView) show(w *walker, life int64) {
	v.File, v.life, v.end = w.file, life, w.end
	w.file = v
}

// ReadAt reads up to the end of the segment.
func (v *pastView) ReadAt(p []byte, at int64) (n int, err error) {
	for n < len(p) {
		from := at + int64(n)
		if from >= v.end {
			return n, io.EOF
		}
		k, err := v.chunk(from / diskio.ChunkBytes)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], k.From(from))
	}
	return n, nil
}

func (v *pastView) chunk(index int64) (*diskio.Chunk, error) {
	for _, k := range v.held {
		if k.Index() == index {
			return k, nil
		}
	}
	k, err := v.chunks.Hold(v.File, v.life, index, v.end)
	if err != nil {
		return nil, err
	}
	if len(v.held) == pastChunks {
		v.held[0].Release()
		v.held = append(v.held[:0], v.held[1:]...)
	}
	v.held = append(v.held, k)
	return k, nil
}

func (v *pastView) close() {
	for _, k := range v.held {
		k.Release()
	}
	v.held = nil
}

// passing reports whether an error says nothing about what stands in a file: the same can
// be read in another way, or later.
func passing(err error) bool {
	return errors.Is(err, diskio.ErrSpent) || errors.Is(err, errors.ErrUnsupported)
}
