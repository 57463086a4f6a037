// Package kcat drives a broker with kcat, a command-line client on an older librdkafka, as a person or a script would.
package kcat

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/millrace/millrace/engine/compat/report"
	"github.com/millrace/millrace/engine/compat/sample"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// client is what the checks share.
type client struct{ *report.Suite }

// Run runs every check.
func Run(s *report.Suite) {
	c := client{s}
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		s.Check(codec, func(ctx context.Context) error { return c.codec(ctx, codec) })
	}
	for _, check := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"cluster", c.cluster}, {"foreign", c.foreign}, {"records", c.records}, {"assign", c.assign}, {"time", c.time},
		{"group", c.group}, {"drops", c.drops}, {"acls", c.acls},
	} {
		s.Check(check.name, check.run)
	}
}

// kcat runs one kcat with its input and answers its output.
func (c client) kcat(ctx context.Context, broker, input string, arguments ...string) (string, error) {
	command := c.command(ctx, broker, arguments...)
	command.Stdin = strings.NewReader(input)
	var out, problems bytes.Buffer
	command.Stdout, command.Stderr = &out, &problems
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("kcat %s: %w: %s", strings.Join(arguments, " "), err, strings.TrimSpace(problems.String()))
	}
	return out.String(), nil
}

func (c client) command(ctx context.Context, broker string, arguments ...string) *exec.Cmd {
	line := append([]string{"-b", broker, "-X", "reconnect.backoff.max.ms=100"}, arguments...)
	command := exec.CommandContext(ctx, os.Getenv("COMPAT_KCAT"), line...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return command
}

// topic creates a topic of this run: kcat itself cannot.
func (c client) topic(ctx context.Context, broker, what string, partitions int32) (string, error) {
	k, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		return "", err
	}
	a := kadm.NewClient(k)
	defer a.Close()
	name := c.Name(what)
	if _, err := a.CreateTopic(ctx, partitions, 1, nil, name); err != nil {
		return "", fmt.Errorf("create topic %s: %w", name, err)
	}
	return name, report.Eventually(ctx, func() error {
		listed, err := a.ListTopics(ctx, name)
		if err == nil && len(listed[name].Partitions) != int(partitions) {
			err = fmt.Errorf("topic %s has %d partitions, want %d: %w", name, len(listed[name].Partitions), partitions, listed[name].Err)
		}
		return err
	})
}

// acls: a rule, which franz-go makes and removes, denies kcat to write to a topic and allows it to read. Brokers of this
// suite allow everybody what no rule is about.
func (c client) acls(ctx context.Context) error {
	topic, err := c.topic(ctx, c.Bootstrap, "acls", 1)
	if err != nil {
		return err
	}
	k, err := kgo.NewClient(kgo.SeedBrokers(c.Bootstrap))
	if err != nil {
		return err
	}
	a := kadm.NewClient(k)
	defer a.Close()
	write := func() error {
		_, err := c.kcat(ctx, c.Bootstrap, "one\n", "-P", "-t", topic, "-p", "0")
		return err
	}
	if err := write(); err != nil {
		return fmt.Errorf("without a rule: %w", err)
	}
	rule := kadm.NewACLs().Topics(topic).Deny("User:ANONYMOUS").DenyHosts("*").Operations(kadm.OpWrite).ResourcePatternType(kadm.ACLPatternLiteral)
	read := kadm.NewACLs().Topics(topic).Allow("User:ANONYMOUS").AllowHosts("*").Operations(kadm.OpRead).ResourcePatternType(kadm.ACLPatternLiteral)
	for _, one := range []*kadm.ACLBuilder{rule, read} {
		if made, err := a.CreateACLs(ctx, one); err != nil || len(made) != 1 || made[0].Err != nil {
			return fmt.Errorf("make a rule: %+v, %w", made, err)
		}
	}
	if err := report.Eventually(ctx, func() error {
		if err := write(); err == nil || !strings.Contains(err.Error(), "Broker: Topic authorization failed") {
			return fmt.Errorf("with a rule that denies it: %w, want it denied", err)
		}
		return nil
	}); err != nil {
		return err
	}
	if out, err := c.kcat(ctx, c.Bootstrap, "", "-C", "-t", topic, "-p", "0", "-o", "beginning", "-c", "1", "-q"); err != nil || out != "one\n" {
		return fmt.Errorf("read what may be read: %q, %w", out, err)
	}
	for _, one := range []*kadm.ACLBuilder{rule, read} {
		if gone, err := a.DeleteACLs(ctx, one); err != nil || len(gone) != 1 || len(gone[0].Deleted) != 1 {
			return fmt.Errorf("remove a rule: %+v, %w", gone, err)
		}
	}
	return report.Eventually(ctx, write)
}

