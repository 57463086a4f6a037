package cluster

import (
	"maps"

	"github.com/millrace/millrace/engine/security/acl"
)

// shardCount bounds what a change copies: one array of this many pointers, and one shard.
// At 10,000 entries a shard has about 40.
const shardCount = 256

// shard is a part of a table. It never changes once its table is published, so two tables
// that have the same shard agree on everything in it.
type shard[K comparable, V any] struct{ entries map[K]V }

// table is a persistent map. Each key lives in the shard that its spread says.
type table[K comparable, V any] struct {
	shards *[shardCount]*shard[K, V] // nil: empty
	size   int
}

func (t table[K, V]) lookup(spread uint8, key K) V {
	if t.shards == nil || t.shards[spread] == nil {
		var none V
		return none
	}
	return t.shards[spread].entries[key]
}

// all visits every entry, in no order. It stops when visit answers false.
func (t table[K, V]) all(visit func(K, V) bool) {
	if t.shards == nil {
		return
	}
	for _, s := range t.shards {
		if s == nil {
			continue
		}
		for key, value := range s.entries {
			if !visit(key, value) {
				return
			}
		}
	}
}

// edit makes a new table from an old one. Ownership: the shards marked owned were copied
// by this edit and are its to change until its table is published.
type edit[K comparable, V any] struct {
	table[K, V]
	begun bool
	owned [shardCount]bool
}

func (e *edit[K, V]) own(spread uint8) map[K]V {
	if !e.begun {
		shards := new([shardCount]*shard[K, V])
		if e.shards != nil {
			*shards = *e.shards
		}
		e.shards, e.begun = shards, true
	}
	if !e.owned[spread] {
		fresh := &shard[K, V]{}
		if old := e.shards[spread]; old != nil {
			fresh.entries = maps.Clone(old.entries)
		} else {
			fresh.entries = make(map[K]V)
		}
		e.shards[spread], e.owned[spread] = fresh, true
	}
	return e.shards[spread].entries
}

func (e *edit[K, V]) set(spread uint8, key K, value V) {
	entries := e.own(spread)
	before := len(entries)
	entries[key] = value
	e.size += len(entries) - before
}

func (e *edit[K, V]) remove(spread uint8, key K) {
	entries := e.own(spread)
	before := len(entries)
	delete(entries, key)
	e.size += len(entries) - before
}

// spreadName, spreadACL and spreadID say in which shard a key lives. They are the same in every
// process, so that a simulation runs the same way twice.
func spreadName(name string) uint8 {
	hash := uint32(2166136261) // FNV-1a
	for i := range len(name) {
		hash = (hash ^ uint32(name[i])) * 16777619
	}
	return uint8(hash ^ hash>>8 ^ hash>>16 ^ hash>>24)
}

func spreadACL(b *acl.Binding) uint8 { return spreadName(b.Name) ^ spreadName(b.Principal) }

func spreadID(id ID) uint8 { return id[15] ^ id[7] ^ id[3] }
