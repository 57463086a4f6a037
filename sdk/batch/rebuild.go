package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// AppendRecord encodes one record behind p, as it stands in a batch: its times and offsets
// count from those of the batch.
func AppendRecord(p []byte, timestampDelta int64, offsetDelta int32, key, value []byte, headers []Header) []byte {
	return appendRecord(p, 0, timestampDelta, offsetDelta, key, value, headers)
}

// SizeOfRecord is at most how many bytes AppendRecord appends.
func SizeOfRecord(key, value []byte, headers []Header) int {
	const most = 1 + 6*binary.MaxVarintLen64 // attributes; length, time, offset, key, value, headers
	size := most + len(key) + len(value)
	for i := range headers {
		size += 2*binary.MaxVarintLen32 + len(headers[i].Key) + len(headers[i].Value)
	}
	return size
}

// Plain decompresses the records of b, which must have passed Check, into dst: at most max
// bytes, else ErrSize. All of them are held; see Scan for looking through them.
//
// Ownership: the section is in dst, or where that had to grow. By how much is borrowed from
// m, and the caller returns it; on an error nothing is.
func Plain(dst []byte, b Batch, max int, m Memory) (section []byte, borrowed int, err error) {
	if b.Codec() == Snappy {
		return plainSnappy(dst, b[HeaderSize:], max, m)
	}
	out := &growing{bytes: dst[:0], max: max + 1, memory: m}
	p, err := decompress(b.Codec(), b[HeaderSize:], m)
	if err != nil {
		return nil, 0, err
	}
	defer p.done()
	for err == nil {
		if len(out.bytes) == cap(out.bytes) {
			err = out.reserve(1)
		}
		if err == nil {
			var n int
			n, err = p.Read(out.bytes[len(out.bytes):cap(out.bytes)])
			out.bytes = out.bytes[:len(out.bytes)+n]
		}
		if errors.Is(err, ErrGrown) || len(out.bytes) > max {
			err = ErrSize
		}
	}
	if !errors.Is(err, io.EOF) {
		out.giveBack()
		return nil, 0, err
	}
	return out.bytes, out.borrowed, nil
}

// plainSnappy is Plain for blocks that say how long they are: exactly that is borrowed, once,
// and there is no second copy of a block.
func plainSnappy(dst, src []byte, max int, m Memory) ([]byte, int, error) {
	size, err := snappyLen(src)
	if err != nil {
		return nil, 0, fmt.Errorf("decompress snappy: %w", err)
	}
	if size > max {
		return nil, 0, ErrSize
	}
	out := &growing{bytes: dst[:0], max: size, memory: m}
	if err := out.reserve(size); err != nil {
		return nil, 0, err
	}
	section, err := unsnap(out.bytes, src, max)
	if err != nil {
		out.giveBack()
		return nil, 0, err
	}
	return section, out.borrowed, nil
}

// RebuildOptions are what is new about a batch whose records were changed.
type RebuildOptions struct {
	Count   int32 // of the records that are left
	Largest int64 // their largest timestamp
	Codec   Codec
	Level   int // of the codec; zero and DefaultLevel: the codec's own default
	MaxSize int // most bytes of what comes out, else ErrGrown
	Memory  Memory
}

// Rebuild builds b again around other records, which are not compressed yet. Offsets,
// sequences, base timestamp and producer stay, whatever records are missing, as in a
// compacted log: the last offset delta still says how many the producer has sent. Without
// any record left it is as Empty.
//
// Ownership: as with Repack. What the result takes, cap of it, is borrowed from Memory.
func Rebuild(dst []byte, b Batch, section []byte, o RebuildOptions) (Batch, error) {
	if o.Count == 0 {
		section, o.Codec = nil, None
	}
	if o.Codec == None {
		return o.rebuildPlain(dst, b, section)
	}
	out := &growing{bytes: dst[:0], max: o.MaxSize, memory: o.Memory}
	err := out.lend(cap(dst))
	if err == nil {
		_, err = out.Write(b[:HeaderSize])
	}
	if err == nil {
		err = pack(out, section, o)
	}
	if err != nil {
		out.giveBack()
		return nil, err
	}
	return o.finish(out.bytes, b), nil
}

// rebuildPlain is Rebuild without compression. It allocates nothing when dst is large enough.
func (o *RebuildOptions) rebuildPlain(dst []byte, b Batch, section []byte) (Batch, error) {
	size := HeaderSize + len(section)
	if size > o.MaxSize {
		return nil, ErrGrown
	}
	room := max(cap(dst), size)
	if o.Memory != nil {
		if err := o.Memory.Borrow(room); err != nil {
			return nil, err
		}
	}
	if cap(dst) < size {
		dst = make([]byte, 0, room)
	}
	if o.Count == 0 {
		return Empty(dst, b), nil
	}
	return o.finish(append(append(dst[:0], b[:HeaderSize]...), section...), b), nil
}

// finish makes the copied header of b true of the records behind it.
func (o *RebuildOptions) finish(built, b Batch) Batch {
	binary.BigEndian.PutUint32(built[8:], uint32(len(built)-prefix))
	built[22] = built[22]&^attributeCodec | byte(o.Codec)
	if !b.LogAppendTime() {
		binary.BigEndian.PutUint64(built[35:], uint64(o.Largest))
	}
	binary.BigEndian.PutUint32(built[57:], uint32(o.Count))
	built.seal()
	return built
}

// pack writes the section compressed.
func pack(out *growing, section []byte, o RebuildOptions) error {
	level := o.Level
	if level == 0 {
		level = DefaultLevel
	}
	to, err := compress(out, o.Codec, level)
	if err != nil {
		return err
	}
	defer to.done()
	if _, err = to.Write(section); err == nil {
		err = to.Close()
	}
	if err != nil && out.refused != nil {
		return out.refused // however the codec words it
	}
	if err != nil {
		return fmt.Errorf("compress changed records with %s: %w", o.Codec, err)
	}
	return nil
}
