package client

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
)

// javaAssignors is where Kafka's own assignors are.
const javaAssignors = "org.apache.kafka.clients.consumer."

// assignors are those that franz-go has, by the names that they have on the wire; Kafka's
// classes deal out the same way.
var assignors = map[string]func() kgo.GroupBalancer{
	"range":              kgo.RangeBalancer,
	"roundrobin":         kgo.RoundRobinBalancer,
	"sticky":             kgo.StickyBalancer,
	"cooperative-sticky": kgo.CooperativeStickyBalancer,
}

var assignorClasses = map[string]string{
	"RangeAssignor": "range", "RoundRobinAssignor": "roundrobin", "StickyAssignor": "sticky", "CooperativeStickyAssignor": "cooperative-sticky",
}

// dealers are what deals out the partitions of a classic group: what the program gave, then
// what partition.assignment.strategy names.
func (s *settings) dealers(given []sdk.Assignor) (dealers []kgo.GroupBalancer, err error) {
	for _, a := range given {
		one, err := s.dealer(a)
		if err != nil {
			return nil, fmt.Errorf("Assignors: %w", err)
		}
		dealers = append(dealers, one)
	}
	var made []any
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll(made))
		}
	}()
	for _, name := range Strategy.Of(s.Values) {
		if class, ok := strings.CutPrefix(name, javaAssignors); ok && assignorClasses[class] != "" {
			name = assignorClasses[class]
		}
		if known := assignors[name]; known != nil {
			dealers = append(dealers, known())
			continue
		}
		kind, c := s.registered(name)
		a, err := sdk.Assignors.New(kind, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w; range, roundrobin, sticky and cooperative-sticky are always there", Strategy.Name, err)
		}
		made = append(made, a)
		one, err := s.dealer(a)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", Strategy.Name, name, err)
		}
		dealers = append(dealers, one)
	}
	names := map[string]bool{}
	for _, d := range dealers {
		if names[d.ProtocolName()] {
			return nil, fmt.Errorf("%s: %s is there twice", Strategy.Name, d.ProtocolName())
		}
		names[d.ProtocolName()] = true
	}
	if len(dealers) == 0 {
		return nil, fmt.Errorf("%s is empty: name at least one", Strategy.Name)
	}
	return dealers, nil
}

// dealer is an Assignor as franz-go wants one. Members tell each other the same as those of
// Kafka's clients do: ConsumerProtocolSubscription and ConsumerProtocolAssignment.
type dealer struct {
	assignor    sdk.Assignor
	name        string
	cooperative bool
	rack        string // of this member; "": not known
	log         *slog.Logger
	brakes      brakes
}

// dealer is an assignor as one.
func (s *settings) dealer(a sdk.Assignor) (d *dealer, err error) {
	defer recovered(&err)
	return &dealer{assignor: a, name: a.Name(), cooperative: a.Protocol() == sdk.Cooperative, rack: ClientRack.Of(s.Values), log: s.log}, nil
}

// dealing are the assignors that are not franz-go's, to be closed.
func dealing(dealers []kgo.GroupBalancer) (all []any) {
	for _, one := range dealers {
		if d, ok := one.(*dealer); ok {
			all = append(all, d.assignor)
		}
	}
	return all
}

var (
	_ kgo.GroupBalancer           = (*dealer)(nil)
	_ kgo.ConsumerBalancerBalance = (*dealer)(nil)
)

func (d *dealer) ProtocolName() string { return d.name }

func (d *dealer) IsCooperative() bool { return d.cooperative }

func (d *dealer) JoinGroupMetadata(topics []string, owned map[string][]int32, generation int32) []byte {
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version, meta.Topics, meta.Generation = 3, topics, generation
	if d.rack != "" {
		meta.Rack = &d.rack
	}
	if err := guarded(func() error { meta.UserData = d.assignor.UserData(topics, listed(owned)); return nil }); err != nil {
		panicked(d.log, &d.brakes, "UserData of assignor "+d.name, err) // the member joins without
	}
	for _, tp := range listed(owned) {
		if n := len(meta.OwnedPartitions); n > 0 && meta.OwnedPartitions[n-1].Topic == tp.Topic {
			meta.OwnedPartitions[n-1].Partitions = append(meta.OwnedPartitions[n-1].Partitions, tp.Partition)
			continue
		}
		of := kmsg.NewConsumerMemberMetadataOwnedPartition()
		of.Topic, of.Partitions = tp.Topic, []int32{tp.Partition}
		meta.OwnedPartitions = append(meta.OwnedPartitions, of)
	}
	return meta.AppendTo(nil)
}

func (d *dealer) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	return kgo.ParseConsumerSyncAssignment(assignment)
}

func (d *dealer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	b, err := kgo.NewConsumerBalancer(d, members)
	if err != nil {
		return nil, nil, fmt.Errorf("assignor %s: %w", d.ProtocolName(), err)
	}
	return b, b.MemberTopics(), nil
}

// Balance has the assignor deal out, and checks what it did: it may give a partition that
// there is, once, to a member that there is.
func (d *dealer) Balance(b *kgo.ConsumerBalancer, partitions map[string]int32) kgo.IntoSyncAssignment {
	plan := b.NewPlan()
	if err := d.deal(b, plan, partitions); err != nil {
		b.SetError(fmt.Errorf("assignor %s: %w", d.ProtocolName(), err))
	}
	return plan
}

func (d *dealer) deal(b *kgo.ConsumerBalancer, plan *kgo.BalancePlan, partitions map[string]int32) error {
	var members []sdk.GroupMember
	known := map[string]*kmsg.JoinGroupResponseMember{}
	b.EachMember(func(m *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		known[m.MemberID] = m
		members = append(members, member(m, meta))
	})
	var assigned map[string][]sdk.TopicPartition
	if err := guarded(func() (err error) { assigned, err = d.assignor.Assign(members, partitions); return err }); err != nil {
		return err
	}
	taken := map[sdk.TopicPartition]string{}
	for id, list := range assigned {
		if known[id] == nil {
			return fmt.Errorf("it gives partitions to %q, who is no member", id)
		}
		for _, tp := range list {
			if tp.Partition < 0 || tp.Partition >= partitions[tp.Topic] {
				return fmt.Errorf("it gives %s-%d away, which there is not", tp.Topic, tp.Partition)
			}
			if other, twice := taken[tp]; twice {
				return fmt.Errorf("it gives %s-%d to both %s and %s", tp.Topic, tp.Partition, other, id)
			}
			taken[tp] = id
			plan.AddPartition(known[id], tp.Topic, tp.Partition)
		}
	}
	if d.IsCooperative() {
		plan.AdjustCooperative(b)
	}
	return nil
}

// member is a member as assignors see it.
func member(m *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) sdk.GroupMember {
	g := sdk.GroupMember{ID: m.MemberID, Topics: slices.Sorted(slices.Values(meta.Topics)), Generation: -1, UserData: meta.UserData}
	if m.InstanceID != nil {
		g.InstanceID = *m.InstanceID
	}
	if meta.Rack != nil {
		g.Rack = *meta.Rack
	}
	if meta.Version >= 2 {
		g.Generation = meta.Generation
	}
	for _, of := range meta.OwnedPartitions {
		for _, p := range of.Partitions {
			g.Owned = append(g.Owned, sdk.TopicPartition{Topic: of.Topic, Partition: p})
		}
	}
	return g
}
