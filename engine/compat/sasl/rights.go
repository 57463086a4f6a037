package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/install"
	"github.com/millrace/millrace/engine/compat/report"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// rights has a client make rules and meet them.
func (s *stand) rights(ctx context.Context, c comer) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return c.rights(ctx, s, login{s.guarded, "PLAIN", c.name, broker.Password(c.name), "rights-" + c.name})
}

func librdkafkaRights(ctx context.Context, _ *stand, l login) error {
	return python(ctx, l, "rights.py")
}

func kafkajsRights(ctx context.Context, _ *stand, l login) error { return node(ctx, l, "rights.js") }

// kcat produces and consumes as a person or a script would.
func kcat(ctx context.Context, _ *stand, l login) error {
	k, err := newKcat(ctx, l)
	if err != nil {
		return err
	}
	if said, err := k.run("one\ntwo\nthree\n", "-P", "-t", l.topic, "-p", "0"); err != nil {
		if denied(said) {
			return errRefused
		}
		return fmt.Errorf("produce: %w: %s", err, said)
	}
	said, err := k.run("", "-C", "-t", l.topic, "-p", "0", "-o", "beginning", "-c", "3", "-q")
	if err != nil || said != "one\ntwo\nthree\n" {
		return fmt.Errorf("consume: %w: %s", err, said)
	}
	return nil
}

// kcatProgram is kcat as somebody.
type kcatProgram struct {
	login
	ctx  context.Context //nolint:containedctx // of the one check that it is made for
	path string
}

func newKcat(ctx context.Context, l login) (*kcatProgram, error) {
	path, err := install.Kcat(ctx)
	return &kcatProgram{l, ctx, path}, err
}

// run answers all that kcat says. It waits for less than for ever.
func (k *kcatProgram) run(input string, arguments ...string) (string, error) {
	ctx, cancel := context.WithTimeout(k.ctx, 20*time.Second)
	defer cancel()
	line := []string{"-b", k.address, "-X", "security.protocol=SASL_PLAINTEXT", "-X", "sasl.mechanism=" + k.mechanism, "-X", "sasl.username=" + k.user, "-X", "sasl.password=" + k.password,
		"-X", "log_level=3"}
	return program(ctx, input, k.path, append(line, arguments...)...)
}

// The words of librdkafka for denials.
const (
	topicDenied   = "Broker: Topic authorization failed"
	groupDenied   = "FindCoordinator response error: Group authorization failed."
	clusterDenied = "Broker: Cluster authorization failed"
)

// refused wants a text in what kcat says that fails, or lists, until it is there: rules count a moment later on Kafka.
func (k *kcatProgram) refused(what, text, input string, arguments ...string) error {
	return report.Eventually(k.ctx, func() error {
		if said, err := k.run(input, arguments...); !strings.Contains(said, text) {
			return fmt.Errorf("%s: %w: %q, want %q", what, err, said, text)
		}
		return nil
	})
}

func (k *kcatProgram) allowed(what, input string, arguments ...string) error {
	return report.Eventually(k.ctx, func() error {
		if said, err := k.run(input, arguments...); err != nil || strings.Contains(said, "authorization failed") {
			return fmt.Errorf("%s: %w: %q, want it allowed", what, err, said)
		}
		return nil
	})
}

// kcatRights has franz-go make the rules, which kcat cannot.
func kcatRights(ctx context.Context, s *stand, l login) error {
	k, err := newKcat(ctx, l)
	if err != nil {
		return err
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(l.address), kgo.SASL(login{mechanism: "PLAIN", user: broker.Administrator, password: broker.Password(broker.Administrator)}.franz()))
	if err != nil {
		return err
	}
	admin := kadm.NewClient(c)
	defer admin.Close()
	topic, team, group := l.topic, l.topic+"-team-", l.topic+"-group"
	for _, name := range []string{topic, team + "one", team + "two"} {
		if _, err := admin.CreateTopic(ctx, 1, 1, nil, name); err != nil {
			return fmt.Errorf("create %s: %w", name, err)
		}
	}
	produce, consume := []string{"-P", "-t", topic, "-p", "0"}, []string{"-C", "-t", topic, "-p", "0", "-o", "beginning", "-c", "1", "-q"}
	member := []string{"-G", group, "-X", "auto.offset.reset=earliest", "-c", "1", "-q", topic}
	rules := func() *kadm.ACLBuilder { return kadm.NewACLs().AllowHosts("*").Allow("User:" + l.user) }
	for _, step := range []func() error{
		func() error { return k.refused("see a topic", topicDenied, "", "-L", "-t", topic) },
		func() error {
			return k.refused("see one that does not exist", topicDenied, "", "-L", "-t", topic+"-nowhere")
		},
		func() error { return k.hides(topic) },
		func() error { return k.refused("produce", topicDenied, "one\n", produce...) },
		func() error { return k.refused("consume", topicDenied, "", consume...) },
		func() error { return k.refused("consume in a group", groupDenied, "", member...) },
		func() error {
			return k.refused("ask for an offset", "Local: Unknown partition", "", "-Q", "-t", topic+":0:-1")
		},
		func() error {
			return k.refused("produce idempotently", clusterDenied, "one\n", append(produce, "-X", "enable.idempotence=true")...)
		},
		func() error {
			return makeRules(ctx, admin, rules().Topics(topic).Operations(kadm.OpWrite), kadm.ACLPatternLiteral)
		},
		func() error { return k.allowed("produce", "one\n", produce...) },
		func() error {
			return k.allowed("produce idempotently", "two\n", append(produce, "-X", "enable.idempotence=true")...)
		},
		func() error { return k.refused("consume what may only be written", topicDenied, "", consume...) },
		func() error {
			return makeRules(ctx, admin, rules().Topics(topic).Operations(kadm.OpRead), kadm.ACLPatternLiteral)
		},
		func() error { return k.allowed("consume", "", consume...) },
		func() error { return k.refused("consume in a group", groupDenied, "", member...) },
		func() error {
			return makeRules(ctx, admin, rules().Topics(topic).Groups(group).Operations(kadm.OpRead), kadm.ACLPatternLiteral)
		},
		func() error { return k.allowed("consume in a group", "", member...) },
		func() error {
			return makeRules(ctx, admin, rules().Topics(team).Operations(kadm.OpWrite), kadm.ACLPatternPrefixed)
		},
		func() error { return k.allowed("produce by a prefix", "one\n", "-P", "-t", team+"one", "-p", "0") },
		func() error {
			deny := kadm.NewACLs().DenyHosts("*").Deny("User:*").Topics(team + "two").Operations(kadm.OpWrite)
			return makeRules(ctx, admin, deny, kadm.ACLPatternLiteral)
		},
		func() error {
			return k.refused("produce what a prefix allows and a name denies", topicDenied, "one\n", "-P", "-t", team+"two", "-p", "0")
		},
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// hides wants a topic left out of the list of all.
func (k *kcatProgram) hides(topic string) error {
	said, err := k.run("", "-L", "-q")
	if err != nil || strings.Contains(said, topic) {
		return fmt.Errorf("all topics: %w: %s", err, said)
	}
	return nil
}

// makeRules makes rules by a pattern.
func makeRules(ctx context.Context, admin *kadm.Client, rules *kadm.ACLBuilder, pattern kadm.ACLPattern) error {
	made, err := admin.CreateACLs(ctx, rules.ResourcePatternType(pattern))
	for _, one := range made {
		err = errors.Join(err, one.Err)
	}
	if err != nil {
		return fmt.Errorf("make rules: %w", err)
	}
	return nil
}
