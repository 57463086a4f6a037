package kafka

import (
	"time"

	"github.com/millrace/millrace/cmd/command/option"
	"github.com/millrace/millrace/cmd/command/quorum"
)

func quorumTool() *Tool {
	dry := toggle("dry-run", "True if we should print what would be done, but not do it.")
	return &Tool{Name: "kafka-metadata-quorum", run: runQuorum, fail: failTransactions, set: option.Set{
		Program:  "kafka-metadata-quorum",
		Argparse: true,
		Summary:  "This tool describes kraft metadata quorum status.",
		Options:  servers(),
		Commands: []*option.Set{command("describe", "Describe the metadata quorum info", toggle("status", "The quorum as a whole."),
			toggle("replication", "How far each replica is."), toggle("human-readable", "With --replication: say how long ago times are.")),
			command("add-controller", "Add a controller to the KRaft controller cluster", dry),
			command("remove-controller", "Remove a controller from the KRaft controller cluster",
				must(number("controller-id", option.Integer, "", "CONTROLLER_ID", "The id of the controller to remove.")),
				must(required("controller-directory-id", "CONTROLLER_DIRECTORY_ID", "The directory ID of the controller to remove.")), dry)},
	}}
}

func runQuorum(c *call) error {
	g := c.given
	if err := exclusive(g); err != nil {
		return err
	}
	switch {
	case !g.HasAny("bootstrap-server", "bootstrap-controller"):
		return argparseError("one of the arguments --bootstrap-server --bootstrap-controller is required")
	case g.Command() != "describe":
		return changeVoters(c)
	case g.Count("status", "replication") == 2:
		return &plainError{"Only one of --status or --replication should be specified with describe sub-command"}
	case g.Count("status", "replication") == 0:
		return &plainError{"One of --status or --replication must be specified with describe sub-command"}
	case g.Has("status") && g.Has("human-readable"):
		return &plainError{"The option --human-readable is only supported along with --replication"}
	}
	s, err := c.openServers()
	if err != nil {
		return err
	}
	defer s.Close()
	if g.Has("status") {
		return quorum.Status(c.ctx, s)
	}
	return quorum.Replication(c.ctx, s, g.Has("human-readable"), time.Now)
}
