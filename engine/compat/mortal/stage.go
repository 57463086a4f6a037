// Package mortal runs programs that others wrote on a broker of their own, kills the programs or the broker in the
// middle with kill -9, starts what was killed again, and looks whether what the programs had to write is there: all of
// it, once, in order.
//
//	feed ──▶ topics ──▶ program ──▶ topics ──▶ watch ──▶ judge
//	            ▲ kill -9    ▲ kill -9
package mortal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/report"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A stage is a broker, and a folder for what runs on it. It belongs to the goroutine of the check that runs.
type stage struct {
	*report.Suite
	dir    string
	broker *broker.Mortal
	login  *broker.Login // who programs say they are; nil: they come by the listener that does not ask
}

// A check is a cell of the table.
type check struct {
	name string
	run  func(ctx context.Context) error
}

// perform starts a broker and runs the checks that make answers.
func perform(s *report.Suite, limit time.Duration, make func(*stage) []check, settings ...string) error {
	dir, err := os.MkdirTemp("", "mortal-")
	if err != nil {
		return fmt.Errorf("make a folder for the broker: %w", err)
	}
	if os.Getenv("COMPAT_KEEP") == "" {
		defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder that stays harms nobody
	}
	home := filepath.Join(dir, "broker")
	if err := os.Mkdir(home, 0o755); err != nil {
		return fmt.Errorf("make a folder for the broker: %w", err)
	}
	b, err := broker.OwnGuarded(home, append(settings, guarded)...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := b.Start(ctx); err != nil {
		return err
	}
	s.Timeout = limit
	checks := slices.DeleteFunc(make(&stage{Suite: s, dir: dir, broker: b}), func(c check) bool { return !s.Only.MatchString(c.name) })
	for i, c := range checks {
		s.Check(c.name, func(ctx context.Context) error {
			err := errors.Join(c.run(ctx), b.Sound())
			if i == len(checks)-1 { // a broker that does not end well has failed, too
				err = errors.Join(err, b.Stop())
			}
			return err
		})
	}
	return nil
}

// joint is a run that several checks look at: the first of them plays it.
func joint[T any](play func(context.Context) (T, error)) func(context.Context) (T, error) {
	var outcome T
	var err error
	played := false
	return func(ctx context.Context) (T, error) {
		if !played {
			played = true
			outcome, err = play(ctx)
		}
		return outcome, err
	}
}

// A program is a Java program, of which one process runs at a time.
type program struct {
	name    string
	command []string
	dir     string
	lives   int
	running *broker.Running
}

// java makes a program of a main class. It does not run yet.
func (s *stage) java(name, class string, arguments ...string) *program {
	command := []string{"java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-Dlog4j2.configurationFile=" + os.Getenv("COMPAT_LOGGING"), "-cp", os.Getenv("COMPAT_CLASSES"), class}
	return &program{name: name, command: append(command, arguments...), dir: s.dir}
}

func (p *program) start() (err error) {
	p.lives++
	p.running, err = broker.Launch(p.log(), p.command[0], p.command[1:]...)
	return err
}

// log is the file for what the newest life prints.
func (p *program) log() string {
	return filepath.Join(p.dir, fmt.Sprintf("%s-%d.log", p.name, p.lives))
}

// restart is kill -9 and a new life.
func (p *program) restart() error {
	p.running.Kill()
	return p.start()
}

// end is for a deferred call: it leaves no process behind.
func (p *program) end() {
	if p.running != nil {
		p.running.Kill()
	}
}

// until asks again and again until the answer is right. It gives up when a program has ended by itself.
func until(ctx context.Context, what string, programs []*program, ask func() error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		for _, p := range programs {
			select {
			case <-p.running.Ended():
				return fmt.Errorf("%s: %w, and %s ended by itself\n%s", what, err, p.name, p.running.Log())
			default:
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			for _, p := range programs {
				err = fmt.Errorf("%w\n%s said: %s", err, p.name, p.running.Log())
			}
			return fmt.Errorf("%s: %w (time-out)", what, err)
		}
	}
}

// dial makes a client that is quick to notice that the broker is back.
func (s *stage) dial(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(s.broker.Address), kgo.MetadataMinAge(50 * time.Millisecond), kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }), kgo.UnknownTopicRetries(-1),
	}, options...)...)
}

func (s *stage) admin() (*kadm.Client, error) {
	k, err := s.dial()
	if err != nil {
		return nil, err
	}
	return kadm.NewClient(k), nil
}

// topics creates topics.
func (s *stage) topics(ctx context.Context, partitions int32, names ...string) error {
	a, err := s.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	for _, name := range names {
		if _, err := a.CreateTopic(ctx, partitions, 1, nil, name); err != nil {
			return fmt.Errorf("create topic %s: %w", name, err)
		}
	}
	return nil
}
