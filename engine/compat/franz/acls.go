package franz

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace/engine/compat/report"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// acls: a rule that denies, made, listed and removed; a producer and a consumer are denied and allowed again while they
// are connected. Brokers of this suite allow everybody what no rule is about.
func (c client) acls(ctx context.Context) error {
	topic, err := c.topic(ctx, "acls", 1)
	if err != nil {
		return err
	}
	a, err := c.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	producer, err := c.dial()
	if err != nil {
		return err
	}
	defer producer.Close()
	consumer, err := c.dial(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		return err
	}
	defer consumer.Close()
	produce := func() error { return producer.ProduceSync(ctx, numbered(topic, 0, 0, 1)...).FirstErr() }
	if err := produce(); err != nil {
		return fmt.Errorf("produce without a rule: %w", err)
	}
	if _, err := read(ctx, consumer, 1); err != nil {
		return fmt.Errorf("consume without a rule: %w", err)
	}
	rule := kadm.NewACLs().Topics(topic).Deny("User:ANONYMOUS").DenyHosts("*").Operations(kadm.OpAll).ResourcePatternType(kadm.ACLPatternLiteral)
	made, err := a.CreateACLs(ctx, rule)
	if err != nil || len(made) != 1 || made[0].Err != nil {
		return fmt.Errorf("create: %+v, %w", made, err)
	}
	if err := report.Eventually(ctx, func() error { return want(produce(), kerr.TopicAuthorizationFailed, "produce with a rule") }); err != nil {
		return err
	}
	if err := report.Eventually(ctx, func() error {
		return want(consumer.PollFetches(ctx).Err0(), kerr.TopicAuthorizationFailed, "consume with a rule")
	}); err != nil {
		return err
	}
	listed, err := a.DescribeACLs(ctx, rule)
	if err != nil || len(listed) != 1 || len(listed[0].Described) != 1 || listed[0].Described[0].Name != topic {
		return fmt.Errorf("describe: %+v, %w", listed, err)
	}
	gone, err := a.DeleteACLs(ctx, rule)
	if err != nil || len(gone) != 1 || len(gone[0].Deleted) != 1 {
		return fmt.Errorf("delete: %+v, %w", gone, err)
	}
	if err := report.Eventually(ctx, produce); err != nil {
		return fmt.Errorf("produce after the rule: %w", err)
	}
	return report.Eventually(ctx, func() error {
		fetches := consumer.PollFetches(ctx)
		if len(fetches.Records()) == 0 {
			return errors.Join(errors.New("nothing is consumed after the rule"), fetches.Err0())
		}
		return nil
	})
}
