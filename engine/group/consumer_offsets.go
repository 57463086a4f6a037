package group

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// consumerCommitter reports why a commit to a consumer group may not be done. A member
// may be a little behind: what it read before it heard of its new epoch counts, as long
// as it has had the partition since the epoch that it names (KIP-1251).
func (g *group) consumerCommitter(q *kmsg.OffsetCommitRequest) *kerr.Error {
	cg := g.consumer
	if q.Generation < 0 && len(cg.members) == 0 {
		return nil
	}
	m := cg.members[q.MemberID]
	if m == nil {
		return kerr.UnknownMemberID
	}
	stale := kerr.StaleMemberEpoch
	if m.classic != nil {
		stale = kerr.IllegalGeneration
	}
	switch {
	case m.classic == nil && q.Version < 9:
		return kerr.UnsupportedVersion // the error above has no place in it
	case q.Generation == m.epoch:
		return nil
	case q.Generation > m.epoch:
		return stale
	}
	for i := range q.Topics {
		t, ok := g.c.cluster.Topic(q.Topics[i].Topic)
		for j := range q.Topics[i].Partitions {
			if !ok || !m.hasSince(t, q.Topics[i].Partitions[j].Partition, q.Generation) {
				return stale
			}
		}
	}
	return nil
}

// hasSince reports whether a member had a partition in an epoch and has it still.
func (m *consumer) hasSince(t Topic, partition, epoch int32) bool {
	since, ok := m.assigned.Epoch(t.ID, partition)
	if !ok {
		since, ok = m.revoking.Epoch(t.ID, partition)
	}
	return ok && epoch >= since
}

// consumerFetcher reports why a member may not fetch offsets of a consumer group. Whoever
// names no member may.
func (g *group) consumerFetcher(q *kmsg.OffsetFetchRequestGroup) *kerr.Error {
	if g == nil || g.consumer == nil || q.MemberID == nil && q.MemberEpoch < 0 {
		return nil
	}
	m := g.consumer.members[deref(q.MemberID)]
	switch {
	case m == nil:
		return kerr.UnknownMemberID
	case m.epoch == q.MemberEpoch:
		return nil
	case m.classic != nil:
		return kerr.IllegalGeneration
	}
	return kerr.StaleMemberEpoch
}
