package kafka

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/command/groups"
	"github.com/millrace/millrace/cmd/command/option"
	"github.com/millrace/millrace/cmd/command/session"
)

func groupsTool() *Tool {
	available := func(o option.Option, needs ...string) option.Option { o.Needs = needs; return o }
	return &Tool{Name: "kafka-consumer-groups", run: runGroups, fail: failGroups, set: option.Set{
		Program: "kafka-consumer-groups",
		Summary: "This tool helps to list all consumer groups, describe a consumer group, delete consumer group info, or reset consumer group offsets.",
		Options: withHelp(
			bootstrap("The server(s) to connect to. REQUIRED for all options except for --validate-regex."),
			repeated("group", "consumer group", "The consumer group to act on."),
			repeated("topic", "topic", "The topic whose offsets are to be reset or deleted; topic:0,1,2 for some of its partitions."),
			toggle("all-topics", "With --reset-offsets: all topics that the group has offsets of."),
			toggle("list", "List all consumer groups."), toggle("describe", "Show the partitions of groups with their offsets and lag."),
			toggle("all-groups", "Apply to all consumer groups."), toggle("delete", "Delete whole groups."),
			number("timeout", option.Long, "30000", "timeout (ms)", "How long to wait for answers."),
			adminConfig(),
			toggle("reset-offsets", "Reset the offsets of groups without members. Shows them, unless --execute is given."),
			toggle("delete-offsets", "Delete the offsets that a group has committed for topics."),
			toggle("dry-run", "Only show which offsets would be set. Supported operations: reset-offsets."),
			toggle("execute", "Set the offsets. Supported operations: reset-offsets."),
			toggle("export", "Print the offsets as CSV. Supported operations: reset-offsets."),
			number("to-offset", option.Long, "", "offset", "Reset offsets to this one."),
			required("from-file", "path to CSV file", "Reset offsets to those of a CSV file."),
			required("to-datetime", "datetime", "Reset offsets to a time. Format: 'YYYY-MM-DDThh:mm:ss.sss'"),
			required("by-duration", "duration", "Reset offsets to a time that lies so far back. Format: 'PnDTnHnMnS'"),
			toggle("to-earliest", "Reset offsets to the earliest."), toggle("to-latest", "Reset offsets to the latest."), toggle("to-current", "Reset offsets to the current."),
			number("shift-by", option.Long, "", "number-of-offsets", "Move offsets on by so many, or back if negative."),
			available(toggle("members", "With --describe: show the members of groups."), "describe"),
			available(toggle("verbose", "With --describe: show more."), "describe"),
			available(toggle("offsets", "With --describe: show partitions, offsets and lag, as without it."), "describe"),
			available(option.Option{Name: "state", Argument: option.Optional, Help: "With --describe: show the state of groups. With --list: show states; with a value, only groups in those."}, "describe", "list"),
			available(option.Option{Name: "type", Argument: option.Optional, Help: "With --list: show types; with a value, only groups of those."}, "list"),
			required("validate-regex", "regex", "Check a regular expression as brokers do (RE2)."),
		),
	}}
}

var groupActions = []string{"list", "describe", "delete", "reset-offsets", "delete-offsets", "validate-regex"}

var resetScenarios = []string{"to-offset", "shift-by", "to-datetime", "by-duration", "to-earliest", "to-latest", "to-current", "from-file"}

