package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy/xerial"
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

// maxWindow bounds the memory that a zstd frame may ask for. Kafka's own producers
// stay below it at every level.
const maxWindow = 8 << 20

// Pools hold coders between calls: each has tables of tens of KiB to some MiB.
var (
	gzipReaders sync.Pool
	lz4Readers  = sync.Pool{New: func() any { return lz4.NewReader(nil) }}
	zstdReaders sync.Pool
	coders      sync.Map // (codec, level) → *sync.Pool of writers
)

// Compress appends src, compressed with c, to dst. Level is the codec's own scale, or
// DefaultLevel. Snappy is framed as Java's clients frame it, lz4 as LZ4 frames with
// blocks of 64 KiB.
func Compress(dst []byte, c Codec, level int, src []byte) ([]byte, error) {
	switch c {
	case None:
		return append(dst, src...), nil
	case Snappy:
		return append(dst, xerial.Encode(nil, src)...), nil
	case Gzip, LZ4, Zstd:
		return compressStream(dst, c, level, src)
	default:
		return dst, ErrCodec
	}
}

// resettable is what the stream writers of all codecs have in common.
type resettable interface {
	io.WriteCloser
	Reset(io.Writer)
}

type coder struct {
	codec Codec
	level int
}

func compressStream(dst []byte, c Codec, level int, src []byte) ([]byte, error) {
	found, ok := coders.Load(coder{c, level})
	if !ok {
		found, _ = coders.LoadOrStore(coder{c, level}, &sync.Pool{})
	}
	pool := found.(*sync.Pool)
	w, _ := pool.Get().(resettable)
	if w == nil {
		var err error
		if w, err = newWriter(c, level); err != nil {
			return dst, err
		}
	}
	out := bytes.NewBuffer(dst)
	w.Reset(out)
	if _, err := w.Write(src); err != nil {
		return dst, fmt.Errorf("compress with %s: %w", c, err)
	}
	if err := w.Close(); err != nil {
		return dst, fmt.Errorf("compress with %s: %w", c, err)
	}
	pool.Put(w)
	return out.Bytes(), nil
}

func newWriter(c Codec, level int) (resettable, error) {
	switch c {
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

// Decompress appends to dst what src holds, at most max bytes: ErrSize beyond that,
// whatever sizes src claims.
func Decompress(dst []byte, c Codec, src []byte, max int) ([]byte, error) {
	switch c {
	case None:
		if len(src) > max {
			return dst, ErrSize
		}
		return append(dst, src...), nil
	case Snappy:
		return unsnap(dst, src, max)
	case Gzip:
		r, _ := gzipReaders.Get().(*gzip.Reader)
		if r == nil {
			r = new(gzip.Reader)
		}
		defer gzipReaders.Put(r)
		if err := r.Reset(bytes.NewReader(src)); err != nil {
			return dst, fmt.Errorf("decompress gzip: %w", err)
		}
		return readBounded(dst, c, r, max)
	case LZ4:
		r := lz4Readers.Get().(*lz4.Reader)
		defer lz4Readers.Put(r)
		r.Reset(bytes.NewReader(src))
		return readBounded(dst, c, r, max)
	case Zstd:
		return unzstd(dst, src, max)
	default:
		return dst, ErrCodec
	}
}

func unzstd(dst, src []byte, max int) ([]byte, error) {
	r, _ := zstdReaders.Get().(*zstd.Decoder)
	if r == nil {
		var err error
		r, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return dst, fmt.Errorf("decompress zstd: %w", err)
		}
	}
	defer zstdReaders.Put(r)
	if err := r.Reset(bytes.NewReader(src)); err != nil {
		return dst, fmt.Errorf("decompress zstd: %w", err)
	}
	return readBounded(dst, Zstd, r, max)
}

// readBounded appends what r gives to dst, at most max bytes. Memory grows with what
// really arrives, so that a bomb costs no more than max.
func readBounded(dst []byte, c Codec, r io.Reader, max int) ([]byte, error) {
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
			return dst[:begin], fmt.Errorf("decompress %s: %w", c, err)
		}
	}
}

var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

// xerialHeader is the magic and two version numbers before the first chunk.
const xerialHeader = 16

// unsnap adds up the lengths that src claims before it takes memory for them. A chunk
// cannot expand to more than its length says, so the sum is exact.
func unsnap(dst, src []byte, max int) ([]byte, error) {
	total, err := snappyLen(src)
	if err != nil {
		return dst, err
	}
	if total > max {
		return dst, ErrSize
	}
	begin := len(dst)
	if cap(dst)-begin < total {
		dst = append(make([]byte, 0, begin+total), dst...)
	}
	room := dst[begin : begin : begin+total]
	if total == 0 {
		return dst, nil
	}
	out, err := xerial.DecodeCapped(room, src)
	if err != nil {
		return dst, fmt.Errorf("decompress snappy: %w", err)
	}
	return dst[:begin+len(out)], nil
}

func snappyLen(src []byte) (int, error) {
	if !bytes.HasPrefix(src, xerialMagic) {
		n, err := s2.DecodedLen(src)
		if err != nil {
			return 0, fmt.Errorf("decompress snappy: %w", err)
		}
		return n, nil
	}
	if len(src) < xerialHeader {
		return 0, fmt.Errorf("decompress snappy: %w", ErrShort)
	}
	total := 0
	for src = src[xerialHeader:]; len(src) > 0; {
		if len(src) < 4 {
			return 0, fmt.Errorf("decompress snappy: %w", ErrShort)
		}
		size := int(binary.BigEndian.Uint32(src))
		if size > len(src)-4 {
			return 0, fmt.Errorf("decompress snappy: %w", ErrShort)
		}
		n, err := s2.DecodedLen(src[4 : 4+size])
		if err != nil {
			return 0, fmt.Errorf("decompress snappy: %w", err)
		}
		total += n
		src = src[4+size:]
	}
	return total, nil
}
