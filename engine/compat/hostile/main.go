// Command hostile lets peers misbehave towards a broker and looks at what that costs: the broker's memory, and what a
// client that behaves waits for its acknowledgements meanwhile.
//
//	go run ./hostile                   everything, at full size
//	go run ./hostile -only idle,unread at full size, these two
//	go run ./hostile -scale 0.05       a twentieth of the connections
//
// The broker is a process of its own. Its memory is RSS, sampled all the time; the kernel's memory for TCP is shown
// beside it. The honest client sends a record every 5 ms, whatever becomes of those before, and latency counts from
// when a record should have been sent; the same client is measured for as long just before.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
)

type options struct {
	scale    float64
	only     string
	binary   string
	duration time.Duration
}

func main() {
	var o options
	flag.Float64Var(&o.scale, "scale", 1, "of how many connections there are")
	flag.StringVar(&o.only, "only", "", "names of peers, with commas between (default: all)")
	flag.StringVar(&o.binary, "binary", "", "the broker (default: built from this tree)")
	flag.DurationVar(&o.duration, "duration", 4*time.Second, "how long each is watched, once all are connected")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(1)
	}
}

var errLimit = errors.New("not every limit was kept")

func run(ctx context.Context, o options) error {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("ask how many files may be open: %w", err)
	}
	files.Cur = files.Max // the broker inherits it
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("have %d files open: %w", files.Max, err)
	}
	dir, err := os.MkdirTemp("", "hostile-")
	if err != nil {
		return fmt.Errorf("make a folder for the data: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder that stays harms nobody
	if o.binary == "" {
		if o.binary, err = broker.Build(ctx, filepath.Join("..", ".."), dir); err != nil {
			return err
		}
	}
	fmt.Printf("%-10s %12s %12s %12s %12s %14s %14s  %s\n", "peers", "connections", "RSS before", "RSS at most", "more", "kernel's TCP", "p99 before", "p99 meanwhile")
	kept := true
	for _, p := range peers {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), p.name) {
			continue
		}
		ok, err := measure(ctx, o, p, filepath.Join(dir, p.name))
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		kept = kept && ok
	}
	if !kept {
		return errLimit
	}
	return nil
}

// measure runs one kind of peers against a fresh broker.
func measure(ctx context.Context, o options, p peer, dir string) (ok bool, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return false, err
	}
	address, err := broker.FreeAddress()
	if err != nil {
		return false, err
	}
	b, err := broker.ServeMillrace(ctx, o.binary, filepath.Join(dir, "data"), filepath.Join(dir, "log"), address, "")
	if err != nil {
		return false, err
	}
	defer b.Kill()
	s := &scene{ctx: ctx, address: address, connections: max(1, int(float64(p.connections)*o.scale))}
	defer s.close()
	if err := s.prepare(p); err != nil {
		return false, err
	}
	honest, err := newProbe(address)
	if err != nil {
		return false, err
	}
	defer honest.close()
	before, err := honest.watch(ctx, o.duration)
	if err != nil {
		return false, err
	}
	rss, tcp := memory(b.Pid()), kernel()
	watched := watchMemory(b.Pid())
	if err := p.attack(s); err != nil {
		return false, err
	}
	during, err := honest.watch(ctx, o.duration)
	if err != nil {
		return false, fmt.Errorf("the honest client: %w\n%s", err, b.Log())
	}
	most, tcpMost := watched()
	more := most - rss
	ok = true
	verdict := ""
	if more > p.bytes {
		ok, verdict = false, fmt.Sprintf("  OVER %d MiB", p.bytes>>20)
	}
	if limit := max(2*before, 20*time.Millisecond); during > limit {
		ok, verdict = false, verdict+fmt.Sprintf("  SLOWER than %v", limit)
	}
	fmt.Printf("%-10s %12d %8.1f MiB %8.1f MiB %8.1f MiB %10.1f MiB %11.2f ms %11.2f ms%s\n", p.name, s.connections, mib(rss), mib(most), mib(more), mib(tcpMost-tcp),
		float64(before.Microseconds())/1e3, float64(during.Microseconds())/1e3, verdict)
	s.close()
	return ok, b.Stop()
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }
