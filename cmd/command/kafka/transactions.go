package kafka

import (
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/cmd/command/option"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/cmd/command/transactions"
)

// must makes an option one that has to be given.
func must(o option.Option) option.Option {
	o.Must = true
	return o
}

// command declares one of the commands of a tool.
func command(name, summary string, options ...option.Option) *option.Set {
	return &option.Set{Program: name, Summary: summary, Argparse: true, Options: append(options, toggle("help", "Print usage information."))}
}

func transactionsTool() *Tool {
	topic, partition := must(required("topic", "TOPIC", "The topic.")), must(number("partition", option.Integer, "", "PARTITION", "The partition's number."))
	return &Tool{Name: "kafka-transactions", run: runTransactions, fail: failTransactions, helpFails: true, set: option.Set{
		Program:  "kafka-transactions.sh",
		Argparse: true,
		Summary: "This tool is used to analyze the transactional state of producers in the cluster. " +
			"It can be used to detect and recover from hanging transactions.",
		Options: withHelp(required("command-config", "FILE", "Property file with settings of the admin client."),
			must(required("bootstrap-server", "host:port", "The brokers to connect to, separated by commas."))),
		Commands: []*option.Set{
			command("list", "list transactions",
				number("duration-filter", option.Long, "", "DURATION_FILTER", "Only transactions that run for longer than so many milliseconds. Negative: all."),
				required("transactional-id-pattern", "TRANSACTIONAL_ID_PATTERN", "A regular expression for the transactional id.")),
			command("describe", "describe the state of an active transactional-id", must(required("transactional-id", "TRANSACTIONAL_ID", "The transactional id."))),
			command("describe-producers", "describe the states of active producers for a topic partition",
				number("broker-id", option.Integer, "", "BROKER_ID", "Ask this broker instead of the leader."), topic, partition),
			command("abort", "abort a hanging transaction (requires administrative privileges)", topic, partition,
				number("start-offset", option.Long, "", "START_OFFSET", "The offset at which the transaction begins."),
				number("producer-id", option.Long, "", "PRODUCER_ID", "The producer, for brokers older than 3.0."),
				number("producer-epoch", option.Integer, "", "PRODUCER_EPOCH", "The producer's epoch, for brokers older than 3.0."),
				number("coordinator-epoch", option.Integer, "", "COORDINATOR_EPOCH", "The coordinator's epoch, for brokers older than 3.0.")),
			command("find-hanging", "find hanging transactions",
				number("broker-id", option.Integer, "", "BROKER_ID", "Search the partitions of this broker."),
				number("max-transaction-timeout", option.Integer, "15", "MAX_TRANSACTION_TIMEOUT", "Leave out what is open for no longer than so many minutes."),
				required("topic", "TOPIC", "Search this topic."), number("partition", option.Integer, "", "PARTITION", "Search this partition of the topic.")),
			command("forceTerminateTransaction", "Force abort an ongoing transaction on transactionalId (requires administrative privileges)",
				must(required("transactionalId", "TRANSACTIONALID", "The transactional id."))),
		},
	}}
}

// integer is the value of an option that may be absent.
func (c *call) integer(name string) *int32 {
	n := c.long(name)
	if n == nil {
		return nil
	}
	i := int32(*n)
	return &i
}

func runTransactions(c *call) error {
	g := c.given
	switch g.Command() {
	case "abort":
		if err := checkAbort(g); err != nil {
			return err
		}
	case "find-hanging":
		if !g.HasAny("topic", "broker-id") {
			return &plainError{"The `find-hanging` command requires either --topic or --broker-id to limit the scope of the search"}
		} else if g.Has("partition") && !g.Has("topic") {
			return &plainError{"The --partition argument requires --topic to be provided"}
		}
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	defer s.Close()
	partition := session.Partition{}
	if p := c.integer("partition"); p != nil {
		partition = session.Partition{Topic: g.Text("topic"), Partition: *p}
	}
	switch g.Command() {
	case "list":
		longer := time.Duration(-1)
		if n := c.long("duration-filter"); n != nil {
			longer = time.Duration(*n) * time.Millisecond
		}
		return transactions.List(c.ctx, s, transactions.ListOptions{Longer: longer, Pattern: g.Text("transactional-id-pattern")})
	case "describe":
		return transactions.Describe(c.ctx, s, g.Text("transactional-id"), time.Now())
	case "describe-producers":
		return transactions.Producers(c.ctx, s, partition, c.integer("broker-id"))
	case "abort":
		return transactions.Abort(c.ctx, s, abortSpec(c, partition))
	case "find-hanging":
		return transactions.FindHanging(c.ctx, s, transactions.HangingOptions{Topic: g.Text("topic"), Partition: c.integer("partition"), Broker: c.integer("broker-id"),
			Longest: time.Duration(g.Long("max-transaction-timeout")) * time.Minute, Now: time.Now()})
	}
	return transactions.Terminate(c.ctx, s, g.Text("transactionalId"))
}

func abortSpec(c *call, p session.Partition) transactions.Spec {
	spec := transactions.Spec{Partition: p, StartOffset: c.long("start-offset")}
	if spec.StartOffset == nil {
		spec.ProducerID, spec.ProducerEpoch = c.given.Long("producer-id"), int16(c.given.Int("producer-epoch"))
		spec.CoordinatorEpoch = int32(c.given.Int("coordinator-epoch"))
	}
	return spec
}

func checkAbort(g *option.Given) error {
	switch {
	case !g.HasAny("start-offset", "producer-id"):
		return &plainError{"The transaction to abort must be identified either with --start-offset (for brokers on 3.0 or above) " +
			"or with --producer-id, --producer-epoch, and --coordinator-epoch (for older brokers)"}
	case g.Has("start-offset"):
	case !g.Has("producer-epoch"):
		return &plainError{"Missing required argument --producer-epoch"}
	case !g.Has("coordinator-epoch"):
		return &plainError{"Missing required argument --coordinator-epoch"}
	}
	return nil
}

// failTransactions prints mistakes as argparse does, everything else as it is.
func failTransactions(c *call, err error) int {
	var mistake *option.Error
	var value *option.ValueError
	if errors.As(err, &mistake) || errors.As(err, &value) {
		return failArgparse(c, err)
	}
	fmt.Fprintln(c.Err, session.Exception(err))
	return 1
}
