// Command sasl has real clients prove who they are to a Millrace broker, by PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512: each
// produces and consumes with the right password, and must be refused with a wrong one and as a user that does not exist.
// The passwords of SCRAM are set with Kafka's own kafka-configs. Some clients then make rules about who may do what, and
// see that they count: the checks called rights.
//
//	go run ./sasl                         all clients
//	go run ./sasl -client 'kcat|sarama.*' some
//	go run ./sasl -target kafka           Apache Kafka, to see that a check is right; both: one after the other
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/totals"
)

var mechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}

type options struct{ target, client, binary, counts string }

func main() {
	var o options
	flag.StringVar(&o.target, "target", "millrace", "millrace, kafka or both")
	flag.StringVar(&o.client, "client", "", "only clients whose names match")
	flag.StringVar(&o.binary, "binary", "", "the broker (default: built from this tree)")
	flag.StringVar(&o.counts, "counts", "", "append a line `passed failed` to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "sasl:", err)
		os.Exit(1)
	}
}

// A login is what a client is told, and where its records go.
type login struct {
	address, mechanism, user, password, topic string
}

// jaas is the login in Kafka's form.
func (l login) jaas() string {
	return broker.Login{Mechanism: l.mechanism, User: l.user, Password: l.password}.JAAS()
}

// errRefused is what a client answers that was not let in.
var errRefused = errors.New("refused")

// A comer is a client, which produces a few records and reads them back.
type comer struct {
	name string
	use  func(ctx context.Context, s *stand, l login) error
	// rights makes rules as the administrator and meets them as a user of the client's name, with topics and groups whose
	// names begin with the login's. Nil: this client has no such check.
	rights func(ctx context.Context, s *stand, l login) error
	// mechanisms are those that it can do; nil: all.
	mechanisms []string
}

var comers = []comer{
	{name: "java-tools", use: javaTools}, {name: "millrace-tools", use: millraceTools}, {name: "librdkafka", use: librdkafka, rights: librdkafkaRights},
	// The kcat of today's distributions has a librdkafka before 2.6.1, whose SCRAM neither Kafka 4 nor Millrace takes.
	{name: "kcat", use: kcat, rights: kcatRights, mechanisms: mechanisms[:1]},
	{name: "franz-go", use: franz}, {name: "sarama", use: sarama}, {name: "sarama-old", use: oldSarama}, {name: "kafkajs", use: kafkajs, rights: kafkajsRights},
	{name: "sdk-native", use: sdkNative}, {name: "sdk-franz", use: sdkFranz},
}

// stand is a broker with a listener for everybody and one for those who prove who they are.
type stand struct {
	options
	dir, open, guarded string
	java               *tools // nil: not yet
	passed, failed     int
}

func run(ctx context.Context, o options) (err error) {
	only, err := regexp.Compile("^(" + o.client + ")$")
	if err != nil {
		return fmt.Errorf("-client: %w", err)
	}
	dir, err := os.MkdirTemp("", "sasl-")
	if err != nil {
		return fmt.Errorf("make a folder for the data: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder that stays harms nobody
	if o.binary == "" {
		if o.binary, err = broker.Build(ctx, filepath.Join("..", ".."), dir); err != nil {
			return err
		}
	}
	targets := []string{o.target}
	if o.target == "both" {
		targets = []string{"millrace", "kafka"}
	}
	passed, failed := 0, 0
	for _, target := range targets {
		s := &stand{options: o, dir: filepath.Join(dir, "on-"+target)}
		s.target = target
		err = errors.Join(err, s.run(ctx, func(name string) bool { return o.client == "" || only.MatchString(name) }))
		passed, failed = passed+s.passed, failed+s.failed
	}
	if err == nil {
		err = totals.Append(o.counts, passed, failed)
	}
	if failed > 0 {
		err = errors.Join(err, errors.New("not every check passed"))
	}
	return err
}

// run has the chosen clients come to one broker.
func (s *stand) run(ctx context.Context, chosen func(name string) bool) error {
	running, err := s.start(ctx)
	if err != nil {
		return err
	}
	s.report("kafka-configs", func() error { return s.remember(ctx) })
	for _, c := range comers {
		if !chosen(c.name) {
			continue
		}
		can := c.mechanisms
		if can == nil {
			can = mechanisms
		}
		for _, mechanism := range can {
			s.report(c.name+" "+mechanism, func() error { return s.check(ctx, c, mechanism) })
		}
		if c.rights != nil {
			s.report(c.name+" rights", func() error { return s.rights(ctx, c) })
		}
	}
	fmt.Printf("\nsasl on %s: %d passed, %d failed\n", s.target, s.passed, s.failed)
	return errors.Join(running.Stop(), running.Sound())
}

// report runs one check and says how it went.
func (s *stand) report(name string, check func() error) {
	begin, result := time.Now(), "pass"
	err := check()
	seconds := time.Since(begin).Seconds()
	if s.passed++; err != nil {
		result = "FAIL"
		s.passed, s.failed = s.passed-1, s.failed+1
	}
	line := fmt.Sprintf("%s %-32s %4.1f s", result, name, seconds)
	if err != nil {
		line += ": " + err.Error()
	}
	fmt.Println(line)
}

func (s *stand) start(ctx context.Context) (r *broker.Running, err error) {
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a folder for the data: %w", err)
	}
	if s.open, err = broker.FreeAddress(); err != nil {
		return nil, err
	}
	if s.guarded, err = broker.FreeAddress(); err != nil {
		return nil, err
	}
	users := []string{"alice"}
	for _, c := range comers {
		if c.rights != nil {
			users = append(users, c.name)
		}
	}
	settings := append(broker.Guard(users...), "connections.max.reauth.ms=60000")
	switch s.target {
	case "millrace":
		return broker.ServeMillrace(ctx, s.binary, filepath.Join(s.dir, "data"), filepath.Join(s.dir, "server.log"), s.open, "", append(broker.Beside(s.open, s.guarded), settings...)...)
	case "kafka":
		java, err := s.kafka(ctx)
		if err != nil {
			return nil, err
		}
		k := &broker.Kafka{ClassPath: java.classPath, Logging: java.logging, Dir: s.dir, Settings: settings, Guarded: s.guarded}
		return k.Serve(ctx, s.open, nil, nil)
	}
	return nil, fmt.Errorf("-target %s: want millrace, kafka or both", s.target)
}

// check has a client come with the right password, a wrong one, and a name that nobody has.
func (s *stand) check(ctx context.Context, c comer, mechanism string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	l := login{s.guarded, mechanism, "alice", "alice-secret", strings.ToLower(c.name + "-" + mechanism)}
	if err := c.use(ctx, s, l); err != nil {
		return fmt.Errorf("with the right password: %w", err)
	}
	l.password = "wrong"
	if err := c.use(ctx, s, l); !errors.Is(err, errRefused) {
		return fmt.Errorf("with a wrong password: %w, want it refused", err)
	}
	l.user, l.password = "nobody", "alice-secret"
	if err := c.use(ctx, s, l); !errors.Is(err, errRefused) {
		return fmt.Errorf("as somebody who does not exist: %w, want it refused", err)
	}
	return nil
}
