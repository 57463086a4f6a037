package tools

import (
	"context"
	"fmt"
	"strings"
)

// acls: rules added for a producer and a consumer, added again, listed in every way and removed. Brokers of this suite
// allow everybody what no rule is about.
func (t *set) acls(ctx context.Context) error {
	topic, group := t.Name("acls"), t.Name("acls-group")
	acls := func(arguments ...string) said { return t.tool(ctx, "", "kafka-acls", arguments...) }
	pattern := fmt.Sprintf("resource `ResourcePattern(resourceType=TOPIC, name=%s, patternType=LITERAL)`", topic)
	reads := "(principal=User:bob, host=*, operation=READ, permissionType=ALLOW)"
	writes := "(principal=User:alice, host=10.0.0.1, operation=WRITE, permissionType=ALLOW)"
	for _, step := range []struct {
		arguments []string
		says      string
	}{
		{[]string{"--add", "--allow-principal", "User:alice", "--allow-host", "10.0.0.1", "--producer", "--topic", topic}, "Adding ACLs for " + pattern},
		{[]string{"--add", "--allow-principal", "User:bob", "--consumer", "--topic", topic, "--group", group}, reads},
		{[]string{"--add", "--allow-principal", "User:bob", "--operation", "Read", "--topic", topic}, "already exists."},
		{[]string{"--add", "--deny-principal", "User:eve", "--operation", "DescribeConfigs", "--topic", topic[:len(topic)-1], "--resource-pattern-type", "prefixed"}, "operation=DESCRIBE_CONFIGS, permissionType=DENY)"},
		{[]string{"--list", "--topic", topic}, "Current ACLs for " + pattern},
		{[]string{"--list", "--topic", topic}, writes},
		{[]string{"--list", "--topic", topic, "--resource-pattern-type", "match"}, "User:eve"},
		{[]string{"--list", "--principal", "User:bob"}, "ACLs for principal `User:bob`"},
		{[]string{"--list", "--principal", "User:bob"}, reads},
	} {
		if err := acls(step.arguments...).has(step.says); err != nil {
			return err
		}
	}
	if err := acls("--remove", "--force", "--allow-principal", "User:alice", "--allow-host", "10.0.0.1", "--operation", "Write", "--topic", topic).Err(); err != nil {
		return err
	}
	s := acls("--list", "--topic", topic)
	if err := s.has("(principal=User:alice, host=10.0.0.1, operation=DESCRIBE, permissionType=ALLOW)"); err != nil {
		return err
	}
	if err := s.lacks(writes); err != nil {
		return err
	}
	for _, name := range []string{topic, topic[:len(topic)-1]} {
		if err := acls("--remove", "--force", "--topic", name, "--resource-pattern-type", "any").Err(); err != nil {
			return err
		}
	}
	if err := acls("--remove", "--force", "--group", group).Err(); err != nil {
		return err
	}
	return acls("--list", "--topic", topic, "--resource-pattern-type", "match").lacks("ResourcePattern")
}

// lacks fails if a text is there.
func (s said) lacks(text string) error {
	if strings.Contains(s.out, text) {
		return s.wrong("%q is still there", text)
	}
	return s.Err()
}
