package topics

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeOptions say which topics to describe and which of their partitions.
type DescribeOptions struct {
	Topics          string // a pattern; "": all
	ID              string // describe the topic of this id instead
	ExcludeInternal bool
	IfExists        bool // nothing to describe is a success
	// The reports: only partitions that are so are printed.
	UnderReplicated, Unavailable, UnderMinISR, AtMinISR bool
	// Overrides prints only the heads of topics with settings of their own.
	Overrides bool
	// PartitionLimit is how many partitions one answer may hold. Zero: 2000.
	PartitionLimit int32
}

// heads reports whether the line about the topic as a whole is wanted.
func (o *DescribeOptions) heads() bool {
	return !o.UnderReplicated && !o.Unavailable && !o.UnderMinISR && !o.AtMinISR
}

// Describe prints topics and their partitions.
func Describe(ctx context.Context, s *session.Session, o DescribeOptions) error {
	found, err := find(ctx, s, &o)
	if err != nil || len(found) == 0 {
		return err
	}
	names := make([]string, len(found))
	for i := range found {
		names[i] = found[i].name
	}
	configs, err := s.Admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return fmt.Errorf("describe the settings of topics: %w", err)
	}
	brokers, err := s.Admin.ListBrokers(ctx)
	if err != nil {
		return fmt.Errorf("list brokers: %w", err)
	}
	moving, err := reassignments(ctx, s, found)
	if err != nil {
		return err
	}
	for _, topic := range found {
		config, err := configs.On(topic.name, nil)
		if err == nil {
			err = session.Refused(config.Err, config.ErrMessage)
		}
		if err != nil {
			return err
		}
		v := view{topic, config.Configs, moving[topic.name], brokers.NodeIDs()}
		v.print(s, &o)
	}
	return nil
}

// find looks up the topics that o asks for, with their partitions.
func find(ctx context.Context, s *session.Session, o *DescribeOptions) ([]topic, error) {
	if o.ID != "" && o.ID != zeroID {
		return findByID(ctx, s, o)
	}
	all, err := s.Topics(ctx)
	if err != nil {
		return nil, err
	}
	names, err := choose(all, o.Topics, o.ExcludeInternal)
	if err != nil {
		return nil, err
	}
	if err := missing(names, o.Topics, !o.IfExists); err != nil || len(names) == 0 {
		return nil, err
	}
	if s.Supports(kmsg.DescribeTopicPartitions) {
		return describePartitions(ctx, s, names, o.PartitionLimit)
	}
	return describeMetadata(ctx, s, func(t kmsg.MetadataResponseTopic) bool { return slices.Contains(names, text(t.Topic)) })
}

func findByID(ctx context.Context, s *session.Session, o *DescribeOptions) ([]topic, error) {
	found, err := describeMetadata(ctx, s, func(t kmsg.MetadataResponseTopic) bool {
		return formatID(t.TopicID) == o.ID && !(o.ExcludeInternal && t.IsInternal)
	})
	if err == nil && len(found) == 0 && !o.IfExists {
		err = fmt.Errorf("TopicId '%s' does not exist as expected", o.ID)
	}
	return found, err
}

// reassignments tells which partitions are on the move, by topic and partition.
// A broker that does not know the question moves nothing.
func reassignments(ctx context.Context, s *session.Session, found []topic) (map[string]map[int32]kadm.ListPartitionReassignmentsResponse, error) {
	if !s.Supports(kmsg.ListPartitionReassignments) {
		return nil, nil
	}
	set := kadm.TopicsSet{}
	for _, t := range found {
		for _, p := range t.partitions {
			set.Add(t.name, p.id)
		}
	}
	all, err := s.Admin.ListPartitionReassignments(ctx, set)
	if err != nil {
		return nil, nil // as in Kafka: whoever may not ask still gets the rest
	}
	moving := map[string]map[int32]kadm.ListPartitionReassignmentsResponse{}
	for _, one := range all.Sorted() {
		if moving[one.Topic] == nil {
			moving[one.Topic] = map[int32]kadm.ListPartitionReassignmentsResponse{}
		}
		moving[one.Topic][one.Partition] = one
	}
	return moving, nil
}

// view is a topic with all that its description needs.
type view struct {
	topic
	configs []kadm.Config
	moving  map[int32]kadm.ListPartitionReassignmentsResponse
	live    []int32
}

func (v *view) print(s *session.Session, o *DescribeOptions) {
	var own []string
	for _, c := range v.configs {
		if c.Source != kmsg.ConfigSourceDefaultConfig {
			own = append(own, c.Key+"="+value(c.Value))
		}
	}
	if o.heads() && (!o.Overrides || len(own) > 0) && len(v.partitions) > 0 {
		line := "Topic: " + v.name
		if v.id != zeroID {
			line += "\tTopicId: " + v.id
		}
		fmt.Fprintf(s.Out, "%s\tPartitionCount: %d\tReplicationFactor: %d\tConfigs: %s\n",
			line, len(v.partitions), v.replication(v.partitions[0]), strings.Join(own, ","))
	}
	if o.Overrides {
		return
	}
	for _, p := range v.partitions {
		if o.heads() || v.reported(o, p) {
			fmt.Fprintln(s.Out, v.line(p))
		}
	}
}

// reported reports whether one of the wanted reports names p.
func (v *view) reported(o *DescribeOptions, p partition) bool {
	return o.UnderReplicated && v.replication(p) > len(p.isr) ||
		o.Unavailable && (p.leader < 0 || !slices.Contains(v.live, p.leader)) ||
		o.UnderMinISR && (p.leader < 0 || len(p.isr) < v.minISR()) ||
		o.AtMinISR && len(p.isr) == v.minISR()
}

func (v *view) minISR() int {
	for _, c := range v.configs {
		if c.Key == "min.insync.replicas" {
			n, _ := strconv.Atoi(value(c.Value))
			return n
		}
	}
	return 1
}

// replication is the number of replicas that p shall have: while it moves, those
// that are only being added do not count.
func (v *view) replication(p partition) int {
	move, ok := v.moving[p.id]
	if !ok || !slices.ContainsFunc(p.replicas, func(id int32) bool {
		return slices.Contains(move.AddingReplicas, id) || slices.Contains(move.RemovingReplicas, id)
	}) {
		return len(p.replicas)
	}
	return len(move.Replicas) - len(move.AddingReplicas)
}

func (v *view) line(p partition) string {
	leader := "none"
	if p.leader >= 0 {
		leader = strconv.Itoa(int(p.leader))
	}
	line := fmt.Sprintf("\tTopic: %s\tPartition: %d\tLeader: %s\tReplicas: %s\tIsr: %s", v.name, p.id, leader, join(p.replicas), join(p.isr))
	if move, ok := v.moving[p.id]; ok {
		line += "\tAdding Replicas: " + join(move.AddingReplicas) + "\tRemoving Replicas: " + join(move.RemovingReplicas)
	}
	if p.eligible == nil {
		return line + "\tElr: N/A\tLastKnownElr: N/A"
	}
	return line + "\tElr: " + join(p.eligible) + "\tLastKnownElr: " + join(p.lastKnown)
}

func value(p *string) string {
	if p == nil {
		return "null"
	}
	return *p
}

// formatID is a topic id as Kafka writes it.
func formatID(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

const zeroID = "AAAAAAAAAAAAAAAAAAAAAA"
