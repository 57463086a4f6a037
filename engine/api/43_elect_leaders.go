package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/sdk"
)

// ElectLeaders brings leadership back to where it belongs (KIP-183, KIP-460). The only
// replica of a partition leads it, so that no election is ever needed.
//
//	v1 election type, error for all · v2 flexible
//
// Differs from Kafka: nothing, of one node.
func electLeaders(c *call, q *kmsg.ElectLeadersRequest, a *kmsg.ElectLeadersResponse) {
	if !c.onCluster(sdk.OperationAlter) {
		refuseElections(q, a)
		c.reply(a)
		return
	}
	image := c.server.Controller.Image()
	if c.version == 0 {
		q.ElectionType = cluster.ElectPreferred
	}
	if q.ElectionType != cluster.ElectPreferred && q.ElectionType != cluster.ElectUnclean {
		a.ErrorCode = kerr.InvalidRequest.Code
	}
	if q.Topics == nil && a.ErrorCode == 0 {
		for _, t := range image.Topics() {
			a.Topics = append(a.Topics, electedEverywhere(image, q.ElectionType, t))
		}
	}
	for i := range q.Topics {
		asked := &q.Topics[i]
		t := kmsg.NewElectLeadersResponseTopic()
		t.Topic = asked.Topic
		for _, partition := range asked.Partitions {
			t.Partitions = append(t.Partitions, elected(image, q.ElectionType, asked.Topic, partition))
		}
		a.Topics = append(a.Topics, t)
	}
	c.reply(a)
}

// refuseElections answers those who may not alter the cluster.
func refuseElections(q *kmsg.ElectLeadersRequest, a *kmsg.ElectLeadersResponse) {
	a.ErrorCode = clusterDenied.Code.Code
	for i := range q.Topics {
		t := kmsg.NewElectLeadersResponseTopic()
		t.Topic = q.Topics[i].Topic
		for _, partition := range q.Topics[i].Partitions {
			r := kmsg.NewElectLeadersResponseTopicPartition()
			r.Partition = partition
			r.ErrorCode, r.ErrorMessage = clusterDenied.Wire()
			t.Partitions = append(t.Partitions, r)
		}
		a.Topics = append(a.Topics, t)
	}
}

// electedEverywhere is the answer for a topic when all were asked for: it leaves out the
// partitions whose leader is the right one already.
func electedEverywhere(image *cluster.Image, kind int8, topic *cluster.Topic) kmsg.ElectLeadersResponseTopic {
	t := kmsg.NewElectLeadersResponseTopic()
	t.Topic = topic.Name
	for partition := range topic.Partitions {
		if r := elected(image, kind, topic.Name, int32(partition)); r.ErrorCode != kerr.ElectionNotNeeded.Code {
			t.Partitions = append(t.Partitions, r)
		}
	}
	return t
}

func elected(image *cluster.Image, kind int8, topic string, partition int32) kmsg.ElectLeadersResponseTopicPartition {
	r := kmsg.NewElectLeadersResponseTopicPartition()
	r.Partition = partition
	r.ErrorCode, r.ErrorMessage = cluster.ElectLeader(image, kind, topic, partition).Wire()
	return r
}
