package kafka

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/command/console"
	"github.com/millrace/millrace/cmd/command/option"
	"github.com/millrace/millrace/cmd/command/session"
)

func consumerTool() *Tool {
	formatter := "A setting of the formatter: print.timestamp, print.key, print.offset, print.epoch, print.partition, print.headers, print.value (true or false), " +
		"key.separator, line.separator, headers.separator, null.literal, key.deserializer, value.deserializer, headers.deserializer."
	return &Tool{Name: "kafka-console-consumer", run: runConsumer, set: option.Set{
		Program: "kafka-console-consumer",
		Summary: "This tool helps to read data from Kafka topics and outputs it to standard output.",
		Options: withHelp(
			required("topic", "topic", "The topic to consume from."),
			required("include", "Java regex (String)", "A regular expression for the topics to consume from."),
			number("partition", option.Integer, "", "partition", "The partition to consume from: from its end, unless --offset is given."),
			option.Option{Name: "offset", Argument: option.Required, Default: "latest", Metavar: "consume offset", Help: "Where to begin: a number, 'earliest' or 'latest'."},
			repeated("consumer-property", "consumer_prop", "(DEPRECATED) Use --command-property instead."),
			repeated("command-property", "consumer_prop", "A setting of the consumer, in the form key=value."),
			required("consumer.config", "config file", "(DEPRECATED) Use --command-config instead."),
			required("command-config", "config file", "Properties file for the consumer. --command-property is stronger."),
			option.Option{Name: "formatter", Argument: option.Required, Default: "org.apache.kafka.tools.consumer.DefaultMessageFormatter", Metavar: "class", Help: "The class that prints records."},
			repeated("property", "prop", "(DEPRECATED) Use --formatter-property instead."),
			repeated("formatter-property", "prop", formatter),
			required("formatter-config", "config file", "Properties file for the formatter. --formatter-property is stronger."),
			toggle("from-beginning", "Begin with the first record there is, unless the group has an offset."),
			number("max-messages", option.Integer, "", "num_messages", "How many records to consume. Default: no end."),
			number("timeout-ms", option.Long, "", "timeout_ms", "End when no record came for so long."),
			toggle("skip-message-on-error", "Pass over records that cannot be printed."),
			bootstrap("REQUIRED: The server(s) to connect to."),
			required("key-deserializer", "deserializer for keys", "The class that makes text of keys."),
			required("value-deserializer", "deserializer for values", "The class that makes text of values."),
			toggle("enable-systest-events", "Print when the consumer has shut down."),
			option.Option{Name: "isolation-level", Argument: option.Required, Default: "read_uncommitted", Help: "read_committed leaves out what transactions have not committed."},
			required("group", "consumer group id", "The consumer group to be a member of."),
		),
	}}
}

const consumerWarning = "Option --%s is deprecated and will be removed in a future version. Use --%s instead."

func runConsumer(c *call) error {
	g := c.given
	if err := checkConsumer(g); err != nil {
		return err
	}
	pairs, err := c.renamed("command-property", "consumer-property", consumerWarning)
	if err != nil {
		return err
	}
	file, err := c.renamed("command-config", "consumer.config", consumerWarning)
	if err != nil {
		return err
	}
	o, err := c.options(file, pairs)
	if err != nil {
		return err
	}
	if err := c.consumerProperties(&o, file, pairs); err != nil {
		return err
	}
	offset, err := consumerOffset(g)
	if err != nil {
		return err
	}
	formatter, err := c.formatter()
	if err != nil {
		return &session.Misuse{Text: err.Error()}
	}
	consume := console.ConsumeOptions{Topic: g.Text("topic"), Include: g.Text("include"), Offset: offset, Max: -1, Formatter: formatter,
		SkipOnError: g.Has("skip-message-on-error"), CreateTopic: o.Properties["allow.auto.create.topics"] != "false", HideEpoch: true}
	if n := c.long("partition"); n != nil {
		partition := int32(*n)
		consume.Partition = &partition
	}
	if n := c.long("max-messages"); n != nil {
		consume.Max = *n
	}
	if n := c.long("timeout-ms"); n != nil && *n >= 0 {
		consume.Timeout = max(time.Duration(*n)*time.Millisecond, 1)
	}
	err = console.Consume(c.ctx, o, consume)
	if g.Has("enable-systest-events") {
		fmt.Fprintln(c.Out, "shutdown_complete")
	}
	return err
}

