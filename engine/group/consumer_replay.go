package group

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/millrace/millrace/engine/group/assign"
	"github.com/millrace/millrace/engine/group/record"
)

var errNoClassicProtocol = errors.New("a classic member without protocols")

// mostEpoch is the highest epoch, or generation, that a log is believed. A group counts on from there, a step at a
// time, and must not come to where numbers are negative.
const mostEpoch = math.MaxInt32 / 2

// believe returns what is wrong with an epoch, unless reading it failed already.
func believe(err error, epochs ...int32) error {
	for _, epoch := range epochs {
		if err == nil && epoch > mostEpoch {
			err = fmt.Errorf("epoch %d is not believed, at most %d is", epoch, mostEpoch)
		}
	}
	return err
}

// replayConsumer applies a record of a consumer group. Compaction may have taken what
// came between two records of one key, so only what the last of each says counts: who has
// which partition is put together when the replay is over.
func (c *Coordinator) replayConsumer(r Record, timestamp int64) error {
	key, known, err := record.ReadKey(r.Key)
	if !known || err != nil {
		if known {
			return fmt.Errorf("read key of a consumer group: %w", err)
		}
		return nil
	}
	if err := c.replayKnown(key, r.Value, timestamp); err != nil {
		return fmt.Errorf("read record of group %q, kind %d: %w", key.Group, key.Kind, err)
	}
	return nil
}

func (c *Coordinator) replayKnown(key record.Key, value []byte, timestamp int64) error {
	g := c.groups[key.Group]
	if value == nil {
		if g != nil && g.consumer != nil {
			g.consumer.forget(key)
			if key.Kind == record.KindGroup && len(g.consumer.members) == 0 {
				g.consumer = nil
				c.dropIfBare(g)
			}
		}
		return nil
	}
	apply, err := decodeConsumer(key, value)
	if err != nil || apply == nil {
		return err
	}
	if g == nil {
		g = c.create(timestamp, key.Group)
	}
	if g.consumer == nil {
		g.consumer = newConsumerGroup()
	}
	g.consumer.logged = true
	if apply(g.consumer); key.Kind == record.KindGroup {
		g.since = timestamp
	}
	return nil
}

// forget applies a tombstone.
func (cg *consumerGroup) forget(key record.Key) {
	m := cg.members[key.Of]
	switch key.Kind {
	case record.KindMember:
		delete(cg.members, key.Of)
	case record.KindTargetMember:
		if m != nil {
			m.target = nil
		}
	case record.KindCurrent:
		if m != nil {
			m.holding = holding{}
		}
	case record.KindTarget:
		cg.assignmentEpoch, cg.assignedAt = 0, 0
	case record.KindPattern:
		delete(cg.patterns, key.Of)
	}
}

// replayed returns the member that a record is about.
func (cg *consumerGroup) replayed(id string) *consumer {
	m := cg.members[id]
	if m == nil {
		m = &consumer{id: id}
		cg.members[id] = m
	}
	return m
}

// decodeConsumer returns what a value does to its group; nil for what is of no use.
func decodeConsumer(key record.Key, value []byte) (func(cg *consumerGroup), error) {
	switch key.Kind {
	case record.KindGroup:
		var v record.Group
		err := v.Read(value)
		return func(cg *consumerGroup) { cg.epoch, cg.hash = v.Epoch, v.Hash }, believe(err, v.Epoch)
	case record.KindTarget:
		var v record.Target
		err := v.Read(value)
		return func(cg *consumerGroup) { cg.assignmentEpoch, cg.assignedAt = v.Epoch, v.At }, believe(err, v.Epoch)
	case record.KindTargetMember:
		var v record.TargetMember
		err := v.Read(value)
		return func(cg *consumerGroup) { cg.replayed(key.Of).target = v.Partitions }, err
	case record.KindCurrent:
		var v record.Current
		err := v.Read(value)
		return func(cg *consumerGroup) {
			cg.replayed(key.Of).holding = holding{v.Epoch, v.Previous, memberState(v.State), v.Assigned, v.Revoking}
		}, believe(err, v.Epoch, v.Previous)
	case record.KindPattern:
		var v record.Pattern
		err := v.Read(value)
		return func(cg *consumerGroup) { cg.replayPattern(key.Of, v.Topics) }, err
	case record.KindMember:
		return decodeMember(key.Of, value)
	}
	return nil, nil
}

func (cg *consumerGroup) replayPattern(text string, topics []string) {
	if cg.patterns == nil {
		cg.patterns = map[string]*pattern{}
	}
	slices.Sort(topics)
	cg.patterns[text] = &pattern{topics: topics}
}

