package limits

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/loadgen/peers"
	"github.com/millrace/millrace/results"
)

// trial is one run of one side of a row.
type trial struct {
	*bench
	row     Row
	side    Side
	broker  *peers.Broker // of the side, in a row without a probe
	dir     string        // for the brokers of a probe
	began   time.Time
	figures []results.Measured
}

func (t *trial) figure(name, unit string, value float64) {
	t.figures = append(t.figures, results.Measured{Name: name, Unit: unit, Value: value})
}

// load runs the row's workload, and measures the disk beside it if the row asks for that:
// half before and half after, for a disk changes.
func (t *trial) load(ctx context.Context) (*results.Result, error) {
	w, err := t.workload(t.nextTopic())
	if err != nil {
		return nil, err
	}
	var disk *diskTimes
	if t.row.Disk != "" {
		if disk, err = newDiskTimes(t.broker.Dir, t.row.Disk); err != nil {
			return nil, err
		}
		if err := disk.measure(ctx); err != nil {
			return nil, err
		}
	}
	r, err := t.among(ctx, w)
	if err != nil {
		return nil, err
	}
	if disk != nil {
		if err := disk.measure(ctx); err != nil {
			return nil, err
		}
		disk.figures(t)
	}
	r.Figures = t.figures
	return r, nil
}

// among runs a workload among what the side wants done beside it.
func (t *trial) among(ctx context.Context, w *loadgen.Workload) (r *results.Result, err error) {
	var before shown
	if t.hasPlugins() {
		if before, err = shownNow(ctx, t.broker); err != nil {
			return nil, err
		}
	}
	end, err := t.disturb(ctx)
	if err != nil {
		return nil, err
	}
	if r, err = t.broker.Run(ctx, loadgen.Options{Workload: w, Progress: t.Second, Memory: t.memory}); r != nil {
		r.Environment.Config = unplaced(r.Environment.Config, t.broker.Dir)
	}
	return r, errors.Join(err, end(), t.took(ctx, before), t.paused(ctx))
}

// workload is the row's workload for this side.
func (t *trial) workload(topic string) (*loadgen.Workload, error) {
	w, err := t.row.work(t.side, t.Quick, t.Volumes[t.row.Number])
	if err != nil {
		return nil, err
	}
	return w, w.OverrideAll([]string{"topic=" + topic})
}

// fill runs the workload on a broker of the probe's, leaves what it wrote and returns how
// many records were acknowledged.
func (t *trial) fill(ctx context.Context, b *peers.Broker, topic string) (w *loadgen.Workload, acked int64, err error) {
	if w, err = t.workload(topic); err != nil {
		return nil, 0, err
	}
	r, err := b.Run(ctx, loadgen.Options{Workload: w, Progress: t.Second, Keep: true, Memory: t.memory})
	if err != nil {
		return nil, 0, fmt.Errorf("fill the broker: %w", err)
	}
	for i := range r.Phases {
		acked += r.Phases[i].Acked
		if !r.Phases[i].Valid {
			return nil, 0, fmt.Errorf("fill the broker: %s", r.Phases[i].InvalidReason)
		}
	}
	return w, acked, nil
}

// probe runs the row's probe in a fresh folder.
func (t *trial) probe(ctx context.Context) (r *results.Result, err error) {
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a folder for the broker: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(t.dir)) }()
	environment := loadgen.Describe(t.dir)
	environment.Config = t.side.Settings
	if err := probes[t.row.Probe].run(ctx, t); err != nil {
		return nil, fmt.Errorf("probe %s: %w", t.row.Probe, err)
	}
	return &results.Result{
		Schema: results.Version, Started: t.began, Workload: map[string]any{"name": t.row.Probe, "file": t.row.text}, Environment: environment, Valid: true,
		Driver: results.Driver{Name: loadgen.DriverOwn, Version: runtime.Version(), Target: t.side.Broker}, Figures: t.figures, Phases: []results.Phase{},
	}, nil
}
