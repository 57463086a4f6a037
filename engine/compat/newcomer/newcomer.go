// Package newcomer measures what a person meets who starts the broker for the first time: how soon it answers, how
// much memory it takes while nobody uses it, and how it ends.
package newcomer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/report"
)

const (
	startLimit  = 100 * time.Millisecond
	memoryLimit = 40 << 10 // KiB
)

// Run runs every check on the binary that COMPAT_BINARY names.
func Run(s *report.Suite) {
	s.Check("start", start)
	s.Check("idle", idle)
}

// serve starts a broker on fresh data and answers how long it took to answer.
func serve(ctx context.Context, dir string) (*broker.Running, time.Duration, error) {
	address, err := broker.FreeAddress()
	if err != nil {
		return nil, 0, err
	}
	begin := time.Now()
	r, err := broker.ServeMillrace(ctx, os.Getenv("COMPAT_BINARY"), filepath.Join(dir, "data"), filepath.Join(dir, "server.log"), address, "")
	return r, time.Since(begin), err
}

// start takes the best of ten, because other programs run beside it. Each broker must also end in good order.
func start(ctx context.Context) error {
	best := time.Hour
	for range 10 {
		dir, err := os.MkdirTemp("", "newcomer-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder that stays harms nobody
		r, took, err := serve(ctx, dir)
		if err != nil {
			return err
		}
		if err := r.Stop(); err != nil {
			return err
		}
		if best = min(best, took); best < startLimit {
			return nil
		}
	}
	return fmt.Errorf("answered after %v at best, want %v", best, startLimit)
}

func idle(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "newcomer-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder that stays harms nobody
	r, _, err := serve(ctx, dir)
	if err != nil {
		return err
	}
	soon, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	<-soon.Done()
	size, err := resident(r.Pid())
	if err != nil {
		return err
	}
	if size > memoryLimit {
		return fmt.Errorf("an idle broker takes %d KiB, want %d at most", size, memoryLimit)
	}
	return r.Stop()
}

// resident is a process's memory in KiB as the system counts it.
func resident(pid int) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read a process's memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if size, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(size), " kB"))
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", pid)
}
