package cluster

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxPartitionsPerRequest is how many partitions one request may create, Kafka's
// MAX_PARTITIONS_PER_BATCH.
const maxPartitionsPerRequest = 10_000

// maxValueLength is how long a setting's value may be in bytes, as in Kafka.
const maxValueLength = 32767

// NewTopics asks for topics to be created.
type NewTopics struct {
	Topics []kmsg.CreateTopicsRequestTopic
	// DefaultPartitions and DefaultReplication are what −1 stands for (KIP-464). Zero: 1.
	DefaultPartitions  int32
	DefaultReplication int16
	// ValidateOnly answers what would happen, and changes nothing.
	ValidateOnly bool
	// CheckConfig refuses a setting that no topic can have. Its error's text goes to the
	// client with INVALID_CONFIG. Nil: any setting is taken.
	CheckConfig func(name string, value *string) error
	// Fit refuses settings for how they fit together, as CheckConfig does one. Nil: they do.
	Fit func(configs map[string]string) error
	// Avoid tells which log directories get nothing, unless there is no other. Nil: none.
	Avoid func(directory ID) bool
	// NewID draws the id of a topic; see the function NewID.
	NewID func() ID
}

// NewTopic is the answer for one topic.
type NewTopic struct {
	Name        string
	ID          ID
	Partitions  int32
	Replication int16
	// Configs are the settings that were given to the topic.
	Configs map[string]string
	Refusal *Refusal
}

// CreateTopics decides which topics of a request are created. There is one answer for each
// name, in the order in which the names first appear.
func CreateTopics(i *Image, n NewTopics) ([]Record, []NewTopic) {
	if n.DefaultPartitions == 0 {
		n.DefaultPartitions = 1
	}
	if n.DefaultReplication == 0 {
		n.DefaultReplication = 1
	}
	tooMany := n.tooMany()
	seen := make(map[string]int, len(n.Topics))
	for _, topic := range n.Topics {
		seen[topic.Topic]++
	}
	place := newPlacement(i, n.Avoid)
	var records []Record
	answers := make([]NewTopic, 0, len(seen))
	for k := range n.Topics {
		topic := &n.Topics[k]
		times := seen[topic.Topic]
		seen[topic.Topic] = 0
		answer := NewTopic{Name: topic.Topic}
		switch {
		case times == 0:
			continue // answered where the name came first
		case times > 1:
			answer.Refusal = refuse(kerr.InvalidRequest, "Duplicate topic name.")
		case topic.Topic == MetadataTopic:
			answer.Refusal = refuse(kerr.InvalidRequest, "Creation of internal topic %s is prohibited.", MetadataTopic)
		case tooMany:
			answer.Refusal = refuse(kerr.PolicyViolation, "Excessively large number of partitions per request.")
		default:
			var record *TopicRecord
			if record, answer.Refusal = n.create(place, topic); answer.Refusal == nil {
				answer.ID, answer.Configs = record.ID, record.Configs
				answer.Partitions, answer.Replication = int32(len(record.Partitions)), int16(len(record.Partitions[0].Replicas))
				records = append(records, record)
			}
		}
		answers = append(answers, answer)
	}
	if n.ValidateOnly {
		return nil, answers
	}
	return records, answers
}

// tooMany reports whether the request asks for more partitions than one may.
func (n *NewTopics) tooMany() bool {
	total := 0
	for _, topic := range n.Topics {
		switch {
		case len(topic.ReplicaAssignment) > 0:
			total += len(topic.ReplicaAssignment)
		case topic.NumPartitions == -1:
			total += int(n.DefaultPartitions)
		case topic.NumPartitions > 0:
			total += int(topic.NumPartitions)
		}
	}
	return total > maxPartitionsPerRequest
}

// create decides one topic. The order of the checks is Kafka's, so that a request that is
// wrong twice gets Kafka's answer.
func (n *NewTopics) create(place *placement, topic *kmsg.CreateTopicsRequestTopic) (*TopicRecord, *Refusal) {
	name := topic.Topic
	if place.image.Topic(name) != nil {
		return nil, refuse(kerr.TopicAlreadyExists, "Topic '%s' already exists.", name)
	}
	if form, ok := unify(name); ok {
		if others := place.image.unified.lookup(spreadName(form), form); len(others) > 0 {
			return nil, refuse(kerr.InvalidTopicException, "Topic '%s' collides with existing topic: %s",
				strings.ToValidUTF8(name, "\uFFFD"), others[0])
		}
	}
	if refused := CheckName(name); refused != nil {
		return nil, refused
	}
	configs, refused := n.configs(topic)
	if refused != nil {
		return nil, refused
	}
	id := n.NewID()
	var partitions []Partition
	if len(topic.ReplicaAssignment) > 0 {
		partitions, refused = assigned(place, topic)
	} else {
		partitions, refused = n.spread(place, id, topic)
	}
	if refused != nil {
		return nil, refused
	}
	return &TopicRecord{Name: name, ID: id, Internal: Internal(name), Partitions: partitions, Configs: configs}, nil
}

