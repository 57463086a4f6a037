package netpoll

import (
	"bytes"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// each calls f, on its loop, with every connection.
func each(s *Server, f func(c *Conn)) {
	for _, l := range s.loops {
		on(l, func() {
			for _, c := range l.conns {
				if c != nil {
					f(c)
				}
			}
		})
	}
}

// A thousand clients send 500 requests each and never read: 4 GB of replies, of which the
// server keeps what its bounds allow. One client that reads is served meanwhile.
func TestClientsThatNeverRead(t *testing.T) {
	const clients, requests, reply, slots, waiting = 1000, 500, 8 << 10, 4, 32 << 10
	body := make([]byte, reply)
	s := serve(t, Options{Loops: 2, MaxSlots: slots, MaxWaiting: waiting, SendBuffer: 16 << 10}, &served{
		frame: func(c *Conn, f *Frame) {
			f.Release()
			s := c.Reserve()
			s.Write(body)
			s.Send()
		}})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	flood := framed(make([][]byte, requests)...)
	for i := range flood {
		flood[i] = 0 // requests of no bytes
	}
	for range clients {
		c := dial(t, s)
		_ = c.SetReadBuffer(8 << 10)
		write(t, c, flood)
	}
	until(t, "all connections are stopped by what waits", func() bool {
		stopped := 0
		each(s, func(c *Conn) {
			if c.stop&(stopSlots|stopReplies) != 0 && c.blocked {
				stopped++
			}
		})
		return stopped == clients
	})
	most, frames := 0, s.Stats().Frames
	each(s, func(c *Conn) { most = max(most, int(c.waiting.Load())) })
	if limit := waiting + slots*(reply+4); most > limit {
		t.Errorf("%d bytes wait for one connection, want at most %d", most, limit)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > clients*(waiting+slots*reply+8<<10) {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	c := dial(t, s)
	for range 50 {
		write(t, c, framed(nil))
		expect(t, c, body)
	}
	// The kernels still move a little from one's buffer to the other's.
	if more := s.Stats().Frames - frames - 50; more > clients*slots {
		t.Errorf("%d frames of stopped connections were delivered", more)
	}
}

// Replies that wait stop the reading also where slots would not.
func TestReadingPausesWhenRepliesWait(t *testing.T) {
	const requests, request, reply, waiting = 1000, 4 << 10, 64 << 10, 64 << 10
	body := make([]byte, reply)
	s := serve(t, Options{MaxSlots: 10_000, MaxWaiting: waiting, SendBuffer: 64 << 10}, &served{
		frame: func(c *Conn, f *Frame) {
			f.Release()
			s := c.Reserve()
			s.Write(body)
			s.Send()
		}})
	c := dial(t, s)
	_ = c.SetReadBuffer(64 << 10) // a smaller window than loopback's segments would crawl
	writeLater(c, bytes.Repeat(framed(make([]byte, request)), requests))
	until(t, "reading stops", func() bool {
		stopped := false
		each(s, func(c *Conn) { stopped = c.stop == stopReplies && c.blocked })
		return stopped
	})
	// The kernels take some of it.
	if most := int64(waiting/reply + 64); s.Stats().Frames > most {
		t.Errorf("%d requests were read, want at most %d", s.Stats().Frames, most)
	}
	for range requests {
		expect(t, c, body)
	}
}

// No request is looked at while more than MaxWaiting bytes wait for the connection, although one read brings many that
// are answered at once, or others answer them before the loop looks.
func TestAnswersCountBeforeTheNextRequest(t *testing.T) {
	const requests, reply, waiting = 1000, 64 << 10, 128 << 10
	body := make([]byte, reply)
	var answered int64 // the loop's
	var most atomic.Int64
	s := serve(t, Options{MaxWaiting: waiting}, &served{
		frame: func(c *Conn, f *Frame) {
			f.Release()
			most.Store(max(most.Load(), answered-c.loop.counts.bytesOut.Load()))
			s := c.Reserve()
			s.Write(body)
			answered += reply + 4
			s.Send()
		}})
	c := dial(t, s)
	writeLater(c, framed(make([][]byte, requests)...))
	for range requests {
		expect(t, c, body)
	}
	if limit := int64(waiting + reply + 4); most.Load() > limit {
		t.Errorf("%d bytes waited as the next request came, want at most %d", most.Load(), limit)
	}
}

// Requests that take long, sent together, are not all served before somebody else's.
func TestSlowRequestsGiveWay(t *testing.T) {
	const requests, crowd = 10, 6
	order := make(chan byte, crowd*requests+1)
	begun, goOn := make(chan struct{}), make(chan struct{})
	s := serve(t, Options{}, &served{
		frame: func(c *Conn, f *Frame) {
			order <- f.Bytes()[0]
			f.Release()
			if len(order) == 1 {
				close(begun)
				<-goOn
			}
			for begin := time.Now(); time.Since(begin) < frameTurn; { //nolint:revive // to take long is all it is for
			}
			s := c.Reserve()
			s.Write([]byte{1})
			s.Send()
		}})
	var slow []net.Conn
	for range crowd {
		slow = append(slow, dial(t, s))
	}
	other := dial(t, s)
	for _, c := range slow {
		write(t, c, framed(slices.Repeat([][]byte{{'s'}}, requests)...))
	}
	<-begun
	write(t, other, framed([]byte{'o'}))
	close(goOn)
	expect(t, other, []byte{1})
	for _, c := range slow {
		for range requests {
			expect(t, c, []byte{1})
		}
	}
	// Each of the crowd was there before, with one request.
	for at := range crowd + 2 {
		if <-order == 'o' {
			return
		}
		if at == crowd+1 {
			t.Errorf("%d were served before the other's", at+1)
		}
	}
}

// quiet sees that the loops do not turn while nothing happens. That nothing happened can
// only be seen by looking for a while.
func quiet(t *testing.T, s *Server) {
	t.Helper()
	before := s.Stats().Turns
	<-time.After(30 * time.Millisecond)
	if turns := s.Stats().Turns - before; turns > 10 {
		t.Errorf("the loops turned %d times while nothing happened", turns)
	}
}

// MaxSlots requests are in flight, no more; each that completes lets others in.
func TestReadingPausesAtMaxSlots(t *testing.T) {
	const slots, requests = 8, 100
	taken := make(chan *Slot, requests)
	s := serve(t, Options{MaxSlots: slots}, &served{frame: func(c *Conn, f *Frame) { f.Release(); taken <- c.Reserve() }})
	c := dial(t, s)
	write(t, c, framed(make([][]byte, requests)...))
	for done := 0; done < requests; {
		var held []*Slot
		for range min(slots/2, requests-done) {
			held = append(held, take(t, taken))
		}
		on(s.loops[0], func() {
			if n := held[0].conn.slots; n > slots {
				t.Fatalf("%d requests are in flight, want at most %d", n, slots)
			}
		})
		for _, s := range held {
			s.Send()
		}
		for range held {
			expect(t, c, nil)
		}
		done += len(held)
	}
}

// When the frame budget is spent reading pauses, on all loops, and goes on when frames
// are released.
func TestReadingPausesWhenTheBudgetIsSpent(t *testing.T) {
	const budget, frame, clients, each = 1 << 20, 60_000, 8, 20
	frames := make(chan *Frame, clients*each)
	s := serve(t, Options{Loops: 2, FrameBudget: budget}, &served{frame: func(_ *Conn, f *Frame) { frames <- f }})
	for range clients {
		c := dial(t, s)
		go func() {
			for range each {
				_, _ = c.Write(framed(make([]byte, frame)))
			}
		}()
	}
	stopped := func() bool {
		n := 0
		for _, l := range s.loops {
			on(l, func() { n += len(l.waiting) })
		}
		return n == clients
	}
	until(t, "every connection waits for memory", stopped)
	// One frame may overdraw, and each connection may have read one scratch ahead.
	if used, limit := s.Stats().FrameBytes, int64(budget+64<<10+clients*scratchSize); used > limit {
		t.Errorf("%d bytes are used, want at most %d", used, limit)
	}
	delivered := s.Stats().Frames
	if delivered > budget/frame+1 {
		t.Errorf("%d frames were delivered", delivered)
	}
	for range clients * each {
		f := take(t, frames)
		if used := s.Stats().FrameBytes; used > budget+64<<10+clients*scratchSize {
			t.Fatalf("%d bytes are used", used)
		}
		f.Release()
	}
	if s.Stats().Frames != clients*each {
		t.Fatalf("%d frames were delivered, want %d", s.Stats().Frames, clients*each)
	}
}

// Were the budget spent on frames that are only partly read, nobody could go on; so one
// may overdraw it at a time, and all come through.
func TestBudgetSpentOnPartsOfFrames(t *testing.T) {
	const budget, frame, clients = 256 << 10, 200 << 10, 6
	s := serve(t, Options{FrameBudget: budget}, &served{})
	body := pattern(frame)
	p := framed(body)
	var all []net.Conn
	for range clients {
		c := dial(t, s)
		all = append(all, c)
		write(t, c, p[:frame/2])
	}
	until(t, "some wait for memory", func() bool {
		n := 0
		on(s.loops[0], func() { n = len(s.loops[0].waiting) })
		return n > 0
	})
	for _, c := range all {
		writeLater(c, p[frame/2:])
	}
	for _, c := range all {
		expect(t, c, body)
	}
}

// A frame longer than the whole budget is served, alone.
func TestFrameBeyondTheBudget(t *testing.T) {
	s := serve(t, Options{FrameBudget: 64 << 10}, &served{})
	body := pattern(1 << 20)
	for range 3 {
		c := dial(t, s)
		writeLater(c, framed(body))
		expect(t, c, body)
	}
}

func TestIdleConnectionIsClosed(t *testing.T) {
	const timeout = 2 * time.Second // in which a lively one is heard on any machine
	causes := make(chan error, 2)
	s := serve(t, Options{IdleTimeout: timeout}, &served{close: func(_ *Conn, cause error) { causes <- cause }})
	begin := time.Now()
	idle, lively := dial(t, s), dial(t, s)
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				write(t, lively, framed([]byte("here")))
				expect(t, lively, []byte("here"))
			case <-stop:
				return
			}
		}
	}()
	expectEnd(t, idle)
	if after := time.Since(begin); after < timeout-timeout/40 { // a loop's time is a little old
		t.Errorf("closed after %v", after)
	}
	if cause := take(t, causes); cause != ErrIdle {
		t.Errorf("closed because of %v", cause)
	}
	// The lively one has outlived several timeouts when a second idle one is closed.
	expectEnd(t, dial(t, s))
	_ = take(t, causes)
	close(stop)
	<-stopped
	expectEnd(t, lively)
}

