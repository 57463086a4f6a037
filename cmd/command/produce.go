package command

import (
	"fmt"

	"github.com/millrace/millrace/cmd/command/console"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/spf13/cobra"
)

// produceFlags are the settings of producer and reader that have a flag.
type produceFlags struct {
	topic             string
	acks, compression string
	key, headers      bool
	keySeparator      string
	null              string
	reader            []string
	sync              bool
}

func produceCommand(env *environment) *cobra.Command {
	var f produceFlags
	cmd := &cobra.Command{
		Use: "produce TOPIC", Short: "Send each line of standard input as a record",
		Long: "Send each line of standard input as a record. Lines are taken as they are; with --key the part before a tab is the key,\n" +
			"with --headers the part before the first tab holds headers, name:value,name:value.",
		Example: "  echo 'hello' | millrace produce greetings\n  printf 'k1\\tv1\\n' | millrace produce pairs --key",
		Args:    arguments(cobra.MaximumNArgs(1)), ValidArgsFunction: env.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := env.options()
			if err != nil {
				return err
			}
			args, err = oneTopic(args, f.topic)
			switch {
			case err != nil:
				return err
			case len(args) == 0:
				return &usageError{fmt.Errorf("name the topic to send to (try `%s --help`)", cmd.CommandPath())}
			}
			reader, err := console.NewReader(args[0], f.properties(cmd, o.Properties))
			if err != nil {
				return &usageError{err}
			}
			return console.Produce(env.ctx, o, console.ProduceOptions{Reader: reader, Sync: f.sync, CreateTopic: true})
		},
	}
	flags := cmd.Flags()
	topicFlag(env, cmd, &f.topic)
	flags.StringVarP(&f.acks, "acks", "a", "all", "who must have a record before it counts as sent: all, 1 (the leader) or 0 (nobody)")
	flags.StringVarP(&f.compression, "compression", "z", "none", "none, gzip, snappy, lz4 or zstd")
	flags.BoolVarP(&f.key, "key", "k", false, "lines begin with a key and a separator")
	flags.StringVarP(&f.keySeparator, "key-separator", "K", "\t", "what ends the key")
	flags.BoolVar(&f.headers, "headers", false, "lines begin with headers and a tab")
	flags.StringVar(&f.null, "null", "", "fields equal to this are null")
	flags.StringArrayVar(&f.reader, "reader-property", nil, "any property of Kafka's line reader, name=value (repeat)")
	flags.BoolVar(&f.sync, "sync", false, "wait for each record before reading the next")
	completeFlag(cmd, "compression", cobra.FixedCompletions([]cobra.Completion{"none", "gzip", "snappy", "lz4", "zstd"}, cobra.ShellCompDirectiveNoFileComp))
	return connected(env, cmd)
}

// properties puts the producer's settings into p and returns the reader's.
func (f *produceFlags) properties(cmd *cobra.Command, p session.Properties) session.Properties {
	for flag, pair := range map[string][2]string{"acks": {"acks", f.acks}, "compression": {"compression.type", f.compression}} {
		if cmd.Flags().Changed(flag) {
			p[pair[0]] = pair[1]
		}
		p.Default(pair[0], pair[1])
	}
	p.Default("linger.ms", "5")
	reading := session.Properties{"key.separator": f.keySeparator}
	if f.key || cmd.Flags().Changed("key-separator") {
		reading["parse.key"] = "true"
	}
	if f.headers {
		reading["parse.headers"] = "true"
	}
	if cmd.Flags().Changed("null") {
		reading["null.marker"] = f.null
	}
	reading.Merge(f.reader)
	return reading
}

// topicFlag lets a topic be named as users of Kafka's tools are used to.
func topicFlag(env *environment, cmd *cobra.Command, topic *string) {
	cmd.Flags().StringVarP(topic, "topic", "t", "", "the topic, instead of an argument")
	completeFlag(cmd, "topic", env.completeTopics())
}

// oneTopic is the topic that was named, as an argument or with the flag.
func oneTopic(args []string, flag string) ([]string, error) {
	if flag == "" {
		return args, nil
	}
	if len(args) > 0 {
		return nil, &usageError{fmt.Errorf("topic %s or %s? name one", args[0], flag)}
	}
	return []string{flag}, nil
}
