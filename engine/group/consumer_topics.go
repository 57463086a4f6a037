package group

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"maps"
	"slices"

	"github.com/millrace/millrace/engine/group/assign"
	"github.com/millrace/millrace/engine/group/record"
	"github.com/millrace/millrace/engine/regular"
)

// pattern is a regular expression that members subscribe to, and what it matched.
type pattern struct {
	members int
	topics  []string // sorted
	picture uint64   // the picture of the cluster that was looked through
	fresh   bool     // was never looked through
	look    look     // what goes on with the next heartbeat
}

// look is a look through the topics that takes more than one heartbeat may.
type look struct {
	picture uint64 // that is looked through; 0: no look is under way
	reached string // the last topic that was looked at
	found   []string
}

// mostWork is how much one turn matches: about so many times some part of a pattern is tried with a letter, ten
// to sixty nanoseconds each. A usual pattern takes that for 80,000 topics.
const mostWork = 5_000_000

// countPattern counts who subscribes to a pattern; one that nobody wants is forgotten by
// matchPatterns, which also removes its record. An empty pattern is none.
func (cg *consumerGroup) countPattern(text *string, by int) {
	if text == nil || *text == "" {
		return
	}
	p := cg.patterns[*text]
	if p == nil {
		p = &pattern{fresh: true}
		if cg.patterns == nil {
			cg.patterns = map[string]*pattern{}
		}
		cg.patterns[*text] = p
	}
	p.members += by
}

// matchPatterns looks through the topics for those patterns that are new, or for all of
// them when the topics changed, and forgets those that nobody wants any more. It reports
// whether all are up to date: a pattern waits for somebody on whose behalf it can be matched.
func (t *turn) matchPatterns() bool {
	cg, current := t.g.consumer, true
	for _, text := range slices.Sorted(maps.Keys(cg.patterns)) {
		p := cg.patterns[text]
		key := record.Key{Kind: record.KindPattern, Group: t.g.name, Of: text}
		if p.members == 0 {
			delete(cg.patterns, text)
			t.write(key, nil)
			continue
		}
		if !p.fresh && p.picture == t.g.c.pictures {
			continue
		}
		topics, changed, ok := t.match(text, p)
		if !ok {
			current = false
			continue
		}
		if changed {
			p.topics = topics
			t.write(key, &record.Pattern{Topics: topics, Version: int64(t.g.c.pictures), At: t.now})
		}
		p.picture, p.fresh = t.g.c.pictures, false
	}
	return current
}

// match looks through the topics, or through as many as this turn still has the time for: the next one goes on behind
// them. It reports whether all were looked at.
func (t *turn) match(text string, p *pattern) (topics []string, changed, ok bool) {
	expression, cost, err := regular.Compile(text) // each time: it takes less than the match, and memory only until then
	if err != nil {
		return nil, p.fresh, true // it was refused when it came; a log of somebody else's may have it
	}
	if p.look.picture != t.g.c.pictures {
		p.look = look{picture: t.g.c.pictures}
	}
	l := &p.look
	over := true
	ok = t.g.c.cluster.EachTopic(func(topic Topic) {
		switch {
		case topic.Name <= l.reached:
		case t.work >= mostWork:
			over = false
		default:
			t.work += cost * (len(topic.Name) + 1)
			l.reached = topic.Name
			if expression.MatchString(topic.Name) {
				l.found = append(l.found, topic.Name)
			}
		}
	})
	if !ok || !over {
		return nil, false, false
	}
	topics, p.look = l.found, look{}
	return topics, p.fresh || !slices.Equal(topics, p.topics), true
}

// subscribed returns the names of all topics that the group wants, sorted; they need not exist.
func (cg *consumerGroup) subscribed() []string {
	names := make([]string, 0, len(cg.names))
	for _, w := range cg.names {
		names = append(names, w.name)
	}
	for _, p := range cg.patterns {
		names = append(names, p.topics...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// hashOf tells two looks of the subscribed topics apart: names, ids, partitions.
func (t *turn) hashOf(names []string) int64 {
	h := fnv.New64a()
	var number [8]byte
	for _, name := range names {
		topic, ok := t.g.c.cluster.Topic(name)
		if !ok {
			continue
		}
		binary.BigEndian.PutUint64(number[:], uint64(topic.Partitions))
		for _, p := range [][]byte{[]byte(name), {0}, topic.ID[:], number[:]} {
			_, _ = h.Write(p) // a hash takes everything
		}
	}
	return int64(h.Sum64())
}

// sources returns the topics that the group wants and that exist, in the order of their
// ids, and the index of each by name.
func (t *turn) sources() ([]assign.Source, map[string]int) {
	var found []Topic
	for _, name := range t.g.consumer.subscribed() {
		if topic, ok := t.g.c.cluster.Topic(name); ok {
			found = append(found, topic)
		}
	}
	slices.SortFunc(found, func(a, b Topic) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	sources, index := make([]assign.Source, len(found)), make(map[string]int, len(found))
	for i, topic := range found {
		sources[i], index[topic.Name] = assign.Source{ID: topic.ID, Partitions: topic.Partitions}, i
	}
	return sources, index
}

// wants returns the indexes of the topics that a member subscribes to, ascending.
func (cg *consumerGroup) wants(m *consumer, index map[string]int) []int {
	out := make([]int, 0, len(m.topics))
	add := func(names []string) {
		for _, name := range names {
			if i, ok := index[name]; ok {
				out = append(out, i)
			}
		}
	}
	add(m.topics)
	if p := cg.patterns[deref(m.pattern)]; p != nil {
		add(p.topics)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// wantsTopic reports whether a member subscribes to a topic.
func (t *turn) wantsTopic(m *consumer, id assign.ID) bool {
	topic, ok := t.g.c.cluster.TopicByID(id)
	if !ok {
		return false
	}
	if _, ok = slices.BinarySearch(m.topics, topic.Name); ok {
		return true
	}
	p := t.g.consumer.patterns[deref(m.pattern)]
	if p == nil {
		return false
	}
	_, ok = slices.BinarySearch(p.topics, topic.Name)
	return ok
}
