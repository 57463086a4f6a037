package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Broker is one running child process that speaks Kafka's protocol. Owned by whoever
// started it; Stop it.
type Broker struct {
	Name    string
	Address string
	Admin   string // host:port of metrics and profiles, if it has one
	PID     int
	Dir     string            // all that it writes, its log included
	Config  map[string]string // what it was told beyond its defaults

	command *exec.Cmd
	exited  chan struct{}
	cause   error // of the exit; read it after exited is closed
}

// patience is how long a broker may take to answer, and to stop.
const patience = 60 * time.Second

// start runs the command with its output in <dir>/output.log and waits until it answers.
func start(ctx context.Context, b *Broker, command *exec.Cmd) (*Broker, error) {
	output, err := os.Create(filepath.Join(b.Dir, "output.log"))
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", b.Name, err)
	}
	defer output.Close() // the child has its own descriptor
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", b.Name, err)
	}
	b.command, b.PID, b.exited = command, command.Process.Pid, make(chan struct{})
	go func() {
		b.cause = command.Wait()
		close(b.exited)
	}()
	if err := b.answers(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w\n%s", b.Name, err, b.lastWords()), b.Stop())
	}
	return b, nil
}

// answers waits until the broker answers a client, or is gone.
func (b *Broker) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address), kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }))
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	defer client.Close()
	for {
		if err = client.Ping(ctx); err == nil {
			return nil
		}
		select {
		case <-b.exited:
			return fmt.Errorf("it ended before it answered: %v", b.cause)
		case <-ctx.Done():
			return fmt.Errorf("it did not answer on %s: %w", b.Address, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// lastWords is the end of what the broker printed.
func (b *Broker) lastWords() string {
	text, err := os.ReadFile(filepath.Join(b.Dir, "output.log"))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// Stop asks the broker to end, insists when it does not, and waits until it is gone. Its
// folder stays.
func (b *Broker) Stop() error {
	select {
	case <-b.exited:
		return nil
	default:
	}
	if err := b.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", b.Name, err)
	}
	select {
	case <-b.exited:
		return nil
	case <-time.After(patience):
	}
	if err := b.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", b.Name, err)
	}
	<-b.exited
	return nil
}

// freePorts finds so many different ports on loopback that nobody listens on.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer listener.Close() // after the last is found, so that all differ
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
