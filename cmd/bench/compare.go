package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/results"
)

// comparison are the options of `bench compare`.
type comparison struct {
	flags
	workloadName string
}

func compareCommand() *cobra.Command {
	var o comparison
	c := &cobra.Command{
		Use:   "compare A B",
		Short: "Say whether B is better or worse than A, or that the runs cannot tell",
		Long: `Each of A and B is one of

  results/…            result files of earlier runs: a file, or a folder of them
  host:port[@pid]      a broker that runs
  self[,key=value…]    this program, started as a broker with these settings
  path[,key=value…]    another millrace program, likewise

Results are read; brokers are measured in turn, A B A B …, on the same workload. Each run
gives one value per figure. A verdict needs five valid runs of each side, an interval of
the ratio of medians (bootstrap, 95 %) that excludes 1, and ranks that differ
(Mann-Whitney, p < 0.05); otherwise it is "unresolved".`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c, args[0], args[1]) },
	}
	o.declare(c)
	c.Flags().StringVar(&o.workloadName, "workload", "compare", "what is run: a YAML file, or a shipped workload")
	if err := c.Flags().Set("repeat", strconv.Itoa(results.MinRepeats)); err != nil {
		panic(err) // the flag is declared above
	}
	return c
}

func (o *comparison) run(c *cobra.Command, a, b string) error {
	readA, readB := isResult(a), isResult(b)
	if readA != readB {
		return errors.New("compare two sets of results, or two brokers: a broker measured now was not measured in turn with results of earlier")
	}
	var sides [2][]*results.Result
	var err error
	if readA {
		for i, path := range []string{a, b} {
			if sides[i], err = results.ReadAll(path); err != nil {
				return err
			}
		}
	} else if sides, err = o.measure(c, a, b); err != nil {
		return err
	}
	if len(sides[0]) == 0 || len(sides[1]) == 0 {
		return fmt.Errorf("compare: %d results of A and %d of B", len(sides[0]), len(sides[1]))
	}
	fmt.Fprintf(c.OutOrStdout(), "\nA = %s, %d runs\nB = %s, %d runs\n\n", a, len(sides[0]), b, len(sides[1]))
	return results.Compare(sides[0], sides[1]).Write(c.OutOrStdout())
}

// isResult reports whether the side names results of earlier runs.
func isResult(side string) bool {
	info, err := os.Stat(side)
	return err == nil && (info.IsDir() || strings.HasSuffix(side, ".json"))
}

// measure runs both sides in turn.
func (o *comparison) measure(c *cobra.Command, a, b string) (sides [2][]*results.Result, err error) {
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	w, err := o.workload(c, o.workloadName)
	if err != nil {
		return sides, err
	}
	var subjects [2]*subject
	for i, side := range []string{a, b} {
		s, err := parseSide(ctx, side)
		if err != nil {
			return sides, err
		}
		defer func() { err = errors.Join(err, s.end()) }()
		s.system = string("AB"[i]) + "-" + s.system
		subjects[i] = s
	}
	screen := newScreen(c.OutOrStdout())
	memory := loadgen.NewMemory(screen.taking)
	defer func() { err = errors.Join(err, memory.Close()) }()
	for run := range o.repeats {
		for i, s := range subjects {
			screen.say("run %d of %d, %s", run+1, o.repeats, s.system)
			r, err := o.quietly(ctx, w, s, memory, run+1)
			if err != nil {
				return sides, err
			}
			sides[i] = append(sides[i], r)
		}
	}
	return sides, nil
}

// quietly runs the workload once and writes its result, without table and histograms.
func (o *comparison) quietly(ctx context.Context, w *loadgen.Workload, s *subject, memory *loadgen.Memory, run int) (*results.Result, error) {
	r, err := loadgen.Run(ctx, loadgen.Options{
		Workload: w, Brokers: s.brokers, Driver: o.driver, System: s.system, Run: run, BrokerPID: s.pid, DataDir: s.dir, Config: s.config,
		Memory: memory,
	})
	if err != nil {
		return nil, err
	}
	_, err = results.Write(o.out, r)
	return r, err
}

// parseSide finds or starts the broker of one side.
func parseSide(ctx context.Context, side string) (*subject, error) {
	program, rest, _ := strings.Cut(side, ",")
	_, missing := os.Stat(program)
	if program == "self" || missing == nil {
		settings := map[string]string{}
		for one := range strings.SplitSeq(rest, ",") {
			key, value, ok := strings.Cut(one, "=")
			if !ok && one != "" {
				return nil, fmt.Errorf("%s: %q needs key=value", side, one)
			}
			if one != "" {
				settings[key] = value
			}
		}
		if program == "self" {
			program = ""
		}
		return embedded(ctx, program, settings)
	}
	address, pidText, hasPID := strings.Cut(side, "@")
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fmt.Errorf("%s is neither a file, nor self, nor host:port", side)
	}
	s := &subject{brokers: []string{address}, system: address, end: func() error { return nil }}
	if hasPID {
		pid, err := strconv.Atoi(pidText)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not a process id", side, pidText)
		}
		s.pid = pid
	}
	return s, nil
}
