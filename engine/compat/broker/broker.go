// Package broker starts the systems under test: our broker, built from this tree, and a real Apache Kafka beside it.
// Each runs as its own process on loopback with fresh data, and is stopped with what it started.
package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A Target is a system that clients are run against.
type Target interface {
	// Name is the column in the table.
	Name() string
	// Start serves. For each entry of behind, the broker must also serve a client that reaches it through the proxy at
	// that address; through answers where that proxy shall forward to.
	Start(ctx context.Context, behind map[string]string) (address string, through map[string]string, err error)
	// Stop ends everything in good order, and fails when the end was not good.
	Stop() error
}

// A process is one running broker, or another program that is ended with what it started.
type process struct {
	command *exec.Cmd
	log     string        // file with what it printed
	ended   chan struct{} // closed when the process is gone; then err says how it ended
	err     error
}

// launch runs a program in a process group of its own with its output in a file.
func launch(log string, name string, arguments ...string) (*process, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(name), err)
	}
	defer file.Close()
	p := &process{command: exec.Command(name, arguments...), log: log, ended: make(chan struct{})}
	p.command.Stdout, p.command.Stderr = file, file
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(name), err)
	}
	go func() {
		p.err = p.command.Wait()
		close(p.ended)
	}()
	return p, nil
}

// terminatedJVM is how a JVM exits that was asked to end (SIGTERM).
const terminatedJVM = 143

func (p *process) name() string { return filepath.Base(p.command.Path) }

// ready waits until the broker answers ApiVersions, or says why it does not.
func (p *process) ready(ctx context.Context, address string) error {
	for {
		if answers(address) == nil {
			return nil
		}
		pause := time.NewTimer(2 * time.Millisecond)
		select {
		case <-p.ended:
			return fmt.Errorf("the broker ended before it answered (%v)\n%s", p.command.ProcessState, tail(p.log))
		case <-ctx.Done():
			return fmt.Errorf("no answer from %s: %w\n%s", address, ctx.Err(), tail(p.log))
		case <-pause.C:
		}
	}
}

// stop asks for an end (SIGTERM) and insists after a while.
func (p *process) stop(patience time.Duration) error {
	_ = p.command.Process.Signal(syscall.SIGTERM) // it may have ended already: ended tells
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-p.ended:
		if exit, ok := errors.AsType[*exec.ExitError](p.err); ok && exit.ExitCode() == terminatedJVM {
			return nil
		}
		if p.err != nil {
			return fmt.Errorf("%s ended badly: %w\n%s", p.name(), p.err, tail(p.log))
		}
		return nil
	case <-limit.C:
		p.kill()
		return fmt.Errorf("%s did not end within %v of SIGTERM\n%s", p.name(), patience, tail(p.log))
	}
}

// kill is kill -9, and waits until the process is gone.
func (p *process) kill() {
	_ = p.command.Process.Kill() // it may have ended already: ended tells
	<-p.ended
}

// answers asks for ApiVersions version 0.
func answers(address string) error {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	request := []byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff} // key 18, version 0, correlation 7, no client id
	if _, err := c.Write(request); err != nil {
		return err
	}
	var head [10]byte // length, correlation, error
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	if code := binary.BigEndian.Uint16(head[8:]); code != 0 || head[7] != 7 {
		return fmt.Errorf("ApiVersions answered error %d", code)
	}
	return nil
}

// FreeAddress picks a loopback port that nobody listens on now.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// tail is the end of a log file, for an error that shows what the broker said. Of one that panicked it is how it did so,
// not the last of its goroutines.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const most = 20
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if at := slices.IndexFunc(lines, panics); at >= 0 {
		return strings.Join(lines[at:min(len(lines), at+2*most)], "\n")
	}
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// panics reports whether a line of a log is the first that the Go runtime prints at its end.
func panics(line string) bool {
	return strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") || strings.HasPrefix(line, "SIG")
}

// sound tells of a panic in a log file.
func sound(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("look for a panic: %w", err)
	}
	if slices.ContainsFunc(strings.Split(string(text), "\n"), panics) {
		return fmt.Errorf("the broker panicked\n%s", tail(path))
	}
	return nil
}
