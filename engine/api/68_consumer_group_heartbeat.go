package api

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/sdk"
)

// ConsumerGroupHeartbeat is how a member joins a consumer group, stays in it, is led to
// its partitions and leaves (KIP-848).
//
//	v1 regular expressions, member ids made by clients
//
// Differs from Kafka: a regular expression is looked through before the answer, not after
// it, and again with the first heartbeat after a topic came or went; a static member whose
// answer to its first heartbeat was lost may send it again; names of more than 4 MiB are refused.
//
// Without group.version 1 it is refused.
func consumerGroupHeartbeat(c *call, q *kmsg.ConsumerGroupHeartbeatRequest, _ *kmsg.ConsumerGroupHeartbeatResponse) {
	ask, client := c.asker(), group.Client{ID: c.session.clientID, Host: c.host()}
	refuse := func(err *kerr.Error) {
		a := kmsg.NewPtrConsumerGroupHeartbeatResponse()
		a.ErrorCode = err.Code
		c.reply(a)
	}
	if !c.server.hasConsumerGroups() {
		refuse(kerr.UnsupportedVersion)
		return
	}
	if c.sees(sdk.OperationRead, sdk.ResourceGroup, q.Group) && slices.ContainsFunc(q.SubscribedTopicNames, func(name string) bool {
		return !c.allowed(sdk.OperationDescribe, sdk.ResourceTopic, name)
	}) {
		refuse(kerr.TopicAuthorizationFailed)
		return
	}
	c.onGroup(sdk.OperationRead, q.Group, refuse, func(g *group.Coordinator, now time.Time) {
		if c.server.Authorizer != nil {
			g.SetCluster(c.server.picture(ask)) // regular expressions find what the member may see
		}
		g.ConsumerHeartbeat(now, client, q, c.server.uuid, func(r *kmsg.ConsumerGroupHeartbeatResponse) { c.reply(r) })
	})
}

// hasConsumerGroups reports whether the cluster was brought to group.version 1 (KIP-848).
func (s *Server) hasConsumerGroups() bool {
	return s.Controller.Image().FeatureLevel(cluster.GroupVersion) >= 1
}
