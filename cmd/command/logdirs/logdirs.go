// Package logdirs tells which partitions lie in which folders of the brokers, and how
// large they are, as the JSON that kafka-log-dirs prints.
package logdirs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Options say of which topics and brokers to tell. None: of all.
type Options struct {
	Topics  []string
	Brokers []int32
}

// The fields stand in the order in which Kafka's tool prints them.
type (
	report struct {
		Brokers []broker `json:"brokers"`
		Version int      `json:"version"`
	}
	broker struct {
		Broker  int32    `json:"broker"`
		LogDirs []logDir `json:"logDirs"`
	}
	logDir struct {
		Partitions []partition `json:"partitions"`
		Error      *string     `json:"error"`
		LogDir     string      `json:"logDir"`
	}
	partition struct {
		session.Partition `json:"-"`

		Name      string `json:"partition"`
		Size      int64  `json:"size"`
		OffsetLag int64  `json:"offsetLag"`
		IsFuture  bool   `json:"isFuture"`
	}
)

// Describe prints the folders.
func Describe(ctx context.Context, s *session.Session, o Options) error {
	metadata, err := s.Admin.BrokerMetadata(ctx)
	if err != nil {
		return fmt.Errorf("list brokers: %w", err)
	}
	var existing []int32
	for _, one := range metadata.Brokers {
		existing = append(existing, one.NodeID)
	}
	slices.Sort(existing)
	asked := slices.Compact(slices.Sorted(slices.Values(o.Brokers)))
	if len(asked) == 0 {
		asked = existing
	}
	var missing []int32
	for _, id := range asked {
		if !slices.Contains(existing, id) {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("ERROR: The given brokers do not exist from --broker-list: %s. Current existent brokers: %s", commas(missing), commas(existing))
	}
	fmt.Fprintln(s.Out, "Querying brokers for log directories information")
	all := report{Brokers: []broker{}, Version: 1}
	for _, id := range asked {
		one, err := ask(ctx, s, id, o.Topics)
		if err != nil {
			return err
		}
		all.Brokers = append(all.Brokers, one)
	}
	fmt.Fprintf(s.Out, "Received log directory information from brokers %s\n", commas(asked))
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(all); err != nil {
		return fmt.Errorf("print log directories: %w", err)
	}
	_, err = s.Out.Write(text.Bytes())
	return err
}

func ask(ctx context.Context, s *session.Session, id int32, topics []string) (broker, error) {
	answer, err := kmsg.NewPtrDescribeLogDirsRequest().RequestWith(ctx, s.Client.Broker(int(id)))
	if err == nil {
		err = kerr.ErrorForCode(answer.ErrorCode)
	}
	if err != nil {
		return broker{}, fmt.Errorf("describe the log directories of broker %d: %w", id, err)
	}
	found := broker{Broker: id, LogDirs: []logDir{}}
	for _, d := range answer.Dirs {
		dir := logDir{Partitions: []partition{}, LogDir: d.Dir}
		if err := kerr.ErrorForCode(d.ErrorCode); err != nil {
			class, _, _ := strings.Cut(session.Exception(err), ": ")
			dir.Error = &class
		}
		for _, t := range d.Topics {
			if len(topics) > 0 && !slices.Contains(topics, t.Topic) {
				continue
			}
			for _, p := range t.Partitions {
				name := session.Partition{Topic: t.Topic, Partition: p.Partition}
				dir.Partitions = append(dir.Partitions, partition{name, name.String(), p.Size, p.OffsetLag, p.IsFuture})
			}
		}
		slices.SortFunc(dir.Partitions, func(a, b partition) int { return session.ComparePartitions(a.Partition, b.Partition) })
		found.LogDirs = append(found.LogDirs, dir)
	}
	slices.SortFunc(found.LogDirs, func(a, b logDir) int { return cmp.Compare(a.LogDir, b.LogDir) })
	return found, nil
}

func commas(ids []int32) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = strconv.Itoa(int(id))
	}
	return strings.Join(texts, ",")
}
