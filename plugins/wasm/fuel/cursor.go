package fuel

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrRefused is what every refusal of a module wraps.
var ErrRefused = errors.New("the module is refused")

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
}

// cursor reads the binary format. After the first mistake it reads zeros, and err says what
// it was.
type cursor struct {
	p   []byte
	at  int
	err error
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = refused(format, args...)
	}
	c.at = len(c.p)
}

func (c *cursor) more() bool { return c.err == nil && c.at < len(c.p) }

func (c *cursor) byte() byte {
	if c.at >= len(c.p) {
		c.fail("it ends in the middle of byte %d", c.at)
		return 0
	}
	b := c.p[c.at]
	c.at++
	return b
}

// u32 reads an unsigned number of at most five bytes.
func (c *cursor) u32() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b := c.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if v > 1<<32-1 {
				break
			}
			return uint32(v)
		}
	}
	c.fail("a number at byte %d is too long", c.at)
	return 0
}

// signed reads a signed number of at most so many bytes.
func (c *cursor) signed(most int) (v int64) {
	for n := range most {
		b := c.byte()
		v |= int64(b&0x7f) << (7 * n)
		if b < 0x80 {
			unused := max(0, 64-7*(n+1))
			return v << unused >> unused
		}
	}
	c.fail("a number at byte %d is too long", c.at)
	return 0
}

func (c *cursor) take(n uint32) []byte {
	if c.err != nil || uint64(n) > uint64(len(c.p)-c.at) {
		c.fail("%d bytes are promised at byte %d and are not there", n, c.at)
		return nil
	}
	c.at += int(n)
	return c.p[c.at-int(n) : c.at]
}

// count reads how many of something follow, of which there may be only so many.
func (c *cursor) count(what string, most uint32) uint32 {
	n := c.u32()
	if n > most {
		c.fail("it has %d %s, more than %d", n, what, most)
		return 0
	}
	return n
}

func (c *cursor) name() string { return string(c.take(c.count("bytes in a name", maxName))) }

func appendU32(p []byte, v uint32) []byte { return binary.AppendUvarint(p, uint64(v)) }

// appendSigned appends v as the binary format has signed numbers, which is not as
// encoding/binary has them.
func appendSigned(p []byte, v int64) []byte {
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(p, b)
		}
		p = append(p, b|0x80)
	}
}
