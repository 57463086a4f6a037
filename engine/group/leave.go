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
	g := c.groups[q.Group]
	left := false
	for i := range leaving {
		err := kerr.UnknownMemberID
		if g != nil {
			err = g.leave(leaving[i].MemberID, leaving[i].InstanceID)
		}
		left = left || err == nil
		a := kmsg.NewLeaveGroupResponseMember()
		a.MemberID, a.InstanceID, a.ErrorCode = leaving[i].MemberID, leaving[i].InstanceID, code(err)
		r.Members = append(r.Members, a)
	}
	if q.Version < 3 {
		r.ErrorCode = r.Members[0].ErrorCode
	}
	reply(r)
	if !left {
		return
	}
	switch at := now.UnixMilli(); g.state {
	case stable, completing:
		g.prepareRebalance(at)
	case preparing:
		g.completeJoin(at)
	}
	c.dropIfBare(g)
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
