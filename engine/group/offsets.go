package group

import (
	"slices"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// committed is what a group committed for one partition. It never changes once it is in the
// log.
type committed struct {
	offset   int64
	epoch    int32 // leader epoch of the last consumed record; -1: not known
	metadata string
	at       int64    // when it was committed, milliseconds
	expire   int64    // when it ends, asked for by clients of long ago; -1: by retention
	topicID  [16]byte // zero: the client did not say
	order    uint64   // of its record in the log
}

// entry is one partition of a topic in a group.
type entry struct {
	value    *committed // nil: nothing is committed yet
	inflight int32      // records of it that are not committed; it stays as long as there are any
	pending  int32      // of them those of transactions
}

type topic struct {
	name       string
	partitions map[int32]entry
}

// change is what a record that is on its way will do to one entry.
type change struct {
	topic     string
	partition int32
	value     *committed // nil: a tombstone
}

// entry returns the entry of a partition, made if need be, after counting a record that
// is on its way.
func (g *group) entry(name string, partition int32) {
	t := g.offsets[name]
	if t == nil {
		t = &topic{name: name, partitions: map[int32]entry{}}
		if g.offsets == nil {
			g.offsets = map[string]*topic{}
		}
		g.offsets[name] = t
	}
	e := t.partitions[partition]
	e.inflight++
	t.partitions[partition] = e
}

// settle applies a record that is in the log now.
func (g *group) settle(name string, partition int32, v *committed) {
	t := g.offsets[name]
	e := t.partitions[partition]
	if e.value = v; v != nil {
		g.c.order++
		v.order = g.c.order
	} else if e.pending > 0 {
		over := g.c.forget(spot{g.name, t, partition}, e.pending)
		e.pending, e.inflight = e.pending-over, e.inflight-over
	}
	g.release(t, partition, e)
}

// abandon forgets a record that could not be written.
func (g *group) abandon(name string, partition int32) {
	t := g.offsets[name]
	g.release(t, partition, t.partitions[partition])
}

// release notes that a record of an entry is no longer on its way.
func (g *group) release(t *topic, partition int32, e entry) {
	e.inflight--
	g.keep(t, partition, e)
}

// keep puts back an entry that was changed, unless nothing is left of it.
func (g *group) keep(t *topic, partition int32, e entry) {
	if e.inflight > 0 || e.value != nil {
		t.partitions[partition] = e
		return
	}
	if delete(t.partitions, partition); len(t.partitions) == 0 {
		delete(g.offsets, t.name)
	}
}

// committed returns what is committed, or nil.
func (g *group) committed(name string, partition int32) *committed {
	if g == nil || g.offsets[name] == nil {
		return nil
	}
	return g.offsets[name].partitions[partition].value
}

// appendChanges appends the records of changes, in pieces, and last of all tail; each
// piece takes effect once it is in the log. done gets the first error.
func (g *group) appendChanges(changes []change, tail []Record, done func(error)) {
	var first error
	for len(changes) > 0 || len(tail) > 0 {
		n, size := 0, 0
		for ; n < len(changes) && (n == 0 || size < g.c.appendTo); n++ {
			size += g.sizeOf(&changes[n])
		}
		piece := changes[:n]
		changes = changes[n:]
		records := make([]Record, n, n+len(tail))
		buf := make([]byte, 0, size)
		for i := range piece {
			g.entry(piece[i].topic, piece[i].partition)
			records[i], buf = offsetRecord(buf, g.name, piece[i].topic, piece[i].partition, piece[i].value)
		}
		if len(changes) == 0 {
			records, tail = append(records, tail...), nil
		}
		isLast := len(changes) == 0
		g.last = g.c.append(records, func(err error) {
			g.finish(piece, err)
			if first == nil {
				first = err
			}
			if isLast {
				done(first)
			}
		})
	}
}

// sizeOf is about how many bytes the record of a change takes within a batch.
func (g *group) sizeOf(c *change) int {
	size := len(g.name) + len(c.topic) + 22
	if c.value != nil {
		size += len(c.value.metadata) + 48
	}
	return size
}

func (g *group) finish(piece []change, err error) {
	for i := range piece {
		if err != nil {
			g.abandon(piece[i].topic, piece[i].partition)
			continue
		}
		g.settle(piece[i].topic, piece[i].partition, piece[i].value)
	}
}

// Commit answers an OffsetCommit once its offsets are in the log. A client that uses no
// membership commits with generation -1 and no member id; its group comes into being by
// that. Both names and ids of topics are kept as given: the caller maps them.
func (c *Coordinator) Commit(now time.Time, q *kmsg.OffsetCommitRequest, reply func(*kmsg.OffsetCommitResponse)) {
	at := now.UnixMilli()
	g, err := c.committer(at, q)
	if err != nil {
		reply(RefusedCommit(q, err))
		return
	}
	if m := g.byID[q.MemberID]; m != nil && g.consumer == nil && (g.state == stable || g.state == preparing) {
		g.touch(at, m)
	}
	r := RefusedCommit(q, nil) // refused for nothing yet
	changes := g.changes(at, q, r)
	if len(changes) == 0 {
		reply(r)
		c.dropIfBare(g)
		return
	}
	g.appendChanges(changes, nil, func(err error) {
		if err != nil {
			reply(RefusedCommit(q, asError(err)))
			if c.closed == nil {
				c.dropIfBare(g)
			}
			return
		}
		g.expireChanged(changes)
		reply(r)
	})
}

// committer returns the group of an OffsetCommit that may be done.
func (c *Coordinator) committer(now int64, q *kmsg.OffsetCommitRequest) (*group, *kerr.Error) {
	if err := c.refusal(); err != nil {
		return nil, err
	}
	g := c.groups[q.Group]
	switch {
	case g == nil && q.Generation < 0:
		return c.create(now, q.Group), nil
	case g == nil && q.Version >= 9:
		return nil, kerr.GroupIDNotFound
	case g == nil:
		return nil, kerr.IllegalGeneration
	case g.consumer != nil:
		return g, g.consumerCommitter(q)
	case q.Generation < 0 && g.state == empty:
		return g, nil
	case q.Generation < 0 && q.MemberID == "" && q.InstanceID == nil:
		return nil, kerr.UnknownMemberID // others manage this group
	}
	_, err := g.find(q.MemberID, q.InstanceID)
	switch {
	case err != nil:
		return nil, err
	case q.Generation != g.generation:
		return nil, kerr.IllegalGeneration
	case g.state == completing:
		return nil, kerr.RebalanceInProgress
	}
	return g, nil
}

// changes turns a request into what it changes, and marks in r what is refused.
func (g *group) changes(now int64, q *kmsg.OffsetCommitRequest, r *kmsg.OffsetCommitResponse) []change {
	expire := int64(-1)
	if q.Version >= 2 && q.Version <= 4 && q.RetentionTimeMillis >= 0 {
		expire = now + q.RetentionTimeMillis
	}
	var changes []change
	for i := range q.Topics {
		t := &q.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			v := &committed{offset: p.Offset, epoch: p.LeaderEpoch, at: now, expire: expire, topicID: t.TopicID}
			if p.Metadata != nil {
				v.metadata = *p.Metadata
			}
			if tooLong(v.metadata, g.c.metadataMax) {
				r.Topics[i].Partitions[j].ErrorCode = kerr.OffsetMetadataTooLarge.Code
				continue
			}
			changes = append(changes, change{t.Topic, p.Partition, v})
		}
	}
	return changes
}

