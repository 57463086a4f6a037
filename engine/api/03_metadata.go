package api

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/sdk"
)

// Metadata tells which topics there are and who leads them.
//
//	v1 all topics by null · v2 cluster id · v4 auto-creation · v8 authorized operations
//	v9 flexible · v10 topic ids · v12 topics by id · v13 top-level error
//
// Differs from Kafka: a topic that is created by asking is described at once, where
// Kafka lets the client ask again. Not so a topic that was deleted: of the first who asks it is
// only said that it is not there, and asking again creates it.
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
	q.Topics = onceEach(q.Topics)
	ask := c.asker()
	create, refused := missingNames(c, q, ask)
	if len(create) == 0 {
		c.describeTopics(q, a, ask, c.server.Controller.Image(), refused)
		return
	}
	c.slot.Hold(nil) // an answer of megabytes that comes later: see large
	c.server.createTopics(create, func(image *cluster.Image, failed map[string]*kerr.Error) {
		maps.Copy(refused, failed)
		c.describeTopics(q, a, ask, image, refused)
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

// missingNames are the topics that asking creates, and those that whoever asks may not create. Each is asked for once:
// the first look at a topic that was deleted is its farewell.
func missingNames(c *call, q *kmsg.MetadataRequest, ask *asker) (names []string, refused map[string]*kerr.Error) {
	refused = map[string]*kerr.Error{}
	if !config.AutoCreateTopics.Of(c.server.Values()) || q.Version >= 4 && !q.AllowAutoTopicCreation {
		return nil, refused
	}
	image := c.server.Controller.Image()
	creator := c.sees(sdk.OperationCreate, sdk.ResourceCluster, sdk.ClusterName)
	for _, t := range q.Topics {
		switch {
		case t.Topic == nil, t.TopicID != [16]byte{}, image.Topic(*t.Topic) != nil, !ask.sees(sdk.OperationDescribe, sdk.ResourceTopic, *t.Topic):
		case !creator && !ask.allowed(sdk.OperationCreate, sdk.ResourceTopic, *t.Topic):
			refused[*t.Topic] = kerr.TopicAuthorizationFailed
		case c.server.farewells.heard(*t.Topic): // it is not created yet
		default:
			names = append(names, *t.Topic)
		}
	}
	return names, refused
}

func (c *call) describeTopics(q *kmsg.MetadataRequest, a *kmsg.MetadataResponse, ask *asker, image *cluster.Image, refused map[string]*kerr.Error) {
	a.Brokers = nil
	for _, b := range c.server.nodes(image, c.listener) {
		broker := kmsg.NewMetadataResponseBroker()
		broker.NodeID, broker.Host, broker.Port, broker.Rack = b.id, b.host, b.port, b.rack
		a.Brokers = append(a.Brokers, broker)
	}
	a.ClusterID = kmsg.StringPtr(image.ClusterID())
	a.ControllerID = c.server.NodeID
	if q.Version >= 8 && q.Version <= 10 {
		a.AuthorizedOperations = ask.clusterOperations(q.IncludeClusterAuthorizedOperations)
	}
	if q.Topics == nil || q.Version == 0 && len(q.Topics) == 0 {
		for _, t := range image.Topics() {
			if ask.sees(sdk.OperationDescribe, sdk.ResourceTopic, t.Name) {
				a.Topics = append(a.Topics, describeTopic(t))
			}
		}
	}
	for _, asked := range q.Topics {
		a.Topics = append(a.Topics, findTopic(image, ask, asked, refused))
	}
	for i := range a.Topics {
		if t := &a.Topics[i]; t.Topic != nil && t.ErrorCode != kerr.TopicAuthorizationFailed.Code {
			t.AuthorizedOperations = ask.operations(q.IncludeTopicAuthorizedOperations, sdk.ResourceTopic, *t.Topic)
		}
	}
	c.reply(a)
}

// onceEach leaves each topic that is asked for once: by its id or, where it has none, by its name.
func onceEach(topics []kmsg.MetadataRequestTopic) []kmsg.MetadataRequestTopic {
	type key struct {
		id   [16]byte
		name string
	}
	seen := make(map[key]bool, len(topics))
	return slices.DeleteFunc(topics, func(t kmsg.MetadataRequestTopic) bool {
		k := key{id: t.TopicID}
		if t.Topic != nil && t.TopicID == [16]byte{} {
			k.name = *t.Topic
		}
		if seen[k] {
			return true
		}
		seen[k] = true
		return false
	})
}

// findTopic describes a topic that is asked for. Who may not describe it is not told whether
// it exists; that of an id is no secret, but what it is called.
func findTopic(image *cluster.Image, ask *asker, q kmsg.MetadataRequestTopic, refused map[string]*kerr.Error) kmsg.MetadataResponseTopic {
	if q.TopicID != [16]byte{} { // the id counts, even beside a name
		t := image.TopicByID(q.TopicID)
		switch {
		case t == nil:
			return missingTopic(nil, q.TopicID, kerr.UnknownTopicID)
		case !ask.allowed(sdk.OperationDescribe, sdk.ResourceTopic, t.Name):
			return missingTopic(nil, q.TopicID, kerr.TopicAuthorizationFailed)
		}
		return describeTopic(t)
	}
	if !ask.allowed(sdk.OperationDescribe, sdk.ResourceTopic, *q.Topic) {
		return missingTopic(q.Topic, [16]byte{}, kerr.TopicAuthorizationFailed)
	}
	if t := image.Topic(*q.Topic); t != nil {
		return describeTopic(t)
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

func describeTopic(t *cluster.Topic) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID, out.IsInternal = kmsg.StringPtr(t.Name), t.ID, t.Internal
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
