package command

import (
	"fmt"
	"strconv"
	"time"

	"github.com/millrace/millrace/cmd/command/console"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/spf13/cobra"
)

// consumeFlags say what to consume and how to print it.
type consumeFlags struct {
	topic, pattern, offset, group, formatter string
	partition                                int32
	beginning, committed, skip               bool
	max                                      int64
	timeout                                  time.Duration
	printed                                  []string
	properties                               []string
	keyDeserializer, valueDeserializer       string
}

func consumeCommand(env *environment) *cobra.Command {
	var f consumeFlags
	cmd := &cobra.Command{
		Use: "consume TOPIC", Short: "Print records, one a line",
		Example: "  millrace consume orders --from-beginning\n  millrace consume orders --partition 2 --offset 4711 -n 1 --print key,offset,timestamp",
		Args:    arguments(cobra.MaximumNArgs(1)), ValidArgsFunction: env.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := env.options()
			if err != nil {
				return err
			}
			if args, err = oneTopic(args, f.topic); err != nil {
				return err
			}
			consume, err := f.options(cmd, args, o.Properties)
			if err != nil {
				return &usageError{err}
			}
			return console.Consume(env.ctx, o, consume)
		},
	}
	flags := cmd.Flags()
	topicFlag(env, cmd, &f.topic)
	flags.StringVar(&f.pattern, "include", "", "consume the topics whose names match this, instead of one")
	flags.Int32VarP(&f.partition, "partition", "p", 0, "only this partition (default: all)")
	flags.StringVarP(&f.offset, "offset", "o", "latest", "where to begin in --partition: earliest, latest or a number")
	flags.BoolVarP(&f.beginning, "from-beginning", "B", false, "begin with the first record there is, unless the group has an offset")
	flags.StringVarP(&f.group, "group", "g", "", "be a member of this group and commit what was printed")
	flags.Int64VarP(&f.max, "max-messages", "n", -1, "end after so many records (default: never)")
	flags.DurationVar(&f.timeout, "timeout", 0, "end when no record came for so long (default: never)")
	flags.BoolVar(&f.committed, "read-committed", false, "leave out what transactions have not committed")
	flags.StringSliceVar(&f.printed, "print", nil, "also print: timestamp, partition, offset, epoch, headers, key; only with value: value (separated by commas)")
	flags.StringArrayVar(&f.properties, "formatter-property", nil, "any property of Kafka's formatters, name=value (repeat)")
	flags.StringVar(&f.formatter, "formatter", "", "the class of one of Kafka's formatters")
	flags.StringVar(&f.keyDeserializer, "key-deserializer", "", "what keys are: String, Integer, Long, Short, Float, Double, Bytes, UUID, or a class of Kafka's")
	flags.StringVar(&f.valueDeserializer, "value-deserializer", "", "what values are, likewise")
	flags.BoolVar(&f.skip, "skip-message-on-error", false, "pass over records that cannot be printed")
	completeFlag(cmd, "group", env.completeGroups())
	return connected(env, cmd)
}

func (f *consumeFlags) options(cmd *cobra.Command, args []string, p session.Properties) (console.ConsumeOptions, error) {
	o := console.ConsumeOptions{Include: f.pattern, Max: f.max, Timeout: f.timeout, SkipOnError: f.skip, CreateTopic: true}
	changed := cmd.Flags().Changed
	switch {
	case len(args) == 1 && f.pattern != "" || len(args) == 0 && f.pattern == "":
		return o, fmt.Errorf("name one topic, or give a pattern with --include")
	case changed("offset") && !changed("partition"):
		return o, fmt.Errorf("--offset needs --partition: offsets differ from partition to partition")
	case changed("partition") && (f.pattern != "" || f.group != ""):
		return o, fmt.Errorf("--partition goes with a topic, not with --include or --group")
	}
	if len(args) == 1 {
		o.Topic = args[0]
	}
	if err := console.CheckPattern(f.pattern); err != nil {
		return o, err
	}
	p.Default("auto.offset.reset", map[bool]string{true: "earliest", false: "latest"}[f.beginning])
	if f.committed {
		p["isolation.level"] = "read_committed"
	}
	if f.group != "" {
		p["group.id"] = f.group
	}
	if changed("partition") {
		o.Partition = &f.partition
		var err error
		if o.Offset, err = f.start(); err != nil {
			return o, err
		}
	}
	var err error
	o.Formatter, err = console.NewFormatter(f.formatter, f.formatting())
	return o, err
}

func (f *consumeFlags) start() (int64, error) {
	switch {
	case f.offset == "earliest" || f.beginning:
		return session.Earliest, nil
	case f.offset == "latest":
		return session.Latest, nil
	}
	n, err := strconv.ParseInt(f.offset, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("offset %q: expected earliest, latest or a number", f.offset)
	}
	return n, nil
}

// formatting are the formatter's properties.
func (f *consumeFlags) formatting() session.Properties {
	p := session.Properties{}
	for _, column := range f.printed {
		p["print."+column] = "true"
	}
	for name, class := range map[string]string{"key.deserializer": f.keyDeserializer, "value.deserializer": f.valueDeserializer} {
		if class != "" {
			p[name] = class
		}
	}
	p.Merge(f.properties)
	return p
}
