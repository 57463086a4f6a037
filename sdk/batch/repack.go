package batch

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrGrown says that a batch became larger than it may once it was compressed again.
var ErrGrown = errors.New("record batch is larger than allowed once it is compressed again")

// RepackOptions are how a batch is compressed again.
type RepackOptions struct {
	Codec   Codec
	Level   int   // the codec's own scale, or DefaultLevel
	Keys    bool  // each record must have one (else ErrKey)
	Plain   int64 // most bytes of the records decompressed, else ErrSize. Zero: any
	MaxSize int   // most bytes of what comes out, else ErrGrown
	Memory  Memory
}

// Repack builds b, which must have passed Check, again with another codec and all else
// unchanged. Its records are checked as CheckRecords does on their way from one codec to
// the other, of which only windows are in memory. The result, but not its growth beyond
// cap(dst), replaces what is in dst.
//
// Ownership: what the result takes, cap of it, is borrowed from Memory; the caller returns
// it. On an error nothing is.
func Repack(dst []byte, b Batch, o RepackOptions) (Batch, error) {
	out := &growing{bytes: dst[:0], max: o.MaxSize, memory: o.Memory}
	err := out.lend(cap(dst))
	if err == nil {
		err = repack(out, b, o)
	}
	if err != nil {
		out.giveBack()
		return nil, err
	}
	changed := Batch(out.bytes)
	binary.BigEndian.PutUint32(changed[8:], uint32(len(changed)-prefix))
	changed[22] = changed[22]&^attributeCodec | byte(o.Codec)
	changed.seal()
	return changed, nil
}

func repack(out *growing, b Batch, o RepackOptions) error {
	if _, err := out.Write(b[:HeaderSize]); err != nil {
		return err
	}
	to, err := compress(out, o.Codec, o.Level)
	if err != nil {
		return err
	}
	defer to.done()
	records, err := Scan(b, ScanOptions{Max: o.Plain, Memory: o.Memory, copy: to})
	if err != nil {
		return err
	}
	defer records.Close()
	err = records.Check(o.Keys)
	if err == nil {
		err = to.Close()
	}
	if err != nil && out.refused != nil {
		return out.refused // however the codec words it
	}
	if err != nil {
		return fmt.Errorf("compress again with %s: %w", o.Codec, err)
	}
	return nil
}

// growing is memory that grows up to a size, and is borrowed.
type growing struct {
	bytes    []byte
	max      int
	memory   Memory
	borrowed int
	refused  error
}

func (g *growing) lend(more int) error {
	if g.memory != nil && more > 0 {
		if err := g.memory.Borrow(more); err != nil {
			return err
		}
		g.borrowed += more
	}
	return nil
}

func (g *growing) giveBack() {
	if g.borrowed > 0 {
		g.memory.Return(g.borrowed)
		g.borrowed = 0
	}
}

// Write appends p.
func (g *growing) Write(p []byte) (int, error) {
	if err := g.reserve(len(p)); err != nil {
		return 0, err
	}
	g.bytes = append(g.bytes, p...)
	return len(p), nil
}

// reserve makes room for n bytes more.
func (g *growing) reserve(n int) error {
	need := len(g.bytes) + n
	if need > g.max {
		g.refused = ErrGrown
		return g.refused
	}
	if need <= cap(g.bytes) {
		return nil
	}
	size := min(max(2*cap(g.bytes), need, 4<<10), g.max)
	if err := g.lend(size - cap(g.bytes)); err != nil {
		g.refused = err
		return err
	}
	bigger := make([]byte, len(g.bytes), size)
	copy(bigger, g.bytes)
	g.bytes = bigger
	return nil
}
