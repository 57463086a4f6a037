package netpoll

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// Replies completed by other goroutines in any order leave in the order of the requests;
// every seventh request wants none.
func TestRepliesKeepTheOrderOfRequests(t *testing.T) {
	const clients, requests, workers = 8, 3000, 4
	type job struct {
		slot  *Slot
		frame *Frame
	}
	jobs := make(chan job, 4096)
	var working sync.WaitGroup
	for w := range workers {
		working.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			var held []job
			finish := func(j job) {
				if binary.BigEndian.Uint32(j.frame.Bytes())%7 == 0 {
					j.slot.Discard()
				} else {
					j.slot.Write(j.frame.Bytes())
					j.slot.Send()
				}
				j.frame.Release()
			}
			for j := range jobs {
				held = append(held, j)
				for more := true; more && len(held) < 16; {
					select {
					case j, more = <-jobs:
						if more {
							held = append(held, j)
						}
					default:
						more = false
					}
				}
				random.Shuffle(len(held), func(a, b int) { held[a], held[b] = held[b], held[a] })
				for _, j := range held {
					finish(j)
				}
				held = held[:0]
			}
		})
	}
	s := serve(t, Options{Loops: 2}, &served{frame: func(c *Conn, f *Frame) { jobs <- job{c.Reserve(), f} }})
	var talking sync.WaitGroup
	for range clients {
		c := dial(t, s)
		talking.Go(func() {
			for i := range requests {
				p := make([]byte, 4+i%100)
				binary.BigEndian.PutUint32(p, uint32(i))
				if _, err := c.Write(framed(p)); err != nil {
					t.Error(err)
					return
				}
			}
		})
		talking.Go(func() {
			for i := range requests {
				if i%7 == 0 {
					continue
				}
				if got := read(t, c); len(got) != 4+i%100 || binary.BigEndian.Uint32(got) != uint32(i) {
					t.Errorf("reply %d is %v", i, got)
					return
				}
			}
		})
	}
	talking.Wait()
	_ = s.Close() // no loop sends on jobs any more
	close(jobs)
	working.Wait()
}

func TestReplyOfManyParts(t *testing.T) {
	var owner releases
	s := serve(t, Options{}, &served{frame: func(c *Conn, f *Frame) {
		f.Release()
		s := c.Reserve()
		if s.Conn() != c {
			t.Error("the slot is of another connection")
		}
		s.SetBuffer(append(s.Buffer(4), "head"...))
		s.Attach([]byte(" one"), &owner)
		s.Attach(nil, &owner)
		s.Write([]byte(" two"))
		s.SetBuffer(append(s.Buffer(0), " three"...))
		s.Attach([]byte(" four"), nil)
		for i := range 400 { // more than one sendmsg gathers
			s.Write(fmt.Appendf(nil, " %d", i))
			s.Attach([]byte("."), &owner)
		}
		s.Send()
	}})
	want := []byte("head one two three four")
	for i := range 400 {
		want = fmt.Appendf(want, " %d.", i)
	}
	c := dial(t, s)
	for range 3 {
		write(t, c, framed(nil))
		expect(t, c, want)
	}
	until(t, "all is released", func() bool { return owner.n.Load() == 3*402 })
}

func TestEmptyFramesAndEmptyReplies(t *testing.T) {
	s := serve(t, Options{}, &served{})
	c := dial(t, s)
	write(t, c, framed(nil, []byte("x"), nil))
	expect(t, c, nil)
	expect(t, c, []byte("x"))
	expect(t, c, nil)
}

func TestSlotCompletedTwicePanics(t *testing.T) {
	result := make(chan any, 1)
	s := serve(t, Options{}, &served{frame: func(c *Conn, f *Frame) {
		f.Release()
		s := c.Reserve()
		s.Send()
		defer func() { result <- recover() }()
		s.Discard()
	}})
	c := dial(t, s)
	write(t, c, framed(nil))
	if take(t, result) == nil {
		t.Fatal("a slot was sent and discarded")
	}
	expect(t, c, nil)
}
