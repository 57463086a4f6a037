package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/security/acl"
	"github.com/millrace/millrace/sdk"
)

// CreateACLs adds bindings. They count for what is asked after the answer, on whichever
// connection.
//
//	v1 patterns (KIP-290) · v2 flexible · v3 users
//
// Differs from Kafka: a binding that it does not know is refused alone, where Kafka closes
// the connection or refuses all.
func createACLs(c *call, q *kmsg.CreateACLsRequest, a *kmsg.CreateACLsResponse) {
	bindings := make([]acl.Binding, len(q.Creations))
	for i := range q.Creations {
		one := &q.Creations[i]
		bindings[i] = acl.Binding{
			Resource: sdk.ResourceType(one.ResourceType), Pattern: one.ResourcePatternType, Name: one.ResourceName,
			Principal: one.Principal, Host: one.Host, Operation: sdk.Operation(one.Operation), Permission: one.PermissionType,
		}
	}
	refusals := make([]*cluster.Refusal, len(bindings))
	answer := func(err error) {
		for _, refused := range refusals {
			r := kmsg.NewCreateACLsResponseResult()
			switch {
			case refused != nil:
				r.ErrorCode, r.ErrorMessage = refused.Wire()
			case err != nil:
				r.ErrorCode, r.ErrorMessage = code(err), told(err.Error())
			default:
				r.ErrorMessage = kmsg.StringPtr("") // as Kafka has it
			}
			a.Results = append(a.Results, r)
		}
		c.reply(a)
	}
	if refused := c.refusedACLs(sdk.OperationAlter); refused != nil {
		for i := range refusals {
			refusals[i] = refused
		}
		answer(nil)
		return
	}
	c.server.Controller.Change(func(image *cluster.Image) (records []cluster.Record, _ error) {
		records, refusals = cluster.CreateACLs(image, bindings)
		return records, nil
	}, func(_ *cluster.Image, err error) { answer(err) })
}