// numbered is count lines, each with a number and some filling.
func numbered(first, count, filling int) string {
	var b strings.Builder
	for i := first; i < first+count; i++ {
		fmt.Fprintf(&b, "%d %s\n", i, strings.Repeat("x", filling))
	}
	return b.String()
}

func (c client) codec(ctx context.Context, codec string) error {
	topic, err := c.topic(ctx, c.Bootstrap, codec, 1)
	if err != nil {
		return err
	}
	var input strings.Builder
	for i, r := range sample.Mixed(11, 500) {
		if i%2 == 0 {
			fmt.Fprintf(&input, "%s:%x\n", r.Key, r.Value)
		} else {
			fmt.Fprintf(&input, "%s:%s\n", r.Key, strings.ReplaceAll(string(r.Value), "\n", " "))
		}
	}
	if _, err := c.kcat(ctx, c.Bootstrap, input.String(), "-P", "-t", topic, "-p", "0", "-K:", "-z", codec); err != nil {
		return err
	}
	got, err := c.kcat(ctx, c.Bootstrap, "", "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q", "-f", "%k:%s\n")
	if err != nil {
		return err
	}
	if got != input.String() {
		return fmt.Errorf("read back %d bytes that are not the %d bytes sent", len(got), input.Len())
	}
	return nil
}

func (c client) cluster(ctx context.Context) error {
	out, err := c.kcat(ctx, c.Bootstrap, "", "-L", "-J")
	if err != nil {
		return err
	}
	var m struct {
		Brokers      []struct{ ID int }
		ControllerID int `json:"controllerid"`
	}
	if err := json.Unmarshal([]byte(out), &m); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	if len(m.Brokers) != 1 || m.ControllerID != m.Brokers[0].ID {
		return fmt.Errorf("brokers %v, controller %d", m.Brokers, m.ControllerID)
	}
	return nil
}

func (c client) foreign(ctx context.Context) error {
	out, err := c.kcat(ctx, c.Bootstrap, "", "-C", "-t", c.Foreign, "-p", "0", "-o", "beginning", "-e", "-q", "-f", "%o|%T|%h|%K|%k|%s\n")
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != sample.ForeignCount {
		return fmt.Errorf("read %d records, want %d", len(lines), sample.ForeignCount)
	}
	for i, line := range lines {
		r := sample.Foreign(i)
		size := len(r.Key)
		if r.Key == nil {
			size = -1
		}
		if want := fmt.Sprintf("%d|%d|number=%d|%d|%s|%s", i, sample.ForeignBase+i*1000, i, size, r.Key, r.Value); line != want {
			return fmt.Errorf("record %d is %q, want %q", i, line, want)
		}
	}
	return nil
}

