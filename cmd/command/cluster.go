package command

import (
	"context"
	"time"

	"github.com/millrace/millrace/cmd/command/cluster"
	"github.com/millrace/millrace/cmd/command/logdirs"
	"github.com/millrace/millrace/cmd/command/quorum"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/spf13/cobra"
)

func clusterCommand(env *environment) *cobra.Command {
	child := func(use, short string, f func(context.Context, *session.Session) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: arguments(cobra.NoArgs), RunE: func(*cobra.Command, []string) error {
			return env.with(func(s *session.Session) error { return f(env.ctx, s) })
		}}
	}
	return connected(env, parent("cluster", "Show the cluster's id, brokers, API versions, quorum and folders",
		child("id", "Show the cluster's id", cluster.ID),
		child("describe", "Show the brokers", cluster.Describe),
		child("api-versions", "Show which versions of each API the brokers speak", cluster.APIVersions),
		clusterQuorum(env), clusterLogDirs(env)))
}

func clusterQuorum(env *environment) *cobra.Command {
	var replication, human bool
	cmd := &cobra.Command{
		Use: "quorum", Short: "Show who leads the metadata, and how far its replicas are", Args: arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return env.with(func(s *session.Session) error {
				if replication || human {
					return quorum.Replication(env.ctx, s, human, time.Now)
				}
				return quorum.Status(env.ctx, s)
			})
		},
	}
	cmd.Flags().BoolVar(&replication, "replication", false, "show how far each replica is, instead of the quorum as a whole")
	cmd.Flags().BoolVar(&human, "human-readable", false, "show that, and how long ago times are")
	return cmd
}

func clusterLogDirs(env *environment) *cobra.Command {
	var o logdirs.Options
	cmd := &cobra.Command{
		Use: "log-dirs", Short: "Show which partitions lie in which folders, as JSON", Args: arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return env.with(func(s *session.Session) error { return logdirs.Describe(env.ctx, s, o) })
		},
	}
	cmd.Flags().StringSliceVarP(&o.Topics, "topic", "t", nil, "only these topics, separated by commas")
	cmd.Flags().Int32SliceVar(&o.Brokers, "broker", nil, "only these brokers, separated by commas")
	completeFlag(cmd, "topic", env.completeTopics())
	return cmd
}
