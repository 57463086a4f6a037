// Command plugins shows what clients see of a broker whose topics have interceptors. No Kafka has them, so this is no
// part of the table of features.
//
//	codecs        Java, idempotent, every codec: masked, dead letters and their headers, gaps in the offsets
//	refusals      Java: the reason of a refused record; settings that cannot be
//	transactions  Java: a chain that drops within transactions; bad records do not leave them
//	fetch         Java: a chain on the way out, loaded and unloaded
//	kill          franz-go: plugins are loaded, changed and unloaded under load while the broker is killed with
//	              kill -9: no record is lost, doubled or out of order, and no dead letter is lost
//
//	go run ./plugins                    all of them
//	go run ./plugins -check kill -kills 20
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/install"
	"github.com/millrace/millrace/engine/compat/totals"
)

type options struct {
	check, binary, counts string
	kills                 int
	keep                  bool
}

func main() {
	var o options
	flag.StringVar(&o.check, "check", "", "only this one")
	flag.StringVar(&o.binary, "binary", "", "the broker (default: built from this tree)")
	flag.StringVar(&o.counts, "counts", "", "append a line `passed failed` to this file")
	flag.IntVar(&o.kills, "kills", 5, "how often the broker is killed")
	flag.BoolVar(&o.keep, "keep", false, "keep the data and the logs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "plugins:", err)
		os.Exit(1)
	}
}

// stand is a broker that can be killed and started again on the same data.
type stand struct {
	options
	dir, address string
	name         string // of the check, which has data of its own
	classes      string
	logging      string
	running      *broker.Running
}

func (s *stand) start(ctx context.Context) (err error) {
	s.running, err = broker.ServeMillrace(ctx, s.binary, filepath.Join(s.dir, s.name), filepath.Join(s.dir, "server.log"), s.address, "")
	return err
}

func run(ctx context.Context, o options) (err error) {
	s := &stand{options: o}
	if s.dir, err = os.MkdirTemp("", "plugins-"); err != nil {
		return fmt.Errorf("make a folder for the data: %w", err)
	}
	if o.keep {
		fmt.Println("data and logs stay in", s.dir)
	} else {
		defer os.RemoveAll(s.dir) //nolint:errcheck // a temporary folder that stays harms nobody
	}
	if s.binary == "" {
		if s.binary, err = broker.Build(ctx, filepath.Join("..", ".."), s.dir); err != nil {
			return err
		}
	}
	if s.address, err = broker.FreeAddress(); err != nil {
		return err
	}
	passed, failed := s.all(ctx)
	fmt.Printf("\nplugins: %d passed, %d failed\n", passed, failed)
	if err := totals.Append(o.counts, passed, failed); err != nil {
		return err
	}
	if failed > 0 || passed == 0 {
		return errors.New("not every check passed")
	}
	return nil
}

// all runs the checks that were asked for.
func (s *stand) all(ctx context.Context) (passed, failed int) {
	for _, name := range []string{"codecs", "refusals", "transactions", "fetch", "kill"} {
		if s.check != "" && s.check != name {
			continue
		}
		begin := time.Now()
		check := s.java
		if name == "kill" {
			check = s.kill
		}
		if err := s.alone(ctx, name, check); err != nil {
			failed++
			fmt.Printf("FAIL %-13s %.1f s: %v\n", name, time.Since(begin).Seconds(), err)
			continue
		}
		passed++
		fmt.Printf("pass %-13s %.1f s\n", name, time.Since(begin).Seconds())
	}
	return passed, failed
}

// alone runs one check on a broker of its own: plugins cannot be unloaded while topics use them.
func (s *stand) alone(ctx context.Context, name string, check func(context.Context, string) error) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	s.name = name
	if err := s.start(ctx); err != nil {
		return err
	}
	err := check(ctx, name)
	return errors.Join(err, s.running.Stop())
}

// java runs one check of java/Plugins.java.
func (s *stand) java(ctx context.Context, check string) error {
	if s.classes == "" {
		sources, err := filepath.Abs("java") // javac runs there
		if err != nil {
			return err
		}
		java, err := install.Kafka(ctx, sources)
		if err != nil {
			return err
		}
		if s.classes, err = install.Compile(ctx, java, sources); err != nil {
			return err
		}
		s.logging = java.Logging
	}
	c := exec.CommandContext(ctx, "java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
		"-Dlog4j2.configurationFile="+s.logging, "-cp", s.classes, "Plugins", check)
	c.Env = append(os.Environ(), "COMPAT_BOOTSTRAP="+s.address, fmt.Sprintf("COMPAT_PREFIX=plugins-%x", time.Now().UnixMilli()))
	if output, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(output)))
	}
	return nil
}
