package netpoll

import (
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

// delivered is one frame that a test was told of, and its slot.
type delivered struct {
	slot *Slot
	body string
}

// holding serves connections that do what frames say: "hold" lets no other through until its slot is complete, "pause" until
// somebody resumes, "for an hour" until the test makes it later. The test answers.
func holding(t *testing.T, closed func(c *Conn, cause error)) (*Server, chan delivered) {
	frames := make(chan delivered, 100)
	return serve(t, Options{}, &served{close: closed, frame: func(c *Conn, f *Frame) {
		slot, body := c.Reserve(), string(f.Bytes())
		f.Release()
		for _, deed := range strings.Split(body, ", ") {
			switch deed {
			case "hold":
				slot.Hold(nil)
			case "pause":
				c.Pause()
			case "for an hour":
				c.PauseFor(time.Hour)
			}
		}
		frames <- delivered{slot, body}
	}}), frames
}

// answer sends what a frame said back.
func (d delivered) answer(t *testing.T, c io.Reader) {
	t.Helper()
	d.slot.Write([]byte(d.body))
	d.slot.Send()
	expect(t, c, []byte(d.body))
}

// A held slot and a pause do not end each other, in whichever order they end.
func TestAHoldAndAPauseDoNotEndEachOther(t *testing.T) {
	resume := func(l *Loop, c *Conn) { on(l, c.Resume) }
	later := func(l *Loop, _ *Conn) {
		on(l, func() { l.now = l.now.Add(2 * time.Hour); l.endPauses() })
	}
	for name, test := range map[string]struct {
		say string
		end func(l *Loop, c *Conn)
	}{
		"a pause": {"hold, pause", resume}, "a pause before it": {"pause, hold", resume},
		"a pause for a time": {"hold, for an hour", later}, "a pause for a time before it": {"for an hour, hold", later},
	} {
		for _, answerFirst := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				s, frames := holding(t, nil)
				c := dial(t, s)
				write(t, c, framed([]byte(test.say), []byte("next"))) // the second is read with the first
				first := take(t, frames)
				conn := first.slot.Conn()
				l := conn.Loop()
				waits := func(what string) {
					t.Helper()
					on(l, func() {})
					if n := len(frames); n != 0 {
						t.Fatalf("%d frames came before %s", n, what)
					}
				}
				if answerFirst {
					first.answer(t, c)
					waits("the pause was over")
					test.end(l, conn)
				} else {
					test.end(l, conn)
					waits("the answer")
					first.answer(t, c)
				}
				write(t, c, framed([]byte("last"))) // and reading goes on
				for _, want := range []string{"next", "last"} {
					got := take(t, frames)
					if got.body != want {
						t.Fatalf("%q came, want %q", got.body, want)
					}
					got.answer(t, c)
				}
			})
		}
	}
}

// Of a slot that lets some frames through, the others wait for all that hold, also one that is read whole by
// itself, one that only begins with the frame before it, and one that is empty; what comes behind it waits, too.
func TestSomeFramesPassAHeldSlot(t *testing.T) {
	frames := make(chan delivered, 100)
	s := serve(t, Options{}, &served{frame: func(c *Conn, f *Frame) {
		slot, body := c.Reserve(), string(f.Bytes())
		f.Release()
		if strings.HasPrefix(body, "pass") {
			slot.Hold(func(frame []byte) bool { return strings.HasPrefix(string(frame), "pass") })
		}
		frames <- delivered{slot, body}
	}})
	long := strings.Repeat("long", 100<<10)
	for name, next := range map[string]string{"a short one": "next", "a long one": long, "an empty one": ""} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, s)
			all := framed([]byte("pass 1"), []byte("pass 2"), []byte(next), []byte("pass 3"), []byte("end"))
			for _, part := range [][]byte{all[:10], all[10:22], all[22:]} { // the first alone, and the third begins with a bit of the next
				write(t, c, part)
			}
			first, second := take(t, frames), take(t, frames)
			conn := first.slot.Conn()
			until(t, "a frame is held back", func() (held bool) {
				on(conn.Loop(), func() { held = conn.stop&stopReply != 0 })
				return held
			})
			second.slot.Write([]byte(second.body))
			second.slot.Send()
			on(conn.Loop(), func() {}) // the answer has arrived there, and waits for the first
			if n := len(frames); n != 0 {
				t.Fatalf("%d frames came before the first answer", n)
			}
			first.slot.Discard()
			expect(t, c, []byte("pass 2"))
			for _, want := range []string{next, "pass 3"} {
				got := take(t, frames)
				if got.body != want {
					t.Fatalf("%.20q came, want %.20q", got.body, want)
				}
				on(conn.Loop(), func() {})
				if n := len(frames); want == "pass 3" && n != 0 {
					t.Fatal("the end came before the answer")
				}
				got.answer(t, c)
			}
			take(t, frames).answer(t, c)
		})
	}
}

