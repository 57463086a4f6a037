package client_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client"
)

// dealt is an assignor of the test's: partition p goes to member p modulo their number.
type dealt struct {
	name     string
	protocol sdk.RebalanceProtocol
	seen     func(members []sdk.GroupMember)
}

func (d dealt) Name() string                    { return d.name }
func (d dealt) Protocol() sdk.RebalanceProtocol { return d.protocol }
func (d dealt) UserData(topics []string, owned []sdk.TopicPartition) []byte {
	return fmt.Appendf(nil, "%d topics", len(topics))
}

func (d dealt) Assign(members []sdk.GroupMember, partitions map[string]int32) (map[string][]sdk.TopicPartition, error) {
	if d.seen != nil {
		d.seen(members)
	}
	all := map[string][]sdk.TopicPartition{}
	for topic, count := range partitions {
		for p := range count {
			id := members[int(p)%len(members)].ID
			all[id] = append(all[id], at(topic, p))
		}
	}
	return all, nil
}

func init() {
	sdk.Assignors.Register("dealt", func(sdk.Config) (sdk.Assignor, error) { return dealt{name: "dealt"}, nil })
	sdk.Assignors.Register("dealt-cooperative", func(sdk.Config) (sdk.Assignor, error) {
		return dealt{name: "dealt-cooperative", protocol: sdk.Cooperative}, nil
	})
}

// ledger is what the members of a group have done, all together.
type ledger struct {
	sync.Mutex
	t     *testing.T
	owner map[sdk.TopicPartition]string
	read  map[string]int // values → how often
	lost  int
	calls map[string][]string
}

// member is a consumer in a goroutine of its own, which commits when partitions go.
type member struct {
	name string
	c    *textConsumer
	stop context.CancelFunc
	done chan struct{}
}

func (a *arena) join(l *ledger, name, topic string, pairs ...string) *member {
	a.Helper()
	c := a.consumer(pairs...)
	ctx, cancel := context.WithCancel(a.ctx)
	m := &member{name, c, cancel, make(chan struct{})}
	note := func(call string, partitions []sdk.TopicPartition) {
		l.Lock()
		defer l.Unlock()
		l.calls[name] = append(l.calls[name], fmt.Sprint(call, " ", len(partitions)))
		for _, tp := range partitions {
			if call == "assigned" {
				if other := l.owner[tp]; other != "" {
					l.t.Errorf("%s gets %v, which %s has", name, tp, other)
				}
				l.owner[tp] = name
				continue
			}
			if call == "lost" {
				l.lost++
			}
			if l.owner[tp] != name {
				l.t.Errorf("%s: %v %s, which %q has", name, tp, call, l.owner[tp])
			}
			delete(l.owner, tp)
		}
	}
	a.must(c.Subscribe([]string{topic}, client.RebalanceFuncs{
		Assigned: func(_ context.Context, p []sdk.TopicPartition) error { note("assigned", p); return nil },
		Lost:     func(_ context.Context, p []sdk.TopicPartition) error { note("lost", p); return nil },
		Revoked: func(_ context.Context, p []sdk.TopicPartition) error {
			defer note("revoked", p)
			return c.CommitSync(a.ctx, nil)
		},
	}))
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			records, err := c.Poll(ctx, 50*time.Millisecond)
			if err != nil && ctx.Err() == nil {
				l.t.Errorf("%s: %v", name, err)
				return
			}
			l.Lock()
			for _, r := range records {
				l.read[r.Value]++
				if tp := at(r.Topic, r.Partition); l.owner[tp] != name {
					l.t.Errorf("%s reads %v, which %q has", name, tp, l.owner[tp])
				}
			}
			l.Unlock()
		}
	}()
	return m
}

func (m *member) leave(a *arena) {
	m.stop()
	<-m.done
	a.must(m.c.Close(a.ctx))
}

// shares waits until count members have all of the partitions between them.
func (a *arena) shares(l *ledger, partitions, count int) {
	a.Helper()
	a.eventually(fmt.Sprintf("%d members with %d partitions", count, partitions), func() bool {
		l.Lock()
		defer l.Unlock()
		return len(l.owner) == partitions && len(slices.Compact(slices.Sorted(maps.Values(l.owner)))) == count
	})
}

