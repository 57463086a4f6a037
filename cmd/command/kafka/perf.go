package kafka

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/command/option"
	"github.com/millrace/millrace/cmd/command/perf"
	"github.com/millrace/millrace/cmd/command/session"
)

func producerPerfTool() *Tool {
	many := func(name, help string) option.Option {
		return option.Option{Name: name, Argument: option.Many, Metavar: "PROP-NAME=PROP-VALUE", Help: help, Repeat: true}
	}
	return &Tool{Name: "kafka-producer-perf-test", run: runProducerPerf, fail: failArgparse, set: option.Set{
		Program:  "kafka-producer-perf-test",
		Argparse: true,
		Summary: "This tool is used to verify the producer performance. Transactions are used when a transactional id is given, with --transactional-id or as " +
			"the property transactional.id, or --transaction-duration-ms.",
		Options: withHelp(
			required("bootstrap-server", "BOOTSTRAP-SERVER", "The server(s) to connect to. Stronger than the property bootstrap.servers."),
			required("topic", "TOPIC", "Produce records to this topic."),
			number("num-records", option.Long, "", "NUM-RECORDS", "Number of records to produce."),
			number("record-size", option.Integer, "", "RECORD-SIZE", "Size of each record's value in bytes. One of this, --payload-file and --payload-monotonic must be given."),
			required("payload-file", "PAYLOAD-FILE", "A file with values, of which one is picked at random for each record."),
			toggle("payload-monotonic", "The value of each record is its number."),
			option.Option{Name: "payload-delimiter", Argument: option.Required, Default: `\n`, Metavar: "PAYLOAD-DELIMITER", Help: "What separates the values of --payload-file."},
			number("throughput", option.Double, "", "THROUGHPUT", "Send about so many records a second, or with -1 as many as go through."),
			many("producer-props", "(DEPRECATED) Use --command-property instead."),
			many("command-property", "Settings of the producer, like linger.ms=10 batch.size=32768. Stronger than --command-config."),
			required("producer.config", "CONFIG-FILE", "(DEPRECATED) Use --command-config instead."),
			required("command-config", "CONFIG-FILE", "Properties file for the producer."),
			toggle("print-metrics", "Print the client's counters at the end."),
			required("transactional-id", "TRANSACTIONAL-ID", "The transactional id to use."),
			number("transaction-duration-ms", option.Long, "", "TRANSACTION-DURATION", "Commit a transaction each time so long has passed. Default with a transactional id: 3000."),
			number("warmup-records", option.Long, "0", "WARMUP-RECORDS", "So many records at the beginning are not part of the steady state, which gets a line of its own."),
			number("reporting-interval", option.Long, "5000", "INTERVAL-MS", "How often to print, in milliseconds."),
		),
	}}
}

func argparseError(format string, args ...any) error {
	return &option.Error{Text: fmt.Sprintf(format, args...)}
}

func runProducerPerf(c *call) error {
	if err := checkProducerPerf(c.given); err != nil {
		return err
	}
	g := c.given
	o := perf.ProducerOptions{Topic: g.Text("topic"), Records: g.Long("num-records"), Monotonic: g.Has("payload-monotonic"), Throughput: g.Double("throughput"),
		Warmup: max(g.Long("warmup-records"), 0), Interval: time.Duration(g.Long("reporting-interval")) * time.Millisecond, PrintMetrics: g.Has("print-metrics")}
	if n := c.long("record-size"); n != nil {
		o.RecordSize = int(*n)
	}
	if g.Has("payload-file") {
		delimiter := g.Text("payload-delimiter")
		if delimiter == `\n` {
			delimiter = "\n"
		}
		var err error
		if o.Payloads, err = perf.ReadPayloads(c.Out, g.Text("payload-file"), delimiter); err != nil {
			return &javaError{err.Error()}
		}
	}
	so, err := producerPerfSession(c)
	if err != nil {
		return err
	}
	_, named := so.Properties["transactional.id"]
	if g.Has("transactional-id") {
		so.Properties["transactional.id"], named = g.Text("transactional-id"), true
	}
	if named || g.Has("transaction-duration-ms") {
		o.TransactionDuration = 3 * time.Second
		if n := c.long("transaction-duration-ms"); n != nil {
			o.TransactionDuration = time.Duration(*n) * time.Millisecond
		}
		so.Properties.Default("transactional.id", randomGroup("performance-producer-"))
	}
	return perf.Produce(c.ctx, so, o)
}

