package netpoll

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// keeping is a handler that answers when the test says so.
type keeping struct {
	slots  []*Slot
	closed []error
}

func (k *keeping) Open(*Conn) {}
func (k *keeping) Frame(c *Conn, f *Frame) {
	s := c.Reserve()
	s.Write([]byte("re: "))
	s.Write(f.Bytes())
	f.Release()
	k.slots = append(k.slots, s)
}
func (k *keeping) Close(_ *Conn, cause error) { k.closed = append(k.closed, cause) }

// TestStageAnswersInOrder: replies leave in the order of the requests, in the loop's turns
// only, and none after the connection has ended.
func TestStageAnswersInOrder(t *testing.T) {
	k := &keeping{}
	var replies []string
	var causes []error
	s := NewStage(Options{}, k, func() time.Time { return time.Unix(5, 0) })
	c := s.Connect(netip.MustParseAddrPort("10.0.0.1:1"), &Peer{
		Reply:  func(p []byte) { replies = append(replies, string(p)) },
		Closed: func(cause error) { causes = append(causes, cause) },
	})
	for _, text := range []string{"one", "two", "three", "four"} {
		s.Deliver(c, []byte(text))
	}
	want := func(all ...string) {
		t.Helper()
		if s.Turn(); !slices.Equal(replies, all) {
			t.Fatalf("got %q, want %q", replies, all)
		}
	}
	k.slots[1].Attach([]byte("!"), nil)
	k.slots[1].Send()
	if s.Idle() {
		t.Fatal("a reply is complete and the stage has nothing to do")
	}
	want()
	k.slots[0].Send()
	if len(replies) > 0 {
		t.Fatalf("%q was sent before the loop's turn", replies)
	}
	want("re: one", "re: two!")
	k.slots[2].Discard()
	want("re: one", "re: two!")
	ran := false
	c.Loop().Post(&Task{Run: func() { ran = true }})
	c.Close(errors.ErrUnsupported)
	s.Deliver(c, []byte("late"))
	want("re: one", "re: two!")
	k.slots[3].Send() // of a connection that has ended
	want("re: one", "re: two!")
	if !ran || len(k.slots) != 4 || !slices.Equal(k.closed, []error{errors.ErrUnsupported}) || !slices.Equal(causes, k.closed) || !s.Idle() {
		t.Fatalf("ran %v, %d requests, closed %v and %v", ran, len(k.slots), k.closed, causes)
	}
	if held := s.loop.server.budget.used.Load(); held != 0 {
		t.Fatalf("%d bytes of frames are held", held)
	}
	c = s.Connect(netip.MustParseAddrPort("10.0.0.1:2"), &Peer{Closed: func(cause error) { causes = append(causes, cause) }})
	s.Hangup(c)
	s.Hangup(c)
	if len(causes) != 2 || causes[1] != nil {
		t.Fatalf("hung up: %v", causes)
	}
}