func TestConsumerRebalances(t *testing.T) {
	for name, group := range map[string][]string{
		"range":              {"partition.assignment.strategy", "range"},
		"roundrobin":         {"partition.assignment.strategy", "roundrobin"},
		"sticky":             {"partition.assignment.strategy", "sticky"},
		"cooperative-sticky": {"partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"},
		"default":            {},
		"own":                {"partition.assignment.strategy", "dealt"},
		"own, cooperative":   {"partition.assignment.strategy", "dealt-cooperative"},
		"broker's uniform":   {"group.protocol", "consumer"},
		"broker's range":     {"group.protocol", "consumer", "group.remote.assignor", "range"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := enterArena(t)
			const partitions = 6
			topic := a.topic(partitions)
			group := append(group, "group.id", a.unique("g"))
			l := &ledger{t: t, owner: map[sdk.TopicPartition]string{}, read: map[string]int{}, calls: map[string][]string{}}
			produced := 0
			produce := func() {
				for p := range int32(partitions) {
					a.produce(topic, p, numbers(produced, 20)...)
					produced += 20
				}
			}
			produce()
			one := a.join(l, "one", topic, group...)
			a.shares(l, partitions, 1)
			produce()
			two := a.join(l, "two", topic, group...)
			a.shares(l, partitions, 2)
			produce()
			three := a.join(l, "three", topic, group...)
			a.shares(l, partitions, 3)
			one.leave(a)
			a.shares(l, partitions, 2)
			produce()
			two.leave(a)
			a.shares(l, partitions, 1)
			a.eventually("all records", func() bool {
				l.Lock()
				defer l.Unlock()
				return len(l.read) == produced
			})
			three.leave(a)
			for value, times := range l.read {
				if times != 1 {
					t.Errorf("record %s was read %d times, in a group that commits when partitions go", value, times)
				}
			}
			if l.lost > 0 || len(l.owner) > 0 {
				t.Errorf("partitions were lost %d times; left are %v", l.lost, l.owner)
			}
			for member, calls := range l.calls {
				if !strings.HasPrefix(calls[0], "assigned") || !strings.HasPrefix(calls[len(calls)-1], "revoked") {
					t.Errorf("the listener of %s heard %q", member, calls)
				}
			}
		})
	}
}

// What an assignor sees is what Kafka's members tell each other; what it does wrong fails
// the rebalance, and Poll says so.
func TestConsumerAssignorOfTheProgram(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	topic := a.topic(2)
	var seen []sdk.GroupMember
	own := client.ConsumerOptions[string, string]{Assignors: []sdk.Assignor{dealt{name: "seer", seen: func(m []sdk.GroupMember) { seen = m }}}}
	c := a.consumerWith(own, "group.id", a.unique("g"), "client.rack", "here", "group.instance.id", "me")
	a.must(c.Subscribe([]string{topic}, nil))
	a.until(c, "an assignment", func() bool { all, _ := c.Assignment(); return len(all) == 2 })
	if len(seen) != 1 || seen[0].InstanceID != "me" || seen[0].Rack != "here" || string(seen[0].UserData) != "1 topics" || !slices.Equal(seen[0].Topics, []string{topic}) {
		t.Errorf("the assignor saw %+v", seen)
	}
	bad := client.ConsumerOptions[string, string]{Assignors: []sdk.Assignor{greedy{}}}
	c = a.consumerWith(bad, "group.id", a.unique("g"))
	a.must(c.Subscribe([]string{topic}, nil))
	var err error
	for err == nil {
		_, err = c.Poll(a.ctx, 100*time.Millisecond)
	}
	if !strings.Contains(err.Error(), "which there is not") {
		t.Errorf("Poll says %v", err)
	}
}

type greedy struct{ dealt }

func (greedy) Name() string { return "greedy" }
func (greedy) Assign(members []sdk.GroupMember, partitions map[string]int32) (map[string][]sdk.TopicPartition, error) {
	return map[string][]sdk.TopicPartition{members[0].ID: {at("nowhere", 7)}}, nil
}

