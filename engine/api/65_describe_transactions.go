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
// Differs from Kafka: an id that is named twice is told of once.
func describeTransactions(c *call, q *kmsg.DescribeTransactionsRequest, a *kmsg.DescribeTransactionsResponse) {
	ids := once(len(q.TransactionalIDs), func(i int) string { return q.TransactionalIDs[i] }) // what is told of one may be large
	a.TransactionStates = make([]kmsg.DescribeTransactionsResponseTransactionState, len(ids))
	ask := c.asker()
	all := c.gather(func() { c.reply(a) })
	for i, id := range ids {
		answer := &a.TransactionStates[i]
		refuse := func(err *kerr.Error) {
			*answer = kmsg.NewDescribeTransactionsResponseTransactionState()
			answer.TransactionalID, answer.ErrorCode = id, err.Code
		}
		p := all.part(func() { refuse(kerr.CoordinatorNotAvailable) })
		c.onTransaction(sdk.OperationDescribe, id, func(err *kerr.Error) {
			p.tell(func() { refuse(err) })
		}, func(t *txn.Coordinator, _ time.Time) {
			found := t.Describe(id)
			found.Topics = slices.DeleteFunc(found.Topics, func(t kmsg.DescribeTransactionsResponseTransactionStateTopic) bool {
				return !ask.sees(sdk.OperationDescribe, sdk.ResourceTopic, t.Topic)
			})
			p.tell(func() { *answer = found })
		})
	}
	all.done()
}