// A peer that sends a large frame slowly is not idle, though the kernel gathers it.
func TestSlowSenderIsNotIdle(t *testing.T) {
	s := serve(t, Options{IdleTimeout: 1500 * time.Millisecond}, &served{})
	c := dial(t, s)
	body := pattern(1 << 20)
	p := framed(body)
	tick := time.NewTicker(150 * time.Millisecond)
	defer tick.Stop()
	for len(p) > 0 {
		<-tick.C
		n := min(len(p), 64<<10)
		write(t, c, p[:n])
		p = p[n:]
	}
	expect(t, c, body)
}

// A paused connection gets no further frame, however it was read, until it is resumed, and
// misses none; what it sends meanwhile, and that it ends, is not lost either.
func TestAHandlerPausesItsConnection(t *testing.T) {
	type seen struct {
		c    *Conn
		slot *Slot
		body byte
	}
	frames := make(chan seen, 100)
	s := serve(t, Options{}, &served{frame: func(c *Conn, f *Frame) {
		body := f.Bytes()[0]
		f.Release()
		c.Pause()
		frames <- seen{c, c.Reserve(), body}
	}})
	c := dial(t, s)
	write(t, c, framed([]byte{0}, []byte{1}, []byte{2}))
	next := func(want byte) {
		t.Helper()
		got := <-frames
		if got.body != want {
			t.Fatalf("frame %d came, want %d", got.body, want)
		}
		more := -1
		on(got.c.loop, func() { more = len(frames) })
		if more != 0 {
			t.Fatalf("%d frames came during a pause", more)
		}
		got.slot.Write([]byte{want})
		got.slot.Send()
		expect(t, c, []byte{want})
		on(got.c.loop, got.c.Resume)
	}
	next(0)
	next(1)
	write(t, c, framed([]byte{3}))
	next(2)
	next(3)
	write(t, c, framed([]byte{4}, make([]byte, 200<<10)))
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	next(4)
	next(0)
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatal("the connection did not end")
	}
}

