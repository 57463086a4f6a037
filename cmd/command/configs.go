package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/command/configs"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/spf13/cobra"
)

func configsCommand(env *environment) *cobra.Command {
	return connected(env, parent("configs", "Describe and alter settings of topics, brokers, groups, clients and users", describeConfigs(env), alterConfigs(env)))
}

// entityKinds are the types as people call them, and as the protocol's tools do.
var entityKinds = []string{"topic", "broker", "broker-logger", "client-metrics", "group", "client", "user", "ip"}

// parseEntity reads a type and a name. A broker, client, user or address without a
// name is the default of its kind when altering, and all of its kind when describing.
func parseEntity(args []string, describing bool) (configs.Entity, error) {
	kind := strings.TrimSuffix(args[0], "s")
	if args[0] == "client-metrics" {
		kind = args[0]
	}
	if !slices.Contains(entityKinds, kind) {
		return configs.Entity{}, fmt.Errorf("%q has no settings: expected one of %s", args[0], strings.Join(entityKinds, ", "))
	}
	entity := configs.Entity{Type: kind + "s"}
	if kind == "client-metrics" {
		entity.Type = kind
	}
	if len(args) > 1 {
		entity.Name = args[1]
		return entity, nil
	}
	entity.All = describing
	if !describing && !slices.Contains([]string{"broker", "client", "user", "ip"}, kind) {
		return entity, fmt.Errorf("name the %s to alter", kind)
	}
	return entity, nil
}

func (e *environment) completeEntity() cobra.CompletionFunc {
	topics := e.completeTopics()
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		switch {
		case len(args) == 0:
			return entityKinds, cobra.ShellCompDirectiveNoFileComp
		case len(args) == 1 && strings.HasPrefix(args[0], "topic"):
			return topics(cmd, nil, typed)
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

func describeConfigs(env *environment) *cobra.Command {
	var all, byDefault bool
	cmd := &cobra.Command{
		Use: "describe TYPE [NAME]", Short: "Show settings", Long: "Show settings. TYPE is one of " + strings.Join(entityKinds, ", ") + ".",
		Example: "  millrace configs describe topic orders --all",
		Args:    arguments(cobra.RangeArgs(1, 2)), ValidArgsFunction: env.completeEntity(),
		RunE: func(_ *cobra.Command, args []string) error {
			entity, err := parseEntity(args, !byDefault)
			if err != nil {
				return &usageError{err}
			}
			return env.with(func(s *session.Session) error {
				if configs.IsQuota(entity.Type) {
					return configs.DescribeQuotas(env.ctx, s, []configs.Entity{entity})
				}
				return configs.Describe(env.ctx, s, entity, all)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every setting that holds, wherever it comes from")
	cmd.Flags().BoolVar(&byDefault, "default", false, "the default of the type, instead of all its entities")
	return cmd
}

func alterConfigs(env *environment) *cobra.Command {
	var set, remove []string
	cmd := &cobra.Command{
		Use: "alter TYPE [NAME] --set name=value --unset name", Short: "Change settings",
		Long:    "Change settings. TYPE is one of " + strings.Join(entityKinds, ", ") + "; without NAME the default of brokers, clients, users or ips is meant.",
		Example: "  millrace configs alter topic orders --set retention.ms=3600000 --set cleanup.policy=compact,delete --unset segment.bytes",
		Args:    arguments(cobra.RangeArgs(1, 2)), ValidArgsFunction: env.completeEntity(),
		RunE: func(_ *cobra.Command, args []string) error {
			entity, err := parseEntity(args, false)
			if err != nil {
				return &usageError{err}
			}
			var changes []configs.Change
			for _, name := range remove {
				changes = append(changes, configs.Change{Name: name, Remove: true})
			}
			for _, pair := range set {
				name, value, ok := strings.Cut(pair, "=")
				if !ok {
					return &usageError{fmt.Errorf("--set %s: expected name=value", pair)}
				}
				changes = append(changes, configs.Change{Name: name, Value: value})
			}
			return env.with(func(s *session.Session) error { return alter(env, s, entity, changes) })
		},
	}
	cmd.Flags().StringArrayVar(&set, "set", nil, "setting to change, name=value (repeat)")
	cmd.Flags().StringArrayVar(&remove, "unset", nil, "setting to remove, so that the default holds (repeat)")
	cmd.MarkFlagsOneRequired("set", "unset")
	return cmd
}

func alter(env *environment, s *session.Session, entity configs.Entity, changes []configs.Change) error {
	switch {
	case !configs.IsQuota(entity.Type):
		return configs.Alter(env.ctx, s, entity, changes)
	case entity.Type == "users" && slices.ContainsFunc(changes, configs.IsCredential):
		return configs.AlterCredentials(env.ctx, s, entity.Name, changes)
	}
	return configs.AlterQuotas(env.ctx, s, []configs.Entity{entity}, changes)
}
