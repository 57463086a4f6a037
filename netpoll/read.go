package netpoll

import (
	"encoding/binary"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// firstMemory is what a frame gets before more than its prefix arrived.
	firstMemory = 1 << 10
	// muchMissing is from when on the kernel is told to gather before it wakes the loop;
	// for less it is not worth the two system calls.
	muchMissing = 256 << 10
	// mostGathered bounds what the kernel is asked to gather.
	mostGathered = 1 << 20
)

// receive reads what the socket has, for at most one turn.
func (c *Conn) receive() {
	for turn, first := readTurn, true; turn > 0 && c.mayRead(); first = false {
		n, asked, err := c.fill(first)
		if asked == 0 || err == unix.EAGAIN {
			break
		}
		if err != nil {
			c.close(os.NewSyscallError("read", err))
			return
		}
		if n == 0 {
			c.end()
			return
		}
		c.loop.active(c)
		c.loop.counts.bytesIn.Add(int64(n))
		turn -= n
		if n < asked {
			break
		}
	}
	c.gather()
}

func (c *Conn) mayRead() bool { return c.stop == 0 && c.stash == nil && !c.closing.Load() }

// fill reads once: into the frame under way, and what follows it into the loop's scratch.
// It asks for nothing when the frame has to wait for memory, or for more to arrive.
func (c *Conn) fill(first bool) (n, asked int, err error) {
	l, f := c.loop, c.frame
	space, count := 0, 0
	if f != nil {
		missing := c.length - f.filled
		if !c.room(missing, first) {
			return 0, 0, nil
		}
		f = c.frame
		space = min(len(f.memory)-f.filled, missing, readTurn)
		l.vector(0, f.memory[f.filled:][:space])
		count, asked = 1, space
		if space < missing {
			n, err = l.readv(c.fd, count)
			f.filled += n
			return n, asked, err
		}
	}
	l.vector(count, l.scratch)
	asked += len(l.scratch)
	n, err = l.readv(c.fd, count+1)
	if f != nil {
		f.filled += min(n, space)
		if f.filled == c.length {
			c.deliver()
		}
	}
	if n > space {
		c.keep(c.cut(l.scratch[:n-space]))
	}
	return n, asked, err
}

// room sees to it that the frame under way has room for what arrived. It says no when
// memory is refused, or when it is better to wait until more has arrived; not the latter
// when the poller has just reported input: then the kernel has no room to gather more, or
// the stream ended.
func (c *Conn) room(missing int, reported bool) bool {
	f := c.frame
	space := len(f.memory) - f.filled
	if space >= missing && missing < muchMissing {
		return true
	}
	there := pending(c.fd)
	if !reported && missing >= muchMissing && there < min(missing, mostGathered) {
		return false
	}
	if space >= missing || space > 0 && space >= there {
		return true
	}
	return c.grow(max(there, f.filled, firstMemory))
}

// grow gives the frame under way room for n bytes more, as far as its length goes.
func (c *Conn) grow(n int) bool {
	old := c.frame
	want := min(c.length, old.filled+n)
	_, size := classOf(want)
	b := &c.loop.server.budget
	granted, overdrawn := b.charge(size, old.overdrawn)
	if !granted {
		c.starve(size)
		return false
	}
	f := takeFrame(want, b, overdrawn)
	f.filled = copy(f.memory, old.memory[:old.filled])
	old.overdrawn = false // it is the new one's
	old.Release()
	c.frame = f
	return true
}

func (c *Conn) starve(wanted int) {
	c.stop |= stopBudget
	c.loop.starve(c, wanted)
}

// cut makes frames of p, the bytes that follow what is known of the frame under way. It
// returns what it could not use because reading stopped.
func (c *Conn) cut(p []byte) []byte {
	c.cutting = true
	defer func() { c.cutting = false }()
	for c.stop == 0 && !c.closing.Load() {
		if c.frame == nil {
			n := copy(c.prefix[c.got:], p)
			c.got += n
			p = p[n:]
			if c.got < len(c.prefix) || !c.begin(len(p)) {
				return p
			}
		}
		f := c.frame
		n := copy(f.memory[f.filled:min(len(f.memory), c.length)], p)
		f.filled += n
		p = p[n:]
		switch {
		case f.filled == c.length:
			c.deliver()
			if len(p) == 0 {
				return nil
			}
			c.giveWay()
		case len(p) == 0:
			return nil
		case !c.grow(len(p)):
			return p
		}
	}
	return p
}

// giveWay has others go on before the next of several frames that one read has brought, when those before it took long:
// else a client whose requests cost 50 ms each would have its loop for three seconds at a time.
func (c *Conn) giveWay() {
	if c.stop == 0 && time.Since(c.loop.now) > frameTurn {
		c.stop |= stopTurn
		c.loop.slow = append(c.loop.slow, c)
	}
}

