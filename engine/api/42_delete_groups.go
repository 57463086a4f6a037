package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/sdk"
)

// DeleteGroups deletes groups that have no members, with their offsets.
//
//	v1 throttle time · v2 flexible · v3 error messages
//
// Differs from Kafka: nothing.
func deleteGroups(c *call, q *kmsg.DeleteGroupsRequest, a *kmsg.DeleteGroupsResponse) {
	a.Groups = make([]kmsg.DeleteGroupsResponseGroup, len(q.Groups))
	all := newGather(func() { c.reply(a) })
	for i, name := range q.Groups {
		all.later()
		answer := func(r *kmsg.DeleteGroupsResponseGroup) {
			a.Groups[i] = *r
			all.done()
		}
		c.onGroup(sdk.OperationDelete, name, func(err *kerr.Error) {
			r := kmsg.NewDeleteGroupsResponseGroup()
			r.Group, r.ErrorCode = name, err.Code
			answer(&r)
		}, func(g *group.Coordinator, now time.Time) {
			g.Delete(now, name, answer)
		})
	}
	all.done()
}