func checkConsumer(g *option.Given) error {
	if err := g.ExactlyOne("topic", "include"); err != nil {
		return err
	}
	if g.Has("partition") {
		if !g.Has("topic") {
			return &session.Misuse{Text: "The topic is required when partition is specified."}
		}
		if g.Has("from-beginning") && g.Has("offset") {
			return &session.Misuse{Text: "Options from-beginning and offset cannot be specified together."}
		}
	} else if g.Has("offset") {
		return &session.Misuse{Text: "The partition is required when offset is specified."}
	}
	if err := console.CheckPattern(g.Text("include")); err != nil {
		return &session.Misuse{Text: err.Error()}
	}
	return g.Require("bootstrap-server")
}

// consumerProperties settles the group and where it begins. Without a group the
// consumer is no member of any: there is nothing to commit, so there is nothing to
// share, and it starts without a rebalance.
func (c *call) consumerProperties(o *session.Options, file, pairs string) error {
	g, p := c.given, o.Properties
	var groups []string
	add := func(group string, given bool) {
		if given && !slices.Contains(groups, group) {
			groups = append(groups, group)
		}
	}
	add(g.Text("group"), g.Has("group"))
	fromFile := session.Properties{}
	if g.Has(file) {
		if err := fromFile.Load(g.Text(file)); err != nil {
			return err
		}
	}
	group, given := fromFile["group.id"]
	add(group, given)
	fromPairs := session.Properties{}
	fromPairs.Merge(g.Texts(pairs))
	group, given = fromPairs["group.id"]
	add(group, given)
	switch {
	case len(groups) > 1:
		return &session.Misuse{Text: "The group ids provided in different places (directly using '--group', via '--consumer-property', or via '--consumer.config') " +
			"do not match. Detected group ids: '" + strings.Join(groups, "', '") + "'"}
	case len(groups) == 1 && g.Has("partition"):
		return &session.Misuse{Text: "Options group and partition cannot be specified together."}
	case len(groups) == 1:
		p["group.id"] = groups[0]
	}
	reset, given := p["auto.offset.reset"]
	switch {
	case given && g.Has("from-beginning") && reset != "earliest":
		return &plainError{"Can't simultaneously specify --from-beginning and 'auto.offset.reset=" + reset + "', please remove one option"}
	case !given && g.Has("from-beginning"):
		p["auto.offset.reset"] = "earliest"
	case !given:
		p["auto.offset.reset"] = "latest"
	}
	c.merge(p, "isolation.level", "isolation-level")
	return nil
}

func consumerOffset(g *option.Given) (int64, error) {
	if !g.Has("offset") {
		if g.Has("from-beginning") {
			return session.Earliest, nil
		}
		return session.Latest, nil
	}
	switch strings.ToLower(g.Text("offset")) {
	case "earliest":
		return session.Earliest, nil
	case "latest":
		return session.Latest, nil
	}
	n, err := strconv.ParseInt(g.Text("offset"), 10, 64)
	if err != nil || n < 0 {
		return 0, &session.Misuse{Text: fmt.Sprintf("The provided offset value '%s' is incorrect. Valid values are 'earliest', 'latest', or a non-negative long.", g.Text("offset"))}
	}
	return n, nil
}

// formatter is set up from a file, the deserializers' own options and the pairs,
// each stronger than the one before.
func (c *call) formatter() (console.Formatter, error) {
	g := c.given
	if g.Has("property") && g.Has("formatter-property") {
		return nil, errors.New("Options --property and --formatter-property cannot be specified together.")
	}
	pairs, _ := c.renamed("formatter-property", "property", consumerWarning) // never both, see above
	p := session.Properties{}
	if g.Has("formatter-config") {
		if err := p.Load(g.Text("formatter-config")); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{"key", "value"} {
		if class := g.Text(name + "-deserializer"); class != "" {
			p[name+".deserializer"] = class
		}
	}
	p.Merge(g.Texts(pairs))
	return console.NewFormatter(g.Text("formatter"), p)
}

// randomGroup is a group for a consumer that must have one and was given none.
func randomGroup(prefix string) string { return prefix + strconv.Itoa(rand.IntN(100000)) }
