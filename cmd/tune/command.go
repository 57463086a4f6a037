package tune

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/tuning"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/results"
	"github.com/millrace/millrace/sdk/setting"
)

// options are those of `millrace tune`.
type options struct {
	workload string
	set      []string
	broker   string
	file     string
	override []string
	env      []string
	goal     string
	repeats  int
	changes  int
	weaken   bool
	out      string
}

// Command is `millrace tune`.
func Command() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "tune",
		Short: "Find the settings under which a workload runs better",
		Long: `Runs a workload against a broker of its own, takes profiles of processor time, contended locks
and waits, and ranks what costs most. A table of rules proposes one change at a time, to the
broker's settings, its garbage collector, its plugins or the clients of the workload. Each
change is tried beside what was there before, A B A B and so on, and kept only if the runs
tell the difference and nothing that counts got worse. Then it looks again.

It writes the settings that it kept (tuned.properties), what it saw and tried (evidence.json,
report.md) and every single run (runs/) into a folder. What cannot be told apart is not kept:
run it on a machine that does nothing else.`,
		Example: `  millrace tune --workload compare
  millrace tune --workload mine.yaml --settings server.properties --goal latency --repeats 7`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	o.declare(c)
	c.AddCommand(pgoCommand())
	return c
}

func (o *options) declare(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.workload, "workload", "compare", "what is run: a YAML `file`, or a shipped workload")
	f.StringArrayVar(&o.set, "set", nil, "`key=value` of the workload; may be repeated")
	f.StringVar(&o.broker, "broker", "", "the broker's `program`; this one unless given")
	f.StringVar(&o.file, "settings", "", "server.properties `file` to begin with")
	f.StringArrayVar(&o.override, "broker-setting", nil, "`key=value` of the broker, beyond the file; may be repeated")
	f.StringArrayVar(&o.env, "env", nil, "`GOGC=value`, GOMEMLIMIT or GOMAXPROCS of the broker's process; may be repeated")
	f.StringVar(&o.goal, "goal", tuning.GoalCPU, "what is to get better: "+strings.Join(tuning.Goals, ", "))
	f.IntVar(&o.repeats, "repeats", results.MinRepeats, "how often each side of a trial is run")
	f.IntVar(&o.changes, "changes", 8, "how many changes are tried at most")
	f.BoolVar(&o.weaken, "allow-weaker", false, "try also changes after which the broker promises less")
	f.StringVar(&o.out, "out", "tune", "`folder` for what is found")
}

func (o *options) run(c *cobra.Command) error {
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if !slices.Contains(tuning.Goals, o.goal) {
		return fmt.Errorf("--goal %s: use %s", o.goal, strings.Join(tuning.Goals, ", "))
	}
	if o.repeats < results.MinRepeats {
		return fmt.Errorf("--repeats %d: fewer than %d runs of each side tell nothing apart", o.repeats, results.MinRepeats)
	}
	begin, err := o.begin()
	if err != nil {
		return err
	}
	lab := &lab{workload: o.workload, out: o.out, say: func(format string, args ...any) { fmt.Fprintf(c.OutOrStdout(), format+"\n", args...) }}
	if err := os.MkdirAll(lab.runs(), 0o755); err != nil {
		return fmt.Errorf("make the folder of --out: %w", err)
	}
	_, err = o.tune(ctx, lab, begin)
	return err
}

// tune tries changes until there is none left, and writes what was found: also when it is
// ended before.
func (o *options) tune(ctx context.Context, lab *lab, begin tuning.Configuration) (found *evidence, err error) {
	t := tuning.New(tuning.Options{Goal: o.goal, Changes: o.changes, Weaken: o.weaken}, begin)
	found = &evidence{Workload: o.workload, Goal: o.goal, Repeats: o.repeats, Begin: begin}
	defer func() {
		found.Trials, found.End = t.Trials, t.Base()
		if err == nil || len(found.Trials) > 0 {
			err = errors.Join(err, found.write(o.out, lab.say))
		}
	}()
	for again := true; again; {
		again = false
		seen, err := lab.observe(ctx, side{o.broker, t.Base()})
		if err != nil {
			return found, err
		}
		found.Observations = append(found.Observations, seen)
		lab.say("%s", summary(seen))
		t.Observe(seen)
		for p, ok := t.Next(); ok; p, ok = t.Next() {
			lab.say("\n%s: %s\n  trying %s", p.Rule, p.Why, p.Change)
			c, err := lab.compare(ctx, o.repeats, side{o.broker, t.Base()}, side{o.broker, t.Base().With(p.Change)})
			trial, better, err := tried(ctx, t, c, err)
			if trial != nil {
				lab.say("  %s: %s", trial.Verdict, trial.Reason)
			}
			if err != nil {
				return found, err
			}
			if again = better; again {
				break
			}
		}
	}
	return found, nil
}

// tried takes what became of the change that was proposed. The error is that ctx has ended: what
// was measured by then counts, and what was not is not the change's fault.
func tried(ctx context.Context, t *tuning.Tuner, c results.Comparison, failure error) (trial *tuning.Trial, better bool, err error) {
	var one tuning.Trial
	switch {
	case failure == nil:
		one, better = t.Measured(c)
	case ctx.Err() != nil:
		return nil, false, errors.Join(failure, context.Cause(ctx))
	default:
		one = t.Failed(failure.Error())
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("there was more to try: %w", context.Cause(ctx))
	}
	return &one, better, err
}

// begin is the configuration that the options describe.
func (o *options) begin() (b tuning.Configuration, err error) {
	b.Settings, err = o.brokerSettings()
	if err != nil {
		return b, err
	}
	if b.Workload, err = pairs("--set", o.set); err != nil {
		return b, err
	}
	given, err := pairs("--env", o.env)
	if err != nil {
		return b, err
	}
	b.Environment = map[string]string{}
	for _, key := range knobs {
		if value := os.Getenv(key); value != "" {
			b.Environment[key] = value
		}
	}
	for key := range given {
		if !slices.Contains(knobs, key) {
			return b, fmt.Errorf("--env %s: use %s", key, strings.Join(knobs, ", "))
		}
	}
	maps.Copy(b.Environment, given)
	return b, nil
}

// brokerSettings are the settings of the file and of the options, without those that say where a
// broker is and keeps its data: each that is started here has its own. The files of plugins stay where they are.
func (o *options) brokerSettings() (map[string]string, error) {
	b, err := config.Load(o.file, o.override)
	if err != nil {
		return nil, err
	}
	own := b.Values.Layer(setting.SourceStatic)
	if own == nil {
		own = map[string]string{}
	}
	if len(config.Plugins.Of(b.Values)) > 0 && own["plugin.dir"] == "" {
		if own["plugin.dir"], err = filepath.Abs(filepath.Join(config.LogDirs.Of(b.Values)[0], "plugins")); err != nil {
			return nil, fmt.Errorf("find plugin.dir: %w", err)
		}
	}
	for _, key := range []string{"listeners", "advertised.listeners", "admin.listener", "log.dirs", "log.dir"} {
		delete(own, key)
	}
	return own, nil
}

// pairs reads options of the form key=value.
func pairs(option string, all []string) (map[string]string, error) {
	read := map[string]string{}
	for _, one := range all {
		key, value, ok := strings.Cut(one, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%s %s: needs key=value", option, one)
		}
		read[key] = value
	}
	return read, nil
}

// knobs are what Go programs read of their environment that changes how fast they are.
var knobs = []string{"GOGC", "GOMEMLIMIT", "GOMAXPROCS"}

var errNoPhase = errors.New("the workload has no phase that is reported and produces: there is nothing to tune by")
