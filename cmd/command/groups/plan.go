package groups

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
)

// plan is, group by group, where each partition shall be consumed from.
type plan map[string]map[session.Partition]int64

// each calls f for every offset, by group, topic and partition.
func (p plan) each(f func(group string, partition session.Partition, offset int64)) {
	for _, group := range slices.Sorted(maps.Keys(p)) {
		for _, partition := range slices.SortedFunc(maps.Keys(p[group]), session.ComparePartitions) {
			f(group, partition, p[group][partition])
		}
	}
}

// print writes the plan as a table.
func (p plan) print(w io.Writer) {
	group, topic := 15, 15
	for name := range p {
		group = max(group, len(name))
	}
	p.each(func(_ string, partition session.Partition, _ int64) { topic = max(topic, len(partition.Topic)) })
	if len(p) > 0 {
		fmt.Fprintf(w, "\n%-*s %-*s %-10s %s", group, "GROUP", topic, "TOPIC", "PARTITION", "NEW-OFFSET")
	}
	p.each(func(name string, partition session.Partition, offset int64) {
		fmt.Fprintf(w, "\n%-*s %-*s %-10d %d", group, name, topic, partition.Topic, partition.Partition, offset)
	})
	fmt.Fprintln(w)
}

// export writes the plan as lines of topic,partition,offset, with the group in
// front unless it is about a single one.
func (p plan) export(w io.Writer, single bool) {
	p.each(func(name string, partition session.Partition, offset int64) {
		if !single {
			fmt.Fprint(w, quote(name), ",")
		}
		fmt.Fprintf(w, "%s,%d,%d\n", quote(partition.Topic), partition.Partition, offset)
	})
	fmt.Fprintln(w)
}

// quote puts text in quotes as Kafka's CSV writer does: whenever it is longer than
// 24 characters (it does not look closer then) or holds a character below '-'.
func quote(text string) string {
	if len(text) <= 24 && !strings.ContainsFunc(text, func(r rune) bool { return r < '-' }) {
		return text
	}
	return `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
}

// parsePlan reads what export wrote. Lines of three columns are about the one
// group given; lines of four name theirs.
func parsePlan(text string, groups []string) (plan, error) {
	p := plan{}
	for i, line := range strings.Split(strings.TrimRight(text, "\r\n"), "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		fields, err := csv.NewReader(strings.NewReader(line)).Read()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if len(fields) == 3 && len(groups) == 1 {
			fields = append([]string{groups[0]}, fields...)
		}
		if len(fields) != 4 {
			return nil, fmt.Errorf("line %d: expected topic,partition,offset with one --group, or group,topic,partition,offset", i+1)
		}
		partition, err := strconv.ParseInt(strings.TrimSpace(fields[2]), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("line %d: partition %q is not a number", i+1, fields[2])
		}
		offset, err := strconv.ParseInt(strings.TrimSpace(fields[3]), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: offset %q is not a number", i+1, fields[3])
		}
		if p[fields[0]] == nil {
			p[fields[0]] = map[session.Partition]int64{}
		}
		p[fields[0]][session.Partition{Topic: fields[1], Partition: int32(partition)}] = offset
	}
	return p, nil
}
