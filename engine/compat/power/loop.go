package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/disk"
)

// A burden is what the broker is given to do while its power is cut, and how it is judged what became of that.
type burden interface {
	// prepare makes topics, and what lasts.
	prepare(ctx context.Context) error
	// begin sets everybody to work for a round.
	begin(ctx context.Context, number int) error
	// deafen has all that is answered from now on count for nothing: the broker will be told lies, and tell them.
	deafen()
	// struck is told that the broker is gone, when the power was cut, and whether it lived on and lied.
	struck(moment time.Time, lied bool) error
	// check judges the round, with the broker running again.
	check(ctx context.Context, number int) error
	// end leaves nobody at work, however the round went.
	end()
	// renew forgives a round that was not clean, so that the next can be judged by itself.
	renew() error
	// finish judges all rounds.
	finish(ctx context.Context) error
	// round and summary say what the last round and all of them had.
	round() string
	summary() string
}

// A loop is the whole run. It belongs to one goroutine.
type loop struct {
	options
	logs    string // folder
	starts  int
	address string
	extra   []string // settings
	disk    *disk.Disk
	random  *rand.Rand
	begun   time.Time
	burden  burden

	cuts    map[string]int // by kind
	lost    int64          // bytes of logs that the cuts took, none of them acknowledged
	slowest time.Duration  // from the start of a broker until it answered
}

// run plays every round and answers how many were not clean.
func (l *loop) run(ctx context.Context) (failed int, err error) {
	running, err := l.start(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { running.Kill() }()
	if err := l.burden.prepare(ctx); err != nil {
		return 0, err
	}
	for number := 1; number <= l.rounds; number++ {
		r := &round{loop: l, number: number}
		running, err = r.play(ctx, running)
		if err != nil && ctx.Err() == nil && errors.Is(err, errDamage) {
			failed++
			fmt.Printf("%6.1f s  round %3d  FAIL %v\n%s\n", time.Since(l.begun).Seconds(), number, err, running.Log())
			if l.expectLoss {
				return failed, nil
			}
			if l.keep != "" {
				return failed, l.save()
			}
			if err := l.burden.renew(); err != nil {
				return failed, err
			}
			continue
		}
		if err != nil {
			return failed, fmt.Errorf("round %d: %w\n%s", number, err, running.Log())
		}
		fmt.Printf("%6.1f s  round %3d  %-22s %s\n", time.Since(l.begun).Seconds(), number, r.kind, l.burden.round())
	}
	if err := l.burden.finish(ctx); err != nil {
		failed++
		fmt.Println("FAIL over all rounds:", err)
	}
	fmt.Printf("\npower cuts: %d rounds in %.0f s, %v; %s; %d bytes not acked were lost; slowest start %d ms; %d not clean\n",
		l.rounds, time.Since(l.begun).Seconds(), l.cuts, l.burden.summary(), l.lost, l.slowest.Milliseconds(), failed)
	return failed, running.Stop()
}

func (l *loop) data() string { return filepath.Join(l.disk.Path, "data") }

func (l *loop) settings() []string {
	return append([]string{"log.retention.check.interval.ms=150", "offsets.topic.num.partitions=4"}, l.extra...)
}

func (l *loop) start(ctx context.Context) (*broker.Running, error) {
	begin := time.Now()
	r, err := broker.ServeMillrace(ctx, l.binary, l.data(), l.nextLog(), l.address, "", l.settings()...)
	if err != nil {
		return nil, err
	}
	l.slowest = max(l.slowest, time.Since(begin))
	return r, nil
}

// log is what the last broker printed, nextLog what the next will.
func (l *loop) log() string { return filepath.Join(l.logs, fmt.Sprintf("%04d.log", l.starts)) }

func (l *loop) nextLog() string {
	l.starts++
	return l.log()
}

// save copies what damage can be looked for in.
func (l *loop) save() error {
	return errors.Join(os.CopyFS(filepath.Join(l.keep, "data"), os.DirFS(l.data())), os.CopyFS(filepath.Join(l.keep, "logs"), os.DirFS(l.logs)))
}

// bytes is how long all segments are together.
func (l *loop) bytes() (total int64, err error) {
	segments, err := filepath.Glob(filepath.Join(l.data(), "*", "*.log"))
	for _, name := range segments {
		info, err := os.Stat(name)
		if err != nil {
			return 0, err
		}
		total += info.Size()
	}
	return total, err
}

// refused tells what the broker has refused or moved aside when it started. A topic that was being deleted may leave a
// folder behind that the metadata no longer knows.
func (l *loop) refused(doomed func(topic string) bool) error {
	text, err := os.ReadFile(l.log())
	if err != nil {
		return err
	}
	var found []error
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "level=ERROR") {
			found = append(found, errors.New(strings.TrimSpace(line)))
		}
	}
	strays, err := filepath.Glob(filepath.Join(l.data(), "*-stray"))
	if err != nil {
		return err
	}
	for _, name := range strays {
		folder, _, _ := strings.Cut(filepath.Base(name), ".")
		if topic := folder[:max(0, strings.LastIndexByte(folder, '-'))]; !doomed(topic) {
			found = append(found, fmt.Errorf("%s was moved aside", folder))
		}
	}
	return errors.Join(found...)
}
