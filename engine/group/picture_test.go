package group

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/millrace/millrace/engine/group/assign"
)

// picture is a Cluster of topics by name; the id of a topic is told by a number.
type picture struct {
	topics   map[string]Topic
	settings map[string]GroupSettings
}

func topicOf(name string, id, partitions int) Topic {
	t := Topic{Name: name, Partitions: partitions}
	binary.BigEndian.PutUint32(t.ID[12:], uint32(id))
	return t
}

func pictureOf(topics ...Topic) *picture {
	p := &picture{topics: map[string]Topic{}, settings: map[string]GroupSettings{}}
	for _, t := range topics {
		p.topics[t.Name] = t
	}
	return p
}

func (p *picture) Topic(name string) (Topic, bool) {
	t, ok := p.topics[name]
	return t, ok
}

func (p *picture) TopicByID(id assign.ID) (Topic, bool) {
	for _, t := range p.topics {
		if t.ID == id {
			return t, true
		}
	}
	return Topic{}, false
}

func (p *picture) EachTopic(f func(Topic)) bool {
	for _, name := range slices.Sorted(maps.Keys(p.topics)) {
		f(p.topics[name])
	}
	return true
}

func (p *picture) SameTopics(other Cluster) bool {
	q, ok := other.(*picture)
	return ok && maps.Equal(p.topics, q.topics)
}

func (p *picture) Settings(group string) GroupSettings { return p.settings[group] }
