package netpoll

import (
	"net/netip"
	"time"
)

// Stage is a loop without sockets, poller and goroutine, for simulators: who has it says
// which frame comes when, and when the loop has its turn. Handlers see a Conn and a Loop
// like any other. A handler must not Pause a connection of a Stage, which has nothing to
// read on from; frames that a slot holds back wait in the Stage.
//
// Ownership: one goroutine's, all of it.
type Stage struct {
	loop   *Loop
	now    func() time.Time
	peers  map[*Conn]*Peer
	held   map[*Conn][]*Frame // that a slot holds back, in order
	nextID uint64
}

// Peer is the other end of a connection to a Stage.
type Peer struct {
	// Reply is given each reply in the order of the requests, without its length prefix, in
	// the loop's turns. The bytes are the Peer's.
	Reply func(reply []byte)
	// Closed is told when the handler has closed the connection. Nothing comes after it.
	Closed func(cause error)
}

// NewStage makes a stage whose connections h serves. The clock is asked at each turn.
func NewStage(o Options, h Handler, now func() time.Time) *Stage {
	o.MaxSlots, o.MaxWaiting = 1<<30, 1<<30 // nothing would read on
	s := &Server{options: o.withDefaults(), handler: h}
	l := &Loop{server: s, bell: -1, now: now()}
	l.timer.fd = -1
	l.feedTask.Run = l.feed
	l.awake.Store(true) // for ever: nobody rings
	s.loops = []*Loop{l}
	s.budget.limit, s.budget.loops = s.options.FrameBudget, s.loops
	return &Stage{loop: l, now: now, peers: map[*Conn]*Peer{}, held: map[*Conn][]*Frame{}}
}

// Connect begins a connection.
func (s *Stage) Connect(remote netip.AddrPort, p *Peer) *Conn {
	s.loop.now = s.now()
	s.nextID++
	c := &Conn{loop: s.loop, id: s.nextID, fd: -1, remote: remote.String(), local: remote.String(), address: remote.Addr(), opened: true, low: 1}
	c.node.item = c
	s.peers[c] = p
	s.loop.server.handler.Open(c)
	return c
}

// Deliver has the handler serve one frame, given without its length prefix, at once or when no slot
// holds it back any more. On a connection that is closed it does nothing.
func (s *Stage) Deliver(c *Conn, frame []byte) {
	if c.closed || c.closing.Load() {
		return
	}
	l := s.loop
	l.now = s.now()
	_, size := classOf(len(frame))
	l.server.budget.force(size)
	f := takeFrame(len(frame), &l.server.budget, false)
	f.filled = copy(f.memory, frame)
	s.held[c] = append(s.held[c], f)
	s.letThrough(c)
}

// letThrough hands over the frames that no slot holds back.
func (s *Stage) letThrough(c *Conn) {
	for len(s.held[c]) > 0 && !c.closing.Load() && c.lets(s.held[c][0]) {
		f := s.held[c][0]
		s.held[c] = s.held[c][1:]
		s.loop.counts.frames.Add(1)
		s.loop.server.handler.Frame(c, f)
	}
}

// Hangup ends a connection from the peer's side.
func (s *Stage) Hangup(c *Conn) {
	s.loop.now = s.now()
	s.end(c, nil)
}

// Idle reports whether a turn would find nothing to do.
func (s *Stage) Idle() bool { return s.loop.inbox.empty() && len(s.loop.touched) == 0 }

// Turn does what a loop does when it wakes: it takes what its inbox holds, and sends the
// replies that are complete.
func (s *Stage) Turn() {
	l := s.loop
	l.now = s.now()
	for n := l.inbox.take(); n != nil; {
		next := n.next
		n.next = nil
		if c, ok := n.item.(*Conn); ok {
			s.send(c)
			s.end(c, c.cause)
		} else {
			slot, ok := n.item.(*Slot)
			if ok {
				c = slot.conn // arriving may recycle the slot
			}
			n.item.arrive(l)
			if ok {
				s.letThrough(c)
			}
		}
		n = next
	}
	for i := 0; i < len(l.touched); i++ {
		c := l.touched[i]
		l.touched[i], c.touched = nil, false
		s.send(c)
	}
	l.touched = l.touched[:0]
}

// send gives the peer the completed replies at the head of the connection's order.
func (s *Stage) send(c *Conn) {
	if c.closed {
		return
	}
	p := s.peers[c]
	for c.pop() {
		var reply []byte
		one := c.head
		for ; one.at < len(one.parts); one.at++ {
			part := &one.parts[one.at]
			if part.kind == file {
				panic("netpoll: a stage has no files to send from")
			}
			reply = append(reply, part.bytes...)
			part.release()
		}
		c.waiting.Add(int64(-one.size))
		p.Reply(reply[len(one.prefix):])
	}
}

// end closes a connection as a loop does, but for the socket.
func (s *Stage) end(c *Conn, cause error) {
	if c.closed {
		return
	}
	c.closed = true
	c.closing.Store(true)
	for one := c.head; one != nil; {
		next := one.next
		one.next = nil
		if one.done {
			s.loop.recycle(one)
		}
		one = next
	}
	c.head, c.tail, c.slots = nil, nil, 0
	s.loop.server.handler.Close(c, cause)
	for _, f := range s.held[c] {
		f.Release()
	}
	delete(s.held, c)
	p := s.peers[c]
	delete(s.peers, c)
	p.Closed(cause)
}
