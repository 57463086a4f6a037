package netpoll

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// sleeper is a handler whose connections do what frames say: "for <duration>" pauses for a time, "pause"
// until somebody resumes. Each frame is echoed at once.
func sleeper(c *Conn, f *Frame) {
	for _, deed := range strings.Split(string(f.Bytes()), ", ") {
		if deed == "pause" {
			c.Pause()
		} else if d, err := time.ParseDuration(strings.TrimPrefix(deed, "for ")); err == nil {
			c.PauseFor(d)
		}
	}
	echo(c, f)
}

// paused is how many connections of s wait for their time.
func paused(s *Server) (n int) {
	for _, l := range s.loops {
		on(l, func() {
			n += len(l.pauses)
			for i, c := range l.pauses {
				if c.paused != i || c.stop&stopTime == 0 || c.closed {
					panic(fmt.Sprintf("connection %d of the pauses is at %d, stopped by %b, closed %v", i, c.paused, c.stop, c.closed))
				}
			}
		})
	}
	return n
}

// What comes during a pause for a time is delivered after it, once and in order, whether it was read
// before the pause, with what began it, or not at all.
func TestAPauseForATimeEndsByItself(t *testing.T) {
	const each = 20 * time.Millisecond
	s := serve(t, Options{}, &served{frame: sleeper})
	c := dial(t, s)
	say := []string{"for 20ms", "for 20ms, for 1ms", "a", "b", "for 20ms", "c"}
	var first []byte
	for _, text := range say {
		first = append(first, framed([]byte(text))...)
	}
	begin := time.Now()
	write(t, c, first)
	expect(t, c, []byte(say[0])) // at once
	write(t, c, framed([]byte("d"), []byte("e")))
	for _, text := range append(say[1:], "d", "e") {
		expect(t, c, []byte(text))
	}
	if took := time.Since(begin); took < 3*each {
		t.Errorf("three pauses of %v took %v", each, took)
	}
	if n := paused(s); n != 0 {
		t.Errorf("%d connections are paused", n)
	}
}

// A pause for a time and one that lasts until Resume do not end each other.
func TestTwoKindsOfPauseDoNotEndEachOther(t *testing.T) {
	const long = time.Hour
	var delivered atomic.Int32
	s := serve(t, Options{}, &served{frame: func(c *Conn, f *Frame) {
		delivered.Add(1)
		sleeper(c, f)
	}})
	c := dial(t, s)
	write(t, c, framed([]byte("pause, for 1ms"), []byte("for 1h, pause"), []byte("end")))
	expect(t, c, []byte("pause, for 1ms"))
	until(t, "the time is over", func() bool { return paused(s) == 0 })
	if n := delivered.Load(); n != 1 {
		t.Fatalf("%d frames were delivered when the time was over", n)
	}
	each(s, func(c *Conn) { c.Resume() })
	expect(t, c, []byte("for 1h, pause"))
	each(s, func(c *Conn) { c.Resume() })
	each(s, func(c *Conn) { c.PauseFor(time.Nanosecond) }) // which makes nothing shorter
	if n := delivered.Load(); n != 2 || paused(s) != 1 {
		t.Fatalf("%d frames were delivered within a pause of %v, %d are paused", n, long, paused(s))
	}
	l := s.loops[0]
	on(l, func() { l.now = l.now.Add(2 * long); l.endPauses() })
	expect(t, c, []byte("end"))
}

// Who goes on first does not wait for who was paused first, and nobody waits for who is closed.
func TestPausesEndInTheOrderOfTheirTimes(t *testing.T) {
	s := serve(t, Options{}, &served{frame: sleeper})
	var all []*net.TCPConn
	for i := range 32 {
		c := dial(t, s)
		say := []byte(fmt.Sprintf("for %dms", 5+(i*7)%32))
		if i%4 == 0 {
			say = []byte("for 1h")
		}
		write(t, c, framed(say, []byte("end")))
		expect(t, c, say)
		all = append(all, c)
	}
	for i, c := range all {
		if i%4 != 0 {
			expect(t, c, []byte("end"))
		}
	}
	if n := paused(s); n != 8 {
		t.Fatalf("%d connections are paused, want 8", n)
	}
	for i := 0; i < len(all); i += 8 {
		reset(all[i])
	}
	until(t, "those that were reset are forgotten", func() bool { return paused(s) == 4 })
	each(s, func(c *Conn) { c.Close(nil) })
	for i := 4; i < len(all); i += 8 {
		expectEnd(t, all[i])
	}
	if n := paused(s); n != 0 {
		t.Errorf("%d closed connections are paused", n)
	}
}

// A shutdown does not wait until a pause is over; what is owed is sent, and what came meanwhile is not
// looked at.
func TestShutdownEndsAPauseForATime(t *testing.T) {
	slots := make(chan *Slot, 2)
	s := serve(t, Options{}, &served{frame: func(c *Conn, f *Frame) {
		f.Release()
		slots <- c.Reserve()
		c.PauseFor(time.Hour)
	}})
	idle, owed := dial(t, s), dial(t, s)
	write(t, idle, framed([]byte("1"), []byte("2")))
	take(t, slots).Send()
	expect(t, idle, nil)
	write(t, owed, framed([]byte("1"), []byte("2")))
	last := take(t, slots)
	ended := make(chan error)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ended <- s.Shutdown(ctx)
	}()
	if n, err := idle.Read(make([]byte, 1)); n != 0 || err == nil { // its end, or a reset: bytes were not read
		t.Errorf("read %d bytes, %v, after a shutdown", n, err)
	}
	last.Write([]byte("late"))
	last.Send()
	var answer [8]byte
	if _, err := io.ReadFull(owed, answer[:]); err != nil || binary.BigEndian.Uint32(answer[:]) != 4 || string(answer[4:]) != "late" {
		t.Errorf("what was owed is %q, %v", answer, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(slots) > 0 {
		t.Error("a frame was delivered within a pause")
	}
}

func TestAPauseForATimeAllocatesNothing(t *testing.T) {
	s := serve(t, Options{}, &served{})
	c := dial(t, s)
	write(t, c, framed([]byte("1")))
	expect(t, c, []byte("1"))
	each(s, func(c *Conn) {
		if n := testing.AllocsPerRun(100, func() {
			c.PauseFor(time.Minute)
			c.PauseFor(time.Hour)
			c.loop.now = c.loop.now.Add(2 * time.Hour)
			c.loop.endPauses()
		}); n != 0 {
			t.Errorf("%v allocations, want 0", n)
		}
	})
}