// records: null is not empty, headers keep order and repetition.
func (c client) records(ctx context.Context) error {
	topic, err := c.topic(ctx, c.Bootstrap, "records", 1)
	if err != nil {
		return err
	}
	if _, err := c.kcat(ctx, c.Bootstrap, "k:v\nk:\n:v\n", "-P", "-t", topic, "-p", "0", "-K:", "-Z", "-H", "a=1", "-H", "a=2", "-H", "b=x"); err != nil {
		return err
	}
	out, err := c.kcat(ctx, c.Bootstrap, "", "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q", "-f", "%K %S %h\n")
	if err != nil {
		return err
	}
	if want := "1 1 a=1,a=2,b=x\n1 -1 a=1,a=2,b=x\n-1 1 a=1,a=2,b=x\n"; out != want {
		return fmt.Errorf("read %q, want %q", out, want)
	}
	return nil
}

func (c client) assign(ctx context.Context) error {
	topic, err := c.topic(ctx, c.Bootstrap, "assign", 2)
	if err != nil {
		return err
	}
	for _, p := range []string{"0", "1"} {
		if _, err := c.kcat(ctx, c.Bootstrap, numbered(0, 100, 0), "-P", "-t", topic, "-p", p); err != nil {
			return err
		}
	}
	for _, from := range []struct {
		offset      string
		first, last int
	}{{"beginning", 0, 99}, {"90", 90, 99}, {"-5", 95, 99}} {
		out, err := c.kcat(ctx, c.Bootstrap, "", "-C", "-t", topic, "-p", "1", "-o", from.offset, "-e", "-q")
		if err != nil {
			return err
		}
		if want := numbered(from.first, from.last-from.first+1, 0); out != want {
			return fmt.Errorf("from %s: read %d bytes, want the numbers %d to %d", from.offset, len(out), from.first, from.last)
		}
	}
	return nil
}

func (c client) time(ctx context.Context) error {
	for at, want := range map[int]int{-5000: 0, 0: 0, 1: 1, 9_999: 10, 10_001: 11, 499_000: 499} {
		out, err := c.kcat(ctx, c.Bootstrap, "", "-Q", "-t", fmt.Sprintf("%s:0:%d", c.Foreign, sample.ForeignBase+at))
		if err != nil {
			return err
		}
		if got := strings.TrimSpace(out); got != fmt.Sprintf("%s [0] offset %d", c.Foreign, want) {
			return fmt.Errorf("at the first record's time %+d ms: %q, want offset %d", at, got, want)
		}
	}
	out, err := c.kcat(ctx, c.Bootstrap, "", "-C", "-t", c.Foreign, "-p", "0", "-o", fmt.Sprintf("s@%d", sample.ForeignBase+59_500),
		"-o", fmt.Sprintf("e@%d", sample.ForeignBase+70_000), "-q", "-f", "%o ")
	if err != nil {
		return err
	}
	if want := "60 61 62 63 64 65 66 67 68 69 "; out != want {
		return fmt.Errorf("from 59.5 s to 70 s: offsets %q, want %q", out, want)
	}
	return nil
}

// drops: every line is there once and in order, although answers were lost on the way.
func (c client) drops(ctx context.Context) error {
	topic, err := c.topic(ctx, c.Drops, "drops", 1)
	if err != nil {
		return err
	}
	input := numbered(0, 12000, 240)
	if _, err := c.kcat(ctx, c.Drops, input, "-E", "-P", "-t", topic, "-p", "0", "-X", "enable.idempotence=true", "-X", "batch.size=8192",
		"-X", "retry.backoff.ms=10", "-X", "message.timeout.ms=50000"); err != nil {
		return err
	}
	out, err := c.kcat(ctx, c.Drops, "", "-E", "-C", "-t", topic, "-p", "0", "-o", "beginning", "-c", "12000", "-q")
	if err != nil {
		return err
	}
	if out != input {
		return fmt.Errorf("read %d bytes that are not the %d bytes sent", len(out), len(input))
	}
	return nil
}

// A member is one kcat in a group. What it printed belongs to mu.
type member struct {
	command *exec.Cmd
	mu      sync.Mutex //nolint:forbidigo // two goroutines copy the process's output here
	out     []byte
	said    []byte
}

