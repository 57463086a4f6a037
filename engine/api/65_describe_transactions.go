package api

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/txn"
	"github.com/millrace/millrace/sdk"
)

// DescribeTransactions tells the state of transactional ids (KIP-664).
//
// Differs from Kafka: nothing.
func describeTransactions(c *call, q *kmsg.DescribeTransactionsRequest, a *kmsg.DescribeTransactionsResponse) {
	a.TransactionStates = make([]kmsg.DescribeTransactionsResponseTransactionState, len(q.TransactionalIDs))
	ask := c.asker()
	all := newGather(func() { c.reply(a) })
	for i, id := range q.TransactionalIDs {
		answer := &a.TransactionStates[i]
		all.later()
		c.onTransaction(sdk.OperationDescribe, id, func(err *kerr.Error) {
			*answer = kmsg.NewDescribeTransactionsResponseTransactionState()
			answer.TransactionalID, answer.ErrorCode = id, err.Code
			all.done()
		}, func(t *txn.Coordinator, _ time.Time) {
			*answer = t.Describe(id)
			answer.Topics = slices.DeleteFunc(answer.Topics, func(t kmsg.DescribeTransactionsResponseTransactionStateTopic) bool {
				return !ask.sees(sdk.OperationDescribe, sdk.ResourceTopic, t.Topic)
			})
			all.done()
		})
	}
	all.done()
}
