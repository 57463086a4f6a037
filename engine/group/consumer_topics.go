package group

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"

	"github.com/millrace/millrace/engine/group/assign"
	"github.com/millrace/millrace/engine/group/record"
)

// pattern is a regular expression that members subscribe to, and what it matched.
type pattern struct {
	members int
	topics  []string // sorted
	picture uint64   // the picture of the cluster that was looked through
	fresh   bool     // was never looked through
}

// mostSteps is how large a pattern may be once its repetitions are written out: a few letters can stand for a hundred
// thousand steps, which take tens of megabytes, and each letter of each topic's name may have to try them all.
const mostSteps = 10_000

var errPatternTooLarge = errors.New("it is too large with its repetitions written out")

// checkPattern reports what is wrong with a pattern, without the time and the memory that compiling takes.
func checkPattern(text string) error {
	parsed, err := syntax.Parse(text, syntax.Perl) // as it stands, so that brackets around it cannot mend it
	if err != nil {
		return err
	}
	if steps(parsed) > max(mostSteps, 2*len(text)) { // what repeats nothing is as large as it is long
		return errPatternTooLarge
	}
	return nil
}

// steps is about how many instructions an expression is compiled to.
func steps(e *syntax.Regexp) int {
	n := 1
	if e.Op == syntax.OpLiteral {
		n += len(e.Rune)
	}
	for _, inner := range e.Sub {
		n += steps(inner)
	}
	if e.Op == syntax.OpRepeat {
		n *= max(e.Min, e.Max, 1)
	}
	return min(n, 1<<20)
}

// compile understands a pattern as Kafka does: RE2, matching whole names.
func compile(text string) (*regexp.Regexp, error) {
	if err := checkPattern(text); err != nil {
		return nil, err
	}
	return regexp.Compile("^(?:" + text + ")$")
}

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

func (t *turn) match(text string, p *pattern) (topics []string, changed, ok bool) {
	expression, err := compile(text) // each time: it takes less than the match, and memory only until then
	if err != nil {
		return nil, p.fresh, true // it was refused when it came; a log of somebody else's may have it
	}
	ok = t.g.c.cluster.EachTopic(func(topic Topic) {
		if expression.MatchString(topic.Name) {
			topics = append(topics, topic.Name)
		}
	})
	return topics, p.fresh || !slices.Equal(topics, p.topics), ok
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
