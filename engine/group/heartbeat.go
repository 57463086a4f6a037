package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Heartbeat keeps the session of a member alive and tells it when to join again.
func (c *Coordinator) Heartbeat(now time.Time, q *kmsg.HeartbeatRequest, reply func(*kmsg.HeartbeatResponse)) {
	r := kmsg.NewPtrHeartbeatResponse()
	if g := c.groups[q.Group]; g != nil && g.consumer != nil && c.refusalOf(q.Group) == nil {
		g.heartbeatConsumer(now.UnixMilli(), q, func(err *kerr.Error) {
			r.ErrorCode = code(err)
			reply(r)
		})
		return
	}
	r.ErrorCode = code(c.heartbeat(now.UnixMilli(), q))
	reply(r)
}

func (c *Coordinator) heartbeat(now int64, q *kmsg.HeartbeatRequest) *kerr.Error {
	switch err := c.refusalOf(q.Group); {
	case err == kerr.CoordinatorLoadInProgress:
		return nil // sessions begin anew when loading ends, so it is as good as counted
	case err != nil:
		return err
	}
	g := c.groups[q.Group]
	if g == nil {
		return kerr.UnknownMemberID
	}
	m, err := g.find(q.MemberID, q.InstanceID)
	if err != nil {
		return err
	}
	if q.Generation != g.generation {
		return kerr.IllegalGeneration
	}
	g.touch(now, m)
	if g.state == preparing {
		return kerr.RebalanceInProgress
	}
	return nil
}
