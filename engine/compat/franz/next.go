package franz

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/engine/compat/ledger"
)

// next are the options of a member of KIP-848.
func next() []kgo.Opt {
	return []kgo.Opt{kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer()}
}

// settled is assigned for a group whose members may be of KIP-848.
func (g *crowd) settled(ctx context.Context, members int) error {
	a, err := g.admin()
	if err != nil {
		return err
	}
	defer a.Close()
	for {
		described, err := a.DescribeConsumerGroups(ctx, g.group)
		if err != nil && !kerr.IsRetriable(err) {
			return fmt.Errorf("describe group: %w", err)
		}
		d := described[g.group]
		shares := map[string][]int32{}
		for _, m := range d.Members {
			if partitions := partitionsOf(m, g.topic); len(partitions) > 0 {
				shares[m.ClientID] = partitions
			}
		}
		if d.State == "Stable" && ledger.Even(shares, members, 6) {
			return nil
		}
		soon, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		<-soon.Done()
		cancel()
		if ctx.Err() != nil {
			return fmt.Errorf("the group did not settle with %d members: state %s, shares %v: %w", members, d.State, shares, ctx.Err())
		}
	}
}

func partitionsOf(m kadm.ConsumerGroupMember, topic string) []int32 {
	var partitions []int32
	for p := range m.Assignment[topic] {
		partitions = append(partitions, p)
	}
	return partitions
}

// consumerGroup: the broker assigns; every record is read once.
func (c client) consumerGroup(ctx context.Context) error {
	g, err := c.crowd(ctx, "consumer-group", next()...)
	if err != nil {
		return err
	}
	defer g.end()
	if err := g.write(ctx, 0, 600); err != nil {
		return err
	}
	for i, name := range []string{"one", "two", "three"} {
		if err := g.join(ctx, name); err != nil {
			return err
		}
		if err := g.settled(ctx, i+1); err != nil {
			return err
		}
	}
	if err := g.write(ctx, 600, 600); err != nil {
		return err
	}
	if err := g.Got(ctx, 1200); err != nil {
		return err
	}
	g.part("two")
	if err := g.settled(ctx, 2); err != nil {
		return err
	}
	if err := g.write(ctx, 1200, 600); err != nil {
		return err
	}
	return g.Got(ctx, 1800)
}

// consumerMigrate: classic members, then both kinds, then only the new one, while they read.
func (c client) consumerMigrate(ctx context.Context) error {
	g, err := c.crowd(ctx, "consumer-migrate")
	if err != nil {
		return err
	}
	defer g.end()
	if err := g.write(ctx, 0, 600); err != nil {
		return err
	}
	classic := kgo.Balancers(kgo.CooperativeStickyBalancer())
	for i, name := range []string{"one", "two"} {
		if err := g.join(ctx, name, classic); err != nil {
			return err
		}
		if _, err := g.assigned(ctx, i+1); err != nil {
			return err
		}
	}
	if err := g.join(ctx, "three", next()...); err != nil {
		return err
	}
	if err := g.settled(ctx, 3); err != nil {
		return err
	}
	if err := g.write(ctx, 600, 600); err != nil {
		return err
	}
	if err := g.Got(ctx, 1200); err != nil {
		return err
	}
	g.part("three")
	if _, err := g.assigned(ctx, 2); err != nil {
		return err
	}
	if err := g.write(ctx, 1200, 600); err != nil {
		return err
	}
	return g.Got(ctx, 1800)
}
