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
	all := c.gather(func() { c.reply(a) })
	for i, name := range q.Groups {
		refuse := func(err *kerr.Error) {
			r := kmsg.NewDeleteGroupsResponseGroup()
			r.Group, r.ErrorCode = name, err.Code
			a.Groups[i] = r
		}
		p := all.part(func() { refuse(kerr.CoordinatorNotAvailable) })
		c.onGroup(sdk.OperationDelete, name, func(err *kerr.Error) {
			p.tell(func() { refuse(err) })
		}, func(g *group.Coordinator, now time.Time) {
			if p.awaited() { // who was told that it is not done may have thought better of it
				g.Delete(now, name, func(r *kmsg.DeleteGroupsResponseGroup) { p.tell(func() { a.Groups[i] = *r }) })
			}
		})
	}
	all.done()
}
