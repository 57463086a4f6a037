package engine

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/engine/fuzz"
)

// FuzzRequest sends arbitrary frames to a running broker, of every key: whatever comes,
// the broker lives and answers others.
func FuzzRequest(f *testing.F) {
	onlyOurs(f)
	b := start(f, f.TempDir(), "num.network.threads=1", "num.io.threads=1", "message.max.bytes=100000")
	control := dial(f, b.Addresses()[0])
	s := control.topicNamed("t", 1)
	control.coordinated()
	control.put(s, 0, records("one"))
	for key, versions := range advertised(control) {
		for version := versions.MinVersion; version <= versions.MaxVersion; version++ {
			f.Add(bare(control.request(version, kmsg.RequestForKey(key))))
		}
	}
	for _, q := range []kmsg.Request{
		produceRequest(9, s, 0, -1, records("two")), from(s, 0, 0), joinRequest("g", "", "range"), commitRequest(8, "g", s, 1),
		offsetsRequest(8, "g", s), versionsRequest("test", "1"),
	} {
		for version := int16(3); version <= q.MaxVersion(); version++ {
			f.Add(bare(control.request(version, q)))
		}
	}
	for _, body := range malformed() {
		f.Add(body)
	}
	room := newSockets(f, b.Addresses()[0])
	// The only loop and the only shard have passed over what was there before once they answer this.
	pass := func(t testing.TB) { control.at(t).offsetAt(4, s, 0, -1, anyEpoch) }
	fuzz.RunTogether(f, len(room.all), func(t *testing.T, body []byte) {
		room.next().send(t, frame(body))
	}, func(t testing.TB) {
		pass(t)
		if left := slices.DeleteFunc(room.used(), (*socket).answered); len(left) > 0 {
			pass(t) // they may have been accepted no sooner than that was answered
			for _, l := range left {
				l.close()
			}
		}
	})
}

// sockets are those over which executions send that share an end.
type sockets struct {
	all  [16]*socket
	sent int // over how many of them something was sent since the last end
}

func newSockets(t testing.TB, address string) *sockets {
	t.Helper()
	room := new(sockets)
	for i := range room.all {
		room.all[i] = newSocket(t, address)
	}
	return room
}

// next is one over which nothing was sent since the last end.
func (r *sockets) next() *socket {
	r.sent++
	return r.all[r.sent-1]
}

// used is a list of the others, and ends them.
func (r *sockets) used() []*socket {
	used := slices.Clone(r.all[:r.sent])
	r.sent = 0
	return used
}

// socket is a connection without Go's poller, which is several times as quick to make. It serves as long as each frame
// has one whole answer: one whose answer is awaited would hold up the next.
type socket struct {
	to     unix.SockaddrInet4
	fd     int // -1: there is none
	answer []byte
}

func newSocket(t testing.TB, address string) *socket {
	t.Helper()
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		t.Fatal(err)
	}
	l := &socket{to: unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}, fd: -1, answer: make([]byte, 64<<10)}
	t.Cleanup(l.close)
	return l
}

// dial connects. There is no farewell on the wire: thousands of ports would wait for one.
func (l *socket) dial(t testing.TB) {
	t.Helper()
	var err error
	if l.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	err = errors.Join(unix.SetsockoptLinger(l.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
		unix.SetsockoptInt(l.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	for unconnected := err == nil; unconnected; {
		err = unix.Connect(l.fd, &l.to)
		unconnected = errors.Is(err, unix.EINTR)
	}
	if err != nil && !errors.Is(err, unix.EISCONN) {
		t.Fatal(err)
	}
}

// write sends bytes as they are, as far as they are taken.
func (l *socket) write(raw []byte) error {
	for len(raw) > 0 {
		n, err := unix.Write(l.fd, raw)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		raw = raw[max(n, 0):]
	}
	return nil
}

// send sends a frame, over a new connection if the last was closed meanwhile.
func (l *socket) send(t testing.TB, frame []byte) {
	t.Helper()
	if l.fd >= 0 && l.write(frame) == nil {
		return
	}
	l.close()
	l.dial(t)
	if err := l.write(frame); err != nil {
		t.Fatal(err)
	}
}

// answered reports whether the broker has answered the frame, or closed the connection.
func (l *socket) answered() bool {
	n, _, err := unix.Recvfrom(l.fd, l.answer, unix.MSG_DONTWAIT)
	if err != nil && (errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR)) {
		return false
	}
	if err != nil || n < 4 || int(binary.BigEndian.Uint32(l.answer)) != n-4 { // closed, or a long answer
		l.close()
	}
	return true
}

func (l *socket) close() {
	if l.fd >= 0 {
		_ = unix.Close(l.fd)
	}
	l.fd = -1
}

// bare is a request without its length.
func bare(raw []byte) []byte { return raw[4:] }
