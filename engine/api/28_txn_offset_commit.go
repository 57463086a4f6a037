package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/group"
	"github.com/millrace/millrace/sdk"
)

// TxnOffsetCommit keeps how far a group has read, if a transaction commits.
//
//	v2 leader epochs · v3 flexible, members (KIP-447) · v4 TRANSACTION_ABORTABLE · v5 the offsets are
//	added to the transaction by this (KIP-890) · v6 topic ids
//
// Differs from Kafka: nothing.
func txnOffsetCommit(c *call, q *kmsg.TxnOffsetCommitRequest, a *kmsg.TxnOffsetCommitResponse) {
	if denied := c.deniedTxnCommit(q); denied != nil {
		for i := range q.Topics {
			t := asOffsetCommit(&q.Topics[i])
			refused := refusedCommit(&t, denied)
			a.Topics = append(a.Topics, c.asTxnOffsetCommit(&refused))
		}
		c.reply(a)
		return
	}
	commit := kmsg.NewPtrOffsetCommitRequest()
	commit.Version, commit.Group, commit.Generation, commit.MemberID, commit.InstanceID = 9, q.Group, q.Generation, q.MemberID, q.InstanceID
	if c.version < 3 {
		commit.Generation = -1
	}
	refused := make([]kmsg.OffsetCommitResponseTopic, len(q.Topics))
	known := make([]bool, len(q.Topics))
	for i := range q.Topics {
		t := asOffsetCommit(&q.Topics[i])
		refused[i] = c.committable(c.version >= 6, &t)
		if known[i] = len(t.Partitions) > 0; known[i] {
			commit.Topics = append(commit.Topics, t)
		}
	}
	answer := func(r *kmsg.OffsetCommitResponse) {
		next := 0
		for i := range refused {
			t := refused[i]
			if known[i] {
				t.Partitions = append(r.Topics[next].Partitions, t.Partitions...)
				next++
			}
			a.Topics = append(a.Topics, c.asTxnOffsetCommit(&t))
		}
		c.reply(a)
	}
	refuse := func(err *kerr.Error) { answer(group.RefusedCommit(commit, err)) }
	if q.TransactionalID == "" {
		refuse(kerr.InvalidRequest)
		return
	}
	in := group.Transaction{ID: q.TransactionalID, ProducerID: q.ProducerID, Epoch: q.ProducerEpoch, Add: c.version >= 5}
	c.server.onGroup(q.Group, refuse, func(g *group.Coordinator, now time.Time) { g.CommitIn(now, in, commit, answer) })
}

// deniedTxnCommit is why whoever asks may not commit for the group within the transaction.
func (c *call) deniedTxnCommit(q *kmsg.TxnOffsetCommitRequest) *kerr.Error {
	switch {
	case !c.allowed(sdk.OperationWrite, sdk.ResourceTransactionalID, q.TransactionalID):
		return kerr.TransactionalIDAuthorizationFailed
	case !c.allowed(sdk.OperationRead, sdk.ResourceGroup, q.Group):
		return kerr.GroupAuthorizationFailed
	}
	return nil
}

func asOffsetCommit(q *kmsg.TxnOffsetCommitRequestTopic) kmsg.OffsetCommitRequestTopic {
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.TopicID = q.Topic, q.TopicID
	for i := range q.Partitions {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = q.Partitions[i].Partition, q.Partitions[i].Offset, q.Partitions[i].LeaderEpoch, q.Partitions[i].Metadata
		t.Partitions = append(t.Partitions, p)
	}
	return t
}

func (c *call) asTxnOffsetCommit(t *kmsg.OffsetCommitResponseTopic) kmsg.TxnOffsetCommitResponseTopic {
	out := kmsg.NewTxnOffsetCommitResponseTopic()
	out.Topic, out.TopicID = t.Topic, t.TopicID
	for _, p := range t.Partitions {
		one := kmsg.NewTxnOffsetCommitResponseTopicPartition()
		one.Partition, one.ErrorCode = p.Partition, p.ErrorCode
		switch {
		case p.ErrorCode == kerr.ProducerFenced.Code:
			one.ErrorCode = kerr.InvalidProducerEpoch.Code
		case p.ErrorCode == kerr.TransactionAbortable.Code && c.version < 4:
			one.ErrorCode = kerr.InvalidTxnState.Code
		}
		out.Partitions = append(out.Partitions, one)
	}
	return out
}
