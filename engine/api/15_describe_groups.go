package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/sdk"
)

// DescribeGroups tells the state and the members of groups.
//
//	v3 authorized operations · v4 group.instance.id · v5 flexible · v6 error messages
//
// Differs from Kafka: nothing.
func describeGroups(c *call, q *kmsg.DescribeGroupsRequest, a *kmsg.DescribeGroupsResponse) {
	a.Groups = make([]kmsg.DescribeGroupsResponseGroup, len(q.Groups))
	ask := c.asker()
	all := newGather(func() { c.reply(a) })
	for i, name := range q.Groups {
		all.later()
		answer := func(r *kmsg.DescribeGroupsResponseGroup) {
			r.AuthorizedOperations = ask.operations(q.IncludeAuthorizedOperations && r.ErrorCode == 0, sdk.ResourceGroup, name)
			a.Groups[i] = *r
			all.done()
		}
		c.onGroup(sdk.OperationDescribe, name, func(err *kerr.Error) {
			r := kmsg.NewDescribeGroupsResponseGroup()
			r.Group, r.ErrorCode = name, err.Code
			answer(&r)
		}, func(g *group.Coordinator, now time.Time) {
			g.Describe(now, name, c.version, answer)
		})
	}
	all.done()
}