// producerPerfSession reads the producer's settings, old names and new.
func producerPerfSession(c *call) (session.Options, error) {
	g := c.given
	pairs, file := "command-property", "command-config"
	if g.Has("producer-props") {
		fmt.Fprintln(c.Out, "Option --producer-props has been deprecated and will be removed in a future version. Use --command-property instead.")
		pairs = "producer-props"
	}
	if g.Has("producer.config") {
		fmt.Fprintln(c.Out, "Option --producer.config has been deprecated and will be removed in a future version. Use --command-config instead.")
		file = "producer.config"
	}
	for _, pair := range g.Texts(pairs) {
		if parts := strings.Split(pair, "="); len(parts) != 2 || parts[1] == "" {
			return session.Options{}, &javaError{"Invalid property: " + pair}
		}
	}
	o, err := c.options(file, pairs)
	if err == nil {
		o.Properties.Default("client.id", "perf-producer-client")
	}
	return o, err
}

func checkProducerPerf(g *option.Given) error {
	for _, name := range []string{"topic", "num-records", "throughput"} {
		if !g.Has(name) {
			return argparseError("argument --%s is required", name)
		}
	}
	payloads := []string{"record-size", "payload-file", "payload-monotonic"}
	if g.Count(payloads...) == 0 {
		return argparseError("one of the arguments --%s is required", strings.Join(payloads, " --"))
	}
	var first string
	for _, name := range g.Order() {
		for _, one := range payloads {
			if name == one && first != "" && first != name {
				return argparseError("argument --%s: not allowed with argument --%s", name, first)
			} else if name == one {
				first = name
			}
		}
	}
	above := func(name string) bool { return !g.Has(name) || g.Double(name) > 0 }
	switch {
	case g.Long("num-records") <= 0:
		return argparseError("--num-records should be greater than zero.")
	case g.Long("warmup-records") >= g.Long("num-records"):
		return argparseError("The value for --warmup-records must be strictly fewer than the number of records in the test, --num-records.")
	case !above("record-size"):
		return argparseError("--record-size should be greater than zero.")
	case !g.HasAny("bootstrap-server", "command-property", "producer-props", "producer.config", "command-config"):
		return argparseError("At least one of --bootstrap-server, --command-property, --producer-props, --producer.config or --command-config must be specified.")
	case g.Count("command-property", "producer-props") > 1:
		return argparseError("--command-property and --producer-props cannot be specified together.")
	case g.Count("command-config", "producer.config") > 1:
		return argparseError("--command-config and --producer.config cannot be specified together.")
	case !above("transaction-duration-ms"):
		return argparseError("--transaction-duration-ms should be greater than zero.")
	case !above("reporting-interval"):
		return argparseError("--reporting-interval should be greater than zero.")
	}
	return nil
}

// failArgparse prints mistakes in the command line as argparse4j does.
func failArgparse(c *call, err error) int {
	var mistake *option.Error
	var value *option.ValueError
	if !errors.As(err, &mistake) && !errors.As(err, &value) {
		return c.failed(err)
	}
	c.tool.set.Synopsis(c.Err)
	fmt.Fprintf(c.Err, "%s: error: %v\n", c.tool.set.Program, err)
	return 1
}