// Many ask for much at the same moment, and one, the last, for little: it is looked at
// before all of the others have been sent theirs.
func TestMuchToSendTakesTurns(t *testing.T) {
	const many = 60
	large := make([]byte, 8<<20)
	before := make(chan int64, 1)
	var s *Server
	s = serve(t, Options{MaxWaiting: 16 << 20}, &served{frame: func(c *Conn, f *Frame) {
		small := len(f.Bytes()) == 0
		f.Release()
		slot := c.Reserve()
		if small {
			before <- s.Stats().BytesOut
		} else {
			slot.Attach(large, nil)
		}
		slot.Send()
	}})
	l := s.loops[0]
	held, proceed := make(chan struct{}), make(chan struct{})
	small := dial(t, s)
	var greedy []*net.TCPConn
	for range many {
		greedy = append(greedy, dial(t, s))
	}
	until(t, "all connections are open", func() bool { return s.Stats().Connections == many+1 })
	l.Post(&Task{Run: func() { close(held); <-proceed }})
	<-held
	for _, c := range greedy {
		write(t, c, framed([]byte{1}))
	}
	write(t, small, framed(nil))
	close(proceed)
	if sent := <-before; sent > roundShare+writeTurn {
		t.Errorf("%d KiB were sent before a small request was looked at", sent>>10)
	}
	expect(t, small, nil)
	for _, c := range greedy { // and all get theirs
		expect(t, c, large)
	}
}

