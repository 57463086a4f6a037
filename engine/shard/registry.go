package shard

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/engine/label"
	"github.com/millrace/millrace/engine/metrics"
)

// Registry finds topics and their replicas. Readers on every goroutine see an index that
// is never changed, only replaced; the one who applies metadata replaces it.
type Registry struct {
	index atomic.Pointer[index]
}

type index struct {
	byName map[string]*Topic
	byID   map[[16]byte]*Topic
}

// NewRegistry is an empty registry.
func NewRegistry() *Registry {
	r := &Registry{}
	r.index.Store(&index{byName: map[string]*Topic{}, byID: map[[16]byte]*Topic{}})
	return r
}

// ByName finds a topic by its name, nil when there is none. It allocates nothing.
func (r *Registry) ByName(name []byte) *Topic { return r.index.Load().byName[string(name)] }

// Named is ByName for a string.
func (r *Registry) Named(name string) *Topic { return r.index.Load().byName[name] }

// ByID finds a topic by its id, nil when there is none.
func (r *Registry) ByID(id [16]byte) *Topic { return r.index.Load().byID[id] }

// Topics are all topics by name. The map must not be changed.
func (r *Registry) Topics() map[string]*Topic { return r.index.Load().byName }

// Change removes and adds topics in one step. Only the goroutine that applies metadata
// may call it.
func (r *Registry) Change(add []*Topic, remove []*Topic) {
	if len(add) == 0 && len(remove) == 0 {
		return
	}
	old := r.index.Load()
	next := &index{byName: maps.Clone(old.byName), byID: maps.Clone(old.byID)}
	for _, t := range remove {
		if next.byName[t.Name] == t {
			delete(next.byName, t.Name)
		}
		delete(next.byID, t.ID)
	}
	for _, t := range add {
		next.byName[t.Name], next.byID[t.ID] = t, t
	}
	r.index.Store(next)
}

// Place is where a partition lives in this broker.
type Place struct {
	Shard *Shard
	Disk  *Disk
	Epoch int32 // leader epoch
}

// Topic is one topic as this broker serves it. Its replicas are made when they are
// first asked for.
type Topic struct {
	Name     string
	ID       [16]byte
	Internal bool
	Counts   *metrics.Topic

	labels   label.Topic
	settings atomic.Pointer[Settings]
	slots    atomic.Pointer[[]*slot]
}

// slot is one partition, perhaps not used yet.
type slot struct {
	shard   *Shard
	disk    *Disk
	epoch   atomic.Int32
	making  sync.Once // two loops may ask for an unused partition at the same moment
	replica atomic.Pointer[Replica]
}

// NewTopic is a topic with the given settings and partitions.
func NewTopic(name string, id [16]byte, internal bool, counts *metrics.Topic, settings *Settings, places []Place) *Topic {
	t := &Topic{Name: name, ID: id, Internal: internal, Counts: counts}
	t.settings.Store(settings)
	t.slots.Store(&[]*slot{})
	t.Grow(places)
	return t
}

// ProduceLabels are those of work on records that are stored (any goroutine).
func (t *Topic) ProduceLabels() context.Context { return t.labels.Produce(t.Name) }

// FetchLabels are those of work on records that are read (any goroutine).
func (t *Topic) FetchLabels() context.Context { return t.labels.Fetch(t.Name) }

// Settings are what the topic's configuration means now (any goroutine).
func (t *Topic) Settings() *Settings { return t.settings.Load() }

// Partitions is how many partitions the topic has (any goroutine).
func (t *Topic) Partitions() int { return len(*t.slots.Load()) }

// Replica is the replica of a partition, nil when there is no such partition (any
// goroutine).
func (t *Topic) Replica(partition int32) *Replica {
	slots := *t.slots.Load()
	if partition < 0 || int(partition) >= len(slots) {
		return nil
	}
	s := slots[partition]
	if r := s.replica.Load(); r != nil {
		return r
	}
	s.making.Do(func() {
		s.replica.Store(newReplica(t, partition, s))
	})
	return s.replica.Load()
}

// Each calls f for every partition, with the disk it lies on and its replica, which is
// nil while nobody has asked for it (any goroutine).
func (t *Topic) Each(f func(partition int32, d *Disk, r *Replica)) {
	for i, s := range *t.slots.Load() {
		f(int32(i), s.disk, s.replica.Load())
	}
}

// Used calls f for every replica that was ever asked for (any goroutine).
func (t *Topic) Used(f func(*Replica)) {
	t.Each(func(_ int32, _ *Disk, r *Replica) {
		if r != nil {
			f(r)
		}
	})
}

// Grow adds partitions. Only the goroutine that applies metadata may call it.
func (t *Topic) Grow(places []Place) {
	old := *t.slots.Load()
	slots := make([]*slot, len(old), len(old)+len(places))
	copy(slots, old)
	for _, p := range places {
		s := &slot{shard: p.Shard, disk: p.Disk}
		s.epoch.Store(p.Epoch)
		slots = append(slots, s)
	}
	t.slots.Store(&slots)
}

// Lead says under which leader epoch each partition is led from now on.
func (t *Topic) Lead(epoch func(partition int) int32) {
	for i, s := range *t.slots.Load() {
		s.epoch.Store(epoch(i))
	}
}

// Configure changes the settings; replicas that are open follow on their shards, the
// others when they open.
func (t *Topic) Configure(settings *Settings) {
	t.settings.Store(settings)
	t.Used(func(r *Replica) {
		r.shard.Do(func() { r.Configure(settings) })
	})
}
