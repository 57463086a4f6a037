package tools

import (
	"context"
	"fmt"
)

// reassign: elections and reassignments as one node answers them.
func (t *set) reassign(ctx context.Context) error {
	topic := t.Name("reassign")
	if err := t.create(ctx, topic, 2); err != nil {
		return err
	}
	elect := func(arguments ...string) said {
		return t.tool(ctx, "", "kafka-leader-election", append([]string{"--election-type", "preferred"}, arguments...)...)
	}
	if err := elect("--topic", topic, "--partition", "1").has("Valid replica already elected for partitions " + topic + "-1"); err != nil {
		return err
	}
	if s := elect("--topic", topic, "--partition", "7"); s.exit == 0 {
		return s.wrong("a leader was elected for a partition that is not there")
	}
	plan := func(name, broker string) (string, error) {
		return t.file(name, fmt.Sprintf(`{"version":1,"partitions":[{"topic":%q,"partition":0,"replicas":[%s],"log_dirs":["any"]}]}`, topic, broker))
	}
	same, err := plan("same.json", "1")
	if err != nil {
		return err
	}
	away, err := plan("away.json", "1001")
	if err != nil {
		return err
	}
	move := func(arguments ...string) said { return t.tool(ctx, "", "kafka-reassign-partitions", arguments...) }
	if err := move("--reassignment-json-file", same, "--execute").has("Successfully started partition reassignment for " + topic + "-0"); err != nil {
		return err
	}
	if err := move("--reassignment-json-file", same, "--verify").has("Reassignment of partition " + topic + "-0 is completed."); err != nil {
		return err
	}
	if s := move("--reassignment-json-file", away, "--execute"); s.exit == 0 {
		return s.wrong("a partition went to a broker that is not there")
	}
	if err := move("--reassignment-json-file", same, "--cancel").has("None of the specified partition moves are active."); err != nil {
		return err
	}
	return move("--list").has("No partition reassignments found.")
}
