package topics

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topic is a topic as brokers describe it.
type topic struct {
	name, id   string
	partitions []partition // in order
}

// partition is one partition of a topic. eligible is nil when the broker cannot
// tell which replicas may lead beyond the ISR.
type partition struct {
	id, leader          int32
	replicas, isr       []int32
	eligible, lastKnown []int32
}

// describePartitions asks with DescribeTopicPartitions, a page at a time.
func describePartitions(ctx context.Context, s *session.Session, names []string, limit int32) ([]topic, error) {
	request := kmsg.NewPtrDescribeTopicPartitionsRequest()
	request.ResponsePartitionLimit = cmp.Or(limit, 2000)
	for _, name := range names {
		one := kmsg.NewDescribeTopicPartitionsRequestTopic()
		one.Topic = name
		request.Topics = append(request.Topics, one)
	}
	byName := map[string]*topic{}
	for {
		response, err := request.RequestWith(ctx, s.Client)
		if err != nil {
			return nil, fmt.Errorf("describe topics: %w", err)
		}
		for _, answer := range response.Topics {
			if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
				return nil, session.Refused(err, "")
			}
			name := text(answer.Topic)
			if byName[name] == nil {
				byName[name] = &topic{name: name, id: formatID(answer.TopicID)}
			}
			for _, p := range answer.Partitions {
				byName[name].partitions = append(byName[name].partitions, partition{p.Partition, p.LeaderID, p.Replicas, p.ISR,
					orEmpty(p.EligibleLeaderReplicas), p.LastKnownELR})
			}
		}
		if response.NextCursor == nil {
			return sorted(byName), nil
		}
		request.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: response.NextCursor.Topic, Partition: response.NextCursor.Partition}
	}
}

// describeMetadata asks with Metadata, which every broker knows.
func describeMetadata(ctx context.Context, s *session.Session, want func(kmsg.MetadataResponseTopic) bool) ([]topic, error) {
	response, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, s.Client)
	if err != nil {
		return nil, fmt.Errorf("describe topics: %w", err)
	}
	byName := map[string]*topic{}
	for _, answer := range response.Topics {
		if !want(answer) {
			continue
		}
		if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
			return nil, session.Refused(err, "")
		}
		one := &topic{name: text(answer.Topic), id: formatID(answer.TopicID)}
		for _, p := range answer.Partitions {
			one.partitions = append(one.partitions, partition{p.Partition, p.Leader, p.Replicas, p.ISR, nil, nil})
		}
		byName[one.name] = one
	}
	return sorted(byName), nil
}

func sorted(byName map[string]*topic) []topic {
	all := make([]topic, 0, len(byName))
	for _, t := range byName {
		slices.SortFunc(t.partitions, func(a, b partition) int { return cmp.Compare(a.id, b.id) })
		all = append(all, *t)
	}
	slices.SortFunc(all, func(a, b topic) int { return cmp.Compare(a.name, b.name) })
	return all
}

func orEmpty(ids []int32) []int32 {
	if ids == nil {
		return []int32{}
	}
	return ids
}
