package netpoll

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Causes that the handler's Close may be told, besides those of the sockets.
var (
	ErrFrameTooLarge = errors.New("frame longer than allowed")
	ErrReplyTooLarge = errors.New("reply longer than its prefix can say")
	ErrFrameNegative = errors.New("frame of negative length")
	ErrIdle          = errors.New("connection idle for too long")
	ErrServerClosed  = errors.New("server closed")
	ErrFileShort     = errors.New("file ended within the range to send")
	ErrUnreadable    = errors.New("attached memory cannot be read: the file mapped there got shorter, or its disk failed")
)

// Options of a server. The zero value serves.
type Options struct {
	// Loops is the number of loops. Zero: 1.
	Loops int
	// MaxFrame is the length of the longest frame. A longer one closes its connection
	// with ErrFrameTooLarge. Zero: 100 MiB.
	MaxFrame int
	// FrameBudget bounds the memory of frames read and not yet released, over all
	// connections; when it is spent, reading pauses. Zero: 512 MiB.
	FrameBudget int64
	// MaxConnections and MaxConnectionsPerAddress bound what is accepted; who comes then
	// is closed. Zero: no limit.
	MaxConnections           int
	MaxConnectionsPerAddress int
	// IdleTimeout closes a connection on which nothing moved for so long. Zero: 10 min.
	IdleTimeout time.Duration
	// SendBuffer and ReceiveBuffer are SO_SNDBUF and SO_RCVBUF. Zero or -1: the system's,
	// which adapt themselves.
	SendBuffer, ReceiveBuffer int
	// MaxSlots is how many requests of one connection may be in flight before its reading
	// pauses. Zero: 64.
	MaxSlots int
	// MaxWaiting is how many bytes of completed replies may wait for one connection's
	// socket before its reading pauses. Zero: 4 MiB.
	MaxWaiting int
	// Log tells what concerns no single connection. Nil: slog.Default.
	Log *slog.Logger
	// Profiling says what loops are called in profiles. Nil: nothing.
	Profiling *Profiling
	// Bound is told the address when connections wait there and before the first is accepted. With its
	// error Listen fails. Nil: nobody has to know.
	Bound func(net.Addr) error
}

// Profiling says which labels loops have in profiles of processor time (runtime/pprof): those
// of the connection that they work for, or Loop.
type Profiling struct {
	// Active is greater than zero while a profile is taken; labels are set only then.
	Active *atomic.Int32
	Loop   context.Context
}

func (o Options) withDefaults() Options {
	for _, field := range []struct {
		value   *int
		instead int
	}{{&o.Loops, 1}, {&o.MaxFrame, 100 << 20}, {&o.MaxSlots, 64}, {&o.MaxWaiting, 4 << 20}} {
		if *field.value <= 0 {
			*field.value = field.instead
		}
	}
	if o.FrameBudget <= 0 {
		o.FrameBudget = 512 << 20
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = 10 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Profiling == nil {
		o.Profiling = &Profiling{Active: new(atomic.Int32), Loop: context.Background()}
	}
	return o
}

// Handler serves connections. Its methods run on the connection's loop and must not
// block.
type Handler interface {
	// Open begins a connection.
	Open(c *Conn)
	// Frame serves one complete frame.
	//
	// Ownership: f is the handler's, to release.
	Frame(c *Conn, f *Frame)
	// Close ends a connection that Open began. A nil cause: the peer closed in good
	// order, and all that was owed is sent.
	Close(c *Conn, cause error)
}

// Server accepts connections on one address and moves their frames. Its methods may be
// called on any goroutine but the loops'.
type Server struct {
	options   Options
	handler   Handler
	address   *net.TCPAddr
	loops     []*Loop
	budget    budget
	open      atomic.Int64 // connections
	accepted  atomic.Uint64
	refused   atomic.Uint64
	undrained atomic.Int32  // loops
	drained   chan struct{} // closed when there are none
	drain     sync.Once
	stop      sync.Once
	running   sync.WaitGroup
}

// Listen opens address ("127.0.0.1:9092", "[::1]:0", ":9092") and serves what connects.
func Listen(address string, o Options, h Handler) (*Server, error) {
	s := &Server{options: o.withDefaults(), handler: h}
	fd, bound, err := listen(address, &s.options)
	if err != nil {
		return nil, err
	}
	s.address = net.TCPAddrFromAddrPort(bound)
	s.drained = make(chan struct{})
	s.undrained.Store(int32(s.options.Loops))
	for i := range s.options.Loops {
		var l *Loop
		if l, err = newLoop(s, i); err != nil {
			break
		}
		s.loops = append(s.loops, l)
	}
	s.budget.limit, s.budget.loops = s.options.FrameBudget, s.loops
	if err == nil {
		s.loops[0].accept, err = newAcceptor(s.loops[0], fd, bound)
	}
	if err == nil && o.Bound != nil {
		err = o.Bound(s.address)
	}
	if err != nil {
		_ = unix.Close(fd)
		for _, l := range s.loops {
			l.closeDescriptors()
		}
		return nil, err
	}
	for _, l := range s.loops {
		s.running.Go(l.run)
	}
	return s, nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.address }

// Shutdown stops accepting and reading, sends every reply that is owed, also those that
// are still to be completed, and closes each connection once the peer's kernel has them
// all; at the end of ctx it closes what is left and returns the context's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.drain.Do(func() {
		for _, l := range s.loops {
			l.Post(&Task{Run: l.beginDrain})
		}
	})
	var err error
	select {
	case <-s.drained:
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = s.Close()
	return err
}

// Close closes all connections and waits for the loops. Slots that are completed later
// release what is attached to them.
func (s *Server) Close() error {
	s.stop.Do(func() {
		for _, l := range s.loops {
			l.Post(&Task{Run: func() { l.stopping = true }})
		}
	})
	s.running.Wait()
	return nil
}

// beginDrain stops accepting and reading.
func (l *Loop) beginDrain() {
	l.draining = true
	if l.accept != nil {
		l.accept.stop()
	}
	for _, c := range l.conns {
		if c != nil {
			c.stop |= stopDrain
			c.loud = true
			c.dropInput()
			c.watch()
		}
	}
	l.drain()
}

// gone counts a closed connection out.
func (s *Server) gone(c *Conn) {
	s.open.Add(-1)
	if s.options.MaxConnectionsPerAddress == 0 {
		return
	}
	first := s.loops[0]
	if c.loop == first {
		first.accept.gone(c.address)
		return
	}
	first.Post(&Task{Run: func() { first.accept.gone(c.address) }})
}

// counts of one loop.
type counts struct {
	turns, frames, bytesIn, bytesOut atomic.Int64
}

// Stats is a snapshot of a server.
type Stats struct {
	Connections       int
	Accepted, Refused uint64 // since the start
	Turns             int64  // of the loops since the start
	Frames            int64  // delivered since the start
	BytesIn, BytesOut int64  // since the start
	FrameBytes        int64  // memory of frames not yet released
	FrameBudget       int64  // its limit
}

// Stats may be called on any goroutine.
func (s *Server) Stats() Stats {
	t := Stats{
		Connections: int(s.open.Load()), Accepted: s.accepted.Load(), Refused: s.refused.Load(),
		FrameBytes: s.budget.used.Load(), FrameBudget: s.budget.limit,
	}
	for _, l := range s.loops {
		t.Turns += l.counts.turns.Load()
		t.Frames += l.counts.frames.Load()
		t.BytesIn += l.counts.bytesIn.Load()
		t.BytesOut += l.counts.bytesOut.Load()
	}
	return t
}
