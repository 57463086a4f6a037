package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Build compiles ./cmd/millrace of the project at root and answers the binary's path.
func Build(ctx context.Context, root, into string) (string, error) {
	binary := filepath.Join(into, "millrace")
	command := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/millrace")
	command.Dir = root
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/millrace: %w\n%s", err, output)
	}
	return binary, nil
}

// Millrace is our broker. Behind each proxy stands a process of its own, because a broker advertises one address.
type Millrace struct {
	Binary   string
	Dir      string   // for data and logs
	Settings []string // more key=value

	processes []*process
}

func (m *Millrace) Name() string { return "Millrace" }

// Start implements Target.
func (m *Millrace) Start(ctx context.Context, behind map[string]string) (string, map[string]string, error) {
	address, err := m.serve(ctx, "main", "")
	if err != nil {
		return "", nil, err
	}
	through := map[string]string{}
	for name, advertised := range behind {
		if through[name], err = m.serve(ctx, name, advertised); err != nil {
			return "", nil, errors.Join(err, m.Stop())
		}
	}
	return address, through, nil
}

func (m *Millrace) serve(ctx context.Context, name, advertised string) (string, error) {
	address, err := FreeAddress()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(m.Dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("start millrace: %w", err)
	}
	p, err := ServeMillrace(ctx, m.Binary, filepath.Join(dir, "data"), filepath.Join(dir, "server.log"), address, advertised, m.Settings...)
	if err != nil {
		return "", err
	}
	m.processes = append(m.processes, p.process)
	return address, nil
}

// Stop implements Target. A broker that panicked, or that does not end when it is asked to, is an error.
func (m *Millrace) Stop() error {
	var failures []error
	for _, p := range m.processes {
		failures = append(failures, p.stop(20*time.Second))
		failures = append(failures, sound(p.log))
	}
	m.processes = nil
	return errors.Join(failures...)
}

// A Running broker, or other program, is one process that the caller ends.
type Running struct{ process *process }

// Launch runs any program as brokers are run: in a process group of its own, with its output in the file log.
func Launch(log, name string, arguments ...string) (*Running, error) {
	p, err := launch(log, name, arguments...)
	if err != nil {
		return nil, err
	}
	return &Running{p}, nil
}

// ServeMillrace runs one broker and waits until it answers. An empty advertised means address.
func ServeMillrace(ctx context.Context, binary, data, log, address, advertised string, settings ...string) (*Running, error) {
	r, err := LaunchMillrace(binary, data, log, address, advertised, settings...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := r.process.ready(ctx, address); err != nil {
		r.Kill()
		return nil, err
	}
	return r, nil
}

// LaunchMillrace is ServeMillrace without the wait.
func LaunchMillrace(binary, data, log, address, advertised string, settings ...string) (*Running, error) {
	arguments := []string{"serve", "--override", "listeners=PLAINTEXT://" + address, "--override", "log.dirs=" + data,
		"--override", "group.initial.rebalance.delay.ms=0", "--override", "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000", "--override", "admin.listener=",
		"--override", "group.consumer.min.heartbeat.interval.ms=300", "--override", "group.consumer.heartbeat.interval.ms=300"}
	if advertised != "" {
		arguments = append(arguments, "--override", "advertised.listeners=PLAINTEXT://"+advertised)
	}
	for _, s := range settings {
		arguments = append(arguments, "--override", s)
	}
	p, err := launch(log, binary, arguments...)
	if err != nil {
		return nil, err
	}
	return &Running{p}, nil
}

// Pid is the process's number.
func (r *Running) Pid() int { return r.process.command.Process.Pid }

// Kill is kill -9; it returns when the process is gone.
func (r *Running) Kill() { r.process.kill() }

// Strike is kill -9 without the wait: no instruction of the broker runs after it, though its last system calls may.
func (r *Running) Strike() { _ = r.process.command.Process.Kill() } // gone already is as good

// Terminate asks for a clean end and does not wait for it.
func (r *Running) Terminate() { _ = r.process.command.Process.Signal(syscall.SIGTERM) } // gone already is as good

// Stop asks for a clean end.
func (r *Running) Stop() error { return r.process.stop(20 * time.Second) }

// Ended is closed when the process is gone, by itself or not.
func (r *Running) Ended() <-chan struct{} { return r.process.ended }

// Sound tells of a panic in what it printed so far.
func (r *Running) Sound() error { return sound(r.process.log) }

// Fallen is why it has ended badly by itself, as a program does that panics; nil while it runs, and when it was ended.
func (r *Running) Fallen() error {
	select {
	case <-r.process.ended:
	default:
		return nil
	}
	exit, ok := errors.AsType[*exec.ExitError](r.process.err)
	if !ok || exit.ExitCode() <= 0 || exit.ExitCode() == terminatedJVM {
		return nil
	}
	return fmt.Errorf("%s ended by itself: %w\n%s", r.process.name(), exit, r.Log())
}

// Watch is ctx for what needs the program: it ends, with Fallen for its cause, when the program falls.
func (r *Running) Watch(ctx context.Context) (context.Context, context.CancelFunc) {
	watched, end := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-r.process.ended:
			if err := r.Fallen(); err != nil {
				end(err)
			}
		case <-watched.Done():
		}
	}()
	return watched, func() { end(nil) }
}

// Log is the end of what it printed, or how it panicked.
func (r *Running) Log() string { return tail(r.process.log) }
