package sarama

import (
	"context"
	"fmt"
	"time"

	kafka "github.com/IBM/sarama"

	"github.com/millrace/millrace/engine/compat/ledger"
)

// A crowd is a group of consumers on one topic, and what all of them read together.
type crowd struct {
	client
	ledger.Crowd // its counts: sessions that each member began, one more for each rebalance

	topic, group string
	config       *kafka.Config
	members      map[string]*member
}

type member struct {
	group kafka.ConsumerGroup
	leave context.CancelFunc
	ended chan struct{}
}

func (c client) crowdOn(topic, group string, o *kafka.Config) *crowd {
	return &crowd{
		client: c, topic: topic, group: c.Name(group), config: o, members: map[string]*member{},
	}
}

// join starts one member; an instance makes it a static one.
func (g *crowd) join(ctx context.Context, name, instance string) error {
	o := *g.config
	o.ClientID = name
	o.Consumer.Group.InstanceId = instance
	group, err := kafka.NewConsumerGroup([]string{g.Bootstrap}, g.group, &o)
	if err != nil {
		return err
	}
	ctx, leave := context.WithCancel(ctx)
	m := &member{group: group, leave: leave, ended: make(chan struct{})}
	g.members[name] = m
	go func() {
		defer close(m.ended)
		for ctx.Err() == nil {
			if err := group.Consume(ctx, []string{g.topic}, &handler{g, name}); err != nil && ctx.Err() == nil {
				g.Fail(err)
				return
			}
		}
	}()
	return nil
}

// A handler counts what one member reads and marks it.
type handler struct {
	crowd *crowd
	name  string
}

func (h *handler) Setup(kafka.ConsumerGroupSession) error {
	h.crowd.Add(h.name, 1)
	return nil
}

func (h *handler) Cleanup(kafka.ConsumerGroupSession) error { return nil }

func (h *handler) ConsumeClaim(session kafka.ConsumerGroupSession, claim kafka.ConsumerGroupClaim) error {
	for {
		select {
		case m, more := <-claim.Messages():
			if !more {
				return nil
			}
			h.crowd.Read(string(m.Value))
			session.MarkMessage(m, "")
		case <-session.Context().Done():
			return nil
		}
	}
}

// part lets one member leave in good order.
func (g *crowd) part(name string) {
	m := g.members[name]
	delete(g.members, name)
	m.leave()
	<-m.ended
	if err := m.group.Close(); err != nil {
		g.Fail(err)
	}
}

func (g *crowd) end() {
	for name := range g.members {
		g.part(name)
	}
}

// assigned waits until the group is stable with that many members, each with an even share of six partitions.
func (g *crowd) assigned(ctx context.Context, members int) (string, error) {
	a, err := g.admin()
	if err != nil {
		return "", err
	}
	defer a.Close()
	for {
		described, err := a.DescribeConsumerGroups([]string{g.group})
		if err != nil {
			return "", fmt.Errorf("describe group: %w", err)
		}
		shares := map[string][]int32{}
		for _, m := range described[0].Members {
			if assignment, err := m.GetMemberAssignment(); err == nil && assignment != nil {
				shares[m.ClientId] = assignment.Topics[g.topic]
			}
		}
		if described[0].State == "Stable" && ledger.Even(shares, members, 6) {
			return fmt.Sprint(shares), nil
		}
		wait(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			return "", fmt.Errorf("the group did not settle with %d members: state %s, shares %v: %w", members, described[0].State, shares, ctx.Err())
		}
	}
}

// write sends count numbered records, spread over six partitions.
func (g *crowd) write(first, count int) error {
	messages := numbered(g.topic, 0, first, count)
	for i, m := range messages {
		m.Partition = int32(i % 6)
	}
	return g.send(config(), messages)
}

func (c client) group(ctx context.Context) error {
	topic, err := c.topic("group", 6)
	if err != nil {
		return err
	}
	g := c.crowdOn(topic, "group", config())
	defer g.end()
	if err := g.write(0, 600); err != nil {
		return err
	}
	for i, name := range []string{"one", "two", "three"} {
		if err := g.join(ctx, name, ""); err != nil {
			return err
		}
		if _, err := g.assigned(ctx, i+1); err != nil {
			return err
		}
	}
	if err := g.write(600, 600); err != nil {
		return err
	}
	if err := g.Got(ctx, 1200); err != nil {
		return err
	}
	g.part("two")
	if _, err := g.assigned(ctx, 2); err != nil {
		return err
	}
	if err := g.write(1200, 600); err != nil {
		return err
	}
	return g.Got(ctx, 1800)
}

func (c client) static(ctx context.Context) error {
	topic, err := c.topic("static", 6)
	if err != nil {
		return err
	}
	o := config()
	o.Consumer.Group.Session.Timeout = 30 * time.Second
	g := c.crowdOn(topic, "static", o)
	defer g.end()
	for i, name := range []string{"one", "two"} {
		if err := g.join(ctx, name, name); err != nil {
			return err
		}
		if _, err := g.assigned(ctx, i+1); err != nil {
			return err
		}
	}
	before, err := g.assigned(ctx, 2)
	if err != nil {
		return err
	}
	undisturbed := g.Count("one")
	g.part("two")
	if err := g.join(ctx, "two", "two"); err != nil {
		return err
	}
	if err := g.write(0, 60); err != nil {
		return err
	}
	if err := g.Got(ctx, 60); err != nil {
		return err
	}
	after, err := g.assigned(ctx, 2)
	if err != nil {
		return err
	}
	if before != after || g.Count("one") != undisturbed {
		return fmt.Errorf("the return of a static member rebalanced the group: %s became %s", before, after)
	}
	return nil
}
