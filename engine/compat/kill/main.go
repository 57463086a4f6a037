// Command kill ends a broker with kill -9 at random moments while producers write to it, starts it again on the same
// data, and counts what became of everything that it had acknowledged.
//
//	round:  produce ── kill -9 ──▶ (tear the tail of a log) ── start ──▶ flush ── read back ── judge
//
// Two kinds of idempotent producers write with acks=all. The lasting ones live through the kill: they send again what
// was not answered, and the broker must know what it already has. The passing ones end with the kill: what they were
// not told may be there or not, but once. Beside them, topics are created and group offsets committed; what was
// acknowledged of these must be there, too. At the end everything of all rounds is read once more.
//
//	go run ./kill                       50 rounds
//	go run ./kill -rounds 5 -seed 7     the same five again (moments and tears; not the scheduler)
//	go run ./kill -transactions         transactions, and copies with their offsets in them, judged by package history
//	go run ./kill -target kafka         Apache Kafka, to see that the program is right
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/install"
	"github.com/millrace/millrace/engine/compat/totals"
)

type options struct {
	rounds     int
	seed       uint64
	producers  int
	partitions int
	least      time.Duration
	most       time.Duration
	target     string
	binary     string
	settings   string
	counts     string
	keep       bool
	within     bool // transactions
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 50, "how often the broker is killed")
	flag.Uint64Var(&o.seed, "seed", 1, "of the moments and of the tears")
	flag.IntVar(&o.producers, "producers", 2, "of each kind")
	flag.IntVar(&o.partitions, "partitions", 6, "that every producer writes to")
	flag.DurationVar(&o.least, "least", 50*time.Millisecond, "shortest time under load before a kill")
	flag.DurationVar(&o.most, "most", 1500*time.Millisecond, "longest time under load before a kill")
	flag.StringVar(&o.target, "target", "millrace", "millrace or kafka")
	flag.StringVar(&o.binary, "binary", "", "the broker (default: built from this tree)")
	flag.StringVar(&o.settings, "settings", "", "more of the broker's settings: key=value,key=value")
	flag.StringVar(&o.counts, "counts", "", "append a line `passed failed` (rounds) to this file")
	flag.BoolVar(&o.within, "transactions", false, "write and copy in transactions, and judge the history of all of them")
	flag.BoolVar(&o.keep, "keep", false, "keep the data and the logs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "kill:", err)
		os.Exit(1)
	}
}

// errLost is the end of a run whose rounds were not all clean.
var errLost = errors.New("not every round was clean")

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "kill-")
	if err != nil {
		return fmt.Errorf("make a folder for the data: %w", err)
	}
	if o.keep {
		fmt.Println("data and logs stay in", dir)
	} else {
		defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder that stays harms nobody
	}
	start, address, err := starter(ctx, o, dir)
	if err != nil {
		return err
	}
	l := &loop{options: o, dir: dir, address: address, start: start, random: rand.New(rand.NewPCG(o.seed, 0)), begin: time.Now()}
	play := l.run
	if o.within {
		play = l.runTransactions
	}
	failed, err := play(ctx)
	if err != nil {
		return err
	}
	if err := totals.Append(o.counts, o.rounds-failed, failed); err != nil {
		return err
	}
	if failed > 0 {
		return errLost
	}
	return nil
}

// starter answers how to start the broker, again and again, on the same data and address.
func starter(ctx context.Context, o options, dir string) (start func(context.Context) (*broker.Running, error), address string, err error) {
	if address, err = broker.FreeAddress(); err != nil {
		return nil, "", err
	}
	root := filepath.Join("..", "..")
	if o.target == "kafka" {
		java, err := install.Kafka(ctx, "java")
		if err != nil {
			return nil, "", err
		}
		k := &broker.Kafka{ClassPath: java.ClassPath, Logging: java.Logging, Dir: dir}
		return func(ctx context.Context) (*broker.Running, error) { return k.Serve(ctx, address, nil, nil) }, address, nil
	}
	if o.binary == "" {
		if o.binary, err = broker.Build(ctx, root, dir); err != nil {
			return nil, "", err
		}
	}
	var settings []string
	if o.settings != "" {
		settings = strings.Split(o.settings, ",")
	}
	return func(ctx context.Context) (*broker.Running, error) {
		return broker.ServeMillrace(ctx, o.binary, filepath.Join(dir, "data"), filepath.Join(dir, "server.log"), address, "", settings...)
	}, address, nil
}
