package bench

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/loadgen"
)

// Command returns `millrace bench` with all its sub-commands.
func Command() *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure a broker: throughput, latency, cost",
		Long: `Without a sub-command it starts a broker in a temporary folder and takes it on a tour of
one minute: produce at full speed, produce at a fixed rate, consume, end to end.

With --bootstrap-server it measures any broker that speaks Kafka's protocol.`,
		Example: `  millrace bench
  millrace bench --bootstrap-server 127.0.0.1:9092 --broker-pid 4711
  millrace bench run latency --rate 5k --duration 30s
  millrace bench compare self self,log.flush.mode=os
  millrace bench peers --only record=100,flush=os --repeats 1
  millrace bench limits --rows 7,12 --quick`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(c *cobra.Command, _ []string) error { return f.run(c, "tour") },
	}
	f.declare(c)
	c.AddCommand(runCommand(), compareCommand(), peersCommand(), limitsCommand(), clientCommand(), sweepCommand(), ReportCommand(), keysCommand())
	return c
}

func runCommand() *cobra.Command {
	var f flags
	c := &cobra.Command{
		Use:     "run WORKLOAD",
		Short:   "Run a workload: a YAML file, or one of " + strings.Join(loadgen.ShippedWorkloads(), ", "),
		Example: "  millrace bench run keys\n  millrace bench run mine.yaml --bootstrap-server 127.0.0.1:9092 --set codec=zstd",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return f.run(c, args[0]) },
	}
	f.declare(c)
	return c
}

func keysCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "keys",
		Short: "List what a workload file may say",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var t table
			t.add("key", "allowed")
			for _, k := range loadgen.Keys() {
				t.add(k.Name, k.Allowed)
			}
			return t.write(c.OutOrStdout(), left, left)
		},
	}
}

// flags are the options of a run.
type flags struct {
	bootstrap string
	brokerPID int
	settings  []string // of the broker that is started
	driver    string
	system    string
	out       string
	repeats   int
	phases    []string
	set       []string
	max       bool
	ramp      string
	duration  time.Duration
	warmup    time.Duration
	keep      bool
	noHDR     bool
	profiles  string
	admin     string
	short     map[string]*string // options that stand for one key of the workload
}

// shorthands are the workload's keys that have an option of their own.
var shorthands = [][2]string{
	{"rate", "records per second, as 50k"}, {"producers", "producing connections"}, {"consumers", "consuming connections"},
	{"partitions", "partitions of the topic"}, {"value", "bytes of a record value"}, {"key", "none, uniform or zipf"},
	{"batch", "bytes of a batch, as 64KiB"}, {"codec", "none, gzip, snappy, lz4 or zstd"}, {"acks", "0, 1 or all"},
	{"idempotent", "true or false"}, {"topic", "name of the topic"}, {"bytes", "bytes of record values after which a phase ends, as 1GB"},
}

func (f *flags) declare(c *cobra.Command) {
	o := c.Flags()
	o.StringVar(&f.bootstrap, "bootstrap-server", "", "brokers to measure, host:port,…; without it one is started")
	o.IntVar(&f.brokerPID, "broker-pid", 0, "process of the broker on this machine, to count its processor time and memory")
	o.StringArrayVar(&f.settings, "broker-setting", nil, "key=value for the broker that is started; may be repeated")
	o.StringVar(&f.driver, "driver", loadgen.DriverOwn, "own (wire sender and fetcher) or kgo (franz-go)")
	o.StringVar(&f.system, "system", "", "name of the broker in the results")
	o.StringVar(&f.out, "out", "results", "folder for results, histograms and the report")
	o.IntVar(&f.repeats, "repeat", 1, "how often the workload is run")
	o.StringArrayVar(&f.phases, "phase", nil, "run only this phase; may be repeated")
	o.StringArrayVar(&f.set, "set", nil, "key=value of the workload, for every phase; may be repeated")
	o.BoolVar(&f.max, "max", false, "produce as fast as it goes")
	o.StringVar(&f.ramp, "ramp", "", "a:b:time, produce at a rate that goes from a to b in that time, as 10k:500k:30s")
	o.DurationVar(&f.duration, "duration", 0, "of every phase")
	o.DurationVar(&f.warmup, "warmup", 0, "of every phase, not counted")
	o.BoolVar(&f.keep, "keep-topic", false, "do not delete the topics afterwards")
	o.BoolVar(&f.noHDR, "no-hdr", false, "do not write .hlog and .hgrm files")
	o.StringVar(&f.profiles, "pprof", "", "profiles of the broker to take in every phase: cpu,heap,mutex,block")
	o.StringVar(&f.admin, "broker-admin", "", "host:port of the broker's /debug/pprof, for --pprof with --bootstrap-server")
	f.short = map[string]*string{}
	for _, s := range shorthands {
		f.short[s[0]] = o.String(s[0], "", s[1])
	}
}

// workload reads the workload and applies the options to it.
func (f *flags) workload(c *cobra.Command, name string) (*loadgen.Workload, error) {
	w, err := loadgen.FindWorkload(name)
	if err != nil {
		return nil, err
	}
	if err := w.Keep(f.phases); err != nil {
		return nil, err
	}
	overrides, err := f.overrides(c)
	if err != nil {
		return nil, err
	}
	return w, w.OverrideAll(overrides)
}

func (f *flags) overrides(c *cobra.Command) ([]string, error) {
	var all []string
	if f.max {
		all = append(all, "rate=max")
	}
	for _, s := range shorthands {
		if value := *f.short[s[0]]; value != "" {
			all = append(all, s[0]+"="+value)
		}
	}
	if f.ramp != "" {
		parts := strings.Split(f.ramp, ":")
		if len(parts) != 3 {
			return nil, fmt.Errorf("--ramp %s: needs from:to:time, as 10k:500k:30s", f.ramp)
		}
		all = append(all, "rate="+parts[1], fmt.Sprintf("ramp={from: %s, over: %s}", parts[0], parts[2]))
	}
	if c.Flags().Changed("duration") {
		all = append(all, "duration="+f.duration.String())
	}
	if c.Flags().Changed("warmup") {
		all = append(all, "warmup="+f.warmup.String())
	}
	return append(all, f.set...), nil
}
