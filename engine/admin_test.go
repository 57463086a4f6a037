package engine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// adminDial is a connection to the admin address that has sent something.
func adminDial(t *testing.T, b *Broker, text string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", b.AdminAddress(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// adminCode reads an answer.
func adminCode(t *testing.T, c net.Conn) int {
	t.Helper()
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if _, err := io.Copy(io.Discard, a.Body); err != nil {
		t.Fatal(err)
	}
	return a.StatusCode
}

// TestTheAdminAddressIsBounded: who can reach it costs the broker no descriptors without end, and no memory for what pprof
// is asked; others are served once there is room again.
func TestTheAdminAddressIsBounded(t *testing.T) {
	b := start(t, t.TempDir(), "admin.listener=127.0.0.1:0")
	var held []net.Conn
	for range adminConns {
		c := adminDial(t, b, "GET /debug/pprof/cmdline HTTP/1.1\r\nHost: x\r\n\r\n")
		if code := adminCode(t, c); code != http.StatusOK {
			t.Fatalf("connection %d: %d", len(held), code)
		}
		held = append(held, c)
	}
	c := adminDial(t, b, "")
	if n, err := c.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("one more connection: %d bytes, %v", n, err)
	}
	for _, c := range held {
		c.Close()
	}
	for begin := time.Now(); ; {
		a, err := http.Get("http://" + b.AdminAddress() + "/debug/pprof/cmdline")
		if err == nil {
			a.Body.Close()
			break
		}
		if time.Since(begin) > patience {
			t.Fatalf("there is no room again: %v", err)
		}
	}
	c = adminDial(t, b, "GET /metrics HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 2*adminHeader)+"\r\n\r\n")
	// What was not read resets the connection, perhaps before the answer was.
	if a, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) || len(a) > 0 && !strings.Contains(string(a), "431 Request Header Fields Too Large") {
		t.Errorf("a header that is too long: %s, %v", a, err)
	}
	// More than the broker reads has an end, too, whether the answer comes or the connection ends before it.
	c = adminDial(t, b, fmt.Sprintf("POST /debug/pprof/symbol HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", 1<<40))
	text := strings.NewReader(strings.Repeat("0x401000+", adminBody))
	if n, err := io.Copy(c, text); err == nil {
		_, err = c.Read(make([]byte, 1<<10)) // the answer, and then the end
		t.Logf("%d bytes were sent, and then: %v", n, err)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("pprof takes any number of symbols")
		}
	}
}
