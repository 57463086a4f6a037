package loadgen

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/millrace/millrace/results"
)

// Options say how a workload is run. Only Workload and Brokers have no useful zero value.
type Options struct {
	Workload  *Workload
	Brokers   []string
	Driver    string // DriverOwn or DriverKgo. Empty: DriverOwn
	Suite     string // of the result. Empty: the workload's name
	System    string // of the result. Empty: the first broker's address
	Run       int
	Labels    map[string]string
	BrokerPID int                      // for the broker's processor time and memory. Zero: not known
	DataDir   string                   // where the broker keeps its data, to name the file system
	Memory    *Memory                  // for phases with warm_memory. Nil: they have one of the run's own
	Keep      bool                     // leave the topics that were created
	HDRDir    string                   // where .hgrm and .hlog files go. Empty: nowhere
	Config    map[string]string        // of the broker, for the result
	Profiling Profiling                // of the broker
	Progress  func(Progress)           // called once a second; may be nil
	Prepare   func(phase *Phase) error // called before each phase; may be nil
}

// Progress is one second of a running phase.
type Progress struct {
	Phase *Phase
	Point results.Point
	Of    time.Duration // how long the phase is to take
}

// The bounds beyond which the figures say more about the load generator than about the
// broker.
const (
	maxOwnLag    = time.Millisecond // at the 99th percentile
	maxLoopShare = 0.8
)

// Run runs every phase of a workload and returns the result, which is not written
// anywhere yet.
func Run(ctx context.Context, o Options) (r *results.Result, err error) {
	o.defaults()
	if err := o.Profiling.check(); err != nil {
		return nil, err
	}
	r = &results.Result{
		Schema: results.Version, Suite: o.Suite, System: o.System, Run: o.Run, Labels: o.Labels, Started: time.Now(),
		Workload: o.Workload.source, Environment: Describe(o.DataDir), Valid: true,
		Driver: results.Driver{Name: o.Driver, Version: runtime.Version(), Target: strings.Join(o.Brokers, ",")},
	}
	r.Environment.Config = o.Config
	r.Identify()
	t, err := connect(ctx, o.Brokers)
	if err != nil {
		return nil, err
	}
	defer t.close()
	if o.Memory == nil {
		o.Memory = NewMemory(nil)
		defer func() { err = errors.Join(err, o.Memory.Close()) }()
	}
	created, err := t.createTopics(ctx, o.Workload)
	if err == nil {
		err = o.phases(ctx, t, r)
	}
	if !o.Keep {
		err = errors.Join(err, t.deleteTopics(context.WithoutCancel(ctx), created))
	}
	if err != nil {
		return nil, err
	}
	for _, objective := range o.Workload.Objectives {
		r.Objectives = append(r.Objectives, objective.judge(r))
	}
	return r, nil
}

func (o *Options) defaults() {
	if o.Driver == "" {
		o.Driver = DriverOwn
	}
	if o.Suite == "" {
		o.Suite = o.Workload.Name
	}
	if o.System == "" {
		o.System = o.Brokers[0]
	}
}

func (o *Options) phases(ctx context.Context, t *target, r *results.Result) error {
	for i := range o.Workload.Phases {
		phase := &o.Workload.Phases[i]
		if o.Prepare != nil {
			if err := o.Prepare(phase); err != nil {
				return fmt.Errorf("phase %q: %w", phase.Name, err)
			}
		}
		measured, err := o.phase(ctx, t, r, phase)
		if err != nil {
			return fmt.Errorf("phase %q: %w", phase.Name, err)
		}
		if phase.Discard {
			continue
		}
		r.Phases = append(r.Phases, *measured)
		if !measured.Valid && r.Valid {
			r.Valid, r.InvalidReason = false, phase.Name+": "+measured.InvalidReason
		}
	}
	return nil
}

// phase runs one phase.
func (o *Options) phase(ctx context.Context, t *target, r *results.Result, p *Phase) (out *results.Phase, err error) {
	runtime.GC() // garbage of the phase before is not this one's
	j := newJob(o.Workload, t, p)
	d, err := newDriver(o.Driver)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.start(ctx, j); err != nil {
		return nil, err
	}
	c := &collector{recorders: j.recorders, in: j.intervals, primary: j.primary(), first: j.firstSecond()}
	if o.Progress != nil && !p.Discard {
		c.tick = func(point results.Point) { o.Progress(Progress{p, point, p.Warmup + p.Duration}) }
	}
	m := &measurement{job: j, pid: o.BrokerPID, profiler: o.Profiling.newProfiler(r.ID, p)}
	files, err := o.openFiles(r, p, c)
	if err != nil {
		return nil, err
	}
	if err := o.drive(ctx, d, j, c, m); err != nil {
		return nil, errors.Join(err, files.close(c))
	}
	if err := files.close(c); err != nil {
		return nil, err
	}
	if !p.Discard {
		r.Profiles = append(r.Profiles, m.profiler.files...)
	}
	return m.phase(c, d.share())
}

// drive runs the driver, with the collector and the measurement beside it.
func (o *Options) drive(ctx context.Context, d driver, j *job, c *collector, m *measurement) error {
	collected, sampled := make(chan struct{}), make(chan struct{})
	over, cancel := context.WithCancel(ctx)
	defer cancel()
	if j.Warm && j.Bytes > spare {
		if err := o.Memory.take(ctx); err != nil {
			return err
		}
	}
	if j.measured == 0 {
		m.begin(ctx, over) // before the first request, not beside it
	}
	j.clock.begin()
	go func() { defer close(collected); c.run() }()
	go func() {
		defer close(sampled)
		if j.measured > 0 {
			m.begin(ctx, over)
		}
	}()
	ordinary := func() {}
	if j.mode() == results.Fixed {
		ordinary = punctual()
	}
	err := d.run(ctx)
	ordinary()
	cancel()
	<-sampled
	m.end()
	<-collected
	return errors.Join(err, m.profiled())
}

func (j *job) primary() kind {
	sample := results.Phase{Kind: j.Do, Mode: j.mode()}
	for k, name := range kindNames {
		if name == sample.Primary() {
			return kind(k)
		}
	}
	return response
}

func (j *job) mode() string {
	if j.produces() && j.Rate > 0 {
		return results.Fixed
	}
	return results.Max
}

func newDriver(name string) (driver, error) {
	switch name {
	case DriverOwn:
		return newOwnDriver(), nil
	case DriverKgo:
		return newKgoDriver(), nil
	default:
		return nil, fmt.Errorf("unknown driver %q: use %s or %s", name, DriverOwn, DriverKgo)
	}
}
