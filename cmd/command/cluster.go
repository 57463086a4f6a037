package command

import (
	"context"

	"github.com/millrace/millrace/cmd/command/cluster"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/spf13/cobra"
)

func clusterCommand(env *environment) *cobra.Command {
	child := func(use, short string, f func(context.Context, *session.Session) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: arguments(cobra.NoArgs), RunE: func(*cobra.Command, []string) error {
			return env.with(func(s *session.Session) error { return f(env.ctx, s) })
		}}
	}
	return connected(env, parent("cluster", "Show the cluster's id, brokers and API versions",
		child("id", "Show the cluster's id", cluster.ID),
		child("describe", "Show the brokers", cluster.Describe),
		child("api-versions", "Show which versions of each API the brokers speak", cluster.APIVersions)))
}
