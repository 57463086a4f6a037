package netpoll

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"time"

	gneterrors "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

// maxEvents is how many events one look at the poller brings.
const maxEvents = 128

// yieldEvery is for how long a loop may go without giving way: less than the runtime's 10 ms.
const yieldEvery = 4 * time.Millisecond

// descriptor is the poller's own, for a loop that waits in its own way. It is read by
// reflection, for gnet does not show it; a gnet that names it otherwise is an error here
// and in the tests, and nothing worse.
func descriptor(p *netpoll.Poller) (int, error) {
	fd := reflect.ValueOf(p).Elem().FieldByName("fd")
	if !fd.IsValid() || !fd.CanInt() {
		return -1, errors.New("this version of gnet keeps its epoll descriptor somewhere else")
	}
	return int(fd.Int()), nil
}

// poll waits for events and has each handled, until a turn ends the loop.
//
// gnet's own Polling calls runtime.Gosched whenever there is nothing to do, which wakes
// another processor to look for work, and looks once more before it sleeps. Here the loop
// gives way only when it has handed work to others in this process: they then run at
// once, where the loop was, and do not wait until the runtime has noticed that it sleeps.
// It also does so now and then: of a goroutine that was in no queue for 10 ms the runtime
// takes the processor away whenever it waits, and watches it every 20 µs to do so.
func (l *Loop) poll() error {
	events := make([]unix.EpollEvent, maxEvents)
	for {
		if l.owed > 0 || l.now.Sub(l.yielded) > yieldEvery {
			l.yielded = l.now
			runtime.Gosched()
		}
		patience := -1
		if len(l.queue) > 0 || len(l.slow) > 0 {
			patience = 0
		}
		n, err := unix.EpollWait(l.epoll, events, patience)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait for events: %w", os.NewSyscallError("epoll_wait", err))
		}
		l.round++
		l.owed = 0
		for i := range events[:n] {
			if err := l.turn(int(events[i].Fd), events[i].Events, 0); err == gneterrors.ErrEngineShutdown {
				return err
			}
		}
		l.takeTurns()
		l.goOnSlowly()
	}
}
