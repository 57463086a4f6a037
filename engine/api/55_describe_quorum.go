package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/sdk"
)

// MetadataLog is how far the log is by which the cluster's nodes agree.
type MetadataLog struct {
	// Leader is the node that leads, −1 when none does.
	Leader int32
	// Term is Kafka's leader epoch.
	Term int64
	// High is the offset behind the last entry that is agreed on, End behind the last there is.
	High, End int64
	Voters    []int32
}

// DescribeQuorum tells who leads the metadata log, and how far each node is (KIP-642).
//
//	v0 flexible · v1 times (KIP-836) · v2 directories, messages and addresses (KIP-853)
//
// Differs from Kafka: nodes have no listener for controllers, so that the one by which the
// client came in is shown; offsets count changes, of which each may have several records.
func describeQuorum(c *call, q *kmsg.DescribeQuorumRequest, a *kmsg.DescribeQuorumResponse) {
	if !c.onCluster(sdk.OperationDescribe) {
		a.ErrorCode, a.ErrorMessage = clusterDenied.Wire()
		c.reply(a)
		return
	}
	a.ErrorMessage = kmsg.StringPtr("")
	log := c.server.MetadataLog()
	if log.Leader != c.server.NodeID {
		a.ErrorCode, a.ErrorMessage = kerr.NotLeaderForPartition.Code, told("This node does not lead the metadata log.")
		c.reply(a)
		return
	}
	known := ofMetadata(q)
	for i := range q.Topics {
		t := kmsg.NewDescribeQuorumResponseTopic()
		t.Topic = q.Topics[i].Topic
		for _, asked := range q.Topics[i].Partitions {
			p := kmsg.NewDescribeQuorumResponseTopicPartition()
			p.Partition, p.ErrorMessage = asked.Partition, kmsg.StringPtr("")
			if known {
				c.describeMetadataLog(&p, log)
			} else {
				p.ErrorCode, p.ErrorMessage = kerr.UnknownTopicOrPartition.Code, told(kerr.UnknownTopicOrPartition.Description)
			}
			t.Partitions = append(t.Partitions, p)
		}
		a.Topics = append(a.Topics, t)
	}
	if known {
		a.Nodes = c.quorumNodes(log)
	}
	c.reply(a)
}

// ofMetadata reports whether a request asks for the one partition that there is.
func ofMetadata(q *kmsg.DescribeQuorumRequest) bool {
	return len(q.Topics) == 1 && q.Topics[0].Topic == cluster.MetadataTopic && len(q.Topics[0].Partitions) == 1 && q.Topics[0].Partitions[0].Partition == 0
}

// describeMetadataLog tells of this node, which leads: it is caught up now.
func (c *call) describeMetadataLog(p *kmsg.DescribeQuorumResponseTopicPartition, log MetadataLog) {
	p.LeaderID, p.LeaderEpoch, p.HighWatermark = log.Leader, int32(log.Term), log.High
	now := c.received.UnixMilli()
	for _, voter := range log.Voters {
		r := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		if r.ReplicaID, r.LogEndOffset = voter, -1; voter == c.server.NodeID {
			r.LogEndOffset, r.LastFetchTimestamp, r.LastCaughtUpTimestamp = log.End, now, now
		}
		p.CurrentVoters = append(p.CurrentVoters, r)
	}
}

// quorumNodes tells where the voters are reached.
func (c *call) quorumNodes(log MetadataLog) (nodes []kmsg.DescribeQuorumResponseNode) {
	host, port := c.listener.advertised()
	for _, voter := range log.Voters {
		if voter != c.server.NodeID {
			continue
		}
		l := kmsg.NewDescribeQuorumResponseNodeListener()
		l.Name, l.Host, l.Port = c.listener.name, host, uint16(port)
		n := kmsg.NewDescribeQuorumResponseNode()
		n.NodeID, n.Listeners = voter, append(n.Listeners, l)
		nodes = append(nodes, n)
	}
	return nodes
}
