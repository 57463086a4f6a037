package drops

import (
	"bytes"
	"io"
	"net"
	"testing"
)

// echo answers every byte with itself.
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

// converse sends rounds of 1 KiB and reads them back, until the connection ends.
func converse(t *testing.T, address string, rounds int) (whole int) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent, got := bytes.Repeat([]byte("x"), 1024), make([]byte, 1024)
	for whole < rounds {
		if _, err := c.Write(sent); err != nil {
			return whole
		}
		if _, err := io.ReadFull(c, got); err != nil {
			return whole
		}
		whole++
	}
	return whole
}

func TestCutsAfterItsBudget(t *testing.T) {
	p, err := Listen(Options{Seed: 1, MinBytes: 8 << 10, MaxBytes: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Forward(echo(t))
	for range 30 {
		if whole := converse(t, p.Addr(), 100); whole < 7 || whole > 16 {
			t.Errorf("a connection carried %d KiB, want between 8 and 16 and then a cut", whole)
		}
	}
	if p.Cuts() != 30 {
		t.Errorf("counted %d cuts, want 30", p.Cuts())
	}
}

func TestLeavesShortConversationsAlone(t *testing.T) {
	p, err := Listen(Options{MinBytes: 8 << 10, MaxBytes: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Forward(echo(t))
	for range 10 {
		if whole := converse(t, p.Addr(), 5); whole != 5 {
			t.Errorf("a connection carried %d KiB, want 5", whole)
		}
	}
	if p.Cuts() != 0 {
		t.Errorf("counted %d cuts, want 0", p.Cuts())
	}
}
