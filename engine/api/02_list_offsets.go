package api

import (
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/shard"
	"github.com/millrace/millrace/sdk"
)

// Moments that a client may ask for by name instead of by time.
const (
	momentLatest       = -1
	momentEarliest     = -2
	momentMaxTimestamp = -3
	momentLocal        = -4 // earliest that is not in tiered storage
	momentTiered       = -5 // latest that is in tiered storage
	momentPending      = -6 // earliest that is not uploaded yet
)

// ListOffsets finds offsets by time.
//
//	v1 one offset · v2 isolation level · v4 leader epochs · v6 flexible · v7 max timestamp
//	v8 local start · v9 tiered · v10 timeout · v11 pending upload
//
// Differs from Kafka: there is no tiered storage, so −4 is the log start, −5 and −6 are
// none.
func listOffsets(c *call, q *kmsg.ListOffsetsRequest, a *kmsg.ListOffsetsResponse) {
	g := c.gather(func() { c.reply(a) })
	g.patience = searchPatience
	for i := range q.Topics {
		asked := &q.Topics[i]
		topic, allowed := c.server.Registry.Named(asked.Topic), c.allowed(sdk.OperationDescribe, sdk.ResourceTopic, asked.Topic)
		t := kmsg.NewListOffsetsResponseTopic()
		t.Topic = asked.Topic
		t.Partitions = make([]kmsg.ListOffsetsResponseTopicPartition, len(asked.Partitions))
		for j := range asked.Partitions {
			p, answer := &asked.Partitions[j], &t.Partitions[j]
			answer.Default()
			answer.Partition = p.Partition
			r := replicaOf(topic, p.Partition)
			switch {
			case !allowed:
				answer.ErrorCode = kerr.TopicAuthorizationFailed.Code
				continue
			case c.version < momentSince(p.Timestamp):
				answer.ErrorCode = kerr.UnsupportedVersion.Code
				continue
			case r == nil:
				answer.ErrorCode = kerr.UnknownTopicOrPartition.Code
				continue
			}
			l := &lookUp{server: c.server, replica: r, committed: q.IsolationLevel == 1, asked: p, answer: answer}
			l.part = g.part(func() { answer.ErrorCode = kerr.RequestTimedOut.Code })
			if r.Settled() { // what is published is enough, and its shard may wait for a disk
				l.begin()
				continue
			}
			r.Do(func() {
				r.Settle() // a partition that nobody used yet is opened
				l.begin()
			})
		}
		a.Topics = append(a.Topics, t)
	}
	g.done()
}

// momentSince is the first version that knows a moment. A version that does not would
// take it for a time before 1970.
func momentSince(moment int64) int16 {
	switch {
	case moment >= momentEarliest:
		return 0
	case moment == momentMaxTimestamp:
		return 7
	case moment == momentLocal:
		return 8
	case moment == momentTiered:
		return 9
	case moment == momentPending:
		return 11
	default:
		return math.MaxInt16
	}
}

func replicaOf(t *shard.Topic, partition int32) *shard.Replica {
	if t == nil {
		return nil
	}
	return t.Replica(partition)
}

// published reports whether a moment's offset is known without a look into the log.
func published(moment int64) bool { return moment < 0 && moment != momentMaxTimestamp }

// searchPatience is how long somebody may look for a time: nearly as long as clients wait. A search that is given up
// is begun anew by the next who asks, and would never end.
const searchPatience = 20 * time.Second

// lookUp answers for one partition.
type lookUp struct {
	server    *Server
	replica   *shard.Replica
	committed bool
	asked     *kmsg.ListOffsetsRequestTopicPartition
	answer    *kmsg.ListOffsetsResponseTopicPartition
	part      *part
}

// begin answers for a partition that is settled: at once what is known, and by those who
// search the logs of its disk what has to be looked for. A batch may have to be
// decompressed for that, which neither loop nor shard has time for.
func (l *lookUp) begin() {
	searchers := l.replica.Disk().Searchers
	switch {
	case published(l.asked.Timestamp) || searchers == nil:
		l.Read()
	case !searchers.Post(l):
		l.part.giveUp() // too many wait; clients ask again
	}
}

// Read looks. What takes long is done by one of the disk's searchers.
func (l *lookUp) Read() {
	if !l.part.awaited() {
		return
	}
	found := kmsg.NewListOffsetsResponseTopicPartition()
	found.Partition = l.asked.Partition
	found.ErrorCode = code(offsetAt(l.server, l.replica, l.committed, l.asked, &found))
	l.part.tell(func() { *l.answer = found })
}

// offsetAt answers for one partition that is settled, to a reader of committed records up to
// the last stable offset.
func offsetAt(s *Server, r *shard.Replica, committed bool, q *kmsg.ListOffsetsRequestTopicPartition, a *kmsg.ListOffsetsResponseTopicPartition) error {
	log, err := r.Log()
	if err != nil {
		return err
	}
	if err := r.CheckEpoch(q.CurrentLeaderEpoch); err != nil {
		return err
	}
	limit := r.HighWatermark()
	if committed {
		limit = r.StableOffset()
	}
	switch {
	case q.Timestamp == momentLatest:
		a.Offset, a.LeaderEpoch = limit, r.Epoch()
	case q.Timestamp == momentEarliest || q.Timestamp == momentLocal:
		a.Offset, a.LeaderEpoch = r.Start(), r.Epoch()
	case q.Timestamp == momentTiered || q.Timestamp == momentPending:
		a.Offset, a.LeaderEpoch = -1, -1
	case log == nil:
		a.Offset = -1
	case q.Timestamp == momentMaxTimestamp:
		a.Offset, a.Timestamp, a.LeaderEpoch, err = log.MaxTimestamp(limit, s.Memory)
	default:
		a.Offset, a.Timestamp, a.LeaderEpoch, err = log.OffsetForTime(q.Timestamp, limit, s.Memory)
	}
	return err
}