// tooLong reports whether s has more than limit UTF-16 units, which is how Kafka counts.
func tooLong(s string, limit int) bool {
	if len(s) <= limit {
		return false
	}
	units := 0
	for _, r := range s {
		units += max(utf16.RuneLen(r), 1)
	}
	return units > limit
}

// RefusedCommit is the answer to q with one error for every partition.
func RefusedCommit(q *kmsg.OffsetCommitRequest, err *kerr.Error) *kmsg.OffsetCommitResponse {
	r := kmsg.NewPtrOffsetCommitResponse()
	r.Topics = make([]kmsg.OffsetCommitResponseTopic, len(q.Topics))
	for i := range q.Topics {
		t := &r.Topics[i]
		t.Topic, t.TopicID = q.Topics[i].Topic, q.Topics[i].TopicID
		t.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(q.Topics[i].Partitions))
		for j := range t.Partitions {
			t.Partitions[j].Partition = q.Topics[i].Partitions[j].Partition
			t.Partitions[j].ErrorCode = code(err)
		}
	}
	return r
}

// Fetch answers the part of an OffsetFetch that is about one group; all of its topics
// when q.Topics is nil. With stable it waits for the commits that are on their way.
// A partition with offsets of a transaction that has not ended answers it with
// UNSTABLE_OFFSET_COMMIT.
func (c *Coordinator) Fetch(_ time.Time, q *kmsg.OffsetFetchRequestGroup, isStable bool, reply func(*kmsg.OffsetFetchResponseGroup)) {
	g := c.groups[q.Group]
	answer := func(err *kerr.Error) {
		r := kmsg.NewOffsetFetchResponseGroup()
		r.Group, r.ErrorCode = q.Group, code(err)
		if err == nil {
			r.Topics = c.groups[q.Group].fetch(q, isStable)
		}
		reply(&r)
	}
	if err := c.refusal(); err != nil {
		answer(err)
		return
	}
	if err := g.consumerFetcher(q); err != nil {
		answer(err)
		return
	}
	if isStable && g != nil && g.last != nil && !g.last.ended {
		g.last.after = append(g.last.after, answer)
		return
	}
	answer(nil)
}

