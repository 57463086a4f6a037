package shard

import (
	"maps"
	"sync"
	"sync/atomic"

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

// Change adds and removes topics in one step. Only the goroutine that applies metadata
// may call it.
func (r *Registry) Change(add []*Topic, remove []*Topic) {
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

	settings atomic.Pointer[Settings]
	slots    atomic.Pointer[[]*slot]
}

// slot is one partition, perhaps not used yet.
type slot struct {
	making  sync.Once //nolint:forbidigo // two loops may ask for an unused partition at the same moment
	place   Place
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
		s.replica.Store(NewReplica(t, partition, s.place))
	})
	return s.replica.Load()
}

// Used calls f for every replica that was ever asked for.
func (t *Topic) Used(f func(*Replica)) {
	for _, s := range *t.slots.Load() {
		if r := s.replica.Load(); r != nil {
			f(r)
		}
	}
}

// Grow adds partitions. Only the goroutine that applies metadata may call it.
func (t *Topic) Grow(places []Place) {
	old := *t.slots.Load()
	slots := make([]*slot, len(old), len(old)+len(places))
	copy(slots, old)
	for _, p := range places {
		slots = append(slots, &slot{place: p})
	}
	t.slots.Store(&slots)
}

// Lead says under which leader epoch each partition is led now. A replica that is in use
// keeps the epoch that it was opened with: this broker leads on.
func (t *Topic) Lead(places []Place) {
	for i, s := range *t.slots.Load() {
		if i < len(places) && s.replica.Load() == nil {
			s.place = places[i]
		}
	}
}

// Configure changes the settings; replicas that are in use follow on their shards.
func (t *Topic) Configure(settings *Settings) {
	t.settings.Store(settings)
	t.Used(func(r *Replica) {
		r.shard.Do(func() { r.Configure(settings) })
	})
}
