package diskio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strings"
)

// The layout is drawn in FORMAT.md.
const (
	journalPage     = 4096 // blocks begin at its multiples
	journalVersion  = 1
	journalHeadSize = 64 // of a file's header
	blockHeadSize   = 56
	entryHeadSize   = 32
	maxBlockName    = 512      // bytes of a name
	maxBlockSize    = 16 << 20 // a length beyond is none
)

const (
	fileMagic  = "MRJF"
	blockMagic = "MRJB"
)

// Kinds of entries.
const (
	entryData   = 1 // these bytes belong there
	entryForget = 2 // whatever stands before this of the file is not to be written any more
)

var (
	errNoBlock     = errors.New("it does not begin as a block")
	errBlockCRC    = errors.New("its checksum does not fit")
	errBlockLength = errors.New("its length makes no sense")
	errEntry       = errors.New("an entry makes no sense")
	castagnoli     = crc32.MakeTable(crc32.Castagnoli)
)

// fileHead is what a file of the journal begins with.
type fileHead struct {
	id    [16]byte
	epoch uint64
	first uint64 // sequence number of the first block
	tail  uint64 // lowest epoch that is needed
	size  int64
}

func (h *fileHead) encode(p []byte) {
	clear(p[:journalPage])
	copy(p, fileMagic)
	binary.BigEndian.PutUint32(p[8:], journalVersion)
	binary.BigEndian.PutUint32(p[12:], journalPage)
	copy(p[16:], h.id[:])
	binary.BigEndian.PutUint64(p[32:], h.epoch)
	binary.BigEndian.PutUint64(p[40:], h.first)
	binary.BigEndian.PutUint64(p[48:], h.tail)
	binary.BigEndian.PutUint64(p[56:], uint64(h.size))
	binary.BigEndian.PutUint32(p[4:], crc32.Checksum(p[8:journalHeadSize], castagnoli))
}

// decodeHead reads a header. blank says that the file was never used.
func decodeHead(p []byte) (h fileHead, blank bool, err error) {
	if len(p) < journalHeadSize {
		return h, false, fmt.Errorf("%d bytes are no header", len(p))
	}
	if [journalHeadSize]byte(p) == [journalHeadSize]byte{} {
		return h, true, nil
	}
	if string(p[:4]) != fileMagic || binary.BigEndian.Uint32(p[4:]) != crc32.Checksum(p[8:journalHeadSize], castagnoli) {
		return h, false, errors.New("the header's checksum does not fit")
	}
	if v, page := binary.BigEndian.Uint32(p[8:]), binary.BigEndian.Uint32(p[12:]); v != journalVersion || page != journalPage {
		return h, false, fmt.Errorf("version %d with blocks of %d bytes, this release knows version %d with %d", v, page, journalVersion, journalPage)
	}
	h = fileHead{
		id: [16]byte(p[16:]), epoch: binary.BigEndian.Uint64(p[32:]), first: binary.BigEndian.Uint64(p[40:]),
		tail: binary.BigEndian.Uint64(p[48:]), size: int64(binary.BigEndian.Uint64(p[56:])),
	}
	if h.epoch == 0 || h.tail == 0 || h.tail > h.epoch {
		return h, false, fmt.Errorf("the header says epoch %d, needed from %d", h.epoch, h.tail)
	}
	return h, false, nil
}

// blockHead is what one round of the journal begins with.
type blockHead struct {
	length int // bytes, without what fills the last page
	count  int // entries
	id     [16]byte
	epoch  uint64
	number uint64 // one more than the block before has, in this file or another
	tail   uint64
}

// seal completes a block whose entries stand in p behind the place of the head.
func (b *blockHead) seal(p []byte) {
	copy(p, blockMagic)
	binary.BigEndian.PutUint32(p[8:], uint32(len(p)))
	binary.BigEndian.PutUint32(p[12:], uint32(b.count))
	copy(p[16:], b.id[:])
	binary.BigEndian.PutUint64(p[32:], b.epoch)
	binary.BigEndian.PutUint64(p[40:], b.number)
	binary.BigEndian.PutUint64(p[48:], b.tail)
	binary.BigEndian.PutUint32(p[4:], crc32.Checksum(p[8:], castagnoli))
}

