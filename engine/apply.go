package engine

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/millrace/millrace/engine/api"
	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/engine/shard"
)

// apply makes the broker serve what a new image says. It runs on the quorum's goroutine
// before whoever asked for the change is answered, so that a topic exists for the client
// that is told so.
func (b *Broker) apply(before, after *cluster.Image) {
	delta := after.Since(before)
	b.applyBrokerConfigs(after, delta)
	b.registry.Change(b.created(delta.Created), b.deleted(delta.Deleted))
	for _, change := range delta.Changed {
		b.changed(change)
	}
}

// applyBrokerConfigs puts dynamic settings on top of the file's, for all topics too.
func (b *Broker) applyBrokerConfigs(after *cluster.Image, delta cluster.Delta) {
	if len(delta.BrokerConfigs) == 0 {
		return
	}
	b.values.Store(b.settings.Values.With(after.BrokerConfigs(b.NodeID()), after.BrokerConfigs("")))
	for _, t := range after.Topics() {
		if known := b.registry.Named(t.Name); known != nil {
			known.Configure(topicSettings(b.values.Load().Topic(t.Configs), b.fs))
		}
	}
}

func (b *Broker) created(topics []*cluster.Topic) (made []*shard.Topic) {
	for _, t := range topics {
		settings := topicSettings(b.values.Load().Topic(t.Configs), b.fs)
		made = append(made, shard.NewTopic(t.Name, t.ID, t.Internal, b.metrics.Topic(t.Name), settings, b.places(t, 0)))
	}
	return made
}

// places are where the partitions of t from first on live in this broker.
func (b *Broker) places(t *cluster.Topic, first int) (places []shard.Place) {
	self := int32(config.NodeID.Of(b.values.Load()))
	hash := fnv.New32a()
	hash.Write(t.ID[:]) //nolint:errcheck // never fails, by its contract
	for i := first; i < len(t.Partitions); i++ {
		p := &t.Partitions[i]
		places = append(places, shard.Place{
			Shard: b.shards[(hash.Sum32()+uint32(i))%uint32(len(b.shards))],
			Disk:  b.diskOf(p.Directory(self)),
			Epoch: p.LeaderEpoch,
		})
	}
	return places
}

// diskOf finds a disk by its directory id. A partition whose disk is not there any more
// is given the first one's failure: it must not begin anew, empty, somewhere else.
func (b *Broker) diskOf(id cluster.ID) *shard.Disk {
	for _, d := range b.disks {
		if d.ID == id {
			return d.Disk
		}
	}
	lost := &shard.Disk{Path: b.disks[0].Path, ID: id, FS: b.fs, Log: b.log}
	lost.Fail(fmt.Errorf("the data folder with directory.id %s is not in log.dirs", id))
	return lost
}

// deleted takes topics away and deletes their partitions in the background.
func (b *Broker) deleted(topics []*cluster.Topic) (gone []*shard.Topic) {
	for _, t := range topics {
		known := b.registry.ByID(t.ID)
		if known == nil {
			continue
		}
		gone = append(gone, known)
		for i := range int32(known.Partitions()) {
			r := known.Replica(i)
			r.Shard().Do(r.Delete)
		}
		b.metrics.Drop(t.Name)
		b.forgetOffsets(t.Name)
	}
	return gone
}

// forgetOffsets removes what groups committed for a topic that is gone.
func (b *Broker) forgetOffsets(topic string) {
	if b.server == nil || topic == api.OffsetsTopic {
		return
	}
	b.server.EachCoordinator(func(g *group.Coordinator, now time.Time) { g.DropTopic(now, topic, nil) })
}

// changed follows a topic that has more partitions, other settings or a new leader epoch.
func (b *Broker) changed(c cluster.TopicChange) {
	t := b.registry.ByID(c.After.ID)
	if t == nil {
		return
	}
	if n := t.Partitions(); n < len(c.After.Partitions) {
		t.Grow(b.places(c.After, n))
	}
	t.Lead(b.places(c.After, 0))
	t.Configure(topicSettings(b.values.Load().Topic(c.After.Configs), b.fs))
}
