package client

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A broker that cannot be connected to is tried again after reconnect.backoff.ms, then twice that, up to
// reconnect.backoff.max.ms; one that can be, or another one, at once.
func TestConnectionsWaitBeforeTheyAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := true
		connect := waiting(func(tries int) time.Duration { return backoff(50*time.Millisecond, 150*time.Millisecond, tries, 0.5) },
			func(context.Context, string, string) (net.Conn, error) {
				if down {
					return nil, errors.New("refused")
				}
				return nil, nil
			})
		took := func(address string) time.Duration {
			begin := time.Now()
			_, _ = connect(t.Context(), "tcp", address)
			return time.Since(begin)
		}
		for n, want := range []time.Duration{0, 50 * time.Millisecond, 100 * time.Millisecond, 150 * time.Millisecond, 150 * time.Millisecond} {
			if got := took("a:1"); got != want {
				t.Errorf("try %d was made after %v, want %v", n+1, got, want)
			}
		}
		if got := took("b:1"); got != 0 {
			t.Errorf("another broker is tried after %v", got)
		}
		down = false
		if got := took("a:1"); got != 150*time.Millisecond {
			t.Errorf("the try that succeeds is made after %v", got)
		}
		if got := took("a:1"); got != 0 {
			t.Errorf("a broker that could be connected to is tried again after %v", got)
		}
		down = true
		_ = took("a:1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := connect(ctx, "tcp", "a:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a wait whose context ended says %v", err)
		}
	})
}

func TestConnectionsThatFailTogetherCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connect := waiting(func(tries int) time.Duration { return time.Duration(tries) * time.Second },
			func(context.Context, string, string) (net.Conn, error) {
				time.Sleep(time.Millisecond) //nolint:forbidigo // the bubble's time, which takes none
				return nil, errors.New("refused")
			})
		for range 5 {
			go func() { _, _ = connect(t.Context(), "tcp", "a:1") }()
		}
		time.Sleep(2 * time.Millisecond) //nolint:forbidigo // the bubble's time, which takes none
		synctest.Wait()
		begin := time.Now()
		_, _ = connect(t.Context(), "tcp", "a:1")
		if took := time.Since(begin); took > time.Second {
			t.Errorf("five connections that failed at once are tried again after %v", took)
		}
	})
}

// What franz-go does not take as it is, is told.
func TestTimesThatFranzGoDoesNotTake(t *testing.T) {
	for name, test := range map[string]struct{ key, value, warned string }{
		"never idle":       {"connections.max.idle.ms", "-1", "setting=connections.max.idle.ms instead=15m0s"},
		"idle for long":    {"connections.max.idle.ms", "900001", "instead=15m0s"},
		"idle":             {"connections.max.idle.ms", "900000", ""},
		"old metadata":     {"metadata.max.age.ms", "3600001", "instead=1h0m0s"},
		"new metadata":     {"metadata.max.age.ms", "0", "instead=10ms"},
		"a short request":  {"request.timeout.ms", "99", "instead=100ms"},
		"what it can take": {"request.timeout.ms", "100", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var said bytes.Buffer
			log := slog.New(slog.NewTextHandler(&said, nil))
			config := Config{"bootstrap.servers": "127.0.0.1:1", test.key: test.value}
			admin, err := NewAdmin(config, AdminOptions{Log: log})
			if err != nil {
				t.Fatal(err)
			}
			admin.Close()
			consumer, err := NewConsumer(config, ConsumerOptions[string, string]{Log: log})
			if err != nil {
				t.Fatal(err)
			}
			if err := consumer.Close(t.Context()); err != nil {
				t.Error(err)
			}
			producer, err := NewProducer(config.With("client.engine", EngineKgo).With("delivery.timeout.ms", "200000"), ProducerOptions[string, string]{Log: log})
			if err != nil {
				t.Fatal(err)
			}
			_ = producer.Close(t.Context())
			if test.warned == "" && said.Len() > 0 || test.warned != "" && strings.Count(said.String(), test.warned) != 3 {
				t.Errorf("logged is %q, want %q of each client", said.String(), test.warned)
			}
		})
	}
}

// option is a number that the system has for a socket.
func option(t *testing.T, c net.Conn, which int) (value int) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var wrong error
	if err := raw.Control(func(socket uintptr) {
		value, wrong = syscall.GetsockoptInt(int(socket), syscall.SOL_SOCKET, which)
	}); err != nil || wrong != nil {
		t.Fatal(err, wrong)
	}
	return value
}

// The buffers of a connection are as large as send.buffer.bytes and receive.buffer.bytes say.
func TestBuffersOfConnections(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	connected := func(key, value string) net.Conn {
		s, err := Config{"bootstrap.servers": "a:1", key: value}.resolve(producerRole, nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := s.dial(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	for key, which := range map[string]int{"send.buffer.bytes": syscall.SO_SNDBUF, "receive.buffer.bytes": syscall.SO_RCVBUF} {
		small, large := option(t, connected(key, "8192"), which), option(t, connected(key, "65536"), which)
		if small < 8192 || small > 2*8192 || large < 65536 || large > 2*65536 { // Linux doubles them
			t.Errorf("%s of 8192 and 65536 make %d and %d", key, small, large)
		}
	}
}

// A connection that nobody answers is given up after socket.connection.setup.timeout.ms. The system itself takes minutes.
func TestConnectionsThatNobodyAnswers(t *testing.T) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(socket) }() // nothing was written to it
	if err := errors.Join(syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(socket, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	address := net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}
	s, err := Config{"bootstrap.servers": "a:1", "socket.connection.setup.timeout.ms": "200"}.resolve(producerRole, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 64 { // the first ones find room in the queue of the socket, from which nobody takes them
		c, err := s.dial(t.Context(), "tcp", address.String())
		if err == nil {
			defer c.Close()
			continue
		}
		if wrong, is := errors.AsType[net.Error](err); !is || !wrong.Timeout() {
			t.Errorf("it ended with %v", err)
		}
		return
	}
	t.Skip("the system takes connections that nobody accepts")
}
