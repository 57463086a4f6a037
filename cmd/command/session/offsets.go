package session

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Partition names one partition of a topic.
type Partition struct {
	Topic     string
	Partition int32
}

// String is topic-partition, as Kafka writes it.
func (p Partition) String() string { return fmt.Sprintf("%s-%d", p.Topic, p.Partition) }

// ComparePartitions orders by topic, then by number.
func ComparePartitions(a, b Partition) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}

// The timestamps that ask ListOffsets for something else than a time.
const (
	Latest                = -1
	Earliest              = -2
	MaxTimestamp          = -3
	EarliestLocal         = -4
	LatestTiered          = -5
	EarliestPendingUpload = -6
)

// Offset is what ListOffsets answers for one partition.
type Offset struct {
	At  int64 // -1: there is none
	Err error
}

// Offsets asks the leaders of partitions for the offset at timestamp.
func (s *Session) Offsets(ctx context.Context, partitions []Partition, timestamp int64) (map[Partition]Offset, error) {
	request := kmsg.NewPtrListOffsetsRequest()
	request.ReplicaID = -1
	at := map[string]int{}
	for _, p := range partitions {
		i, ok := at[p.Topic]
		if !ok {
			i = len(request.Topics)
			at[p.Topic] = i
			topic := kmsg.NewListOffsetsRequestTopic()
			topic.Topic = p.Topic
			request.Topics = append(request.Topics, topic)
		}
		one := kmsg.NewListOffsetsRequestTopicPartition()
		one.Partition, one.Timestamp = p.Partition, timestamp
		request.Topics[i].Partitions = append(request.Topics[i].Partitions, one)
	}
	offsets := make(map[Partition]Offset, len(partitions))
	if len(partitions) == 0 {
		return offsets, nil
	}
	response, err := request.RequestWith(ctx, s.Client)
	if err != nil {
		return nil, fmt.Errorf("list offsets: %w", err)
	}
	for _, topic := range response.Topics {
		for _, one := range topic.Partitions {
			offsets[Partition{topic.Topic, one.Partition}] = Offset{one.Offset, kerr.ErrorForCode(one.ErrorCode)}
		}
	}
	return offsets, nil
}

// Topic is what Metadata tells of a topic.
type Topic struct {
	Name       string
	Internal   bool
	Partitions []TopicPartition // in order
	Err        error
}

// TopicPartition is one partition of a Topic. Leader -1: none.
type TopicPartition struct {
	Partition, Leader int32
	Replicas          []int32
}

// Topics asks for the named topics, or for all when there are no names, without
// creating any. They come back by name.
func (s *Session) Topics(ctx context.Context, names ...string) (map[string]Topic, error) {
	request := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		request.Topics = append(request.Topics, topic)
	}
	response, err := request.RequestWith(ctx, s.Client)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	topics := map[string]Topic{}
	for _, one := range response.Topics {
		if one.Topic == nil {
			continue
		}
		topic := Topic{Name: *one.Topic, Internal: one.IsInternal, Err: kerr.ErrorForCode(one.ErrorCode)}
		for _, p := range one.Partitions {
			topic.Partitions = append(topic.Partitions, TopicPartition{p.Partition, p.Leader, p.Replicas})
		}
		slices.SortFunc(topic.Partitions, func(a, b TopicPartition) int { return cmp.Compare(a.Partition, b.Partition) })
		topics[*one.Topic] = topic
	}
	return topics, nil
}
