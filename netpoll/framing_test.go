package netpoll

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/millrace/millrace/engine/fuzz"
)

func TestByteAtATime(t *testing.T) {
	s := serve(t, Options{}, &served{})
	c := dial(t, s)
	for _, want := range [][]byte{[]byte("a"), pattern(300), nil, pattern(1500)} {
		for _, b := range framed(want) {
			write(t, c, []byte{b})
		}
		expect(t, c, want)
	}
}

func TestBadPrefixClosesTheConnection(t *testing.T) {
	for name, test := range map[string]struct {
		length uint32
		want   error
	}{
		"too long":      {1<<20 + 1, ErrFrameTooLarge},
		"negative":      {0xFFFFFFFF, ErrFrameNegative},
		"most negative": {0x80000000, ErrFrameNegative},
	} {
		t.Run(name, func(t *testing.T) {
			causes := make(chan error, 2)
			s := serve(t, Options{MaxFrame: 1 << 20}, &served{close: func(_ *Conn, cause error) { causes <- cause }})
			other, c := dial(t, s), dial(t, s)
			// What came before is answered.
			write(t, c, binary.BigEndian.AppendUint32(framed([]byte("good")), test.length))
			expect(t, c, []byte("good"))
			expectEnd(t, c)
			if cause := take(t, causes); !errors.Is(cause, test.want) {
				t.Fatalf("closed because of %v, want %v", cause, test.want)
			}
			write(t, other, framed([]byte("unharmed")))
			expect(t, other, []byte("unharmed"))
		})
	}
}

func TestLongestFrameIsTaken(t *testing.T) {
	const most = 3 << 20
	p := pattern(most)
	for _, buffer := range []int{0, 128 << 10} { // with less than is gathered, too
		s := serve(t, Options{MaxFrame: most, ReceiveBuffer: buffer}, &served{})
		c := dial(t, s)
		writeLater(c, framed(p))
		expect(t, c, p)
	}
}

// A promise of 100 MiB gets a KiB; what arrives gets little more than it needs.
func TestMemoryIsTakenAsBytesArrive(t *testing.T) {
	s := serve(t, Options{}, &served{})
	const clients = 50
	for _, sent := range []int{0, 1000, 100_000, 2_000_000} {
		var all []*net.TCPConn
		for range clients {
			c := dial(t, s)
			all = append(all, c)
			write(t, c, binary.BigEndian.AppendUint32(nil, 100<<20))
			writeLater(c, make([]byte, sent))
		}
		before := s.Stats().BytesIn
		until(t, "the bytes are read, or gathered", func() bool {
			total := 0
			on(s.loops[0], func() {
				for _, c := range s.loops[0].conns {
					if c != nil && c.frame != nil {
						total += c.frame.filled + pending(c.fd)
					}
				}
			})
			return total == clients*sent && s.Stats().Connections == clients
		})
		if most := int64(clients * (2*sent + smallest*5/4)); s.Stats().FrameBytes > most {
			t.Errorf("%d bytes from each of %d clients take %d bytes, want at most %d (%d read before)",
				sent, clients, s.Stats().FrameBytes, most, before)
		}
		for _, c := range all {
			_ = c.Close()
		}
		until(t, "the clients are gone", func() bool { return s.Stats().Connections == 0 })
		if used := s.Stats().FrameBytes; used != 0 {
			t.Fatalf("%d bytes are used by nobody", used)
		}
	}
}

// Frames of all sizes, in pieces of all sizes, come out whole.
func TestRandomChunking(t *testing.T) {
	s := serve(t, Options{Loops: 2, MaxFrame: 4 << 20}, &served{})
	var talking sync.WaitGroup
	for seed := range uint64(6) {
		c := dial(t, s)
		random := rand.New(rand.NewPCG(seed, 7))
		var frames [][]byte
		for range 60 {
			frames = append(frames, pattern(random.IntN(1<<random.IntN(22))))
		}
		talking.Go(func() {
			for p := framed(frames...); len(p) > 0; {
				n := min(len(p), 1+random.IntN(1<<random.IntN(20)))
				if _, err := c.Write(p[:n]); err != nil {
					t.Error(err)
					return
				}
				p = p[n:]
			}
		})
		talking.Go(func() {
			for _, want := range frames {
				expect(t, c, want)
			}
		})
	}
	talking.Wait()
}

// A frame much of which is missing is gathered by the kernel, also when its end comes
// slowly or never.
func TestGatheredFrame(t *testing.T) {
	causes := make(chan error, 1)
	s := serve(t, Options{}, &served{close: func(_ *Conn, cause error) { causes <- cause }})
	c := dial(t, s)
	p := pattern(3 << 20)
	all := framed(p)
	for _, cut := range []int{5, 70_000, 400_000, 2<<20 + 1, 3 << 20, len(all) - 1} {
		rest := all
		for len(rest) > 0 {
			n := min(len(rest), cut)
			write(t, c, rest[:n])
			rest = rest[n:]
			if len(rest) == 1 {
				until(t, "all but the last byte is there", func() bool {
					there := 0
					on(s.loops[0], func() {
						for _, c := range s.loops[0].conns {
							if c != nil && c.frame != nil {
								there = c.frame.filled + pending(c.fd)
							}
						}
					})
					return there == len(p)-1
				})
			}
			if cut == 5 {
				cut = 1 << 20
			}
		}
		expect(t, c, p)
	}
	on(s.loops[0], func() {
		for _, c := range s.loops[0].conns {
			if c != nil && c.low != 1 {
				t.Errorf("the kernel still gathers %d bytes", c.low)
			}
		}
	})
	write(t, c, all[:500_000])
	_ = c.Close()
	if cause := take(t, causes); !errors.Is(cause, io.ErrUnexpectedEOF) && !isReset(cause) {
		t.Fatalf("closed because of %v", cause)
	}
}

