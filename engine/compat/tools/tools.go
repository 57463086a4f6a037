// Package tools runs Kafka's command-line tools as a person would and reads what they print. The same scripts run
// Kafka's own Java tools and Millrace's links of the same names, so both must take the same options and print the
// same text; where Kafka's text holds an address or an id, the script asks for its shape.
package tools

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/engine/compat/report"
)

// classes are the Java tools' main classes by the name of the script that starts them.
var classes = map[string]string{
	"kafka-topics":              "org.apache.kafka.tools.TopicCommand",
	"kafka-console-producer":    "org.apache.kafka.tools.ConsoleProducer",
	"kafka-console-consumer":    "org.apache.kafka.tools.consumer.ConsoleConsumer",
	"kafka-consumer-groups":     "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
	"kafka-configs":             "kafka.admin.ConfigCommand",
	"kafka-leader-election":     "org.apache.kafka.tools.LeaderElectionCommand",
	"kafka-reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
	"kafka-groups":              "org.apache.kafka.tools.GroupsCommand",
	"kafka-get-offsets":         "org.apache.kafka.tools.GetOffsetShell",
	"kafka-producer-perf-test":  "org.apache.kafka.tools.ProducerPerformance",
	"kafka-consumer-perf-test":  "org.apache.kafka.tools.ConsumerPerformance",
	"kafka-verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
	"kafka-verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
	"kafka-delete-records":      "org.apache.kafka.tools.DeleteRecordsCommand",
	"kafka-log-dirs":            "org.apache.kafka.tools.LogDirsCommand",
	"kafka-transactions":        "org.apache.kafka.tools.TransactionsCommand",
	"kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
	"kafka-cluster":             "org.apache.kafka.tools.ClusterTool",
	"kafka-e2e-latency":         "org.apache.kafka.tools.EndToEndLatency",
	"kafka-features":            "org.apache.kafka.tools.FeatureCommand",
	"kafka-metadata-quorum":     "org.apache.kafka.tools.MetadataQuorumCommand",
	"kafka-dump-log":            "org.apache.kafka.tools.DumpLogSegments",
	"kafka-acls":                "org.apache.kafka.tools.AclCommand",
}

// set is one set of tools.
type set struct {
	*report.Suite
	// start is the beginning of the command line of a tool.
	start func(tool string) []string
	dir   string // for files that tools read
}

// Java runs Kafka's own tools.
func Java(s *report.Suite) {
	classPath, logging := os.Getenv("COMPAT_CLASSPATH"), os.Getenv("COMPAT_LOGGING")
	archive := filepath.Join(os.Getenv("COMPAT_JAVA"), "tools.jsa")
	start := func(tool string) []string {
		return []string{"java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:SharedArchiveFile=" + archive,
			"-Dlog4j2.configurationFile=" + logging, "-cp", classPath, classes[tool]}
	}
	if err := shareClasses(s, archive, classPath, logging); err != nil {
		fmt.Fprintln(os.Stderr, "tools start slowly:", err)
	}
	t := set{Suite: s, start: start}
	t.run()
	defer os.RemoveAll(t.dir) //nolint:errcheck // a temporary folder that stays harms nobody
	for _, check := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"tool-list-groups", t.listed}, {"tool-verifiable", t.verifiable}, {"tool-delete-records", t.deleteRecords}, {"tool-log-dirs", t.logDirs},
		{"tool-reassign", t.reassign}, {"tool-versions", t.versions}, {"tool-e2e", t.endToEnd}, {"tool-transactions", t.transactions},
	} {
		s.Check(check.name, check.run)
	}
	s.Timeout = patient
	s.Check("tool-transcript", t.transcript)
}

// shareClasses makes an archive of loaded classes, with which a JVM starts in a third of the time.
func shareClasses(s *report.Suite, archive, classPath, logging string) error {
	if _, err := os.Stat(archive); err == nil {
		return nil
	}
	making := fmt.Sprintf("%s.%d", archive, os.Getpid())
	output, err := exec.Command("java", "-XX:ArchiveClassesAtExit="+making, "-XX:+UseSerialGC", "-Xlog:disable", "-Dlog4j2.configurationFile="+logging,
		"-cp", classPath, classes["kafka-topics"], "--bootstrap-server", s.Bootstrap, "--list").CombinedOutput()
	if err != nil {
		return fmt.Errorf("make an archive of shared classes: %w\n%s", err, output)
	}
	return os.Rename(making, archive)
}

// Links runs Millrace under the tools' names.
func Links(s *report.Suite) {
	dir, err := os.MkdirTemp("", "tools-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder that stays harms nobody
	start := func(tool string) []string {
		link := filepath.Join(dir, tool)
		if len(tool)%2 == 0 { // half of them with the ending that Kafka's own have
			link += ".sh"
		}
		if err := os.Symlink(os.Getenv("COMPAT_BINARY"), link); err != nil && !errors.Is(err, os.ErrExist) {
			panic(err)
		}
		return []string{link}
	}
	t := set{Suite: s, start: start}
	t.run()
	defer os.RemoveAll(t.dir) //nolint:errcheck // a temporary folder that stays harms nobody
	for _, check := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"tool-list-groups", t.listed}, {"tool-delete-records", t.deleteRecords}, {"tool-log-dirs", t.logDirs}, {"tool-transactions", t.transactions},
	} {
		s.Check(check.name, check.run)
	}
}

