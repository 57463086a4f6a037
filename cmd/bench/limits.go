package bench

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/loadgen/limits"
	"github.com/millrace/millrace/loadgen/peers"
	"github.com/millrace/millrace/results"
)

// limiting are the options of `bench limits`.
type limiting struct {
	rows       []int
	repeats    int
	quick      bool
	volumes    []string
	warmup     string
	libs       string
	heap       string
	out        string
	work       string
	benchmarks string
}

func limitsCommand() *cobra.Command {
	var o limiting
	c := &cobra.Command{
		Use:   "limits",
		Short: "Measure every promise of the table of limits in BENCHMARKS.md",
		Long: `Measures the rows of the table of limits, each from its file in loadgen/limits/rows:
processor time per GB, rates, latencies, start, memory. Rows that name Kafka measure both
in turn; its jars come from where "bench peers" has them. Row 9 writes 40 GB and row 10
20 GB in each repeat: they need that much free space, or a smaller --volume.

Every run is a file of results; the table says of each bound whether it is met.`,
		Example: "  millrace bench limits --quick\n  millrace bench limits --rows 7,10,12 --repeats 5\n  millrace bench limits --rows 9 --volume 9=10GB --work /data/tmp",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	f := c.Flags()
	f.IntSliceVar(&o.rows, "rows", nil, "numbers of the rows to measure, as 1,5,9 (default: all)")
	f.IntVar(&o.repeats, "repeats", results.MinRepeats, "how often every row is measured")
	f.BoolVar(&o.quick, "quick", false, "once, with small volumes: shows that it works, counts for no verdict")
	f.StringArrayVar(&o.volumes, "volume", nil, "row=size: bytes of record values that a row writes in each phase, as 9=10GB; may be repeated")
	f.StringVar(&o.warmup, "warmup", "2GB", "of record values that Kafka takes before anything counts")
	f.StringVar(&o.libs, "kafka-libs", "", "folder of Kafka's jars (default: $"+peers.LibsVariable+", or the user's cache)")
	f.StringVar(&o.heap, "kafka-heap", "1G", "heap of Kafka's JVM")
	f.StringVar(&o.out, "out", "results", "folder for results")
	f.StringVar(&o.work, "work", "", "folder for the brokers' data (default: a temporary one)")
	f.StringVar(&o.benchmarks, "benchmarks", "", "make this file from all results of the folder, as BENCHMARKS.md")
	return c
}

// clientRows are the rows that compare producers.
var clientRows = []int{20, 21}

// clientCommand measures those rows of the table that compare producers.
func clientCommand() *cobra.Command {
	c := limitsCommand()
	c.Use, c.Short = "client", "Measure what a record costs the producer that sends it: ours, franz-go, Kafka's"
	c.Long = `Measures the rows of the table of limits that compare producers: 100-byte records in batches
of 16 KiB, sent by the native engine of sdk/client, by franz-go and by Kafka's own producer
to one Millrace, in turn. What counts is the processor time of the producer's process.
Kafka's jars come from where "bench peers" has them; it needs a JDK.`
	c.Example = "  millrace bench client --quick\n  millrace bench client --repeats 9 --benchmarks BENCHMARKS.md"
	rows := make([]string, len(clientRows))
	for i, row := range clientRows {
		rows[i] = strconv.Itoa(row)
	}
	f := c.Flags().Lookup("rows")
	f.DefValue = strings.Join(rows, ",")
	if err := f.Value.Set(f.DefValue); err != nil {
		panic(err) // the numbers are right
	}
	for _, unused := range []string{"rows", "volume", "warmup", "kafka-heap"} {
		if err := c.Flags().MarkHidden(unused); err != nil {
			panic(err)
		}
	}
	return c
}

func (o *limiting) run(c *cobra.Command) (err error) {
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	m, err := o.options(c)
	if err != nil {
		return err
	}
	needed, err := limits.NeedKafka(m.Rows)
	if err != nil {
		return err
	}
	out := c.OutOrStdout()
	if needed {
		fmt.Fprintf(out, "Kafka %s from %s\n", peers.KafkaVersion, m.Kafka.Libs)
		if err := peers.InstallKafka(ctx, m.Kafka.Libs); err != nil {
			return err
		}
	}
	if m.Work, err = os.MkdirTemp(o.work, "millrace-limits-"); err != nil {
		return fmt.Errorf("make a folder for the brokers: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(m.Work)) }()
	screen := newScreen(out)
	m.Progress = func(s limits.Step) { screen.say("%s", limitStep(s)) }
	m.Second = screen.now
	m.Taking = screen.taking
	m.Finished = func(r *results.Result) { screen.say("%s", limitLine(r)) }
	m.Failed = func(_ int, err error) { screen.say("FAILED: %v", err) }
	paths, err := limits.Run(ctx, m)
	screen.say("\n%d results in %s", len(paths), o.out)
	if len(paths) > 0 {
		err = errors.Join(err, verdicts(screen, paths, m.Rows))
	}
	if o.benchmarks != "" {
		err = errors.Join(err, writeBenchmarks(o.benchmarks, o.out))
	}
	return err
}

func (o *limiting) options(c *cobra.Command) (m limits.Options, err error) {
	if o.quick {
		for name, value := range map[string]string{"repeats": "1", "warmup": "200MB"} {
			if c.Flags().Changed(name) {
				continue
			}
			if err := c.Flags().Set(name, value); err != nil {
				return m, fmt.Errorf("--quick: %w", err)
			}
		}
	}
	if o.repeats < 1 {
		return m, fmt.Errorf("--repeats %d: needs at least 1", o.repeats)
	}
	m = limits.Options{
		Rows: o.rows, Repeats: o.repeats, Quick: o.quick, Out: o.out, Volumes: map[int]int64{},
		Kafka: peers.KafkaOptions{Libs: o.libs, Heap: o.heap},
	}
	for _, one := range o.volumes {
		row, size, _ := strings.Cut(one, "=")
		number, err := strconv.Atoi(row)
		if err != nil {
			return m, fmt.Errorf("--volume %s: needs row=size, as 9=10GB", one)
		}
		if m.Volumes[number], err = loadgen.Bytes(size); err != nil {
			return m, fmt.Errorf("--volume %s: %w", one, err)
		}
	}
	if m.Warmup, err = loadgen.Bytes(o.warmup); err != nil {
		return m, fmt.Errorf("--warmup: %w", err)
	}
	if m.Kafka.Libs == "" {
		m.Kafka.Libs, err = peers.KafkaLibs()
	}
	return m, err
}

func limitStep(s limits.Step) string {
	left := ""
	if s.Left > 0 {
		left = ", " + s.Left.Round(time.Second).String() + " left"
	}
	return fmt.Sprintf("%3d/%d%s: row %d, %s, repeat %d", s.Done+1, s.All, left, s.Row, s.Side, s.Repeat)
}

// limitLine is what one run showed, in short.
func limitLine(r *results.Result) string {
	line := ""
	if len(r.Phases) > 0 {
		line = strings.TrimRight(resultLine(r), ";")
	}
	for _, m := range r.Figures {
		line += fmt.Sprintf("; %s %s", m.Name, results.InUnit(m.Value, m.Unit))
	}
	return "        " + strings.TrimLeft(line, " ;")
}

// verdicts prints what the new runs say of each row.
func verdicts(s *screen, paths []string, rows []int) error {
	all, err := results.ReadAll(paths...)
	if err != nil {
		return err
	}
	table, err := limits.Limits()
	if err != nil {
		return err
	}
	if len(rows) > 0 {
		table = slices.DeleteFunc(table, func(l results.Limit) bool { return !slices.Contains(rows, l.Row) })
	}
	return results.WriteLimits(s.out, all, table)
}
