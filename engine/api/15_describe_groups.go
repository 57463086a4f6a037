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
// Differs from Kafka: a group that is named twice is told of once.
func describeGroups(c *call, q *kmsg.DescribeGroupsRequest, a *kmsg.DescribeGroupsResponse) {
	groups := once(len(q.Groups), func(i int) string { return q.Groups[i] }) // what is told of one may be large
	a.Groups = make([]kmsg.DescribeGroupsResponseGroup, len(groups))
	ask := c.asker()
	all := c.gather(func() { c.reply(a) })
	for i, name := range groups {
		refuse := func(err *kerr.Error) {
			r := kmsg.NewDescribeGroupsResponseGroup()
			r.Group, r.ErrorCode = name, err.Code
			a.Groups[i] = r
		}
		p := all.part(func() { refuse(kerr.CoordinatorNotAvailable) })
		answer := func(r *kmsg.DescribeGroupsResponseGroup) {
			r.AuthorizedOperations = ask.operations(q.IncludeAuthorizedOperations && r.ErrorCode == 0, sdk.ResourceGroup, name)
			p.tell(func() { a.Groups[i] = *r })
		}
		c.onGroup(sdk.OperationDescribe, name, func(err *kerr.Error) {
			p.tell(func() { refuse(err) })
		}, func(g *group.Coordinator, now time.Time) {
			g.Describe(now, name, c.version, answer)
		})
	}
	all.done()
}
