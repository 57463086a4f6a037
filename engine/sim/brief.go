package sim

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/batch"
)

// brief is what a trace tells of a request.
func brief(q kmsg.Request) string {
	switch q := q.(type) {
	case *kmsg.ProduceRequest:
		t := &q.Topics[0]
		b := batch.Batch(t.Partitions[0].Records)
		return fmt.Sprintf("%s-%d producer %d epoch %d sequence %d+%d", t.Topic, t.Partitions[0].Partition, b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), b.Count())
	case *kmsg.FetchRequest:
		p := &q.Topics[0].Partitions[0]
		return fmt.Sprintf("%s-%d at %d, isolation %d", q.Topics[0].Topic, p.Partition, p.FetchOffset, q.IsolationLevel)
	case *kmsg.InitProducerIDRequest:
		id := ""
		if q.TransactionalID != nil {
			id = *q.TransactionalID
		}
		return fmt.Sprintf("%q producer %d epoch %d", id, q.ProducerID, q.ProducerEpoch)
	case *kmsg.AddPartitionsToTxnRequest:
		return fmt.Sprintf("%q producer %d epoch %d %s-%d", q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Topics[0].Topic, q.Topics[0].Partitions[0])
	case *kmsg.EndTxnRequest:
		return fmt.Sprintf("%q producer %d epoch %d commit %v", q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Commit)
	case *kmsg.TxnOffsetCommitRequest:
		p := &q.Topics[0].Partitions[0]
		return fmt.Sprintf("%q producer %d epoch %d of %q member %q generation %d: %d at %d", q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Group, q.MemberID, q.Generation, p.Partition, p.Offset)
	case *kmsg.OffsetCommitRequest:
		p := &q.Topics[0].Partitions[0]
		return fmt.Sprintf("%q member %q generation %d: %d at %d", q.Group, q.MemberID, q.Generation, p.Partition, p.Offset)
	case *kmsg.ConsumerGroupHeartbeatRequest:
		return fmt.Sprintf("%q member %q epoch %d", q.Group, q.MemberID, q.MemberEpoch)
	}
	return ""
}
