package command

import (
	"errors"

	"github.com/millrace/millrace/cmd/command/acls"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/spf13/cobra"
)

// aclsCommand has the flags of Kafka's tool, so that what people know works.
func aclsCommand(env *environment) *cobra.Command {
	var w acls.Wish
	var add, remove, list, force bool
	cmd := &cobra.Command{
		Use:   "acls --add|--remove|--list",
		Short: "Add, remove and list who may do what",
		Long: "Add, remove and list ACLs of a broker that has the standard authorizer (docs/acls.md).\n\n" +
			"  millrace acls --add --allow-principal User:alice --producer --topic orders\n" +
			"  millrace acls --add --allow-principal User:bob --consumer --topic orders --group billing\n" +
			"  millrace acls --list --topic orders --resource-pattern-type match",
		Args: arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if err := w.Check(list); err != nil {
				return err
			}
			switch {
			case add:
				changes, err := w.Additions()
				if err != nil {
					return err
				}
				return env.with(func(s *session.Session) error { return acls.Add(env.ctx, s, changes) })
			case remove:
				changes, err := w.Removals()
				if err != nil {
					return err
				}
				return env.with(func(s *session.Session) error {
					return acls.Remove(env.ctx, s, changes, acls.Sure(env.Streams, force))
				})
			case list:
				resources, err := w.Resources(false)
				if err != nil {
					return err
				}
				return env.with(func(s *session.Session) error { return acls.List(env.ctx, s, resources, w.Principals) })
			}
			return &usageError{errors.New("say --add, --remove or --list")}
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&add, "add", false, "add ACLs")
	flags.BoolVar(&remove, "remove", false, "remove ACLs")
	flags.BoolVar(&list, "list", false, "list ACLs, all or those of the resources that are named")
	cmd.MarkFlagsMutuallyExclusive("add", "remove", "list")
	flags.BoolVar(&force, "force", false, "do not ask before ACLs are removed")
	flags.StringArrayVar(&w.Topics, "topic", nil, "a topic; * is all")
	flags.StringArrayVar(&w.Groups, "group", nil, "a group; * is all")
	flags.StringArrayVar(&w.TransactionalIDs, "transactional-id", nil, "a transactional id; * is all")
	flags.StringArrayVar(&w.Tokens, "delegation-token", nil, "a delegation token; * is all")
	flags.StringArrayVar(&w.Users, "user-principal", nil, "a user, whose tokens are meant")
	flags.BoolVar(&w.Cluster, "cluster", false, "the cluster")
	flags.StringVar(&w.Pattern, "resource-pattern-type", "literal", "how names are meant: literal or prefixed; match and any find both")
	flags.StringArrayVar(&w.Allow, "allow-principal", nil, "who is allowed, like User:alice")
	flags.StringArrayVar(&w.Deny, "deny-principal", nil, "who is denied")
	flags.StringArrayVar(&w.AllowHosts, "allow-host", nil, "address from which they are allowed (default all)")
	flags.StringArrayVar(&w.DenyHosts, "deny-host", nil, "address from which they are denied (default all)")
	flags.StringArrayVar(&w.Operations, "operation", nil, "what they are allowed or denied, like Read (default All)")
	flags.StringArrayVar(&w.Principals, "principal", nil, "list the ACLs of this principal")
	flags.BoolVar(&w.Producer, "producer", false, "what a producer needs: Write, Describe and Create on topics")
	flags.BoolVar(&w.Consumer, "consumer", false, "what a consumer needs: Read and Describe on topics, Read on groups")
	flags.BoolVar(&w.Idempotent, "idempotent", false, "with --producer: IdempotentWrite on the cluster, too")
	return connected(env, cmd)
}
