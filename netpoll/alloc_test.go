package netpoll

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// shape is a way to answer that must not allocate.
type shape struct {
	name    string
	request int // bytes
	reply   int
	frame   func(c *Conn, f *Frame)
	end     func()
}

func shapes(t testing.TB) []shape {
	f, content := newFile(t, 1<<20)
	fd := int(f.Fd())
	var owner releases
	jobs := make(chan *Slot, 256)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range jobs {
			s.Write(content[:16])
			s.Send()
		}
	}()
	return []shape{
		{"on the loop", 100, 100, echo, nil},
		{"16 KiB in, 16 bytes out by another goroutine", 16 << 10, 16,
			func(c *Conn, f *Frame) { f.Release(); jobs <- c.Reserve() }, func() { close(jobs); <-done }},
		{"1 MiB in", 1 << 20, 16,
			func(c *Conn, f *Frame) {
				f.Release()
				s := c.Reserve()
				s.Write(content[:16])
				s.Send()
			}, nil},
		{"64 KiB of a file", 100, 16 + 64<<10,
			func(c *Conn, f *Frame) {
				f.Release()
				s := c.Reserve()
				s.SetBuffer(append(s.Buffer(16), content[:16]...))
				s.AttachFile(fd, 4096, 64<<10, &owner)
				s.Send()
			}, nil},
		{"1 MiB of memory", 100, 1 << 20,
			func(c *Conn, f *Frame) {
				f.Release()
				s := c.Reserve()
				s.Attach(content, &owner)
				s.Send()
			}, nil},
	}
}

// exchange writes depth requests and reads their replies.
func exchange(t testing.TB, c net.Conn, requests, replies []byte) {
	if _, err := c.Write(requests); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, replies); err != nil {
		t.Fatal(err)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates, and empties pools at random")
	}
	defer func(before bool) { poison = before }(poison)
	poison = false
	for _, shape := range shapes(t) {
		t.Run(shape.name, func(t *testing.T) {
			s := serve(t, Options{}, &served{frame: shape.frame})
			c := dial(t, s)
			const depth = 4
			requests := framed(make([]byte, shape.request), make([]byte, shape.request), make([]byte, shape.request), make([]byte, shape.request))
			replies := make([]byte, depth*(4+shape.reply))
			for range 50 {
				exchange(t, c, requests, replies)
			}
			if n := testing.AllocsPerRun(300, func() { exchange(t, c, requests, replies) }); n != 0 {
				t.Errorf("%d requests allocate %v times, want 0", depth, n)
			}
			if shape.end != nil {
				shape.end()
			}
		})
	}
}

func BenchmarkExchange(b *testing.B) {
	defer func(before bool) { poison = before }(poison)
	poison = false
	for _, shape := range shapes(b) {
		for _, depth := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/depth=%d", shape.name, depth), func(b *testing.B) {
				s := serve(b, Options{}, &served{frame: shape.frame})
				c := dial(b, s)
				one := framed(make([]byte, shape.request))
				var requests []byte
				for range depth {
					requests = append(requests, one...)
				}
				replies := make([]byte, depth*(4+shape.reply))
				b.SetBytes(int64(shape.request + shape.reply))
				b.ReportAllocs()
				for b.Loop() {
					writeLater(c, requests)
					if _, err := io.ReadFull(c, replies); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
			})
		}
	}
}

// BenchmarkHandOver measures the inbox: bursts of slots completed by another goroutine.
func BenchmarkHandOver(b *testing.B) {
	s := serve(b, Options{}, &served{})
	l := s.loops[0]
	var tasks [64]Task
	done := make(chan struct{}, 1)
	for i := range tasks {
		tasks[i].Run = func() {}
	}
	tasks[len(tasks)-1].Run = func() { done <- struct{}{} }
	b.ReportAllocs()
	for b.Loop() {
		for i := range tasks {
			l.Post(&tasks[i])
		}
		<-done
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(tasks)), "ns/task")
}

// BenchmarkProduce is the shape of a busy broker: connections keep five requests in flight,
// one goroutine completes them in bursts.
func BenchmarkProduce(b *testing.B) {
	defer func(before bool) { poison = before }(poison)
	poison = false
	for _, clients := range []int{1, 16} {
		for _, size := range []int{16 << 10, 64 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("connections=%d/KiB=%d", clients, size>>10), func(b *testing.B) { benchmarkProduce(b, clients, size) })
		}
	}
}

func benchmarkProduce(b *testing.B, clients, size int) {
	const depth = 5
	jobs := make(chan *Slot, clients*depth)
	var working sync.WaitGroup
	working.Go(func() {
		var ack [40]byte
		for s := range jobs {
			s.Write(ack[:])
			s.Send()
		}
	})
	s := serve(b, Options{}, &served{frame: func(c *Conn, f *Frame) { f.Release(); jobs <- c.Reserve() }})
	request := framed(make([]byte, size))
	var conns []net.Conn
	for range clients {
		conns = append(conns, dial(b, s))
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	before := cpu()
	b.ResetTimer()
	var talking sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(b.N))
	for _, c := range conns {
		window := make(chan struct{}, depth)
		talking.Go(func() {
			defer close(window)
			for left.Add(-1) >= 0 {
				window <- struct{}{}
				if _, err := c.Write(request); err != nil {
					b.Error(err)
				}
			}
		})
		talking.Go(func() {
			var reply [44]byte
			for range window {
				if _, err := io.ReadFull(c, reply[:]); err != nil {
					b.Error(err)
				}
			}
		})
	}
	talking.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	_ = s.Close()
	close(jobs)
	working.Wait()
}

// cpu is the time that this process, clients included, has computed.
func cpu() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
