package netpoll

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMaxConnections(t *testing.T) {
	for name, o := range map[string]Options{
		"total":       {Loops: 2, MaxConnections: 3},
		"per address": {Loops: 2, MaxConnectionsPerAddress: 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, o, &served{})
			var all []*net.TCPConn
			for range 3 {
				c := dial(t, s)
				write(t, c, framed([]byte("in")))
				expect(t, c, []byte("in"))
				all = append(all, c)
			}
			expectEnd(t, dial(t, s))
			if refused := s.Stats().Refused; refused != 1 {
				t.Errorf("%d connections were refused", refused)
			}
			if o.MaxConnectionsPerAddress > 0 {
				other, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).Dial("tcp", s.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer other.Close()
				_ = other.SetDeadline(time.Now().Add(patience))
				write(t, other, framed([]byte("from elsewhere")))
				expect(t, other, []byte("from elsewhere"))
			}
			for _, c := range all {
				_ = c.Close()
			}
			for range all {
				until(t, "there is room again", func() bool {
					c := dial(t, s)
					if _, err := c.Write(framed([]byte("in"))); err != nil {
						return false
					}
					_, err := io.ReadFull(c, make([]byte, 6))
					return err == nil
				})
			}
		})
	}
}

func TestConnectionsAreDealtOutInTurn(t *testing.T) {
	s := serve(t, Options{Loops: 3}, &served{})
	for range 12 {
		dial(t, s)
	}
	until(t, "all are accepted", func() bool { return s.Stats().Accepted == 12 })
	for _, l := range s.loops {
		on(l, func() {
			if l.open != 4 {
				t.Errorf("loop %d has %d connections, want 4", l.Index(), l.open)
			}
		})
	}
}

func TestAddressesAndOptions(t *testing.T) {
	opened := make(chan *Conn, 1)
	s := serve(t, Options{SendBuffer: 40_000, ReceiveBuffer: 50_000}, &served{open: func(c *Conn) { opened <- c }})
	client := dial(t, s)
	c := take(t, opened)
	if c.RemoteAddr() != client.LocalAddr().String() || c.LocalAddr() != s.Addr().String() {
		t.Errorf("from %s to %s, want from %s to %s", c.RemoteAddr(), c.LocalAddr(), client.LocalAddr(), s.Addr())
	}
	if c.ID() != 1 || c.Loop() != s.loops[0] {
		t.Errorf("connection %d on loop %d", c.ID(), c.Loop().Index())
	}
	on(c.Loop(), func() {
		if age := time.Since(c.Loop().Now()); age < 0 || age > patience {
			t.Errorf("the loop's time is %v old", age)
		}
		// The kernel doubles what it is asked for.
		for _, option := range []struct {
			name                   string
			level, option, atLeast int
		}{
			{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
			{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{"SO_OOBINLINE", unix.SOL_SOCKET, unix.SO_OOBINLINE, 1},
			{"SO_SNDBUF", unix.SOL_SOCKET, unix.SO_SNDBUF, 80_000},
			{"SO_RCVBUF", unix.SOL_SOCKET, unix.SO_RCVBUF, 100_000},
		} {
			if got, err := unix.GetsockoptInt(c.fd, option.level, option.option); err != nil || got < option.atLeast {
				t.Errorf("%s is %d (%v), want %d", option.name, got, err, option.atLeast)
			}
		}
	})
}

// Urgent data is data, and does not keep the loop busy.
func TestUrgentData(t *testing.T) {
	s := serve(t, Options{}, &served{})
	c := dial(t, s)
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	p := framed([]byte("urgent"))
	write(t, c, p[:7])
	var sent error
	err = raw.Write(func(fd uintptr) bool {
		sent = unix.Sendto(int(fd), p[7:8], unix.MSG_OOB, nil)
		return true
	})
	if err != nil || sent != nil {
		t.Fatal(err, sent)
	}
	write(t, c, p[8:])
	expect(t, c, []byte("urgent"))
}

func TestListenAddresses(t *testing.T) {
	for _, address := range []string{":0", "[::1]:0", "localhost:0", "0.0.0.0:0"} {
		s, err := Listen(address, Options{}, &served{})
		if err != nil {
			if strings.HasPrefix(address, "[") {
				t.Logf("no IPv6 here: %v", err)
				continue
			}
			t.Fatal(err)
		}
		port := s.Addr().(*net.TCPAddr).Port
		host := "127.0.0.1"
		if address == "[::1]:0" {
			host = "::1"
		}
		c, err := net.Dial("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
		if err != nil {
			t.Fatalf("%s: %v", address, err)
		}
		write(t, c, framed([]byte("hello")))
		expect(t, c, []byte("hello"))
		c.Close()
		_ = s.Close()
	}
	s := serve(t, Options{}, &served{})
	for _, address := range []string{"127.0.0.1", "127.0.0.1:no", s.Addr().String()} {
		if other, err := Listen(address, Options{}, &served{}); err == nil {
			_ = other.Close()
			t.Errorf("listening on %q succeeded", address)
		} else if !strings.Contains(err.Error(), address) {
			t.Errorf("the error does not name the address: %v", err)
		}
	}
}

const childVariable = "NETPOLL_TEST_DESCRIPTORS"

// TestOutOfDescriptors runs itself in a child process that may open few files. More
// clients connect than it can take: those are closed, with one log line; the others are
// served; and when some leave, new ones come in.
func TestOutOfDescriptors(t *testing.T) {
	if os.Getenv(childVariable) != "" {
		serveWithFewDescriptors(t)
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^TestOutOfDescriptors$")
	child.Env = append(os.Environ(), childVariable+"=1")
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	lines.Scan()
	address := lines.Text()
	connect := func() (net.Conn, bool) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write(framed([]byte("hello"))); err != nil {
			return c, false
		}
		_, err = io.ReadFull(c, make([]byte, 9))
		if os.IsTimeout(err) {
			t.Fatal("a client was left hanging")
		}
		return c, err == nil
	}
	var served []net.Conn
	refused := 0
	for range 60 {
		if c, ok := connect(); ok {
			served = append(served, c)
		} else {
			refused++
		}
	}
	if len(served) < 10 || refused < 10 {
		t.Fatalf("%d clients were served, %d refused", len(served), refused)
	}
	for _, c := range served {
		write(t, c, framed([]byte("still")))
		expect(t, c, []byte("still"))
	}
	for _, c := range served[:5] {
		c.Close()
	}
	until(t, "a new client is served", func() bool {
		_, ok := connect()
		return ok
	})
	stdin.Close()
	logged := 0
	for lines.Scan() {
		if strings.Contains(lines.Text(), "out of file descriptors") {
			logged++
		}
	}
	if err := child.Wait(); err != nil || logged != 1 {
		t.Fatalf("the child ended with %v after %d log lines, want 1", err, logged)
	}
}

func serveWithFewDescriptors(t *testing.T) {
	few := unix.Rlimit{Cur: 40, Max: 40}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	s := serve(t, Options{Log: slog.New(slog.NewTextHandler(os.Stdout, nil))}, &served{})
	fmt.Println(s.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent has seen enough
}
