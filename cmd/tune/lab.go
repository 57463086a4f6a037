package tune

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/tuning"
	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/loadgen/peers"
	"github.com/millrace/millrace/results"
)

// side is a broker that is measured: a program and what it is configured with.
type side struct {
	program string // empty: this one
	tuning.Configuration
}

// lab runs workloads against brokers of its own.
type lab struct {
	workload string
	out      string
	say      func(format string, args ...any)
	number   int // of the comparison
}

func (l *lab) runs() string { return filepath.Join(l.out, "runs") }

// start starts the broker of a side in a folder of its own; end stops it and removes that.
func (l *lab) start(ctx context.Context, s side) (b *peers.Broker, end func() error, err error) {
	dir, err := os.MkdirTemp("", "millrace-tune-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a folder for the broker: %w", err)
	}
	settings := maps.Clone(s.Settings)
	if settings == nil {
		settings = map[string]string{}
	}
	if settings["profile.interval.ms"] == "" {
		settings["profile.interval.ms"] = "0" // its profiles would be ours to wait for
	}
	b, err = peers.StartMillrace(ctx, peers.MillraceOptions{Executable: s.program, Dir: dir, Settings: settings, Environment: environment(s.Environment)})
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return b, func() error { return errors.Join(b.Stop(), os.RemoveAll(dir)) }, nil
}

// environment is this process's, with other knobs.
func environment(own map[string]string) []string {
	all := slices.DeleteFunc(os.Environ(), func(pair string) bool {
		key, _, _ := strings.Cut(pair, "=")
		return slices.Contains(knobs, key)
	})
	for _, key := range slices.Sorted(maps.Keys(own)) {
		all = append(all, key+"="+own[key])
	}
	return all
}

// read reads the workload, with what a side changes in it.
func (l *lab) read(s side) (*loadgen.Workload, error) {
	w, err := loadgen.FindWorkload(l.workload)
	if err != nil {
		return nil, err
	}
	var overrides []string
	for _, key := range slices.Sorted(maps.Keys(s.Workload)) {
		overrides = append(overrides, key+"="+s.Workload[key])
	}
	if err := w.OverrideAll(overrides); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(w.Phases, func(p loadgen.Phase) bool { return !p.Discard && p.Do != results.Consume }) {
		return nil, errNoPhase
	}
	return w, nil
}

// compare runs two sides in turn, each so many times. Both brokers are there all the time.
func (l *lab) compare(ctx context.Context, repeats int, a, b side) (c results.Comparison, err error) {
	l.number++
	var all [2][]*results.Result
	var running [2]*peers.Broker
	for i, s := range []side{a, b} {
		broker, end, err := l.start(ctx, s)
		if err != nil {
			return c, err
		}
		defer func() { err = errors.Join(err, end()) }()
		running[i] = broker
	}
	for run := range repeats {
		for i, s := range []side{a, b} {
			r, err := l.once(ctx, running[i], s, fmt.Sprintf("trial-%02d-%c", l.number, "ab"[i]), run+1)
			if err != nil {
				return c, err
			}
			all[i] = append(all[i], r)
		}
	}
	return results.Compare(all[0], all[1]), nil
}

// once runs the workload once and writes its result.
func (l *lab) once(ctx context.Context, b *peers.Broker, s side, name string, run int) (*results.Result, error) {
	w, err := l.read(s)
	if err != nil {
		return nil, err
	}
	r, err := b.Run(ctx, loadgen.Options{Workload: w, Suite: "tune", System: name, Run: run})
	if err != nil {
		return nil, err
	}
	_, err = results.Write(l.runs(), r)
	return r, err
}
