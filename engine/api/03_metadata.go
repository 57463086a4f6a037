package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/config"
)

// What anybody may do while nobody is forbidden anything (KIP-430): a bit for each
// operation that the resource knows.
const (
	topicOperations   = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	groupOperations   = 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11
	clusterOperations = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
)

// operations answers a bitmap, or that it was not asked for.
func operations(asked bool, bitmap int32) int32 {
	if asked {
		return bitmap
	}
	return -1 << 31
}

// Metadata tells which topics there are and who leads them.
//
//	v1 all topics by null · v2 cluster id · v4 auto-creation · v8 authorized operations
//	v9 flexible · v10 topic ids · v12 topics by id · v13 top-level error
//
// Differs from Kafka: a topic that is created by asking is described at once, where
// Kafka lets the client ask again.
func metadata(c *call, q *kmsg.MetadataRequest, a *kmsg.MetadataResponse) {
	if err := checkMetadata(q); err != nil {
		if c.version >= 13 {
			a.ErrorCode = err.Code
		}
		for _, t := range q.Topics {
			a.Topics = append(a.Topics, missingTopic(t.Topic, t.TopicID, err))
		}
		c.reply(a)
		return
	}
	create := missingNames(c, q)
	if len(create) == 0 {
		c.describeTopics(q, a, c.server.Controller.Image(), nil)
		return
	}
	c.server.createTopics(create, func(image *cluster.Image, refused map[string]*kerr.Error) {
		c.describeTopics(q, a, image, refused)
	})
}

func checkMetadata(q *kmsg.MetadataRequest) *kerr.Error {
	for _, t := range q.Topics {
		byID := t.TopicID != [16]byte{}
		if t.Topic == nil && (q.Version < 12 || !byID) || byID && q.Version < 12 {
			return kerr.InvalidRequest
		}
	}
	return nil
}

// missingNames are the topics that asking creates.
func missingNames(c *call, q *kmsg.MetadataRequest) (names []string) {
	if !config.AutoCreateTopics.Of(c.server.Values()) || q.Version >= 4 && !q.AllowAutoTopicCreation {
		return nil
	}
	image := c.server.Controller.Image()
	for _, t := range q.Topics {
		if t.Topic != nil && t.TopicID == [16]byte{} && image.Topic(*t.Topic) == nil {
			names = append(names, *t.Topic)
		}
	}
	return names
}

func (c *call) describeTopics(q *kmsg.MetadataRequest, a *kmsg.MetadataResponse, image *cluster.Image, refused map[string]*kerr.Error) {
	a.Brokers = nil
	for _, b := range c.server.nodes(image, c.listener) {
		broker := kmsg.NewMetadataResponseBroker()
		broker.NodeID, broker.Host, broker.Port, broker.Rack = b.id, b.host, b.port, b.rack
		a.Brokers = append(a.Brokers, broker)
	}
	a.ClusterID = kmsg.StringPtr(image.ClusterID())
	a.ControllerID = c.server.NodeID
	a.AuthorizedOperations = operations(q.IncludeClusterAuthorizedOperations, clusterOperations)
	if q.Topics == nil || q.Version == 0 && len(q.Topics) == 0 {
		for _, t := range image.Topics() {
			a.Topics = append(a.Topics, describeTopic(t, q.IncludeTopicAuthorizedOperations))
		}
		c.reply(a)
		return
	}
	for _, asked := range q.Topics {
		a.Topics = append(a.Topics, findTopic(image, asked, refused, q.IncludeTopicAuthorizedOperations))
	}
	c.reply(a)
}

func findTopic(image *cluster.Image, q kmsg.MetadataRequestTopic, refused map[string]*kerr.Error, authorized bool) kmsg.MetadataResponseTopic {
	if q.TopicID != [16]byte{} { // the id counts, even beside a name
		t := image.TopicByID(q.TopicID)
		if t == nil {
			return missingTopic(nil, q.TopicID, kerr.UnknownTopicID)
		}
		return describeTopic(t, authorized)
	}
	t := image.Topic(*q.Topic)
	if t != nil {
		return describeTopic(t, authorized)
	}
	if err := refused[*q.Topic]; err != nil {
		return missingTopic(q.Topic, [16]byte{}, err)
	}
	if cluster.CheckName(*q.Topic) != nil {
		return missingTopic(q.Topic, [16]byte{}, kerr.InvalidTopicException)
	}
	return missingTopic(q.Topic, [16]byte{}, kerr.UnknownTopicOrPartition)
}

func missingTopic(name *string, id [16]byte, err *kerr.Error) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.Topic, t.TopicID, t.ErrorCode = name, id, err.Code
	if name == nil {
		t.Topic = nil
	}
	return t
}

func describeTopic(t *cluster.Topic, authorized bool) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID, out.IsInternal = kmsg.StringPtr(t.Name), t.ID, t.Internal
	out.AuthorizedOperations = operations(authorized, topicOperations)
	out.Partitions = make([]kmsg.MetadataResponseTopicPartition, len(t.Partitions))
	for i := range t.Partitions {
		p, from := &out.Partitions[i], &t.Partitions[i]
		p.Default()
		p.Partition, p.Leader, p.LeaderEpoch = int32(i), from.Leader, from.LeaderEpoch
		p.Replicas, p.ISR = from.Replicas, from.ISR
		if from.Leader == cluster.NoLeader {
			p.ErrorCode = kerr.LeaderNotAvailable.Code
		}
	}
	return out
}
