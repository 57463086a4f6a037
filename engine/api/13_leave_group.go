package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/sdk"
)

// LeaveGroup takes members out of a group at once.
//
//	v1 throttle time · v3 many members, by instance id too · v4 flexible · v5 reason
//
// Differs from Kafka: nothing.
func leaveGroup(c *call, q *kmsg.LeaveGroupRequest, a *kmsg.LeaveGroupResponse) {
	c.onGroup(sdk.OperationRead, q.Group, func(err *kerr.Error) {
		a.ErrorCode = err.Code
		c.reply(a)
	}, func(g *group.Coordinator, now time.Time) {
		g.Leave(now, q, func(r *kmsg.LeaveGroupResponse) { c.reply(r) })
	})
}
