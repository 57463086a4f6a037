package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/txn"
	"github.com/millrace/millrace/sdk"
)

// EndTxn commits or aborts a transaction. The answer comes once that is decided for good;
// markers follow.
//
//	v2 PRODUCER_FENCED · v3 flexible · v4 TRANSACTION_ABORTABLE · v5 the next producer id and epoch (KIP-890)
//
// Differs from Kafka: nothing.
func endTxn(c *call, q *kmsg.EndTxnRequest, a *kmsg.EndTxnResponse) {
	answer := func(id int64, epoch int16, err *kerr.Error) {
		a.ErrorCode, a.ProducerID, a.ProducerEpoch = c.olderCode(err), id, epoch
		c.reply(a)
	}
	p := txn.Producer{TransactionalID: q.TransactionalID, ID: q.ProducerID, Epoch: q.ProducerEpoch}
	if c.version >= 5 {
		p.Version = 2
	}
	c.onTransaction(sdk.OperationWrite, q.TransactionalID, func(err *kerr.Error) { answer(-1, -1, err) }, func(t *txn.Coordinator, now time.Time) {
		t.End(now, p, q.Commit, answer)
	})
}
