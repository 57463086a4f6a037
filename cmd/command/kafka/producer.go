package kafka

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/cmd/command/console"
	"github.com/millrace/millrace/cmd/command/option"
	"github.com/millrace/millrace/cmd/command/session"
)

func producerTool() *Tool {
	reader := "A setting of the reader of lines: parse.key=false, key.separator=\\t, parse.headers=false, headers.delimiter=\\t, headers.separator=',', " +
		"headers.key.separator=:, ignore.error=false, null.marker= (fields equal to it are null)."
	return &Tool{Name: "kafka-console-producer", run: runProducer, fail: failProducer, set: option.Set{
		Program: "kafka-console-producer",
		Summary: "This tool helps to read data from standard input and publish it to Kafka.",
		Options: withHelp(
			required("topic", "topic", "REQUIRED: The topic to send to."),
			bootstrap("REQUIRED: The server(s) to connect to, in the form HOST1:PORT1,HOST2:PORT2."),
			toggle("sync", "Wait for each record to be acknowledged before the next is read."),
			option.Option{Name: "compression-codec", Argument: option.Optional, Metavar: "compression-codec", Help: "'none', 'gzip', 'snappy', 'lz4' or 'zstd'. Without a value: gzip."},
			number("batch-size", option.Integer, "16384", "size", "Records for a partition are gathered up to so many bytes (batch.size)."),
			number("message-send-max-retries", option.Integer, "3", "", "How often to try again (retries)."),
			number("retry-backoff-ms", option.Long, "100", "", "How long to wait before trying again (retry.backoff.ms)."),
			number("timeout", option.Long, "1000", "timeout_ms", "How long a record may wait for others to go with it (linger.ms)."),
			option.Option{Name: "request-required-acks", Argument: option.Required, Default: "-1", Metavar: "request required acks", Help: "Who must have a record before it counts as sent (acks)."},
			number("request-timeout-ms", option.Integer, "1500", "request timeout ms", "How long to wait for an acknowledgement (request.timeout.ms)."),
			number("metadata-expiry-ms", option.Long, "300000", "metadata expiration interval", "How old what is known of the cluster may get (metadata.max.age.ms)."),
			number("max-block-ms", option.Long, "60000", "max block on send", "How long sending may block (max.block.ms)."),
			number("max-memory-bytes", option.Long, "33554432", "total memory in bytes", "How many bytes may wait to be sent (buffer.memory)."),
			number("max-partition-memory-bytes", option.Integer, "16384", "memory in bytes per partition", "(Deprecated) Use --batch-size instead."),
			option.Option{Name: "line-reader", Argument: option.Required, Default: lineReader, Metavar: "reader_class", Help: "The class that makes records of lines."},
			number("socket-buffer-size", option.Integer, "102400", "size", "The size of the socket's buffer (send.buffer.bytes)."),
			repeated("property", "prop", "(DEPRECATED) Use --reader-property instead."),
			repeated("reader-property", "prop", reader),
			required("reader-config", "config file", "Properties file for the reader of lines. --reader-property is stronger."),
			repeated("producer-property", "producer_prop", "(DEPRECATED) Use --command-property instead."),
			repeated("command-property", "producer_prop", "A setting of the producer, in the form key=value."),
			required("producer.config", "config file", "(DEPRECATED) Use --command-config instead."),
			required("command-config", "config file", "Properties file for the producer. --command-property is stronger."),
		),
	}}
}

const lineReader = "org.apache.kafka.tools.LineMessageReader"

func runProducer(c *call) error {
	g := c.given
	if err := g.Require("topic"); err != nil {
		return err
	}
	pairs, err := c.renamed("command-property", "producer-property", "Warning: --%s is deprecated and will be removed in a future version. Use --%s instead.")
	if err != nil {
		return err
	}
	file, err := c.renamed("command-config", "producer.config", "Warning: --%s is deprecated and will be removed in a future version. Use --%s instead.")
	if err != nil {
		return err
	}
	readerPairs, err := c.renamed("reader-property", "property", "Warning: --%s is deprecated and will be removed in a future version. Use --%s instead.")
	if err != nil {
		return err
	}
	if g.Has("max-partition-memory-bytes") {
		fmt.Fprintln(c.Out, "Warning: --max-partition-memory-bytes is deprecated and will be removed in Apache Kafka 5.0. Use --batch-size instead.")
	}
	if !g.Has("bootstrap-server") {
		return &session.Misuse{Text: "Error while validating the bootstrap address\n"}
	}
	if class := g.Text("line-reader"); class != lineReader {
		return &javaError{"java.lang.ClassNotFoundException: " + class}
	}
	o, err := c.options(file, pairs)
	if err != nil {
		return err
	}
	c.producerProperties(o.Properties)
	reading := session.Properties{}
	if g.Has("reader-config") {
		if err := reading.Load(g.Text("reader-config")); err != nil {
			return err
		}
	}
	reading.Merge(g.Texts(readerPairs))
	reader, err := console.NewReader(g.Text("topic"), reading)
	if err != nil {
		return &javaError{"org.apache.kafka.common.KafkaException: " + err.Error()}
	}
	return console.Produce(c.ctx, o, console.ProduceOptions{Reader: reader, Sync: g.Has("sync"), CreateTopic: true})
}

// producerProperties puts the options into p, where they are given or p has
// nothing else.
func (c *call) producerProperties(p session.Properties) {
	p["compression.type"] = "none"
	if c.given.Has("compression-codec") {
		p["compression.type"] = c.given.Text("compression-codec")
		if p["compression.type"] == "" {
			p["compression.type"] = "gzip"
		}
	}
	for _, pair := range [][2]string{
		{"linger.ms", "timeout"}, {"acks", "request-required-acks"}, {"request.timeout.ms", "request-timeout-ms"}, {"retries", "message-send-max-retries"},
		{"retry.backoff.ms", "retry-backoff-ms"}, {"send.buffer.bytes", "socket-buffer-size"}, {"buffer.memory", "max-memory-bytes"},
		{"batch.size", "batch-size"}, {"batch.size", "max-partition-memory-bytes"}, {"metadata.max.age.ms", "metadata-expiry-ms"}, {"max.block.ms", "max-block-ms"},
	} {
		c.merge(p, pair[0], pair[1])
	}
}

// merge sets a property from an option: what is given is stronger than what p has,
// and that is stronger than the option's default.
func (c *call) merge(p session.Properties, property, option string) {
	if _, ok := p[property]; c.given.Has(option) || !ok {
		p[property] = c.given.Text(option)
	}
}

// renamed is the name of the one of two options that is given: the present name, or
// the one that it had before, with a warning.
func (c *call) renamed(now, before, warning string) (string, error) {
	switch {
	case c.given.Has(now) && c.given.Has(before):
		return "", &session.Misuse{Text: fmt.Sprintf("Options --%s and --%s cannot be specified together.", now, before)}
	case c.given.Has(before):
		fmt.Fprintf(c.Out, warning+"\n", before, now)
		return before, nil
	}
	return now, nil
}

// javaError is printed as it is, where Kafka's tool prints a stack trace.
type javaError struct{ text string }

func (e *javaError) Error() string { return e.text }

// failProducer ends with 0 when only records failed: each of them was reported.
func failProducer(c *call, err error) int {
	if errors.Is(err, session.ErrReported) {
		return 0
	}
	return c.failed(err)
}
