package netpoll

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	"time"
)

// newFile is a file of n bytes of the pattern.
func newFile(t testing.TB, n int) (*os.File, []byte) {
	t.Helper()
	p := pattern(n)
	f, err := os.Create(filepath.Join(t.TempDir(), "segment"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(p); err != nil {
		t.Fatal(err)
	}
	return f, p
}

// Large file ranges go to a reader that is slow, in the order of the requests, and their
// owners are released when they are sent.
func TestFileRangesToASlowReader(t *testing.T) {
	f, content := newFile(t, 24<<20)
	var owner releases
	s := serve(t, Options{SendBuffer: 64 << 10}, &served{frame: func(c *Conn, r *Frame) {
		r.Release()
		s := c.Reserve()
		s.Write([]byte("head"))
		s.AttachFile(int(f.Fd()), 1, 10<<20, &owner)
		s.Write([]byte("between"))
		s.AttachFile(int(f.Fd()), 5, 0, &owner)
		s.AttachFile(int(f.Fd()), 11<<20, 10<<20, &owner)
		s.Attach(content[:3], &owner)
		s.AttachFile(int(f.Fd()), 0, 1, &owner)
		s.Send()
	}})
	want := bytes.Join([][]byte{[]byte("head"), content[1 : 1+10<<20], []byte("between"), content[11<<20 : 21<<20], content[:3], content[:1]}, nil)
	c := dial(t, s)
	_ = c.SetReadBuffer(32 << 10)
	write(t, c, framed(nil, nil))
	for range 2 {
		got := make([]byte, 4+len(want))
		for at := 0; at < len(got); { // in small bites
			n, err := c.Read(got[at:min(len(got), at+20_000)])
			if err != nil {
				t.Fatal(err)
			}
			at += n
		}
		if !bytes.Equal(got[4:], want) {
			t.Fatal("the reply differs from the file")
		}
	}
	until(t, "all is released", func() bool { return owner.n.Load() == 10 })
}

// A file that is shorter than was promised cannot be answered any more.
func TestFileShorterThanItsRange(t *testing.T) {
	f, content := newFile(t, 100_000)
	causes := make(chan error, 1)
	var owner releases
	s := serve(t, Options{}, &served{
		frame: func(c *Conn, r *Frame) {
			r.Release()
			s := c.Reserve()
			s.AttachFile(int(f.Fd()), 0, 200_000, &owner)
			s.Send()
		},
		close: func(_ *Conn, cause error) { causes <- cause },
	})
	c := dial(t, s)
	write(t, c, framed(nil))
	got, _ := io.ReadAll(c)
	if len(got) < 4 || !bytes.Equal(got[4:], content) {
		t.Fatalf("%d bytes came", len(got))
	}
	if cause := take(t, causes); cause != ErrFileShort || owner.n.Load() != 1 {
		t.Fatalf("closed because of %v after %d releases", cause, owner.n.Load())
	}
}

// A mapped file that got shorter cannot be answered any more, and kills nobody.
func TestMappedFileShorterThanItsRange(t *testing.T) {
	f, content := newFile(t, 100_000)
	mapped, err := unix.Mmap(int(f.Fd()), 0, 200_000, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mapped) //nolint:errcheck // the test is over
	causes := make(chan error, 1)
	var owner releases
	s := serve(t, Options{}, &served{
		frame: func(c *Conn, r *Frame) {
			r.Release()
			s := c.Reserve()
			s.Attach(mapped, &owner)
			s.Send()
		},
		close: func(_ *Conn, cause error) { causes <- cause },
	})
	c := dial(t, s)
	write(t, c, framed(nil))
	got, _ := io.ReadAll(c)
	if n := min(len(got), 4+len(content)); n < 5 || len(got) >= 4+len(mapped) || !bytes.Equal(got[4:n], content[:n-4]) {
		t.Fatalf("%d bytes came", len(got))
	}
	if cause := take(t, causes); cause != ErrUnreadable || owner.n.Load() != 1 {
		t.Fatalf("closed because of %v after %d releases", cause, owner.n.Load())
	}
}

// While one connection is sent a gigabyte as fast as it can read, another on the same
// loop has its turns between.
func TestHugeBodyStarvesNobody(t *testing.T) {
	f, _ := newFile(t, 32<<20)
	memory := make([]byte, 32<<20)
	const pieces = 16
	attach := map[string]func(*Slot){
		"file":   func(s *Slot) { s.AttachFile(int(f.Fd()), 0, 32<<20, nil) },
		"memory": func(s *Slot) { s.Attach(memory, nil) },
	}
	for name, attach := range attach {
		t.Run(name, func(t *testing.T) {
			turns := 0 // of the loop between two requests of the small client
			longest := 0
			s := serve(t, Options{}, &served{frame: func(c *Conn, f *Frame) {
				if len(f.Bytes()) > 0 {
					echo(c, f)
					return
				}
				f.Release()
				s := c.Reserve()
				for range pieces {
					attach(s)
				}
				s.Send()
			}})
			huge, small := dial(t, s), dial(t, s)
			write(t, huge, framed(nil))
			done := make(chan error, 1)
			go func() {
				_, err := io.CopyN(io.Discard, huge, pieces*32<<20+4)
				done <- err
			}()
			served := 0
			for sent := int64(0); ; served++ {
				write(t, small, framed([]byte("me too")))
				expect(t, small, []byte("me too"))
				now := s.Stats().BytesOut
				if turns++; int(now-sent) > longest && sent != 0 {
					longest = int(now - sent)
				}
				sent = now
				select {
				case err := <-done:
					if err != nil {
						t.Fatal(err)
					}
					if served < 20 {
						t.Fatalf("%d requests were served while %d MiB were sent", served, pieces*32)
					}
					t.Logf("%d requests served, at most %d KiB between two", served, longest>>10)
					return
				default:
				}
			}
		})
	}
}

// A turn sends at most its share, whatever the socket would take.
func TestTurnIsBounded(t *testing.T) {
	const size, share = 32 << 20, 1 << 20
	f, _ := newFile(t, size)
	s := serve(t, Options{SendBuffer: 4 << 20}, &served{frame: func(c *Conn, r *Frame) {
		r.Release()
		s := c.Reserve()
		s.AttachFile(int(f.Fd()), 0, size, nil)
		s.Send()
	}})
	c := dial(t, s)
	last, most := int64(0), int64(0)
	var look Task
	done := make(chan struct{})
	begin := time.Now()
	look.Run = func() { // at least once a turn
		now := s.Stats().BytesOut
		most = max(most, now-last)
		last = now
		if now == size+4 || time.Since(begin) > patience {
			close(done)
			return
		}
		s.loops[0].Post(&look)
	}
	s.loops[0].Post(&look)
	write(t, c, framed(nil))
	if _, err := io.CopyN(io.Discard, c, size+4); err != nil {
		t.Fatal(err)
	}
	<-done
	if last != size+4 || most > share+4 {
		t.Fatalf("%d bytes were sent, at most %d between two looks, want at most %d", last, most, share)
	}
}
