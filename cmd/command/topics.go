package command

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/millrace/millrace/cmd/command/records"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/cmd/command/topics"
	"github.com/spf13/cobra"
)

func topicsCommand(env *environment) *cobra.Command {
	return connected(env, parent("topics", "Create, list, describe, alter and delete topics",
		createTopic(env), listTopics(env), describeTopics(env), alterTopics(env), deleteTopics(env), topicOffsets(env), deleteRecords(env)))
}

func createTopic(env *environment) *cobra.Command {
	var o topics.CreateOptions
	var partitions, replication int64
	cmd := &cobra.Command{
		Use: "create TOPIC", Short: "Create a topic",
		Example: "  millrace topics create orders --partitions 6 --config retention.ms=86400000",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			if cmd.Flags().Changed("partitions") {
				o.Partitions = &partitions
			}
			if cmd.Flags().Changed("replication-factor") {
				o.ReplicationFactor = &replication
			}
			return env.with(func(s *session.Session) error { return topics.Create(env.ctx, s, o) })
		},
	}
	flags := cmd.Flags()
	flags.Int64VarP(&partitions, "partitions", "p", 0, "how many partitions (default: what the cluster is set to)")
	flags.Int64VarP(&replication, "replication-factor", "r", 0, "how many replicas of each (default: what the cluster is set to)")
	flags.StringVar(&o.Assignment, "replica-assignment", "", "the brokers of the replicas, 0:1,1:2 for partition 0 on brokers 0 and 1")
	flags.StringArrayVar(&o.Configs, "config", nil, "setting of the topic, name=value (repeat)")
	flags.BoolVar(&o.IfNotExists, "if-not-exists", false, "no error when the topic is there already")
	return cmd
}

func listTopics(env *environment) *cobra.Command {
	var exclude bool
	cmd := &cobra.Command{
		Use: "list [PATTERN]", Short: "List topics", Aliases: []string{"ls"},
		Args: arguments(cobra.MaximumNArgs(1)), ValidArgsFunction: env.completeTopics(),
		RunE: func(_ *cobra.Command, args []string) error {
			return env.with(func(s *session.Session) error { return topics.List(env.ctx, s, strings.Join(args, ""), exclude) })
		},
	}
	cmd.Flags().BoolVar(&exclude, "exclude-internal", false, "leave internal topics out")
	return cmd
}

func describeTopics(env *environment) *cobra.Command {
	var o topics.DescribeOptions
	cmd := &cobra.Command{
		Use: "describe [PATTERN...]", Short: "Show partitions, replicas and settings of topics",
		ValidArgsFunction: env.completeTopics(),
		RunE: func(_ *cobra.Command, args []string) error {
			o.Topics = strings.Join(args, "|")
			return env.with(func(s *session.Session) error { return topics.Describe(env.ctx, s, o) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.ID, "id", "", "the topic of this id, instead of a pattern")
	flags.BoolVar(&o.ExcludeInternal, "exclude-internal", false, "leave internal topics out")
	flags.BoolVar(&o.IfExists, "if-exists", false, "no error when no topic matches")
	flags.BoolVar(&o.UnderReplicated, "under-replicated", false, "only partitions with fewer replicas in sync than they have")
	flags.BoolVar(&o.Unavailable, "unavailable", false, "only partitions without a leader that is up")
	flags.BoolVar(&o.UnderMinISR, "under-min-isr", false, "only partitions with fewer replicas in sync than configured")
	flags.BoolVar(&o.AtMinISR, "at-min-isr", false, "only partitions with just as many replicas in sync as configured")
	flags.BoolVar(&o.Overrides, "overrides", false, "only topics with settings of their own")
	return cmd
}

func alterTopics(env *environment) *cobra.Command {
	var o topics.AlterOptions
	cmd := &cobra.Command{
		Use: "alter PATTERN --partitions N", Short: "Add partitions to topics",
		Args: arguments(cobra.ExactArgs(1)), ValidArgsFunction: env.completeTopics(),
		RunE: func(_ *cobra.Command, args []string) error {
			o.Topics = args[0]
			return env.with(func(s *session.Session) error { return topics.Alter(env.ctx, s, o) })
		},
	}
	flags := cmd.Flags()
	flags.Int32VarP(&o.Partitions, "partitions", "p", 0, "how many partitions there shall be")
	flags.StringVar(&o.Assignment, "replica-assignment", "", "the brokers of all partitions' replicas, old and new")
	flags.BoolVar(&o.IfExists, "if-exists", false, "no error when no topic matches")
	if err := cmd.MarkFlagRequired("partitions"); err != nil {
		panic(err)
	}
	return cmd
}

func deleteTopics(env *environment) *cobra.Command {
	var ifExists bool
	cmd := &cobra.Command{
		Use: "delete PATTERN...", Short: "Delete topics", Aliases: []string{"rm"},
		Args: arguments(cobra.MinimumNArgs(1)), ValidArgsFunction: env.completeTopics(),
		RunE: func(_ *cobra.Command, args []string) error {
			return env.with(func(s *session.Session) error { return topics.Delete(env.ctx, s, strings.Join(args, "|"), ifExists) })
		},
	}
	cmd.Flags().BoolVar(&ifExists, "if-exists", false, "no error when no topic matches")
	return cmd
}

func topicOffsets(env *environment) *cobra.Command {
	var o topics.OffsetsOptions
	cmd := &cobra.Command{
		Use: "offsets [PATTERN]", Short: "Show offsets of partitions, as topic:partition:offset",
		Example: "  millrace topics offsets orders --time earliest",
		Args:    arguments(cobra.MaximumNArgs(1)), ValidArgsFunction: env.completeTopics(),
		RunE: func(_ *cobra.Command, args []string) error {
			o.Topics = strings.Join(args, "")
			return env.with(func(s *session.Session) error { return topics.Offsets(env.ctx, s, o) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Partitions, "partitions", "", "only these, separated by commas")
	flags.StringVarP(&o.Time, "time", "t", "latest", "earliest, latest, max-timestamp, or milliseconds since 1970")
	flags.BoolVar(&o.ExcludeInternal, "exclude-internal", false, "leave internal topics out")
	return cmd
}

func deleteRecords(env *environment) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "delete-records TOPIC:PARTITION:OFFSET...", Short: "Delete the records that lie before an offset; -1 stands for the end",
		Example: "  millrace topics delete-records orders:0:1000 orders:1:-1",
		RunE: func(_ *cobra.Command, args []string) error {
			var all []records.Before
			if file != "" {
				text, err := os.ReadFile(file)
				if err != nil {
					return fmt.Errorf("read which records to delete: %w", err)
				}
				if all, err = records.ParseJSON(text); err != nil {
					return fmt.Errorf("read which records to delete from %s: %w", file, err)
				}
			}
			for _, arg := range args {
				one, err := records.Parse(arg)
				if err != nil {
					return &usageError{err}
				}
				all = append(all, one)
			}
			if len(all) == 0 {
				return &usageError{errors.New("say which records to delete: TOPIC:PARTITION:OFFSET, or --from-file")}
			}
			return env.with(func(s *session.Session) error { return records.Delete(env.ctx, s, all) })
		},
	}
	cmd.Flags().StringVar(&file, "from-file", "", "a JSON file as kafka-delete-records takes it")
	return cmd
}