// run runs what both sets of tools have.
func (t *set) run() {
	dir, err := os.MkdirTemp("", "tools-")
	if err != nil {
		panic(err)
	}
	t.dir = dir
	for _, check := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"tool-topics", t.topics}, {"tool-console", t.console}, {"tool-codecs", t.codecs}, {"tool-groups", t.groups}, {"tool-reset", t.reset},
		{"tool-consumer-groups", t.consumerGroups}, {"tool-features", t.features}, {"tool-metadata-quorum", t.quorum}, {"tool-dump-log", t.dumpLog},
		{"tool-configs", t.configs}, {"tool-acls", t.acls}, {"tool-get-offsets", t.getOffsets}, {"tool-producer-perf", t.producerPerf}, {"tool-consumer-perf", t.consumerPerf},
	} {
		t.Check(check.name, check.run)
	}
}

// said is what one run of a tool printed.
type said struct {
	out, err string
	exit     int
	command  string
}

// tool runs a tool with its input and --bootstrap-server.
func (t *set) tool(ctx context.Context, input, name string, arguments ...string) said {
	line := append(t.start(name), "--bootstrap-server", t.Bootstrap)
	return run(ctx, input, append(line, arguments...), name+" "+strings.Join(arguments, " "))
}

func run(ctx context.Context, input string, line []string, shown string) said {
	command := exec.CommandContext(ctx, line[0], line[1:]...)
	command.Stdin = strings.NewReader(input)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = time.Second
	var out, problems bytes.Buffer
	command.Stdout, command.Stderr = &out, &problems
	err := command.Run()
	s := said{out: out.String(), err: problems.String(), command: shown}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		s.exit = exit.ExitCode()
	case err != nil:
		s.exit, s.err = -1, s.err+err.Error()
	}
	return s
}

// lines are the lines of the output without the empty ones.
func (s said) lines() []string {
	var lines []string
	for line := range strings.Lines(s.out) {
		if line = strings.TrimRight(line, "\n"); strings.TrimSpace(line) != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// Err shows everything when the tool failed.
func (s said) Err() error {
	if s.exit != 0 {
		return s.wrong("exit %d", s.exit)
	}
	return nil
}

func (s said) wrong(format string, values ...any) error {
	return fmt.Errorf("%s: %s; printed %q and %q", s.command, fmt.Sprintf(format, values...), last(s.out), last(s.err))
}

func last(text string) string { return text[max(0, len(text)-700):] }

// prints fails unless the output's lines match the expressions, one each, in order.
func (s said) prints(expressions ...string) error {
	if err := s.Err(); err != nil {
		return err
	}
	lines := s.lines()
	if len(lines) != len(expressions) {
		return s.wrong("%d lines, want %d", len(lines), len(expressions))
	}
	for i, e := range expressions {
		if !regexp.MustCompile("^(?:" + e + ")$").MatchString(lines[i]) {
			return s.wrong("line %q does not match %q", lines[i], e)
		}
	}
	return nil
}

// has fails unless every text is in the output.
func (s said) has(texts ...string) error {
	for _, text := range texts {
		if !strings.Contains(s.out, text) {
			return s.wrong("%q is missing", text)
		}
	}
	return s.Err()
}

// fails fails unless the tool ended with an error and said so in these words.
func (s said) fails(words string) error {
	if s.exit == 0 || !strings.Contains(s.out+s.err, words) {
		return s.wrong("exit %d, want an error with %q", s.exit, words)
	}
	return nil
}

// steps runs one after the other until one fails.
func steps(all ...func() error) error {
	for _, step := range all {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// create makes a topic.
func (t *set) create(ctx context.Context, topic string, partitions int) error {
	return t.tool(ctx, "", "kafka-topics", "--create", "--topic", topic, "--partitions", fmt.Sprint(partitions), "--replication-factor", "1").
		prints("Created topic " + regexp.QuoteMeta(topic) + `\.`)
}

// eventually makes a step that asks until the tool prints what is wanted.
func eventually(ctx context.Context, ask func() error) func() error {
	return func() error { return report.Eventually(ctx, ask) }
}

// produce writes lines.
func (t *set) produce(ctx context.Context, topic, lines string, arguments ...string) error {
	return t.tool(ctx, lines, "kafka-console-producer", append([]string{"--topic", topic}, arguments...)...).Err()
}

// file writes a file for a tool to read.
func (t *set) file(name, text string) (string, error) {
	path := filepath.Join(t.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}
