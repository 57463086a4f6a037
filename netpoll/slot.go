package netpoll

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/valyala/bytebufferpool"
)

// Releaser owns memory or a file range that a slot sends.
type Releaser interface {
	// Release is called exactly once, on the connection's loop (on the goroutine that
	// completes the slot, if the server is closed by then). It must not block.
	Release()
}

// Slot is the place of one reply in its connection's order.
//
// Ownership: of who reserved it, one goroutine at a time, until Send or Discard; every
// slot must see one of the two, whether its connection lives or not.
type Slot struct {
	node   node
	conn   *Conn
	next   *Slot // the next request's; the next free one
	held   bool  // neither sent nor discarded
	done   bool  // complete, as the loop knows
	gone   bool  // discarded
	holds  bool  // no frame is delivered until it is complete
	prefix [4]byte
	buffer *bytebufferpool.ByteBuffer // what was copied; nil: nothing
	from   int                        // first copied byte that no part covers
	size   int                        // bytes to send, prefix included
	parts  []part                     // what is sent, in order; the prefix is the first
	at     int                        // first part not wholly sent
	few    [4]part
	round  uint64 // of the loop, when it was reserved
}

// part is a piece of a reply. As it is sent, its beginning is cut off.
type part struct {
	kind   kind
	bytes  []byte // copied: from Send on
	fd     int
	offset int64 // file: where the rest begins; copied: first byte in the buffer
	left   int   // file: bytes; copied: length
	owner  Releaser
}

type kind uint8

const (
	copied   kind = iota // in the slot's buffer
	attached             // memory of others
	file
)

// replies holds the memory that replies are built in.
var replies bytebufferpool.Pool

// Hold has no further frame of the connection delivered until the slot is complete, so that the request after
// finds what this one changes; but frames that pass says yes to are let through, nil: none. The first that does not
// pass, and all behind it, wait until no slot holds any more. Of several slots the last says what passes. It is
// beside Pause and PauseFor. On the loop only, by who reserved the slot.
func (s *Slot) Hold(pass func(frame []byte) bool) {
	c := s.conn
	if c.closed {
		return
	}
	if !s.holds {
		s.holds = true
		c.holding++
	}
	if c.passes = pass; pass == nil {
		c.stop |= stopReply
	}
}

// Conn is the connection that the slot answers on.
func (s *Slot) Conn() *Conn { return s.conn }

// Buffer returns what was copied into the slot, with room for n bytes more. Append to it
// and hand the result to SetBuffer.
func (s *Slot) Buffer(n int) []byte {
	if s.buffer == nil {
		s.buffer = replies.Get()
	}
	s.buffer.B = slices.Grow(s.buffer.B, n)
	return s.buffer.B
}

// SetBuffer takes what append made of Buffer.
//
// Ownership: p becomes pooled memory, to be used by other replies after this one.
func (s *Slot) SetBuffer(p []byte) {
	if len(p) < s.from {
		panic(fmt.Sprintf("netpoll: slot buffer cut to %d bytes, %d are in place", len(p), s.from))
	}
	if s.buffer == nil {
		s.buffer = replies.Get()
	}
	s.buffer.B = p
}

// Write copies p behind what is there.
func (s *Slot) Write(p []byte) { s.SetBuffer(append(s.Buffer(len(p)), p...)) }

// Attach puts p behind what is there, without copying it. A nil owner needs no release.
// p may be a mapped file: nothing here looks at it but the kernel.
//
// Ownership: p is the slot's, and must not change, until owner is released.
func (s *Slot) Attach(p []byte, owner Releaser) {
	s.cover()
	s.parts = append(s.parts, part{kind: attached, bytes: p, owner: owner})
}

// AttachFile puts n bytes of a file behind what is there. They go from page cache to
// socket: what is not in the page cache would be read on the loop, which all its
// connections wait for.
//
// Ownership: the file stays open, and the range as it is, until owner is released.
func (s *Slot) AttachFile(fd int, offset int64, n int, owner Releaser) {
	if fd < 0 || offset < 0 || n < 0 {
		panic(fmt.Sprintf("netpoll: attach of descriptor %d, offset %d, %d bytes", fd, offset, n))
	}
	s.cover()
	s.parts = append(s.parts, part{kind: file, fd: fd, offset: offset, left: n, owner: owner})
}

