package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/security/acl"
	"github.com/millrace/millrace/sdk"
)

// DescribeACLs tells which bindings a filter finds.
//
//	v1 patterns (KIP-290) · v2 flexible · v3 users
//
// Differs from Kafka: a filter that it does not know is refused, where Kafka closes the
// connection.
func describeACLs(c *call, q *kmsg.DescribeACLsRequest, a *kmsg.DescribeACLsResponse) {
	filter := acl.Filter{
		Resource: sdk.ResourceType(q.ResourceType), Pattern: q.ResourcePatternType, Name: q.ResourceName,
		Principal: q.Principal, Host: q.Host, Operation: sdk.Operation(q.Operation), Permission: q.PermissionType,
	}
	refused := c.refusedACLs(sdk.OperationDescribe)
	if err := filter.Check(); refused == nil && err != nil {
		refused = &cluster.Refusal{Code: kerr.InvalidRequest, Message: err.Error()}
	}
	if refused != nil {
		a.ErrorCode, a.ErrorMessage = refused.Wire()
		c.reply(a)
		return
	}
	a.ErrorMessage = kmsg.StringPtr("") // as Kafka has it
	for _, b := range c.server.Controller.Image().FindACLs(&filter) {
		last := len(a.Resources) - 1
		if last < 0 || a.Resources[last].ResourceType != kmsg.ACLResourceType(b.Resource) || a.Resources[last].ResourceName != b.Name || a.Resources[last].ResourcePatternType != b.Pattern {
			r := kmsg.NewDescribeACLsResponseResource()
			r.ResourceType, r.ResourceName, r.ResourcePatternType = kmsg.ACLResourceType(b.Resource), b.Name, b.Pattern
			a.Resources = append(a.Resources, r)
			last++
		}
		one := kmsg.NewDescribeACLsResponseResourceACL()
		one.Principal, one.Host, one.Operation, one.PermissionType = b.Principal, b.Host, kmsg.ACLOperation(b.Operation), b.Permission
		a.Resources[last].ACLs = append(a.Resources[last].ACLs, one)
	}
	c.reply(a)
}

// Why there are no bindings to describe or to change. In Kafka the broker says it to whoever describes,
// and the controller, in other words, to whoever changes.
var (
	noAuthorizerHere = &cluster.Refusal{Code: kerr.SecurityDisabled, Message: "No Authorizer is configured on the broker"}
	noAuthorizer     = &cluster.Refusal{Code: kerr.SecurityDisabled, Message: "No Authorizer is configured."}
	noACLs           = &cluster.Refusal{Code: kerr.SecurityDisabled, Message: "The authorizer of this broker is a plugin that does not go by ACLs."}
)

// refusedACLs is why whoever asks may not do op with the bindings.
func (c *call) refusedACLs(op sdk.Operation) *cluster.Refusal {
	switch {
	case !c.onCluster(op):
		return clusterDenied
	case c.server.Authorizer == nil && op == sdk.OperationDescribe:
		return noAuthorizerHere
	case c.server.Authorizer == nil:
		return noAuthorizer
	case !c.server.KeepsACLs:
		return noACLs
	}
	return nil
}
