package transactions

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/cmd/command/table"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// producer is what a partition knows of a producer.
type producer = kmsg.DescribeProducersResponseTopicPartitionActiveProducer

// producers asks the leaders of partitions, or one broker, which producers write there.
func producers(ctx context.Context, s *session.Session, partitions []session.Partition, broker *int32) (map[session.Partition][]producer, error) {
	request := kmsg.NewPtrDescribeProducersRequest()
	for _, p := range partitions {
		if n := len(request.Topics); n == 0 || request.Topics[n-1].Topic != p.Topic {
			topic := kmsg.NewDescribeProducersRequestTopic()
			topic.Topic = p.Topic
			request.Topics = append(request.Topics, topic)
		}
		last := &request.Topics[len(request.Topics)-1]
		last.Partitions = append(last.Partitions, p.Partition)
	}
	found := map[session.Partition][]producer{}
	if len(partitions) == 0 {
		return found, nil
	}
	var answer *kmsg.DescribeProducersResponse
	var err error
	if broker == nil {
		answer, err = request.RequestWith(ctx, s.Client)
	} else {
		answer, err = request.RequestWith(ctx, s.Client.Broker(int(*broker)))
	}
	if err != nil {
		return nil, err
	}
	for _, topic := range answer.Topics {
		for _, one := range topic.Partitions {
			if err := kerr.ErrorForCode(one.ErrorCode); err != nil {
				text := ""
				if one.ErrorMessage != nil {
					text = *one.ErrorMessage
				}
				return nil, session.Refused(err, text)
			}
			found[session.Partition{Topic: topic.Topic, Partition: one.Partition}] = one.ActiveProducers
		}
	}
	return found, nil
}

// Producers prints the producers that write to a partition, as its leader or the given
// broker knows them.
func Producers(ctx context.Context, s *session.Session, p session.Partition, broker *int32) error {
	found, err := producers(ctx, s, []session.Partition{p}, broker)
	if err != nil {
		where := "leader"
		if broker != nil {
			where = fmt.Sprintf("broker %d", *broker)
		}
		return failed(err, "Failed to describe producers for partition %s on %s", p, where)
	}
	var rows [][]string
	for _, one := range found[p] {
		start := none
		if one.CurrentTxnStartOffset >= 0 {
			start = number(one.CurrentTxnStartOffset)
		}
		rows = append(rows, []string{number(one.ProducerID), number(one.ProducerEpoch), number(one.CoordinatorEpoch), number(one.LastSequence),
			number(one.LastTimestamp), start})
	}
	table.Print(s.Out, []string{"ProducerId", "ProducerEpoch", "LatestCoordinatorEpoch", "LastSequence", "LastTimestamp", "CurrentTransactionStartOffset"}, rows)
	return nil
}

// Spec says which transaction to abort in a partition: the one that begins at
// StartOffset, or that of a producer when StartOffset is nil.
type Spec struct {
	session.Partition

	StartOffset      *int64
	ProducerID       int64
	ProducerEpoch    int16
	CoordinatorEpoch int32
}

// Abort writes the marker that ends a transaction in one partition, without its
// coordinator.
func Abort(ctx context.Context, s *session.Session, spec Spec) error {
	if spec.StartOffset != nil {
		found, err := producers(ctx, s, []session.Partition{spec.Partition}, nil)
		if err != nil {
			return failed(err, "Failed to validate producer state for partition %s", spec.Partition)
		}
		at := slices.IndexFunc(found[spec.Partition], func(one producer) bool { return one.CurrentTxnStartOffset == *spec.StartOffset })
		if at < 0 || *spec.StartOffset < 0 {
			return fmt.Errorf("Could not find any open transactions starting at offset %d on partition %s", *spec.StartOffset, spec.Partition)
		}
		one := found[spec.Partition][at]
		spec.ProducerID, spec.ProducerEpoch, spec.CoordinatorEpoch = one.ProducerID, int16(one.ProducerEpoch), one.CoordinatorEpoch
	}
	// A producer whose first transaction hangs has no coordinator yet; 0 is no more than any has.
	spec.CoordinatorEpoch = max(spec.CoordinatorEpoch, 0)
	topic := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
	topic.Topic, topic.Partitions = spec.Topic, []int32{spec.Partition.Partition}
	marker := kmsg.NewWriteTxnMarkersRequestMarker()
	marker.ProducerID, marker.ProducerEpoch, marker.CoordinatorEpoch = spec.ProducerID, spec.ProducerEpoch, spec.CoordinatorEpoch
	marker.Topics = append(marker.Topics, topic)
	request := kmsg.NewPtrWriteTxnMarkersRequest()
	request.Markers = append(request.Markers, marker)
	answer, err := request.RequestWith(ctx, s.Client)
	if err == nil {
		for _, m := range answer.Markers {
			for _, t := range m.Topics {
				for _, p := range t.Partitions {
					err = kerr.ErrorForCode(p.ErrorCode)
				}
			}
		}
	}
	if err != nil {
		return failed(err, "Failed to abort transaction AbortTransactionSpec(topicPartition=%s, producerId=%d, producerEpoch=%d, coordinatorEpoch=%d)",
			spec.Partition, spec.ProducerID, spec.ProducerEpoch, spec.CoordinatorEpoch)
	}
	return nil
}

