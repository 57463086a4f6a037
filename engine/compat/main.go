// Command compat drives a broker with clients that others wrote and shows, for each client and feature, whether it
// works: on Millrace built from this tree, on a real Apache Kafka, or on both beside each other.
//
//	go run .                                 Millrace
//	go run . -target kafka                   Apache Kafka, to see that a check is right
//	go run . -target both                    both, and docs/compatibility.md from the outcome
//	go run . -client sarama -check 'gzip|time'
//	go run . -target both -resume ../../.cache/compat.json
//	                                         what a run before has left out, or failed on a machine with other work
//
// Every client runs as a process of its own and reports in the lines that package report declares; the Go ones are
// this program again. What they need is installed into the cache folder (MILLRACE_CACHE names another).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/install"
)

// options are the flags.
type options struct {
	target, client, check string
	parallel              int
	json, counts          string
	address               string
	keep                  bool
	self                  string // run the checks of this client in this process
	resume                string
}

// authorized has brokers keep ACLs, and allow everybody what none is about: all checks but those of ACLs.
var authorized = []string{
	"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "allow.everyone.if.no.acl.found=true",
}

func main() {
	var o options
	flag.StringVar(&o.target, "target", "millrace", "millrace, kafka or both")
	flag.StringVar(&o.client, "client", "", "only clients whose name matches this expression")
	flag.StringVar(&o.check, "check", "", "only checks whose name matches this expression")
	flag.IntVar(&o.parallel, "parallel", runtime.NumCPU(), "clients that run at the same time")
	flag.StringVar(&o.json, "json", "", "write every outcome to this file (default .cache/compat.json of the project)")
	flag.StringVar(&o.resume, "resume", "", "what passed in the run that wrote this file (-json) counts, and only the rest is run")
	flag.StringVar(&o.counts, "counts", "", "append a line `passed failed` to this file")
	flag.StringVar(&o.address, "address", "", "use the broker at this address instead of starting one; leaves out the checks that cut connections or kill brokers")
	flag.BoolVar(&o.keep, "keep", false, "keep the brokers' data and logs")
	flag.StringVar(&o.self, "self", "", "used by the driver: run the checks of one client")
	flag.Parse()
	if o.self != "" {
		if err := runSelf(o.self); err != nil {
			fmt.Fprintln(os.Stderr, "compat:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	passed, err := drive(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "compat:", err)
	}
	if err != nil || !passed {
		os.Exit(1)
	}
}

// drive runs everything and reports whether all passed.
func drive(ctx context.Context, o options) (passed bool, err error) {
	root, err := projectRoot()
	if err != nil {
		return false, err
	}
	work, err := os.MkdirTemp("", "compat-")
	if err != nil {
		return false, fmt.Errorf("make a folder for the brokers: %w", err)
	}
	if o.keep {
		fmt.Println("data and logs stay in", work)
	} else {
		defer os.RemoveAll(work) //nolint:errcheck // a temporary folder that stays harms nobody
	}
	d := &driver{options: o, root: root, work: work, begin: time.Now()}
	if err := d.selectClients(); err != nil {
		return false, err
	}
	if err := d.takeUp(); err != nil {
		return false, err
	}
	targets, err := d.targets(ctx)
	if err != nil {
		return false, err
	}
	d.install(ctx)
	for _, t := range targets {
		if err := d.runOn(ctx, t); err != nil {
			return false, err
		}
	}
	return d.conclude(targets)
}

// targets makes the systems that were asked for, without starting them.
func (d *driver) targets(ctx context.Context) ([]broker.Target, error) {
	if d.address != "" {
		return []broker.Target{given{d.target, d.address}}, nil
	}
	var targets []broker.Target
	if d.target == "millrace" || d.target == "both" {
		fmt.Println("building ./cmd/millrace")
		binary, err := broker.Build(ctx, d.root, d.work)
		if err != nil {
			return nil, err
		}
		d.binary = binary
		targets = append(targets, &broker.Millrace{Binary: binary, Dir: filepath.Join(d.work, "millrace-data"), Settings: authorized})
	}
	if d.target == "kafka" || d.target == "both" {
		java, err := install.Kafka(ctx, filepath.Join(d.root, "engine", "compat", "java"))
		if err != nil {
			return nil, err
		}
		targets = append(targets, &broker.Kafka{ClassPath: java.ClassPath, Logging: java.Logging, Dir: filepath.Join(d.work, "kafka"), Settings: authorized})
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("-target %s: want millrace, kafka or both", d.target)
	}
	return targets, nil
}

// A given target was started by somebody else.
type given struct{ name, address string }

func (g given) Name() string { return g.name }
func (g given) Stop() error  { return nil }
func (g given) Start(context.Context, map[string]string) (string, map[string]string, error) {
	return g.address, nil, nil
}

// projectRoot is the folder above this module that holds the project's own go.mod.
func projectRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the project: %w", err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "engine", "compat", "go.mod")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("run this inside the project: no folder above holds engine/compat")
}