// A sink appends to one of a member's outputs.
type sink struct {
	member *member
	to     *[]byte
}

func (s sink) Write(p []byte) (int, error) {
	s.member.mu.Lock()
	defer s.member.mu.Unlock()
	*s.to = append(*s.to, p...)
	return len(p), nil
}

func (c client) join(ctx context.Context, group, topic string) (*member, error) {
	m := &member{command: c.command(ctx, c.Bootstrap, "-G", group, "-X", "auto.offset.reset=earliest", "-X", "heartbeat.interval.ms=300",
		"-X", "fetch.wait.max.ms=100", "-u", "-f", "%s\n", topic)}
	m.command.Stdout, m.command.Stderr = sink{m, &m.out}, sink{m, &m.said}
	return m, m.command.Start()
}

var rebalanced = regexp.MustCompile(`rebalanced \(memberid [^)]*\): (assigned|revoked): ?(.*)`)

// owns is how many partitions kcat last said it was assigned.
func (m *member) owns() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := rebalanced.FindAllStringSubmatch(string(m.said), -1)
	if len(all) == 0 || all[len(all)-1][1] == "revoked" {
		return 0
	}
	return strings.Count(all[len(all)-1][2], "[")
}

// settle waits until every member owns that many partitions.
func settle(ctx context.Context, each int, members ...*member) error {
	return until(ctx, func() error {
		for i, m := range members {
			if n := m.owns(); n != each {
				return fmt.Errorf("member %d of %d owns %d partitions, want %d", i, len(members), n, each)
			}
		}
		return nil
	})
}

func until(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if err == nil || ctx.Err() != nil {
			return err
		}
		soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		<-soon.Done()
		cancel()
	}
}

// group: three join, one leaves, every line is read once.
func (c client) group(ctx context.Context) error {
	topic, err := c.topic(ctx, c.Bootstrap, "group", 6)
	if err != nil {
		return err
	}
	var members []*member
	defer func() {
		for _, m := range members {
			_ = m.command.Process.Kill() // it may have ended already
			_ = m.command.Wait()
		}
	}()
	for i := range 3 {
		m, err := c.join(ctx, c.Name("group"), topic)
		if err != nil {
			return err
		}
		members = append(members, m)
		if err := settle(ctx, 6/(i+1), members...); err != nil {
			return err
		}
	}
	if err := c.spread(ctx, topic, 0, 600); err != nil {
		return err
	}
	if err := until(ctx, func() error { return once(600, members...) }); err != nil {
		return err
	}
	if err := members[1].command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := members[1].command.Wait(); err != nil {
		return fmt.Errorf("kcat ends at SIGTERM: %w", err)
	}
	if err := settle(ctx, 3, members[0], members[2]); err != nil {
		return err
	}
	if err := c.spread(ctx, topic, 600, 600); err != nil {
		return err
	}
	return until(ctx, func() error { return once(1200, members...) })
}

// spread writes numbered lines over six partitions.
func (c client) spread(ctx context.Context, topic string, first, count int) error {
	for p := range 6 {
		input := numbered(first+p*count/6, count/6, 0)
		if _, err := c.kcat(ctx, c.Bootstrap, input, "-P", "-t", topic, "-p", strconv.Itoa(p)); err != nil {
			return err
		}
	}
	return nil
}

// once fails unless the members together printed n different lines and none twice.
func once(n int, members ...*member) error {
	seen := map[string]bool{}
	twice := 0
	for _, m := range members {
		m.mu.Lock()
		for line := range strings.Lines(string(m.out)) {
			if seen[line] {
				twice++
			}
			seen[line] = true
		}
		m.mu.Unlock()
	}
	if twice > 0 {
		return fmt.Errorf("%d records were read twice", twice)
	}
	if len(seen) != n {
		return fmt.Errorf("the group read %d of %d records", len(seen), n)
	}
	return nil
}