func (g *group) fetch(q *kmsg.OffsetFetchRequestGroup, isStable bool) []kmsg.OffsetFetchResponseGroupTopic {
	if q.Topics == nil {
		return g.fetchAll(isStable)
	}
	topics := make([]kmsg.OffsetFetchResponseGroupTopic, len(q.Topics))
	for i := range q.Topics {
		asked, t := &q.Topics[i], &topics[i]
		t.Topic, t.TopicID = asked.Topic, asked.TopicID
		t.Partitions = make([]kmsg.OffsetFetchResponseGroupTopicPartition, len(asked.Partitions))
		for j, partition := range asked.Partitions {
			v := g.committed(asked.Topic, partition)
			if v != nil && v.topicID != asked.TopicID && v.topicID != [16]byte{} && asked.TopicID != [16]byte{} {
				v = nil // of a topic that had the name before
			}
			g.fillOffset(&t.Partitions[j], asked.Topic, partition, v, isStable)
		}
	}
	return topics
}

func (g *group) fetchAll(isStable bool) []kmsg.OffsetFetchResponseGroupTopic {
	if g == nil {
		return nil
	}
	var topics []kmsg.OffsetFetchResponseGroupTopic
	for _, t := range g.sortedTopics() {
		r := kmsg.OffsetFetchResponseGroupTopic{Topic: t.name}
		for _, partition := range t.sorted() {
			if e := t.partitions[partition]; e.value != nil { // one that is only pending is not listed, as in Kafka
				r.Partitions = append(r.Partitions, kmsg.OffsetFetchResponseGroupTopicPartition{})
				g.fillOffset(&r.Partitions[len(r.Partitions)-1], t.name, partition, e.value, isStable)
			}
		}
		if r.Partitions != nil {
			topics = append(topics, r)
		}
	}
	return topics
}

func (g *group) fillOffset(p *kmsg.OffsetFetchResponseGroupTopicPartition, topic string, partition int32, v *committed, isStable bool) {
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, -1, -1, new(string)
	switch {
	case isStable && g.unstable(topic, partition):
		p.ErrorCode = kerr.UnstableOffsetCommit.Code
	case v != nil:
		p.Offset, p.LeaderEpoch, *p.Metadata = v.offset, v.epoch, v.metadata
	}
}

func (g *group) sortedTopics() []*topic {
	all := make([]*topic, 0, len(g.offsets))
	for _, t := range g.offsets {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *topic) int { return strings.Compare(a.name, b.name) })
	return all
}

func (t *topic) sorted() []int32 {
	all := make([]int32, 0, len(t.partitions))
	for p := range t.partitions {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}
