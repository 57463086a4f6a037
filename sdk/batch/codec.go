package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Codec is how the records of a batch are compressed.
type Codec int8

// The codecs of the Kafka protocol, by their number in the attributes.
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// String is the name that Kafka's compression.type has for c.
func (c Codec) String() string {
	if c < 0 || int(c) >= len(codecNames) {
		return fmt.Sprintf("codec %d", int8(c))
	}
	return codecNames[c]
}

// ParseCodec finds a codec by its name in compression.type.
func ParseCodec(name string) (Codec, error) {
	for i, known := range codecNames {
		if name == known {
			return Codec(i), nil
		}
	}
	return None, fmt.Errorf("unknown codec %q: use none, gzip, snappy, lz4 or zstd", name)
}

// DefaultLevel asks Compress for the codec's own default.
const DefaultLevel = -1

// coders hold writers between calls, as plains hold readers.
var coders sync.Map // coder → *sync.Pool

// Compress appends src, compressed with c, to dst. Level is the codec's own scale, or
// DefaultLevel. Snappy is framed as Java's clients frame it, lz4 as LZ4 frames with
// blocks of 64 KiB.
func Compress(dst []byte, c Codec, level int, src []byte) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	w, err := compress(out, c, level)
	if err != nil {
		return dst, err
	}
	defer w.done()
	if _, err := w.Write(src); err != nil {
		return dst, fmt.Errorf("compress with %s: %w", c, err)
	}
	if err := w.Close(); err != nil {
		return dst, fmt.Errorf("compress with %s: %w", c, err)
	}
	return out.Bytes(), nil
}

var xerialBegin = append(slices.Clone(xerialMagic), 0, 0, 0, 1, 0, 0, 0, 1)

// resettable is what the stream writers of all codecs have in common.
type resettable interface {
	io.WriteCloser
	Reset(io.Writer)
}

type coder struct {
	codec Codec
	level int
}

// packer is a writer from the pool.
type packer struct {
	resettable
	pool *sync.Pool
}

// compress begins to write what is compressed to w.
//
// Ownership: of who asked, until done.
func compress(w io.Writer, c Codec, level int) (packer, error) {
	if c < None || c > Zstd {
		return packer{}, ErrCodec
	}
	found, ok := coders.Load(coder{c, level})
	if !ok {
		found, _ = coders.LoadOrStore(coder{c, level}, &sync.Pool{})
	}
	p := packer{pool: found.(*sync.Pool)}
	p.resettable, _ = p.pool.Get().(resettable)
	if p.resettable == nil {
		var err error
		if p.resettable, err = newWriter(c, level); err != nil {
			return packer{}, err
		}
	}
	p.Reset(w)
	return p, nil
}

// done gives the writer back, whatever it has come to.
func (p packer) done() {
	p.Reset(io.Discard)
	p.pool.Put(p.resettable)
}

func newWriter(c Codec, level int) (resettable, error) {
	switch c {
	case None:
		return &asIs{}, nil
	case Snappy:
		return &xerialWriter{}, nil
	case Gzip:
		w, err := gzip.NewWriterLevel(nil, level)
		if err != nil {
			return nil, fmt.Errorf("gzip level %d: %w", level, err)
		}
		return w, nil
	case LZ4:
		w := lz4.NewWriter(nil)
		fast := lz4.Fast
		if level > 1 {
			fast = lz4.CompressionLevel(1 << (8 + min(level, 9)))
		}
		if err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.CompressionLevelOption(fast)); err != nil {
			return nil, fmt.Errorf("lz4 level %d: %w", level, err)
		}
		return w, nil
	default:
		speed := zstd.SpeedDefault
		if level != DefaultLevel {
			speed = zstd.EncoderLevelFromZstd(level)
		}
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	}
}

// asIs compresses nothing.
type asIs struct{ io.Writer }

func (a *asIs) Reset(w io.Writer) { a.Writer = w }

// Close has nothing left to write.
func (a *asIs) Close() error { return nil }

// xerialBlock is what Java's clients compress at a time.
const xerialBlock = 32 << 10

// xerialWriter writes snappy in the framing of Java's clients.
type xerialWriter struct {
	to     io.Writer
	block  [xerialBlock]byte
	filled int
	packed []byte // one block, behind its length
	begun  bool
}

func (w *xerialWriter) Reset(to io.Writer) { w.to, w.filled, w.begun = to, 0, false }

func (w *xerialWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := copy(w.block[w.filled:], rest)
		w.filled += n
		rest = rest[n:]
		if w.filled == len(w.block) {
			if err := w.flush(); err != nil {
				return len(p) - len(rest), err
			}
		}
	}
	return len(p), nil
}

// Close writes what is left.
func (w *xerialWriter) Close() error { return w.flush() }

func (w *xerialWriter) flush() error {
	if !w.begun {
		w.begun = true
		if _, err := w.to.Write(xerialBegin); err != nil {
			return err
		}
	}
	if w.filled == 0 {
		return nil
	}
	if w.packed == nil {
		w.packed = make([]byte, 4+s2.MaxEncodedLen(xerialBlock))
	}
	block := s2.EncodeSnappy(w.packed[4:], w.block[:w.filled])
	binary.BigEndian.PutUint32(w.packed, uint32(len(block)))
	w.filled = 0
	_, err := w.to.Write(w.packed[:4+len(block)])
	return err
}

// Decompress appends to dst what src holds, at most max bytes: ErrSize beyond that,
// whatever sizes src claims. All of it is held; see Scan for looking through it.
func Decompress(dst []byte, c Codec, src []byte, max int) ([]byte, error) {
	if c == Snappy {
		return unsnap(dst, src, max)
	}
	p, err := decompress(c, src, nil)
	if err != nil {
		return dst, err
	}
	defer p.done()
	return readBounded(dst, p, max)
}

// readBounded appends what r gives to dst, at most max bytes. Memory grows with what
// really arrives, so that a bomb costs no more than max.
func readBounded(dst []byte, r io.Reader, max int) ([]byte, error) {
	begin := len(dst)
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		room := dst[len(dst):min(cap(dst), begin+max+1)]
		n, err := r.Read(room)
		dst = dst[:len(dst)+n]
		switch {
		case len(dst)-begin > max:
			return dst[:begin], ErrSize
		case errors.Is(err, io.EOF):
			return dst, nil
		case err != nil:
			return dst[:begin], err
		}
	}
}

// unsnap adds up the lengths that src claims before it takes memory for them.
func unsnap(dst, src []byte, max int) ([]byte, error) {
	begin, framed := len(dst), bytes.HasPrefix(src, xerialMagic)
	rest := src
	if framed {
		if len(src) < xerialHeader {
			return dst, fmt.Errorf("decompress snappy: %w", ErrShort)
		}
		rest = src[xerialHeader:]
	}
	for len(rest) > 0 {
		block, after, err := cutBlock(rest, framed)
		if err != nil {
			return dst[:begin], fmt.Errorf("decompress snappy: %w", err)
		}
		size, err := blockLen(block)
		if err != nil {
			return dst[:begin], fmt.Errorf("decompress snappy: %w", err)
		}
		if len(dst)-begin+size > max {
			return dst[:begin], ErrSize
		}
		dst = slices.Grow(dst, size)
		if _, err := s2.Decode(dst[len(dst):len(dst)+size], block); err != nil {
			return dst[:begin], fmt.Errorf("decompress snappy: %w", err)
		}
		dst, rest = dst[:len(dst)+size], after
	}
	return dst, nil
}
