package kafka

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/cmd/command/option"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/cmd/command/topics"
)

func topicsTool() *Tool {
	return &Tool{Name: "kafka-topics", run: runTopics, fail: failTopics, set: option.Set{
		Program: "kafka-topics",
		Summary: "This tool helps to create, delete, describe, or change a topic.",
		Options: withHelp(
			bootstrap("REQUIRED: The Kafka server to connect to."), adminConfig(),
			toggle("list", "List all topics."), toggle("create", "Create a topic."), toggle("delete", "Delete topics."),
			toggle("alter", "Add partitions to topics. (The kafka-configs tool alters their settings.)"),
			toggle("describe", "Show the partitions and settings of topics."),
			required("topic", "topic", "The topic. A regular expression, except with --create."),
			required("topic-id", "topic-id", "The id of the topic to describe."),
			repeated("config", "name=value", "A setting for the topic that is created. (The kafka-configs tool alters it later.)"),
			repeated("delete-config", "name", "No longer supported."),
			number("partitions", option.Integer, "", "# of partitions", "How many partitions the topic shall have. Default with --create: what the cluster is set to. "+
				"(WARNING: adding partitions to a topic with keys changes where keys go.)"),
			number("replication-factor", option.Integer, "", "replication factor", "How many replicas each partition shall have. Default: what the cluster is set to."),
			required("replica-assignment", "id:id,id:id,…", "The brokers of the replicas, partition by partition."),
			toggle("under-replicated-partitions", "With --describe: only partitions with fewer replicas in sync than they have."),
			toggle("unavailable-partitions", "With --describe: only partitions without a leader that is up."),
			toggle("under-min-isr-partitions", "With --describe: only partitions with fewer replicas in sync than configured."),
			toggle("at-min-isr-partitions", "With --describe: only partitions with just as many replicas in sync as configured."),
			toggle("topics-with-overrides", "With --describe: only topics with settings of their own."),
			toggle("if-exists", "With --alter, --delete or --describe: it is no error when the topic is not there."),
			toggle("if-not-exists", "With --create: it is no error when the topic is there already."),
			toggle("exclude-internal", "With --list or --describe: leave internal topics out."),
			number("partition-size-limit-per-response", option.Integer, "", "maximum number of partitions per response", "How many partitions one response may describe."),
		),
	}}
}

var topicActions = []string{"list", "describe", "create", "alter", "delete"}

func runTopics(c *call) error {
	g := c.given
	if g.Count(topicActions...) != 1 {
		return &session.Misuse{Text: "Command must include exactly one action: --list, --describe, --create, --alter or --delete"}
	}
	if g.Has("delete-config") {
		fmt.Fprintln(c.Err, "delete-config option is no longer supported and deprecated since version 4.0. The config will be fully removed in future releases.")
	}
	if err := checkTopics(c); err != nil {
		return err
	}
	s, err := c.open()
	if err != nil {
		return &topicError{err}
	}
	defer s.Close()
	if err := actOnTopics(c, s); err != nil {
		return &topicError{err}
	}
	return nil
}

// topicError is what went wrong in doing what was asked, not in understanding it.
type topicError struct{ error }

func (t *topicError) Unwrap() error { return t.error }

