package netpoll

import (
	"os"

	"golang.org/x/sys/unix"
)

// pump sends completed replies, the oldest first, until the socket is full, the turn's
// share is used up, or the next reply is not there yet; then it looks what that changes.
func (c *Conn) pump() {
	if c.waiting.Load() > smallReplies && !c.closing.Load() && c.loop.putOff(c) {
		return
	}
	c.push()
}

// push is pump without regard to others.
func (c *Conn) push() {
	moved := false
	for turn := writeTurn; turn > 0 && c.pop(); {
		n, asked, err := c.send(turn)
		if err != nil && err != unix.EAGAIN {
			c.close(err)
			return
		}
		if n > 0 {
			moved = true
			c.sent(n)
			turn -= n
			c.loop.moved += n
		}
		if n < asked {
			break
		}
	}
	if moved {
		c.loop.active(c)
	}
	c.blocked = c.pop()
	if c.owesNothing() {
		return
	}
	c.goOn()
	c.watch()
}

// putOff has c, which has much to send, wait its turn when that is not now. Were all
// replies sent as they come, a thousand that ask for a mebibyte each would be served
// before the next small request is looked at.
func (l *Loop) putOff(c *Conn) bool {
	if c.queued {
		return true
	}
	if l.moved < roundShare && len(l.queue) == 0 {
		return false
	}
	c.queued = true
	l.queue = append(l.queue, c)
	return true
}

// takeTurns sends for those whose turn it is, oldest first, until the round's share is used
// up: then the poller is asked for news before the next ones.
func (l *Loop) takeTurns() {
	l.moved = 0
	at := 0
	for ; at < len(l.queue) && l.moved < roundShare; at++ {
		c := l.queue[at]
		c.queued = false
		if !c.closed && !c.blocked {
			l.mark(c.Labels)
			c.push()
		}
	}
	n := copy(l.queue, l.queue[at:])
	clear(l.queue[n:])
	l.queue = l.queue[:n]
}

// goOn reads on when enough of what stopped reading has gone.
func (c *Conn) goOn() {
	o := &c.loop.server.options
	var gone stops
	if c.stop&stopSlots != 0 && c.slots <= o.MaxSlots/2 {
		gone |= stopSlots
	}
	if c.stop&stopReplies != 0 && c.waiting.Load() <= int64(o.MaxWaiting)/2 {
		gone |= stopReplies
	}
	if gone != 0 {
		c.resume(gone)
	}
}

// pop removes what is sent from the front of the queue, and reports whether a completed
// reply is at its head then.
func (c *Conn) pop() bool {
	for s := c.head; s != nil && s.done; s = c.head {
		for s.at < len(s.parts) && s.parts[s.at].rest() == 0 {
			s.parts[s.at].release()
			s.at++
		}
		if s.at < len(s.parts) {
			return true
		}
		if c.head = s.next; c.head == nil {
			c.tail = nil
		}
		c.slots--
		c.loop.recycle(s)
	}
	return false
}

func (p *part) rest() int {
	if p.kind == file {
		return p.left
	}
	return len(p.bytes)
}

// send makes one system call for what is at the head. Less sent than asked means that the
// socket is full.
func (c *Conn) send(turn int) (n, asked int, err error) {
	if p := &c.head.parts[c.head.at]; p.kind == file {
		return c.sendFile(p, turn)
	}
	count, asked, more := c.collect(turn)
	flags := 0
	if more {
		flags = unix.MSG_MORE // the file's bytes follow at once
	}
	if n, err = c.loop.sendmsg(c.fd, count, flags); err == unix.EFAULT {
		err = ErrUnreadable
	}
	return n, asked, err
}

func (c *Conn) sendFile(p *part, turn int) (n, asked int, err error) {
	asked = min(p.left, turn)
	for {
		offset := p.offset
		n, err = unix.Sendfile(c.fd, p.fd, &offset, asked)
		if err == unix.EINTR {
			continue
		}
		if err == nil && n == 0 {
			err = ErrFileShort
		} else if err != nil && err != unix.EAGAIN {
			err = os.NewSyscallError("sendfile", err)
		}
		return max(n, 0), asked, err
	}
}

// collect points the loop's vectors at the completed bytes up to the first file range.
func (c *Conn) collect(turn int) (count, size int, more bool) {
	l := c.loop
	for s := c.head; s != nil && s.done; s = s.next {
		for i := s.at; i < len(s.parts); i++ {
			p := &s.parts[i]
			if p.kind == file {
				if p.left == 0 {
					continue
				}
				return count, size, true
			}
			if len(p.bytes) == 0 {
				continue
			}
			piece := p.bytes[:min(len(p.bytes), turn-size)]
			l.vector(count, piece)
			count++
			size += len(piece)
			if count == maxVectors || size == turn {
				return count, size, false
			}
		}
	}
	return count, size, false
}

// sent takes n bytes from the front of the queue.
func (c *Conn) sent(n int) {
	c.waiting.Add(int64(-n))
	c.loop.counts.bytesOut.Add(int64(n))
	for n > 0 && c.pop() {
		p := &c.head.parts[c.head.at]
		took := min(n, p.rest())
		if p.kind == file {
			p.offset += int64(took)
			p.left -= took
		} else {
			p.bytes = p.bytes[took:]
		}
		n -= took
	}
}
