package netpoll

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	poison = true
	code := m.Run()
	if code == 0 {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if strings.Contains(string(stacks), "netpoll.(*Loop)") {
			fmt.Printf("a loop outlived its test:\n%s\n", stacks)
			code = 1
		}
	}
	os.Exit(code)
}

// served is a handler of which each test sets what it needs. Frames are echoed.
type served struct {
	open  func(c *Conn)
	frame func(c *Conn, f *Frame)
	close func(c *Conn, cause error)
}

func (h *served) Open(c *Conn) {
	if h.open != nil {
		h.open(c)
	}
}

func (h *served) Frame(c *Conn, f *Frame) {
	if h.frame != nil {
		h.frame(c, f)
		return
	}
	echo(c, f)
}

func (h *served) Close(c *Conn, cause error) {
	if h.close != nil {
		h.close(c, cause)
	}
}

func echo(c *Conn, f *Frame) {
	s := c.Reserve()
	s.Write(f.Bytes())
	f.Release()
	s.Send()
}

// serve starts a server, and sees at the end that it holds no frame.
func serve(t testing.TB, o Options, h *served) *Server {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s, err := Listen("127.0.0.1:0", o, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.Close()
		if used := s.Stats().FrameBytes; used != 0 {
			t.Errorf("%d bytes of frames are not released", used)
		}
		if open := s.Stats().Connections; open != 0 {
			t.Errorf("%d connections are open", open)
		}
	})
	return s
}

// dial connects a client that fails the test instead of hanging.
func dial(t testing.TB, s *Server) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// framed is the frames with their prefixes, one after the other.
func framed(frames ...[]byte) []byte {
	var p []byte
	for _, f := range frames {
		p = binary.BigEndian.AppendUint32(p, uint32(len(f)))
		p = append(p, f...)
	}
	return p
}

func write(t testing.TB, c net.Conn, p []byte) {
	t.Helper()
	if _, err := c.Write(p); err != nil {
		t.Fatal(err)
	}
}

// writeLater writes in the background; who reads the replies notices if it fails.
func writeLater(c net.Conn, p []byte) {
	go func() { _, _ = c.Write(p) }()
}

// reset ends the connection without good order.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// read takes one reply.
func read(t testing.TB, c io.Reader) []byte {
	t.Helper()
	var prefix [4]byte
	if _, err := io.ReadFull(c, prefix[:]); err != nil {
		t.Fatalf("read the prefix of a reply: %v", err)
	}
	p := make([]byte, binary.BigEndian.Uint32(prefix[:]))
	if _, err := io.ReadFull(c, p); err != nil {
		t.Fatalf("read a reply of %d bytes: %v", len(p), err)
	}
	return p
}

// fill reads until p is full.
func fill(t testing.TB, c io.Reader, p []byte) int {
	t.Helper()
	if n, err := io.ReadFull(c, p); err != nil {
		t.Fatalf("read %d of %d bytes: %v", n, len(p), err)
	}
	return len(p)
}

func expect(t testing.TB, c io.Reader, want []byte) {
	t.Helper()
	if got := read(t, c); !bytes.Equal(got, want) {
		t.Fatalf("reply of %d bytes (%.40q…), want %d (%.40q…)", len(got), got, len(want), want)
	}
}

// expectEnd sees that the server closed the connection without another byte.
func expectEnd(t testing.TB, c io.Reader) {
	t.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatalf("read %d bytes, error %v; want the end", n, err)
	} else if os.IsTimeout(err) {
		t.Fatal("the connection was not closed")
	}
}

// until waits for what has no event of its own.
func until(t testing.TB, what string, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !happened(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// on runs f on the loop, and returns when it did.
func on(l *Loop, f func()) {
	done := make(chan struct{})
	l.Post(&Task{Run: func() { f(); close(done) }})
	<-done
}

// take receives from a channel, or fails.
func take[T any](t testing.TB, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

// releases counts.
type releases struct{ n atomic.Int32 }

func (r *releases) Release() { r.n.Add(1) }

// pattern is n bytes that tell where they are.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := 0; i+8 <= n; i += 8 {
		binary.LittleEndian.PutUint64(p[i:], uint64(i)*0x9E3779B97F4A7C15)
	}
	return p
}

// Who has to know the address before anybody is served is told it while connections wait.
func TestNobodyIsServedBeforeTheAddressIsKnown(t *testing.T) {
	known := false
	var c net.Conn
	o := Options{Bound: func(at net.Addr) (err error) {
		if c, err = net.Dial("tcp", at.String()); err == nil {
			_, err = c.Write(framed([]byte{7}))
		}
		known = true // the race detector sees a loop that looks before
		return err
	}}
	serve(t, o, &served{frame: func(c *Conn, f *Frame) {
		if !known {
			t.Error("a frame is served before the address is known")
		}
		slot := c.Reserve()
		slot.Write(f.Bytes())
		f.Release()
		slot.Send()
	}})
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	expect(t, c, []byte{7})
}

func TestListenFailsWithTheErrorOfBound(t *testing.T) {
	refused := errors.New("refused")
	var at net.Addr
	s, err := Listen("127.0.0.1:0", Options{Bound: func(a net.Addr) error { at = a; return refused }}, &served{})
	if s != nil || !errors.Is(err, refused) {
		t.Fatalf("%v, %v", s, err)
	}
	if c, err := net.Dial("tcp", at.String()); err == nil {
		c.Close()
		t.Error("the address is still listened on")
	}
}
