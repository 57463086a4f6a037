// Command power cuts the power of a broker's disk at random moments while clients work, starts the broker again on what
// is left, and counts what became of everything that it had acknowledged.
//
//	round:  load ── kill -9, cut power ── mend ── (start ── cut again ── mend) ── start ── flush ── read back ── judge
//
// The disk is an ext4 file system on a loop device (package disk); before the first round it is shown to lose what was
// not synced. Producers with acks=all (idempotent; some live through all cuts) and acks=1 write small and large
// records to a few partitions, to logs that roll and are removed by retention every moment, and in some rounds to
// hundreds of partitions; topics are created and deleted and group offsets committed. Some cuts come while the broker
// stops or starts. The topics live as long as the run, so that damage would add up; every tenth round and at the end
// everything is read once more.
//
// With -transactions the clients are those of package transact, and package history judges what everybody was told.
//
//	go run ./power                       20 rounds; needs root
//	go run ./power -rounds 5 -seed 7     the same five again (kinds and moments; not the scheduler)
//	go run ./power -transactions         transactions, and copies with their offsets in them
//	go run ./power -settings log.flush.mode=os -expect-loss
//	                                     a broker that does not sync must be found out
//	go run ./power -settings log.flush.mode=interval,log.flush.interval.ms=100
//	                                     what was acknowledged in the last interval may be lost, nothing older
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
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/disk"
	"github.com/millrace/millrace/engine/compat/ledger"
	"github.com/millrace/millrace/engine/compat/totals"
	"github.com/millrace/millrace/engine/compat/transact"
)

type options struct {
	rounds     int
	seed       uint64
	least      time.Duration
	most       time.Duration
	binary     string
	settings   string
	counts     string
	work       string
	disk       int64
	expectLoss bool
	keep       string

	transactions bool
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 20, "how often the power is cut")
	flag.Uint64Var(&o.seed, "seed", 0, "of the kinds and the moments (default: from the clock)")
	flag.DurationVar(&o.least, "least", 50*time.Millisecond, "shortest time under load before a cut")
	flag.DurationVar(&o.most, "most", 1200*time.Millisecond, "longest time under load before a cut")
	flag.StringVar(&o.binary, "binary", "", "the broker (default: built from this tree)")
	flag.StringVar(&o.settings, "settings", "", "more of the broker's settings: key=value,key=value")
	flag.StringVar(&o.counts, "counts", "", "append a line `passed failed` (rounds) to this file")
	flag.StringVar(&o.work, "work", "", "folder for the disk's image (default: the system's for temporary files)")
	flag.Int64Var(&o.disk, "disk", 2048, "size of the disk in MiB; the image is sparse")
	flag.BoolVar(&o.expectLoss, "expect-loss", false, "succeed when, and as soon as, a loss is found")
	flag.StringVar(&o.keep, "keep", "", "end at the first round that is not clean, and copy the data and the broker's logs to this new folder")
	flag.BoolVar(&o.transactions, "transactions", false, "write and copy in transactions, and judge the history of all of them")
	flag.Parse()
	disk.Isolate()
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "power: %v (seed %d)\n", err, o.seed)
		os.Exit(1)
	}
}

// The ends of a run that did not go as it must.
var (
	errFound  = errors.New("not every round was clean")
	errUnseen = errors.New("no loss was found where there must be one")
)

func run(ctx context.Context, o options) (err error) {
	if err := disk.Needs(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.work, "power-")
	if err != nil {
		return fmt.Errorf("make a folder for the disk: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder that stays harms nobody
	if err := disk.Probe(dir); err != nil {
		return err
	}
	if o.binary == "" {
		if o.binary, err = broker.Build(ctx, filepath.Join("..", ".."), dir); err != nil {
			return err
		}
	}
	l := &loop{options: o, random: rand.New(rand.NewPCG(o.seed, 0)), begun: time.Now(), cuts: map[string]int{}}
	if o.settings != "" {
		l.extra = strings.Split(o.settings, ",")
	}
	l.logs = filepath.Join(dir, "logs")
	if err := os.Mkdir(l.logs, 0o755); err != nil {
		return fmt.Errorf("make a folder for logs: %w", err)
	}
	if l.address, err = broker.FreeAddress(); err != nil {
		return err
	}
	if l.burden, err = l.carries(); err != nil {
		return err
	}
	if l.disk, err = disk.Make(dir, "disk", o.disk); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.disk.Drop()) }()
	fmt.Printf("seed %d, %d rounds on %s\n", o.seed, o.rounds, l.disk.Path)
	failed, err := l.run(ctx)
	switch {
	case err != nil:
		return err
	case o.expectLoss && failed == 0:
		return errUnseen
	case o.expectLoss:
		return nil
	}
	if err := totals.Append(o.counts, o.rounds-failed, failed); err != nil {
		return err
	}
	if failed > 0 {
		return errFound
	}
	return nil
}

// carries makes what the broker has to do.
func (l *loop) carries() (burden, error) {
	within, err := within(l.extra)
	switch {
	case err != nil:
		return nil, err
	case l.transactions && within > 0:
		return nil, errors.New("with log.flush.mode=interval a cut may take part of a transaction, so there is nothing to judge")
	case l.transactions:
		// Their own logs roll and are compacted all the while.
		l.extra = append([]string{"transaction.state.log.num.partitions=2", "transaction.state.log.segment.bytes=1048576",
			"offsets.topic.segment.bytes=1048576", "log.cleaner.backoff.ms=300"}, l.extra...)
		return &transactions{l, transact.New(transact.Options{Address: l.address, Name: "power", Partitions: 6, Configs: few.configs})}, nil
	}
	return &records{loop: l, all: ledger.New(), within: within}, nil
}

// syncTime is how long the sync may take that an interval ends with, on a machine that has other work.
const syncTime = 500 * time.Millisecond

// within is how old an acknowledged record may be that a cut takes; zero: none may be lost.
func within(settings []string) (time.Duration, error) {
	interval, mode := "1000", ""
	for _, s := range settings {
		switch name, value, _ := strings.Cut(s, "="); name {
		case "log.flush.mode":
			mode = value
		case "log.flush.interval.ms":
			interval = value
		}
	}
	if mode != "interval" {
		return 0, nil
	}
	millis, err := strconv.Atoi(interval)
	if err != nil {
		return 0, fmt.Errorf("log.flush.interval.ms=%s: %w", interval, err)
	}
	return time.Duration(millis)*time.Millisecond + syncTime, nil
}