// goOnSlowly has one that gave way go on; before the next one does the poller is asked for news.
func (l *Loop) goOnSlowly() {
	if len(l.slow) == 0 {
		return
	}
	c := l.slow[0]
	n := copy(l.slow, l.slow[1:])
	l.slow[n] = nil
	l.slow = l.slow[:n]
	if c.closed {
		return
	}
	l.now = time.Now()
	l.mark(c.Labels)
	c.resume(stopTurn)
	l.mark(l.server.options.Profiling.Loop)
}

// begin starts the frame whose prefix is complete; n bytes of it, or more, are there.
func (c *Conn) begin(n int) bool {
	o := &c.loop.server.options
	length := int32(binary.BigEndian.Uint32(c.prefix[:]))
	switch {
	case length < 0:
		c.Close(ErrFrameNegative)
		return false
	case int(length) > o.MaxFrame || c.longest > 0 && int(length) > c.longest:
		c.Close(ErrFrameTooLarge)
		return false
	}
	c.length = int(length)
	want := min(c.length, max(firstMemory, 2*n))
	_, size := classOf(want)
	b := &c.loop.server.budget
	granted, overdrawn := b.charge(size, false)
	if !granted {
		c.starve(size)
		return false
	}
	c.frame = takeFrame(want, b, overdrawn)
	return true
}

// deliver hands the frame to the handler, or leaves it where it is if a slot holds it back.
func (c *Conn) deliver() {
	f := c.frame
	if !c.lets(f) {
		c.stop |= stopReply
		return
	}
	c.frame, c.got = nil, 0
	c.loop.counts.frames.Add(1)
	c.loop.server.handler.Frame(c, f)
	c.bound()
}

// bound stops reading while too much waits for the socket. It counts from when a reply is completed, not from when the
// loop comes to it: one read may bring as many requests as MaxSlots, each answered at once, with megabytes.
func (c *Conn) bound() {
	if c.waiting.Load() > int64(c.loop.server.options.MaxWaiting) {
		c.stop |= stopReplies
	}
}

// lets reports whether no slot holds a frame back.
func (c *Conn) lets(f *Frame) bool {
	return c.stop&stopReply == 0 && (c.passes == nil || c.passes(f.Bytes()))
}

// keep puts by what was read after reading stopped. It is charged whatever the budget has
// left: it is here, and never more than one read's scratch.
func (c *Conn) keep(p []byte) {
	if len(p) == 0 || c.closing.Load() {
		return
	}
	b := &c.loop.server.budget
	_, size := classOf(len(p))
	b.force(size)
	c.stash, c.stashed = takeFrame(len(p), b, false), 0
	c.stash.filled = copy(c.stash.memory, p)
}

// resume takes a reason to stop away, and reads on if it was the last. Within Frame, where a handler
// may pause and resume at once, whoever hands over frames goes on by itself.
func (c *Conn) resume(reason stops) {
	c.stop &^= reason
	if c.stop != 0 || c.closing.Load() || c.cutting {
		return
	}
	if s := c.stash; s != nil {
		rest := c.cut(s.memory[c.stashed:s.filled])
		c.stashed = s.filled - len(rest)
		if len(rest) == 0 {
			c.stash = nil
			s.Release()
		}
	} else if c.frame == nil && c.got == len(c.prefix) || c.frame != nil && c.frame.filled == c.length {
		c.cut(nil)
	}
	c.gather() // the frame that the stash began may miss much
	if c.stop == 0 {
		c.loud = false
		c.watch()
	}
}

// gather has the kernel wait for more of a frame of which much is missing. It must never
// wait for more than is missing: the peer may await the answer.
func (c *Conn) gather() {
	low := 1
	if c.frame != nil {
		if missing := c.length - c.frame.filled; missing >= muchMissing {
			low = min(missing, mostGathered)
		}
	}
	if low == c.low {
		return
	}
	c.low, c.waited = low, 0
	if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVLOWAT, low); err != nil {
		c.Close(os.NewSyscallError("setsockopt", err))
	}
}

// trickles reports whether bytes have come that the loop has not seen: they are about to
// be read, or belong to a frame that the kernel gathers and are more than when last asked.
func (c *Conn) trickles() bool {
	before := c.waited
	c.waited = pending(c.fd)
	if c.low == 1 {
		return c.waited > 0 && c.mayRead()
	}
	return c.waited != before
}

// end notes that the peer sends no more. It may still await replies.
func (c *Conn) end() {
	c.stop |= stopEnd
	c.loud = true
	c.partial = c.frame != nil || c.got > 0
	c.dropInput()
	if !c.owesNothing() {
		c.watch()
	}
}

// ended is the cause of a close after the peer's end.
func (c *Conn) ended() error {
	if c.partial {
		return io.ErrUnexpectedEOF
	}
	return nil
}
