package api

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/sdk"
)

// ListGroups lists groups.
//
//	v3 flexible · v4 states · v5 types
//
// Differs from Kafka: where some coordinators cannot be had, those groups are listed that others have, beside the error.
func listGroups(c *call, q *kmsg.ListGroupsRequest, a *kmsg.ListGroupsResponse) {
	var guard sync.Mutex //nolint:forbidigo // shards add to the answer at the same time; an admin call, not the hot path
	refuse := func(err *kerr.Error) {
		guard.Lock()
		defer guard.Unlock()
		a.ErrorCode = err.Code
	}
	ask := c.asker()
	every := ask.sees(sdk.OperationDescribe, sdk.ResourceCluster, sdk.ClusterName)
	c.onAllGroups(refuse, func(g *group.Coordinator, now time.Time, tell func(func())) {
		g.List(now, q, func(some []kmsg.ListGroupsResponseGroup, err *kerr.Error) {
			some = slices.DeleteFunc(some, func(g kmsg.ListGroupsResponseGroup) bool {
				return !every && !ask.sees(sdk.OperationDescribe, sdk.ResourceGroup, g.Group)
			})
			tell(func() {
				guard.Lock()
				defer guard.Unlock()
				if err != nil {
					a.ErrorCode = err.Code
				}
				a.Groups = append(a.Groups, some...)
			})
		})
	}, func() {
		slices.SortFunc(a.Groups, func(x, y kmsg.ListGroupsResponseGroup) int { return cmp.Compare(x.Group, y.Group) })
		c.reply(a)
	})
}
