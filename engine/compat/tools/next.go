package tools

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// member is a consumer of KIP-848 that stays in its group until stop.
func (t *set) member(ctx context.Context, topic, group string) (stop func(), err error) {
	k, err := kgo.NewClient(kgo.SeedBrokers(t.Bootstrap), kgo.ClientID("next"), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			k.PollFetches(ctx)
		}
	}()
	return func() {
		cancel()
		<-ended
		k.Close()
	}, nil
}

// consumerGroups shows a consumer group, with everything that only it has.
func (t *set) consumerGroups(ctx context.Context) error {
	topic, group := t.Name("consumer-groups"), t.Name("consumer-groups")
	name := regexp.QuoteMeta(topic)
	if err := t.create(ctx, topic, 2); err != nil {
		return err
	}
	stop, err := t.member(ctx, topic, group)
	if err != nil {
		return err
	}
	defer stop()
	groups := func(arguments ...string) said { return t.tool(ctx, "", "kafka-consumer-groups", arguments...) }
	err = steps(
		func() error {
			return until(ctx, func() error {
				return groups("--describe", "--group", group, "--state").prints(`GROUP +COORDINATOR \(ID\) +ASSIGNMENT-STRATEGY +STATE +#MEMBERS *`,
					name+` +127\.0\.0\.1:\d+ +\(\d+\) +uniform +Stable +1 *`)
			})
		},
		func() error {
			return groups("--describe", "--group", group, "--state", "--verbose").prints(
				`GROUP +COORDINATOR \(ID\) +ASSIGNMENT-STRATEGY +STATE +GROUP-EPOCH +TARGET-ASSIGNMENT-EPOCH +#MEMBERS *`,
				name+` +127\.0\.0\.1:\d+ +\(\d+\) +uniform +Stable +\d+ +\d+ +1 *`)
		},
		func() error {
			return groups("--describe", "--group", group, "--members").prints(`GROUP +CONSUMER-ID +HOST +CLIENT-ID +#PARTITIONS *`,
				name+` +\S+ +/127\.0\.0\.1 +next +2 *`)
		},
		func() error {
			return groups("--describe", "--group", group, "--members", "--verbose").prints(
				`GROUP +CONSUMER-ID +HOST +CLIENT-ID +#PARTITIONS +CURRENT-EPOCH +CURRENT-ASSIGNMENT +TARGET-EPOCH +TARGET-ASSIGNMENT *`,
				fmt.Sprintf(`%s +\S+ +/127\.0\.0\.1 +next +2 +\d+ +%s:0,1 +\d+ +%s:0,1 *`, name, name, name))
		},
		func() error {
			s := groups("--list", "--type", "consumer", "--state")
			if !regexp.MustCompile(`(?m)^` + name + ` +Consumer +Stable *$`).MatchString(s.out) {
				return s.wrong("the group is not listed as a consumer group")
			}
			return s.Err()
		},
		func() error {
			s := groups("--list", "--type", "classic")
			if strings.Contains(s.out, group) {
				return s.wrong("a consumer group is listed as classic")
			}
			return s.Err()
		},
	)
	if err != nil {
		return err
	}
	config := func(arguments ...string) said {
		return t.tool(ctx, "", "kafka-configs", append([]string{"--entity-type", "groups", "--entity-name", group}, arguments...)...)
	}
	if err := config("--alter", "--add-config", "consumer.heartbeat.interval.ms=7000").Err(); err != nil {
		return err
	}
	return until(ctx, func() error { return config("--describe").has("consumer.heartbeat.interval.ms=7000") })
}

// listed is Kafka's tool for groups of every kind.
func (t *set) listed(ctx context.Context) error {
	topic, group := t.Name("kafka-groups"), t.Name("kafka-groups")
	if err := t.create(ctx, topic, 1); err != nil {
		return err
	}
	stop, err := t.member(ctx, topic, group)
	if err != nil {
		return err
	}
	defer stop()
	return until(ctx, func() error {
		s := t.tool(ctx, "", "kafka-groups", "--list")
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(group) + ` +Consumer +consumer *$`).MatchString(s.out) {
			return s.wrong("the group is not listed")
		}
		return s.Err()
	})
}
