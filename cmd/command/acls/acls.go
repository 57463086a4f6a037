package acls

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/sdk"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// binding is an entry of one resource, as brokers tell it.
type binding struct {
	kind      sdk.ResourceType
	name      string
	pattern   kmsg.ACLResourcePatternType
	principal string
	host      string
	operation sdk.Operation
	allowed   kmsg.ACLPermissionType
}

func (b binding) resource() Resource { return Resource{b.kind, &b.name, b.pattern} }

func (b binding) entry() Entry { return Entry{b.principal, b.host, b.operation, b.allowed} }

func (b binding) String() string {
	return fmt.Sprintf("(pattern=%s, entry=%s)", b.resource(), b.entry())
}

func bound(r Resource, e Entry) binding {
	return binding{r.Type, *r.Name, r.Pattern, e.Principal, e.Host, e.Operation, e.Permission}
}

// indented are entries in lines of their own.
func indented(entries []Entry) string {
	lines := make([]string, len(entries))
	for i, e := range entries {
		lines[i] = "\t" + e.String()
	}
	return strings.Join(lines, "\n")
}

// refused is the error of an answer, nil for none.
func refused(code int16, message *string) error {
	err := kerr.ErrorForCode(code)
	if err == nil || message == nil {
		return err
	}
	return session.Refused(err, *message)
}

// Add adds entries that are not there yet, and prints which.
func Add(ctx context.Context, s *session.Session, changes []Change) error {
	for _, c := range changes {
		known, err := find(ctx, s, c.Resource)
		if err != nil {
			return err
		}
		var fresh []Entry
		request := kmsg.NewPtrCreateACLsRequest()
		for _, e := range c.Entries {
			b := bound(c.Resource, e)
			if slices.Contains(known, b) {
				fmt.Fprintf(s.Out, "Acl %s already exists.\n", b)
				continue
			}
			fresh = append(fresh, e)
			one := kmsg.NewCreateACLsRequestCreation()
			one.ResourceType, one.ResourceName, one.ResourcePatternType = kmsg.ACLResourceType(b.kind), b.name, b.pattern
			one.Principal, one.Host, one.Operation, one.PermissionType = b.principal, b.host, kmsg.ACLOperation(b.operation), b.allowed
			request.Creations = append(request.Creations, one)
		}
		if len(fresh) == 0 {
			continue
		}
		fmt.Fprintf(s.Out, "Adding ACLs for resource `%s`: \n %s\n\n", c.Resource, indented(fresh))
		answer, err := request.RequestWith(ctx, s.Client)
		if err != nil {
			return fmt.Errorf("add ACLs: %w", err)
		}
		for i := range answer.Results {
			if err := refused(answer.Results[i].ErrorCode, answer.Results[i].ErrorMessage); err != nil {
				return err
			}
		}
	}
	return nil
}

// Remove removes entries, or all of a resource, for which it has a yes: sure asks for it.
func Remove(ctx context.Context, s *session.Session, changes []Change, sure func(question string) bool) error {
	for _, c := range changes {
		question := fmt.Sprintf("Are you sure you want to delete all ACLs for resource filter `%s`? (y/n)", c.Resource)
		if len(c.Entries) > 0 {
			question = fmt.Sprintf("Are you sure you want to remove ACLs: \n %s\n from resource filter `%s`? (y/n)", indented(c.Entries), c.Resource)
		}
		if !sure(question) {
			continue
		}
		request := kmsg.NewPtrDeleteACLsRequest()
		filter := kmsg.NewDeleteACLsRequestFilter()
		filter.ResourceType, filter.ResourceName, filter.ResourcePatternType = kmsg.ACLResourceType(c.Type), c.Name, c.Pattern
		filter.Operation, filter.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
		for _, e := range c.Entries {
			one := filter
			one.Principal, one.Host, one.Operation, one.PermissionType = &e.Principal, &e.Host, kmsg.ACLOperation(e.Operation), e.Permission
			request.Filters = append(request.Filters, one)
		}
		if len(c.Entries) == 0 {
			request.Filters = append(request.Filters, filter)
		}
		answer, err := request.RequestWith(ctx, s.Client)
		if err != nil {
			return fmt.Errorf("remove ACLs: %w", err)
		}
		for i := range answer.Results {
			if err := refused(answer.Results[i].ErrorCode, answer.Results[i].ErrorMessage); err != nil {
				return err
			}
		}
	}
	return nil
}

// Sure asks on s whether to go on; force means yes to everything.
func Sure(s session.Streams, force bool) func(question string) bool {
	in := bufio.NewReader(s.In)
	return func(question string) bool {
		if force {
			return true
		}
		fmt.Fprintln(s.Out, question)
		answer, _ := in.ReadString('\n') // no answer is no yes
		return strings.EqualFold(strings.TrimSpace(answer), "y")
	}
}

// List prints the entries of resources, of all when there are none, or those of principals.
func List(ctx context.Context, s *session.Session, resources []Resource, principals []string) error {
	if len(resources) == 0 {
		resources = []Resource{{sdk.ResourceAny, nil, kmsg.ACLResourcePatternTypeAny}}
	}
	var all []binding
	for _, r := range resources {
		found, err := find(ctx, s, r)
		if err != nil {
			return err
		}
		for _, b := range found {
			if !slices.Contains(all, b) {
				all = append(all, b)
			}
		}
	}
	if len(principals) == 0 {
		show(s, all)
		return nil
	}
	for _, principal := range principals {
		fmt.Fprintf(s.Out, "ACLs for principal `%s`\n", principal)
		show(s, slices.DeleteFunc(slices.Clone(all), func(b binding) bool { return b.principal != principal }))
	}
	return nil
}

// show prints what there is, resource by resource.
func show(s *session.Session, all []binding) {
	for len(all) > 0 {
		first := all[0].resource()
		var entries []Entry
		all = slices.DeleteFunc(all, func(b binding) bool {
			same := b.resource().String() == first.String()
			if same {
				entries = append(entries, b.entry())
			}
			return same
		})
		fmt.Fprintf(s.Out, "Current ACLs for resource `%s`:\n%s\n\n", first, indented(entries))
	}
}

// find asks for all entries of what a filter finds.
func find(ctx context.Context, s *session.Session, r Resource) (all []binding, err error) {
	request := kmsg.NewPtrDescribeACLsRequest()
	request.ResourceType, request.ResourceName, request.ResourcePatternType = kmsg.ACLResourceType(r.Type), r.Name, r.Pattern
	request.Operation, request.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	answer, err := request.RequestWith(ctx, s.Client)
	if err == nil {
		err = refused(answer.ErrorCode, answer.ErrorMessage)
	}
	if err != nil {
		return nil, err
	}
	for _, found := range answer.Resources {
		for _, e := range found.ACLs {
			all = append(all, binding{sdk.ResourceType(found.ResourceType), found.ResourceName, found.ResourcePatternType, e.Principal, e.Host, sdk.Operation(e.Operation), e.PermissionType})
		}
	}
	return all, nil
}
