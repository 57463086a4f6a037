package quorum

import (
	"sync"
	"testing"

	"github.com/millrace/millrace/engine/cluster"
)

func TestMailboxKeepsTheOrder(t *testing.T) {
	m := mailbox{wake: make(chan struct{}, 1)}
	if m.take() != nil {
		t.Fatal("took something from an empty mailbox")
	}
	sent := make([]request, 5)
	for n := range sent {
		if !m.push(&sent[n]) {
			t.Fatal("an open mailbox refused")
		}
	}
	if len(m.wake) != 1 || m.size.Load() != 5 {
		t.Fatalf("%d tokens for %d requests", len(m.wake), m.size.Load())
	}
	got := m.take()
	for n := range sent {
		if got != &sent[n] {
			t.Fatalf("request %d is out of order", n)
		}
		got = got.next
	}
	if got != nil || m.size.Load() != 0 {
		t.Fatal("more came out than went in")
	}
	m.push(&sent[0])
	if m.close() != &sent[0] || m.push(&sent[1]) || m.take() != nil || m.close() != nil {
		t.Fatal("a closed mailbox gives what it had, once, and takes nothing")
	}
}

// TestMailboxUnderContention counts: each sender's requests come out once and in its order.
func TestMailboxUnderContention(t *testing.T) {
	const senders, each = 4, 2000
	m := mailbox{wake: make(chan struct{}, 1)}
	var all sync.WaitGroup
	for sender := range senders {
		all.Go(func() {
			for n := range each {
				m.push(&request{term: uint64(sender*each + n), done: func(*cluster.Image, error) {}})
			}
		})
	}
	last := make([]int, senders)
	for taken := 0; taken < senders*each; {
		<-m.wake
		for r := m.take(); r != nil; r = r.next {
			sender, n := int(r.term)/each, int(r.term)%each+1
			if n != last[sender]+1 {
				t.Fatalf("sender %d: request %d follows %d", sender, n, last[sender])
			}
			last[sender] = n
			taken++
		}
	}
	all.Wait()
}
