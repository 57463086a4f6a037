package group

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group/assign"
)

// ConsumerDescribe answers the part of a ConsumerGroupDescribe that is about one group.
// The caller fills in what the client may do.
func (c *Coordinator) ConsumerDescribe(now time.Time, name string, reply func(*kmsg.ConsumerGroupDescribeResponseGroup)) {
	r := kmsg.NewConsumerGroupDescribeResponseGroup()
	r.Group = name
	fail := func(err *kerr.Error, text string) {
		r.ErrorCode = err.Code
		if text != "" {
			r.ErrorMessage = &text
		}
		reply(&r)
	}
	g := c.groups[name]
	switch err := c.refusalOf(name); {
	case err != nil:
		fail(err, "")
	case g == nil:
		fail(kerr.GroupIDNotFound, fmt.Sprintf("Group %s not found.", name))
	case g.consumer == nil:
		fail(kerr.GroupIDNotFound, fmt.Sprintf("Group %s is not a consumer group.", name))
	default:
		g.describeConsumer(&r)
		(&turn{g: g, now: now.UnixMilli()}).end(func(err *kerr.Error) {
			if err != nil {
				r = kmsg.NewConsumerGroupDescribeResponseGroup()
				r.Group = name
				fail(err, "")
				return
			}
			reply(&r)
		})
	}
}

// Types of members, in Kafka's numbers.
const (
	classicMember  = 0
	consumerMember = 1
)

func (g *group) describeConsumer(r *kmsg.ConsumerGroupDescribeResponseGroup) {
	cg := g.consumer
	r.State, r.Epoch, r.AssignmentEpoch, r.AssignorName = g.state.String(), cg.epoch, cg.assignmentEpoch, g.assignor()
	for _, m := range cg.sorted() {
		d := kmsg.NewConsumerGroupDescribeResponseGroupMember()
		d.MemberID, d.InstanceID, d.RackID, d.MemberEpoch = m.id, m.instance, m.rack, m.epoch
		d.ClientID, d.ClientHost = m.client.ID, m.client.Host
		d.SubscribedTopics, d.SubscribedTopicRegex = m.topics, m.pattern
		if m.pattern == nil {
			d.SubscribedTopicRegex = new(string)
		}
		d.Assignment, d.TargetAssignment = g.c.named(m.assigned), g.c.named(m.target)
		if d.MemberType = consumerMember; m.classic != nil {
			d.MemberType = classicMember
		}
		r.Members = append(r.Members, d)
	}
}

// named is an assignment with the names of topics; one that is gone is left out.
func (c *Coordinator) named(a assign.Assignment) kmsg.Assignment {
	out := kmsg.NewAssignment()
	for i := range a {
		topic, ok := c.cluster.TopicByID(a[i].ID)
		if !ok {
			continue
		}
		t := kmsg.NewAssignmentTopicPartition()
		t.TopicID, t.Topic, t.Partitions = topic.ID, topic.Name, a[i].Partitions
		out.TopicPartitions = append(out.TopicPartitions, t)
	}
	return out
}