// A consumer that is not polled leaves its group, so that others get its partitions.
func TestConsumerLeavesWhenItIsNotPolled(t *testing.T) {
	protocols(t, func(a *arena, group ...string) {
		topic := a.topic(1)
		a.produce(topic, 0, numbers(0, 4)...)
		var calls []string
		note := func(call string) func(context.Context, []sdk.TopicPartition) error {
			return func(_ context.Context, p []sdk.TopicPartition) error {
				if len(p) > 0 {
					calls = append(calls, call)
				}
				return nil
			}
		}
		slow := a.consumer(append(group, "max.poll.interval.ms", "2500", "max.poll.records", "2")...)
		a.must(slow.Subscribe([]string{topic}, client.RebalanceFuncs{Assigned: note("assigned"), Revoked: note("revoked"), Lost: note("lost")}))
		a.expect(slow, "0", "1")
		// It is not polled any more. Another one comes, and gets the partition.
		other := a.consumer(group...)
		a.must(other.Subscribe([]string{topic}, nil))
		a.expect(other, numbers(0, 4)...) // nothing was committed
		a.must(other.CommitSync(a.ctx, nil))
		if err := slow.CommitSync(a.ctx, nil); !errors.Is(err, client.ErrCommitFailed) {
			a.Errorf("a member that left commits: %v", err)
		}
		a.must(other.Close(a.ctx))
		a.produce(topic, 0, "4")
		a.expect(slow, "4") // it joins again, at what is committed by now
		if got := fmt.Sprint(calls); got != "[assigned lost assigned]" {
			a.Errorf("the listener heard %s", got)
		}
	})
}

// Close leaves at once, also a group that waits for a member which does not poll.
func TestConsumerClosesInARebalanceThatOthersHoldUp(t *testing.T) {
	protocols(t, func(a *arena, group ...string) {
		topic := a.topic(2)
		idle := a.consumer(group...)
		a.must(idle.Subscribe([]string{topic}, nil))
		a.until(idle, "both partitions", func() bool { all, _ := idle.Assignment(); return len(all) == 2 })
		for range 2 {
			c := a.consumer(group...)
			a.must(c.Subscribe([]string{topic}, nil))
			for m, err := c.GroupMetadata(); err == nil && m.Member == ""; m, err = c.GroupMetadata() {
				a.poll(c, 20*time.Millisecond)
			}
			a.poll(c, 100*time.Millisecond)
			began := time.Now()
			a.must(c.Close(a.ctx))
			if took := time.Since(began); took > 30*time.Second {
				a.Errorf("Close took %v", took)
			}
		}
		a.produce(topic, 0, "0")
		a.produce(topic, 1, "1")
		a.read(idle, 2)
	})
}

func TestConsumerCommitsNothingThatIsNotItsOwn(t *testing.T) {
	protocols(t, func(a *arena, group ...string) {
		topic := a.topic(2)
		a.produce(topic, 0, "0")
		c := a.consumer(group...)
		if err := c.CommitSync(a.ctx, nil); !errors.Is(err, client.ErrNotSubscribed) {
			a.Errorf("committing without a subscription: %v", err)
		}
		a.must(c.Subscribe([]string{topic}, nil))
		a.expect(c, "0")
		if err := c.CommitSync(a.ctx, offsets(at("other", 0), 1)); !errors.Is(err, client.ErrCommitFailed) || !errors.Is(err, client.ErrNotAssigned) {
			a.Errorf("committing what is not assigned: %v", err)
		}
		if err := c.CommitAsync(map[sdk.TopicPartition]sdk.OffsetAndMetadata{at(topic, 0): {Offset: -5}}, nil); err == nil {
			a.Error("offset -5 is committed")
		}
	})
}

// A static member that comes back in time finds its partitions, and nobody rebalances.
func TestConsumerStaticMember(t *testing.T) {
	protocols(t, func(a *arena, group ...string) {
		topic := a.topic(2)
		a.produce(topic, 0, "0")
		a.produce(topic, 1, "0")
		both := func(name string) *textConsumer {
			c := a.consumer(append(group, "group.instance.id", name, "partition.assignment.strategy", "cooperative-sticky")...)
			a.must(c.Subscribe([]string{topic}, nil))
			return c
		}
		one := both("one")
		a.until(one, "both partitions", func() bool { all, _ := one.Assignment(); return len(all) == 2 })
		two := both("two")
		share := func(what string, x, y *textConsumer) {
			a.until(x, what, func() bool {
				a.poll(y, 10*time.Millisecond)
				p, _ := x.Assignment()
				q, _ := y.Assignment()
				return len(p) == 1 && len(q) == 1
			})
		}
		share("a partition for each", one, two)
		before, err := two.GroupMetadata()
		a.must(err)
		mine, err := one.Assignment()
		a.must(err)
		a.must(one.Close(a.ctx))
		one = both("one")
		share("the partition again", one, two)
		after, err := two.GroupMetadata()
		a.must(err)
		again, err := one.Assignment()
		if err != nil || !slices.Equal(mine, again) || before.Generation != after.Generation {
			a.Errorf("it had %v and has %v, %v; the other's generation was %d and is %d", mine, again, err, before.Generation, after.Generation)
		}
	})
}

