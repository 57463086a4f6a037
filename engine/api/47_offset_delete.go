package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group"
)

// OffsetDelete forgets offsets of topics that a group does not read any more (KIP-496).
//
//	v0 only, never flexible
//
// Differs from Kafka: nothing.
func offsetDelete(c *call, q *kmsg.OffsetDeleteRequest, a *kmsg.OffsetDeleteResponse) {
	c.server.onGroup(q.Group, func(err *kerr.Error) {
		a.ErrorCode = err.Code
		c.reply(a)
	}, func(g *group.Coordinator, now time.Time) {
		g.DeleteOffsets(now, q, func(r *kmsg.OffsetDeleteResponse) { c.reply(r) })
	})
}
