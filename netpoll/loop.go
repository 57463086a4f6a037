package netpoll

import (
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

const (
	// scratchSize is what one read may bring beyond the frame under way: room for
	// several frames of an ordinary size.
	scratchSize = 64 << 10
	// readTurn and writeTurn bound what one connection moves before the others' turn.
	readTurn  = 1 << 20
	writeTurn = 1 << 20
	// frameTurn is how long a turn may take before the next frame of what was read has to wait.
	frameTurn = 5 * time.Millisecond
	// roundShare is how much is sent between two looks at the poller once others wait to
	// send, by those with more than smallReplies.
	roundShare   = 1 << 20
	smallReplies = 64 << 10
	// rounds bounds how often a turn looks into the inbox.
	rounds = 2
	// maxVectors is how many pieces one sendmsg gathers.
	maxVectors = 128
)

// Loop is one goroutine and the connections that it alone touches.
type Loop struct {
	server *Server
	index  int
	poller *netpoll.Poller
	epoll  int // the poller's descriptor
	inbox  inbox

	bell     int          // eventfd: rung when the inbox has something and the loop may sleep
	awake    atomic.Bool  // a turn will look into the inbox, or the bell is rung
	ringers  atomic.Int32 // goroutines between looking at awake and having rung
	hunger   atomic.Int32 // fed, hungry, feeding
	feedTask Task         // resumes the hungry
	waiting  []*Conn      // for the frame budget, in order
	queue    []*Conn      // with much to send, in order of their turns
	slow     []*Conn      // with requests that take long, in order of their turns
	moved    int          // bytes sent since the poller was last asked
	touched  []*Conn      // with something to send, or to resume, in this turn
	free     *Slot        // for reuse
	now      time.Time    // of this turn
	conns    []*Conn      // by descriptor
	open     int          // connections
	idle     idleList     // connections by last activity
	pauses   pauses       // connections that go on at a time
	timer    timer        // idle connections, pauses, accepting again, draining
	accept   *acceptor    // the first loop's
	counts   counts       // written here, read by Stats
	scratch  []byte       // what a read brought beyond a frame
	vectors  [maxVectors]unix.Iovec
	message  unix.Msghdr

	owed      int       // slots reserved in this round and not yet complete
	yielded   time.Time // when it gave way last
	round     uint64    // of poll
	freeCount int
	draining  bool // Shutdown
	drained   bool // and said so
	stopping  bool // Close
}

func newLoop(s *Server, index int) (*Loop, error) {
	l := &Loop{server: s, index: index, bell: -1, scratch: make([]byte, scratchSize), now: time.Now()}
	l.timer.fd = -1
	l.feedTask.Run = l.feed
	l.message.Iov = &l.vectors[0]
	var err error
	if l.poller, err = netpoll.OpenPoller(); err != nil {
		return nil, fmt.Errorf("open poller: %w", err)
	}
	if l.epoll, err = descriptor(l.poller); err != nil {
		l.closeDescriptors()
		return nil, err
	}
	if l.bell, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err == nil {
		l.timer.fd, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	}
	// Edge-triggered, neither need ever be read: each ring and each expiry is an edge.
	if err == nil {
		err = l.poller.AddRead(&netpoll.PollAttachment{FD: l.bell}, true)
	}
	if err == nil {
		err = l.poller.AddRead(&netpoll.PollAttachment{FD: l.timer.fd}, true)
	}
	if err != nil {
		l.closeDescriptors()
		return nil, fmt.Errorf("open loop %d: %w", index, err)
	}
	return l, nil
}

func (l *Loop) closeDescriptors() {
	for _, fd := range []int{l.bell, l.timer.fd} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	_ = l.poller.Close()
}

// Index is the loop's number, from 0.
func (l *Loop) Index() int { return l.index }

// Now is the time at which the loop's turn began; on the loop only.
func (l *Loop) Now() time.Time { return l.now }

// push hands n to the loop and wakes it if it may be asleep. It reports whether the loop
// still runs.
func (l *Loop) push(n *node) bool {
	if !l.inbox.push(n) {
		return false
	}
	if !l.awake.Load() {
		l.ringers.Add(1)
		if l.awake.CompareAndSwap(false, true) {
			l.ring()
		}
		l.ringers.Add(-1)
	}
	return true
}

var one = [8]byte{1}

func (l *Loop) ring() {
	for {
		_, err := unix.Write(l.bell, one[:])
		if err == nil || err == unix.EAGAIN { // EAGAIN: rung 2⁶⁴ times, so it is ringing
			return
		}
		if err != unix.EINTR {
			panic(fmt.Sprintf("netpoll: ring loop %d: %v", l.index, err))
		}
	}
}

// run is the loop's goroutine.
func (l *Loop) run() {
	pprof.SetGoroutineLabels(l.server.options.Profiling.Loop)
	err := l.poll()
	if !l.stopping {
		panic(fmt.Sprintf("netpoll: loop %d stopped polling: %v", l.index, err))
	}
	l.end()
}

// turn handles one event, and then what the inbox holds.
func (l *Loop) turn(fd int, event netpoll.IOEvent, _ netpoll.IOFlags) error {
	l.awake.Store(true)
	l.now = time.Now()
	l.counts.turns.Add(1)
	switch {
	case fd == l.bell:
	case fd == l.timer.fd:
		l.tick()
	case l.accept != nil && fd == l.accept.fd:
		l.accept.ready()
	case fd < len(l.conns) && l.conns[fd] != nil:
		l.mark(l.conns[fd].Labels)
		l.conns[fd].ready(event)
	}
	l.settle()
	l.mark(l.server.options.Profiling.Loop)
	if l.stopping {
		return errors.ErrEngineShutdown
	}
	return nil
}

// mark has what the loop does from here on carry labels, while somebody takes a profile; nil
// stands for the loop's own.
func (l *Loop) mark(labels context.Context) {
	p := l.server.options.Profiling
	if p.Active.Load() == 0 {
		return
	}
	if labels == nil {
		labels = p.Loop
	}
	pprof.SetGoroutineLabels(labels)
}

// settle empties the inbox and writes, once for each connection, what became ready. When
// others push faster than that, the rest waits until other connections had their turn.
func (l *Loop) settle() {
	for range rounds {
		for n := l.inbox.take(); n != nil; {
			next := n.next
			n.next = nil
			n.item.arrive(l)
			n = next
		}
		l.flush()
		l.awake.Store(false)
		if l.inbox.empty() || !l.awake.CompareAndSwap(false, true) {
			return
		}
	}
	l.ring()
}

// touchLater has c looked after at the end of this round.
func (l *Loop) touchLater(c *Conn) {
	if !c.touched {
		c.touched = true
		l.touched = append(l.touched, c)
	}
}

// flush looks after the touched connections.
func (l *Loop) flush() {
	for i := 0; i < len(l.touched); i++ {
		c := l.touched[i]
		c.touched = false
		if !c.closed {
			l.mark(c.Labels)
			c.pump()
		}
	}
	clear(l.touched)
	l.touched = l.touched[:0]
}

// starve puts c on the list of those that wait for the frame budget.
func (l *Loop) starve(c *Conn, wanted int) {
	l.waiting = append(l.waiting, c)
	l.hunger.CompareAndSwap(fed, hungry)
	// Memory released before the flag was seen fed nobody: look once more.
	if l.server.budget.spare(wanted) {
		l.server.budget.feed()
	}
}

// feed lets those that wait for the frame budget try again, each once.
func (l *Loop) feed() {
	l.hunger.Store(fed)
	list := l.waiting
	l.waiting = nil
	for i, c := range list {
		list[i] = nil
		if !c.closed {
			c.resume(stopBudget)
		}
	}
	if l.waiting == nil {
		l.waiting = list[:0]
	}
}

// end closes what is left. Nothing polls any more; pushers may still come.
func (l *Loop) end() {
	if l.accept != nil {
		l.accept.stop()
	}
	l.closeAll()
	l.sayDrained()
	l.awake.Store(true) // for ever: nobody rings
	for n := l.inbox.shut(); n != nil; {
		next := n.next
		n.next = nil
		n.item.arrive(l)
		n = next
	}
	for l.ringers.Load() != 0 {
		runtime.Gosched()
	}
	l.closeDescriptors()
}

func (l *Loop) closeAll() {
	for _, c := range l.conns {
		if c != nil {
			c.close(ErrServerClosed)
		}
	}
}
