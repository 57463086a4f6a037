package diskio

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// ChunkBytes is how much Chunks read at once, at multiples of it.
	ChunkBytes = 1 << 20
	// DirectAlign is what positions, sizes and memory of File.ReadDirect are multiples of.
	DirectAlign = 4 << 10
)

// ErrSpent says that all memory for chunks is in use.
var ErrSpent = errors.New("all memory for what is read past the page cache is in use")

// ChunksOptions are the limits of Chunks.
type ChunksOptions struct {
	// Bytes is how much memory they may take. Less than a chunk: nothing is read.
	Bytes int64
	// Read is told of every chunk that was read from the disk, on the goroutine that read
	// it. Nil: nobody is.
	Read func(took time.Duration, bytes int)
	Now  func() time.Time // Nil: time.Now. It tells durations
}

// Chunks read files past the page cache (File.ReadDirect) for those who are far behind: what
// nobody else will read soon takes the place of nothing there, and memory that the system
// has yet to get is not asked for. A chunk is read once for all who hold it at the same
// time, and stays until its memory is wanted for another.
//
//	file │ chunk i − 1 │ chunk i, held by its readers │ chunk i + 1, read ahead │
//
// Nobody waits for memory: when all of it is held, the error is ErrSpent. Who asks for a
// chunk that another goroutine is reading waits for that one, and so for the disk.
//
// Ownership: any goroutine. A Chunk belongs to all who hold it, and nobody writes to it.
type Chunks struct {
	o        ChunksOptions
	guard    sync.Mutex //nolint:forbidigo // taken twice for a mebibyte, and never while something is read
	limit    int        // chunks
	all      []*Chunk
	turn     uint64 // counts what is let go
	trimmed  uint64 // turn at the last Trim
	buffered atomic.Int64
}

// Chunk is a part of a file, in memory that is returned with Release.
type Chunk struct {
	of     *Chunks
	memory []byte

	// Under guard.
	key     chunkKey // its file is nil when nobody must find it
	holders int
	ahead   bool   // it was read ahead, and nobody has asked for it
	used    uint64 // turn in which it was let go

	// They stay while somebody holds it.
	index int64
	good  int           // bytes from its beginning that are not changed any more
	read  chan struct{} // closed once err stands
	err   error
}

// chunkKey is what is in a chunk. Two open files are never the same: who still holds a
// part of one that was closed cannot be found under another.
type chunkKey struct {
	file  File
	life  int64
	index int64
}

// NewChunks makes Chunks without memory yet. Close gives back what they took.
func NewChunks(o ChunksOptions) *Chunks {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Chunks{o: o, limit: int(o.Bytes / ChunkBytes)}
}

// Most is how many bytes one reader should ask for at a time, so that others have some.
func (c *Chunks) Most() int { return max(1, c.limit/8) * ChunkBytes }

// Buffered is how much memory there is now, in bytes.
func (c *Chunks) Buffered() int64 { return c.buffered.Load() }

// Hold is the chunk of that index of a file of which the first end bytes do not change any
// more. Who cuts a file, to append to it again, gives it another life. A file that is shorter
// than end fails with io.ErrUnexpectedEOF; one that cannot be read past the page cache with
// errors.ErrUnsupported.
//
// Ownership: the caller has the file open until Hold returns, and releases the chunk.
func (c *Chunks) Hold(f File, life, index, end int64) (*Chunk, error) {
	k, fresh, err := c.take(chunkKey{f, life, index}, end, false)
	if err != nil {
		return nil, err
	}
	if fresh {
		c.fill(k, f)
	}
	<-k.read
	if k.err != nil {
		err := k.err // the memory is another's afterwards
		k.Release()
		return nil, err
	}
	return k, nil
}

// Ahead reads a chunk that somebody will ask for soon, unless it is there, there is nothing
// in the file, or too little memory is free. Who does ask is told what went wrong.
func (c *Chunks) Ahead(f File, life, index, end int64) {
	if end <= index*ChunkBytes {
		return
	}
	k, fresh, err := c.take(chunkKey{f, life, index}, end, true)
	if err != nil || k == nil {
		return
	}
	if fresh {
		c.fill(k, f)
	}
	k.Release()
}

