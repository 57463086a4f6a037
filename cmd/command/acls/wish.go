package acls

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/sdk"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Wish is which rights somebody wants to add, remove or see.
type Wish struct {
	Topics, Groups, TransactionalIDs, Tokens, Users []string
	Cluster                                         bool
	// Pattern is literal, prefixed, match or any. "": literal.
	Pattern string
	// Allow and Deny are principals, AllowHosts and DenyHosts where they come from. No hosts: from
	// anywhere.
	Allow, Deny, AllowHosts, DenyHosts []string
	// Operations are their names, like Read or DescribeConfigs. None: all.
	Operations []string
	// Producer and Consumer stand for what these roles need, Idempotent for what an idempotent
	// producer needs beside.
	Producer, Consumer, Idempotent bool
	// Principals are those whose entries are listed. None: all.
	Principals []string
}

// Resource is what a filter or a pattern of ACLs is about. A nil Name is any.
type Resource struct {
	Type    sdk.ResourceType
	Name    *string
	Pattern kmsg.ACLResourcePatternType
}

// String is what Java prints.
func (r Resource) String() string {
	name := "<any>"
	if r.Name != nil {
		name = *r.Name
	}
	return fmt.Sprintf("ResourcePattern(resourceType=%s, name=%s, patternType=%s)", r.Type, name, r.Pattern)
}

// Entry allows or denies somebody an operation.
type Entry struct {
	Principal, Host string
	Operation       sdk.Operation
	Permission      kmsg.ACLPermissionType
}

// String is what Java prints.
func (e Entry) String() string {
	return fmt.Sprintf("(principal=%s, host=%s, operation=%s, permissionType=%s)", e.Principal, e.Host, e.Operation, e.Permission)
}

// Change is entries of one resource that come or go. No entries: all of it that there are go.
type Change struct {
	Resource
	Entries []Entry
}

func misuse(format string, args ...any) error {
	return &session.Misuse{Text: fmt.Sprintf(format, args...)}
}

// Check says, in Kafka's words, what of a wish does not go together. List says that it is
// for listing.
func (w *Wish) Check(list bool) error {
	switch {
	case len(w.Principals) > 0 && !list:
		return misuse("The --principal option is only available if --list is set")
	case w.Producer && len(w.Topics) == 0:
		return misuse("With --producer you must specify a --topic")
	case w.Idempotent && !w.Producer:
		return misuse("The --idempotent option is only available if --producer is set")
	case w.Consumer && (len(w.Topics) == 0 || len(w.Groups) == 0 || !w.Producer && (w.Cluster || len(w.TransactionalIDs) > 0)):
		return misuse("With --consumer you must specify a --topic and a --group and no --cluster or --transactional-id option should be specified.")
	}
	for _, principal := range slices.Concat(w.Allow, w.Deny, w.Principals) {
		if _, err := sdk.ParsePrincipal(strings.TrimSpace(principal)); err != nil {
			return fmt.Errorf("expected a string in format principalType:principalName but got %s", principal)
		}
	}
	_, err := w.pattern()
	return err
}

func (w *Wish) pattern() (kmsg.ACLResourcePatternType, error) {
	p, err := kmsg.ParseACLResourcePatternType(cmp.Or(w.Pattern, "literal"))
	if err != nil {
		return 0, fmt.Errorf("Cannot parse argument '%s' of option resource-pattern-type", w.Pattern)
	}
	return p, nil
}

// Resources are those that are named. None is a mistake when there must be some.
func (w *Wish) Resources(some bool) ([]Resource, error) {
	pattern, err := w.pattern()
	if err != nil {
		return nil, err
	}
	var all []Resource
	for _, of := range []struct {
		kind  sdk.ResourceType
		names []string
	}{{sdk.ResourceTopic, w.Topics}, {sdk.ResourceGroup, w.Groups}, {sdk.ResourceTransactionalID, w.TransactionalIDs}, {sdk.ResourceDelegationToken, w.Tokens}, {sdk.ResourceUser, w.Users}} {
		for _, name := range of.names {
			name = strings.TrimSpace(name)
			all = append(all, Resource{of.kind, &name, pattern})
		}
	}
	if pattern == kmsg.ACLResourcePatternTypeLiteral && (w.Cluster || w.Idempotent) {
		all = append(all, theCluster())
	}
	if len(all) == 0 && some {
		return nil, misuse("You must provide at least one resource: --topic <topic> or --cluster or --group <group> or --delegation-token <Delegation Token ID>")
	}
	return all, nil
}

func theCluster() Resource {
	name := sdk.ClusterName
	return Resource{sdk.ResourceCluster, &name, kmsg.ACLResourcePatternTypeLiteral}
}

