package command

import (
	"fmt"
	"time"

	"github.com/millrace/millrace/cmd/command/groups"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/spf13/cobra"
)

func groupsCommand(env *environment) *cobra.Command {
	return connected(env, parent("groups", "List, describe, reset and delete consumer groups",
		listGroups(env), describeGroups(env), deleteGroups(env), resetOffsets(env), deleteOffsets(env)))
}

func listGroups(env *environment) *cobra.Command {
	var o groups.ListOptions
	var everyKind bool
	cmd := &cobra.Command{
		Use: "list", Short: "List consumer groups", Aliases: []string{"ls"}, Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.ShowStates = o.ShowStates || o.States != ""
			o.ShowTypes = o.ShowTypes || o.Types != ""
			if !everyKind {
				return env.with(func(s *session.Session) error { return groups.List(env.ctx, s, o) })
			}
			kinds := groups.KindOptions{}
			if o.Types != "" {
				kind, err := groups.ParseKind(o.Types)
				if err != nil {
					return &usageError{err}
				}
				kinds.Type = kind
			}
			return env.with(func(s *session.Session) error { return groups.ListKinds(env.ctx, s, kinds) })
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.ShowStates, "show-state", false, "show the state of each group")
	flags.BoolVar(&o.ShowTypes, "show-type", false, "show the type of each group")
	flags.StringVar(&o.States, "state", "", "only groups in these states, separated by commas")
	flags.StringVar(&o.Types, "type", "", "only groups of these types: classic, consumer")
	flags.BoolVar(&everyKind, "every-kind", false, "list what is no consumer group too, with types and protocols")
	cmd.MarkFlagsMutuallyExclusive("every-kind", "state")
	cmd.MarkFlagsMutuallyExclusive("every-kind", "show-state")
	return cmd
}

// everyGroup adds the flag that stands for all groups.
func everyGroup(cmd *cobra.Command, all *bool) {
	cmd.Flags().BoolVar(all, "all-groups", false, "every consumer group")
	cmd.Args = arguments(func(cmd *cobra.Command, args []string) error {
		if *all == (len(args) > 0) {
			return fmt.Errorf("name groups, or give --all-groups")
		}
		return nil
	})
}

func describeGroups(env *environment) *cobra.Command {
	var o groups.DescribeOptions
	cmd := &cobra.Command{
		Use: "describe GROUP...", Short: "Show partitions, offsets and lag of groups", ValidArgsFunction: env.completeGroups(),
		RunE: func(_ *cobra.Command, args []string) error {
			o.Groups = args
			return env.with(func(s *session.Session) error { return groups.Describe(env.ctx, s, o) })
		},
	}
	everyGroup(cmd, &o.All)
	flags := cmd.Flags()
	flags.BoolVar(&o.Members, "members", false, "show the members instead")
	flags.BoolVar(&o.State, "state", false, "show the state instead")
	flags.BoolVarP(&o.Verbose, "verbose", "v", false, "show more columns")
	cmd.MarkFlagsMutuallyExclusive("members", "state")
	return cmd
}

func deleteGroups(env *environment) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "delete GROUP...", Short: "Delete groups that have no members", Aliases: []string{"rm"}, ValidArgsFunction: env.completeGroups(),
		RunE: func(_ *cobra.Command, args []string) error {
			return env.with(func(s *session.Session) error { return groups.Delete(env.ctx, s, args, all) })
		},
	}
	everyGroup(cmd, &all)
	return cmd
}

func deleteOffsets(env *environment) *cobra.Command {
	var topics []string
	cmd := &cobra.Command{
		Use: "delete-offsets GROUP --topic TOPIC[:0,1]", Short: "Delete offsets that a group has committed",
		Args: arguments(cobra.ExactArgs(1)), ValidArgsFunction: env.completeGroups(),
		RunE: func(_ *cobra.Command, args []string) error {
			return env.with(func(s *session.Session) error { return groups.DeleteOffsets(env.ctx, s, args[0], topics) })
		},
	}
	cmd.Flags().StringArrayVarP(&topics, "topic", "t", nil, "topic, or topic:0,1 for some of its partitions (repeat)")
	if err := cmd.MarkFlagRequired("topic"); err != nil {
		panic(err)
	}
	completeFlag(cmd, "topic", env.completeTopics())
	return cmd
}

func resetOffsets(env *environment) *cobra.Command {
	var o groups.ResetOptions
	var offset, shift int64
	cmd := &cobra.Command{
		Use: "reset-offsets GROUP...", Short: "Set the offsets of groups that have no members",
		Long: "Show which offsets groups would get, and with --execute set them. Groups must have no members.\n" +
			"Say which partitions (--topic or --all-topics) and where to (one of --to-…, --shift-by, --by-duration, --from-file).",
		Example: "  millrace groups reset-offsets billing --topic orders --to-earliest\n" +
			"  millrace groups reset-offsets billing --all-topics --by-duration PT2H --execute",
		ValidArgsFunction: env.completeGroups(),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Groups, o.Now = args, time.Now()
			if cmd.Flags().Changed("to-offset") {
				o.ToOffset = &offset
			}
			if cmd.Flags().Changed("shift-by") {
				o.ShiftBy = &shift
			}
			return env.with(func(s *session.Session) error { return groups.Reset(env.ctx, s, o) })
		},
	}
	everyGroup(cmd, &o.All)
	flags := cmd.Flags()
	flags.StringArrayVarP(&o.Topics, "topic", "t", nil, "topic, or topic:0,1 for some of its partitions (repeat)")
	flags.BoolVar(&o.AllTopics, "all-topics", false, "every partition that the group has an offset of")
	flags.BoolVar(&o.ToEarliest, "to-earliest", false, "to the first record there is")
	flags.BoolVar(&o.ToLatest, "to-latest", false, "to the end")
	flags.BoolVar(&o.ToCurrent, "to-current", false, "to what is committed now; without that, to the end")
	flags.Int64Var(&offset, "to-offset", 0, "to this offset")
	flags.Int64Var(&shift, "shift-by", 0, "so many records on, or back if negative")
	flags.StringVar(&o.ToDateTime, "to-datetime", "", "to the first record since a time, 2026-01-31T08:30:00.000 (UTC, or with +01:00 behind)")
	flags.StringVar(&o.ByDuration, "by-duration", "", "to the first record since so long ago, PnDTnHnMnS")
	flags.StringVar(&o.FromFile, "from-file", "", "to what a file says that --export wrote")
	flags.BoolVar(&o.Execute, "execute", false, "set the offsets, instead of only showing them")
	flags.BoolVar(&o.Export, "export", false, "print CSV for --from-file")
	scenarios := []string{"to-earliest", "to-latest", "to-current", "to-offset", "shift-by", "to-datetime", "by-duration", "from-file"}
	cmd.MarkFlagsMutuallyExclusive(scenarios...)
	cmd.MarkFlagsOneRequired(scenarios...)
	cmd.MarkFlagsMutuallyExclusive("topic", "all-topics")
	completeFlag(cmd, "topic", env.completeTopics())
	return cmd
}
