package loadgen

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// member is one connection's part in a loop. All of its methods run on the loop.
type member interface {
	conn() *connection
	// step does what is due by now and returns when it wants to be called again without
	// a readable or writable socket; never when there is nothing to wait for.
	step(now int64) (next int64, err error)
	// readable takes what the socket has.
	readable() error
	// done reports that the member is through: nothing to send, nothing to wait for.
	done() bool
}

// loop runs members on one thread. It sleeps to the nanosecond (timerfd): Go's own
// timers are up to a millisecond late, which is what INVALID is about.
type loop struct {
	clock    *clock
	recorder *recorder
	members  []member
	epoll    int
	timer    int
	spec     unix.ItimerSpec
	alarmed  int64 // when the timer goes off
	events   [64]unix.EpollEvent
	active   int

	measured int64         // when to begin to count busy time
	busyFrom time.Duration // processor time of the thread at that moment
	from     int64         // that moment, zero before
	share    float64       // of the measured time that the thread was busy
}

// timerEvent marks the timer among the events of the members.
const timerEvent = -1

func newLoop(clock *clock, recorder *recorder) (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create a poller: %w", err)
	}
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create a timer: %w", err), unix.Close(epoll))
	}
	l := &loop{clock: clock, recorder: recorder, epoll: epoll, timer: timer, measured: recorder.measured}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: timerEvent}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, timer, &event); err != nil {
		return nil, errors.Join(fmt.Errorf("poll a timer: %w", err), l.close())
	}
	return l, nil
}

func (l *loop) close() error {
	errs := []error{unix.Close(l.epoll), unix.Close(l.timer)}
	for _, m := range l.members {
		errs = append(errs, m.conn().close())
	}
	return errors.Join(errs...)
}

// add polls a member's socket. Before run only.
func (l *loop) add(m member) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(len(l.members))}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, m.conn().fd, &event); err != nil {
		return fmt.Errorf("poll a connection: %w", err)
	}
	l.members = append(l.members, m)
	return nil
}

// run drives the members until all are done, one fails or ctx ends.
func (l *loop) run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := l.turn(ctx)
	now := l.clock.now()
	if l.from > 0 && now > l.from {
		l.share = float64(threadTime()-l.busyFrom) / float64(now-l.from)
	}
	l.recorder.finish(now)
	return err
}

func (l *loop) turn(ctx context.Context) error {
	for {
		now := l.clock.now()
		next := l.recorder.advance(now)
		if l.from == 0 && now >= l.measured {
			l.from, l.busyFrom = now, threadTime()
		}
		l.active = 0
		for _, m := range l.members {
			if m.done() {
				continue
			}
			l.active++
			at, err := m.step(now)
			if err != nil {
				return err
			}
			if err := l.arm(m); err != nil {
				return err
			}
			next = min(next, at)
		}
		if l.active == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := l.wait(next); err != nil {
			return err
		}
	}
}

// arm asks for writability exactly while a member has bytes that did not fit.
func (l *loop) arm(m member) error {
	c := m.conn()
	blocked := len(c.out) > c.gone
	if blocked == c.wantsWrite {
		return nil
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN}
	if blocked {
		event.Events |= unix.EPOLLOUT
	}
	for i := range l.members {
		if l.members[i] == m {
			event.Fd = int32(i)
		}
	}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, c.fd, &event); err != nil {
		return fmt.Errorf("poll a connection: %w", err)
	}
	c.wantsWrite = blocked
	return nil
}

// wait sleeps until next or until a socket is ready, and lets members read.
func (l *loop) wait(next int64) error {
	timeout := -1
	if delay := next - l.clock.now(); delay <= 0 {
		timeout = 0
	} else if next != l.alarmed {
		if err := l.alarm(delay); err != nil {
			return err
		}
		l.alarmed = next
	}
	n, err := waitEvents(l.epoll, l.events[:], timeout)
	if err == unix.EINTR {
		return nil
	}
	if err != nil {
		return fmt.Errorf("wait for the brokers: %w", err)
	}
	for i := range l.events[:n] {
		e := &l.events[i]
		if e.Fd == timerEvent || e.Events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) == 0 {
			continue
		}
		if err := l.members[e.Fd].readable(); err != nil {
			return err
		}
	}
	return nil
}

func (l *loop) alarm(delay int64) error {
	l.spec.Value = unix.NsecToTimespec(delay)
	if err := setTimer(l.timer, &l.spec); err != nil {
		return fmt.Errorf("set a timer: %w", err)
	}
	return nil
}

// threadTime is the processor time of the calling thread.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
