package kafka

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/cmd/command/acls"
	"github.com/millrace/millrace/cmd/command/option"
	"github.com/millrace/millrace/cmd/command/session"
)

func aclsTool() *Tool {
	return &Tool{Name: "kafka-acls", run: runACLs, fail: failACLs, set: option.Set{
		Program: "kafka-acls",
		Summary: "This tool helps to manage acls on kafka.",
		Options: withHelp(
			bootstrap("The Kafka servers to connect to."),
			required("bootstrap-controller", "controller to connect to", "The Kafka controllers to connect to."),
			option.Option{Name: "command-config", Argument: option.Optional, Metavar: "command-config", Help: "Property file with settings of the admin client."},
			toggle("add", "Indicates you are trying to add ACLs."), toggle("remove", "Indicates you are trying to remove ACLs."),
			toggle("list", "List ACLs for the specified resource, use --topic <topic> or --group <group> or --cluster to specify a resource."),
			repeated("topic", "topic", "Topic of the ACLs; '*' is all."), toggle("cluster", "ACLs of the cluster."),
			repeated("group", "group", "Group of the ACLs; '*' is all."), repeated("transactional-id", "transactional-id", "Transactional id of the ACLs; '*' is all."),
			repeated("delegation-token", "delegation-token", "Delegation token of the ACLs; '*' is all."), repeated("user-principal", "user-principal", "User of the ACLs."),
			required("resource-pattern-type", "ANY|MATCH|LITERAL|PREFIXED", "How the name is meant: literal or prefixed, or in filters match or any."),
			repeated("operation", "operation", "Operation that is allowed or denied, All when none is named."),
			repeated("allow-principal", "allow-principal", "Principal that is allowed, like User:alice."), repeated("deny-principal", "deny-principal", "Principal that is denied."),
			repeated("principal", "principal", "List the ACLs of this principal."),
			repeated("allow-host", "allow-host", "Address from which principals are allowed; '*' is all."), repeated("deny-host", "deny-host", "Address from which principals are denied; '*' is all."),
			toggle("producer", "What a producer needs: WRITE, DESCRIBE and CREATE on topics."), toggle("consumer", "What a consumer needs: READ and DESCRIBE on topics, READ on groups."),
			toggle("idempotent", "With --producer: what an idempotent producer needs without a topic."),
			toggle("force", "Assume Yes to all queries and do not prompt."),
		),
	}}
}

func runACLs(c *call) error {
	g := c.given
	switch {
	case g.Has("bootstrap-server") && g.Has("bootstrap-controller"):
		return &session.Misuse{Text: "Only one of --bootstrap-server or --bootstrap-controller must be specified"}
	case !g.HasAny("bootstrap-server", "bootstrap-controller"):
		return &session.Misuse{Text: "One of --bootstrap-server or --bootstrap-controller must be specified"}
	case g.Count("add", "remove", "list") != 1:
		return &session.Misuse{Text: "Command must include exactly one action: --list, --add, --remove. "}
	}
	for _, conflict := range []struct {
		of   string
		with []string
	}{
		{"list", []string{"producer", "consumer", "allow-host", "allow-principal", "deny-host", "deny-principal"}},
		{"producer", []string{"operation", "deny-principal", "deny-host"}}, {"consumer", []string{"operation", "deny-principal", "deny-host"}},
	} {
		if err := g.Conflict(conflict.of, conflict.with...); err != nil {
			return err
		}
	}
	w := acls.Wish{
		Topics: g.Texts("topic"), Groups: g.Texts("group"), TransactionalIDs: g.Texts("transactional-id"), Tokens: g.Texts("delegation-token"), Users: g.Texts("user-principal"),
		Cluster: g.Has("cluster"), Pattern: g.Text("resource-pattern-type"), Operations: g.Texts("operation"), Principals: g.Texts("principal"),
		Allow: g.Texts("allow-principal"), Deny: g.Texts("deny-principal"), AllowHosts: g.Texts("allow-host"), DenyHosts: g.Texts("deny-host"),
		Producer: g.Has("producer"), Consumer: g.Has("consumer"), Idempotent: g.Has("idempotent"),
	}
	if err := w.Check(g.Has("list")); err != nil {
		return err
	}
	return c.withServers(func(s *session.Session) error {
		switch {
		case g.Has("add"):
			changes, err := w.Additions()
			if err != nil {
				return err
			}
			return acls.Add(c.ctx, s, changes)
		case g.Has("remove"):
			changes, err := w.Removals()
			if err != nil {
				return err
			}
			return acls.Remove(c.ctx, s, changes, acls.Sure(c.Streams, g.Has("force")))
		}
		resources, err := w.Resources(false)
		if err != nil {
			return err
		}
		return acls.List(c.ctx, s, resources, w.Principals)
	})
}

// withServers opens a session for work.
func (c *call) withServers(work func(s *session.Session) error) error {
	s, err := c.openServers()
	if err != nil {
		return err
	}
	defer s.Close()
	return work(s)
}

// failACLs prints mistakes with the usage, and what a broker says on standard output.
func failACLs(c *call, err error) int {
	var mistake *option.Error
	var misuse *session.Misuse
	if errors.As(err, &mistake) || errors.As(err, &misuse) {
		return c.usage(err.Error())
	}
	fmt.Fprintf(c.Out, "Error while executing ACL command: %s\n", session.Exception(err))
	return 1
}
