package cluster

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// NewPartitions is the answer for one topic.
type NewPartitions struct {
	Name    string
	Refusal *Refusal
}

// CreatePartitions decides which topics of a request get more partitions. There is one
// answer for each name, in the order in which the names first appear. When the request
// only validates, the caller drops the records. Avoid is that of NewTopics.
func CreatePartitions(i *Image, topics []kmsg.CreatePartitionsRequestTopic, avoid func(directory ID) bool) ([]Record, []NewPartitions) {
	seen := make(map[string]int, len(topics))
	for _, topic := range topics {
		seen[topic.Topic]++
	}
	place := newPlacement(i, avoid)
	left := maxPartitionsPerRequest
	var records []Record
	answers := make([]NewPartitions, 0, len(seen))
	for k := range topics {
		topic := &topics[k]
		times := seen[topic.Topic]
		seen[topic.Topic] = 0
		answer := NewPartitions{Name: topic.Topic}
		switch {
		case times == 0:
			continue // answered where the name came first
		case times > 1:
			answer.Refusal = refuse(kerr.InvalidRequest, "Duplicate topic name.")
		default:
			var record *PartitionsRecord
			if record, answer.Refusal = grow(place, topic, left); answer.Refusal == nil {
				left -= len(record.Partitions)
				records = append(records, record)
			}
		}
		answers = append(answers, answer)
	}
	return records, answers
}

// grow decides one topic. At most limit partitions are created.
func grow(place *placement, request *kmsg.CreatePartitionsRequestTopic, limit int) (*PartitionsRecord, *Refusal) {
	topic := place.image.Topic(request.Topic)
	if topic == nil {
		return nil, &Refusal{Code: kerr.UnknownTopicOrPartition}
	}
	first := len(topic.Partitions)
	added := int(request.Count) - first
	switch {
	case added == 0:
		return nil, refuse(kerr.InvalidPartitions, "Topic already has %d partition(s).", first)
	case added < 0:
		return nil, refuse(kerr.InvalidPartitions, "The topic %s currently has %d partition(s); %d would not be an increase.",
			topic.Name, first, request.Count)
	case request.Assignment != nil && len(request.Assignment) != added:
		return nil, refuse(kerr.InvalidReplicaAssignment,
			"Attempted to add %d additional partition(s), but only %d assignment(s) were specified.", added, len(request.Assignment))
	case added > limit:
		return nil, refuse(kerr.PolicyViolation, "Unable to perform excessively large batch operation.")
	}
	record := &PartitionsRecord{Topic: topic.ID, First: int32(first)}
	replication := len(topic.Partitions[0].Replicas)
	if request.Assignment == nil {
		if refused := place.admits(int16(replication)); refused != nil {
			return nil, refused
		}
		record.Partitions = place.spread(topic.ID, first, added, int16(replication))
		return record, nil
	}
	for _, assignment := range request.Assignment {
		if refused := place.manual(assignment.Replicas, replication); refused != nil {
			return nil, refused
		}
		record.Partitions = append(record.Partitions, place.partition(slices.Clone(assignment.Replicas)))
	}
	return record, nil
}
