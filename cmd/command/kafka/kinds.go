package kafka

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/cmd/command/groups"
	"github.com/millrace/millrace/cmd/command/option"
	"github.com/millrace/millrace/cmd/command/session"
)

func kindsTool() *Tool {
	return &Tool{Name: "kafka-groups", run: runKinds, fail: failKinds, set: option.Set{
		Program: "kafka-groups",
		Summary: "This tool helps to list groups of all types.",
		Options: withHelp(
			bootstrap("REQUIRED: The Kafka server to connect to."),
			adminConfig(),
			toggle("list", "List the groups."),
			required("group-type", "type", "Only groups of this type: classic, consumer, share or streams."),
			required("protocol", "protocol", "Only groups with this protocol."),
			toggle("consumer", "Only consumer groups, those without members included."),
			toggle("share", "Only share groups."),
			toggle("streams", "Only streams groups."),
		),
	}}
}

func runKinds(c *call) error {
	g := c.given
	switch {
	case !g.Has("bootstrap-server"):
		return &session.Misuse{Text: "Missing required option(s) [bootstrap-server]"}
	case !g.Has("list"):
		return &session.Misuse{Text: "Command must include exactly one action: --list."}
	}
	o := groups.KindOptions{Protocol: g.Text("protocol"), HasProtocol: g.Has("protocol"), Consumer: g.Has("consumer")}
	if g.Has("group-type") {
		kind, err := groups.ParseKind(g.Text("group-type"))
		if err != nil {
			return &plainError{"--group-type must be a valid group type."}
		}
		o.Type = kind
	}
	for _, rule := range [][]string{{"consumer", "group-type", "protocol", "share", "streams"}, {"share", "consumer", "group-type", "protocol", "streams"},
		{"streams", "consumer", "group-type", "protocol", "share"}} {
		if err := g.Conflict(rule[0], rule[1:]...); err != nil {
			return err
		}
	}
	switch {
	case g.Has("share"):
		o.Type = "Share"
	case g.Has("streams"):
		o.Type = "Streams"
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	defer s.Close()
	return groups.ListKinds(c.ctx, s, o)
}

// failKinds prints what the cluster refuses on standard output, as Kafka's tool does.
func failKinds(c *call, err error) int {
	var mistake *option.Error
	var misuse *session.Misuse
	var value *option.ValueError
	var plain *plainError
	switch {
	case errors.As(err, &mistake), errors.As(err, &misuse), errors.As(err, &value):
		return c.failed(err)
	case errors.As(err, &plain):
		fmt.Fprintln(c.Err, err)
	default:
		fmt.Fprintln(c.Out, "Error while executing groups command : "+session.Message(err))
	}
	return 1
}
