package api

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/sdk"
)

// ConsumerGroupDescribe tells the state and the members of consumer groups (KIP-848).
//
//	v1 which protocol a member uses
//
// Differs from Kafka: a group that is named twice is told of once.
func consumerGroupDescribe(c *call, q *kmsg.ConsumerGroupDescribeRequest, a *kmsg.ConsumerGroupDescribeResponse) {
	groups := once(len(q.Groups), func(i int) string { return q.Groups[i] }) // what is told of one may be large
	a.Groups = make([]kmsg.ConsumerGroupDescribeResponseGroup, len(groups))
	ask := c.asker()
	all := c.gather(func() { c.reply(a) })
	for i, name := range groups {
		refused := func(err *kerr.Error) *kmsg.ConsumerGroupDescribeResponseGroup {
			r := kmsg.NewConsumerGroupDescribeResponseGroup()
			r.Group, r.ErrorCode = name, err.Code
			return &r
		}
		p := all.part(func() { a.Groups[i] = *refused(kerr.CoordinatorNotAvailable) })
		answer := func(r *kmsg.ConsumerGroupDescribeResponseGroup) {
			if r.ErrorCode == 0 && ask.hidden(r) {
				r = hiddenGroup(name)
			}
			r.AuthorizedOperations = ask.operations(q.IncludeAuthorizedOperations && r.ErrorCode == 0, sdk.ResourceGroup, name)
			p.tell(func() { a.Groups[i] = *r })
		}
		refuse := func(err *kerr.Error) { answer(refused(err)) }
		if !c.server.hasConsumerGroups() {
			refuse(kerr.UnsupportedVersion)
			continue
		}
		c.onGroup(sdk.OperationDescribe, name, refuse, func(g *group.Coordinator, now time.Time) {
			g.ConsumerDescribe(now, name, answer)
		})
	}
	all.done()
}

// hidden reports whether a group has partitions of topics that whoever asks may not describe.
func (a *asker) hidden(r *kmsg.ConsumerGroupDescribeResponseGroup) bool {
	unseen := func(t kmsg.AssignmentTopicPartition) bool {
		return !a.sees(sdk.OperationDescribe, sdk.ResourceTopic, t.Topic)
	}
	return slices.ContainsFunc(r.Members, func(m kmsg.ConsumerGroupDescribeResponseGroupMember) bool {
		return slices.ContainsFunc(m.Assignment.TopicPartitions, unseen) || slices.ContainsFunc(m.TargetAssignment.TopicPartitions, unseen)
	})
}

// hiddenGroup is the answer for such a group.
func hiddenGroup(name string) *kmsg.ConsumerGroupDescribeResponseGroup {
	r := kmsg.NewConsumerGroupDescribeResponseGroup()
	r.Group, r.ErrorCode = name, kerr.TopicAuthorizationFailed.Code
	r.ErrorMessage = kmsg.StringPtr("The group has described topic(s) that the client is not authorized to describe.")
	return &r
}
