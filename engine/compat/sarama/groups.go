package sarama

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	kafka "github.com/IBM/sarama"
)

// A crowd is a group of consumers on one topic, and what all of them read together.
type crowd struct {
	client
	topic, group string
	config       *kafka.Config

	mu      sync.Mutex //nolint:forbidigo // each claim is consumed on a goroutine of Sarama's
	seen    map[string]int
	setups  map[string]int // sessions that each member began: one more for each rebalance
	errs    []error
	members map[string]*member
}

type member struct {
	group kafka.ConsumerGroup
	leave context.CancelFunc
	ended chan struct{}
}

func (c client) crowdOn(topic, group string, o *kafka.Config) *crowd {
	return &crowd{
		client: c, topic: topic, group: c.Name(group), config: o,
		seen: map[string]int{}, setups: map[string]int{}, members: map[string]*member{},
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
				g.fail(err)
				return
			}
		}
	}()
	return nil
}

func (g *crowd) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.errs = append(g.errs, err)
}

// A handler counts what one member reads and marks it.
type handler struct {
	crowd *crowd
	name  string
}

func (h *handler) Setup(kafka.ConsumerGroupSession) error {
	h.crowd.mu.Lock()
	defer h.crowd.mu.Unlock()
	h.crowd.setups[h.name]++
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
			h.crowd.mu.Lock()
			h.crowd.seen[string(m.Value)]++
			h.crowd.mu.Unlock()
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
		g.fail(err)
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
		if described[0].State == "Stable" && even(shares, members, 6) {
			return fmt.Sprint(shares), nil
		}
		wait(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			return "", fmt.Errorf("the group did not settle with %d members: state %s, shares %v: %w", members, described[0].State, shares, ctx.Err())
		}
	}
}

func even(shares map[string][]int32, members, partitions int) bool {
	owned := map[int32]bool{}
	for _, s := range shares {
		if len(s) != partitions/members {
			return false
		}
		for _, p := range s {
			owned[p] = true
		}
	}
	return len(shares) == members && len(owned) == partitions
}

// write sends count numbered records, spread over six partitions.
func (g *crowd) write(first, count int) error {
	messages := numbered(g.topic, 0, first, count)
	for i, m := range messages {
		m.Partition = int32(i % 6)
	}
	return g.send(config(), messages)
}

// got waits until n different records were read, and fails when one was read twice.
func (g *crowd) got(ctx context.Context, n int) error {
	for {
		g.mu.Lock()
		read, twice, failures := len(g.seen), 0, errors.Join(g.errs...)
		for _, times := range g.seen {
			if times > 1 {
				twice++
			}
		}
		g.mu.Unlock()
		switch {
		case failures != nil:
			return failures
		case twice > 0:
			return fmt.Errorf("%d of %d records were read twice", twice, read)
		case read == n:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("the group read %d of %d records: %w", read, n, ctx.Err())
		}
		wait(ctx, 20*time.Millisecond)
	}
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
	if err := g.got(ctx, 1200); err != nil {
		return err
	}
	g.part("two")
	if _, err := g.assigned(ctx, 2); err != nil {
		return err
	}
	if err := g.write(1200, 600); err != nil {
		return err
	}
	return g.got(ctx, 1800)
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
	g.mu.Lock()
	undisturbed := g.setups["one"]
	g.mu.Unlock()
	g.part("two")
	if err := g.join(ctx, "two", "two"); err != nil {
		return err
	}
	if err := g.write(0, 60); err != nil {
		return err
	}
	if err := g.got(ctx, 60); err != nil {
		return err
	}
	after, err := g.assigned(ctx, 2)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if before != after || g.setups["one"] != undisturbed {
		return fmt.Errorf("the return of a static member rebalanced the group: %s became %s", before, after)
	}
	return nil
}