// A handler that pauses and resumes within Frame, once while frames wait that an earlier pause has kept, is told
// of each frame once and in order.
func TestAPauseThatEndsAtOnce(t *testing.T) {
	s := serve(t, Options{}, &served{frame: func(c *Conn, f *Frame) {
		defer f.Release()
		switch string(f.Bytes()) {
		case "pause":
			c.Pause()
		case "pause and resume":
			c.Pause()
			c.Resume()
		}
		slot := c.Reserve()
		slot.Write(f.Bytes())
		slot.Send()
	}})
	for name, say := range map[string][]string{
		"as it is read":       {"a", "pause and resume", "b", "pause and resume", "c"},
		"behind another":      {"pause", "a", "pause and resume", "b", "pause and resume", "c"},
		"behind two":          {"pause", "pause", "pause and resume", "a", "b"},
		"before another":      {"pause", "pause and resume", "pause", "a", "pause and resume", "b"},
		"the last that waits": {"pause", "a", "pause and resume"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, s)
			var all []byte
			for _, text := range append(say, "end") {
				all = append(all, framed([]byte(text))...)
			}
			write(t, c, all)
			for _, text := range append(say, "end") {
				expect(t, c, []byte(text))
				if text == "pause" {
					each(s, func(c *Conn) { c.Resume() })
				}
			}
		})
	}
}

// A slot that holds its connection lets no further frame through until it is complete, with a reply or
// without one; then the next comes by itself.
func TestASlotHoldsItsConnection(t *testing.T) {
	type seen struct {
		slot *Slot
		body byte
	}
	frames := make(chan seen, 100)
	s := serve(t, Options{}, &served{frame: func(c *Conn, f *Frame) {
		slot := c.Reserve()
		slot.Hold(nil)
		frames <- seen{slot, f.Bytes()[0]}
		f.Release()
	}})
	c := dial(t, s)
	write(t, c, framed([]byte{0}, []byte{1}, []byte{2}, []byte{3}))
	for want := range byte(4) {
		got := <-frames
		if got.body != want {
			t.Fatalf("frame %d came, want %d", got.body, want)
		}
		more := -1
		on(got.slot.Conn().loop, func() { more = len(frames) })
		if more != 0 {
			t.Fatalf("%d frames came before the answer to %d", more, want)
		}
		if want == 1 {
			got.slot.Discard()
			continue
		}
		got.slot.Write([]byte{want})
		got.slot.Send()
		expect(t, c, []byte{want})
	}
}