// decodeBlockHead reads the head without looking at the checksum.
func decodeBlockHead(p []byte) (b blockHead, err error) {
	if len(p) < blockHeadSize || string(p[:4]) != blockMagic {
		return b, errNoBlock
	}
	b = blockHead{
		length: int(binary.BigEndian.Uint32(p[8:])), count: int(binary.BigEndian.Uint32(p[12:])), id: [16]byte(p[16:]),
		epoch: binary.BigEndian.Uint64(p[32:]), number: binary.BigEndian.Uint64(p[40:]), tail: binary.BigEndian.Uint64(p[48:]),
	}
	if b.length < blockHeadSize || b.length > maxBlockSize {
		return b, errBlockLength
	}
	return b, nil
}

// entry is one range of bytes.
type entry struct {
	kind     byte
	tag      [16]byte
	position int64
	name     []byte // slashes between its parts
	data     []byte
}

// decodeBlock reads a whole block, checks it, and calls each for its entries, which lie in
// p. After an error each was not called for any of them.
func decodeBlock(p []byte, each func(entry)) (blockHead, error) {
	b, err := decodeBlockHead(p)
	if err != nil {
		return b, err
	}
	if b.length > len(p) {
		return b, errBlockLength
	}
	p = p[:b.length]
	if binary.BigEndian.Uint32(p[4:]) != crc32.Checksum(p[8:], castagnoli) {
		return b, errBlockCRC
	}
	rest := p[blockHeadSize:]
	for range b.count {
		_, after, err := decodeEntry(rest)
		if err != nil {
			return b, err
		}
		rest = after
	}
	if len(rest) != 0 {
		return b, fmt.Errorf("%w: %d bytes are left over", errEntry, len(rest))
	}
	rest = p[blockHeadSize:]
	for range b.count {
		e, after, _ := decodeEntry(rest)
		each(e)
		rest = after
	}
	return b, nil
}

// appendEntry appends an entry up to its name, which follows, and the data.
func appendEntry(p []byte, e *entry, name, size int) []byte {
	p = append(p, e.kind, 0)
	p = binary.BigEndian.AppendUint16(p, uint16(name))
	p = binary.BigEndian.AppendUint32(p, uint32(size))
	p = binary.BigEndian.AppendUint64(p, uint64(e.position))
	return append(p, e.tag[:]...)
}

func decodeEntry(p []byte) (e entry, rest []byte, err error) {
	if len(p) < entryHeadSize {
		return e, nil, errEntry
	}
	name, size := int(binary.BigEndian.Uint16(p[2:])), int64(binary.BigEndian.Uint32(p[4:]))
	e = entry{kind: p[0], position: int64(binary.BigEndian.Uint64(p[8:])), tag: [16]byte(p[16:])}
	rest = p[entryHeadSize:]
	if name > maxBlockName || int64(len(rest)) < int64(name)+size || e.position < 0 || e.position+size < 0 {
		return e, nil, errEntry
	}
	e.name, e.data, rest = rest[:name], rest[name:int64(name)+size], rest[int64(name)+size:]
	if e.kind != entryData && e.kind != entryForget || !journalled(string(e.name)) {
		return e, nil, errEntry
	}
	return e, rest, nil
}

// journalled reports whether a name may stand in the journal: a file in a folder of the
// disk's own, and no way out of it.
func journalled(name string) bool {
	folder, file, ok := strings.Cut(name, "/")
	return ok && len(name) <= maxBlockName && folder != "" && file != "" && !strings.Contains(file, "/") &&
		filepath.IsLocal(filepath.FromSlash(name)) && folder != "." && file != "." && file != ".." && folder != journalFolder
}

// page rounds up to whole pages.
func page(n int) int { return (n + journalPage - 1) / journalPage * journalPage }
