package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/compat/install"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// tools are Kafka's command-line tools.
type tools struct{ classPath, logging string }

var classes = map[string]string{
	"kafka-configs": "kafka.admin.ConfigCommand", "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
	"kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
}

// kafka finds Kafka's own code, or installs it.
func (s *stand) kafka(ctx context.Context) (*tools, error) {
	if s.java != nil {
		return s.java, nil
	}
	sources, err := filepath.Abs("java") // mvn runs there
	if err != nil {
		return nil, err
	}
	java, err := install.Kafka(ctx, sources)
	if err != nil {
		return nil, err
	}
	s.java = &tools{java.ClassPath, java.Logging}
	return s.java, nil
}

// javaTool runs one of Kafka's own.
func (s *stand) javaTool(ctx context.Context, input, name string, arguments ...string) (string, error) {
	if _, err := s.kafka(ctx); err != nil {
		return "", err
	}
	line := []string{"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Dlog4j2.configurationFile=" + s.java.logging, "-cp", s.java.classPath, classes[name]}
	return program(ctx, input, "java", append(line, arguments...)...)
}

// millraceTool runs Millrace under the tool's name.
func (s *stand) millraceTool(ctx context.Context, input, name string, arguments ...string) (string, error) {
	link := filepath.Join(s.dir, name)
	binary, err := filepath.Abs(s.binary)
	if err != nil {
		return "", err
	}
	if err := os.Symlink(binary, link); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return program(ctx, input, link, arguments...)
}

// program runs a program and answers all that it printed.
func program(ctx context.Context, input, name string, arguments ...string) (string, error) {
	c := exec.CommandContext(ctx, name, arguments...)
	c.Stdin, c.WaitDelay = strings.NewReader(input), time.Second
	output, err := c.CombinedOutput()
	return string(output), err
}

// remember sets and shows the passwords of SCRAM with Kafka's own tool.
func (s *stand) remember(ctx context.Context) error {
	user := []string{"--bootstrap-server", s.open, "--entity-type", "users", "--entity-name", "alice"}
	for _, one := range []struct{ mechanism, settings string }{
		{"SCRAM-SHA-256", "SCRAM-SHA-256=[iterations=8192,password=alice-secret]"}, {"SCRAM-SHA-512", "SCRAM-SHA-512=[password=alice-secret]"},
	} {
		output, err := s.javaTool(ctx, "", "kafka-configs", append(user, "--alter", "--add-config", one.settings)...)
		if err != nil || !strings.Contains(output, "Completed updating config for user alice.") {
			return fmt.Errorf("set %s: %w: %s", one.mechanism, err, output)
		}
	}
	const want = "SCRAM credential configs for user-principal 'alice' are "
	for _, describe := range []func(context.Context, string, string, ...string) (string, error){s.javaTool, s.millraceTool} {
		output, err := describe(ctx, "", "kafka-configs", append(user, "--describe")...)
		_, found, _ := strings.Cut(output, want)
		if of := strings.Split(strings.TrimSpace(found), ", "); err != nil || !slices.Contains(of, "SCRAM-SHA-256=iterations=8192") || !slices.Contains(of, "SCRAM-SHA-512=iterations=4096") { // in any order
			return fmt.Errorf("described as %q, %w, want both mechanisms", output, err)
		}
	}
	output, err := s.javaTool(ctx, "", "kafka-configs", "--bootstrap-server", s.open, "--entity-type", "users", "--entity-name", "alice", "--alter", "--delete-config", "SCRAM-SHA-999")
	if err == nil && !strings.Contains(output, "rror") {
		return fmt.Errorf("a mechanism that does not exist was deleted: %s", output)
	}
	return s.permit(ctx)
}

// permit allows alice, who tries the mechanisms, to use all topics and groups.
func (s *stand) permit(ctx context.Context) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(s.open))
	if err != nil {
		return err
	}
	admin := kadm.NewClient(c)
	defer admin.Close()
	return makeRules(ctx, admin, kadm.NewACLs().Topics("*").Groups("*").AllowHosts("*").Allow("User:alice").Operations(kadm.OpAll), kadm.ACLPatternLiteral)
}

func javaTools(ctx context.Context, s *stand, l login) error { return consoles(ctx, s, l, s.javaTool) }

func millraceTools(ctx context.Context, s *stand, l login) error {
	return consoles(ctx, s, l, s.millraceTool)
}

// consoles produces and consumes with console tools, which read the login from a file.
func consoles(ctx context.Context, s *stand, l login, tool func(context.Context, string, string, ...string) (string, error)) error {
	file := filepath.Join(s.dir, "client.properties")
	settings := "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=" + l.mechanism + "\nsasl.jaas.config=" + l.jaas() + "\nmax.block.ms=20000\nrequest.timeout.ms=10000\ndelivery.timeout.ms=20000\nlinger.ms=0\n"
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		return err
	}
	output, err := tool(ctx, "one\ntwo\nthree\n", "kafka-console-producer", "--bootstrap-server", l.address, "--topic", l.topic, "--command-config", file)
	if denied(output) {
		return errRefused
	}
	if err != nil {
		return fmt.Errorf("produce: %w: %s", err, output)
	}
	output, err = tool(ctx, "", "kafka-console-consumer", "--bootstrap-server", l.address, "--topic", l.topic, "--from-beginning", "--max-messages", "3", "--timeout-ms", "20000", "--command-config", file)
	if err != nil || !strings.Contains(output, "one\ntwo\nthree\n") {
		return fmt.Errorf("consume: %w: %s", err, output)
	}
	return nil
}

// denied reports whether a program said that it was not let in, in Kafka's words or in those of librdkafka.
func denied(output string) bool {
	return strings.Contains(output, "Authentication failed") || strings.Contains(output, "uthentication failed") || strings.Contains(output, "SASL_AUTHENTICATION_FAILED")
}
