package tools

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// follow starts a console consumer of a group and leaves it running; stop ends it.
func (t *set) follow(ctx context.Context, topic, group string) (stop func(), err error) {
	line := append(t.start("kafka-console-consumer"), "--bootstrap-server", t.Bootstrap, "--topic", topic, "--group", group, "--from-beginning")
	command := exec.CommandContext(ctx, line[0], line[1:]...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = command.Process.Signal(syscall.SIGTERM) // it may have ended already: Wait tells
		_ = command.Wait()                          // a console consumer ends with whatever code at a signal
	}, nil
}

// until runs a tool again and again until it prints what is wanted, and answers what was last wrong.
func until(ctx context.Context, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := ask()
		if err == nil || ctx.Err() != nil {
			return err
		}
		soon, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		<-soon.Done()
		cancel()
	}
}

const describeHeader = `GROUP +TOPIC +PARTITION +CURRENT-OFFSET +LOG-END-OFFSET +LAG +CONSUMER-ID +HOST +CLIENT-ID *`

func (t *set) groups(ctx context.Context) error {
	topic, group := t.Name("groups"), t.Name("groups")
	name := regexp.QuoteMeta(topic)
	if err := t.create(ctx, topic, 2); err != nil {
		return err
	}
	// Keys, so that each partition holds something: Kafka's consumer also commits where it read nothing, others do not.
	if err := t.produce(ctx, topic, "a,1\nb,2\nc,3\nd,4\ne,5\nf,6\n", "--reader-property", "parse.key=true", "--reader-property", "key.separator=,"); err != nil {
		return err
	}
	groups := func(arguments ...string) said { return t.tool(ctx, "", "kafka-consumer-groups", arguments...) }
	if err := t.withMember(ctx, topic, group, groups); err != nil {
		return err
	}
	row := func(p int) string { return fmt.Sprintf(`%s +%s +%d +\d+ +\d+ +0 +- +- +-`, name, name, p) }
	return steps(
		func() error {
			return until(ctx, func() error { return groups("--describe", "--group", group).prints(describeHeader, row(0), row(1)) })
		},
		func() error {
			s := groups("--describe", "--group", group)
			if !strings.Contains(s.err, "Consumer group '"+group+"' has no active members.") {
				return s.wrong("not said that there are no active members")
			}
			return nil
		},
		func() error {
			s := groups("--list")
			if !slices.Contains(s.lines(), group) {
				return s.wrong("the group is not listed")
			}
			return s.Err()
		},
		func() error {
			s := groups("--list", "--state")
			if lines := s.lines(); len(lines) < 2 || !regexp.MustCompile(`(?m)^`+name+` +Empty *$`).MatchString(s.out) {
				return s.wrong("the group is not listed as Empty")
			}
			return s.Err()
		},
		func() error {
			return groups("--delete-offsets", "--group", group, "--topic", topic+":0").has("Request succeeded for deleting offsets from group " + group)
		},
		func() error {
			return groups("--delete", "--group", group).prints(`Deletion of requested consumer groups \('` + name + `'\) was successful\.`)
		},
		func() error {
			s := groups("--delete", "--group", group)
			if !strings.Contains(s.out+s.err, "Deletion of some consumer groups failed") {
				return s.wrong("deleting a group that is not was no error")
			}
			return nil
		},
	)
}

// withMember describes the group while a consumer is in it.
func (t *set) withMember(ctx context.Context, topic, group string, groups func(...string) said) error {
	stop, err := t.follow(ctx, topic, group)
	if err != nil {
		return err
	}
	defer stop()
	name := regexp.QuoteMeta(topic)
	row := func(p int) string {
		return fmt.Sprintf(`%s +%s +%d +\d+ +\d+ +0 +\S+ +/127\.0\.0\.1 +\S+ *`, name, name, p)
	}
	return steps(
		func() error {
			return until(ctx, func() error { return groups("--describe", "--group", group).prints(describeHeader, row(0), row(1)) })
		},
		func() error {
			return groups("--describe", "--group", group, "--members").prints(`GROUP +CONSUMER-ID +HOST +CLIENT-ID +#PARTITIONS *`,
				name+` +\S+ +/127\.0\.0\.1 +\S+ +2 *`)
		},
		func() error {
			return groups("--describe", "--group", group, "--state").prints(`GROUP +COORDINATOR \(ID\) +ASSIGNMENT-STRATEGY +STATE +#MEMBERS *`,
				name+` +127\.0\.0\.1:\d+ +\(\d+\) +\S+ +Stable +1 *`)
		},
		func() error {
			s := groups("--reset-offsets", "--group", group, "--topic", topic, "--to-earliest", "--execute")
			if !strings.Contains(s.out+s.err, "Assignments can only be reset if the group '"+group+"' is inactive") {
				return s.wrong("the offsets of a group with members were reset")
			}
			return nil
		},
	)
}

// reset: every way to say where a group shall go on.
func (t *set) reset(ctx context.Context) error {
	topic, group := t.Name("reset"), t.Name("reset")
	if err := t.create(ctx, topic, 1); err != nil {
		return err
	}
	if err := t.produce(ctx, topic, strings.Repeat("x\n", 100)); err != nil {
		return err
	}
	name := regexp.QuoteMeta(topic)
	reset := func(want int, how ...string) error {
		s := t.tool(ctx, "", "kafka-consumer-groups", append([]string{"--reset-offsets", "--group", group, "--topic", topic}, how...)...)
		return s.prints(`GROUP +TOPIC +PARTITION +NEW-OFFSET *`, fmt.Sprintf(`%s +%s +0 +%d *`, name, name, want))
	}
	export := func(how ...string) said {
		return t.tool(ctx, "", "kafka-consumer-groups", append([]string{"--reset-offsets", "--group", group, "--topic", topic, "--export"}, how...)...)
	}
	for _, form := range []struct {
		want int
		how  []string
	}{
		{100, []string{"--to-latest", "--execute"}},
		{0, []string{"--to-earliest", "--execute"}},
		{42, []string{"--to-offset", "42", "--execute"}},
		{52, []string{"--shift-by", "10", "--execute"}},
		{47, []string{"--shift-by", "-5", "--execute"}},
		{47, []string{"--to-current", "--dry-run"}},
		{0, []string{"--to-datetime", "2020-01-01T00:00:00.000", "--dry-run"}},
		{0, []string{"--by-duration", "PT1H", "--dry-run"}},
		{100, []string{"--to-offset", "5000", "--dry-run"}},
		{47, []string{"--to-current", "--execute"}},
	} {
		if err := reset(form.want, form.how...); err != nil {
			return err
		}
	}
	s := export("--to-current", "--dry-run")
	if lines := s.lines(); len(lines) != 1 || strings.ReplaceAll(lines[0], `"`, "") != topic+",0,47" { // long names are quoted
		return s.wrong("want one line %s,0,47", topic)
	}
	plan, err := t.file("plan.csv", topic+",0,33\n")
	if err != nil {
		return err
	}
	s = t.tool(ctx, "", "kafka-consumer-groups", "--reset-offsets", "--group", group, "--from-file", plan, "--execute")
	if err := s.prints(`GROUP +TOPIC +PARTITION +NEW-OFFSET *`, fmt.Sprintf(`%s +%s +0 +33 *`, name, name)); err != nil {
		return err
	}
	s = t.tool(ctx, "", "kafka-consumer-groups", "--describe", "--group", group)
	return s.prints(describeHeader, fmt.Sprintf(`%s +%s +0 +33 +100 +67 +- +- +-`, name, name))
}
