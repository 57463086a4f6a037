package kafka

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/cmd/command/option"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/cmd/command/topics"
)

func offsetsTool() *Tool {
	return &Tool{Name: "kafka-get-offsets", run: runOffsets, fail: failOffsets, set: option.Set{
		Program: "kafka-get-offsets",
		Summary: "An interactive shell for getting topic-partition offsets.",
		Options: withHelp(
			required("bootstrap-server", "HOST1:PORT1,...,HOST3:PORT3", "REQUIRED. The server(s) to connect to in the form HOST1:PORT1,HOST2:PORT2."),
			required("topic-partitions", "topic1:1,topic2:0-3,topic3,topic4:5-,topic5:-3", "Rules for the partitions wanted: a pattern for the topic, which may be left out, "+
				"and behind a colon a number, or a range without its upper end."),
			required("topic", "topic", "The topics wanted, a regular expression. Default: all."),
			required("partitions", "partition ids", "The partitions wanted, separated by commas. Default: all."),
			option.Option{Name: "time", Argument: option.Required, Default: "latest", Metavar: "<timestamp> / -1 or latest / -2 or earliest / -3 or max-timestamp / " +
				"-4 or earliest-local / -5 or latest-tiered / -6 or earliest-pending-upload", Help: "Which offset: that of the first record at or after a timestamp, or one of these."},
			required("command-config", "config file", "Property file with settings of the admin client."),
			toggle("exclude-internal-topics", "Leave internal topics out."),
		),
	}}
}

func runOffsets(c *call) error {
	g := c.given
	if err := g.Require("bootstrap-server"); err != nil {
		return err
	}
	s, err := c.open()
	if err != nil {
		return &offsetsError{err}
	}
	defer s.Close()
	err = topics.Offsets(c.ctx, s, topics.OffsetsOptions{TopicPartitions: g.Text("topic-partitions"), Topics: g.Text("topic"),
		Partitions: g.Text("partitions"), Time: g.Text("time"), ExcludeInternal: g.Has("exclude-internal-topics")})
	if err != nil {
		return &offsetsError{err}
	}
	return nil
}

// offsetsError is what went wrong in doing what was asked.
type offsetsError struct{ error }

func (e *offsetsError) Unwrap() error { return e.error }

func failOffsets(c *call, err error) int {
	var work *offsetsError
	if errors.As(err, &work) || !c.parsed() {
		fmt.Fprintln(c.Err, "Error occurred: "+session.Message(err))
		return 1
	}
	return c.failed(err)
}
