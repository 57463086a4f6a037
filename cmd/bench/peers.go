package bench

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/loadgen/peers"
	"github.com/millrace/millrace/results"
)

// peering are the options of `bench peers`.
type peering struct {
	repeats    int
	duration   time.Duration
	steady     time.Duration
	volume     string
	warmup     string
	only       string
	driver     string
	libs       string
	heap       string
	out        string
	work       string
	benchmarks string
	quick      bool
}

func peersCommand() *cobra.Command {
	var o peering
	c := &cobra.Command{
		Use:   "peers",
		Short: "Measure Millrace and Apache Kafka " + peers.KafkaVersion + " side by side",
		Long: `Starts both, each in its own folder, and measures every cell of a matrix on one and then
on the other, again and again: records of 100 B and 1 KiB, batches of 16 and 64 KiB, 1 and
6 partitions, with an fsync before every acknowledgement (flush=commit; Kafka's topics get
flush.messages=1) and without (flush=os). Kafka's jars come from Maven Central once
(needs java and mvn). Every run is a file; BENCHMARKS.md is made from all of them.`,
		Example: "  millrace bench peers\n  millrace bench peers --quick\n  millrace bench peers --only flush=os,record=100,batch=64KiB --repeats 5",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	f := c.Flags()
	f.IntVar(&o.repeats, "repeats", results.MinRepeats, "how often every cell is measured on both systems")
	f.DurationVar(&o.duration, "duration", 4*time.Second, "of producing at full speed, at most")
	f.DurationVar(&o.steady, "steady", 4*time.Second, "of the phase at a fixed rate")
	f.StringVar(&o.volume, "volume", "1GB", "of record values that are produced at full speed, at most")
	f.StringVar(&o.warmup, "warmup", "2GB", "of record values that every broker takes before anything counts")
	f.StringVar(&o.only, "only", "", "cells to measure, as record=100,batch=64KiB,partitions=1,flush=os")
	f.StringVar(&o.driver, "driver", loadgen.DriverOwn, "own or kgo")
	f.StringVar(&o.libs, "kafka-libs", "", "folder of Kafka's jars (default: $"+peers.LibsVariable+", or the user's cache)")
	f.StringVar(&o.heap, "kafka-heap", "1G", "heap of Kafka's JVM")
	f.StringVar(&o.out, "out", "results", "folder for results")
	f.StringVar(&o.work, "work", "", "folder for the brokers' data (default: a temporary one)")
	f.StringVar(&o.benchmarks, "benchmarks", "", "make this file from all results of the folder, as BENCHMARKS.md")
	f.BoolVar(&o.quick, "quick", false, "one minute: two cells, one repeat, small volumes; shows that it works, says little")
	return c
}

func (o *peering) run(c *cobra.Command) (err error) {
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	m, err := o.options(c)
	if err != nil {
		return err
	}
	if m.Work, err = os.MkdirTemp(o.work, "millrace-peers-"); err != nil {
		return fmt.Errorf("make a folder for the brokers: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(m.Work)) }()
	out := c.OutOrStdout()
	fmt.Fprintf(out, "Kafka %s from %s\n", peers.KafkaVersion, m.Kafka.Libs)
	if err := peers.InstallKafka(ctx, m.Kafka.Libs); err != nil {
		return err
	}
	fmt.Fprintf(out, "starting both and warming them up\n")
	m.Progress = func(s peers.Step) { fmt.Fprintln(out, stepLine(s)) }
	m.Finished = func(r *results.Result) { fmt.Fprintln(out, resultLine(r)) }
	m.Taking = newScreen(out).taking
	paths, err := peers.RunMatrix(ctx, m)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d results in %s\n", len(paths), o.out)
	if o.benchmarks == "" {
		return nil
	}
	return writeBenchmarks(o.benchmarks, o.out)
}

func (o *peering) options(c *cobra.Command) (m peers.MatrixOptions, err error) {
	if o.quick {
		for name, value := range map[string]string{
			"repeats": "1", "duration": "2s", "steady": "2s", "volume": "200MB", "warmup": "200MB", "only": "record=100,batch=64KiB,partitions=6",
		} {
			if c.Flags().Changed(name) {
				continue
			}
			if err := c.Flags().Set(name, value); err != nil {
				return m, fmt.Errorf("--quick: %w", err)
			}
		}
	}
	m = peers.MatrixOptions{Repeats: o.repeats, Duration: o.duration, Steady: o.steady, Driver: o.driver, Out: o.out, Kafka: peers.KafkaOptions{Libs: o.libs, Heap: o.heap}}
	if m.Volume, err = loadgen.Bytes(o.volume); err != nil {
		return m, fmt.Errorf("--volume: %w", err)
	}
	if m.Warmup, err = loadgen.Bytes(o.warmup); err != nil {
		return m, fmt.Errorf("--warmup: %w", err)
	}
	if m.Cells, err = peers.Only(peers.Cells(), o.only); err != nil {
		return m, fmt.Errorf("--only: %w", err)
	}
	if m.Kafka.Libs == "" {
		m.Kafka.Libs, err = peers.KafkaLibs()
	}
	return m, err
}

func stepLine(s peers.Step) string {
	left := ""
	if s.Left > 0 {
		left = ", " + s.Left.Round(time.Second).String() + " left"
	}
	return fmt.Sprintf("%3d/%d%s: %s %s, repeat %d", s.Done+1, s.All, left, s.System, s.Cell, s.Repeat)
}

// resultLine is what one run showed, in short.
func resultLine(r *results.Result) string {
	line := "       "
	for i := range r.Phases {
		p := &r.Phases[i]
		l := p.Latency[p.Primary()]
		switch p.Mode {
		case results.Max:
			line += fmt.Sprintf(" %s %s rec/s, %s s/GB;", p.Name, results.Figure(p.Rate), optional(p.CPU.BrokerPerGigabyte))
		default:
			line += fmt.Sprintf(" %s p50 %s p99 %s", p.Primary(), results.Micros(l.P50), results.Micros(l.P99))
		}
		if !p.Valid {
			line += " INVALID (" + p.InvalidReason + ")"
		}
	}
	return line
}
