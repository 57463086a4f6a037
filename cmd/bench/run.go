package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/loadgen/peers"
	"github.com/millrace/millrace/results"
)

// subject is the broker that is measured.
type subject struct {
	brokers []string
	pid     int
	system  string
	dir     string
	config  map[string]string
	admin   string
	end     func() error // stops what was started and removes its folder
}

// run runs one workload as often as asked, and leaves its files.
func (f *flags) run(c *cobra.Command, name string) (err error) {
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	w, err := f.workload(c, name)
	if err != nil {
		return err
	}
	s, err := f.subject(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	if f.bootstrap == "" {
		if err := fitDisk(w, s.dir); err != nil {
			return err
		}
	}
	screen := newScreen(c.OutOrStdout())
	screen.say("%s: %s on %s (%s)", w.Name, phaseList(w), strings.Join(s.brokers, ","), s.system)
	var all []*results.Result
	for i := range f.repeats {
		r, err := f.once(ctx, w, s, i+1, screen)
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	return f.finish(c, all)
}

func (f *flags) once(ctx context.Context, w *loadgen.Workload, s *subject, run int, screen *screen) (*results.Result, error) {
	o := loadgen.Options{
		Workload: w, Brokers: s.brokers, Driver: f.driver, System: s.system, Run: run, BrokerPID: s.pid, DataDir: s.dir,
		Config: s.config, Keep: f.keep, Progress: screen.progress,
	}
	if !f.noHDR {
		o.HDRDir = f.out
	}
	if f.profiles != "" {
		o.Profiling = loadgen.Profiling{Admin: s.admin, Kinds: strings.Split(f.profiles, ","), Dir: f.out}
	}
	r, err := loadgen.Run(ctx, o)
	screen.done()
	if err != nil {
		return nil, err
	}
	path, err := results.Write(f.out, r)
	if err != nil {
		return nil, err
	}
	screen.say("\n%s", path)
	return r, summary(screen.out, r)
}

// finish writes the report of all runs.
func (f *flags) finish(c *cobra.Command, all []*results.Result) error {
	path := filepath.Join(f.out, all[0].ID+".html")
	if err := writeReport(path, all); err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "\nreport: %s\n", path)
	var broken []string
	for _, r := range all {
		for _, o := range r.Objectives {
			if !o.OK {
				broken = append(broken, fmt.Sprintf("%s (%s)", o.Expression, o.Detail))
			}
		}
	}
	if len(broken) > 0 {
		return fmt.Errorf("not kept: %s", strings.Join(broken, "; "))
	}
	return nil
}

// subject is the broker that the options name, or a new one in a temporary folder.
func (f *flags) subject(ctx context.Context) (*subject, error) {
	if f.bootstrap != "" {
		system := f.system
		if system == "" {
			system = f.bootstrap
		}
		return &subject{brokers: strings.Split(f.bootstrap, ","), pid: f.brokerPID, system: system, admin: f.admin, end: func() error { return nil }}, nil
	}
	settings := map[string]string{}
	for _, one := range f.settings {
		key, value, ok := strings.Cut(one, "=")
		if !ok {
			return nil, fmt.Errorf("--broker-setting %s: needs key=value", one)
		}
		settings[key] = value
	}
	s, err := embedded(ctx, "", settings)
	if err == nil && f.system != "" {
		s.system = f.system
	}
	return s, err
}

// embedded starts a Millrace of its own: the given program, or this one.
func embedded(ctx context.Context, executable string, settings map[string]string) (*subject, error) {
	dir, err := os.MkdirTemp("", "millrace-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the broker: %w", err)
	}
	b, err := peers.StartMillrace(ctx, peers.MillraceOptions{Executable: executable, Dir: dir, Settings: settings})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &subject{
		brokers: []string{b.Address}, pid: b.PID, system: "millrace", dir: dir, config: settings, admin: b.Admin,
		end: func() error { return errors.Join(b.Stop(), os.RemoveAll(dir)) },
	}, nil
}

// fitDisk keeps phases at full speed from filling the disk: together they write half of
// what is free at most.
func fitDisk(w *loadgen.Workload, dir string) error {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return fmt.Errorf("read the free space of %s: %w", dir, err)
	}
	unbounded := 0
	for _, p := range w.Phases {
		if p.Do == results.Produce && p.Rate == 0 {
			unbounded++
		}
	}
	for i := range w.Phases {
		p := &w.Phases[i]
		if p.Do != results.Produce || p.Rate > 0 {
			continue
		}
		room := int64(disk.Bavail) * disk.Bsize / 2 / int64(unbounded)
		if p.Bytes == 0 || p.Bytes > room {
			p.Bytes = room
		}
	}
	return nil
}

func phaseList(w *loadgen.Workload) string {
	var names []string
	for _, p := range w.Phases {
		if !p.Discard {
			names = append(names, p.Name)
		}
	}
	return strings.Join(names, ", ")
}

func writeReport(path string, all []*results.Result) error {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return errors.Join(results.Report(file, all), file.Close())
}