func (n *NewTopics) configs(topic *kmsg.CreateTopicsRequestTopic) (map[string]string, *Refusal) {
	var absent []string
	var configs map[string]string
	for _, config := range topic.Configs {
		switch {
		case config.Value == nil:
			absent = append(absent, config.Name)
			continue
		case configs == nil:
			configs = make(map[string]string, len(topic.Configs))
		}
		configs[config.Name] = *config.Value
	}
	if len(absent) > 0 {
		return nil, refuse(kerr.InvalidConfig, "Null value not supported for topic configs: %s", strings.Join(absent, ","))
	}
	for _, config := range topic.Configs {
		if refused := checkValue(config.Name, config.Value, n.CheckConfig); refused != nil {
			return nil, refused
		}
	}
	if n.Fit != nil {
		if err := n.Fit(configs); err != nil {
			return nil, refuse(kerr.InvalidConfig, "%s", strings.ToValidUTF8(err.Error(), "\uFFFD"))
		}
	}
	return configs, nil
}

// checkValue refuses a setting. What is not UTF-8 would not come back from the log as it
// was, so it is refused before anybody else is asked.
func checkValue(name string, value *string, check func(string, *string) error) *Refusal {
	switch {
	case value == nil:
		return nil
	case !utf8.ValidString(name) || !utf8.ValidString(*value):
		return refuse(kerr.InvalidConfig, "The name or the value of configuration %q is not UTF-8.", name)
	case len(*value) > maxValueLength:
		return refuse(kerr.InvalidConfig,
			"The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.")
	case check == nil:
		return nil
	}
	if err := check(name, value); err != nil {
		return refuse(kerr.InvalidConfig, "%s", strings.ToValidUTF8(err.Error(), "\uFFFD"))
	}
	return nil
}

// assigned takes the partitions that a client placed by hand.
func assigned(place *placement, topic *kmsg.CreateTopicsRequestTopic) ([]Partition, *Refusal) {
	if topic.ReplicationFactor != -1 {
		return nil, refuse(kerr.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1.")
	}
	if topic.NumPartitions != -1 {
		return nil, refuse(kerr.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1.")
	}
	given := make(map[int32][]int32, len(topic.ReplicaAssignment))
	replication := -1
	for _, assignment := range topic.ReplicaAssignment {
		if _, twice := given[assignment.Partition]; twice {
			return nil, refuse(kerr.InvalidReplicaAssignment, "Found multiple manual partition assignments for partition %d", assignment.Partition)
		}
		if refused := place.manual(assignment.Replicas, replication); refused != nil {
			return nil, refused
		}
		given[assignment.Partition] = slices.Clone(assignment.Replicas)
		replication = len(assignment.Replicas)
	}
	partitions := make([]Partition, 0, len(given))
	for index := range int32(len(given)) {
		replicas, ok := given[index]
		if !ok {
			return nil, refuse(kerr.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
		}
		partitions = append(partitions, place.partition(replicas))
	}
	return partitions, nil
}

// spread places the partitions of a topic whose numbers were given, or left to the broker.
func (n *NewTopics) spread(place *placement, id ID, topic *kmsg.CreateTopicsRequestTopic) ([]Partition, *Refusal) {
	count, replication := topic.NumPartitions, topic.ReplicationFactor
	if replication < -1 || replication == 0 {
		return nil, refuse(kerr.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value.")
	}
	if count < -1 || count == 0 {
		return nil, refuse(kerr.InvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	}
	if count == -1 {
		count = n.DefaultPartitions
	}
	if replication == -1 {
		replication = n.DefaultReplication
	}
	if refused := place.admits(replication); refused != nil {
		return nil, refuse(kerr.InvalidReplicationFactor, "Unable to replicate the partition %d time(s): %s", replication, refused.Message)
	}
	return place.spread(id, 0, int(count), replication), nil
}
