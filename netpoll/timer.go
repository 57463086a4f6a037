package netpoll

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// timer is one timerfd, which wakes its loop at the earliest moment that anything of it
// waits for. A loop without connections is never woken.
type timer struct {
	fd int
	at time.Time // zero: not set
}

// arm wakes the loop at the given time, or earlier.
func (l *Loop) arm(at time.Time) {
	if !l.timer.at.IsZero() && !at.Before(l.timer.at) {
		return
	}
	l.timer.at = at
	wait := max(at.Sub(l.now), time.Microsecond)
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(wait))}
	if err := unix.TimerfdSettime(l.timer.fd, 0, &spec, nil); err != nil {
		panic(fmt.Sprintf("netpoll: set timer to %v: %v", wait, err))
	}
}

// tick does what is due and arms the timer for the next.
func (l *Loop) tick() {
	l.timer.at = time.Time{}
	if l.accept != nil {
		l.accept.retry()
	}
	l.expire()
	l.endPauses()
	if l.draining {
		l.drain()
	}
}

// idleList links connections by last activity, the oldest first. To spare the hot path,
// activity counts only once a sixteenth of the idle time has gone by since it last did,
// and so much longer a connection may stay.
type idleList struct {
	oldest, newest *Conn
}

func (i *idleList) add(c *Conn) {
	c.older, c.newer = i.newest, nil
	if i.newest != nil {
		i.newest.newer = c
	} else {
		i.oldest = c
	}
	i.newest = c
}

func (i *idleList) remove(c *Conn) {
	if c.older != nil {
		c.older.newer = c.newer
	} else {
		i.oldest = c.newer
	}
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		i.newest = c.older
	}
	c.older, c.newer = nil, nil
}

// active notes that bytes of c moved.
func (l *Loop) active(c *Conn) {
	if l.now.Sub(c.seen) < l.server.options.IdleTimeout/16 {
		return
	}
	c.seen = l.now
	l.idle.remove(c)
	l.idle.add(c)
}

// expire closes connections that were idle for too long.
func (l *Loop) expire() {
	limit := l.server.options.IdleTimeout + l.server.options.IdleTimeout/16
	for c := l.idle.oldest; c != nil; c = l.idle.oldest {
		if left := limit - l.now.Sub(c.seen); left > 0 {
			l.arm(l.now.Add(left))
			return
		}
		if c.trickles() {
			l.active(c)
			continue
		}
		c.close(ErrIdle)
	}
}

// drainTick is how often a draining loop looks whether the kernels have exchanged what
// was written.
const drainTick = 5 * time.Millisecond

// drain closes the connections that owe nothing any more.
func (l *Loop) drain() {
	for _, c := range l.conns {
		if c != nil && c.head == nil && c.delivered() {
			c.close(ErrServerClosed)
		}
	}
	if l.open > 0 {
		l.arm(l.now.Add(drainTick))
		return
	}
	l.sayDrained()
}

// sayDrained tells Shutdown, once, that nothing is left to send.
func (l *Loop) sayDrained() {
	if l.drained {
		return
	}
	l.drained = true
	if l.server.undrained.Add(-1) == 0 {
		close(l.server.drained)
	}
}
