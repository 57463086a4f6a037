package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/results"
)

// sweeping are the options of `bench sweep`.
type sweeping struct {
	flags
	limit    time.Duration
	from, to string
	steps    int
}

func sweepCommand() *cobra.Command {
	var o sweeping
	c := &cobra.Command{
		Use:   "sweep",
		Short: "Find the largest rate at which p99 stays below a bound",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	o.declare(c)
	c.Flags().DurationVar(&o.limit, "p99", 10*time.Millisecond, "bound of the response time")
	c.Flags().StringVar(&o.from, "from", "10k", "least rate, records per second")
	c.Flags().StringVar(&o.to, "to", "5M", "largest rate")
	c.Flags().IntVar(&o.steps, "steps", 9, "rates that are tried")
	return c
}

const sweepText = `
name: sweep
topic: bench-sweep
partitions: 6
producers: 2
phases:
  - {name: produce, do: produce, rate: 1, warmup: 1s, duration: 5s}
`

// run halves the range of rates, on a logarithmic scale, until the steps are used up.
func (o *sweeping) run(c *cobra.Command) (err error) {
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	low, err := loadgen.Quantity(o.from)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	high, err := loadgen.Quantity(o.to)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	s, err := o.subject(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	best, rate := 0.0, low
	for step := range o.steps {
		p, err := o.try(c, ctx, s, rate, step)
		if err != nil {
			return err
		}
		kept := p.Valid && time.Duration(p.Latency[results.Response].P99*1e3) < o.limit && p.Rate > 0.98*rate
		fmt.Fprintf(c.OutOrStdout(), "%9s rec/s: p99 %-8s %s\n", results.Figure(rate), results.Micros(p.Latency[results.Response].P99), verdict(p, kept))
		if kept {
			best, low = rate, rate
		} else {
			high = rate
		}
		if step == 0 && !kept {
			break
		}
		rate = math.Sqrt(low * high)
	}
	fmt.Fprintf(c.OutOrStdout(), "\np99 stays below %v up to %s records/s\n", o.limit, results.Figure(best))
	return nil
}

func verdict(p *results.Phase, kept bool) string {
	switch {
	case kept:
		return "kept"
	case !p.Valid:
		return "INVALID: " + p.InvalidReason
	default:
		return "not kept"
	}
}

// try measures one rate. A run in which the load generator was late says nothing about the
// broker and is repeated, a few times.
func (o *sweeping) try(c *cobra.Command, ctx context.Context, s *subject, rate float64, step int) (p *results.Phase, err error) {
	for attempt := range 3 {
		if p, err = o.once(c, ctx, s, rate, step*10+attempt); err != nil || p.Valid {
			return p, err
		}
	}
	return p, nil
}

func (o *sweeping) once(c *cobra.Command, ctx context.Context, s *subject, rate float64, run int) (*results.Phase, error) {
	w, err := loadgen.ParseWorkload("sweep.yaml", []byte(sweepText))
	if err != nil {
		return nil, err
	}
	overrides, err := o.overrides(c)
	if err != nil {
		return nil, err
	}
	if err := w.OverrideAll(append(overrides, fmt.Sprintf("rate=%.0f", rate))); err != nil {
		return nil, err
	}
	r, err := loadgen.Run(ctx, loadgen.Options{Workload: w, Brokers: s.brokers, Driver: o.driver, System: s.system, Run: run, BrokerPID: s.pid, DataDir: s.dir, Config: s.config})
	if err != nil {
		return nil, err
	}
	if _, err := results.Write(o.out, r); err != nil {
		return nil, err
	}
	return &r.Phases[0], nil
}
