package kafka

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/command/logdirs"
	"github.com/millrace/millrace/cmd/command/option"
)

func logDirsTool() *Tool {
	return &Tool{Name: "kafka-log-dirs", run: runLogDirs, fail: failPlain, set: option.Set{
		Program: "kafka-log-dirs",
		Summary: "This tool helps to query log directory usage on the specified brokers.",
		Options: withHelp(
			required("bootstrap-server", "The server(s) to use for bootstrapping", "REQUIRED: the server(s) to use for bootstrapping"),
			adminConfig(),
			toggle("describe", "Describe the log directories of the brokers."),
			required("topic-list", "Topic list", "Tell only of these topics: topic1,topic2."),
			required("broker-list", "Broker list", "Ask only these brokers: 0,1,2."),
		),
	}}
}

func runLogDirs(c *call) error {
	if err := c.given.Require("bootstrap-server", "describe"); err != nil {
		return err
	}
	var o logdirs.Options
	for _, text := range list(c.given.Text("broker-list")) {
		id, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return &plainError{fmt.Sprintf("For input string: %q", text)}
		}
		o.Brokers = append(o.Brokers, int32(id))
	}
	o.Topics = list(c.given.Text("topic-list"))
	s, err := c.open()
	if err != nil {
		return err
	}
	defer s.Close()
	return logdirs.Describe(c.ctx, s, o)
}

// list cuts at commas and leaves out what is empty.
func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
}
