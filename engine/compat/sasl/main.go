// Command sasl has real clients prove who they are to a Millrace broker, by PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512: each
// produces and consumes with the right password, and must be refused with a wrong one and as a user that does not exist.
// The passwords of SCRAM are set with Kafka's own kafka-configs.
//
//	go run ./sasl                       all clients
//	go run ./sasl -client 'java|sarama' some
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
)

var mechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}

type options struct{ client, binary, counts string }

func main() {
	var o options
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
	module := "scram.ScramLoginModule"
	if l.mechanism == "PLAIN" {
		module = "plain.PlainLoginModule"
	}
	return fmt.Sprintf(`org.apache.kafka.common.security.%s required username="%s" password="%s";`, module, l.user, l.password)
}

// errRefused is what a client answers that was not let in.
var errRefused = errors.New("refused")

// A comer is a client, which produces a few records and reads them back.
type comer struct {
	name string
	use  func(ctx context.Context, s *stand, l login) error
}

var comers = []comer{
	{"java-tools", javaTools}, {"millrace-tools", millraceTools}, {"librdkafka", librdkafka}, {"franz-go", franz}, {"sarama", sarama}, {"sarama-old", oldSarama}, {"kafkajs", kafkajs},
	{"sdk-native", sdkNative}, {"sdk-franz", sdkFranz},
}

// stand is a broker with a listener for everybody and one for those who prove who they are.
type stand struct {
	options
	dir, open, guarded string
	java               *tools // nil: not yet
}

func run(ctx context.Context, o options) (err error) {
	s := &stand{options: o}
	only, err := regexp.Compile("^(" + o.client + ")$")
	if err != nil {
		return fmt.Errorf("-client: %w", err)
	}
	if s.dir, err = os.MkdirTemp("", "sasl-"); err != nil {
		return fmt.Errorf("make a folder for the data: %w", err)
	}
	defer os.RemoveAll(s.dir) //nolint:errcheck // a temporary folder that stays harms nobody
	if s.binary == "" {
		if s.binary, err = broker.Build(ctx, filepath.Join("..", ".."), s.dir); err != nil {
			return err
		}
	}
	running, err := s.start(ctx)
	if err != nil {
		return err
	}
	passed, failed := 0, 0
	report := func(name string, begin time.Time, err error) {
		if err != nil {
			failed++
			fmt.Printf("FAIL %-32s %4.1f s: %v\n", name, time.Since(begin).Seconds(), err)
			return
		}
		passed++
		fmt.Printf("pass %-32s %4.1f s\n", name, time.Since(begin).Seconds())
	}
	begin := time.Now()
	report("kafka-configs", begin, s.remember(ctx))
	for _, c := range comers {
		if o.client != "" && !only.MatchString(c.name) {
			continue
		}
		for _, mechanism := range mechanisms {
			begin := time.Now()
			report(c.name+" "+mechanism, begin, s.check(ctx, c, mechanism))
		}
	}
	err = errors.Join(running.Stop(), running.Sound())
	fmt.Printf("\nsasl: %d passed, %d failed\n", passed, failed)
	if err == nil && o.counts != "" {
		err = count(o.counts, passed, failed)
	}
	if failed > 0 {
		err = errors.Join(err, errors.New("not every check passed"))
	}
	return err
}

func (s *stand) start(ctx context.Context) (r *broker.Running, err error) {
	if s.open, err = broker.FreeAddress(); err != nil {
		return nil, err
	}
	if s.guarded, err = broker.FreeAddress(); err != nil {
		return nil, err
	}
	return broker.ServeMillrace(ctx, s.binary, filepath.Join(s.dir, "data"), filepath.Join(s.dir, "server.log"), s.open, "",
		"listeners=PLAINTEXT://"+s.open+",SASL_PLAINTEXT://"+s.guarded, "sasl.enabled.mechanisms="+strings.Join(mechanisms, ","), "connections.max.reauth.ms=60000",
		`listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="alice-secret";`)
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

func count(path string, passed, failed int) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("count the checks: %w", err)
	}
	_, err = fmt.Fprintln(f, passed, failed)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("count the checks: %w", err)
	}
	return nil
}
