// Package records deletes the records of partitions that lie before an offset.
package records

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Before says up to which offset the records of a partition go. -1: all of them.
type Before struct {
	session.Partition

	Offset int64
}

// Parse reads topic:partition:offset.
func Parse(text string) (Before, error) {
	parts := strings.Split(text, ":")
	if len(parts) == 3 && parts[0] != "" {
		partition, badPartition := strconv.ParseInt(parts[1], 10, 32)
		offset, badOffset := strconv.ParseInt(parts[2], 10, 64)
		if badPartition == nil && badOffset == nil {
			return Before{session.Partition{Topic: parts[0], Partition: int32(partition)}, offset}, nil
		}
	}
	return Before{}, fmt.Errorf("%q: expected topic:partition:offset, like orders:0:1000", text)
}

// ParseJSON reads the file that kafka-delete-records takes:
//
//	{"partitions": [{"topic": "orders", "partition": 0, "offset": 1000}], "version": 1}
//
// Mistakes are told in Kafka's words.
func ParseJSON(text []byte) ([]Before, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var whole any
	if err := decoder.Decode(&whole); err != nil {
		return nil, errors.New("The input string is not a valid JSON")
	}
	fields, err := object(whole)
	if err != nil {
		return nil, err
	}
	if v, ok := fields["version"]; ok {
		if version, err := number(v, 32, "Integer"); err != nil {
			return nil, err
		} else if version != 1 {
			return nil, fmt.Errorf("Not supported version field value %d", version)
		}
	}
	partitions, ok := fields["partitions"]
	if !ok {
		return nil, errors.New("Missing partitions field")
	}
	rows, ok := partitions.([]any)
	if !ok {
		return nil, expected("JSON array", partitions)
	}
	all := make([]Before, len(rows))
	for i, row := range rows {
		if all[i], err = before(row); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func before(row any) (b Before, err error) {
	fields, err := object(row)
	if err != nil {
		return b, err
	}
	for _, name := range []string{"topic", "partition", "offset"} {
		if _, ok := fields[name]; !ok {
			return b, fmt.Errorf("No such field exists: `%s`", name)
		}
	}
	var ok bool
	if b.Topic, ok = fields["topic"].(string); !ok {
		return b, expected("`String` value", fields["topic"])
	}
	partition, err := number(fields["partition"], 32, "Integer")
	if err != nil {
		return b, err
	}
	b.Partition.Partition = int32(partition)
	b.Offset, err = number(fields["offset"], 64, "Long")
	return b, err
}

func object(v any) (map[string]any, error) {
	if fields, ok := v.(map[string]any); ok {
		return fields, nil
	}
	return nil, expected("JSON object", v)
}

func number(v any, bits int, kind string) (int64, error) {
	if n, ok := v.(json.Number); ok {
		if i, err := strconv.ParseInt(n.String(), 10, bits); err == nil {
			return i, nil
		}
	}
	return 0, expected("`"+kind+"` value", v)
}

func expected(what string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return fmt.Errorf("Expected %s, received %s", what, text)
}

// Delete deletes the records and prints where each partition begins then. A partition
// that cannot be done does not keep the others.
func Delete(ctx context.Context, s *session.Session, all []Before) error {
	offsets, names := kadm.Offsets{}, map[string]bool{}
	var twice []string
	for _, one := range all {
		if _, ok := offsets.Lookup(one.Topic, one.Partition.Partition); ok && !slices.Contains(twice, one.String()) {
			twice = append(twice, one.String())
		}
		offsets.AddOffset(one.Topic, one.Partition.Partition, one.Offset, -1)
		names[one.Topic] = true
	}
	if len(twice) > 0 {
		slices.Sort(twice)
		return fmt.Errorf("Offset json file contains duplicate topic partitions: %s", strings.Join(twice, ","))
	}
	fmt.Fprintln(s.Out, "Executing records delete operation")
	missing, err := without(ctx, s, all, names)
	if err != nil {
		return err
	}
	for _, p := range missing {
		delete(offsets[p.Topic], p.Partition)
	}
	answers := kadm.DeleteRecordsResponses{}
	if len(missing) < len(all) {
		if answers, err = s.Admin.DeleteRecords(ctx, offsets); err != nil {
			return fmt.Errorf("delete records: %w", err)
		}
	}
	fmt.Fprintln(s.Out, "Records delete operation completed:")
	slices.SortFunc(all, func(a, b Before) int { return session.ComparePartitions(a.Partition, b.Partition) })
	for _, one := range all {
		answer, ok := answers.Lookup(one.Topic, one.Partition.Partition)
		if err := answer.Err; err != nil || !ok {
			if err == nil {
				err = kerr.UnknownTopicOrPartition
			}
			fmt.Fprintf(s.Out, "partition: %s\terror: %s\n", one, session.Exception(err))
			continue
		}
		fmt.Fprintf(s.Out, "partition: %s\tlow_watermark: %d\n", one, answer.LowWatermark)
	}
	return nil
}

// without are those of the partitions that do not exist.
func without(ctx context.Context, s *session.Session, all []Before, names map[string]bool) ([]session.Partition, error) {
	if len(all) == 0 {
		return nil, nil
	}
	var wanted []string
	for name := range names {
		wanted = append(wanted, name)
	}
	topics, err := s.Topics(ctx, wanted...)
	if err != nil {
		return nil, err
	}
	var missing []session.Partition
	for _, one := range all {
		if !slices.ContainsFunc(topics[one.Topic].Partitions, func(p session.TopicPartition) bool { return p.Partition == one.Partition.Partition }) {
			missing = append(missing, one.Partition)
		}
	}
	return missing, nil
}
