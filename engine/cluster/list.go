package cluster

import (
	"slices"
	"strings"
)

// chunkSize bounds how many topics a change of the list copies, besides one pointer for
// every half as many topics.
const chunkSize = 256

// list is a persistent list of topics in the order of their names. A published chunk never
// changes.
type list struct {
	chunks []*chunk
}

// chunk is a part of a list: at least one topic, at most chunkSize.
type chunk struct {
	topics []*Topic
	by     *token // the edit that made it and may change it
}

// token tells the chunks of one edit from all others.
type token struct{ _ byte }

// all gathers the topics.
func (l list) all(size int) []*Topic {
	topics := make([]*Topic, 0, size)
	for _, c := range l.chunks {
		topics = append(topics, c.topics...)
	}
	return topics
}

// listEdit makes a new list from an old one.
type listEdit struct {
	list
	by *token // nil: the chunks' slice is still the old list's
}

// own makes the chunk at index at one that this edit may change.
func (e *listEdit) own(at int) *chunk {
	if e.by == nil {
		e.by = new(token)
		e.chunks = slices.Clone(e.chunks)
	}
	if c := e.chunks[at]; c.by != e.by {
		e.chunks[at] = &chunk{topics: slices.Clone(c.topics), by: e.by}
	}
	return e.chunks[at]
}

// find answers the chunk that a name belongs in, and its place there.
func (e *listEdit) find(name string) (at, place int, found bool) {
	at, found = slices.BinarySearchFunc(e.chunks, name, func(c *chunk, name string) int {
		return strings.Compare(c.topics[0].Name, name)
	})
	if found {
		return at, 0, true
	}
	at = max(0, at-1)
	if at == len(e.chunks) {
		return at, 0, false
	}
	place, found = slices.BinarySearchFunc(e.chunks[at].topics, name, func(t *Topic, name string) int {
		return strings.Compare(t.Name, name)
	})
	return at, place, found
}

// set puts a topic in its place, where another of that name may be.
func (e *listEdit) set(topic *Topic) {
	at, place, found := e.find(topic.Name)
	if at == len(e.chunks) {
		e.by = new(token)
		e.chunks = []*chunk{{topics: []*Topic{topic}, by: e.by}}
		return
	}
	c := e.own(at)
	if found {
		c.topics[place] = topic
		return
	}
	c.topics = slices.Insert(c.topics, place, topic)
	if len(c.topics) > chunkSize {
		upper := &chunk{topics: slices.Clone(c.topics[chunkSize/2:]), by: e.by}
		c.topics = slices.Clip(c.topics[:chunkSize/2])
		e.chunks = slices.Insert(e.chunks, at+1, upper)
	}
}

// remove takes a topic out.
func (e *listEdit) remove(name string) {
	at, place, found := e.find(name)
	if !found {
		return
	}
	c := e.own(at)
	if c.topics = slices.Delete(c.topics, place, place+1); len(c.topics) == 0 {
		e.chunks = slices.Delete(e.chunks, at, at+1)
	}
}