// cutSlowly is the slow, clear way to cut a stream: the oracle of cut. The replies of an
// echo are the stream's whole frames.
func cutSlowly(stream []byte, most int) (replies []byte, cause error) {
	for len(stream) > 0 {
		if len(stream) < 4 {
			return replies, io.ErrUnexpectedEOF
		}
		length := int32(binary.BigEndian.Uint32(stream))
		switch {
		case length < 0:
			return replies, ErrFrameNegative
		case int(length) > most:
			return replies, ErrFrameTooLarge
		case int(length) > len(stream)-4:
			return replies, io.ErrUnexpectedEOF
		}
		replies = append(replies, stream[:4+length]...)
		stream = stream[4+length:]
	}
	return replies, nil
}

// streams are good and bad ones, to begin with.
func streams() [][]byte {
	return [][]byte{
		nil,
		framed([]byte("one"), nil, []byte("three")),
		framed(pattern(5000), pattern(3)),
		framed(pattern(1<<16), pattern(1<<16-1)),
		{0, 0, 0},
		{0xFF, 0xFF, 0xFF, 0xFF, 1, 2},
		{0x7F, 0xFF, 0xFF, 0xFF},
		append(framed(nil), 0, 1, 0, 1, 7),
		append(framed(bytes.Repeat([]byte("x"), 200)), 0, 0, 1, 0, 9),
		bytes.Repeat(framed([]byte("many")), 300),
	}
}

// Whatever a peer sends, in whatever pieces, over sockets: whole frames are answered, and
// the rest closes the connection for the right reason.
func TestAnyStream(t *testing.T) {
	const most = 1 << 16
	causes := make(chan error, 1)
	s := serve(t, Options{MaxFrame: most, MaxSlots: 4, FrameBudget: 1 << 16}, &served{close: func(_ *Conn, cause error) { causes <- cause }})
	for seed := range uint64(30) {
		for _, stream := range streams() {
			want, reason := cutSlowly(stream, most)
			random := rand.New(rand.NewPCG(seed, seed))
			c := dial(t, s)
			var sending sync.WaitGroup
			sending.Go(func() {
				for rest := stream; len(rest) > 0; {
					n := min(len(rest), 1+random.IntN(1<<random.IntN(16)))
					if _, err := c.Write(rest[:n]); err != nil {
						return // the server has closed
					}
					rest = rest[n:]
				}
				_ = c.CloseWrite()
			})
			got, err := io.ReadAll(c)
			_ = c.Close()
			sending.Wait()
			if cause := take(t, causes); !errors.Is(cause, reason) {
				t.Fatalf("closed because of %v, want %v", cause, reason)
			}
			orderly := reason == nil || reason == io.ErrUnexpectedEOF
			if orderly && (err != nil || !bytes.Equal(got, want)) || !bytes.HasPrefix(want, got) {
				t.Fatalf("%d bytes of replies (error %v), want %d", len(got), err, len(want))
			}
		}
	}
}

// FuzzFraming cuts any stream in any pieces, while reading stops for slots and for memory
// at any frame, and compares with cutSlowly. No socket: each input takes one way.
func FuzzFraming(f *testing.F) {
	const most = 1 << 12
	for seed, stream := range streams() {
		if len(stream) < 300 { // what is longer the fuzzer spends its time on shortening
			f.Add(stream, uint64(seed))
		}
	}
	f.Add(framed(pattern(smallest+100), nil), uint64(1))
	fuzz.Run(f, func(t *testing.T, stream []byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		var got []byte
		var held []*Frame
		h := &served{frame: func(c *Conn, f *Frame) {
			got = append(got, framed(f.Bytes())...)
			held = append(held, f)
			if random.IntN(4) == 0 {
				c.stop |= stopSlots
			}
		}}
		s := &Server{options: Options{MaxFrame: most}.withDefaults(), handler: h}
		l := &Loop{server: s} // whose turn has taken long, until it goes on slowly
		s.budget.limit, s.budget.loops = int64(1+random.IntN(2*most)), []*Loop{l}
		l.feedTask.Run = l.feed
		l.awake.Store(true) // so that nobody rings
		c := &Conn{loop: l, low: 1, opened: true}
		goOn := func() {
			for !c.mayRead() && !c.closing.Load() {
				for _, f := range held {
					f.Release()
				}
				held = held[:0]
				for n := l.inbox.take(); n != nil; n = n.next {
					n.item.arrive(l)
				}
				c.resume(stopSlots)
				l.goOnSlowly()
			}
		}
		for rest := stream; len(rest) > 0 && !c.closing.Load(); {
			n := min(len(rest), 1+random.IntN(1<<random.IntN(13)))
			piece := bytes.Clone(rest[:n]) // the scratch is used again
			c.keep(c.cut(piece))
			clear(piece)
			rest = rest[n:]
			goOn()
		}
		want, reason := cutSlowly(stream, most)
		cause := c.cause
		if c.partial = c.frame != nil || c.got > 0; !c.closing.Load() {
			cause = c.ended()
		}
		if cause != reason || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes in frames, then %v; want %d, then %v", len(got), cause, len(want), reason)
		}
		c.dropInput()
		for _, f := range held {
			f.Release()
		}
		if used := s.budget.used.Load(); used != 0 || s.budget.overdraft.Load() {
			t.Fatalf("%d bytes are not released, overdraft taken: %v", used, s.budget.overdraft.Load())
		}
	})
}
