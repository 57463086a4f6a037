package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group"
)

// ConsumerGroupDescribe tells the state and the members of consumer groups (KIP-848).
//
//	v1 which protocol a member uses
//
// Differs from Kafka: nothing.
func consumerGroupDescribe(c *call, q *kmsg.ConsumerGroupDescribeRequest, a *kmsg.ConsumerGroupDescribeResponse) {
	a.Groups = make([]kmsg.ConsumerGroupDescribeResponseGroup, len(q.Groups))
	all := newGather(func() { c.reply(a) })
	for i, name := range q.Groups {
		all.later()
		answer := func(r *kmsg.ConsumerGroupDescribeResponseGroup) {
			r.AuthorizedOperations = operations(q.IncludeAuthorizedOperations, groupOperations)
			a.Groups[i] = *r
			all.done()
		}
		refuse := func(err *kerr.Error) {
			r := kmsg.NewConsumerGroupDescribeResponseGroup()
			r.Group, r.ErrorCode = name, err.Code
			answer(&r)
		}
		if !c.server.hasConsumerGroups() {
			refuse(kerr.UnsupportedVersion)
			continue
		}
		c.server.onGroup(name, refuse, func(g *group.Coordinator, now time.Time) {
			g.ConsumerDescribe(now, name, answer)
		})
	}
	all.done()
}
