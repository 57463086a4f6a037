package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Leave takes members out of a group at once. An administrator may name static members
// by their group.instance.id alone.
func (c *Coordinator) Leave(now time.Time, q *kmsg.LeaveGroupRequest, reply func(*kmsg.LeaveGroupResponse)) {
	r := kmsg.NewPtrLeaveGroupResponse()
	if err := c.refusalOf(q.Group); err != nil {
		r.ErrorCode = err.Code
		reply(r)
		return
	}
	leaving := q.Members
	if q.Version < 3 {
		leaving = []kmsg.LeaveGroupRequestMember{{MemberID: q.MemberID}}
	}
	answer := func(answers []*kerr.Error) {
		for i := range leaving {
			a := kmsg.NewLeaveGroupResponseMember()
			a.MemberID, a.InstanceID, a.ErrorCode = leaving[i].MemberID, leaving[i].InstanceID, code(answers[i])
			r.Members = append(r.Members, a)
		}
		if q.Version < 3 {
			r.ErrorCode = r.Members[0].ErrorCode
		}
		reply(r)
	}
	g := c.groups[q.Group]
	if g != nil && g.consumer != nil {
		g.leaveConsumer(now.UnixMilli(), leaving, answer)
		return
	}
	g.leaveClassic(now.UnixMilli(), leaving, answer)
}

// leaveClassic takes members out of a classic group; of no group, all are unknown.
func (g *group) leaveClassic(now int64, leaving []kmsg.LeaveGroupRequestMember, answer func([]*kerr.Error)) {
	answers := make([]*kerr.Error, len(leaving))
	left := false
	for i := range leaving {
		answers[i] = kerr.UnknownMemberID
		if g != nil {
			answers[i] = g.leave(leaving[i].MemberID, leaving[i].InstanceID)
		}
		left = left || answers[i] == nil
	}
	answer(answers)
	if !left {
		return
	}
	switch g.state {
	case stable, completing:
		g.prepareRebalance(now)
	case preparing:
		g.completeJoin(now)
	}
	g.c.dropIfBare(g)
}

func (g *group) leave(id string, instance *string) *kerr.Error {
	if id == "" {
		if instance == nil || g.static[*instance] == nil {
			return kerr.UnknownMemberID
		}
		g.remove(g.static[*instance])
		return nil
	}
	if g.unpend(id) {
		return nil
	}
	m, err := g.find(id, instance)
	if err != nil {
		return err
	}
	g.remove(m)
	return nil
}