// checkTopics looks for options that do not go together.
func checkTopics(c *call) error {
	g := c.given
	if !g.Has("bootstrap-server") {
		return &plainError{"--bootstrap-server must be specified"}
	}
	if g.Has("describe") && g.Has("if-exists") && !g.HasAny("topic", "topic-id") {
		return &session.Misuse{Text: "--topic or --topic-id is required to describe a topic"}
	}
	if g.Has("describe") && g.Has("if-exists") && g.Has("topic") && g.Has("topic-id") {
		fmt.Fprintln(c.Out, "Only topic id will be used when both --topic and --topic-id are specified and topicId is not Uuid.ZERO_UUID")
	}
	if !g.HasAny("list", "describe") {
		if err := g.Require("topic"); err != nil {
			return err
		}
	}
	if g.Has("alter") {
		if g.Has("config") {
			return &session.Misuse{Text: `Option combination "[[bootstrap-server], [config]]" can't be used with option "[alter]" ` +
				"(To alter topic configurations, the kafka-configs tool can be used.)"}
		}
		if err := g.Require("partitions"); err != nil {
			return err
		}
	}
	reports := []string{"under-replicated-partitions", "under-min-isr-partitions", "at-min-isr-partitions", "unavailable-partitions"}
	rules := []struct {
		option string
		with   []string // the actions that it goes with
		not    []string
	}{
		{"config", []string{"alter", "create"}, nil}, {"partitions", []string{"alter", "create"}, nil},
		{"replication-factor", []string{"create"}, nil}, {"replica-assignment", []string{"alter", "create"}, nil},
		{reports[0], []string{"describe"}, []string{"topics-with-overrides"}}, {reports[1], []string{"describe"}, []string{"topics-with-overrides"}},
		{reports[2], []string{"describe"}, []string{"topics-with-overrides"}}, {reports[3], []string{"describe"}, []string{"topics-with-overrides"}},
		{"topics-with-overrides", []string{"describe"}, reports}, {"if-exists", []string{"alter", "delete", "describe"}, nil},
		{"if-not-exists", []string{"create"}, nil}, {"exclude-internal", []string{"list", "describe"}, nil},
	}
	for _, rule := range rules {
		if err := g.Conflict(rule.option, append(others(rule.with), rule.not...)...); err != nil {
			return err
		}
	}
	if g.Has("create") {
		return g.Conflict("replica-assignment", "partitions", "replication-factor")
	}
	return nil
}

// others are the actions that are not among these.
func others(actions []string) []string {
	var rest []string
	for _, action := range topicActions {
		found := false
		for _, one := range actions {
			found = found || one == action
		}
		if !found {
			rest = append(rest, action)
		}
	}
	return rest
}

func actOnTopics(c *call, s *session.Session) error {
	g := c.given
	switch {
	case g.Has("create"):
		return topics.Create(c.ctx, s, topics.CreateOptions{Name: g.Text("topic"), Partitions: c.long("partitions"), ReplicationFactor: c.long("replication-factor"),
			Assignment: g.Text("replica-assignment"), Configs: g.Texts("config"), IfNotExists: g.Has("if-not-exists")})
	case g.Has("alter"):
		return topics.Alter(c.ctx, s, topics.AlterOptions{Topics: g.Text("topic"), Partitions: int32(g.Long("partitions")),
			Assignment: g.Text("replica-assignment"), IfExists: g.Has("if-exists")})
	case g.Has("list"):
		return topics.List(c.ctx, s, g.Text("topic"), g.Has("exclude-internal"))
	case g.Has("delete"):
		return topics.Delete(c.ctx, s, g.Text("topic"), g.Has("if-exists"))
	}
	o := topics.DescribeOptions{Topics: g.Text("topic"), ID: g.Text("topic-id"), ExcludeInternal: g.Has("exclude-internal"), IfExists: g.Has("if-exists"),
		UnderReplicated: g.Has("under-replicated-partitions"), Unavailable: g.Has("unavailable-partitions"),
		UnderMinISR: g.Has("under-min-isr-partitions"), AtMinISR: g.Has("at-min-isr-partitions"), Overrides: g.Has("topics-with-overrides")}
	if limit := c.long("partition-size-limit-per-response"); limit != nil {
		o.PartitionLimit = int32(*limit)
	}
	return topics.Describe(c.ctx, s, o)
}

// plainError is printed alone, without the options.
type plainError struct{ text string }

func (e *plainError) Error() string { return e.text }

// failTopics prints what went wrong in the work on standard output, as Kafka's tool
// does, and what was wrong with the command line on standard error.
func failTopics(c *call, err error) int {
	var work *topicError
	var value *option.ValueError
	var mistake *option.Error
	switch {
	case errors.As(err, &work), errors.As(err, &value):
		fmt.Fprintln(c.Out, "Error while executing topic command : "+session.Message(err))
		return 1
	case errors.As(err, &mistake) && !c.parsed():
		fmt.Fprintln(c.Err, err)
		return 1
	}
	return c.failed(err)
}

// parsed reports whether the command line could be read at all.
func (c *call) parsed() bool {
	_, err := c.tool.set.Parse(c.args)
	return err == nil
}
