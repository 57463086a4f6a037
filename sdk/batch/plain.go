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
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Memory lends what records need once they are decompressed, where a codec or a caller
// must hold more of them than a small window. Any goroutine.
type Memory interface {
	// Borrow asks for so many bytes. An error refuses them; it may wait before.
	Borrow(bytes int) error
	Return(bytes int)
}

// maxWindow bounds the memory that a zstd frame may ask for. A Java producer stays below
// it up to level 19.
const maxWindow = 8 << 20

const (
	// freeChunk is how large a block of snappy may become without anybody being asked for
	// memory. Java's clients make blocks of 32 KiB.
	freeChunk = 64 << 10
	// keptChunk is how large a block may be whose memory serves the next one: what a mebibyte
	// of snappy can be.
	keptChunk = 22 << 20
	// snappyRatio is more than any block of snappy can expand: three bytes copy 64 at most.
	snappyRatio = 22
)

// A plain reads what compressed records hold through a window, whose size depends on the
// codec alone: 32 KiB for gzip, a block of at most 8 MiB for lz4, maxWindow for zstd, and
// for snappy its largest block, which is borrowed.
//
// Ownership: of who took it, until done, which the compressed bytes must outlive.
type plain struct {
	codec  Codec
	source bytes.Reader
	gzip   gzip.Reader
	lz4    *lz4.Reader
	zstd   *zstd.Decoder
	snappy snappyReader
	reader io.Reader
}

// plains hold readers between calls: each has tables of tens of KiB to some MiB.
var plains [Zstd + 1]sync.Pool

// decompress begins to read what src holds.
func decompress(c Codec, src []byte, m Memory) (*plain, error) {
	if c < None || c > Zstd {
		return nil, ErrCodec
	}
	p, _ := plains[c].Get().(*plain)
	if p == nil {
		p = &plain{codec: c}
	}
	if err := p.begin(src, m); err != nil {
		p.done()
		return nil, fmt.Errorf("decompress %s: %w", c, err)
	}
	return p, nil
}

func (p *plain) begin(src []byte, m Memory) error {
	p.source.Reset(src)
	switch p.codec {
	case Gzip:
		p.reader = &p.gzip
		return p.gzip.Reset(&p.source)
	case Snappy:
		p.reader = &p.snappy
		return p.snappy.begin(src, m)
	case LZ4:
		if p.lz4 == nil {
			p.lz4 = lz4.NewReader(nil)
		}
		p.lz4.Reset(&p.source)
		p.reader = p.lz4
	case Zstd:
		if p.zstd == nil {
			var err error
			p.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
			if err != nil {
				return err
			}
		}
		p.reader = p.zstd
		return p.zstd.Reset(&p.source)
	default:
		p.reader = &p.source
	}
	return nil
}

// Read reads on.
func (p *plain) Read(to []byte) (int, error) {
	n, err := p.reader.Read(to)
	if err != nil && !errors.Is(err, io.EOF) {
		var refused *refusal
		if errors.As(err, &refused) {
			return n, refused.error
		}
		return n, fmt.Errorf("decompress %s: %w", p.codec, err)
	}
	return n, err
}

// done gives the reader back.
func (p *plain) done() {
	p.source.Reset(nil)
	p.snappy.end()
	p.reader = nil
	plains[p.codec].Put(p)
}

// refusal is an error of a Memory, which says itself what it is about.
type refusal struct{ error }

// snappyReader reads blocks of snappy: those of Java's framing, or one alone.
type snappyReader struct {
	rest     []byte // of the compressed bytes
	framed   bool
	chunk    []byte // of one block
	at       int    // what of it was read
	memory   Memory
	borrowed int
}

var (
	xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}
	errBlock    = errors.New("a snappy block claims more than it can hold")
)

// xerialHeader is the magic and two version numbers before the first chunk.
const xerialHeader = 16

func (s *snappyReader) begin(src []byte, m Memory) error {
	s.rest, s.framed, s.memory, s.chunk, s.at = src, bytes.HasPrefix(src, xerialMagic), m, s.chunk[:0], 0
	if !s.framed {
		return nil
	}
	if len(src) < xerialHeader {
		return ErrShort
	}
	s.rest = src[xerialHeader:]
	return nil
}

// Read reads on, and decodes the next block when it has to.
func (s *snappyReader) Read(to []byte) (int, error) {
	for s.at == len(s.chunk) {
		if len(s.rest) == 0 {
			return 0, io.EOF
		}
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(to, s.chunk[s.at:])
	s.at += n
	return n, nil
}

func (s *snappyReader) next() error {
	block, rest, err := cutBlock(s.rest, s.framed)
	if err != nil {
		return err
	}
	size, err := blockLen(block)
	if err != nil {
		return err
	}
	s.giveBack()
	if size > freeChunk && s.memory != nil {
		if err := s.memory.Borrow(size); err != nil {
			return &refusal{err}
		}
		s.borrowed = size
	}
	if cap(s.chunk) < size {
		s.chunk = make([]byte, size)
	}
	s.chunk, err = s2.Decode(s.chunk[:size], block)
	s.rest, s.at = rest, 0
	return err
}

func (s *snappyReader) giveBack() {
	if s.borrowed > 0 {
		s.memory.Return(s.borrowed)
		s.borrowed = 0
	}
}

// end forgets what was read.
func (s *snappyReader) end() {
	s.giveBack()
	s.rest, s.memory = nil, nil
	if cap(s.chunk) > keptChunk {
		s.chunk = nil
	}
	s.chunk, s.at = s.chunk[:0], 0
}

// cutBlock takes the first block of snappy off src.
func cutBlock(src []byte, framed bool) (block, rest []byte, err error) {
	if !framed {
		return src, nil, nil
	}
	if len(src) < 4 {
		return nil, nil, ErrShort
	}
	size := uint64(binary.BigEndian.Uint32(src))
	if size > uint64(len(src)-4) {
		return nil, nil, ErrShort
	}
	return src[4 : 4+size], src[4+size:], nil
}

// snappyLen is how long all blocks of src are together once they are decompressed, by what
// they claim.
func snappyLen(src []byte) (size int, err error) {
	framed := bytes.HasPrefix(src, xerialMagic)
	if framed {
		if len(src) < xerialHeader {
			return 0, ErrShort
		}
		src = src[xerialHeader:]
	}
	for len(src) > 0 {
		var block []byte
		if block, src, err = cutBlock(src, framed); err != nil {
			return 0, err
		}
		n, err := blockLen(block)
		if err != nil {
			return 0, err
		}
		size += n
	}
	return size, nil
}

// blockLen is how long a block of snappy is once it is decompressed. A claim that no such
// block can make good is refused before there is memory for it.
func blockLen(block []byte) (int, error) {
	n, err := s2.DecodedLen(block)
	if err == nil && n > snappyRatio*len(block) {
		err = errBlock
	}
	return n, err
}
