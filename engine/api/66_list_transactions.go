package api

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/txn"
	"github.com/millrace/millrace/sdk"
)

// ListTransactions lists transactional ids (KIP-664).
//
//	v1 how long they have been open (KIP-994) · v2 pattern (KIP-1152)
//
// Differs from Kafka: where some coordinators cannot be had, those ids are listed that others have, beside the error.
func listTransactions(c *call, q *kmsg.ListTransactionsRequest, a *kmsg.ListTransactionsResponse) {
	filter, refused := txn.NewFilter(q)
	if refused != nil {
		a.ErrorCode = refused.Code
		c.reply(a)
		return
	}
	a.UnknownStateFilters = filter.Unknown()
	ask := c.asker()
	var guard sync.Mutex //nolint:forbidigo // shards add to the answer at the same time; an admin call, not the hot path
	refuse := func(err *kerr.Error) {
		guard.Lock()
		defer guard.Unlock()
		a.ErrorCode = err.Code
	}
	c.onAllTransactions(refuse, func(t *txn.Coordinator, now time.Time) func() {
		some, err := t.List(now, filter)
		if err != nil {
			return func() { refuse(err) }
		}
		some = slices.DeleteFunc(some, func(t kmsg.ListTransactionsResponseTransactionState) bool {
			return !ask.sees(sdk.OperationDescribe, sdk.ResourceTransactionalID, t.TransactionalID)
		})
		return func() {
			guard.Lock()
			defer guard.Unlock()
			a.TransactionStates = append(a.TransactionStates, some...)
		}
	}, func() {
		slices.SortFunc(a.TransactionStates, func(x, y kmsg.ListTransactionsResponseTransactionState) int {
			return cmp.Compare(x.TransactionalID, y.TransactionalID)
		})
		c.reply(a)
	})
}