// HangingOptions bound the search for transactions that hang.
type HangingOptions struct {
	Topic     string // "": all topics with a replica on Broker
	Partition *int32 // nil: all of the topic
	Broker    *int32
	Longest   time.Duration // what is open for no longer may yet be ended by its producer
	Now       time.Time
}

// open is a transaction that a partition holds open.
type open struct {
	session.Partition
	producer
}

// FindHanging prints the transactions that are open in a partition for long, but are
// none of the coordinator's: nobody will ever end them.
func FindHanging(ctx context.Context, s *session.Session, o HangingOptions) error {
	partitions, err := o.partitions(ctx, s)
	if err != nil {
		return err
	}
	var candidates []open
	for part := range slices.Chunk(partitions, 500) {
		found, err := producers(ctx, s, part, o.Broker)
		if err != nil {
			return failed(err, "Failed to describe producers for %d partitions", len(part))
		}
		for _, p := range part {
			for _, one := range found[p] {
				if one.CurrentTxnStartOffset >= 0 && o.Now.UnixMilli()-one.LastTimestamp > o.Longest.Milliseconds() {
					candidates = append(candidates, open{p, one})
				}
			}
		}
	}
	hanging, err := unknown(ctx, s, candidates)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, one := range hanging {
		rows = append(rows, []string{one.Topic, number(one.Partition.Partition), number(one.ProducerID), number(one.ProducerEpoch), number(one.CoordinatorEpoch),
			number(one.CurrentTxnStartOffset), number(one.LastTimestamp), number((o.Now.UnixMilli() - one.LastTimestamp) / 60_000)})
	}
	table.Print(s.Out, []string{"Topic", "Partition", "ProducerId", "ProducerEpoch", "CoordinatorEpoch", "StartOffset", "LastTimestamp", "Duration(min)"}, rows)
	return nil
}

// partitions are those to search, in order.
func (o *HangingOptions) partitions(ctx context.Context, s *session.Session) ([]session.Partition, error) {
	if o.Partition != nil {
		return []session.Partition{{Topic: o.Topic, Partition: *o.Partition}}, nil
	}
	var names []string
	if o.Topic != "" {
		names = []string{o.Topic}
	}
	topics, err := s.Topics(ctx, names...)
	if err != nil {
		return nil, failed(err, "Failed to list topics")
	}
	var all []session.Partition
	for name, topic := range topics {
		if topic.Err != nil {
			return nil, failed(topic.Err, "Failed to describe %d topics", len(topics))
		}
		for _, p := range topic.Partitions {
			if o.Broker == nil || slices.Contains(p.Replicas, *o.Broker) {
				all = append(all, session.Partition{Topic: name, Partition: p.Partition})
			}
		}
	}
	slices.SortFunc(all, session.ComparePartitions)
	return all, nil
}

// unknown are those of the transactions that no coordinator will end.
func unknown(ctx context.Context, s *session.Session, candidates []open) ([]open, error) {
	if len(candidates) == 0 {
		return nil, nil
	}
	request := kmsg.NewPtrListTransactionsRequest()
	request.DurationFilterMillis = -1
	for _, one := range candidates {
		if !slices.Contains(request.ProducerIDFilters, one.ProducerID) {
			request.ProducerIDFilters = append(request.ProducerIDFilters, one.ProducerID)
		}
	}
	answer, err := request.RequestWith(ctx, s.Client)
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err != nil {
		return nil, failed(err, "Failed to list transactions for %d producers", len(request.ProducerIDFilters))
	}
	expected := map[int64][]string{} // the partitions that the coordinator still has to mark
	for _, one := range answer.TransactionStates {
		state, _, err := describe(ctx, s, one.TransactionalID)
		if err != nil && state.ErrorCode != kerr.TransactionalIDNotFound.Code {
			return nil, failed(err, "Failed to describe %d transactions", len(answer.TransactionStates))
		}
		if err == nil {
			expected[one.ProducerID] = partitionNames(state)
		}
	}
	return slices.DeleteFunc(candidates, func(one open) bool { return slices.Contains(expected[one.ProducerID], one.Partition.String()) }), nil
}
