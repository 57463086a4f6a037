package acls

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/cmd/command/session"
)

// said is what a wish comes to, a line for each resource, or its mistake.
func said(w *Wish, add bool) string {
	if err := w.Check(false); err != nil {
		return err.Error()
	}
	changes, err := w.Removals()
	if add {
		changes, err = w.Additions()
	}
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	for _, c := range changes {
		name := *c.Name
		fmt.Fprintf(&text, "%s %s %s:", c.Pattern, c.Type, name)
		for _, e := range c.Entries {
			fmt.Fprintf(&text, " %s %s@%s %s", e.Permission, e.Principal, e.Host, e.Operation)
		}
		text.WriteString("\n")
	}
	return text.String()
}

func TestWishes(t *testing.T) {
	for name, test := range map[string]struct {
		wish Wish
		add  bool
		want string
	}{
		"everything on a topic": {Wish{Topics: []string{"t"}, Allow: []string{"User:a"}}, true, "LITERAL TOPIC t: ALLOW User:a@* ALL\n"},
		"operations, hosts, denials": {
			Wish{Topics: []string{"t"}, Allow: []string{"User:a"}, Deny: []string{"User:b"}, AllowHosts: []string{"h"}, Operations: []string{"Read", "describe_configs"}, Pattern: "prefixed"}, true,
			"PREFIXED TOPIC t: ALLOW User:a@h READ ALLOW User:a@h DESCRIBE_CONFIGS DENY User:b@* READ DENY User:b@* DESCRIBE_CONFIGS\n",
		},
		"a producer":                {Wish{Topics: []string{"t"}, TransactionalIDs: []string{"x"}, Allow: []string{"User:a"}, Producer: true, Idempotent: true}, true, "LITERAL TOPIC t: ALLOW User:a@* WRITE ALLOW User:a@* DESCRIBE ALLOW User:a@* CREATE\nLITERAL TRANSACTIONAL_ID x: ALLOW User:a@* WRITE ALLOW User:a@* DESCRIBE\nLITERAL CLUSTER kafka-cluster: ALLOW User:a@* IDEMPOTENT_WRITE\n"},
		"a consumer":                {Wish{Topics: []string{"t"}, Groups: []string{"g"}, Allow: []string{"User:a"}, Consumer: true}, true, "LITERAL TOPIC t: ALLOW User:a@* READ ALLOW User:a@* DESCRIBE\nLITERAL GROUP g: ALLOW User:a@* READ\n"},
		"both":                      {Wish{Topics: []string{"t"}, Groups: []string{"g"}, Allow: []string{"User:a"}, Consumer: true, Producer: true}, true, "LITERAL TOPIC t: ALLOW User:a@* WRITE ALLOW User:a@* DESCRIBE ALLOW User:a@* CREATE ALLOW User:a@* READ\nLITERAL GROUP g: ALLOW User:a@* READ\n"},
		"all of a topic goes":       {Wish{Topics: []string{"t"}}, false, "LITERAL TOPIC t:\n"},
		"whatever counts goes":      {Wish{Topics: []string{"t"}, Pattern: "match"}, false, "MATCH TOPIC t:\n"},
		"nobody is added":           {Wish{Topics: []string{"t"}}, true, "You must specify one of: --allow-principal, --deny-principal when trying to add ACLs."},
		"nothing is named":          {Wish{Allow: []string{"User:a"}}, true, "You must provide at least one resource: --topic <topic> or --cluster or --group <group> or --delegation-token <Delegation Token ID>"},
		"match is not added":        {Wish{Topics: []string{"t"}, Allow: []string{"User:a"}, Pattern: "match"}, true, "A '--resource-pattern-type' value of 'MATCH' is not valid when adding acls."},
		"a pattern that is none":    {Wish{Topics: []string{"t"}, Pattern: "regex"}, true, "Cannot parse argument 'regex' of option resource-pattern-type"},
		"no principal":              {Wish{Topics: []string{"t"}, Allow: []string{"alice"}}, true, "expected a string in format principalType:principalName but got alice"},
		"an operation of others":    {Wish{Groups: []string{"g"}, Allow: []string{"User:a"}, Operations: []string{"Write"}}, true, "ResourceType GROUP only supports operations [READ, DESCRIBE, DELETE, DESCRIBE_CONFIGS, ALTER_CONFIGS, ALL]"},
		"an operation of nothing":   {Wish{Topics: []string{"t"}, Allow: []string{"User:a"}, Operations: []string{"Look"}}, true, "ResourceType TOPIC only supports operations [READ, WRITE, CREATE, DESCRIBE, DELETE, ALTER, DESCRIBE_CONFIGS, ALTER_CONFIGS, ALL]"},
		"a producer of nothing":     {Wish{Allow: []string{"User:a"}, Producer: true}, true, "With --producer you must specify a --topic"},
		"a consumer without group":  {Wish{Topics: []string{"t"}, Allow: []string{"User:a"}, Consumer: true}, true, "With --consumer you must specify a --topic and a --group and no --cluster or --transactional-id option should be specified."},
		"idempotent, not producing": {Wish{Topics: []string{"t"}, Allow: []string{"User:a"}, Idempotent: true}, true, "The --idempotent option is only available if --producer is set"},
		"principals, not listed":    {Wish{Topics: []string{"t"}, Principals: []string{"User:a"}}, true, "The --principal option is only available if --list is set"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := said(&test.wish, test.add); got != test.want {
				t.Fatalf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

func TestSure(t *testing.T) {
	var out bytes.Buffer
	sure := Sure(session.Streams{In: strings.NewReader("Y\nno\n"), Out: &out}, false)
	if !sure("first?") || sure("second?") || sure("and nobody answers?") {
		t.Fatal("Y is yes, no is no, and so is silence")
	}
	if out.String() != "first?\nsecond?\nand nobody answers?\n" {
		t.Fatalf("asked %q", out.String())
	}
	if !Sure(session.Streams{In: strings.NewReader(""), Out: &out}, true)("?") {
		t.Fatal("--force means yes")
	}
}
