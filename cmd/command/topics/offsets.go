package topics

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
)

// OffsetsOptions say of which partitions to tell which offset.
type OffsetsOptions struct {
	// TopicPartitions is a list of rules: topic:partition, topic:from-to, :3, topic.
	// It stands instead of Topics and Partitions.
	TopicPartitions string
	Topics          string // a pattern; "": all
	Partitions      string // ids separated by commas; "": all
	// Time is latest, earliest, max-timestamp or a timestamp. "": latest.
	Time            string
	ExcludeInternal bool
}

// rule admits partitions of the topics that it matches.
type rule struct {
	topic *regexp.Regexp
	admit func(partition int32) bool
}

// Offsets prints topic:partition:offset for each partition that has one.
func Offsets(ctx context.Context, s *session.Session, o OffsetsOptions) error {
	if o.TopicPartitions != "" && (o.Topics != "" || o.Partitions != "") {
		return fmt.Errorf("--topic-partitions cannot be used with --topic or --partitions")
	}
	timestamp, err := parseTime(o.Time)
	if err != nil {
		return err
	}
	rules, err := o.rules()
	if err != nil {
		return err
	}
	all, err := s.Topics(ctx)
	if err != nil {
		return err
	}
	var partitions []session.Partition
	for name, topic := range all {
		if o.ExcludeInternal && topic.Internal {
			continue
		}
		for _, p := range topic.Partitions {
			if slices.ContainsFunc(rules, func(r rule) bool { return r.topic.MatchString(name) && r.admit(p.Partition) }) {
				partitions = append(partitions, session.Partition{Topic: name, Partition: p.Partition})
			}
		}
	}
	if len(partitions) == 0 {
		return fmt.Errorf("Could not match any topic-partitions with the specified filters")
	}
	slices.SortFunc(partitions, func(a, b session.Partition) int { return strings.Compare(a.String(), b.String()) })
	offsets, err := s.Offsets(ctx, partitions, timestamp)
	if err != nil {
		return err
	}
	for _, p := range partitions {
		switch offset := offsets[p]; {
		case offset.Err != nil:
			fmt.Fprintf(s.Err, "Skip getting offsets for topic-partition %v due to error: %s\n", p, session.Exception(offset.Err))
		case offset.At >= 0:
			fmt.Fprintf(s.Out, "%s:%d:%d\n", p.Topic, p.Partition, offset.At)
		}
	}
	return nil
}

func parseTime(word string) (int64, error) {
	switch word {
	case "", "latest":
		return session.Latest, nil
	case "earliest":
		return session.Earliest, nil
	case "max-timestamp":
		return session.MaxTimestamp, nil
	case "earliest-local":
		return session.EarliestLocal, nil
	case "latest-tiered":
		return session.LatestTiered, nil
	case "earliest-pending-upload":
		return session.EarliestPendingUpload, nil
	}
	timestamp, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("Malformed time argument %s. Please use -1 or latest / -2 or earliest / -3 or max-timestamp / "+
			"-4 or earliest-local / -5 or latest-tiered / -6 or earliest-pending-upload, or a specified long format timestamp", word)
	}
	return timestamp, nil
}

func (o *OffsetsOptions) rules() ([]rule, error) {
	if o.TopicPartitions != "" {
		var rules []rule
		for spec := range strings.SplitSeq(o.TopicPartitions, ",") {
			one, err := parseRule(spec)
			if err != nil {
				return nil, err
			}
			rules = append(rules, one)
		}
		return rules, nil
	}
	pattern := o.Topics
	if pattern == "" {
		pattern = ".*"
	}
	topic, err := Pattern(pattern)
	if err != nil {
		return nil, err
	}
	ids := map[int32]bool{}
	for id := range strings.SplitSeq(o.Partitions, ",") {
		if o.Partitions == "" {
			break
		}
		n, err := strconv.ParseInt(id, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("--partitions expects a comma separated list of numeric partition ids, but received: %s", o.Partitions)
		}
		ids[int32(n)] = true
	}
	return []rule{{topic, func(p int32) bool { return len(ids) == 0 || ids[p] }}}, nil
}

var ruleForm = regexp.MustCompile(`^([^:,]*)(?::(?:([0-9]*)|(?:([0-9]*)-([0-9]*))))?$`)

// parseRule reads one rule: topic:3, topic:1-3 (without 3), topic:5-, topic:-3.
func parseRule(spec string) (rule, error) {
	m := ruleForm.FindStringSubmatch(spec)
	if m == nil {
		return rule{}, fmt.Errorf("Invalid rule specification: %s", spec)
	}
	pattern := m[1]
	if pattern == "" {
		pattern = ".*"
	}
	topic, err := Pattern(pattern)
	if err != nil {
		return rule{}, err
	}
	from, to := number(m[3], 0), number(m[4], math.MaxInt32)
	if m[2] != "" {
		from = number(m[2], 0)
		to = from + 1
	}
	return rule{topic, func(p int32) bool { return int64(p) >= from && int64(p) < to }}, nil
}

func number(digits string, otherwise int64) int64 {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}
