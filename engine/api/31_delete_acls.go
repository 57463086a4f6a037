package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/security/acl"
	"github.com/millrace/millrace/sdk"
)

// DeleteACLs removes the bindings that filters find, and those alone.
//
//	v1 patterns (KIP-290) · v2 flexible · v3 users
//
// Differs from Kafka: a filter that it does not know is refused alone, where Kafka closes the
// connection.
func deleteACLs(c *call, q *kmsg.DeleteACLsRequest, a *kmsg.DeleteACLsResponse) {
	filters := make([]acl.Filter, len(q.Filters))
	for i := range q.Filters {
		f := &q.Filters[i]
		filters[i] = acl.Filter{
			Resource: sdk.ResourceType(f.ResourceType), Pattern: f.ResourcePatternType, Name: f.ResourceName,
			Principal: f.Principal, Host: f.Host, Operation: sdk.Operation(f.Operation), Permission: f.PermissionType,
		}
	}
	answers := make([]cluster.DeletedACLs, len(filters))
	answer := func(err error) {
		for i := range answers {
			a.Results = append(a.Results, deletedACLs(&answers[i], err))
		}
		c.reply(a)
	}
	if refused := c.refusedACLs(sdk.OperationAlter); refused != nil {
		for i := range answers {
			answers[i].Refusal = refused
		}
		answer(nil)
		return
	}
	c.server.Controller.Change(func(image *cluster.Image) (records []cluster.Record, _ error) {
		records, answers = cluster.DeleteACLs(image, filters)
		return records, nil
	}, func(_ *cluster.Image, err error) { answer(err) })
}

func deletedACLs(d *cluster.DeletedACLs, err error) kmsg.DeleteACLsResponseResult {
	r := kmsg.NewDeleteACLsResponseResult()
	switch {
	case d.Refusal != nil:
		r.ErrorCode, r.ErrorMessage = d.Refusal.Wire()
	case err != nil:
		r.ErrorCode, r.ErrorMessage = code(err), told(err.Error())
	default:
		for _, b := range d.Bindings {
			m := kmsg.NewDeleteACLsResponseResultMatchingACL()
			m.ResourceType, m.ResourceName, m.ResourcePatternType = kmsg.ACLResourceType(b.Resource), b.Name, b.Pattern
			m.Principal, m.Host, m.Operation, m.PermissionType = b.Principal, b.Host, kmsg.ACLOperation(b.Operation), b.Permission
			r.MatchingACLs = append(r.MatchingACLs, m)
		}
	}
	return r
}
