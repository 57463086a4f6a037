package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A Mortal broker belongs to one client, which may kill it: it comes back at the same address with what its disk has.
// It belongs to one goroutine.
type Mortal struct {
	Address string
	Guarded string // of the listener where clients prove who they are; empty: there is none

	serve   func(ctx context.Context, log string) (*Running, error)
	dir     string
	lives   int
	running *Running
}

// Own makes a broker of the kind that the driver runs its clients on, which it says in COMPAT_TARGET, with data in dir.
func Own(dir string, settings ...string) (*Mortal, error) { return own(dir, "", settings) }

// OwnGuarded is Own with a second listener, where clients prove who they are and do what ACLs allow; see Guard.
func OwnGuarded(dir string, settings ...string) (*Mortal, error) {
	guarded, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	return own(dir, guarded, append(Guard(), settings...))
}

func own(dir, guarded string, settings []string) (*Mortal, error) {
	address, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	m := &Mortal{Address: address, Guarded: guarded, dir: dir}
	switch target := os.Getenv("COMPAT_TARGET"); target {
	case "millrace":
		if guarded != "" {
			settings = append(Beside(address, guarded), settings...)
		}
		m.serve = func(ctx context.Context, log string) (*Running, error) {
			return ServeMillrace(ctx, os.Getenv("COMPAT_BINARY"), filepath.Join(dir, "data"), log, address, "", settings...)
		}
	case "kafka":
		k := &Kafka{ClassPath: os.Getenv("COMPAT_CLASSPATH"), Logging: os.Getenv("COMPAT_LOGGING"), Dir: dir, Settings: settings, Guarded: guarded}
		m.serve = func(ctx context.Context, _ string) (*Running, error) { return k.Serve(ctx, address, nil, nil) }
	default:
		return nil, fmt.Errorf("COMPAT_TARGET is %q, want millrace or kafka", target)
	}
	return m, nil
}

// Start serves, for the first time or again.
func (m *Mortal) Start(ctx context.Context) (err error) {
	m.lives++
	m.running, err = m.serve(ctx, m.log(m.lives))
	return err
}

// log is the file for what a life of Millrace prints.
func (m *Mortal) log(life int) string {
	return filepath.Join(m.dir, fmt.Sprintf("server-%d.log", life))
}

// Restart is kill -9 and a new life.
func (m *Mortal) Restart(ctx context.Context) error {
	if m.running != nil {
		m.running.Kill()
	}
	return m.Start(ctx)
}

// Sound tells whether a life of Millrace panicked.
func (m *Mortal) Sound() error {
	for life := 1; life <= m.lives; life++ {
		if err := sound(m.log(life)); err != nil && !errors.Is(err, fs.ErrNotExist) { // Kafka has no such file
			return fmt.Errorf("life %d: %w", life, err)
		}
	}
	return nil
}

// Stop ends the broker in good order. One that could not be started again is gone already, and its check has failed.
func (m *Mortal) Stop() error {
	if m.running == nil {
		return nil
	}
	return m.running.Stop()
}
