// Command hostile lets peers misbehave towards a broker and looks at what that costs: the broker's memory, and what a
// client that behaves waits for its acknowledgements meanwhile.
//
//	go run ./hostile                   everything, at full size
//	go run ./hostile -only idle,unread these two
//	go run ./hostile -scale 0.05       a twentieth of the connections
//	go run ./hostile -strict           the honest client may wait twice as long as before, no longer
//	go run ./hostile -format markdown  a table for docs/hostile.md; json for programs
//
// The broker is a process of its own. Its memory is RSS, sampled all the time; the kernel's memory for TCP is shown
// beside it. The honest client sends a record every 5 ms, whatever becomes of those before, and latency counts from
// when a record should have been sent; the same client is measured just before, and then from the first bad byte on.
// The peers are a process as well, one that leaves the processors to the others: elsewhere they have machines of their
// own. The rest shares this one, so that where others are at work the second figure says as much about them: unless
// -strict is given, only what is over ten times the first figure and over 250 ms, twice, is too slow. What a machine
// with busy processors makes of the honest client, with no peers at all, is the first line of the table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/totals"
)

type options struct {
	scale    float64
	only     string
	binary   string
	duration time.Duration
	strict   bool
	format   string
	counts   string
	attack   string // of a process that attacks: who it is to be, and where
	address  string
	number   int
}

func main() {
	var o options
	flag.Float64Var(&o.scale, "scale", 1, "of how many connections there are")
	flag.StringVar(&o.only, "only", "", "names of peers, with commas between (default: all)")
	flag.StringVar(&o.binary, "binary", "", "the broker (default: built from this tree)")
	flag.DurationVar(&o.duration, "duration", 4*time.Second, "how long each is watched before, and again once all are connected")
	flag.BoolVar(&o.strict, "strict", false, "fail when the honest client's p99 more than doubles")
	flag.StringVar(&o.format, "format", "text", "of the table: text, markdown or json")
	flag.StringVar(&o.counts, "counts", "", "append a line `passed failed` (kinds of peers) to this file")
	flag.StringVar(&o.attack, "attack", "", "be these peers, for a process that says when (what this command starts itself)")
	flag.StringVar(&o.address, "address", "", "of the broker that -attack is for")
	flag.IntVar(&o.number, "connections", 0, "that -attack has")
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
	if o.attack != "" {
		return beAttackers(ctx, o.attack, o.address, o.number)
	}
	show, ok := formats[o.format]
	if !ok {
		return fmt.Errorf("unknown format %q: use text, markdown or json", o.format)
	}
	if err := manyFiles(); err != nil {
		return err
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
	var results []result
	failed := 0
	for _, p := range peers {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), p.name) {
			continue
		}
		r, err := judged(ctx, o, p, filepath.Join(dir, p.name))
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %s\n", r.Peers, r.verdict())
		if results = append(results, r); len(r.Wrong) > 0 {
			failed++
		}
	}
	if err := show(os.Stdout, results); err != nil {
		return err
	}
	if err := totals.Append(o.counts, len(results)-failed, failed); err != nil {
		return err
	}
	if failed > 0 {
		return errLimit
	}
	return nil
}

// judged measures, and once more if others on the machine may be why it was too slow.
func judged(ctx context.Context, o options, p peer, dir string) (result, error) {
	r, err := measure(ctx, o, p, dir)
	if err != nil {
		return r, err
	}
	if r.judge(o.strict); o.strict || !r.slow || len(r.Wrong) > 1 {
		return r, nil
	}
	fmt.Fprintf(os.Stderr, "%s: %s, once more\n", r.Peers, r.verdict())
	if r, err = measure(ctx, o, p, dir+"-again"); err == nil {
		r.judge(o.strict)
	}
	return r, err
}

// manyFiles lets this process and the broker, which inherits it, open as many files as the system allows.
func manyFiles() error {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("ask how many files may be open: %w", err)
	}
	files.Cur = files.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return fmt.Errorf("have %d files open: %w", files.Max, err)
	}
	return nil
}

// measure runs one kind of peers against a fresh broker.
func measure(ctx context.Context, o options, p peer, dir string) (r result, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return r, err
	}
	address, err := broker.FreeAddress()
	if err != nil {
		return r, err
	}
	b, err := broker.ServeMillrace(ctx, o.binary, filepath.Join(dir, "data"), filepath.Join(dir, "log"), address, "")
	if err != nil {
		return r, err
	}
	defer b.Kill()
	connections := int(math.Ceil(float64(p.connections) * o.scale))
	others, err := startAttackers(ctx, p, address, connections)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, others.end()) }()
	honest, err := newProbe(address)
	if err != nil {
		return r, err
	}
	defer honest.close()
	if _, err := honest.watch(ctx, time.Second, nil); err != nil { // a broker that has just started is slower
		return r, err
	}
	before, err := honest.watch(ctx, o.duration, nil)
	if err != nil {
		return r, err
	}
	rss, tcp := memory(b.Pid()), kernel()
	watched := watchMemory(b.Pid())
	begun := make(chan struct{})
	during := make(chan waits, 1)
	failed := make(chan error, 1)
	go func() {
		w, err := honest.watch(ctx, o.duration, begun)
		during <- w
		failed <- err
	}()
	failure := others.attack()
	close(begun)
	meanwhile := <-during
	if err := <-failed; err != nil {
		return r, fmt.Errorf("the honest client: %w\n%s", err, b.Log())
	}
	if failure != nil {
		return r, failure
	}
	most, tcpMost := watched()
	if err := others.end(); err != nil {
		return r, err
	}
	return result{
		Peers: p.name, What: p.what, Connections: connections, Before: mib(rss), Most: mib(most), More: mib(most - rss), Limit: mib(p.bytes), Kernel: mib(tcpMost - tcp),
		P99Before: millis(before.p99), P99: millis(meanwhile.p99), Worst: millis(meanwhile.worst),
	}, b.Stop()
}

func mib(bytes int64) float64        { return float64(bytes) / (1 << 20) }
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
