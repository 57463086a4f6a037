package franz

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/engine/compat/ledger"
)

// A crowd is a group of consumers on one topic of six partitions, and what all of them read together.
type crowd struct {
	client
	ledger.Crowd // its counts: partitions revoked from each member

	topic, group string
	options      []kgo.Opt
	members      map[string]*member
}

type member struct {
	client *kgo.Client
	leave  context.CancelFunc
	ended  chan struct{}
}

func (c client) crowd(ctx context.Context, what string, options ...kgo.Opt) (*crowd, error) {
	topic, err := c.topic(ctx, what, 6)
	if err != nil {
		return nil, err
	}
	return &crowd{
		client: c, topic: topic, group: c.Name(what), options: options, members: map[string]*member{},
	}, nil
}

// join starts one member, which commits what it read before it lets a partition go.
func (g *crowd) join(ctx context.Context, name string, options ...kgo.Opt) error {
	revoke := func(ctx context.Context, k *kgo.Client, gone map[string][]int32) {
		g.Add(name, len(gone[g.topic]))
		if err := k.CommitUncommittedOffsets(ctx); err != nil {
			g.Fail(fmt.Errorf("%s commits at a rebalance: %w", name, err))
		}
	}
	k, err := g.dial(append(append([]kgo.Opt{
		kgo.ClientID(name), kgo.ConsumerGroup(g.group), kgo.ConsumeTopics(g.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.OnPartitionsRevoked(revoke), kgo.HeartbeatInterval(300 * time.Millisecond),
	}, g.options...), options...)...)
	if err != nil {
		return err
	}
	ctx, leave := context.WithCancel(ctx)
	m := &member{client: k, leave: leave, ended: make(chan struct{})}
	g.members[name] = m
	go func() {
		defer close(m.ended)
		g.consume(ctx, k)
	}()
	return nil
}

func (g *crowd) consume(ctx context.Context, k *kgo.Client) {
	for {
		f := k.PollFetches(ctx)
		if ctx.Err() != nil || f.IsClientClosed() {
			k.AllowRebalance()
			k.CloseAllowingRebalance()
			return
		}
		if err := f.Err(); err != nil {
			g.Fail(err)
		}
		f.EachRecord(func(r *kgo.Record) { g.Read(string(r.Value)) })
		k.AllowRebalance()
	}
}

// part lets one member leave in good order.
func (g *crowd) part(name string) {
	m := g.members[name]
	delete(g.members, name)
	m.leave()
	<-m.ended
}

// end lets all leave.
func (g *crowd) end() {
	for name := range g.members {
		g.part(name)
	}
}

// assigned waits until the group is stable with that many members, each with an even share, and answers who has what.
func (g *crowd) assigned(ctx context.Context, members int) (map[string][]int32, error) {
	a, err := g.admin()
	if err != nil {
		return nil, err
	}
	defer a.Close()
	for {
		described, err := a.DescribeGroups(ctx, g.group)
		if err != nil && !kerr.IsRetriable(err) { // the first group of a broker makes its offsets topic first
			return nil, fmt.Errorf("describe group: %w", err)
		}
		d := described[g.group]
		shares := shares(d, g.topic)
		if d.State == "Stable" && ledger.Even(shares, members, 6) {
			return shares, nil
		}
		soon, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		<-soon.Done()
		cancel()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("the group did not settle with %d members: state %s, shares %v: %w", members, d.State, shares, ctx.Err())
		}
	}
}

func shares(d kadm.DescribedGroup, topic string) map[string][]int32 {
	shares := map[string][]int32{}
	for _, m := range d.Members {
		a, ok := m.Assigned.AsConsumer()
		if !ok {
			continue
		}
		for _, t := range a.Topics {
			if t.Topic == topic {
				shares[m.ClientID] = t.Partitions
			}
		}
	}
	return shares
}

// write sends count numbered records, spread over the partitions.
func (g *crowd) write(ctx context.Context, first, count int) error {
	records := numbered(g.topic, 0, first, count)
	for i, r := range records {
		r.Partition = int32(i % 6)
	}
	return g.send(ctx, records)
}

// rebalances lets three members join one after the other and one leave, under load.
func (g *crowd) rebalances(ctx context.Context) error {
	defer g.end()
	if err := g.write(ctx, 0, 600); err != nil {
		return err
	}
	for i, name := range []string{"one", "two", "three"} {
		if err := g.join(ctx, name); err != nil {
			return err
		}
		if _, err := g.assigned(ctx, i+1); err != nil {
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
	if _, err := g.assigned(ctx, 2); err != nil {
		return err
	}
	if err := g.write(ctx, 1200, 600); err != nil {
		return err
	}
	return g.Got(ctx, 1800)
}

// group: eager rebalances; every record is read once.
func (c client) group(ctx context.Context) error {
	g, err := c.crowd(ctx, "group", kgo.Balancers(kgo.RangeBalancer()))
	if err != nil {
		return err
	}
	return g.rebalances(ctx)
}

// cooperative: incremental rebalances; who stays keeps what it may keep.
func (c client) cooperative(ctx context.Context) error {
	g, err := c.crowd(ctx, "cooperative", kgo.Balancers(kgo.CooperativeStickyBalancer()))
	if err != nil {
		return err
	}
	if err := g.rebalances(ctx); err != nil {
		return err
	}
	// From 6 to 3 to 2: the first gives 3 and 1 away; eager rebalancing would have taken 6 and 3 from it.
	if lost := g.Count("one"); lost > 4+3 { // 3 more at its own end
		return fmt.Errorf("the first member had %d partitions revoked, want 7 at most", lost)
	}
	return nil
}

// static: a member that comes back under its instance id gets its partitions back and nobody rebalances; a second
// one with the same id fences the first.
func (c client) static(ctx context.Context) error {
	g, err := c.crowd(ctx, "static", kgo.Balancers(kgo.RangeBalancer()), kgo.SessionTimeout(30*time.Second))
	if err != nil {
		return err
	}
	defer g.end()
	for i, name := range []string{"one", "two"} {
		if err := g.join(ctx, name, kgo.InstanceID(name)); err != nil {
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
	if err := g.join(ctx, "two", kgo.InstanceID("two")); err != nil {
		return err
	}
	if err := g.write(ctx, 0, 60); err != nil {
		return err
	}
	if err := g.Got(ctx, 60); err != nil {
		return err
	}
	after, err := g.assigned(ctx, 2)
	if err != nil {
		return err
	}
	if fmt.Sprint(before) != fmt.Sprint(after) || g.Count("one") != undisturbed {
		return fmt.Errorf("the return of a static member rebalanced the group: %v became %v", before, after)
	}
	return g.fenced(ctx)
}

// fenced: the older of two members with one instance id hears FENCED_INSTANCE_ID.
func (g *crowd) fenced(ctx context.Context) error {
	old := g.members["two"]
	if err := g.join(ctx, "two", kgo.InstanceID("two")); err != nil {
		return err
	}
	defer func() {
		old.leave()
		<-old.ended
	}()
	for {
		failures := g.Failures()
		if errors.Is(failures, kerr.FencedInstanceID) || (failures != nil && strings.Contains(failures.Error(), kerr.FencedInstanceID.Message)) {
			return nil
		}
		soon, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		<-soon.Done()
		cancel()
		if ctx.Err() != nil {
			return fmt.Errorf("the fenced member was not told: %w", errors.Join(failures, ctx.Err()))
		}
	}
}
