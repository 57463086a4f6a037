package netpoll

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func isReset(err error) bool {
	return errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

// A peer that says it sends no more still gets what it is owed.
func TestHalfCloseIsAnswered(t *testing.T) {
	slots := make(chan *Slot, 10)
	causes := make(chan error, 1)
	s := serve(t, Options{}, &served{
		frame: func(c *Conn, f *Frame) { f.Release(); slots <- c.Reserve() },
		close: func(_ *Conn, cause error) { causes <- cause },
	})
	c := dial(t, s)
	write(t, c, framed([]byte("1"), []byte("2"), []byte("3")))
	_ = c.CloseWrite()
	first, second, third := take(t, slots), take(t, slots), take(t, slots)
	until(t, "the end is noticed", func() bool {
		ended := false
		on(s.loops[0], func() { ended = first.conn.stop&stopEnd != 0 })
		return ended
	})
	quiet(t, s)
	second.Write([]byte("two"))
	second.Send()
	first.Write([]byte("one"))
	first.Send()
	expect(t, c, []byte("one"))
	expect(t, c, []byte("two"))
	third.Discard()
	expectEnd(t, c)
	if cause := take(t, causes); cause != nil {
		t.Fatalf("closed because of %v, want good order", cause)
	}
}

func TestEndWithinAFrame(t *testing.T) {
	causes := make(chan error, 1)
	s := serve(t, Options{}, &served{close: func(_ *Conn, cause error) { causes <- cause }})
	for name, sent := range map[string][]byte{"in a prefix": {0, 0}, "after a prefix": {0, 0, 0, 9}, "in a frame": {0, 0, 0, 9, 1}} {
		c := dial(t, s)
		write(t, c, append(framed([]byte("whole")), sent...))
		_ = c.CloseWrite()
		expect(t, c, []byte("whole"))
		expectEnd(t, c)
		if cause := take(t, causes); !errors.Is(cause, io.ErrUnexpectedEOF) {
			t.Errorf("%s: closed because of %v", name, cause)
		}
	}
}

// Whatever way a connection dies, and whenever the slot is completed, what is attached is
// released once.
func TestOwnersAreReleasedOnce(t *testing.T) {
	end := map[string]func(*Server, *Conn, *net.TCPConn){
		"the handler closes": func(_ *Server, c *Conn, _ *net.TCPConn) { c.Close(errors.New("enough")) },
		"the peer resets":    func(_ *Server, _ *Conn, p *net.TCPConn) { reset(p) },
		"the server closes":  func(s *Server, _ *Conn, _ *net.TCPConn) { _ = s.Close() },
	}
	for name, end := range end {
		t.Run(name, func(t *testing.T) {
			var owner releases
			slots := make(chan *Slot, 8)
			closed := make(chan error, 1)
			s := serve(t, Options{}, &served{
				frame: func(c *Conn, f *Frame) { f.Release(); slots <- c.Reserve() },
				close: func(_ *Conn, cause error) { closed <- cause },
			})
			c := dial(t, s)
			write(t, c, framed(nil, nil, nil, nil))
			attach := func(s *Slot) {
				s.Attach(pattern(100), &owner)
				s.AttachFile(0, 0, 10, &owner)
				s.Write([]byte("tail"))
			}
			pending, complete, late, discarded := take(t, slots), take(t, slots), take(t, slots), take(t, slots)
			attach(complete)
			complete.Send() // waits for the first
			attach(late)
			attach(discarded)
			discarded.Discard()
			end(s, pending.conn, c)
			_ = take(t, closed)
			late.Send()
			attach(pending)
			pending.Send()
			until(t, "all is released", func() bool { return owner.n.Load() == 8 })
			_ = s.Close()
			if n := owner.n.Load(); n != 8 {
				t.Fatalf("%d releases, want 8", n)
			}
		})
	}
}

// The same under load: workers complete slots while peers reset and the server closes.
func TestOwnersAreReleasedOnceUnderFire(t *testing.T) {
	var owner releases
	var attached atomic.Int32
	slots := make(chan *Slot, 1000)
	s := serve(t, Options{Loops: 2}, &served{frame: func(c *Conn, f *Frame) { f.Release(); slots <- c.Reserve() }})
	var working, talking sync.WaitGroup
	body := pattern(5000)
	for range 3 {
		working.Go(func() {
			for s := range slots {
				attached.Add(1)
				s.Attach(body, &owner)
				s.Send()
			}
		})
	}
	for range 60 {
		c := dial(t, s)
		talking.Go(func() {
			_, _ = c.Write(framed(make([][]byte, 40)...))
			_, _ = io.CopyN(io.Discard, c, 30_000)
			reset(c)
		})
	}
	talking.Wait()
	_ = s.Close()
	close(slots)
	working.Wait()
	if owner.n.Load() != attached.Load() || attached.Load() == 0 {
		t.Fatalf("%d releases of %d owners", owner.n.Load(), attached.Load())
	}
}

// The first cause counts, no frame is delivered afterwards, what was answered leaves.
func TestCloseByTheHandler(t *testing.T) {
	enough := errors.New("enough")
	causes := make(chan error, 1)
	frames := 0
	s := serve(t, Options{}, &served{
		frame: func(c *Conn, f *Frame) {
			frames++
			echo(c, f)
			c.Close(enough)
			c.Close(errors.New("another"))
		},
		close: func(_ *Conn, cause error) { causes <- cause },
	})
	c := dial(t, s)
	write(t, c, framed([]byte("last"), []byte("unheard")))
	expect(t, c, []byte("last"))
	expectEnd(t, c)
	if cause := take(t, causes); cause != enough {
		t.Fatalf("closed because of %v", cause)
	}
	if frames != 1 {
		t.Fatalf("%d frames were delivered", frames)
	}
}

// A peer whose requests are not read for now is noticed when it resets.
func TestResetOfAPausedPeer(t *testing.T) {
	causes := make(chan error, 4)
	slots := make(chan *Slot, 4)
	s := serve(t, Options{MaxSlots: 1}, &served{
		frame: func(c *Conn, f *Frame) {
			f.Release()
			slots <- c.Reserve()
		},
		close: func(_ *Conn, cause error) { causes <- cause },
	})
	c := dial(t, s)
	write(t, c, framed(nil))
	slot := take(t, slots)
	write(t, c, framed(nil))
	until(t, "the connection is only watched", func() bool {
		var now interest
		on(s.loops[0], func() { now = slot.conn.interest })
		return now == watching
	})
	quiet(t, s)
	_ = c.CloseWrite()
	quiet(t, s) // an end behind requests that are not read is no end
	reset(c)
	if cause := take(t, causes); !isReset(cause) {
		t.Fatalf("closed because of %v", cause)
	}
	slot.Send()
}

// Shutdown reads no more, sends what is owed, late replies too, and ends.
func TestShutdownFlushes(t *testing.T) {
	slots := make(chan *Slot, 4)
	s := serve(t, Options{Loops: 2}, &served{frame: func(c *Conn, f *Frame) { f.Release(); slots <- c.Reserve() }})
	busy, idle, slow := dial(t, s), dial(t, s), dial(t, s)
	write(t, busy, framed(nil, nil))
	first, second := take(t, slots), take(t, slots)
	write(t, slow, framed(nil))
	large := take(t, slots)
	slowly := large.conn
	body := pattern(20 << 20)
	var owner releases
	large.Attach(body, &owner)
	large.Send()
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	expectEnd(t, idle)
	write(t, busy, framed(nil)) // not read any more, and no reason to lose what is sent
	write(t, slow, framed(nil))
	until(t, "the server accepts no more", func() bool {
		c, err := net.Dial("tcp", s.Addr().String())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	second.Write([]byte("second"))
	second.Send()
	first.Write([]byte("first"))
	first.Send()
	expect(t, busy, []byte("first"))
	expect(t, busy, []byte("second"))
	expectEnd(t, busy)
	// All of the body is in the kernels before the slow one reads the last megabytes: the
	// server must not close, and lose them, however often it looks.
	got := make([]byte, 4+len(body))
	at := 0
	for written := false; !written; {
		at += fill(t, slow, got[at:min(at+256<<10, len(got))])
		on(s.loops[slowly.loop.index], func() { written = slowly.head == nil })
	}
	before := s.Stats().Turns
	until(t, "the server has looked some times", func() bool { return s.Stats().Turns > before+3 })
	fill(t, slow, got[at:])
	if !bytes.Equal(got[4:], body) {
		t.Fatal("the body was cut short")
	}
	if err := take(t, done); err != nil || owner.n.Load() != 1 || len(slots) != 0 {
		t.Fatalf("Shutdown: %v; %d releases; %d requests read", err, owner.n.Load(), len(slots))
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatalf("second Shutdown: %v", err)
	}
}

func TestShutdownEndsWithItsContext(t *testing.T) {
	slots := make(chan *Slot, 1)
	causes := make(chan error, 1)
	s := serve(t, Options{}, &served{
		frame: func(c *Conn, f *Frame) { f.Release(); slots <- c.Reserve() },
		close: func(_ *Conn, cause error) { causes <- cause },
	})
	c := dial(t, s)
	write(t, c, framed(nil))
	slot := take(t, slots)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Shutdown: %v", err)
	}
	if cause := take(t, causes); cause != ErrServerClosed {
		t.Fatalf("closed because of %v", cause)
	}
	expectEnd(t, c)
	slot.Send() // to nobody
}
