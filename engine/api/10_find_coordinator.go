package api

import (
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/sdk"
)

// OffsetsTopic keeps the offsets and members of groups.
const OffsetsTopic = "__consumer_offsets"

// Kinds of coordinators.
const (
	coordinatesGroups       = 0
	coordinatesTransactions = 1
	coordinatesShares       = 2
)

// FindCoordinator tells which broker coordinates a group, or the transactions of a producer.
// The first question makes the topic that they are kept in.
//
//	v1 coordinator type · v3 flexible · v4 many keys · v6 share groups
//
// Differs from Kafka: there are no share groups to coordinate, and the answer says so.
func findCoordinator(c *call, q *kmsg.FindCoordinatorRequest, a *kmsg.FindCoordinatorResponse) {
	topic := OffsetsTopic
	if q.CoordinatorType == coordinatesTransactions {
		topic = cluster.TransactionsTopic
	}
	keys := q.CoordinatorKeys
	if c.version < 4 {
		keys = []string{q.CoordinatorKey}
	}
	denied, all := make([]*cluster.Refusal, len(keys)), true
	for i, key := range keys {
		denied[i] = c.deniedCoordinator(q.CoordinatorType, key)
		all = all && denied[i] != nil
	}
	answer := func(image *cluster.Image, err *kerr.Error) {
		for i, key := range keys {
			refused := denied[i]
			if refused == nil && err != nil {
				refused = &cluster.Refusal{Code: err, Message: err.Description}
			}
			a.Coordinators = append(a.Coordinators, c.coordinator(image, q.CoordinatorType, key, refused))
		}
		if c.version < 4 {
			one := a.Coordinators[0]
			a.ErrorCode, a.ErrorMessage, a.NodeID, a.Host, a.Port = one.ErrorCode, one.ErrorMessage, one.NodeID, one.Host, one.Port
			if a.ErrorCode == 0 {
				a.ErrorMessage = kmsg.StringPtr("NONE") // these versions have Kafka's word for it
			}
			a.Coordinators = nil
		}
		c.reply(a)
	}
	if all {
		answer(c.server.Controller.Image(), nil)
		return
	}
	c.server.withTopic(topic, answer)
}

// deniedCoordinator is why whoever asks is not told who coordinates.
func (c *call) deniedCoordinator(kind int8, key string) *cluster.Refusal {
	switch {
	case kind == coordinatesGroups && !c.allowed(sdk.OperationDescribe, sdk.ResourceGroup, key):
		return groupDenied
	case kind == coordinatesTransactions && !c.allowed(sdk.OperationDescribe, sdk.ResourceTransactionalID, key):
		return transactionDenied
	}
	return nil
}

func (c *call) coordinator(image *cluster.Image, kind int8, key string, refused *cluster.Refusal) kmsg.FindCoordinatorResponseCoordinator {
	out := kmsg.NewFindCoordinatorResponseCoordinator()
	out.Key, out.NodeID, out.Port = key, -1, -1
	refuse := func(err *kerr.Error, why string) kmsg.FindCoordinatorResponseCoordinator {
		out.ErrorCode, out.ErrorMessage = err.Code, kmsg.StringPtr(why)
		return out
	}
	switch {
	case kind == coordinatesShares:
		return refuse(kerr.InvalidRequest, "This broker does not support share groups.")
	case kind != coordinatesGroups && kind != coordinatesTransactions:
		return refuse(kerr.InvalidRequest, "The coordinator type is unknown.")
	case refused == groupDenied || refused == transactionDenied:
		if c.version >= 4 { // these have no words for it in Kafka
			return refuse(refused.Code, "")
		}
		return refuse(refused.Code, refused.Message)
	case refused != nil:
		return refuse(refused.Code, refused.Message)
	}
	for _, n := range c.server.nodes(image, c.listener) {
		if n.id == c.server.NodeID {
			out.NodeID, out.Host, out.Port, out.ErrorMessage = n.id, n.host, n.port, new(string)
		}
	}
	return out
}

// withTopic goes on once an internal topic exists.
func (s *Server) withTopic(name string, f func(*cluster.Image, *kerr.Error)) {
	if image := s.Controller.Image(); image.Topic(name) != nil {
		f(image, nil)
		return
	}
	s.createTopics([]string{name}, func(image *cluster.Image, refused map[string]*kerr.Error) {
		if image.Topic(name) == nil && refused[name] != nil {
			f(image, kerr.CoordinatorNotAvailable)
			return
		}
		f(image, nil)
	})
}

// offsetsOf is the partition that keeps a group, nil when the offsets topic does not
// exist. Kafka spreads groups by Java's hash of their name, and so do we, so that a
// person finds a group where Kafka's documentation says.
func (s *Server) offsetsOf(name string) *shard.Replica {
	topic := s.Registry.Named(OffsetsTopic)
	if topic == nil {
		return nil
	}
	return topic.Replica(javaHash(name) & 0x7fffffff % int32(topic.Partitions()))
}

// javaHash is String.hashCode.
func javaHash(s string) (h int32) {
	for _, unit := range utf16.Encode([]rune(s)) {
		h = 31*h + int32(unit)
	}
	return h
}