func consumerPerfTool() *Tool {
	return &Tool{Name: "kafka-consumer-perf-test", run: runConsumerPerf, set: option.Set{
		Program: "kafka-consumer-perf-test",
		Summary: "This tool is used to verify the consumer performance.",
		Options: withHelp(
			bootstrap("REQUIRED: The server(s) to connect to."),
			required("topic", "topic", "The topic to consume from."),
			required("include", "Java regex (String)", "A regular expression for the topics to consume from."),
			required("group", "gid", "The consumer group. Default: perf-consumer- and a random number."),
			number("fetch-size", option.Integer, "1048576", "size", "How many bytes of a partition one request may fetch."),
			repeated("command-property", "prop1=val1", "A setting of the consumer. Stronger than --command-config."),
			toggle("from-latest", "Begin with records that are yet to come, unless the group has an offset."),
			number("socket-buffer-size", option.Integer, "2097152", "size", "The size of the socket's buffer."),
			required("consumer.config", "config file", "(DEPRECATED) Use --command-config instead."),
			required("command-config", "config file", "Properties file for the consumer."),
			toggle("print-metrics", "Print the client's counters at the end."),
			toggle("show-detailed-stats", "Print a line each --reporting-interval."),
			option.Option{Name: "timeout", Argument: option.Optional, Kind: option.Long, Default: "10000", Metavar: "milliseconds", Help: "How long to wait for the next record."},
			number("messages", option.Long, "", "count", "(DEPRECATED) Use --num-records instead."),
			number("num-records", option.Long, "", "count", "REQUIRED: The number of records to consume."),
			number("reporting-interval", option.Long, "5000", "interval_ms", "How often to print, in milliseconds."),
			option.Option{Name: "date-format", Argument: option.Required, Default: "yyyy-MM-dd HH:mm:ss:SSS", Metavar: "date format", Help: "How to print times: a pattern of java.text.SimpleDateFormat."},
			toggle("hide-header", "Print no header."),
		),
	}}
}

func runConsumerPerf(c *call) error {
	g := c.given
	if err := checkConsumerPerf(c); err != nil {
		return err
	}
	records, file := "num-records", "command-config"
	if g.Has("messages") {
		fmt.Fprintln(c.Out, "Warning: --messages is deprecated. Use --num-records instead.")
		records = "messages"
	}
	if g.Has("consumer.config") {
		fmt.Fprintln(c.Out, "Warning: --consumer.config is deprecated. Use --command-config instead.")
		file = "consumer.config"
	}
	o, err := c.options(file, "command-property")
	if err != nil {
		return err
	}
	p := o.Properties
	p.Default("client.id", "perf-consumer-client")
	p["group.id"] = g.Text("group")
	if p["group.id"] == "" {
		p["group.id"] = randomGroup("perf-consumer-")
	}
	p["max.partition.fetch.bytes"] = g.Text("fetch-size")
	p["auto.offset.reset"] = "earliest"
	if g.Has("from-latest") {
		p["auto.offset.reset"] = "latest"
	}
	p["check.crcs"] = "false"
	return perf.Consume(c.ctx, o, perf.ConsumerOptions{Topic: g.Text("topic"), Include: g.Text("include"), Records: g.Long(records),
		Timeout: time.Duration(g.Long("timeout")) * time.Millisecond, Interval: time.Duration(g.Long("reporting-interval")) * time.Millisecond,
		Detailed: g.Has("show-detailed-stats"), HideHeader: g.Has("hide-header"), DateFormat: g.Text("date-format"), PrintMetrics: g.Has("print-metrics")})
}

func checkConsumerPerf(c *call) error {
	g := c.given
	if err := g.Require("bootstrap-server"); err != nil {
		return err
	}
	if err := g.ExactlyOne("topic", "include"); err != nil {
		return err
	}
	if err := g.ExactlyOne("messages", "num-records"); err != nil {
		return err
	}
	if err := g.Conflict("consumer.config", "command-config"); err != nil {
		return err
	}
	if _, err := regexp.Compile(g.Text("include")); err != nil {
		return &session.Misuse{Text: err.Error()}
	}
	if g.Long("reporting-interval") <= 0 {
		return &plainError{"Reporting interval must be greater than 0."}
	}
	return nil
}
