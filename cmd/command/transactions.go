package command

import (
	"fmt"
	"strconv"
	"time"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/cmd/command/transactions"
	"github.com/spf13/cobra"
)

func transactionsCommand(env *environment) *cobra.Command {
	return connected(env, parent("transactions", "List, describe and end transactions",
		listTransactions(env), describeTransaction(env), describeProducers(env), abortTransaction(env), findHanging(env), terminateTransaction(env)))
}

func listTransactions(env *environment) *cobra.Command {
	var o transactions.ListOptions
	cmd := &cobra.Command{
		Use: "list", Short: "List the transactional ids and their states", Args: arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return env.with(func(s *session.Session) error { return transactions.List(env.ctx, s, o) })
		},
	}
	cmd.Flags().DurationVar(&o.Longer, "longer-than", -1, "only transactions that run for longer")
	cmd.Flags().StringVar(&o.Pattern, "pattern", "", "only transactional ids that match this regular expression")
	return cmd
}

func describeTransaction(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "describe ID", Short: "Show the state of a transactional id", Args: arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			return env.with(func(s *session.Session) error { return transactions.Describe(env.ctx, s, args[0], time.Now()) })
		},
	}
}

// parsePartition reads a topic and the number of a partition.
func parsePartition(args []string) (session.Partition, error) {
	n, err := strconv.ParseInt(args[1], 10, 32)
	if err != nil {
		return session.Partition{}, &usageError{fmt.Errorf("partition %q: expected a number", args[1])}
	}
	return session.Partition{Topic: args[0], Partition: int32(n)}, nil
}

// someBroker adds the flag that names a broker; nil stands for none.
func someBroker(cmd *cobra.Command, help string) func() *int32 {
	id := cmd.Flags().Int32("broker", 0, help)
	return func() *int32 {
		if !cmd.Flags().Changed("broker") {
			return nil
		}
		return id
	}
}

func describeProducers(env *environment) *cobra.Command {
	var broker func() *int32
	cmd := &cobra.Command{
		Use: "producers TOPIC PARTITION", Short: "Show who writes to a partition, and which transactions are open there",
		Args: arguments(cobra.ExactArgs(2)), ValidArgsFunction: env.completeTopics(),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := parsePartition(args)
			if err != nil {
				return err
			}
			return env.with(func(s *session.Session) error { return transactions.Producers(env.ctx, s, p, broker()) })
		},
	}
	broker = someBroker(cmd, "ask this broker instead of the leader")
	return cmd
}

func abortTransaction(env *environment) *cobra.Command {
	var start int64
	cmd := &cobra.Command{
		Use: "abort TOPIC PARTITION --start-offset N", Short: "Abort a transaction that hangs in a partition", Args: arguments(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := parsePartition(args)
			if err != nil {
				return err
			}
			return env.with(func(s *session.Session) error {
				return transactions.Abort(env.ctx, s, transactions.Spec{Partition: p, StartOffset: &start})
			})
		},
	}
	cmd.Flags().Int64Var(&start, "start-offset", 0, "the offset at which the transaction begins")
	if err := cmd.MarkFlagRequired("start-offset"); err != nil {
		panic(err)
	}
	return cmd
}

func findHanging(env *environment) *cobra.Command {
	var broker func() *int32
	var longest time.Duration
	cmd := &cobra.Command{
		Use: "find-hanging [TOPIC [PARTITION]]", Short: "Find transactions that are open but that nobody will end", Args: arguments(cobra.MaximumNArgs(2)),
		ValidArgsFunction: env.completeTopics(),
		RunE: func(_ *cobra.Command, args []string) error {
			o := transactions.HangingOptions{Broker: broker(), Longest: longest, Now: time.Now()}
			if len(args) > 0 {
				o.Topic = args[0]
			}
			if len(args) > 1 {
				p, err := parsePartition(args)
				if err != nil {
					return err
				}
				o.Partition = &p.Partition
			}
			return env.with(func(s *session.Session) error { return transactions.FindHanging(env.ctx, s, o) })
		},
	}
	broker = someBroker(cmd, "search only partitions of this broker, and ask it")
	cmd.Flags().DurationVar(&longest, "max-transaction-timeout", 15*time.Minute, "leave out what is open for no longer")
	return cmd
}

func terminateTransaction(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "terminate ID", Short: "Abort the transaction of an id that its coordinator knows, and fence its producer", Args: arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			return env.with(func(s *session.Session) error { return transactions.Terminate(env.ctx, s, args[0]) })
		},
	}
}
