package command

import (
	"github.com/millrace/millrace/cmd/command/doctor"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/spf13/cobra"
)

func doctorCommand(env *environment) *cobra.Command {
	var o doctor.Options
	c := &cobra.Command{
		Use: "doctor", Short: "Look for what ails the cluster and this machine",
		Long:    "Asks the brokers for partitions without a leader and data folders that were stopped, a Millrace\nbroker's admin address for the reasons, and looks at the limits of this machine. It changes nothing;\n--folder writes 800 kB to a file of its own and removes it, and reads the journal if that is a data folder. The exit code is 1 when something is bad.",
		Example: "  millrace doctor\n  millrace doctor --bootstrap-server 10.0.0.5:9092 --admin 10.0.0.5:9644\n  millrace doctor --folder /var/lib/millrace",
		Args:    arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			settings, err := env.options()
			if err != nil {
				return err
			}
			s, refused := session.Open(env.ctx, settings)
			if refused == nil {
				defer s.Close()
			}
			return doctor.Examine(env.ctx, env.Out, s, refused, o)
		},
	}
	c.Flags().StringVar(&o.Admin, "admin", "127.0.0.1:9644", "host:port of a Millrace broker's admin.listener; empty: none is asked")
	c.Flags().StringVar(&o.Folder, "folder", "", "folder whose disk is measured, and whose journal is read")
	return connected(env, c)
}