// Additions are the changes that add what is wished for.
func (w *Wish) Additions() ([]Change, error) {
	pattern, err := w.pattern()
	switch {
	case err != nil:
		return nil, err
	case pattern != kmsg.ACLResourcePatternTypeLiteral && pattern != kmsg.ACLResourcePatternTypePrefixed:
		return nil, misuse("A '--resource-pattern-type' value of '%s' is not valid when adding acls.", pattern)
	}
	changes, err := w.Removals()
	if err == nil && slices.ContainsFunc(changes, func(c Change) bool { return len(c.Entries) == 0 }) {
		err = misuse("You must specify one of: --allow-principal, --deny-principal when trying to add ACLs.")
	}
	return changes, err
}

// Removals are the changes that remove what is wished for.
func (w *Wish) Removals() ([]Change, error) {
	resources, err := w.Resources(true)
	if err != nil {
		return nil, err
	}
	if w.Producer || w.Consumer {
		return w.roles(resources), nil
	}
	var operations []sdk.Operation
	for _, name := range w.Operations {
		operations = append(operations, operation(name))
	}
	if len(operations) == 0 {
		operations = []sdk.Operation{sdk.OperationAll}
	}
	var changes []Change
	for _, r := range resources {
		c := Change{r, w.entries(operations...)}
		if err := supported(c); err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// roles are what producers and consumers need.
func (w *Wish) roles(resources []Resource) (changes []Change) {
	for _, r := range resources {
		var operations []sdk.Operation
		add := func(role bool, all ...sdk.Operation) {
			for _, op := range all {
				if role && !slices.Contains(operations, op) {
					operations = append(operations, op)
				}
			}
		}
		switch r.Type {
		case sdk.ResourceTopic:
			add(w.Producer, sdk.OperationWrite, sdk.OperationDescribe, sdk.OperationCreate)
			add(w.Consumer, sdk.OperationRead, sdk.OperationDescribe)
		case sdk.ResourceGroup:
			add(w.Consumer, sdk.OperationRead)
		case sdk.ResourceTransactionalID:
			add(w.Producer, sdk.OperationWrite, sdk.OperationDescribe)
		case sdk.ResourceCluster:
			add(w.Producer && w.Idempotent, sdk.OperationIdempotentWrite)
		}
		if len(operations) > 0 {
			changes = append(changes, Change{r, w.entries(operations...)})
		}
	}
	return changes
}

// entries are all principals times their hosts times operations.
func (w *Wish) entries(operations ...sdk.Operation) (all []Entry) {
	add := func(principals, hosts []string, permission kmsg.ACLPermissionType) {
		if len(hosts) == 0 {
			hosts = []string{"*"}
		}
		for _, principal := range principals {
			for _, host := range hosts {
				for _, op := range operations {
					all = append(all, Entry{strings.TrimSpace(principal), strings.TrimSpace(host), op, permission})
				}
			}
		}
	}
	add(w.Allow, w.AllowHosts, kmsg.ACLPermissionTypeAllow)
	add(w.Deny, w.DenyHosts, kmsg.ACLPermissionTypeDeny)
	return all
}

// operation understands DescribeConfigs, DESCRIBE_CONFIGS and describeconfigs; 0 is none.
func operation(name string) sdk.Operation {
	plain := func(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "_", "")) }
	for op := sdk.OperationAll; op.Known(); op++ {
		if plain(op.String()) == plain(strings.TrimSpace(name)) {
			return op
		}
	}
	return 0
}

// operations are those that resources of a type have, in Kafka's words.
var operations = map[sdk.ResourceType][]sdk.Operation{
	sdk.ResourceTopic: {sdk.OperationRead, sdk.OperationWrite, sdk.OperationCreate, sdk.OperationDescribe, sdk.OperationDelete, sdk.OperationAlter,
		sdk.OperationDescribeConfigs, sdk.OperationAlterConfigs, sdk.OperationAll},
	sdk.ResourceGroup: {sdk.OperationRead, sdk.OperationDescribe, sdk.OperationDelete, sdk.OperationDescribeConfigs, sdk.OperationAlterConfigs, sdk.OperationAll},
	sdk.ResourceCluster: {sdk.OperationCreate, sdk.OperationClusterAction, sdk.OperationDescribeConfigs, sdk.OperationAlterConfigs,
		sdk.OperationIdempotentWrite, sdk.OperationAlter, sdk.OperationDescribe, sdk.OperationAll},
	sdk.ResourceTransactionalID: {sdk.OperationDescribe, sdk.OperationWrite, sdk.OperationTwoPhaseCommit, sdk.OperationAll},
	sdk.ResourceDelegationToken: {sdk.OperationDescribe, sdk.OperationAll},
	sdk.ResourceUser:            {sdk.OperationCreateTokens, sdk.OperationDescribeTokens, sdk.OperationAll},
}

// supported refuses operations that resources of the type do not have.
func supported(c Change) error {
	for _, e := range c.Entries {
		if !slices.Contains(operations[c.Type], e.Operation) {
			var names []string
			for _, op := range operations[c.Type] {
				names = append(names, op.String())
			}
			return misuse("ResourceType %s only supports operations [%s]", c.Type, strings.Join(names, ", "))
		}
	}
	return nil
}
