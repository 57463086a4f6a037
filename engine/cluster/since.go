package cluster

import (
	"cmp"
	"maps"
	"slices"

	"github.com/millrace/millrace/engine/security/acl"
)

// Delta is what differs between two images, in the order of names and ids.
type Delta struct {
	Created []*Topic
	Deleted []*Topic
	// Changed are topics that are in both and differ: more partitions, another leader
	// epoch, other settings. A topic that was deleted and created anew has another id
	// and is in Deleted and in Created.
	Changed []TopicChange
	// Brokers are the ids of brokers that were registered or registered anew.
	Brokers []int32
	// BrokerConfigs name the brokers whose dynamic settings differ; "" is every broker's default.
	BrokerConfigs []string
	// NewACLs and GoneACLs are bindings of the authorizer that came and went, in no order.
	NewACLs, GoneACLs []acl.Binding
}

// TopicChange is one topic before and after.
type TopicChange struct{ Before, After *Topic }

// Since compares an image with an earlier one. It looks only at the parts that the two do
// not share.
func (i *Image) Since(before *Image) Delta {
	var d Delta
	for n := range shardCount {
		was, is := before.ids.shard(n), i.ids.shard(n)
		if was == is {
			continue
		}
		for id, topic := range is.get() {
			switch old := was.get()[id]; {
			case old == nil:
				d.Created = append(d.Created, topic)
			case old != topic:
				d.Changed = append(d.Changed, TopicChange{old, topic})
			}
		}
		for id, topic := range was.get() {
			if is.get()[id] == nil {
				d.Deleted = append(d.Deleted, topic)
			}
		}
	}
	byName := func(a, b *Topic) int { return cmp.Compare(a.Name, b.Name) }
	slices.SortFunc(d.Created, byName)
	slices.SortFunc(d.Deleted, byName)
	slices.SortFunc(d.Changed, func(a, b TopicChange) int { return byName(a.After, b.After) })
	for id, broker := range i.brokers {
		if before.brokers[id] != broker {
			d.Brokers = append(d.Brokers, id)
		}
	}
	slices.Sort(d.Brokers)
	for name, settings := range i.configs {
		if !maps.Equal(settings, before.configs[name]) {
			d.BrokerConfigs = append(d.BrokerConfigs, name)
		}
	}
	for name := range before.configs {
		if i.configs[name] == nil {
			d.BrokerConfigs = append(d.BrokerConfigs, name)
		}
	}
	slices.Sort(d.BrokerConfigs)
	d.compareACLs(before.acls, i.acls)
	return d
}

func (d *Delta) compareACLs(before, after table[acl.Binding, bool]) {
	for n := range shardCount {
		was, is := before.shard(n), after.shard(n)
		if was == is {
			continue
		}
		for b := range is.get() {
			if !was.get()[b] {
				d.NewACLs = append(d.NewACLs, b)
			}
		}
		for b := range was.get() {
			if !is.get()[b] {
				d.GoneACLs = append(d.GoneACLs, b)
			}
		}
	}
}

func (t table[K, V]) shard(n int) *shard[K, V] {
	if t.shards == nil {
		return nil
	}
	return t.shards[n]
}

// get gives the entries of a shard that may be absent.
func (s *shard[K, V]) get() map[K]V {
	if s == nil {
		return nil
	}
	return s.entries
}