// take finds a chunk, or gets memory for it, which the caller fills when it is fresh. It is
// nil when it is to be read ahead and there is no need, or no room, for that.
func (c *Chunks) take(key chunkKey, end int64, ahead bool) (k *Chunk, fresh bool, err error) {
	good := int(min(ChunkBytes, end-key.index*ChunkBytes))
	if good <= 0 {
		return nil, false, fmt.Errorf("%w: chunk %d of %s lies behind its end at %d", io.ErrUnexpectedEOF, key.index, key.file.Name(), end)
	}
	c.guard.Lock()
	defer c.guard.Unlock()
	for _, k := range c.all {
		if k.key != key {
			continue
		}
		if k.good < good { // the file has grown since
			k.key = chunkKey{}
			break
		}
		if ahead {
			return nil, false, nil
		}
		k.ahead = false
		k.holders++
		return k, false, nil
	}
	if ahead && !c.spare() {
		return nil, false, nil
	}
	k = c.room()
	if k == nil {
		return nil, false, ErrSpent
	}
	k.key, k.holders, k.ahead = key, 1, ahead
	k.index, k.good, k.read, k.err = key.index, good, make(chan struct{}), nil
	return k, true, nil
}

// spare reports whether half of the memory is neither held nor read ahead.
func (c *Chunks) spare() bool {
	busy := 0
	for _, k := range c.all {
		if k.holders > 0 || k.ahead {
			busy++
		}
	}
	return busy < c.limit/2
}

// room is a chunk that nobody holds, nil when there is none. Nobody finds under its old key
// what will be in it.
func (c *Chunks) room() *Chunk {
	var oldest *Chunk
	for _, k := range c.all {
		if k.holders == 0 && (oldest == nil || k.before(oldest)) {
			oldest = k
		}
	}
	if len(c.all) < c.limit && (oldest == nil || oldest.key.file != nil) {
		if memory := chunkMemory(); memory != nil {
			oldest = &Chunk{of: c, memory: memory}
			c.all = append(c.all, oldest)
			c.buffered.Store(int64(len(c.all)) * ChunkBytes)
		}
	}
	return oldest
}

// before reports whether k is to be given up sooner than other: what nobody can find first,
// then what was let go first.
func (k *Chunk) before(other *Chunk) bool {
	if (k.key.file == nil) != (other.key.file == nil) {
		return k.key.file == nil
	}
	return k.used < other.used
}

// fill reads a chunk.
func (c *Chunks) fill(k *Chunk, f File) {
	if raceEnabled {
		for i := range k.memory {
			k.memory[i] = 0xDB
		}
	}
	began, from := c.o.Now(), k.index*ChunkBytes
	whole := (k.good + DirectAlign - 1) / DirectAlign * DirectAlign
	n, err := f.ReadDirect(k.memory[:whole], from)
	switch {
	case n >= k.good:
		err = nil
	case err == nil || errors.Is(err, io.EOF):
		err = fmt.Errorf("%w: %s ends at %d and should have %d bytes at least", io.ErrUnexpectedEOF, f.Name(), from+int64(n), from+int64(k.good))
	}
	if err != nil {
		k.err = err
		c.guard.Lock()
		k.key = chunkKey{}
		c.guard.Unlock()
	} else if c.o.Read != nil {
		c.o.Read(c.o.Now().Sub(began), k.good)
	}
	close(k.read)
}

// From is what the chunk has of its file from a position on, which lies in it.
func (k *Chunk) From(position int64) []byte {
	return k.memory[position%ChunkBytes : k.good : k.good]
}

// Index tells which chunk of its file it is (its holders).
func (k *Chunk) Index() int64 { return k.index }

// Release lets the chunk go. It is called once for each Hold, on any goroutine, and does not
// block.
func (k *Chunk) Release() {
	c := k.of
	c.guard.Lock()
	defer c.guard.Unlock()
	if k.holders--; k.holders < 0 {
		panic("diskio: chunk released more often than held")
	}
	c.turn++
	k.used = c.turn
	if k.holders == 0 && len(c.all) > c.limit {
		c.drop(func(one *Chunk) bool { return one == k })
	}
}

// Trim gives back the memory of what nobody has used since the last Trim.
func (c *Chunks) Trim() {
	c.guard.Lock()
	defer c.guard.Unlock()
	c.drop(func(k *Chunk) bool { return k.holders == 0 && k.used <= c.trimmed })
	c.trimmed = c.turn
}

// Close gives back all memory, that of chunks which somebody still holds when they are
// released.
func (c *Chunks) Close() {
	c.guard.Lock()
	defer c.guard.Unlock()
	c.limit = 0
	c.drop(func(k *Chunk) bool { return k.holders == 0 })
}

func (c *Chunks) drop(which func(*Chunk) bool) {
	kept := c.all[:0]
	for _, k := range c.all {
		if !which(k) {
			kept = append(kept, k)
			continue
		}
		freeChunkMemory(k.memory)
		k.memory = nil
	}
	clear(c.all[len(kept):])
	c.all = kept
	c.buffered.Store(int64(len(c.all)) * ChunkBytes)
}
