package command

import (
	"github.com/millrace/millrace/cmd/command/features"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/spf13/cobra"
)

func featuresCommand(env *environment) *cobra.Command {
	return connected(env, parent("features", "Show and change the versions of a cluster's features",
		describeFeatures(env), changeFeatures(env, features.Upgrade, "Raise features to the levels of a release, or to those named"),
		changeFeatures(env, features.Downgrade, "Lower features to the levels of a release, or to those named"),
		changeFeatures(env, features.Disable, "Lower features to level 0"), featureMapping(env), featureDependencies(env)))
}

func describeFeatures(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "describe", Short: "Show which versions are supported and which are finalized", Args: arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return env.with(func(s *session.Session) error { return features.Describe(env.ctx, s, nil) })
		},
	}
}

func changeFeatures(env *environment, operation features.Operation, short string) *cobra.Command {
	change := features.Change{Operation: operation}
	cmd := &cobra.Command{
		Use: string(operation) + " [FEATURE=LEVEL...]", Short: short,
		RunE: func(_ *cobra.Command, args []string) error {
			change.Features = args
			if _, err := change.Levels(); err != nil {
				return &usageError{err}
			}
			return env.with(func(s *session.Session) error { return features.Update(env.ctx, s, change) })
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&change.DryRun, "dry-run", false, "only see whether it can be done")
	if operation == features.Disable {
		cmd.Use = string(operation) + " FEATURE..."
	} else {
		flags.StringVar(&change.Release, "release-version", "", "the release whose levels all features get, like 4.3")
	}
	if operation != features.Upgrade {
		flags.BoolVar(&change.Unsafe, "unsafe", false, "do it even if metadata is lost by it for ever")
	}
	return cmd
}

func featureMapping(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "version-mapping [RELEASE]", Short: "Show which levels belong to a release of Kafka", Args: arguments(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			return features.Mapping(env.Out, append(args, "")[0])
		},
	}
}

func featureDependencies(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "dependencies FEATURE=LEVEL...", Short: "Show which levels of others a level of a feature needs", Args: arguments(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error { return features.Dependencies(env.Out, args) },
	}
}
