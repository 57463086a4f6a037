package group

import (
	"time"

	"github.com/millrace/millrace/engine/group/assign"
)

// Topic is what a coordinator needs to know of a topic.
type Topic struct {
	Name       string
	ID         assign.ID
	Partitions int
}

// Cluster is a picture of the cluster: it never changes, another one comes in its place.
type Cluster interface {
	// Topic finds a topic by name.
	Topic(name string) (Topic, bool)
	// TopicByID finds a topic by id.
	TopicByID(id assign.ID) (Topic, bool)
	// EachTopic calls f for all topics in the order of their names, of which members may be
	// told. It reports false, and calls nothing, while nobody asks on whose behalf that is known.
	EachTopic(f func(Topic)) bool
	// SameTopics reports whether the topics are those of another picture.
	SameTopics(other Cluster) bool
	// Settings are those that were given to one group.
	Settings(group string) GroupSettings
}

// GroupSettings are settings of one group; what is zero was not given.
type GroupSettings struct {
	Session, Heartbeat time.Duration // consumer.session.timeout.ms, consumer.heartbeat.interval.ms
	// AssignmentInterval is consumer.assignment.interval.ms. Negative: none at all.
	AssignmentInterval time.Duration
}

// SetCluster shows the coordinator how the cluster looks now. Members learn of it with
// their next heartbeats.
func (c *Coordinator) SetCluster(cl Cluster) {
	if cl == nil || c.cluster == cl {
		return
	}
	if !cl.SameTopics(c.cluster) {
		c.pictures++
	}
	c.cluster = cl
}

// noCluster is a picture of nothing.
type noCluster struct{}

func (noCluster) Topic(string) (t Topic, ok bool)        { return t, false }
func (noCluster) TopicByID(assign.ID) (t Topic, ok bool) { return t, false }
func (noCluster) EachTopic(func(Topic)) bool             { return true }
func (noCluster) SameTopics(other Cluster) bool          { return other == noCluster{} }
func (noCluster) Settings(string) (s GroupSettings)      { return s }
