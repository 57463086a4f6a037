package kafka

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/cmd/command/features"
	"github.com/millrace/millrace/cmd/command/option"
	"github.com/millrace/millrace/cmd/command/session"
)

// servers are the options of tools that talk to brokers or to controllers.
func servers() []option.Option {
	return withHelp(required("bootstrap-server", "BOOTSTRAP_SERVER", "The brokers to connect to, separated by commas."),
		required("bootstrap-controller", "BOOTSTRAP_CONTROLLER", "The controllers to connect to, separated by commas."),
		required("command-config", "COMMAND_CONFIG", "Property file with settings of the admin client."))
}

// openServers opens a session with those that servers name.
func (c *call) openServers() (*session.Session, error) {
	o, err := c.options("command-config", "")
	if err != nil {
		return nil, err
	}
	if c.given.Has("bootstrap-controller") {
		o.Servers = c.given.Text("bootstrap-controller")
	}
	return session.Open(c.ctx, o)
}

// exclusive says that both kinds of servers were given.
func exclusive(g *option.Given) error {
	if g.Count("bootstrap-server", "bootstrap-controller") < 2 {
		return nil
	}
	first, second := "bootstrap-server", "bootstrap-controller"
	for _, name := range g.Order() {
		if name == second {
			first, second = second, first
		}
		if name == first {
			break
		}
	}
	return argparseError("argument --%s: not allowed with argument --%s", second, first)
}

func featuresTool() *Tool {
	release := required("release-version", "RELEASE_VERSION", "The release whose levels all features get, like 3.9-IV0.")
	metadata := required("metadata", "METADATA", "DEPRECATED. The version of the metadata, like 3.3-IV3.")
	level := repeated("feature", "FEATURE", "A feature and its level, like metadata.version=5.")
	unsafe := toggle("unsafe", "Do it even if metadata is lost by it for ever.")
	dry := toggle("dry-run", "Only see whether it can be done.")
	return &Tool{Name: "kafka-features", run: runFeatures, fail: failFeatures, set: option.Set{
		Program:  "kafka-features",
		Argparse: true,
		Summary:  "This tool manages feature flags in Kafka.",
		Options:  servers(),
		Commands: []*option.Set{
			command("describe", "Describes the current active feature flags.", number("node-id", option.Integer, "", "NODE_ID", "The node to ask.")),
			command("upgrade", "Upgrade one or more feature flags.", metadata, release, level, dry),
			command("downgrade", "Downgrade one or more feature flags.", metadata, release, level, unsafe, dry),
			command("disable", "Disable one or more feature flags. This is the same as downgrading the version to zero.",
				repeated("feature", "FEATURE", "A feature to disable."), unsafe, dry),
			command("version-mapping", "Look up the corresponding features for a given metadata version.", release),
			command("feature-dependencies", "Look up dependencies for a given feature version.", must(level)),
		},
	}}
}

func runFeatures(c *call) error {
	g := c.given
	if err := exclusive(g); err != nil {
		return err
	}
	if !g.HasAny("bootstrap-server", "bootstrap-controller") {
		return argparseError("You must specify either --bootstrap-controller or --bootstrap-server.")
	}
	change := features.Change{Operation: features.Operation(g.Command())}
	switch g.Command() {
	case "version-mapping":
		return features.Mapping(c.Out, g.Text("release-version"))
	case "feature-dependencies":
		return features.Dependencies(c.Out, g.Texts("feature"))
	case "upgrade", "downgrade":
		change.Release, change.Metadata = g.Text("release-version"), g.Text("metadata")
		fallthrough
	case "disable":
		change.Features, change.Unsafe, change.DryRun = g.Texts("feature"), g.Has("unsafe"), g.Has("dry-run")
		if change.Metadata != "" && change.Release == "" {
			fmt.Fprintln(c.Out, " `metadata` flag is deprecated and may be removed in a future release.")
		}
		if _, err := change.Levels(); err != nil {
			return err
		}
	}
	s, err := c.openServers()
	if err != nil {
		return err
	}
	defer s.Close()
	if g.Command() == "describe" {
		return features.Describe(c.ctx, s, c.integer("node-id"))
	}
	return features.Update(c.ctx, s, change)
}

// failFeatures prints mistakes in one line without an end, as Kafka's tool does.
func failFeatures(c *call, err error) int {
	var mistake *option.Error
	var value *option.ValueError
	if errors.As(err, &mistake) || errors.As(err, &value) {
		fmt.Fprintf(c.Err, "Command line error: %v. Type --help for help.", err)
		return 1
	}
	fmt.Fprintln(c.Err, session.Message(err))
	return 1
}
