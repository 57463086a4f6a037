package netpoll

import (
	"context"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

// Conn is one connection. Except where said otherwise it is touched on its loop only.
type Conn struct {
	// State is the handler's, on the loop.
	State any
	// Labels are those of the work that is done for the connection now, for profiles. They are
	// the handler's, on the loop. Nil: the loop's.
	Labels context.Context

	id      uint64
	loop    *Loop
	fd      int
	poll    netpoll.PollAttachment
	node    node // adoption, then closing
	remote  string
	local   string
	address netip.Addr
	opened  bool
	closed  bool

	closing atomic.Bool // Close was called; cause follows by way of the inbox
	cause   error

	// In.
	prefix  [4]byte
	got     int       // bytes of prefix
	length  int       // of the frame under way
	longest int       // frame that is taken; 0: as long as Options.MaxFrame
	frame   *Frame    // under way, or whole and held back; nil: none
	low     int       // SO_RCVLOWAT as it is set
	waited  int       // bytes in the socket when the idle list last looked
	stash   *Frame    // read, but not cut into frames, because reading stopped
	stashed int       // where the rest of it begins
	stop    stops     // why reading stopped; 0: it goes on
	partial bool      // the peer's stream ended within a frame
	cutting bool      // what was read is being cut into frames and handed over
	until   time.Time // when stopTime ends
	paused  int       // where the connection is among the loop's pauses meanwhile
	holding int       // slots that hold frames back
	// passes says which frames are delivered nevertheless. Nil: none, or nothing holds.
	passes func(frame []byte) bool

	// Out.
	head, tail *Slot // in the order of Reserve
	slots      int   // in that list
	// waiting is the bytes of completed replies not yet sent. Slot.Send adds, on any goroutine; the loop takes away.
	waiting atomic.Int64
	blocked bool // the socket is full, or the turn's share was used up
	touched bool // on the loop's list
	queued  bool // on the loop's queue

	interest interest
	loud     bool // the poller reported input that is not read for now

	seen         time.Time // of the last activity, coarsely
	older, newer *Conn     // in the idle list
}

// stops are reasons not to read.
type stops uint16

const (
	stopSlots   stops = 1 << iota // as many requests as MaxSlots are in flight
	stopReplies                   // MaxWaiting bytes of replies are not sent
	stopBudget                    // the frame budget is spent
	stopEnd                       // the peer sends no more
	stopDrain                     // the server shuts down
	stopPause                     // the handler asked for it
	stopTime                      // the handler asked for it, until a time
	stopReply                     // the handler asked for it, until a reply is there
	stopTurn                      // its requests take long: others first
)

// interest is what the poller reports.
type interest uint8

const (
	reading        interest = iota // input
	readingWriting                 // input and room to write
	writing                        // room to write
	watching                       // neither, but when the peer resets or ends
)

// ID is unique among the server's connections. Any goroutine.
func (c *Conn) ID() uint64 { return c.id }

// Loop is the loop that owns the connection. Any goroutine.
func (c *Conn) Loop() *Loop { return c.loop }

// RemoteAddr is the peer's address and port. Any goroutine.
func (c *Conn) RemoteAddr() string { return c.remote }

// LocalAddr is the address and port that the peer connected to. Any goroutine.
func (c *Conn) LocalAddr() string { return c.local }

// Close ends the connection soon; the first cause given is the one that the handler's
// Close is told. Replies that are complete are written if the socket takes them at once.
// No further frame is delivered. Any goroutine.
func (c *Conn) Close(cause error) {
	if c.closing.CompareAndSwap(false, true) {
		c.cause = cause
		c.loop.push(&c.node)
	}
}

// Pause has no further frame delivered until Resume, so that what a request started may
// end before the next one is looked at. On the loop only.
func (c *Conn) Pause() { c.stop |= stopPause }

// Resume ends a pause; frames that wait are delivered before it returns, or after Frame has returned
// if that calls it. On the loop only.
func (c *Conn) Resume() {
	if c.stop&stopPause != 0 {
		c.resume(stopPause)
	}
}

// Limit has frames be at most so long, if that is less than Options.MaxFrame; 0 takes the limit
// away. A frame whose length has come is not judged again. On the loop only.
func (c *Conn) Limit(frame int) { c.longest = frame }

// Owed is how many replies were not wholly sent yet, those that are still to be made among them. On the
// loop only.
func (c *Conn) Owed() int { return c.slots }

// Reserve takes the next reply slot; replies are sent in the order of Reserve. On the
// loop only.
//
// Ownership: the caller must see to it that the slot is sent or discarded.
func (c *Conn) Reserve() *Slot {
	s := c.loop.reserve(c)
	if c.closed {
		return s
	}
	if c.tail == nil {
		c.head = s
	} else {
		c.tail.next = s
	}
	c.tail = s
	c.slots++
	if c.slots >= c.loop.server.options.MaxSlots {
		c.stop |= stopSlots
	}
	return s
}

// arrive adopts the connection, or closes it as Close asked.
func (c *Conn) arrive(l *Loop) {
	switch {
	case c.closed:
	case !c.opened:
		c.adopt()
	default:
		if !c.blocked {
			c.pump()
		}
		if !c.closed {
			c.close(c.cause)
		}
	}
}

// adopt makes the connection its loop's.
func (c *Conn) adopt() {
	l := c.loop
	if l.draining || l.stopping {
		c.refuse()
		return
	}
	if err := l.poller.AddRead(&c.poll, false); err != nil {
		l.server.options.Log.Error("connection refused", "peer", c.remote, "error", err)
		c.refuse()
		return
	}
	for len(l.conns) <= c.fd {
		l.conns = append(l.conns, nil)
	}
	l.conns[c.fd] = c
	l.open++
	c.opened, c.seen, c.low = true, l.now, 1
	l.idle.add(c)
	l.arm(l.now.Add(l.server.options.IdleTimeout + l.server.options.IdleTimeout/16))
	l.server.handler.Open(c)
}

// refuse closes a connection that no handler has seen.
func (c *Conn) refuse() {
	c.closed = true
	_ = unix.Close(c.fd)
	c.loop.server.gone(c)
}

// close ends the connection at once. Slots that others hold come back by the inbox.
func (c *Conn) close(cause error) {
	l := c.loop
	c.closed = true
	c.closing.Store(true)
	// Deleted by hand: a descriptor that a starting child process still holds would go on
	// being reported after it was closed here.
	_ = l.poller.Delete(c.fd)
	_ = unix.Close(c.fd)
	l.conns[c.fd] = nil
	l.open--
	l.idle.remove(c)
	c.dropInput()
	c.forgetPause()
	for s := c.head; s != nil; {
		next := s.next
		s.next = nil
		if s.done {
			l.recycle(s)
		}
		s = next
	}
	c.head, c.tail, c.slots = nil, nil, 0
	l.server.handler.Close(c, cause)
	l.server.gone(c)
}

// dropInput forgets what was read and not delivered.
func (c *Conn) dropInput() {
	if c.frame != nil {
		c.frame.Release()
		c.frame = nil
	}
	if c.stash != nil {
		c.stash.Release()
		c.stash = nil
	}
	c.got = 0
}

// ready handles what the poller reports.
func (c *Conn) ready(event netpoll.IOEvent) {
	if event&netpoll.ErrEvents != 0 && c.stop != 0 {
		err := socketError(c.fd)
		if err == nil {
			err = unix.ECONNRESET
		}
		c.close(os.NewSyscallError("poll", err))
		return
	}
	if event&unix.EPOLLOUT != 0 {
		c.blocked = false
		c.loop.touchLater(c)
	}
	if event&^unix.EPOLLOUT == 0 {
		return
	}
	if c.stop == 0 {
		c.receive()
		return
	}
	c.loud = true
	if !c.touched {
		c.watch()
	}
}

// watch tells the poller what the connection waits for. Reading that stopped is left
// registered until input comes: mostly it goes on before that.
func (c *Conn) watch() {
	want := reading
	switch quiet := c.stop != 0 && c.loud; {
	case quiet && c.blocked:
		want = writing
	case quiet:
		want = watching
	case c.blocked:
		want = readingWriting
	}
	if want == c.interest {
		return
	}
	p := c.loop.poller
	var err error
	switch want {
	case reading:
		err = p.ModRead(&c.poll, false)
	case readingWriting:
		err = p.ModReadWrite(&c.poll, false)
	default: // there is no ModWrite; edge-triggered, AddWrite also reports the peer's end
		if err = p.Delete(c.fd); err == nil {
			err = p.AddWrite(&c.poll, want == watching)
		}
	}
	c.interest = want
	if err != nil {
		c.Close(err)
	}
}

// owesNothing closes the connection if it ended on one side and nothing is left to send.
func (c *Conn) owesNothing() bool {
	if c.head != nil {
		return false
	}
	switch {
	case c.stop&stopEnd != 0:
		c.close(c.ended())
		return true
	case c.stop&stopDrain != 0 && c.delivered():
		c.close(ErrServerClosed)
		return true
	}
	return false
}

// delivered reports whether the peer's kernel has all that was written.
func (c *Conn) delivered() bool { return unsent(c.fd) == 0 }
