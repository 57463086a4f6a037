package peers

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
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/results"
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

	Began  time.Time     // just before its program was executed
	Answer time.Duration // from then until it first answered a request, ApiVersions

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
	b.Began = time.Now()
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
	if err := b.first(ctx); err != nil {
		return err
	}
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

// glance is how long to wait between two looks at a broker that starts. It bounds the
// error of Answer, and costs the broker next to nothing.
const glance = 500 * time.Microsecond

// first waits for the first answer of all.
func (b *Broker) first(ctx context.Context) error {
	for {
		_, err := Ask(ctx, b.Address, kmsg.NewPtrApiVersionsRequest())
		if err == nil {
			b.Answer = time.Since(b.Began)
			return nil
		}
		select {
		case <-b.exited:
			return fmt.Errorf("it ended before it answered: %v", b.cause)
		case <-ctx.Done():
			return fmt.Errorf("it did not answer on %s: %w", b.Address, err)
		case <-time.After(glance):
		}
	}
}

// Ask opens a connection, sends one request at the version that it says and returns the
// answer. An ordinary client would first ask for versions, brokers and topics.
func Ask(ctx context.Context, address string, request kmsg.Request) (kmsg.Response, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", address, err)
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			return nil, fmt.Errorf("ask %s: %w", address, err)
		}
	}
	return Exchange(c, request)
}

// maxAnswer bounds the memory that one answer may ask for.
const maxAnswer = 256 << 20

// Exchange sends one request on an open connection and returns the answer.
func Exchange(c net.Conn, request kmsg.Request) (kmsg.Response, error) {
	what := kmsg.NameForKey(request.Key())
	if _, err := c.Write(Frame(request)); err != nil {
		return nil, fmt.Errorf("send %s: %w", what, err)
	}
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, fmt.Errorf("read the answer to %s: %w", what, err)
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < 4 || size > maxAnswer {
		return nil, fmt.Errorf("the answer to %s has %d bytes", what, size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c, body); err != nil {
		return nil, fmt.Errorf("read the answer to %s: %w", what, err)
	}
	answer := request.ResponseKind()
	body = body[4:] // the correlation id
	if answer.IsFlexible() && request.Key() != keyApiVersions {
		if len(body) == 0 || body[0] != 0 {
			return nil, fmt.Errorf("the answer to %s has an unknown header", what)
		}
		body = body[1:]
	}
	if err := answer.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("read the answer to %s: %w", what, err)
	}
	return answer, nil
}

// keyApiVersions is the one request whose answers have the old header at every version.
const keyApiVersions = 18

// Frame is a request as it goes over the wire.
func Frame(request kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("millrace-bench")).AppendRequest(nil, request, 1)
}

// Run runs a workload against the broker.
func (b *Broker) Run(ctx context.Context, o loadgen.Options) (*results.Result, error) {
	o.Brokers, o.BrokerPID, o.DataDir, o.Config = []string{b.Address}, b.PID, b.Dir, b.Config
	return loadgen.Run(ctx, o)
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
	return b.Kill()
}

// Kill ends the broker as a power cut would end its process, and waits until it is gone.
func (b *Broker) Kill() error {
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