func decodeMember(id string, value []byte) (func(cg *consumerGroup), error) {
	var v record.Member
	if err := v.Read(value); err != nil {
		return nil, err
	}
	if v.Classic != nil && len(v.Classic.Protocols) == 0 {
		return nil, errNoClassicProtocol
	}
	slices.Sort(v.Topics)
	p := profile{
		instance: v.Instance, rack: v.Rack, client: Client{v.ClientID, v.ClientHost}, topics: slices.Compact(v.Topics),
		pattern: v.Pattern, rebalanceTimeout: int64(v.RebalanceTimeoutMillis), assignor: v.Assignor, classic: v.Classic,
	}
	return func(cg *consumerGroup) { cg.replayed(id).profile = p }, nil
}

// loadedConsumer puts a consumer group together when the replay is over. Where a damaged
// log gives a partition, or an instance id, to two members, the later in the order of ids
// is left out: it will be told that nobody knows it, and joins again.
func (g *group) loadedConsumer(now int64) {
	if g.consumer == nil {
		return
	}
	if len(g.members) > 0 && g.stored > 0 { // its record is written only when the others are deleted
		g.consumer = nil
		return
	}
	old := g.consumer
	cg := newConsumerGroup()
	cg.patterns, cg.logged = old.patterns, true
	cg.epoch, cg.assignmentEpoch, cg.assignedAt, cg.hash = old.epoch, old.assignmentEpoch, old.assignedAt, old.hash
	g.consumer = cg
	g.protocolType, g.subscribed = consumerType, nil
	for _, m := range old.sorted() {
		if m.epoch > cg.assignmentEpoch {
			// The records before its own are missing: what it was to have is decided anew.
			cg.assignmentEpoch, cg.epoch = m.epoch, max(cg.epoch, m.epoch+1)
		}
		if cg.conflicts(m) {
			for _, kind := range memberKinds {
				g.missing(encode(record.Key{Kind: kind, Group: g.name, Of: m.id}, nil))
			}
			continue
		}
		if m.state < settled || m.state > unreleased {
			m.state = unreleased // of a later version: looked at anew with its next heartbeat
		}
		if len(m.revoking) > 0 {
			m.state = unrevoked // whatever was said: it has to give up
		}
		cg.add(m)
	}
	cg.epoch = max(cg.epoch, cg.assignmentEpoch)
	for _, text := range slices.Sorted(maps.Keys(cg.patterns)) {
		if cg.patterns[text].members == 0 {
			delete(cg.patterns, text)
			g.missing(encode(record.Key{Kind: record.KindPattern, Group: g.name, Of: text}, nil))
		}
	}
	cg.recount()
	cg.doubtful = !g.whole()
	g.state = cg.state()
	for _, m := range cg.sorted() {
		g.touchConsumer(now, m)
		if m.state == unrevoked {
			(&turn{g: g, now: now}).mindRebalance(m)
		}
	}
}

// whole reports whether the target that the log tells can be one that was decided: it
// gives nothing twice, all that is there for the topics of now, and settled members have
// it. It cannot when an append failed and a later one did not.
func (g *group) whole() bool {
	cg := g.consumer
	given, sum, wanted := assign.Assignment(nil), 0, 0
	for _, m := range cg.members {
		if cg.isSettled(m) && !m.assigned.Same(m.target) {
			return false
		}
		given, sum = given.Plus(m.target), sum+m.target.Count()
	}
	t := &turn{g: g}
	anew := cg.epoch > cg.assignmentEpoch || t.hashOf(cg.subscribed()) != cg.hash
	for _, name := range cg.subscribed() {
		topic, _ := g.c.cluster.Topic(name)
		wanted += topic.Partitions
	}
	return sum == given.Count() && (sum == wanted || anew || len(cg.members) == 0)
}

// missing notes a tombstone that should be in the log: the next write of the group has it.
func (g *group) missing(tombstone Record) {
	if g.damage == nil {
		g.damage = &damage{}
	}
	g.damage.gone = append(g.damage.gone, tombstone)
}

// conflicts reports whether somebody has what m would have.
func (cg *consumerGroup) conflicts(m *consumer) bool {
	if m.instance != nil && cg.static[*m.instance] != nil {
		return true
	}
	all := m.assigned.Plus(m.revoking)
	if all.Count() != m.assigned.Count()+m.revoking.Count() {
		return true
	}
	for i := range all {
		for _, p := range all[i].Partitions {
			if cg.owners[place{all[i].ID, p}] != nil {
				return true
			}
		}
	}
	return false
}
