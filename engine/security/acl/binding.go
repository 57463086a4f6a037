package acl

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
)

// Wildcard is the name that stands for all resources of a type, and the host that stands for all.
const Wildcard = "*"

// Everybody is the principal that stands for all.
var Everybody = sdk.Principal{Type: "User", Name: Wildcard}

// Permission says whether a binding allows or denies, by Kafka's codes.
type Permission = kmsg.ACLPermissionType

// The permissions. AnyPermission is of filters only.
const (
	AnyPermission = kmsg.ACLPermissionTypeAny
	Deny          = kmsg.ACLPermissionTypeDeny
	Allow         = kmsg.ACLPermissionTypeAllow
)

// Pattern says how the name of a binding is meant, by Kafka's codes.
type Pattern = kmsg.ACLResourcePatternType

// The patterns. AnyPattern and Match are of filters only; Match finds whatever is about a
// resource of that name.
const (
	AnyPattern = kmsg.ACLResourcePatternTypeAny
	Match      = kmsg.ACLResourcePatternTypeMatch
	Literal    = kmsg.ACLResourcePatternTypeLiteral
	Prefixed   = kmsg.ACLResourcePatternTypePrefixed
)

// Binding allows or denies a principal, from a host, an operation with resources of a type
// whose names a pattern has. Two that are equal are one.
type Binding struct {
	Resource   sdk.ResourceType `json:"resource"`
	Pattern    Pattern          `json:"pattern"`
	Name       string           `json:"name"`
	Principal  string           `json:"principal"`
	Host       string           `json:"host"`
	Operation  sdk.Operation    `json:"operation"`
	Permission Permission       `json:"permission"`
}

// maxText is the most bytes that a text in the protocol's older versions can have.
const maxText = math.MaxInt16

// Check says, in Kafka's words, why b cannot be a binding.
func (b *Binding) Check() error {
	switch {
	case b.Resource == sdk.ResourceCluster && b.Name != sdk.ClusterName:
		return fmt.Errorf("The only valid name for the CLUSTER resource is %s", sdk.ClusterName)
	case b.Resource == sdk.ResourceAny || !b.Resource.Known():
		return fmt.Errorf("Invalid resourceType %s", b.Resource)
	case b.Pattern != Literal && b.Pattern != Prefixed:
		return fmt.Errorf("Invalid patternType %s", b.Pattern)
	case b.Operation == sdk.OperationAny || !b.Operation.Known():
		return fmt.Errorf("Invalid operation %s", b.Operation)
	case b.Permission != Deny && b.Permission != Allow:
		return fmt.Errorf("Invalid permissionType %s", b.Permission)
	case b.Name == "":
		return fmt.Errorf("Invalid empty resource name")
	case !strings.Contains(b.Principal, ":"):
		return fmt.Errorf("Could not parse principal from `%s` (no colon is present separating the principal type from the principal name)", b.Principal)
	}
	for what, text := range map[string]string{"resource name": b.Name, "principal": b.Principal, "host": b.Host} {
		if !utf8.ValidString(text) || len(text) > maxText {
			return fmt.Errorf("The %s is not UTF-8, or longer than %d bytes", what, maxText)
		}
	}
	return nil
}

// String is the binding in one line, for logs.
func (b *Binding) String() string {
	return fmt.Sprintf("%s %s %s on %s %s %q from %s", b.Permission, b.Principal, b.Operation, b.Pattern, b.Resource, b.Name, b.Host)
}

// Compare orders bindings: those of one pattern are together.
func (b *Binding) Compare(o *Binding) int {
	return cmp.Or(
		cmp.Compare(b.Resource, o.Resource), cmp.Compare(b.Name, o.Name), cmp.Compare(b.Pattern, o.Pattern), cmp.Compare(b.Principal, o.Principal),
		cmp.Compare(b.Host, o.Host), cmp.Compare(b.Operation, o.Operation), cmp.Compare(b.Permission, o.Permission))
}

// Filter finds bindings. Nil texts find all.
type Filter struct {
	Resource   sdk.ResourceType
	Pattern    Pattern
	Name       *string
	Principal  *string
	Host       *string
	Operation  sdk.Operation
	Permission Permission
}

// Check says, in Kafka's words, why f cannot be a filter.
func (f *Filter) Check() error {
	switch {
	case !f.Resource.Known(), f.Pattern < AnyPattern || f.Pattern > Prefixed:
		return fmt.Errorf("Unknown patternFilter.")
	case !f.Operation.Known(), f.Permission < AnyPermission || f.Permission > Allow:
		return fmt.Errorf("Unknown entryFilter.")
	}
	return nil
}

// Finds reports whether the filter finds b.
func (f *Filter) Finds(b *Binding) bool {
	return f.findsPattern(b) &&
		(f.Principal == nil || *f.Principal == b.Principal) &&
		(f.Host == nil || *f.Host == b.Host) &&
		(f.Operation == sdk.OperationAny || f.Operation == b.Operation) &&
		(f.Permission == AnyPermission || f.Permission == b.Permission)
}

func (f *Filter) findsPattern(b *Binding) bool {
	switch {
	case f.Resource != sdk.ResourceAny && f.Resource != b.Resource:
		return false
	case f.Pattern != AnyPattern && f.Pattern != Match && f.Pattern != b.Pattern:
		return false
	case f.Name == nil || *f.Name == b.Name:
		return true
	case f.Pattern != Match:
		return false
	case b.Pattern == Prefixed:
		return strings.HasPrefix(*f.Name, b.Name)
	}
	return b.Name == Wildcard
}
