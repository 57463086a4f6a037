package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
)

func compare(x, y string) int { return strings.Compare(x, y) }

// GroupListing is a group.
type GroupListing struct {
	ID       string
	Type     string // classic, consumer, share; "": the broker does not say
	Protocol string // consumer, connect, …
	State    string
}

// ListGroups lists groups, by name.
func (a *Admin) ListGroups(ctx context.Context) ([]GroupListing, error) {
	ctx, stop := a.limited(ctx)
	defer stop()
	answer, err := kmsg.NewPtrListGroupsRequest().RequestWith(ctx, a.client)
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err != nil {
		return nil, failed(ctx, "list groups", err)
	}
	var all []GroupListing
	for _, g := range answer.Groups {
		all = append(all, GroupListing{g.Group, g.GroupType, g.ProtocolType, g.GroupState})
	}
	slices.SortFunc(all, func(x, y GroupListing) int { return compare(x.ID, y.ID) })
	return all, nil
}

// ConsumerGroupDescription is a group of consumers, of either protocol.
type ConsumerGroupDescription struct {
	ID          string
	Type        string // classic or consumer
	State       string // Empty, Stable, PreparingRebalance, …
	Assignor    string
	Coordinator int32
	Members     []MemberDescription
}

// MemberDescription is a member of a group.
type MemberDescription struct {
	ID         string
	InstanceID string // "" without static membership
	ClientID   string
	Host       string
	Assignment []sdk.TopicPartition
}

// DescribeConsumerGroups describes groups. One that there is not is described as Dead, as
// by Kafka, or is an error, with newer brokers.
func (a *Admin) DescribeConsumerGroups(ctx context.Context, groups ...string) (map[string]ConsumerGroupDescription, error) {
	ctx, stop := a.limited(ctx)
	defer stop()
	all, wrong := map[string]ConsumerGroupDescription{}, []error{}
	var classic []string
	if modern, err := a.kadm.DescribeConsumerGroups(ctx, groups...); err == nil {
		for _, id := range groups {
			if g, ok := modern[id]; ok && g.Err == nil {
				all[id] = modernGroup(&g)
			} else {
				classic = append(classic, id)
			}
		}
	} else if errors.Is(err, kerr.UnsupportedVersion) || ctx.Err() == nil {
		classic = groups
	} else {
		return nil, failed(ctx, "describe groups", err)
	}
	if len(classic) == 0 {
		return all, nil
	}
	described, err := a.kadm.DescribeGroups(ctx, classic...)
	if err != nil {
		return all, failed(ctx, "describe groups", err)
	}
	for _, g := range described.Sorted() {
		if g.Err != nil {
			wrong = append(wrong, refused("describe group "+g.Group, g.Err, g.ErrMessage))
			continue
		}
		all[g.Group] = classicGroup(&g)
	}
	return all, errors.Join(wrong...)
}

func modernGroup(g *kadm.DescribedConsumerGroup) ConsumerGroupDescription {
	d := ConsumerGroupDescription{ID: g.Group, Type: "consumer", State: g.State, Assignor: g.AssignorName, Coordinator: g.Coordinator.NodeID}
	for _, m := range g.Members {
		d.Members = append(d.Members, MemberDescription{m.MemberID, said(m.InstanceID), m.ClientID, m.ClientHost, ofSet(m.Assignment)})
	}
	return d
}

func classicGroup(g *kadm.DescribedGroup) ConsumerGroupDescription {
	d := ConsumerGroupDescription{ID: g.Group, Type: "classic", State: g.State, Assignor: g.Protocol, Coordinator: g.Coordinator.NodeID}
	for _, m := range g.Members {
		of := MemberDescription{ID: m.MemberID, InstanceID: said(m.InstanceID), ClientID: m.ClientID, Host: m.ClientHost}
		if assigned, ok := m.Assigned.AsConsumer(); ok {
			partitions := map[string][]int32{}
			for _, t := range assigned.Topics {
				partitions[t.Topic] = t.Partitions
			}
			of.Assignment = listed(partitions)
		}
		d.Members = append(d.Members, of)
	}
	return d
}

func ofSet(s kadm.TopicsSet) []sdk.TopicPartition {
	return inOrder(func(yield func(sdk.TopicPartition) bool) {
		for topic, partitions := range s {
			for p := range partitions {
				if !yield(sdk.TopicPartition{Topic: topic, Partition: p}) {
					return
				}
			}
		}
	})
}

// DeleteConsumerGroups deletes groups that have no members.
func (a *Admin) DeleteConsumerGroups(ctx context.Context, groups ...string) error {
	ctx, stop := a.limited(ctx)
	defer stop()
	answers, err := a.kadm.DeleteGroups(ctx, groups...)
	if err != nil {
		return failed(ctx, "delete groups", err)
	}
	var all []error
	for _, g := range answers.Sorted() {
		all = append(all, refused("delete group "+g.Group, g.Err, g.ErrMessage))
	}
	return errors.Join(all...)
}

// ListConsumerGroupOffsets is all that a group has committed.
func (a *Admin) ListConsumerGroupOffsets(ctx context.Context, group string) (map[sdk.TopicPartition]sdk.OffsetAndMetadata, error) {
	ctx, stop := a.limited(ctx)
	defer stop()
	answers, err := a.kadm.FetchOffsets(ctx, group)
	if err != nil {
		return nil, failed(ctx, "list offsets of group "+group, err)
	}
	all, wrong := map[sdk.TopicPartition]sdk.OffsetAndMetadata{}, []error{}
	for _, o := range answers.Sorted() {
		switch {
		case o.Err != nil:
			wrong = append(wrong, refused(fmt.Sprintf("list offsets of group %s in %s-%d", group, o.Topic, o.Partition), o.Err, ""))
		case o.At >= 0:
			all[sdk.TopicPartition{Topic: o.Topic, Partition: o.Partition}] = sdk.OffsetAndMetadata{Offset: o.At, LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata}
		}
	}
	return all, errors.Join(wrong...)
}

// AlterConsumerGroupOffsets sets what a group without members has committed.
func (a *Admin) AlterConsumerGroupOffsets(ctx context.Context, group string, offsets map[sdk.TopicPartition]sdk.OffsetAndMetadata) error {
	ctx, stop := a.limited(ctx)
	defer stop()
	if err := commitAlone(ctx, a.client, group, offsets); err != nil {
		return failed(ctx, "alter offsets of group "+group, err)
	}
	return nil
}

// DeleteConsumerGroupOffsets makes a group forget what it has committed of partitions.
func (a *Admin) DeleteConsumerGroupOffsets(ctx context.Context, group string, partitions ...sdk.TopicPartition) error {
	ctx, stop := a.limited(ctx)
	defer stop()
	set := kadm.TopicsSet{}
	for _, tp := range partitions {
		set.Add(tp.Topic, tp.Partition)
	}
	answers, err := a.kadm.DeleteOffsets(ctx, group, set)
	if err != nil {
		return failed(ctx, "delete offsets of group "+group, err)
	}
	var all []error
	for _, tp := range partitions {
		all = append(all, refused(fmt.Sprintf("delete offsets of group %s in %s-%d", group, tp.Topic, tp.Partition), answers[tp.Topic][tp.Partition], ""))
	}
	return errors.Join(all...)
}
