package engine

import (
	"fmt"
	"hash/fnv"
	"maps"
	"time"

	"github.com/millrace/millrace/engine/api"
	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/engine/config"
	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/engine/shard"
)

// apply makes the broker serve what a new image says. It runs on the quorum's goroutine
// before whoever asked for the change is answered, so that a topic exists for the client
// that is told so.
func (b *Broker) apply(before, after *cluster.Image) {
	delta := after.Since(before)
	if b.rights.acls != nil {
		b.rights.acls.Change(delta.NewACLs, delta.GoneACLs)
	}
	b.applyBrokerConfigs(after, delta)
	gone := b.deleted(delta.Deleted) // first: a topic may come again under the same name
	b.registry.Change(b.created(delta.Created), gone)
	for _, change := range delta.Changed {
		b.changed(change)
	}
}

// applyBrokerConfigs puts dynamic settings on top of the file's, for all topics too. A change that was
// accepted and left settings what they were may have mended a plugin.
func (b *Broker) applyBrokerConfigs(after *cluster.Image, delta cluster.Delta) {
	if len(delta.BrokerConfigs) == 0 && !b.plugins.Mended() {
		return
	}
	b.values.Store(b.settings.Values.With(after.BrokerConfigs(b.NodeID()), after.BrokerConfigs("")))
	b.plain = nil
	b.plugins.Use(wantedPlugins(b.values.Load()))
	for _, d := range b.disks {
		d.cleaner.reconfigured()
	}
	for _, t := range after.Topics() {
		if known := b.registry.ByID(t.ID); known != nil {
			known.Configure(b.topicSettings(t))
		}
	}
	b.plugins.Retire()
}

// topicSettings is what the configuration of t means. Topics without settings of their
// own share one value, unless they have interceptors.
func (b *Broker) topicSettings(t *cluster.Topic) *shard.Settings {
	if len(t.Configs) > 0 || !t.Internal && len(config.Interceptors.Of(b.values.Load())) > 0 {
		v := b.values.Load().Topic(t.Configs)
		s := topicSettings(v)
		b.addFilters(s, t, v)
		return s
	}
	if b.plain == nil {
		b.plain = topicSettings(b.values.Load().Topic(nil))
	}
	return b.plain
}

func (b *Broker) created(topics []*cluster.Topic) (made []*shard.Topic) {
	for _, t := range topics {
		made = append(made, shard.NewTopic(t.Name, t.ID, t.Internal, b.metrics.Topic(t.Name), b.topicSettings(t), b.places(t, 0)))
	}
	return made
}

// places are where the partitions of t from first on live in this broker. The shard is
// one of its disk's and follows from the name: when a topic is made anew under the name
// of a deleted one, the new partition's first task in a folder then comes after the old
// one's last.
func (b *Broker) places(t *cluster.Topic, first int) []shard.Place {
	places := make([]shard.Place, 0, len(t.Partitions)-first)
	hash := fnv.New32a()
	hash.Write([]byte(t.Name)) // never fails, by its contract
	for i := first; i < len(t.Partitions); i++ {
		p := &t.Partitions[i]
		on, shards := b.placeOn(t, i, p.Directory(b.self()))
		places = append(places, shard.Place{
			Shard: shards[(hash.Sum32()+uint32(i/len(b.disks)))%uint32(len(shards))],
			Disk:  on,
			Epoch: p.LeaderEpoch,
		})
	}
	return places
}

// placeOn finds the disk of a partition and its shards. One whose data lies elsewhere, or
// whose disk is not there any more, gets a disk that has failed: it must not begin anew,
// empty.
func (b *Broker) placeOn(t *cluster.Topic, partition int, id cluster.ID) (*shard.Disk, []*shard.Shard) {
	if len(b.elsewhere) > 0 {
		folder := commitlog.FolderName(t.Name, int32(partition))
		if d := b.elsewhere[folder]; d != nil {
			return b.lostDisk(d.ID, fmt.Errorf("%s in %s: %w", folder, d.Path, errElsewhere)), b.shards[:1]
		}
	}
	for _, d := range b.disks {
		if d.ID == id {
			return d.Disk, d.shards
		}
	}
	return b.lostDisk(id, fmt.Errorf("the data folder with directory.id %s is not in log.dirs", id)), b.shards[:1]
}

// lostDisk is a disk that nothing can be read from or written to.
func (b *Broker) lostDisk(id cluster.ID, why error) *shard.Disk {
	if d := b.lost[id]; d != nil {
		return d
	}
	d := &shard.Disk{Path: "directory.id " + id.String(), ID: id, FS: b.fs, Log: b.log}
	d.Fail(why)
	b.lost[id] = d
	return d
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
	t.Lead(func(partition int) int32 { return c.After.Partitions[partition].LeaderEpoch })
	if !maps.Equal(c.Before.Configs, c.After.Configs) {
		t.Configure(b.topicSettings(c.After))
	}
}
