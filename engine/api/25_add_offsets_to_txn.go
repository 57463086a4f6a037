package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/cluster"
	"github.com/millrace/millrace/engine/txn"
	"github.com/millrace/millrace/sdk"
)

// AddOffsetsToTxn makes the partition that keeps a group's offsets part of a transaction.
//
//	v2 PRODUCER_FENCED · v3 flexible · v4 TRANSACTION_ABORTABLE
//
// Differs from Kafka: nothing.
func addOffsetsToTxn(c *call, q *kmsg.AddOffsetsToTxnRequest, a *kmsg.AddOffsetsToTxnResponse) {
	answer := func(err *kerr.Error) {
		a.ErrorCode = c.olderCode(err)
		c.reply(a)
	}
	if !c.allowed(sdk.OperationWrite, sdk.ResourceTransactionalID, q.TransactionalID) {
		answer(kerr.TransactionalIDAuthorizationFailed)
		return
	}
	if !c.allowed(sdk.OperationRead, sdk.ResourceGroup, q.Group) {
		answer(kerr.GroupAuthorizationFailed)
		return
	}
	c.server.withTopic(OffsetsTopic, func(_ *cluster.Image, err *kerr.Error) {
		r := c.server.offsetsOf(q.Group)
		if err != nil || r == nil {
			answer(kerr.CoordinatorNotAvailable)
			return
		}
		p := txn.Producer{TransactionalID: q.TransactionalID, ID: q.ProducerID, Epoch: q.ProducerEpoch}
		c.server.onTransaction(q.TransactionalID, answer, func(t *txn.Coordinator, now time.Time) {
			t.Add(now, p, []txn.Partition{{Topic: OffsetsTopic, Index: r.Index}}, answer)
		})
	})
}
