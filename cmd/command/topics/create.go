package topics

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreateOptions say what topic to create.
type CreateOptions struct {
	Name string
	// Partitions and ReplicationFactor. Nil: the broker's default.
	Partitions, ReplicationFactor *int64
	// Assignment places the replicas: 0:1,1:2 puts partition 0 on brokers 0 and 1.
	Assignment string
	// Configs are name=value pairs.
	Configs []string
	// IfNotExists takes a topic that is there already for a success.
	IfNotExists bool
}

// Create creates one topic.
func Create(ctx context.Context, s *session.Session, o CreateOptions) error {
	topic, err := o.request()
	if err != nil {
		return err
	}
	if strings.ContainsAny(o.Name, "._") {
		fmt.Fprintln(s.Out, "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could "+
			"collide. To avoid issues it is best to use either, but not both.")
	}
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, s.Client)
	if err != nil {
		return fmt.Errorf("create topic %s: %w", o.Name, err)
	}
	for _, answer := range response.Topics {
		err := session.Refused(kerr.ErrorForCode(answer.ErrorCode), text(answer.ErrorMessage))
		if errors.Is(err, kerr.TopicAlreadyExists) && o.IfNotExists {
			return nil
		}
		if err != nil {
			return err
		}
	}
	fmt.Fprintf(s.Out, "Created topic %s.\n", o.Name)
	return nil
}

func (o *CreateOptions) request() (kmsg.CreateTopicsRequestTopic, error) {
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = o.Name, -1, -1
	if n := o.ReplicationFactor; n != nil {
		if *n < 1 || *n > 32767 {
			return topic, errors.New("The replication factor must be between 1 and 32767 inclusive")
		}
		topic.ReplicationFactor = int16(*n)
	}
	if n := o.Partitions; n != nil {
		if *n < 1 {
			return topic, errors.New("The partitions must be greater than 0")
		}
		topic.NumPartitions = int32(*n)
	}
	assignment, err := parseAssignment(o.Assignment)
	if err != nil {
		return topic, err
	}
	for i, replicas := range assignment {
		one := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		one.Partition, one.Replicas = int32(i), replicas
		topic.ReplicaAssignment = append(topic.ReplicaAssignment, one)
	}
	topic.Configs, err = parseConfigs(o.Configs)
	return topic, err
}

var equals = regexp.MustCompile(`\s*=\s*`)

// parseConfigs reads name=value pairs. The last of several of one name counts.
func parseConfigs(pairs []string) ([]kmsg.CreateTopicsRequestTopicConfig, error) {
	var configs []kmsg.CreateTopicsRequestTopicConfig
	for _, pair := range pairs {
		parts := equals.Split(pair, -1)
		if len(parts) != 2 || parts[1] == "" {
			return nil, errors.New(`requirement failed: Invalid topic config: all configs to be added must be in the format "key=val".`)
		}
		name := strings.TrimSpace(parts[0])
		configs = slices.DeleteFunc(configs, func(c kmsg.CreateTopicsRequestTopicConfig) bool { return c.Name == name })
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = name, kmsg.StringPtr(strings.TrimSpace(parts[1]))
		configs = append(configs, config)
	}
	return configs, nil
}

// parseAssignment reads 0:1,1:2: the brokers of each partition.
func parseAssignment(list string) ([][]int32, error) {
	if list == "" {
		return nil, nil
	}
	var all [][]int32
	for i, part := range strings.Split(list, ",") {
		var replicas, twice []int32
		for one := range strings.SplitSeq(part, ":") {
			id, err := strconv.ParseInt(strings.TrimSpace(one), 10, 32)
			if err != nil {
				return nil, fmt.Errorf("replica assignment %q: %q is not a broker id", list, one)
			}
			if slices.Contains(replicas, int32(id)) {
				twice = append(twice, int32(id))
			}
			replicas = append(replicas, int32(id))
		}
		if len(twice) > 0 {
			return nil, fmt.Errorf("Partition replica lists may not contain duplicate entries: %s", join(twice))
		}
		all = append(all, replicas)
		if len(replicas) != len(all[0]) {
			return nil, fmt.Errorf("Partition %d has different replication factor: [%s]", i, strings.ReplaceAll(join(replicas), ",", ", "))
		}
	}
	return all, nil
}

// join lists broker ids, separated by commas.
func join(ids []int32) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = strconv.Itoa(int(id))
	}
	return strings.Join(texts, ",")
}

func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}