func TestConsumerFencesAStaticMemberThatIsThereTwice(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	topic := a.topic(1)
	group := a.unique("g")
	first := a.consumer("group.id", group, "group.instance.id", "same")
	a.must(first.Subscribe([]string{topic}, nil))
	a.until(first, "an assignment", func() bool { all, _ := first.Assignment(); return len(all) == 1 })
	second := a.consumer("group.id", group, "group.instance.id", "same")
	a.must(second.Subscribe([]string{topic}, nil))
	var err error
	for err == nil {
		a.poll(second, 20*time.Millisecond)
		_, err = first.Poll(a.ctx, 20*time.Millisecond)
	}
	if !errors.Is(err, kerr.FencedInstanceID) {
		t.Errorf("the first is told %v", err)
	}
}

// doomedVariable makes this program a consumer that somebody will kill.
const doomedVariable = "MILLRACE_TEST_DOOMED"

func init() {
	settings := os.Getenv(doomedVariable)
	if settings == "" {
		return
	}
	config, err := client.ParseConfig(settings)
	if err == nil {
		topic := config["topic"]
		delete(config, "topic")
		var c *textConsumer
		if c, err = client.NewConsumer(config, client.ConsumerOptions[string, string]{}); err == nil {
			err = c.Subscribe([]string{topic}, nil)
		}
		for err == nil {
			var records []*client.ConsumerRecord[string, string]
			records, err = c.Poll(context.Background(), 100*time.Millisecond)
			if len(records) > 0 && err == nil {
				err = c.CommitSync(context.Background(), nil)
				fmt.Println("committed", strings.Repeat("x", len(records)))
			}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// A member that is killed is missed after session.timeout.ms; what it had committed is not
// read again, and what it had not is.
func TestConsumerSurvivesTheKillOfAnother(t *testing.T) {
	protocols(t, func(a *arena, group ...string) {
		topic := a.topic(2)
		a.produce(topic, 0, "committed")
		a.produce(topic, 1, "committed")
		admin, err := client.NewAdmin(client.Config{"bootstrap.servers": a.address}, client.AdminOptions{})
		a.must(err)
		defer admin.Close()
		a.must(admin.IncrementalAlterConfigs(a.ctx, map[client.ConfigResource][]client.AlterConfigOp{
			client.GroupResource(group[3]): {client.SetConfig("consumer.session.timeout.ms", "1000")}, // of a group of KIP-848
		}))
		config := a.config(append(group, "session.timeout.ms", "1000", "topic", topic)...)
		var text strings.Builder
		for key, value := range config {
			fmt.Fprintf(&text, "%s=%s\n", key, value)
		}
		doomed := exec.CommandContext(a.ctx, os.Args[0])
		doomed.Env = append(os.Environ(), doomedVariable+"="+text.String())
		doomed.Stderr = os.Stderr
		out, err := doomed.StdoutPipe()
		a.must(err)
		a.must(doomed.Start())
		lines := bufio.NewScanner(out)
		for committed := 0; committed < 2 && lines.Scan(); {
			if n := strings.TrimPrefix(lines.Text(), "committed "); n != lines.Text() {
				committed += len(n)
			}
		}
		if a.committed(group[3], at(topic, 0)) != 1 || a.committed(group[3], at(topic, 1)) != 1 {
			a.Fatalf("the other process did not commit: %v", lines.Err())
		}
		a.must(doomed.Process.Kill())
		_ = doomed.Wait() // it says that it was killed
		a.produce(topic, 0, "after")
		a.produce(topic, 1, "after")
		c := a.consumer(append(group, "session.timeout.ms", "1000")...)
		a.must(c.Subscribe([]string{topic}, nil))
		a.expect(c, "after", "after")
	})
}

// Members of this client and of others are one group.
func TestConsumerSharesAGroupWithFranzGo(t *testing.T) {
	t.Parallel()
	a := enterArena(t)
	topic, group := a.topic(4), a.unique("g")
	c := a.consumer("group.id", group)
	a.must(c.Subscribe([]string{topic}, nil))
	other, err := kgo.NewClient(kgo.SeedBrokers(a.address), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.Balancers(kgo.RangeBalancer()))
	a.must(err)
	defer other.Close()
	polled := make(chan struct{})
	ctx, cancel := context.WithCancel(a.ctx)
	go func() {
		defer close(polled)
		for ctx.Err() == nil {
			other.PollFetches(ctx)
		}
	}()
	a.until(c, "half of the partitions", func() bool { all, _ := c.Assignment(); return len(all) == 2 })
	cancel()
	<-polled
}
