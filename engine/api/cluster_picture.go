package api

import (
	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/setting"
)

// clusterPicture shows the cluster, and the settings of this moment, to group coordinators.
type clusterPicture struct {
	image  *cluster.Image
	values *setting.Values
	// guarded says that there is an authorizer: topics are looked through on behalf of ask,
	// if anybody.
	guarded bool
	ask     *asker
}

// picture is how the cluster looks to whoever asks, to nobody when ask is nil.
func (s *Server) picture(ask *asker) clusterPicture {
	return clusterPicture{s.Controller.Image(), s.Values(), s.Authorizer != nil, ask}
}

func (p clusterPicture) Topic(name string) (group.Topic, bool) { return pictured(p.image.Topic(name)) }

func (p clusterPicture) TopicByID(id [16]byte) (group.Topic, bool) {
	return pictured(p.image.TopicByID(id))
}

func pictured(t *cluster.Topic) (group.Topic, bool) {
	if t == nil {
		return group.Topic{}, false
	}
	return group.Topic{Name: t.Name, ID: t.ID, Partitions: len(t.Partitions)}, true
}

func (p clusterPicture) EachTopic(f func(group.Topic)) bool {
	if p.guarded && p.ask == nil {
		return false
	}
	for _, t := range p.image.Topics() {
		if topic, _ := pictured(t); !p.guarded || p.ask.sees(sdk.OperationDescribe, sdk.ResourceTopic, topic.Name) {
			f(topic)
		}
	}
	return true
}

func (p clusterPicture) SameTopics(other group.Cluster) bool {
	q, ok := other.(clusterPicture)
	return ok && p.image.SameTopics(q.image) && (!p.guarded || p.image.SameACLs(q.image))
}

// Settings are those of the group itself. The assignment interval may also be changed for
// all groups while the broker runs.
func (p clusterPicture) Settings(name string) group.GroupSettings {
	given := p.image.GroupConfigs(name)
	interval, ok := config.GroupDuration(given, config.GroupAssignmentInterval)
	if !ok {
		interval = config.ConsumerAssignment.Of(p.values)
	}
	if interval == 0 {
		interval = -1 // none at all; zero would mean the default
	}
	session, _ := config.GroupDuration(given, config.GroupSession)
	heartbeat, _ := config.GroupDuration(given, config.GroupHeartbeat)
	return group.GroupSettings{Session: session, Heartbeat: heartbeat, AssignmentInterval: interval}
}
