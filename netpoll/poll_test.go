package netpoll

import (
	"testing"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

// What descriptor finds must be an epoll on which the poller registers.
func TestDescriptorIsThePollers(t *testing.T) {
	p, err := netpoll.OpenPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close() //nolint:errcheck // the test is over
	fd, err := descriptor(p)
	if err != nil {
		t.Fatal(err)
	}
	bell, err := unix.Eventfd(1, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(bell) //nolint:errcheck // the test is over
	if err := p.AddRead(&netpoll.PollAttachment{FD: bell}, false); err != nil {
		t.Fatal(err)
	}
	events := make([]unix.EpollEvent, 4)
	if n, err := unix.EpollWait(fd, events, 0); err != nil || n != 1 || int(events[0].Fd) != bell {
		t.Fatalf("%d events, %v: %v", n, events[:max(n, 0)], err)
	}
}
