package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/sdk"
)

// Heartbeat tells the coordinator that a member of a classic group is alive.
//
//	v1 throttle time · v3 group.instance.id · v4 flexible
//
// Differs from Kafka: nothing.
func heartbeat(c *call, q *kmsg.HeartbeatRequest, a *kmsg.HeartbeatResponse) {
	c.onGroup(sdk.OperationRead, q.Group, func(err *kerr.Error) {
		a.ErrorCode = err.Code
		c.reply(a)
	}, func(g *group.Coordinator, now time.Time) {
		g.Heartbeat(now, q, func(r *kmsg.HeartbeatResponse) { c.reply(r) })
	})
}
