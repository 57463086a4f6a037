// Command sdk runs the conformance suites of our own clients, with the race detector, against brokers that are processes of
// their own: Millrace, and a real Apache Kafka. Producers are those of sdk/client/conformance, with both engines; consumers
// and Admin those of sdk/client. With -theirs it runs the tests that other clients come with instead, as their authors
// wrote them, in the versions that go.mod pins.
//
//	go run ./sdk                          on Millrace
//	go run ./sdk -target kafka            on Apache Kafka; both: on one after the other
//	go run ./sdk -run 'TestConsumerSeek'  only tests whose names match
//	go run ./sdk -theirs                  the tests of franz-go
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
	"syscall"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/install"
	"github.com/millrace/millrace/engine/compat/totals"
)

type options struct {
	target, only, binary, counts string
	theirs                       bool
}

// A suite is tests of one package, which find the broker by an environment variable.
type suite struct {
	title, module, folder, run, variable string
	flags, environment                   []string
}

var ours = []suite{
	{"producers", filepath.Join("..", ".."), "./sdk/client/conformance", "", "MILLRACE_CONFORMANCE_BROKER", []string{"-race"}, nil},
	{"consumers and Admin", filepath.Join("..", ".."), "./sdk/client", "TestConsumer|TestAdmin", "MILLRACE_CONSUMER_PEER", []string{"-race"}, nil},
}

// theirs are the tests of clients that the module of this program needs anyway. A tenth of the records that they send by
// themselves is enough, for brokers that are one node.
var theirs = []suite{
	{"franz-go's own", ".", "github.com/twmb/franz-go/pkg/kgo", "", "KGO_SEEDS", nil, []string{"KGO_TEST_RF=1", "KGO_TEST_RECORDS=50000", "KGO_LOG_LEVEL=none"}},
}

// settings are the brokers': time-outs of groups that a test can wait for, as arenaSettings in sdk/client has them.
var settings = []string{
	"group.min.session.timeout.ms=300", "auto.create.topics.enable=true",
	"group.consumer.min.session.timeout.ms=300", "group.consumer.session.timeout.ms=10000",
	"group.consumer.min.heartbeat.interval.ms=50", "group.consumer.heartbeat.interval.ms=200",
	"offsets.topic.num.partitions=4", "transaction.state.log.num.partitions=4",
}

func main() {
	var o options
	flag.StringVar(&o.target, "target", "millrace", "millrace, kafka or both")
	flag.StringVar(&o.only, "run", "", "only tests whose names match, as for go test")
	flag.StringVar(&o.binary, "binary", "", "the broker (default: built from this tree)")
	flag.StringVar(&o.counts, "counts", "", "append a line `passed failed` to this file")
	flag.BoolVar(&o.theirs, "theirs", false, "the tests that other clients come with, instead of ours")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "sdk:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "sdk-")
	if err != nil {
		return fmt.Errorf("make a folder for the data: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder that stays harms nobody
	names := []string{o.target}
	if o.target == "both" {
		names = []string{"millrace", "kafka"}
	}
	var all totals.Totals
	var lines []string
	for _, name := range names {
		target, err := o.stage(ctx, name, filepath.Join(dir, name))
		if err != nil {
			return err
		}
		sum, err := o.on(ctx, target)
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprintf("sdk on %s: %v", target.Name(), sum))
		all.Add(sum)
	}
	fmt.Println()
	for _, line := range lines {
		fmt.Println(line)
	}
	err = totals.Append(o.counts, all.Passed, all.Failed)
	if all.Failed > 0 {
		err = errors.Join(err, errors.New("not every test passed"))
	}
	return err
}

// stage prepares a broker of that name.
func (o *options) stage(ctx context.Context, name, dir string) (broker.Target, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a folder for the data: %w", err)
	}
	switch name {
	case "millrace":
		if o.binary == "" {
			var err error
			if o.binary, err = broker.Build(ctx, filepath.Join("..", ".."), dir); err != nil {
				return nil, err
			}
		}
		return &broker.Millrace{Binary: o.binary, Dir: dir, Settings: settings}, nil
	case "kafka":
		sources, err := filepath.Abs("java") // mvn runs there
		if err != nil {
			return nil, err
		}
		java, err := install.Kafka(ctx, sources)
		if err != nil {
			return nil, err
		}
		return &broker.Kafka{ClassPath: java.ClassPath, Logging: java.Logging, Dir: dir, Settings: settings}, nil
	}
	return nil, fmt.Errorf("-target %s: want millrace, kafka or both", name)
}

// on runs all suites on one broker.
func (o *options) on(ctx context.Context, target broker.Target) (sum totals.Totals, err error) {
	address, _, err := target.Start(ctx, nil)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, target.Stop()) }()
	suites := ours
	if o.theirs {
		suites = theirs
	}
	for _, s := range suites {
		one, err := o.test(ctx, s, address)
		if err != nil {
			return sum, fmt.Errorf("%s on %s: %w", s.title, target.Name(), err)
		}
		fmt.Printf("%s on %s: %v\n", s.title, target.Name(), one)
		sum.Add(one)
	}
	return sum, nil
}

// test runs one suite against the broker at address.
func (o *options) test(ctx context.Context, s suite, address string) (totals.Totals, error) {
	only := s.run
	if o.only != "" {
		only = o.only
	}
	arguments := append([]string{"test", "-count=1", "-json", "-timeout=20m", "-run", only}, s.flags...)
	command := exec.CommandContext(ctx, "go", append(arguments, s.folder)...)
	command.Dir = s.module
	command.Env = append(append(os.Environ(), s.variable+"="+address), s.environment...)
	command.Stderr = os.Stderr
	// go test and the program that it starts are a group of processes, and end together.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	output, err := command.StdoutPipe()
	if err != nil {
		return totals.Totals{}, fmt.Errorf("run go test: %w", err)
	}
	if err := command.Start(); err != nil {
		return totals.Totals{}, fmt.Errorf("run go test: %w", err)
	}
	sum, err := totals.GoTest(output, os.Stdout)
	return sum, o.judge(sum, err, command.Wait())
}

// judge says what is wrong with a suite as a whole, given how reading it and go test ended. A test that fails is
// counted; a suite of which nothing ran is an error, unless only tests of another one were asked for.
func (o *options) judge(sum totals.Totals, read, ended error) error {
	switch {
	case read != nil:
		return read
	case ended != nil && sum.Failed == 0: // it was ended
		return fmt.Errorf("go test: %w", ended)
	case o.only == "" && sum.Passed+sum.Failed == 0:
		return errNothing
	}
	return nil
}

var errNothing = errors.New("no test ran")
