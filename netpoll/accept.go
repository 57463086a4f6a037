package netpoll

import (
	"net/netip"
	"time"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

const (
	acceptTurn  = 64                     // connections accepted before others' turn
	acceptPause = 100 * time.Millisecond // without descriptors or memory
	complaints  = time.Minute            // between two log lines about refusals
)

// acceptor takes new connections and deals them out to the loops in turn. The first loop
// owns it.
type acceptor struct {
	loop    *Loop
	fd      int // -1: stopped
	poll    netpoll.PollAttachment
	spare   int // a descriptor to give up when there is no other; -1: none
	paused  bool
	again   time.Time // when paused: until then
	next    int       // loop of the next connection
	from    map[netip.Addr]int
	refused int       // since the last log line
	logged  time.Time // the last log line about refusals
	local   string    // of every connection; empty: ask each
}

func newAcceptor(l *Loop, fd int, bound netip.AddrPort) (*acceptor, error) {
	a := &acceptor{loop: l, fd: fd, spare: openSpare()}
	a.poll.FD = fd
	if !bound.Addr().IsUnspecified() {
		a.local = bound.String()
	}
	if l.server.options.MaxConnectionsPerAddress > 0 {
		a.from = make(map[netip.Addr]int)
	}
	return a, l.poller.AddRead(&a.poll, false)
}

// openSpare takes the descriptor that can be given up; -1 if there is none to be had.
func openSpare() int {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

// ready accepts what waits, for at most one turn.
func (a *acceptor) ready() {
	for range acceptTurn {
		if a.fd < 0 || a.paused {
			return
		}
		fd, name, err := unix.Accept4(a.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			a.admit(fd, addrPort(name))
		case unix.EAGAIN:
			return
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			a.exhausted(err)
		default: // of one connection: it was aborted, a firewall forbids it, …
		}
	}
}

// admit deals a connection out, unless there are too many.
func (a *acceptor) admit(fd int, peer netip.AddrPort) {
	s := a.loop.server
	o := &s.options
	switch {
	case o.MaxConnections > 0 && s.open.Load() >= int64(o.MaxConnections):
		a.refuse("too many connections", "peer", peer.String(), "max", o.MaxConnections)
		_ = unix.Close(fd)
		return
	case a.from != nil && a.from[peer.Addr()] >= o.MaxConnectionsPerAddress:
		a.refuse("too many connections from one address", "peer", peer.String(), "max", o.MaxConnectionsPerAddress)
		_ = unix.Close(fd)
		return
	}
	if a.from != nil {
		a.from[peer.Addr()]++
	}
	s.open.Add(1)
	c := &Conn{id: s.accepted.Add(1), fd: fd, remote: peer.String(), local: a.local, address: peer.Addr(), loop: s.loops[a.next]}
	a.next = (a.next + 1) % len(s.loops)
	c.poll.FD = fd
	c.node.item = c
	if c.local == "" {
		if name, err := unix.Getsockname(fd); err == nil {
			c.local = addrPort(name).String()
		}
	}
	if c.loop == a.loop {
		c.adopt()
	} else if !c.loop.push(&c.node) {
		c.refuse()
	}
}

// refuse counts a connection that was not admitted.
func (a *acceptor) refuse(why string, what ...any) {
	a.loop.server.refused.Add(1)
	a.refused++
	a.complain("connection refused: "+why, what...)
}

// complain logs at most one line a minute, with how many were refused since the last.
func (a *acceptor) complain(text string, what ...any) {
	if !a.logged.IsZero() && a.loop.now.Sub(a.logged) < complaints {
		return
	}
	a.loop.server.options.Log.Warn(text, append(what, "refused", a.refused)...)
	a.logged, a.refused = a.loop.now, 0
}

// exhausted closes what waits, by way of the spare descriptor, so that the peers know
// instead of hanging; then it leaves the others' connections to free some.
func (a *acceptor) exhausted(cause error) {
	if a.spare >= 0 {
		_ = unix.Close(a.spare)
		for range acceptTurn {
			fd, _, err := unix.Accept4(a.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err != nil {
				break
			}
			_ = unix.Close(fd)
			a.loop.server.refused.Add(1)
			a.refused++
		}
		a.spare = openSpare()
	}
	a.complain("accepting pauses: out of file descriptors or memory", "error", cause, "open", a.loop.server.open.Load())
	_ = a.loop.poller.Delete(a.fd) // else it would be reported for ever
	a.paused = true
	a.again = a.loop.now.Add(acceptPause)
	a.loop.arm(a.again)
}

// retry accepts again after a pause.
func (a *acceptor) retry() {
	if !a.paused || a.fd < 0 {
		return
	}
	if a.loop.now.Before(a.again) {
		a.loop.arm(a.again)
		return
	}
	if a.spare < 0 {
		a.spare = openSpare()
	}
	if err := a.loop.poller.AddRead(&a.poll, false); err != nil {
		a.again = a.loop.now.Add(acceptPause)
		a.loop.arm(a.again)
		return
	}
	a.paused = false
}

// gone notes that a connection from the address was closed.
func (a *acceptor) gone(address netip.Addr) {
	if a.from[address]--; a.from[address] == 0 {
		delete(a.from, address)
	}
}

// stop refuses all that may come.
func (a *acceptor) stop() {
	if a.fd < 0 {
		return
	}
	if !a.paused {
		_ = a.loop.poller.Delete(a.fd)
	}
	_ = unix.Close(a.fd)
	a.fd = -1
	if a.spare >= 0 {
		_ = unix.Close(a.spare)
		a.spare = -1
	}
}