// A frame that is held back is let go with its connection.
func TestAConnectionEndsWithAFrameHeldBack(t *testing.T) {
	slots := make(chan *Slot, 10)
	s := serve(t, Options{}, &served{frame: func(c *Conn, f *Frame) {
		f.Release()
		slot := c.Reserve()
		slot.Hold(func([]byte) bool { return false })
		slots <- slot
	}})
	c := dial(t, s)
	write(t, c, framed([]byte("1"), []byte("2"), []byte("3")))
	slot := take(t, slots)
	conn := slot.Conn()
	reset(c)
	until(t, "it is closed", func() (closed bool) {
		on(conn.Loop(), func() { closed = conn.closed })
		return closed
	})
	slot.Send()
	on(s.loops[0], func() {})
	if len(slots) != 0 {
		t.Error("a frame was delivered")
	}
}

// A peer that has said everything while a slot is held is heard to the end, and answered.
func TestThePeerEndsWhileASlotIsHeld(t *testing.T) {
	causes := make(chan error, 1)
	s, frames := holding(t, func(_ *Conn, cause error) { causes <- cause })
	c := dial(t, s)
	write(t, c, framed([]byte("hold"), []byte("second"), []byte("third")))
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	first := take(t, frames)
	until(t, "the poller has told of the end", func() (loud bool) {
		on(s.loops[0], func() { loud = first.slot.Conn().loud })
		return loud
	})
	if n := len(frames); n != 0 {
		t.Fatalf("%d frames came while a slot was held", n)
	}
	first.answer(t, c)
	for range 2 {
		take(t, frames).answer(t, c)
	}
	expectEnd(t, c)
	if cause := take(t, causes); cause != nil {
		t.Fatalf("closed because of %v, want good order", cause)
	}
}

// A shutdown sends what a held slot owes, and does not look at what came meanwhile.
func TestShutdownWhileASlotIsHeld(t *testing.T) {
	s, frames := holding(t, nil)
	c := dial(t, s)
	write(t, c, framed([]byte("hold"), []byte("second")))
	first := take(t, frames)
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ended <- s.Shutdown(ctx)
	}()
	until(t, "the shutdown is there", func() (draining bool) {
		on(s.loops[0], func() { draining = s.loops[0].draining })
		return draining
	})
	first.answer(t, c)
	if err := take(t, ended); err != nil {
		t.Error(err)
	}
	if n := len(frames); n != 0 {
		t.Errorf("%d frames were delivered", n)
	}
}

// A reply that no prefix can tell the length of ends its connection. It releases what it holds, and no other
// connection notices.
func TestAReplyThatIsTooLargeEndsItsConnection(t *testing.T) {
	var owner releases
	causes := make(chan error, 10)
	s := serve(t, Options{}, &served{
		close: func(_ *Conn, cause error) { causes <- cause },
		frame: func(c *Conn, f *Frame) {
			if string(f.Bytes()) != "much" {
				echo(c, f)
				return
			}
			f.Release()
			slot := c.Reserve()
			slot.AttachFile(0, 0, math.MaxInt32, &owner) // nobody reads it
			slot.AttachFile(0, 0, 1, &owner)
			slot.Send()
		},
	})
	other, greedy := dial(t, s), dial(t, s)
	write(t, greedy, framed([]byte("much"), []byte("more")))
	if n, err := greedy.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	if cause := take(t, causes); !errors.Is(cause, ErrReplyTooLarge) {
		t.Errorf("closed because of %v", cause)
	}
	until(t, "what it held is released", func() bool { return owner.n.Load() == 2 })
	write(t, other, framed([]byte("served")))
	expect(t, other, []byte("served"))
}
