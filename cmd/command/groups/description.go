package groups

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// description is a group as its coordinator knows it. Numbers that the classic
// protocol does not have are nil.
type description struct {
	group, state, assignor string
	coordinator            string // host:port  (id)
	epoch, targetEpoch     *int32
	members                []member
}

type member struct {
	id, instance, host, client string
	epoch                      *int32
	assigned, target           []session.Partition // in order
	upgraded                   *bool               // speaks the new protocol; nil: cannot be told
}

// Undescribed is the error of a coordinator that would not describe a group.
type Undescribed struct{ error }

func (u *Undescribed) Unwrap() error { return u.error }

// describe asks for groups of either protocol. A group that does not exist is an
// error, as is one that the coordinator would not describe.
func describe(ctx context.Context, s *session.Session, names []string) ([]description, error) {
	var found []description
	classic := names
	if s.Supports(kmsg.ConsumerGroupDescribe) && len(names) > 0 {
		classic = nil
		modern, err := s.Admin.DescribeConsumerGroups(ctx, names...)
		if err != nil {
			return nil, fmt.Errorf("describe groups: %w", err)
		}
		for _, group := range modern.Sorted() {
			switch {
			case group.Err == nil:
				found = append(found, fromConsumer(group))
			case errors.Is(group.Err, kerr.GroupIDNotFound), errors.Is(group.Err, kerr.UnsupportedVersion):
				classic = append(classic, group.Group)
			default:
				return nil, &Undescribed{session.Refused(group.Err, "")}
			}
		}
	}
	if len(classic) > 0 {
		answered, err := s.Admin.DescribeGroups(ctx, classic...)
		if err != nil {
			return nil, fmt.Errorf("describe groups: %w", err)
		}
		for _, group := range answered.Sorted() {
			if group.Err != nil {
				return nil, &Undescribed{session.Refused(group.Err, group.ErrMessage)}
			}
			found = append(found, fromClassic(group))
		}
	}
	slices.SortFunc(found, func(a, b description) int { return strings.Compare(a.group, b.group) })
	return found, nil
}

func coordinator(b kadm.BrokerDetail) string {
	return fmt.Sprintf("%s:%d  (%d)", b.Host, b.Port, b.NodeID)
}

func fromConsumer(g kadm.DescribedConsumerGroup) description {
	d := description{group: g.Group, state: g.State, assignor: g.AssignorName, coordinator: coordinator(g.Coordinator),
		epoch: &g.Epoch, targetEpoch: &g.AssignmentEpoch}
	for _, m := range g.Members {
		one := member{id: m.MemberID, host: m.ClientHost, client: m.ClientID, epoch: &m.MemberEpoch,
			assigned: partitions(m.Assignment), target: partitions(m.TargetAssignment)}
		if m.InstanceID != nil {
			one.instance = *m.InstanceID
		}
		if m.MemberType >= 0 {
			modern := m.MemberType == 1
			one.upgraded = &modern
		}
		d.members = append(d.members, one)
	}
	return d
}

func fromClassic(g kadm.DescribedGroup) description {
	d := description{group: g.Group, state: g.State, assignor: g.Protocol, coordinator: coordinator(g.Coordinator)}
	for _, m := range g.Members {
		one := member{id: m.MemberID, host: m.ClientHost, client: m.ClientID}
		if m.InstanceID != nil {
			one.instance = *m.InstanceID
		}
		if assigned, ok := m.Assigned.AsConsumer(); ok {
			set := kadm.TopicsSet{}
			for _, t := range assigned.Topics {
				set.Add(t.Topic, t.Partitions...)
			}
			one.assigned = partitions(set)
		}
		d.members = append(d.members, one)
	}
	return d
}

func partitions(set kadm.TopicsSet) []session.Partition {
	var all []session.Partition
	set.Each(func(topic string, partition int32) {
		all = append(all, session.Partition{Topic: topic, Partition: partition})
	})
	slices.SortFunc(all, session.ComparePartitions)
	return all
}

// commit is an offset that a group has committed.
type commit struct {
	at    int64
	epoch int32 // -1: not known
}

// committed are the offsets that a group has committed.
func committed(ctx context.Context, s *session.Session, group string) (map[session.Partition]commit, error) {
	answers, err := s.Admin.FetchOffsets(ctx, group)
	if err != nil {
		return nil, fmt.Errorf("fetch the offsets of group %s: %w", group, err)
	}
	all := map[session.Partition]commit{}
	for _, one := range answers.Sorted() {
		if one.Err != nil {
			return nil, session.Refused(one.Err, "")
		}
		if one.At >= 0 {
			all[session.Partition{Topic: one.Topic, Partition: one.Partition}] = commit{one.At, one.LeaderEpoch}
		}
	}
	return all, nil
}