// cover makes a part of what was copied since the last one.
func (s *Slot) cover() {
	if s.buffer != nil && len(s.buffer.B) > s.from {
		s.parts = append(s.parts, part{kind: copied, offset: int64(s.from), left: len(s.buffer.B) - s.from})
		s.from = len(s.buffer.B)
	}
}

// Send completes the reply. It leaves when it is the oldest of its connection. A reply of 2 GiB or more
// cannot be sent: it closes the connection with ErrReplyTooLarge.
//
// Ownership: the slot is the loop's from here on.
func (s *Slot) Send() {
	s.cover()
	size := 0
	for i := 1; i < len(s.parts); i++ {
		p := &s.parts[i]
		switch p.kind {
		case copied:
			p.bytes = s.buffer.B[p.offset:][:p.left]
			size += p.left
		case attached:
			size += len(p.bytes)
		case file:
			size += p.left
		}
	}
	if size > math.MaxInt32 {
		s.conn.Close(ErrReplyTooLarge)
		s.complete(true)
		return
	}
	binary.BigEndian.PutUint32(s.prefix[:], uint32(size))
	s.parts[0].bytes = s.prefix[:]
	s.size = size + len(s.prefix)
	s.conn.waiting.Add(int64(s.size))
	s.complete(false)
}

// Discard completes the slot without a reply.
//
// Ownership: as Send.
func (s *Slot) Discard() {
	s.complete(true)
}

func (s *Slot) complete(gone bool) {
	if !s.held {
		panic("netpoll: slot completed twice")
	}
	s.held, s.gone = false, gone
	if !s.conn.loop.push(&s.node) {
		s.empty()
	}
}

// arrive notes that the slot is complete.
func (s *Slot) arrive(l *Loop) {
	if s.round == l.round {
		l.owed--
	}
	c := s.conn
	if c.closed {
		l.recycle(s)
		return
	}
	s.done = true
	if s.gone {
		s.empty()
	}
	c.bound()
	if c.head.done && !c.blocked {
		l.touchLater(c)
	}
	if s.holds {
		s.holds = false
		c.letGo()
	}
}

// letGo counts down the slots that hold; after the last, frames are delivered again.
func (c *Conn) letGo() {
	if c.holding--; c.holding > 0 {
		return
	}
	c.passes = nil
	if c.stop&stopReply != 0 {
		c.resume(stopReply)
	}
}

// empty releases what is not yet sent.
func (s *Slot) empty() {
	for i := s.at; i < len(s.parts); i++ {
		s.parts[i].release()
	}
	clear(s.parts)
	if cap(s.parts) > manyParts {
		s.parts = s.few[:0]
	}
	s.parts, s.at, s.from, s.size = s.parts[:0], 0, 0, 0
	if s.buffer != nil {
		if poison {
			spoil(s.buffer.B)
		}
		replies.Put(s.buffer)
		s.buffer = nil
	}
}

func (p *part) release() {
	if p.owner != nil {
		p.owner.Release()
	}
	*p = part{}
}

const (
	maxFree   = 16 << 10 // slots that a loop keeps for reuse
	manyParts = 256      // a slot that had more does not keep their list
)

// reserve returns a slot, free or new.
func (l *Loop) reserve(c *Conn) *Slot {
	s := l.free
	if s == nil {
		s = new(Slot)
		s.node.item = s
		s.parts = s.few[:0]
	} else {
		l.free = s.next
		l.freeCount--
	}
	s.conn, s.next, s.held, s.done, s.gone, s.holds, s.round = c, nil, true, false, false, false, l.round
	l.owed++
	s.parts = append(s.parts, part{kind: attached}) // the prefix
	return s
}

// recycle empties the slot and keeps it for another request.
func (l *Loop) recycle(s *Slot) {
	s.empty()
	s.conn, s.next = nil, nil
	if l.freeCount == maxFree {
		return
	}
	s.next, l.free = l.free, s
	l.freeCount++
}
