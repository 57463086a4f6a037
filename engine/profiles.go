package engine

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"runtime"
	runprof "runtime/pprof"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/label"
)

const (
	// ProfilesFolder is where a broker keeps profiles of itself, in the first of log.dirs.
	ProfilesFolder = "profiles"
	profilePrefix  = "cpu-"
	profileSuffix  = ".pb.gz"
	// profileTime makes names sort by age.
	profileTime = "20060102T150405.000Z"
)

// profiler takes a profile of the broker's processor time now and then, and keeps the newest
// in a ring of files: what a broker did an hour ago can be seen though nobody looked.
//
//	interval ─▶ take ─▶ profiles/cpu-<time>.pb.gz ─▶ the oldest go
//	               ▲
//	lend ──────────┘ who asks the admin address for a profile goes first: there can be one
//
// Ownership: its goroutine's, but for what is atomic. Trouble with it is logged once and
// disturbs nobody.
type profiler struct {
	broker     *Broker
	folder     string
	interval   time.Duration
	duration   time.Duration
	lend       chan loan
	ended      chan struct{}
	complained bool

	kept, size atomic.Int64
}

// loan is the runtime's profiler in the hands of somebody who asked for a profile.
type loan struct {
	free chan struct{} // closed when nobody else has it any more: until then it cannot be used
	done chan struct{} // closed when it is given back
}

func newProfiler(b *Broker) *profiler {
	v := b.values.Load()
	p := &profiler{
		broker: b, folder: filepath.Join(b.disks[0].Path, ProfilesFolder), interval: config.ProfileInterval.Of(v), duration: config.ProfileDuration.Of(v),
		lend: make(chan loan), ended: make(chan struct{}),
	}
	p.duration = min(p.duration, p.interval)
	return p
}

// start begins to take profiles, unless none are wanted.
func (p *profiler) start() {
	if p.interval <= 0 {
		close(p.ended)
		return
	}
	go p.run()
}

func (p *profiler) files() int64 { return p.kept.Load() }
func (p *profiler) bytes() int64 { return p.size.Load() }

func (p *profiler) run() {
	defer close(p.ended)
	next := time.NewTimer(p.interval - p.duration)
	defer next.Stop()
	for {
		select {
		case <-p.broker.stop:
			return
		case l := <-p.lend:
			p.lent(l)
		case <-next.C:
			p.take()
			next.Reset(max(p.interval-p.duration, time.Millisecond))
		}
	}
}

// lent waits until somebody else has taken a profile.
func (p *profiler) lent(l loan) {
	close(l.free)
	select {
	case <-l.done:
	case <-p.broker.stop:
	}
}

// take takes one profile and keeps it. When somebody asks for one of his own, or the broker
// stops, it ends early and is not kept.
func (p *profiler) take() {
	var data bytes.Buffer
	label.Begin()
	if err := runprof.StartCPUProfile(&data); err != nil {
		label.End()
		p.complain("cannot take a profile of the broker now; trying again each interval", err)
		return
	}
	over := time.NewTimer(p.duration)
	defer over.Stop()
	var asked loan
	whole := false
	select {
	case <-over.C:
		whole = true
	case asked = <-p.lend:
	case <-p.broker.stop:
	}
	runprof.StopCPUProfile()
	label.End()
	if asked.free != nil {
		p.lent(asked)
		return
	}
	if whole {
		if err := p.keep(data.Bytes()); err != nil {
			p.complain("cannot keep profiles of the broker", err)
		}
	}
}

func (p *profiler) complain(what string, err error) {
	if !p.complained {
		p.complained = true
		p.broker.log.Warn(what, "folder", p.folder, "error", err)
	}
}

// keep writes a profile and drops the oldest.
func (p *profiler) keep(data []byte) error {
	fs := p.broker.fs
	if err := fs.MkdirAll(p.folder); err != nil {
		return fmt.Errorf("make the folder of profiles: %w", err)
	}
	name := profilePrefix + p.broker.now().UTC().Format(profileTime) + profileSuffix
	if err := diskio.WriteFile(fs, filepath.Join(p.folder, name), data); err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	v := p.broker.values.Load()
	return p.prune(config.ProfileKeepFiles.Of(v), config.ProfileKeepBytes.Of(v))
}

// prune leaves so many files and bytes, the newest, and nothing half-written.
func (p *profiler) prune(files int, bytes int64) error {
	fs := p.broker.fs
	names, err := fs.ReadDir(p.folder)
	if err != nil {
		return fmt.Errorf("look at the kept profiles: %w", err)
	}
	slices.Reverse(names)
	kept, size := int64(0), int64(0)
	for _, name := range names {
		if !strings.HasPrefix(name, profilePrefix) {
			continue // not ours
		}
		path := filepath.Join(p.folder, name)
		found, err := fs.Stat(path)
		if err != nil {
			return fmt.Errorf("look at a kept profile: %w", err)
		}
		if strings.HasSuffix(name, profileSuffix) && kept < int64(files) && size+found.Size <= bytes {
			kept++
			size += found.Size
			continue
		}
		if err := fs.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("drop an old profile: %w", err)
		}
	}
	p.kept.Store(kept)
	p.size.Store(size)
	return nil
}

// serveProfile answers /debug/pprof/profile, with labels, and before the broker's own profiles.
func (b *Broker) serveProfile(w http.ResponseWriter, r *http.Request) {
	label.Begin()
	defer label.End()
	l := loan{free: make(chan struct{}), done: make(chan struct{})}
	defer close(l.done)
	select {
	case b.profiler.lend <- l:
		<-l.free
	case <-b.profiler.ended:
	case <-r.Context().Done():
		return
	}
	pprof.Profile(w, r)
}

// rate is how closely the runtime looks at something while somebody asks for a profile of
// it; it costs, so that it is off at other times.
type rate struct {
	askers atomic.Int32
	set    func(on bool)
}

// What the runtime looks at: one in ten contended mutexes, and each wait of 100 µs.
var (
	mutexes = &rate{set: func(on bool) {
		if on {
			runtime.SetMutexProfileFraction(10)
		} else {
			runtime.SetMutexProfileFraction(0)
		}
	}}
	blocking = &rate{set: func(on bool) {
		if on {
			runtime.SetBlockProfileRate(100_000)
		} else {
			runtime.SetBlockProfileRate(0)
		}
	}}
)

// during has the runtime look while a request with ?seconds= is served.
func (o *rate) during(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("seconds") != "" {
			if o.askers.Add(1) == 1 {
				o.set(true)
			}
			defer func() {
				if o.askers.Add(-1) == 0 {
					o.set(false)
				}
			}()
		}
		h.ServeHTTP(w, r)
	})
}