func runGroups(c *call) error {
	g := c.given
	if err := checkGroups(c); err != nil {
		return err
	}
	if g.Has("validate-regex") {
		validateRegex(c, g.Text("validate-regex"))
		return nil
	}
	o, err := c.options("command-config", "")
	if err != nil {
		return err
	}
	if g.Has("timeout") {
		o.Wait = time.Duration(g.Long("timeout")) * time.Millisecond
	}
	s, err := session.Open(c.ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	return actOnGroups(c, s)
}

func checkGroups(c *call) error {
	g := c.given
	if !g.Has("validate-regex") {
		if err := g.Require("bootstrap-server"); err != nil {
			return err
		}
	}
	takesOne := func(action string) error {
		if g.Has(action) && !g.HasAny("group", "all-groups") {
			return &session.Misuse{Text: fmt.Sprintf("Option [%s] takes one of these options: [all-groups], [group]", action)}
		}
		return nil
	}
	if err := errors.Join(takesOne("describe"), takesOne("delete"), takesOne("reset-offsets")); err != nil {
		return err
	}
	switch {
	case g.Has("describe") && g.Count("members", "offsets", "state") > 1:
		return &session.Misuse{Text: "Option [describe] takes at most one of these options: [members], [offsets], [state]"}
	case g.Has("describe") && g.Text("state") != "":
		return &session.Misuse{Text: "Option [describe] does not take a value for [state]"}
	case g.Has("delete") && g.Has("topic"):
		return &session.Misuse{Text: "The consumer does not support topic-specific offset deletion from a consumer group."}
	case g.Has("delete-offsets") && g.Count("group", "topic") < 2:
		return &session.Misuse{Text: "Option [delete-offsets] takes the following options: [group], [topic]"}
	}
	if g.Has("reset-offsets") {
		if err := checkReset(c); err != nil {
			return err
		}
	}
	for _, rule := range [][]string{{"group", "all-groups"}, {"group", "list"}, {"topic", "list", "describe"}} {
		if err := g.Conflict(rule[0], rule[1:]...); err != nil {
			return err
		}
	}
	if g.Count(groupActions...) != 1 {
		return &session.Misuse{Text: "Command must include exactly one action: --" + strings.Join(groupActions, ", --")}
	}
	return nil
}

func checkReset(c *call) error {
	g := c.given
	if g.Has("dry-run") && g.Has("execute") {
		return &session.Misuse{Text: "Option [reset-offsets] only accepts one of [execute] and [dry-run]"}
	}
	if !g.HasAny("dry-run", "execute") {
		fmt.Fprintln(c.Err, "WARN: No action will be performed as the --execute option is missing. In version 5.0, this command will require either "+
			"--dry-run or --execute to be specified. You should add the --dry-run option explicitly if you are scripting this command and want to "+
			"keep the current default behavior without prompting.")
	}
	for _, scenario := range resetScenarios {
		if err := g.Conflict(scenario, resetScenarios...); err != nil {
			return err
		}
	}
	return nil
}

func actOnGroups(c *call, s *session.Session) error {
	g := c.given
	names, all := g.Texts("group"), g.Has("all-groups")
	switch {
	case g.Has("list"):
		return groups.List(c.ctx, s, groups.ListOptions{ShowStates: g.Has("state"), ShowTypes: g.Has("type"), States: g.Text("state"), Types: g.Text("type")})
	case g.Has("describe"):
		return groups.Describe(c.ctx, s, groups.DescribeOptions{Groups: names, All: all, Members: g.Has("members"), State: g.Has("state"), Verbose: g.Has("verbose")})
	case g.Has("delete"):
		return groups.Delete(c.ctx, s, names, all)
	case g.Has("delete-offsets"):
		if len(names) > 1 {
			return &option.Error{Text: "Found multiple arguments for option group, but you asked for only one"}
		}
		return groups.DeleteOffsets(c.ctx, s, names[0], g.Texts("topic"))
	}
	return groups.Reset(c.ctx, s, groups.ResetOptions{Groups: slices.Clone(names), All: all, Topics: g.Texts("topic"), AllTopics: g.Has("all-topics"),
		ToEarliest: g.Has("to-earliest"), ToLatest: g.Has("to-latest"), ToCurrent: g.Has("to-current"),
		ToOffset: c.long("to-offset"), ShiftBy: c.long("shift-by"), ToDateTime: g.Text("to-datetime"), ByDuration: g.Text("by-duration"),
		FromFile: g.Text("from-file"), Execute: g.Has("execute"), Export: g.Has("export"), Now: time.Now()})
}

func validateRegex(c *call, expression string) {
	if _, err := regexp.Compile(expression); err != nil {
		text := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
		fmt.Fprintf(c.Out, "The regular expression `%s` is invalid: %s.\n", expression, strings.Split(text, ": `")[0])
		return
	}
	fmt.Fprintf(c.Out, "The regular expression `%s` is valid.\n", expression)
}

// failGroups prints an error on standard output and ends with 0, for so does Kafka's
// tool: only what is wrong with the command line is a failure.
func failGroups(c *call, err error) int {
	var mistake *option.Error
	var misuse *session.Misuse
	var value *option.ValueError
	switch {
	case errors.Is(err, session.ErrReported):
		return 0
	case errors.As(err, &mistake), errors.As(err, &misuse), errors.As(err, &value):
		return c.failed(err)
	}
	message := session.Message(err)
	if described := (*groups.Undescribed)(nil); errors.As(err, &described) {
		message = session.Exception(err)
	}
	fmt.Fprintln(c.Out, "\nError: Executing consumer group command failed due to "+message)
	return 0
}
