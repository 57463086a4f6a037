package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/sdk"
)

// SyncGroup brings the leader's assignment to the members.
//
//	v1 throttle time · v3 group.instance.id · v4 flexible · v5 protocol type and name
//
// Differs from Kafka: a group may be 16 MiB when it is stored, or max.message.bytes of __consumer_offsets if that is more.
func syncGroup(c *call, q *kmsg.SyncGroupRequest, a *kmsg.SyncGroupResponse) {
	c.onGroup(sdk.OperationRead, q.Group, func(err *kerr.Error) {
		a.ErrorCode = err.Code
		c.reply(a)
	}, func(g *group.Coordinator, now time.Time) {
		g.Sync(now, q, func(r *kmsg.SyncGroupResponse) { c.reply(r) })
	})
}
